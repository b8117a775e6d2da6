//! `convert`: a `SentimentService` from the resource of another server, without a cluster. The tables in docs/from-*.md say
//! what becomes of each field; `tests` holds the converters to them.

mod draft;
mod fields;
mod kserve;
mod pods;
mod seldon;
mod source;
mod tei;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde_json::Value;

use self::{draft::Draft, fields::Fields};
use crate::{
    cli::Outcome,
    error::Error,
    input::{self, Document},
    lint::Linter,
    output::{self, Format},
    render,
    settings::Settings,
};

/// Makes a SentimentService of an InferenceService (KServe), a SeldonDeployment, a Model (Seldon Core 2), or a Deployment of
/// text-embeddings-inference
///
/// The result goes to the standard output. The standard error says of each field that has no counterpart why not, and
/// what is left to do by hand. Other kinds are passed over. Exit code 0: converted, 1: something has no counterpart or would
/// be refused, 2: couldn't.
#[derive(Debug, clap::Args)]
pub struct Convert {
    /// File with the resources; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    filename: PathBuf,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// Runs the command.
pub fn run(command: Convert) -> Result<Outcome, Error> {
    let Convert { filename, output } = command;
    let documents = input::read(&filename)?;
    let linter = Linter::new(Settings::default())?;
    let (mut services, mut outcome) = (Vec::new(), Outcome::Fine);
    for document in &documents {
        let place = document.place();
        let Some(draft) = converted(document, &documents)? else {
            output::note(&format!("{place}: passed over: {}", kind_of(document)));
            continue;
        };
        let (service, notes) = draft.finished(&linter);
        for note in notes {
            outcome = if note.is_loss() { Outcome::Found } else { outcome };
            output::note(&format!("{place}: {note}"));
        }
        services.push(service);
    }
    if services.is_empty() {
        return Err(Error::Document(format!(
            "{} holds no InferenceService, SeldonDeployment, Model, or Deployment of text-embeddings-inference",
            filename.display()
        )));
    }
    output::write(&render::text(output, &services)?)?;
    Ok(outcome)
}

/// What becomes of a document. Of some kinds the others of the file tell more, as a Service does of a Deployment.
fn converted(document: &Document, others: &[Document]) -> Result<Option<Draft>, Error> {
    let refused = |sentence: String| Error::Document(format!("{}: {sentence}", document.place()));
    let object = document.object.as_ref().map_err(|error| refused(format!("is no YAML: {error}")))?;
    let kind = object["kind"].as_str().unwrap_or_default();
    let group =
        object["apiVersion"].as_str().and_then(|version| version.rsplit_once('/')).map_or("", |(group, _)| group);
    let mut fields = Fields::new("", object.clone());
    let mut draft = Draft::of(fields.object("metadata"));
    for name in ["apiVersion", "kind", "status"] {
        fields.take(name);
    }
    match (group, kind) {
        ("serving.kserve.io", "InferenceService") => kserve::convert(&mut draft, &mut fields).map_err(refused)?,
        ("machinelearning.seldon.io", "SeldonDeployment") => {
            seldon::deployment(&mut draft, &mut fields).map_err(refused)?;
        }
        ("mlops.seldon.io", "Model") => seldon::model(&mut draft, &mut fields),
        ("apps", "Deployment") if tei::is_one(object) => tei::convert(&mut draft, &mut fields, others),
        _ => return Ok(None),
    }
    draft.rest(fields);
    Ok(Some(draft))
}

fn kind_of(document: &Document) -> String {
    let object = document.object.as_ref().unwrap_or(&Value::Null);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{} {name}", object["kind"].as_str().unwrap_or("a document without a kind"))
}
