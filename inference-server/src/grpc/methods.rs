//! The methods that are served.

use super::arriving::Kind;

/// A method of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// As clients call it.
    pub(super) path: &'static str,
    /// Whether it takes an API key, where there are any.
    pub(super) is_guarded: bool,
    /// Whether it answers as often as it likes, for as long as it likes.
    pub(super) is_stream: bool,
}

impl Method {
    /// What becomes of its messages.
    pub(super) fn kind(&self) -> Kind {
        match (self.is_stream, self.path) {
            (false, _) => Kind::One,
            (true, STREAM) => Kind::Many,
            (true, _) => Kind::Passing,
        }
    }
}

/// Name of the service of inferences.
pub(super) const SERVICE: &str = "inference.GRPCInferenceService";

pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
pub(super) const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

const fn open(path: &'static str) -> Method {
    Method { path, is_guarded: false, is_stream: false }
}

const fn guarded(path: &'static str) -> Method {
    Method { is_guarded: true, ..open(path) }
}

const fn stream(method: Method) -> Method {
    Method { is_stream: true, ..method }
}

/// What isn't served. It tells nobody anything, so it takes no key.
static UNMATCHED: Method = open("unmatched");

/// As over REST, callers need the key for what concerns the model.
static METHODS: [Method; 14] = [
    guarded(INFER),
    stream(guarded(STREAM)),
    open("/inference.GRPCInferenceService/ServerLive"),
    open("/inference.GRPCInferenceService/ServerReady"),
    open("/inference.GRPCInferenceService/ModelReady"),
    open("/inference.GRPCInferenceService/ServerMetadata"),
    guarded("/inference.GRPCInferenceService/ModelMetadata"),
    guarded("/inference.GRPCInferenceService/ModelConfig"),
    guarded("/inference.GRPCInferenceService/ModelStatistics"),
    guarded("/inference.GRPCInferenceService/RepositoryIndex"),
    open("/grpc.health.v1.Health/Check"),
    stream(open("/grpc.health.v1.Health/Watch")),
    stream(open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")),
    stream(open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")),
];

/// The method at a path. All that aren't served are one, so that no path adds a series.
pub(super) fn at(path: &str) -> &'static Method {
    METHODS.iter().find(|method| method.path == path).unwrap_or(&UNMATCHED)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::grpc::proto::DESCRIPTOR;

    #[test]
    fn every_method_of_the_protocol_is_there() {
        let described = FileDescriptorSet::decode(DESCRIPTOR).unwrap();
        let service = &described.file[0].service[0];
        assert_eq!(service.method.len(), 10);
        for method in &service.method {
            let path = format!("/{SERVICE}/{}", method.name());
            assert_eq!(at(&path).path, path);
            assert_eq!(at(&path).is_stream, method.server_streaming(), "{path}");
        }
        assert_eq!(at("/inference.GRPCInferenceService/RepositoryModelLoad"), &UNMATCHED);
    }
}
