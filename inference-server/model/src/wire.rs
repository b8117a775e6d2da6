//! Messages of Protocol Buffers, field by field, off a file of which most is passed over unread.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// A field: its number and what it holds.
pub(super) struct Field {
    pub(super) number: u64,
    /// As it is written: the number, and how the field is written in its lowest three bits.
    pub(super) tag: u64,
    pub(super) value: Value,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Number(u64),
    /// Four or eight bytes, which end at a position.
    Fixed(u64),
    /// A text or a message, which ends at a position.
    Bytes(u64),
}

/// A file that holds a message.
pub(super) struct Wire<R> {
    reader: BufReader<R>,
    pub(super) position: u64,
}

impl<R: Read + Seek> Wire<R> {
    /// A file from its start, and where it ends.
    pub(super) fn open(file: R) -> io::Result<(Self, u64)> {
        let mut reader = BufReader::new(file);
        let end = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        Ok((Self { reader, position: 0 }, end))
    }

    /// The next field of a message that ends at a position.
    pub(super) fn field(&mut self, end: u64) -> io::Result<Field> {
        let tag = self.number()?;
        let until = |position: u64, length: u64| {
            let until = position.checked_add(length).filter(|until| *until <= end);
            until.ok_or_else(|| broken("it is cut short, or no ONNX file"))
        };
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Fixed(until(self.position, 8)?),
            2 => {
                let length = self.number()?;
                Value::Bytes(until(self.position, length)?)
            }
            5 => Value::Fixed(until(self.position, 4)?),
            _ => return Err(broken("it is no ONNX file")),
        };
        Ok(Field { number: tag >> 3, tag, value })
    }

    /// A number in bytes of seven bits each, the lowest first.
    pub(super) fn number(&mut self) -> io::Result<u64> {
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
        Err(broken("it is no ONNX file"))
    }

    /// What is up to a position.
    pub(super) fn read_to(&mut self, until: u64) -> io::Result<Vec<u8>> {
        let (mut bytes, length) = (Vec::new(), until.saturating_sub(self.position));
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes)? as u64;
        self.position += read;
        if read == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Goes on from a position.
    pub(super) fn go_to(&mut self, position: u64) -> io::Result<()> {
        let of = |position| i64::try_from(position).map_err(io::Error::other);
        self.reader.seek_relative(of(position)? - of(self.position)?)?;
        self.position = position;
        Ok(())
    }
}

pub(super) fn broken(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
