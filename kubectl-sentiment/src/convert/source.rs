//! Where a model comes from: URIs as KServe and Seldon write them.

use serde_json::json;

use super::Draft;

/// Sets `model.source` by a URI, whose field is named where it can't be.
pub fn by_uri(draft: &mut Draft, path: &str, uri: &str) {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let (first, below) = rest.split_once('/').unwrap_or((rest, ""));
    let below = below.trim_matches('/');
    let kind = match scheme {
        "hf" => {
            let (repository, revision) = rest.split_once(':').unwrap_or((rest, ""));
            draft.set("model.source.huggingFace.repository", repository);
            if !revision.is_empty() {
                draft.set("model.source.huggingFace.revision", revision);
            }
            return;
        }
        "s3" => {
            draft.set("model.source.s3.bucket", first);
            draft.by_hand("set model.source.s3.region if it isn't us-east-1, and endpoint if it isn't Amazon's");
            "s3"
        }
        "gs" => {
            draft.set("model.source.gcs.bucket", first);
            "gcs"
        }
        "http" | "https" => {
            if let Some(account) = first.strip_suffix(".blob.core.windows.net") {
                let (container, folder) = below.split_once('/').unwrap_or((below, ""));
                draft.set("model.source.azureBlob", json!({"account": account, "container": container}));
                folder_of(draft, "azureBlob", folder);
            } else {
                draft.set("model.source.http.url", uri);
                draft.by_hand("set model.source.http.sha256 to the SHA-256 of what the URL answers with");
            }
            return;
        }
        "pvc" => {
            draft.set("model.source.persistentVolumeClaim.claimName", first);
            "persistentVolumeClaim"
        }
        "oci" => {
            draft.set("model.source.image.reference", rest);
            // Where KServe's modelcars have it.
            draft.set("model.source.image.path", "models");
            return;
        }
        _ => {
            draft.left_out(path, "no source can read this: copy the model to one that docs/models.md lists");
            return;
        }
    };
    folder_of(draft, kind, below);
}

fn folder_of(draft: &mut Draft, kind: &str, path: &str) {
    if !path.is_empty() {
        draft.set(&format!("model.source.{kind}.path"), path);
    }
}

/// Which kind of source is set.
pub fn kind(draft: &Draft) -> Option<String> {
    draft.get("model.source").as_object()?.keys().next().cloned()
}

/// Names a Secret of the former server's, whose keys are others, in the field that this source has for it.
pub fn secret(draft: &mut Draft, path: &str, name: &str) {
    let (field, keys) = match kind(draft).as_deref() {
        Some("s3") => ("s3.credentialsSecretRef", "accessKeyId and secretAccessKey"),
        Some("gcs") => ("gcs.credentialsSecretRef", "key.json"),
        Some("azureBlob") => ("azureBlob.credentialsSecretRef", "accountKey or sasToken"),
        Some("huggingFace") => ("huggingFace.tokenSecretRef", "token"),
        Some("http") => ("http.headersSecretRef", "each header"),
        _ => return draft.left_out(path, "the source takes no Secret"),
    };
    draft.set(&format!("model.source.{field}.name"), name);
    draft.by_hand(format!("make the Secret {name} anew, with our keys: {keys}"));
}

/// That the model itself has to be of another form.
pub fn onnx(draft: &mut Draft) {
    draft.by_hand(
        "the model has to be an ONNX file with its tokenizer beside it: docs/models.md says how to export one",
    );
}

/// The name of an ONNX file by the number type that a model was loaded in.
pub fn variant(draft: &mut Draft, path: &str, dtype: &str) {
    let variant = match dtype {
        "float16" | "half" => "fp16",
        "float32" | "float" => "fp32",
        _ => return draft.left_out(path, "there is no such variant: fp32, fp16 or int8"),
    };
    match kind(draft).as_deref() {
        Some(kind @ ("huggingFace" | "s3" | "gcs" | "azureBlob")) => {
            draft.set(&format!("model.source.{kind}.variant"), variant);
        }
        _ => draft.left_out(path, "the source has one file"),
    }
}
