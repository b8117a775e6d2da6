//! What an ONNX file says of itself: where its weights are that aren't in it, and what its outputs come from.
//!
//! An ONNX file is a message of Protocol Buffers (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>). A tensor of it
//! may name a file beside it that holds its numbers. Tensors are in graphs, in the attributes of nodes, and in functions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read, Seek},
};

use crate::wire::{Field, Value, Wire, broken};

/// Graphs within graphs.
const DEEPEST: usize = 64;

/// Longest path or name in bytes.
const LONGEST_NAME: u64 = 4096;

/// Nodes between an output and the activation behind it, which only pass numbers on.
const MOST_PASSED: usize = 16;

/// The key under which a graph for batches without padding has the SHA-256 of the model that it was made of.
const MADE_OF: &str = "made_of_sha256";

/// Operators that pass on the numbers of their first input as they are.
const PASSING: [&str; 7] = ["Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// A message, as far as tensors may be in it.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
    /// A key and its value.
    Entry,
}

impl Message {
    /// The message in a field of this number; `None` for one that holds no tensor.
    fn within(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Model, 14) | (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

/// What an ONNX file says of itself.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The files that its tensors name, as they are written: relative to its folder.
    pub(super) locations: BTreeSet<String>,
    /// SHA-256 in hexadecimal of the model that it was made of, where it says so.
    pub(super) made_of: Option<String>,
    /// Numbers in tensors by the number of their type.
    numbers: BTreeMap<u64, u64>,
    /// By the tensors that the main graph's nodes make.
    nodes: HashMap<String, Node>,
}

/// A node, as far as it is known what it passes on.
#[derive(Clone, Debug, Default)]
struct Node {
    operator: String,
    input: Option<String>,
}

impl Contents {
    /// Reads a file. Weights in it are passed over unread.
    pub(super) fn read(file: impl Read + Seek) -> io::Result<Self> {
        let (input, end) = Wire::open(file)?;
        let mut walk = Walk { input, found: Self::default() };
        walk.read(Message::Model, end, 0)?;
        Ok(walk.found)
    }

    /// The type of most of its weights, as the files of exporters are called; none where it has no weights to speak of.
    pub(super) fn precision(&self) -> Option<&'static str> {
        let (kind, _) = self.numbers.iter().max_by_key(|(_, numbers)| **numbers)?;
        // As TensorProto.DataType counts them.
        Some(match kind {
            1 => "fp32",
            2 => "uint8",
            3 => "int8",
            10 => "fp16",
            11 => "fp64",
            16 => "bf16",
            21 | 22 => "int4",
            _ => return None,
        })
    }

    /// Whether an output's numbers come out of a softmax or a sigmoid.
    pub(super) fn is_activated(&self, output: &str) -> bool {
        let mut name = output;
        for _ in 0..MOST_PASSED {
            let Some(Node { operator, input }) = self.nodes.get(name) else { return false };
            match (operator.as_str(), input) {
                ("Softmax" | "Sigmoid", _) => return true,
                (passing, Some(input)) if PASSING.contains(&passing) => name = input,
                _ => return false,
            }
        }
        false
    }
}

struct Walk<R> {
    input: Wire<R>,
    found: Contents,
}

