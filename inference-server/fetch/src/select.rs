//! Which of a source's files a server needs.

use std::{collections::BTreeSet, str::FromStr};

use crate::{error::FetchError, names::FileName};

/// The server's own order; any other `*.onnx` comes after these.
const SERVED: [&str; 4] = ["model.quantized.onnx", "model_quantized.onnx", "model_optimized.onnx", "model.onnx"];

/// Words that exporters put into names of files and folders, by what they say of the numbers inside.
const INT8: [&str; 7] = ["int8", "uint8", "quantized", "qint8", "quint8", "quant", "q8"];
const FP16: [&str; 5] = ["fp16", "float16", "f16", "half", "o4"];
const FOUR_BITS: [&str; 5] = ["q4", "q4f16", "int4", "uint4", "bnb4"];

/// Words for processors that a quantized file was made for, and the architecture that they belong to.
const PROCESSORS: [(&str, &str); 5] =
    [("avx2", "x86_64"), ("avx512", "x86_64"), ("avx512_vnni", "x86_64"), ("vnni", "x86_64"), ("arm64", "aarch64")];

/// What numbers an ONNX file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// 8-bit integers.
    Int8,
    /// 4-bit numbers of any kind.
    FourBits,
}

impl Precision {
    /// Judges by a file's name and those of its folders.
    #[must_use]
    pub fn of(name: &FileName) -> Self {
        let lower = name.as_str().to_ascii_lowercase();
        let words: BTreeSet<&str> = lower.split(['/', '.', '_', '-']).collect();
        let has = |known: &[&str]| known.iter().any(|word| words.contains(word));
        if has(&FOUR_BITS) {
            Self::FourBits
        } else if has(&INT8) {
            Self::Int8
        } else if has(&FP16) {
            Self::Fp16
        } else {
            Self::Fp32
        }
    }
}

/// Which ONNX file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Any of this precision.
    Precision(Precision),
    /// The one of this name, path, or ending of its name.
    Named(String),
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "fp32" => Self::Precision(Precision::Fp32),
            "fp16" => Self::Precision(Precision::Fp16),
            "int8" => Self::Precision(Precision::Int8),
            "" => return Err("a variant is a file's name or path, or one of fp32, fp16 and int8".to_owned()),
            name => Self::Named(name.trim_start_matches("./").to_owned()),
        })
    }
}

impl Variant {
    fn as_str(&self) -> &str {
        match self {
            Self::Precision(Precision::Fp32) => "fp32",
            Self::Precision(Precision::Fp16) => "fp16",
            Self::Precision(Precision::Int8) => "int8",
            Self::Precision(Precision::FourBits) => "q4",
            Self::Named(name) => name,
        }
    }

    fn takes(&self, name: &FileName) -> bool {
        match self {
            Self::Precision(precision) => Precision::of(name) == *precision,
            Self::Named(asked) => {
                let stem = name.last().strip_suffix(".onnx").unwrap_or(name.last());
                let ends = stem.strip_suffix(asked.as_str()).is_some_and(|start| start.ends_with(['_', '.', '-']));
                name.as_str() == asked || name.last() == asked || stem == asked || ends
            }
        }
    }
}

/// A file and what it is called in the model's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// At the source.
    pub from: FileName,
    /// In the directory.
    pub to: FileName,
}

/// What is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The ONNX file.
    pub model: Chosen,
    /// Everything else, as far as names tell it.
    pub others: Vec<Chosen>,
    /// Every ONNX file that there is.
    pub candidates: Vec<FileName>,
}

impl Selection {
    /// Whether the server finds the ONNX file where it is.
    #[must_use]
    pub fn stays(&self) -> bool {
        self.model.from == self.model.to
    }

    /// What a file that the graph names, and that is beside it, is called.
    #[must_use]
    pub fn beside_model(&self, location: &str) -> Option<Chosen> {
        Some(Chosen { from: self.model.from.beside(location)?, to: self.model.to.beside(location)? })
    }
}

