//! What the cache in memory costs. It is measured as resident memory, so it is alone in its process.

use std::{future, sync::Arc, time::Duration};

use inference_server::{
    cache::{Bounds, Cache, Output, Series},
    process,
};

const BYTES: usize = 4 << 20;

#[tokio::test]
async fn a_full_cache_of_long_texts_stays_within_its_bytes() {
    let bounds = Bounds { entries: 1_000_000, bytes: BYTES };
    let cache: Cache<()> = Cache::new(Some(bounds), None, Arc::new(Series::default()));
    let answer = Output { logits: [0.5, 1.5].into(), truncated: false, inference: Duration::ZERO, cached: false };
    let rest = "z".repeat(9_990);
    let ask = async |number: usize| {
        let run = || future::ready(Ok(answer.clone()));
        cache.answer(format!("{number:010}{rest}").into(), run, |&()| false).await.unwrap().cached
    };
    // What is allocated once.
    ask(0).await;
    let before = process::usage().unwrap().resident_bytes;
    // More than fit: 150 MB of texts.
    for number in 0..15_000 {
        ask(number).await;
        assert!(number % 1000 != 0 || ask(0).await, "what is asked for most is kept");
    }
    let kept = cache.entries().await;
    let grown = process::usage().unwrap().resident_bytes.saturating_sub(before);
    assert!((9_000..=BYTES / 300).contains(&kept), "{kept} answers");
    // Half as much again for what the C library keeps of blocks that were freed.
    assert!(grown < (BYTES + BYTES / 2) as u64, "{grown} bytes for {kept} answers");
}
