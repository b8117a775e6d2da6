//! `bench`.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{Answer, KeyFlags, Refusal, Target, percentile};
use crate::{
    cluster::Cluster,
    error::Error,
    output::{self, Format, JsonFormat, count},
};

/// Measures how many texts a second a service answers, through the API server's proxy, and how long answers take
///
/// It stops after --seconds or --requests, whichever is first. Each text is another one, so that no cache answers. What is
/// measured has the API server in it, which such traffic costs something: for the limits of the server itself, ask from
/// within the cluster.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Name of the service
    name: String,
    /// Seconds after which no request begins
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// Requests after which it ends
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// Requests at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// The text, to which a number is added
    #[arg(long, default_value = "The battery lasts all day and the screen is gorgeous, order number")]
    text: String,
    /// Form of the result
    #[arg(short, long, value_enum)]
    output: Option<JsonFormat>,
    #[command(flatten)]
    key: KeyFlags,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) texts: usize,
    pub(super) seconds: f64,
    pub(super) texts_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Texts without an answer, by why.
    pub(super) refused: BTreeMap<String, usize>,
}

/// Runs the command.
pub async fn run(command: Bench, cluster: &Cluster) -> Result<(), Error> {
    let Bench { name, seconds, requests, concurrency, text, output, key } = command;
    let target = Target::new(cluster, &name, &key).await?;
    let (target, text) = (&target, &text);
    let ask = |number: u32| async move { target.post("/predict", &json!({"text": format!("{text} {number}")})).await };
    // The first one isn't measured: it makes the connection.
    if let Err(refusal) = ask(0).await {
        return Err(target.explained(refusal).await);
    }
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    let numbers = stream::iter(1..=requests).take_while(|_| std::future::ready(Instant::now() < end));
    let answers: Vec<Result<Answer, Refusal>> = numbers.map(ask).buffer_unordered(concurrency.into()).collect().await;
    let measured = measured(&answers, begin.elapsed());
    output::write(&match output {
        Some(JsonFormat::Json) => output::serialized(Format::Json, &measured)?,
        None => shown(&measured),
    })
}

pub(super) fn measured(answers: &[Result<Answer, Refusal>], time: Duration) -> Measured {
    let mut times: Vec<Duration> = answers.iter().flatten().map(|answer| answer.took).collect();
    times.sort_unstable();
    let mut refused = BTreeMap::new();
    for refusal in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let why = if refusal.status == 0 { "no answer".to_owned() } else { format!("status {}", refusal.status) };
        *refused.entry(why).or_default() += 1;
    }
    let seconds = time.as_secs_f64();
    let of = |share| percentile(&times, share).as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let texts_per_second = if seconds > 0.0 { times.len() as f64 / seconds } else { 0.0 };
    Measured { texts: times.len(), seconds, texts_per_second, p50_ms: of(0.5), p99_ms: of(0.99), refused }
}

pub(super) fn shown(measured: &Measured) -> String {
    let Measured { texts, seconds, texts_per_second, p50_ms, p99_ms, refused } = measured;
    let answered = count(*texts, "text");
    let mut text = format!(
        "{answered} in {seconds:.1} s, through the API server: {texts_per_second:.0} a second\nlatency: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms\n"
    );
    for (why, count) in refused {
        text.push_str(&format!("without an answer: {count}, {why}\n"));
    }
    text
}
