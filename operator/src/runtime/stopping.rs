//! An end within a second, whatever hangs.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long what has begun may go on after a signal. What is dropped then is taken up by the next leader: a
/// reconciliation can end anywhere.
pub const GRACE: Duration = Duration::from_millis(800);

/// Does work until it ends by itself, or `grace` after the stop was asked for. Whether it ended by itself.
pub async fn until_stopped(work: impl Future<Output = ()>, stop: &CancellationToken, grace: Duration) -> bool {
    let overdue = async {
        stop.cancelled().await;
        sleep(grace).await;
    };
    tokio::select! {
        biased;
        () = work => true,
        () = overdue => {
            tracing::warn!("some of what had begun isn't finished, and is left to the next leader");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_dropped_after_the_grace() {
        let stop = CancellationToken::new();
        let began = Instant::now();
        let stopping = stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_mins(1)).await;
            stopping.cancel();
        });
        assert!(!until_stopped(pending(), &stop, GRACE).await);
        assert_eq!(began.elapsed(), Duration::from_mins(1) + GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_by_itself_isn_t_waited_for() {
        let stop = CancellationToken::new();
        stop.cancel();
        let began = Instant::now();
        assert!(until_stopped(sleep(GRACE / 2), &stop, GRACE).await);
        assert_eq!(began.elapsed(), GRACE / 2);
    }

    #[test]
    fn a_stop_takes_less_than_a_second() {
        const { assert!(GRACE.as_millis() < 1000) }
    }
}
