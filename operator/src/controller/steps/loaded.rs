//! Which model the pods have loaded.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Step;
use crate::{
    api::SentimentServiceStatus,
    build::MANAGEMENT_NUMBER,
    digests::Question,
    facts,
    memory::{AskedPod, DigestAsked},
    status::Loaded,
    validate::ValidatedService,
    watches::Kept,
};

impl Step<'_> {
    /// What the pods of a ReplicaSet have loaded, as far as is known, and when to ask again. The status has it from one
    /// rollout to the next; where it doesn't, a pod is asked, and nothing waits for that. Where a source may have got another
    /// model, the youngest pod speaks.
    pub(super) fn loaded(
        &self,
        valid: &ValidatedService,
        replica_set: &Arc<str>,
        pods: &[Arc<Kept<Arc<facts::Pod>>>],
        previous: &SentimentServiceStatus,
    ) -> (Option<Loaded>, Option<Duration>) {
        let told = |digest| Some(Loaded { replica_set: replica_set.to_string(), digest });
        let before = previous.model.as_ref().filter(|model| model.replica_set.as_deref() == Some(&**replica_set));
        let before = before.and_then(|model| told(model.digest.clone()));
        let mut serving = pods.iter().filter(|pod| pod.facts.is_live() && pod.facts.address.is_some());
        let youngest = if valid.model_may_change() {
            serving.clone().filter_map(|pod| Some((pod.facts.created?, pod))).max_by_key(|(created, _)| *created)
        } else {
            None
        };
        if before.is_some() && youngest.is_none() {
            return (before, None);
        }
        // A pod that was made earlier than one that was asked has nothing new to say.
        let about = match (self.memory.asked_pod(replica_set), youngest) {
            (Some((asked, name)), Some((created, _))) if asked >= created => name,
            (_, Some((_, pod))) => pod.meta.name.clone(),
            (_, None) => replica_set.clone(),
        };
        match self.memory.digest(&about, Instant::now()) {
            DigestAsked::Answered(digest) => (told(digest.map(|digest| digest.to_string())), None),
            DigestAsked::UnderWay => (before, None),
            DigestAsked::Later(delay) => (before, Some(delay)),
            DigestAsked::Not => {
                let Some(pod) = youngest.map(|(_, pod)| pod).or_else(|| serving.next()) else { return (before, None) };
                let about = youngest.map_or(replica_set, |(_, pod)| &pod.meta.name).clone();
                if let Some((created, _)) = youngest {
                    let (replica_set, name) = (replica_set.clone(), about.clone());
                    self.memory.note_asked_pod(AskedPod { replica_set, name, created });
                }
                if let Some(address) = pod.facts.address {
                    let question = Question {
                        pod: SocketAddr::new(address, MANAGEMENT_NUMBER),
                        path: format!("{}/model-info", valid.path_prefix),
                        about,
                        service: self.service.clone(),
                    };
                    self.context.operator.digests.ask(question, self.memory.clone(), self.context.wake.clone());
                }
                (before, None)
            }
        }
    }
}
