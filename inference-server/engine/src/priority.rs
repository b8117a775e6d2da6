//! The scheduling priority of a thread.

use rustix::process::{getpriority_process, setpriority_process};

/// Lets others go before the calling thread by so many steps of nice(1). Linux counts priorities by
/// thread, and a lower one needs no privilege; where it is refused, long runs only hold up short
/// texts more.
pub(crate) fn give_way(steps: i32) {
    if steps == 0 {
        return;
    }
    let set = getpriority_process(None).and_then(|now| setpriority_process(None, now + steps));
    if let Err(error) = set {
        tracing::debug!(%error, "the priority of a thread can't be lowered");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn only_the_calling_thread_gives_way() {
        let before = getpriority_process(None).unwrap();
        let lowered = thread::spawn(|| {
            give_way(5);
            getpriority_process(None).unwrap()
        });
        assert_eq!(lowered.join().unwrap(), (before + 5).min(19));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
