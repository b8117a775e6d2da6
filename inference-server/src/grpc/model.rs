//! What there is to say of the model: its inputs and outputs, its settings in Triton's words, and its state.

use std::path::Path;

use super::{
    error::CallError,
    outputs::data_type,
    proto::{
        DataType, ModelConfig, ModelInput, ModelInstanceGroup, ModelMetadataResponse, ModelOutput,
        RepositoryIndexResponse, model_instance_group::Kind, model_metadata_response::TensorMetadata,
        repository_index_response::ModelIndex,
    },
};
use crate::{
    http::App,
    open_inference::{Output, PLATFORM, TEXT, VERSION},
    predict::{PredictError, ServedModel},
};

/// Stands for any number of texts.
const ANY: i64 = -1;

/// Refuses a name or a version that isn't the model's.
pub(super) fn known(app: &App, name: &str, version: &str) -> Result<(), CallError> {
    if name != app.config.model.name {
        return Err(CallError::UnknownModel(name.to_owned()));
    }
    if !matches!(version, "" | VERSION) {
        return Err(CallError::UnknownVersion(version.to_owned()));
    }
    Ok(())
}

pub(super) fn metadata(model: &ServedModel) -> ModelMetadataResponse {
    let tensor = |name: &str, datatype: &str, shape| TensorMetadata {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape,
    };
    ModelMetadataResponse {
        name: model.name.to_string(),
        versions: vec![VERSION.to_owned()],
        platform: PLATFORM.to_owned(),
        inputs: vec![tensor(TEXT, "BYTES", vec![ANY])],
        outputs: Output::ALL.map(|output| tensor(output.name(), output.datatype(), shape(output, model))).into(),
    }
}

fn shape(output: Output, model: &ServedModel) -> Vec<i64> {
    let columns = output.columns(&model.head).map(|columns| i64::try_from(columns).unwrap_or(i64::MAX));
    [ANY].into_iter().chain(columns).collect()
}

pub(super) fn config(model: &ServedModel) -> ModelConfig {
    ModelConfig {
        name: model.name.to_string(),
        platform: PLATFORM.to_owned(),
        max_batch_size: 0,
        input: vec![ModelInput { name: TEXT.to_owned(), data_type: DataType::TypeString.into(), dims: vec![ANY] }],
        output: Output::ALL
            .map(|output| ModelOutput {
                name: output.name().to_owned(),
                data_type: data_type(output).into(),
                dims: shape(output, model),
            })
            .into(),
        instance_group: vec![ModelInstanceGroup {
            name: model.name.to_string(),
            count: i32::try_from(model.threads).unwrap_or(i32::MAX),
            kind: Kind::Cpu.into(),
        }],
        // Its name only: where it is concerns those who run the service.
        default_model_filename: model
            .file
            .file_name()
            .map(|name| Path::new(name).display().to_string())
            .unwrap_or_default(),
        backend: "onnxruntime".to_owned(),
    }
}

/// The models, or only those that are ready.
pub(super) fn index(app: &App, only_ready: bool) -> RepositoryIndexResponse {
    let is_ready = app.is_ready();
    let (state, reason) = match (app.predictor.served(), app.is_draining()) {
        (Some(_), false) => ("READY", String::new()),
        (_, true) => ("UNAVAILABLE", PredictError::Stopping.to_string()),
        (None, false) => ("UNAVAILABLE", PredictError::NotReady.to_string()),
    };
    let model = ModelIndex {
        name: app.config.model.name.clone(),
        version: VERSION.to_owned(),
        state: state.to_owned(),
        reason,
    };
    RepositoryIndexResponse { models: (is_ready || !only_ready).then_some(model).into_iter().collect() }
}
