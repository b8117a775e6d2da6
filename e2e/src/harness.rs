//! Runs cases one after the other: they share a cluster, and each says how long it took.

use std::{future::Future, pin::Pin, sync::Arc};

use libtest_mimic::{Arguments, Conclusion, Trial};
use tokio::runtime::Runtime;

use crate::Outcome;

type CaseFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A named test on a shared environment.
pub struct Case<E> {
    name: &'static str,
    run: Box<dyn FnOnce(Arc<E>) -> CaseFuture + Send>,
}

impl<E> Case<E> {
    /// A case from an async function.
    pub fn new<F, Fut>(name: &'static str, run: F) -> Self
    where
        F: FnOnce(Arc<E>) -> Fut + Send + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Self { name, run: Box::new(|environment| Box::pin(run(environment))) }
    }
}

/// Runs the cases that the command line asks for.
pub fn run_cases<E: Send + Sync + 'static>(runtime: &Runtime, environment: &Arc<E>, cases: Vec<Case<E>>) -> Conclusion {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = cases.into_iter().map(|case| {
        let environment = environment.clone();
        let handle = runtime.handle().clone();
        Trial::test(case.name, move || {
            let began = std::time::Instant::now();
            let outcome = handle.block_on((case.run)(environment));
            eprintln!("    {} took {:.1} s", case.name, began.elapsed().as_secs_f32());
            outcome.map_err(Into::into)
        })
    });
    libtest_mimic::run(&arguments, trials.collect())
}
