//! `explain`.

use serde_json::{Value, json};

use super::{KeyFlags, Target};
use crate::{
    cluster::Cluster,
    error::Error,
    output::{self, BAD, Format, GOOD, JsonFormat, Table},
};

/// Signs that a share of 1 has.
const WIDTH: f64 = 20.0;

/// Asks a service how much each word of a text speaks for its label
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Name of the service
    name: String,
    /// The text
    text: String,
    /// Form of the result: the server's own answer
    #[arg(short, long, value_enum)]
    output: Option<JsonFormat>,
    #[command(flatten)]
    key: KeyFlags,
}

/// Runs the command.
pub async fn run(command: Explain, cluster: &Cluster) -> Result<(), Error> {
    let Explain { name, text, output, key } = command;
    let target = Target::new(cluster, &name, &key).await?;
    match target.post("/explain", &json!({"text": text})).await {
        Err(refusal) => Err(target.explained(refusal).await),
        Ok(answer) => output::write(&match output {
            Some(JsonFormat::Json) => output::serialized(Format::Json, &answer.body)?,
            None => shown(&answer.body),
        }),
    }
}

/// The words of the text in order, with a bar each.
pub(super) fn shown(body: &Value) -> String {
    let confidence = body["confidence"].as_f64().unwrap_or_default();
    let mut text = format!("{} {confidence:.4}\n\n", body["prediction"].as_str().unwrap_or_default());
    let mut table = Table::new(["WORD", "SHARE", "FOR THE LABEL"]);
    for token in body["token_attributions"].as_array().into_iter().flatten() {
        let share = token["attribution"].as_f64().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen")]
        let signs = (share.abs() * WIDTH).round().min(WIDTH) as usize;
        table.row();
        table.add(token["token"].as_str().unwrap_or_default());
        table.add(format!("{share:+.4}"));
        let (sign, style) = if share < 0.0 { ("-", BAD) } else { ("+", GOOD) };
        // An empty cell would be a dash, which speaks against the label here.
        table.add_styled(if signs == 0 { "·".to_owned() } else { sign.repeat(signs) }, style);
    }
    text.push_str(&table.render(""));
    if body["text_truncated"] == true {
        text.push_str("\nThe text is longer than the model reads at once: this is of its start.\n");
    }
    text
}
