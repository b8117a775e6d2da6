//! The operator as a whole works on the server in memory: each row of what it must not get stuck in or tell wrong.

mod counting;
mod cutting;
mod delivering;
mod depending;
mod publishing;
mod refusing;
mod repairing;
mod scaling;
mod starting;
mod strangers;
mod telling;
mod watching;
mod world;
