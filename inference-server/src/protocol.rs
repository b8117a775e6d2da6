//! The protocols that texts may come by.

/// How a prediction was asked for.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Protocol {
    /// Version 1's own routes.
    Native,
    /// The Open Inference Protocol over REST.
    Oip,
    /// The Open Inference Protocol over gRPC.
    Grpc,
    /// `KServe`'s version 1.
    Kserve,
    /// text-embeddings-inference and the Hub.
    Tei,
    /// vLLM's and Infinity's `/classify`.
    Vllm,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Native, Self::Oip, Self::Grpc, Self::Kserve, Self::Tei, Self::Vllm];

    /// Its name in settings and series.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Oip => "oip",
            Self::Grpc => "grpc",
            Self::Kserve => "kserve",
            Self::Tei => "tei",
            Self::Vllm => "vllm",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
    }
}

/// Those that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols([bool; Protocol::ALL.len()]);

impl Protocols {
    /// A comma-separated list of names, at least one.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        let mut served = Self([false; Protocol::ALL.len()]);
        for name in list.split(',') {
            served.0[Protocol::parse(name.trim())? as usize] = true;
        }
        Some(served)
    }

    /// Whether a protocol is served.
    #[must_use]
    pub fn has(self, protocol: Protocol) -> bool {
        self.0[protocol as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_what_is_served() {
        let served = Protocols::parse("native, GRPC").unwrap();
        let found: Vec<_> = Protocol::ALL.into_iter().filter(|protocol| served.has(*protocol)).collect();
        assert_eq!(found, [Protocol::Native, Protocol::Grpc]);
        for list in ["", "native,", "soap"] {
            assert_eq!(Protocols::parse(list), None, "{list}");
        }
    }
}
