//! What is kept of each object that is watched: the few fields that are read, in place of the whole.
//!
//! Each struct is made by `of`, from the object as the API server hands it out. Names, uids and owners aren't in it:
//! who keeps the facts keeps these beside them. Words of others are bounded, and what repeats is held once.

mod autoscaler;
mod claim;
mod container;
mod deployment;
mod pod;
mod replica_set;
mod route;
mod words;

pub use self::{
    autoscaler::{Autoscaler, Fault},
    claim::Claim,
    container::{Container, End, Role, State},
    deployment::{Counts, Deployment, REVISION, ROLLOUT, Refusal, TEMPLATE_GENERATION, TEMPLATE_HASH},
    pod::{Eviction, Phase, Pod},
    replica_set::ReplicaSet,
    route::{Parent, Refused, Route},
    words::{LONGEST, head, shared, tail},
};
