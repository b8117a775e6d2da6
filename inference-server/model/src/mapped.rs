//! A graph whose weights are in its own ONNX file, told as one whose weights are in a file beside it.
//!
//! ONNX Runtime reads an ONNX file whole and copies each weight out of it, so that for a while it holds a model twice, and maps
//! weights of other files. Nothing says that such a file isn't the ONNX file itself: the graph is handed over without its
//! large weights, and with the places where they are.

use std::{fs::File, io};

use crate::wire::{Field, Value, Wire, broken};

/// Weights of fewer bytes stay in the graph: shapes and scales, which ONNX Runtime reads while it loads.
const AT_LEAST: u64 = 64 * 1024;

/// What is left of a graph without its weights, at most.
const MOST_REST: u64 = 64 << 20;

// Numbers of fields, of onnx.proto.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;
const EXTERNAL: u64 = 1;

/// The graph of an ONNX file of this name without its large weights, and with where in that file they are. `None` where it has
/// none, or isn't understood: ONNX Runtime then reads the file as it is.
pub(super) fn without_weights(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let (mut input, end) = Wire::open(file)?;
    let mut found = false;
    let model = rewritten(&mut input, end, &mut |input, field, until| {
        if field != GRAPH {
            return Ok(Written::AsItIs);
        }
        let graph = rewritten(input, until, &mut |input, field, until| {
            if field != INITIALIZER {
                return Ok(Written::AsItIs);
            }
            let tensor = tensor(input, until, name)?;
            found |= tensor.is_some();
            Ok(tensor.map_or(Written::AsItIs, Written::Replaced))
        })?;
        Ok(Written::Replaced(graph))
    })?;
    Ok(found.then_some(model))
}

/// What is written of a field.
enum Written {
    /// What it holds.
    AsItIs,
    /// Something else in its place.
    Replaced(Vec<u8>),
    /// Nothing.
    Dropped,
}

/// Says what is written of a field of this number, which ends at a position; it may have read of it.
type Rewrite<'r> = dyn FnMut(&mut Wire<&File>, u64, u64) -> io::Result<Written> + 'r;

/// A message that ends at a position, with some of its fields rewritten.
fn rewritten(input: &mut Wire<&File>, end: u64, rewrite: &mut Rewrite<'_>) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    while input.position < end {
        let Field { number, tag, value } = input.field(end)?;
        let (until, is_bytes) = match value {
            Value::Number(number) => {
                push_number(&mut message, tag);
                push_number(&mut message, number);
                continue;
            }
            Value::Fixed(until) => (until, false),
            Value::Bytes(until) => (until, true),
        };
        let begin = input.position;
        let content = match if is_bytes { rewrite(input, number, until)? } else { Written::AsItIs } {
            Written::Replaced(content) => content,
            Written::AsItIs => {
                if until - begin > MOST_REST.saturating_sub(message.len() as u64) {
                    return Err(broken("the graph is too large beside its weights"));
                }
                input.go_to(begin)?;
                input.read_to(until)?
            }
            Written::Dropped => {
                input.go_to(until)?;
                continue;
            }
        };
        push_number(&mut message, tag);
        if is_bytes {
            push_number(&mut message, content.len() as u64);
        }
        message.extend(content);
    }
    Ok(message)
}

/// A tensor that ends at a position: of a large one the place of its bytes takes theirs, and a small one is `None`.
fn tensor(input: &mut Wire<&File>, end: u64, file: &str) -> io::Result<Option<Vec<u8>>> {
    let (begin, mut place) = (input.position, None);
    while input.position < end {
        let Field { number, value, .. } = input.field(end)?;
        let until = match value {
            Value::Number(_) => continue,
            Value::Fixed(until) | Value::Bytes(until) => until,
        };
        let length = until - input.position;
        if number == RAW_DATA && length >= AT_LEAST {
            place = Some((input.position, length));
        }
        input.go_to(until)?;
    }
    let Some((offset, length)) = place else { return Ok(None) };
    input.go_to(begin)?;
    let is_bytes = |field| if field == RAW_DATA { Written::Dropped } else { Written::AsItIs };
    let mut message = rewritten(input, end, &mut |_, field, _| Ok(is_bytes(field)))?;
    push_number(&mut message, DATA_LOCATION << 3);
    push_number(&mut message, EXTERNAL);
    for (key, value) in [("location", file), ("offset", &offset.to_string()), ("length", &length.to_string())] {
        let mut entry = Vec::new();
        push_bytes(&mut entry, 1, key.as_bytes());
        push_bytes(&mut entry, 2, value.as_bytes());
        push_bytes(&mut message, EXTERNAL_DATA, &entry);
    }
    Ok(Some(message))
}

fn push_number(to: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        to.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap_or_default());
}

fn push_bytes(to: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_number(to, field << 3 | 2);
    push_number(to, bytes.len() as u64);
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (field, content) in fields {
            push_bytes(&mut bytes, *field, content);
        }
        bytes
    }

    /// A tensor of bytes with a type and a name.
    fn tensor(name: &str, raw: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2 << 3, 2];
        bytes.extend(message(&[(8, name.as_bytes()), (RAW_DATA, raw)]));
        bytes
    }

    fn stripped(name: &str, content: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let path: PathBuf = std::env::temp_dir().join(format!("kubesentiment-mapped-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        let stripped = without_weights(&File::open(&path).unwrap(), "model.onnx");
        fs::remove_file(path).unwrap();
        stripped
    }

    #[test]
    fn large_weights_are_told_by_their_place_and_all_else_stays() {
        let weights = vec![7; usize::try_from(AT_LEAST).unwrap()];
        let graph = |first: &[u8]| {
            message(&[(1, b"a node"), (INITIALIZER, first), (INITIALIZER, &tensor("small", b"1234")), (2, b"its name")])
        };
        let model = |first: &[u8]| {
            [&[1 << 3, 8][..], &message(&[(2, b"maker"), (GRAPH, &graph(first)), (8, b"opset")])].concat()
        };
        let whole = model(&tensor("large", &weights));
        let offset = whole.windows(8).position(|window| window == [7; 8]).unwrap();

        let mut place = vec![2 << 3, 2];
        place.extend(message(&[(8, b"large")]));
        place.extend([14 << 3, 1]);
        for (key, value) in [("location", "model.onnx"), ("offset", &offset.to_string()), ("length", "65536")] {
            place.extend(message(&[(EXTERNAL_DATA, &message(&[(1, key.as_bytes()), (2, value.as_bytes())]))]));
        }
        assert_eq!(stripped("large", &whole).unwrap().unwrap(), model(&place));
        assert_eq!(stripped("small", &model(&tensor("large", &weights[1..]))).unwrap(), None, "nothing is large");
    }

    #[test]
    fn what_is_no_onnx_file_is_left_to_who_has_more_to_say_of_it() {
        let weights = vec![7; usize::try_from(AT_LEAST).unwrap()];
        let whole = message(&[(GRAPH, &message(&[(INITIALIZER, &tensor("large", &weights))]))]);
        for length in [1, 2, 5, 20, whole.len() - 1] {
            assert!(stripped("cut", &whole[..length]).ok().flatten().is_none(), "{length}");
        }
        for bytes in [&b"not a graph"[..], &[0xff; 20], &[7 << 3 | 3]] {
            assert!(stripped("broken", bytes).ok().flatten().is_none(), "{bytes:?}");
        }
        assert_eq!(stripped("empty", b"").unwrap(), None);
    }
}
