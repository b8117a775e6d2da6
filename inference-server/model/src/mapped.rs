//! A graph whose weights are in its own ONNX file, told as one whose weights are in a file beside it.
//!
//! ONNX Runtime reads an ONNX file whole and copies each weight out of it, so that for a while it holds a model twice, and maps
//! weights of other files. Nothing says that such a file isn't the ONNX file itself: the graph is handed over without its
//! large weights, and with the places where they are.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

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
    let mut input = Input { reader: BufReader::new(file), position: 0 };
    let length = input.reader.seek(SeekFrom::End(0))?;
    input.reader.rewind()?;
    let mut found = false;
    let model = input.rewritten(length, &mut |input, field, until| {
        if field != GRAPH {
            return Ok(Field::AsItIs);
        }
        let graph = input.rewritten(until, &mut |input, field, until| {
            if field != INITIALIZER {
                return Ok(Field::AsItIs);
            }
            let tensor = input.tensor(until, name)?;
            found |= tensor.is_some();
            Ok(tensor.map_or(Field::AsItIs, Field::Replaced))
        })?;
        Ok(graph.map_or(Field::AsItIs, Field::Replaced))
    })?;
    Ok(model.filter(|_| found))
}

struct Input<'a> {
    reader: BufReader<&'a File>,
    position: u64,
}

/// What is written of a field.
enum Field {
    /// What it holds.
    AsItIs,
    /// Something else in its place.
    Replaced(Vec<u8>),
    /// Nothing.
    Dropped,
}

/// Says what is written of a field of this number, which ends at a position; it may have read of it.
type Rewrite<'r, 'a> = dyn FnMut(&mut Input<'a>, u64, u64) -> io::Result<Field> + 'r;

impl<'a> Input<'a> {
    /// A message that ends at a position, with some of its fields rewritten.
    fn rewritten(&mut self, end: u64, rewrite: &mut Rewrite<'_, 'a>) -> io::Result<Option<Vec<u8>>> {
        let mut written = Vec::new();
        while self.position < end {
            let tag = self.number()?;
            let length = match tag & 7 {
                0 => {
                    let number = self.number()?;
                    push_number(&mut written, tag);
                    push_number(&mut written, number);
                    continue;
                }
                1 => 8,
                2 => self.number()?,
                5 => 4,
                _ => return Ok(None),
            };
            let Some(until) = self.position.checked_add(length).filter(|until| *until <= end) else { return Ok(None) };
            let begin = self.position;
            let field = if tag & 7 == 2 { rewrite(self, tag >> 3, until)? } else { Field::AsItIs };
            let content = match field {
                Field::Replaced(content) => content,
                Field::AsItIs => {
                    self.go_to(begin)?;
                    self.bytes(length, MOST_REST.saturating_sub(written.len() as u64))?
                }
                Field::Dropped => {
                    self.go_to(until)?;
                    continue;
                }
            };
            push_number(&mut written, tag);
            if tag & 7 == 2 {
                push_number(&mut written, content.len() as u64);
            }
            written.extend(content);
        }
        Ok((self.position == end).then_some(written))
    }

    /// A tensor: of a large one the place of its bytes takes theirs.
    fn tensor(&mut self, end: u64, file: &str) -> io::Result<Option<Vec<u8>>> {
        let (begin, mut place) = (self.position, None);
        while self.position < end {
            let tag = self.number()?;
            let length = match tag & 7 {
                0 => {
                    self.number()?;
                    continue;
                }
                1 => 8,
                2 => self.number()?,
                5 => 4,
                _ => return Ok(None),
            };
            if tag == RAW_DATA << 3 | 2 && length >= AT_LEAST {
                place = Some((self.position, length));
            }
            self.go_to(self.position + length)?;
        }
        let Some((offset, length)) = place else { return Ok(None) };
        self.go_to(begin)?;
        let is_bytes = |field| if field == RAW_DATA { Field::Dropped } else { Field::AsItIs };
        let Some(mut written) = self.rewritten(end, &mut |_, field, _| Ok(is_bytes(field)))? else { return Ok(None) };
        push_number(&mut written, DATA_LOCATION << 3);
        push_number(&mut written, EXTERNAL);
        for (key, value) in [("location", file), ("offset", &offset.to_string()), ("length", &length.to_string())] {
            let mut entry = Vec::new();
            push_bytes(&mut entry, 1, key.as_bytes());
            push_bytes(&mut entry, 2, value.as_bytes());
            push_bytes(&mut written, EXTERNAL_DATA, &entry);
        }
        Ok(Some(written))
    }

    fn go_to(&mut self, position: u64) -> io::Result<()> {
        let by = i64::try_from(position).map_err(io::Error::other)?
            - i64::try_from(self.position).map_err(io::Error::other)?;
        self.reader.seek_relative(by)?;
        self.position = position;
        Ok(())
    }

    fn bytes(&mut self, length: u64, most: u64) -> io::Result<Vec<u8>> {
        if length > most {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the graph is too large beside its weights"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes)? as u64;
        self.position += read;
        if read == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// A number in bytes of seven bits each, the lowest first.
    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.reader.fill_buf()?.first().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.reader.consume(1);
            self.position += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "it is no ONNX file"))
    }
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
