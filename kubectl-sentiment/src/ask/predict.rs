//! `predict`.

use serde_json::{Value, json};

use super::{KeyFlags, Target, millis};
use crate::{
    cluster::Cluster,
    error::Error,
    output::{self, Format, JsonFormat, Table},
};

/// What the server takes at once.
const MOST: usize = 1000;

/// Asks a service for the labels of texts, through the API server's proxy
#[derive(Debug, clap::Args)]
pub struct Predict {
    /// Name of the service
    name: String,
    /// The texts
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// Form of the result: the server's own answer
    #[arg(short, long, value_enum)]
    output: Option<JsonFormat>,
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
pub async fn run(command: Predict, cluster: &Cluster) -> Result<(), Error> {
    let Predict { name, texts, output, key } = command;
    if texts.len() > MOST {
        return Err(Error::Usage(format!("{} texts are too many at once: give at most {MOST}", texts.len())));
    }
    let target = Target::new(cluster, &name, &key).await?;
    let asked = match &*texts {
        [text] => target.post("/predict", &json!({"text": text})).await,
        texts => target.post("/predict/batch", &json!({"texts": texts})).await,
    };
    let answer = match asked {
        Ok(answer) => answer,
        Err(refusal) => return Err(target.explained(refusal).await),
    };
    match output {
        Some(JsonFormat::Json) => output::write(&output::serialized(Format::Json, &answer.body)?),
        None => {
            output::write(&table(&texts, &answer.body)?)?;
            output::note(&format!("answered in {}, the way through the API server included", millis(answer.took)));
            Ok(())
        }
    }
}

/// A row for each text.
pub(super) fn table(texts: &[String], body: &Value) -> Result<String, Error> {
    let one = std::slice::from_ref(body);
    let results = body["results"].as_array().map_or(one, Vec::as_slice);
    if results.len() != texts.len() {
        return Err(Error::Answer(format!(
            "{} answers to {} texts: this server isn't one of ours",
            results.len(),
            texts.len()
        )));
    }
    let mut table = Table::new(["LABEL", "SCORE", "TEXT"]);
    for (text, result) in texts.iter().zip(results) {
        match result["error"].as_str() {
            Some(error) => table.push(["-", "-", &format!("{text} ({error})")]),
            None => table.push([label(result), &score(result), text]),
        }
    }
    Ok(table.render(""))
}

/// The label of an answer.
pub(super) fn label(result: &Value) -> &str {
    result["label"].as_str().unwrap_or_default()
}

fn score(result: &Value) -> String {
    result["score"].as_f64().map(|score| format!("{score:.4}")).unwrap_or_default()
}