impl<R: Read + Seek> Walk<R> {
    /// Reads a message that ends at a position.
    fn read(&mut self, message: Message, end: u64, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(broken("its graphs are too deep"));
        }
        let (mut key, mut value) = (None, None);
        let (mut node, mut outputs) = (Node::default(), Vec::new());
        let (mut sides, mut kind) = (Vec::new(), None);
        // Nodes of inner graphs may have the names of others.
        let is_main = depth == 2;
        while self.input.position < end {
            let Field { number: field, value: content, .. } = self.input.field(end)?;
            let until = match content {
                Value::Number(number) => {
                    match (message, field) {
                        (Message::Tensor, 1) => sides.push(number),
                        (Message::Tensor, 2) => kind = Some(number),
                        _ => {}
                    }
                    continue;
                }
                Value::Fixed(until) | Value::Bytes(until) => until,
            };
            let is_bytes = matches!(content, Value::Bytes(_));
            match (message, field) {
                (Message::Entry, 1) => key = Some(self.text(until)?),
                (Message::Entry, 2) => value = Some(self.text(until)?),
                (Message::Node, 1) if is_main && node.input.is_none() => node.input = Some(self.text(until)?),
                (Message::Node, 2) if is_main => outputs.push(self.text(until)?),
                (Message::Node, 4) if is_main => node.operator = self.text(until)?,
                // Sides may also be packed into one field.
                (Message::Tensor, 1) => {
                    while self.input.position < until {
                        sides.push(self.input.number()?);
                    }
                }
                (_, field) if is_bytes => match message.within(field) {
                    Some(inner) => self.read(inner, until, depth + 1)?,
                    None => self.input.go_to(until)?,
                },
                _ => self.input.go_to(until)?,
            }
        }
        if self.input.position != end {
            return Err(broken("it is cut short, or no ONNX file"));
        }
        match key.as_deref() {
            // Of a tensor, which is never that near the file's start.
            Some("location") if depth > 1 => self.found.locations.extend(value),
            Some(MADE_OF) if depth == 1 => self.found.made_of = value,
            _ => {}
        }
        if let Some(kind) = kind {
            let numbers = sides.into_iter().fold(1, u64::saturating_mul);
            let sum = self.found.numbers.entry(kind).or_default();
            *sum = sum.saturating_add(numbers);
        }
        self.found.nodes.extend(outputs.into_iter().map(|output| (output, node.clone())));
        Ok(())
    }

    fn text(&mut self, until: u64) -> io::Result<String> {
        if until - self.input.position > LONGEST_NAME {
            return Err(broken("it has a name or a path of more than 4096 bytes"));
        }
        let bytes = self.input.read_to(until)?;
        String::from_utf8(bytes).map_err(|_| broken("it has a name or a path that isn't UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Cursor, path::Path};

    use super::*;

    fn field(number: u64, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for mut number in [number << 3 | 2, content.len() as u64] {
            while number > 0x7f {
                bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
                number >>= 7;
            }
            bytes.push(u8::try_from(number).unwrap());
        }
        bytes.extend(content);
        bytes
    }

    fn inside(path: &[u64], content: &[u8]) -> Vec<u8> {
        path.iter().rev().fold(content.to_vec(), |content, number| field(*number, &content))
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    }

    fn found(bytes: &[u8]) -> Result<Vec<String>, String> {
        Contents::read(Cursor::new(bytes))
            .map(|found| found.locations.into_iter().collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn wherever_a_tensor_may_be_its_file_is_found() {
        let tensor =
            [field(9, &vec![0xff; 20_000]), vec![2 << 3, 1], entry("offset", "4096"), entry("location", "w.bin")];
        let tensor = tensor.concat();
        for path in [
            &[7, 5][..],
            &[7, 15, 1],
            &[7, 15, 2],
            &[7, 1, 5, 5],
            &[7, 1, 5, 10],
            &[7, 1, 5, 22, 1],
            &[7, 1, 5, 23, 2],
            &[7, 1, 5, 6, 5],
            &[7, 1, 5, 11, 1, 5, 6, 5],
            &[25, 7, 5, 5],
            &[25, 11, 5],
        ] {
            assert_eq!(found(&inside(path, &tensor)).unwrap(), ["w.bin"], "{path:?}");
        }
        let two = [inside(&[7, 5], &entry("location", "b/c")), inside(&[7, 5], &entry("location", "a"))].concat();
        assert_eq!(found(&two).unwrap(), ["a", "b/c"]);
        // An entry of something else, and a name that is no tensor's.
        assert_eq!(found(&inside(&[7, 5], &entry("checksum", "a"))).unwrap(), [""; 0]);
        assert_eq!(found(&inside(&[7, 2], &entry("location", "a"))).unwrap(), [""; 0]);
        assert_eq!(found(b"").unwrap(), [""; 0]);
    }

    /// A node of the main graph.
    fn node(operator: &str, input: &str, output: &str) -> Vec<u8> {
        let fields = [field(1, input.as_bytes()), field(1, b"axes"), field(2, output.as_bytes())];
        inside(&[7, 1], &[fields.concat(), field(4, operator.as_bytes())].concat())
    }

    #[test]
    fn an_output_is_activated_where_a_softmax_or_a_sigmoid_made_it() {
        let graph = [
            node("Gemm", "hidden", "a"),
            node("Softmax", "a", "b"),
            node("Cast", "b", "c"),
            node("Sigmoid", "c", "d"),
            node("LogSoftmax", "a", "e"),
            node("Add", "b", "f"),
            node("Identity", "g", "g"),
        ];
        let contents = Contents::read(Cursor::new(graph.concat())).unwrap();
        let activated = |output| contents.is_activated(output);
        assert_eq!(["b", "c", "d"].map(activated), [true; 3]);
        // The softmax of logarithms is what they are the logarithms of.
        assert_eq!(["a", "e", "f", "g", "none"].map(activated), [false; 5]);
        let inner = inside(&[7, 1, 5, 6], &node("Softmax", "a", "b")[2..]);
        assert!(!Contents::read(Cursor::new(inner)).unwrap().is_activated("b"));
    }

    #[test]
    fn the_precision_is_that_of_most_weights() {
        let tensor = |sides: &[u8], kind: u8| {
            let sides: Vec<u8> = sides.iter().flat_map(|side| [1 << 3, *side]).collect();
            inside(&[7, 5], &[sides, vec![2 << 3, kind]].concat())
        };
        let packed = inside(&[7, 5], &[field(1, &[100, 100]), vec![2 << 3, 10]].concat());
        let precision = |tensors: &[Vec<u8>]| Contents::read(Cursor::new(tensors.concat())).unwrap().precision();
        assert_eq!(precision(&[tensor(&[8, 8], 1), tensor(&[20, 20], 3)]), Some("int8"));
        assert_eq!(precision(&[tensor(&[8, 8], 1), tensor(&[2], 3)]), Some("fp32"));
        assert_eq!(precision(&[tensor(&[20, 20], 1), packed]), Some("fp16"));
        assert_eq!(precision(&[tensor(&[20], 7)]), None);
        assert_eq!(precision(&[]), None);
    }

    #[test]
    fn the_default_models_weights_are_beside_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
        for graph in ["model.onnx", "model.onnx.varlen"] {
            let file = File::open(folder.join(graph)).unwrap();
            assert_eq!(
                Contents::read(file).unwrap().locations.into_iter().collect::<Vec<_>>(),
                ["model.onnx.data"],
                "{graph}"
            );
        }
    }

    #[test]
    fn what_is_no_onnx_file_is_an_error_and_nothing_worse() {
        let whole = inside(&[7, 1, 5, 6, 5], &entry("location", "w.bin"));
        for length in 1..whole.len() {
            assert!(found(&whole[..length]).is_err(), "{length}");
        }
        let long = field(7, &[])[..1].iter().copied().chain([0xff; 9]).chain([1]).collect::<Vec<u8>>();
        let deep = inside(&[7, 1, 5].into_iter().chain([6, 1, 5].repeat(40)).collect::<Vec<u64>>(), b"");
        let endless = [0xff; 20];
        for bytes in [&b"not a graph"[..], &long, &deep, &endless, &[7 << 3 | 3], &field(7, &[0])] {
            assert!(found(bytes).is_err(), "{bytes:?}");
        }
        let longest = inside(&[7, 5], &entry("location", &"a".repeat(5000)));
        assert!(found(&longest).is_err());
    }
}