/// Chooses among names. `what` is the source as the sentence names it.
pub fn select(names: &[FileName], variant: Option<&Variant>, what: &str) -> Result<Selection, FetchError> {
    let visible: Vec<&FileName> = names.iter().filter(|name| !name.is_hidden()).collect();
    let mut candidates: Vec<&FileName> = visible.iter().copied().filter(|name| is_onnx(name)).collect();
    candidates.sort();
    if candidates.is_empty() {
        return Err(FetchError::NoOnnx(what.to_owned()));
    }
    let there: Vec<FileName> = candidates.iter().copied().cloned().collect();
    if let Some(variant) = variant {
        candidates.retain(|name| variant.takes(name));
    }
    let model = candidates.into_iter().min_by_key(|name| rank(name, variant));
    let Some(model) = model else {
        let variant = variant.map_or("", Variant::as_str).to_owned();
        let there = there.iter().map(ToString::to_string).collect();
        return Err(FetchError::NoSuchVariant { what: what.to_owned(), variant, there });
    };

    let root = root(&visible, model);
    let to = model.within(root).filter(|name| matches!(name.folder(), "" | "onnx"));
    let to = to.unwrap_or_else(|| last(model));
    let model = Chosen { from: model.clone(), to };
    let mut others = Vec::new();
    for name in visible {
        let below = name.within(root).filter(|name| name.folder().is_empty());
        if let Some(to) = below.filter(is_config) {
            others.push(Chosen { from: name.clone(), to });
        } else if name.folder() == model.from.folder() && goes_with(name.last(), model.from.last()) {
            let Some(to) = model.to.beside(name.last()) else { continue };
            others.push(Chosen { from: name.clone(), to });
        }
    }
    Ok(Selection { model, others, candidates: there })
}

/// Whether a name is that of an ONNX file.
#[must_use]
pub fn is_onnx(name: &FileName) -> bool {
    // As the server has it, which takes no other writing.
    matches!(name.as_str().rsplit_once('.'), Some((_, "onnx")))
}

/// Whether a file of this name belongs to an ONNX file: its weights, or its graph for batches without padding.
fn goes_with(name: &str, model: &str) -> bool {
    let stem = model.strip_suffix(".onnx").unwrap_or(model);
    match name.strip_prefix(model) {
        Some(rest) => rest.starts_with("_data") || rest == ".data" || rest.starts_with(".varlen"),
        None => name.strip_prefix(stem).is_some_and(|rest| matches!(rest, ".data" | "_data" | ".bin" | ".weights")),
    }
}

/// Whether a name at the top is that of a file that tells about a model or its tokenizer.
fn is_config(name: &FileName) -> bool {
    name.as_str().rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "json" | "txt" | "model"))
}

/// The folder that holds `config.json`: the top, else the ONNX file's own or one above it.
fn root<'a>(names: &[&FileName], model: &'a FileName) -> &'a str {
    let has_config = |folder: &str| {
        let config = if folder.is_empty() { "config.json".to_owned() } else { format!("{folder}/config.json") };
        names.iter().any(|name| name.as_str() == config)
    };
    if has_config("") {
        return "";
    }
    let mut folder = model.folder();
    while !folder.is_empty() {
        if has_config(folder) {
            return folder;
        }
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
    }
    ""
}

fn last(name: &FileName) -> FileName {
    name.within(name.folder()).unwrap_or_else(|| name.clone())
}

/// The best is the least.
fn rank<'a>(name: &'a FileName, variant: Option<&Variant>) -> (usize, usize, usize, &'a FileName) {
    let place = match name.folder() {
        "" => 0,
        "onnx" => 1,
        _ => 2,
    };
    let served = SERVED.iter().position(|served| *served == name.last()).unwrap_or(SERVED.len());
    match variant {
        None => (place, served, 0, name),
        Some(Variant::Named(asked)) => (usize::from(name.as_str() != asked), place, served, name),
        Some(Variant::Precision(_)) => (foreign(name), place, served, name),
    }
}

/// Whether a file was made for another processor: 0 for none or this one, 1 for another.
fn foreign(name: &FileName) -> usize {
    let lower = name.last().to_ascii_lowercase();
    let mut of = PROCESSORS.iter().filter(|(word, _)| lower.contains(word)).peekable();
    let fits = of.peek().is_none() || of.any(|(_, architecture)| *architecture == std::env::consts::ARCH);
    usize::from(!fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<FileName> {
        names.iter().map(|name| FileName::parse(name.as_bytes()).unwrap()).collect()
    }

    fn model(of: &[&str], variant: &str) -> String {
        let variant = (!variant.is_empty()).then(|| variant.parse().unwrap());
        select(&names(of), variant.as_ref(), "it").map_or_else(|e| e.to_string(), |s| s.model.from.to_string())
    }

    fn all(of: &[&str], variant: &str) -> Vec<String> {
        let variant = (!variant.is_empty()).then(|| variant.parse().unwrap());
        let selection = select(&names(of), variant.as_ref(), "it").unwrap();
        let mut all: Vec<_> =
            selection.others.iter().chain([&selection.model]).map(|c| format!("{} {}", c.from, c.to)).collect();
        all.sort();
        all
    }

    /// As transformers.js and Optimum write them.
    const HUB: [&str; 10] = [
        "config.json",
        "onnx/model.onnx",
        "onnx/model_bnb4.onnx",
        "onnx/model_fp16.onnx",
        "onnx/model_int8.onnx",
        "onnx/model_q4.onnx",
        "onnx/model_q4f16.onnx",
        "onnx/model_quantized.onnx",
        "onnx/model_uint8.onnx",
        "tokenizer.json",
    ];

    #[test]
    fn variants_by_precision_and_name() {
        assert_eq!(model(&HUB, ""), "onnx/model_quantized.onnx");
        assert_eq!(model(&HUB, "fp32"), "onnx/model.onnx");
        assert_eq!(model(&HUB, "fp16"), "onnx/model_fp16.onnx");
        assert_eq!(model(&HUB, "int8"), "onnx/model_quantized.onnx");
        assert_eq!(model(&HUB, "model_int8.onnx"), "onnx/model_int8.onnx");
        assert_eq!(model(&HUB, "onnx/model_int8.onnx"), "onnx/model_int8.onnx");
        assert_eq!(model(&HUB, "./onnx/model_int8.onnx"), "onnx/model_int8.onnx");
        assert_eq!(model(&HUB, "q4"), "onnx/model_q4.onnx");
        assert_eq!(model(&HUB, "uint8"), "onnx/model_uint8.onnx");
        assert!(model(&HUB, "q2").starts_with("it has no ONNX file for the variant q2; there is onnx/model.onnx, "));
    }

    #[test]
    fn the_servers_order_without_a_variant() {
        assert_eq!(model(&["b.onnx", "a.onnx"], ""), "a.onnx");
        assert_eq!(model(&["b.onnx", "onnx/model.onnx"], ""), "b.onnx");
        assert_eq!(model(&["model.onnx", "model.quantized.onnx"], ""), "model.quantized.onnx");
        assert_eq!(model(&["deep/er/model.onnx"], ""), "deep/er/model.onnx");
    }

    #[test]
    fn the_processors_own_file_comes_first() {
        let both = ["onnx/model_qint8_arm64.onnx", "onnx/model_qint8_avx512.onnx", "onnx/model_quint8_avx2.onnx"];
        let expected = if std::env::consts::ARCH == "aarch64" { both[0] } else { both[1] };
        assert_eq!(model(&both, "int8"), expected);
    }

    #[test]
    fn only_what_a_server_needs() {
        let of = [
            ".gitattributes",
            "README.md",
            "config.json",
            "model.safetensors",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/model.onnx_data_1",
            "onnx/model.onnx.varlen",
            "onnx/model_fp16.onnx",
            "onnx/model_fp16.onnx_data",
            "onnx/config.json",
            "openvino/config.json",
            "pytorch_model.bin",
            "spiece.model",
            "vocab.txt",
        ];
        let expected = [
            "config.json config.json",
            "onnx/model.onnx onnx/model.onnx",
            "onnx/model.onnx.varlen onnx/model.onnx.varlen",
            "onnx/model.onnx_data onnx/model.onnx_data",
            "onnx/model.onnx_data_1 onnx/model.onnx_data_1",
            "spiece.model spiece.model",
            "vocab.txt vocab.txt",
        ];
        assert_eq!(all(&of, "fp32"), expected);
    }

    #[test]
    fn a_model_in_a_deeper_folder_is_put_where_the_server_looks() {
        let deep = ["config.json", "onnx/int8/model.onnx", "onnx/int8/model.onnx.data", "tokenizer.json"];
        let expected = [
            "config.json config.json",
            "onnx/int8/model.onnx model.onnx",
            "onnx/int8/model.onnx.data model.onnx.data",
            "tokenizer.json tokenizer.json",
        ];
        assert_eq!(all(&deep, "int8"), expected);
        let own = ["README.md", "v2/config.json", "v2/onnx/model.onnx", "v2/tokenizer.json"];
        let expected =
            ["v2/config.json config.json", "v2/onnx/model.onnx onnx/model.onnx", "v2/tokenizer.json tokenizer.json"];
        assert_eq!(all(&own, ""), expected);
    }

    #[test]
    fn no_onnx_file_says_how_to_make_one() {
        let told = model(&["config.json", "model.safetensors", ".cache/model.onnx"], "");
        assert!(told.contains("optimum-cli export onnx"), "{told}");
    }
}
