//! Compressed bodies: `Content-Encoding` with gzip, deflate, br and zstd.

use std::{
    cell::Cell,
    io::{self, Read},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use brotli_decompressor::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use crate::http::{ApiError, error::quoted};

/// What is read, as an `Accept-Encoding` header says it.
pub(in crate::http) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// Codings that a body may have on top of each other: each takes time to undo. One is what people send.
const MOST: usize = 3;

/// Largest window of zstd that a receiver has to take (RFC 9659), in bytes.
const LARGEST_WINDOW: u64 = 8 * 1024 * 1024;

/// A way to pack a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Those of a request, the first applied first.
    pub(super) fn of(headers: &HeaderMap) -> Result<Vec<Self>, ApiError> {
        let mut codings = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match name.to_ascii_lowercase().as_str() {
                    "identity" => {}
                    "gzip" | "x-gzip" => codings.push(Self::Gzip),
                    "deflate" => codings.push(Self::Deflate),
                    "br" => codings.push(Self::Brotli),
                    "zstd" => codings.push(Self::Zstd),
                    _ => {
                        let sentence = format!("the content encoding {} isn't read; {ACCEPTED} are", quoted(name));
                        return Err(ApiError::UnsupportedEncoding(sentence));
                    }
                }
            }
        }
        if codings.len() > MOST {
            let sentence = format!("the body has {} content encodings, and at most {MOST} are read", codings.len());
            return Err(ApiError::UnsupportedEncoding(sentence));
        }
        Ok(codings)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// Undoes the codings. No step may yield more than `most` bytes, nor keep more of them than that
/// beside what it yields.
pub(super) fn unpack(packed: Bytes, codings: &[Coding], most: usize) -> Result<Bytes, ApiError> {
    codings.iter().rev().try_fold(packed, |packed, coding| {
        let unpacked = match coding {
            Coding::Gzip => read(MultiGzDecoder::new(&*packed), most).map(|(unpacked, _)| unpacked),
            Coding::Deflate => deflate(&packed, most),
            Coding::Brotli => brotli(&packed, most),
            Coding::Zstd => zstd(&packed, most),
        };
        unpacked.map(Bytes::from).map_err(|failure| match failure {
            Failure::TooLarge => ApiError::UnpacksTooLarge(most),
            Failure::Broken(problem) => {
                ApiError::UnreadableBody(format!("the body is not {}: {problem}", coding.name()))
            }
        })
    })
}

enum Failure {
    TooLarge,
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Broken("it ends too early".to_owned())
        } else {
            Self::Broken(error.to_string())
        }
    }
}

/// Everything that a decoder yields, and the decoder.
fn read<D: Read>(mut decoder: D, most: usize) -> Result<(Vec<u8>, D), Failure> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    decoder.by_ref().take(limit).read_to_end(&mut unpacked)?;
    if unpacked.len() > most { Err(Failure::TooLarge) } else { Ok((unpacked, decoder)) }
}

fn finished(unread: &[u8]) -> Result<(), Failure> {
    if unread.is_empty() { Ok(()) } else { Err(Failure::Broken("there is more behind its end".to_owned())) }
}

/// By its definition the format of zlib. Some clients leave out zlib's head, and other servers take that too.
fn deflate(packed: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let has_head = matches!(packed, [a, b, ..] if a & 15 == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0);
    let (unpacked, unread) = if has_head {
        let (unpacked, decoder) = read(ZlibDecoder::new(packed), most)?;
        (unpacked, decoder.into_inner())
    } else {
        let (unpacked, decoder) = read(DeflateDecoder::new(packed), most)?;
        (unpacked, decoder.into_inner())
    };
    finished(unread)?;
    Ok(unpacked)
}

/// Memory for the bytes that brotli's decoder keeps: as many as it has written, rounded up to a power of two, or its
/// window of up to 16 MiB. The decoder asks for them before it writes, so one that asks for more than `most` would
/// write more.
struct Bounded<'r> {
    most: usize,
    refused: &'r Cell<bool>,
}

impl Allocator<u8> for Bounded<'_> {
    type AllocatedMemory = <StandardAlloc as Allocator<u8>>::AllocatedMemory;

    fn alloc_cell(&mut self, length: usize) -> Self::AllocatedMemory {
        /// More than the decoder adds to what it keeps.
        const SLACK: usize = 4096;
        if length > self.most.next_power_of_two() + SLACK {
            self.refused.set(true);
            return Self::AllocatedMemory::default();
        }
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, _: Self::AllocatedMemory) {}
}

fn brotli(packed: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    const STEP: usize = 64 * 1024;
    let refused = Cell::new(false);
    let (bytes, memory) = (Bounded { most, refused: &refused }, StandardAlloc::default);
    // Strict: large windows are no part of the format that HTTP names (RFC 7932), and may be of 1 GiB.
    let mut state = BrotliState::new_strict(bytes, memory(), memory());
    let (mut unread, mut read, mut total) = (packed.len(), 0, 0);
    let mut unpacked = Vec::new();
    loop {
        let start = unpacked.len();
        unpacked.resize(start + STEP.min(most + 1 - start), 0);
        let (mut room, mut written) = (unpacked.len() - start, 0);
        let into = &mut unpacked[start..];
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            packed,
            &mut room,
            &mut written,
            into,
            &mut total,
            &mut state,
        );
        unpacked.truncate(start + written);
        match result {
            _ if unpacked.len() > most || refused.get() => return Err(Failure::TooLarge),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess => break,
            BrotliResult::NeedsMoreInput => return Err(Failure::Broken("it ends too early".to_owned())),
            BrotliResult::ResultFailure => return Err(Failure::Broken("it is broken".to_owned())),
        }
    }
    finished(&packed[read..])?;
    Ok(unpacked)
}

/// One frame after another, each as a whole: the decoder keeps back a window's worth of each until its end.
fn zstd(mut packed: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let mut unpacked = Vec::new();
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(LARGEST_WINDOW);
    while !packed.is_empty() {
        match decoder.init(&mut packed) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                packed = packed.get(length..).ok_or_else(|| Failure::Broken("it ends too early".to_owned()))?;
                continue;
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                let problem = format!("its window has {requested} bytes, and at most {LARGEST_WINDOW} are read");
                return Err(Failure::Broken(problem));
            }
            Err(error) => return Err(Failure::Broken(error.to_string())),
        }
        let room = most - unpacked.len();
        if decoder.content_size() > u64::try_from(room).unwrap_or(u64::MAX) {
            return Err(Failure::TooLarge);
        }
        let strategy = BlockDecodingStrategy::UptoBytes(room + 1);
        let is_whole =
            decoder.decode_blocks(&mut packed, strategy).map_err(|error| Failure::Broken(error.to_string()))?;
        if !is_whole || decoder.can_collect() > room {
            return Err(Failure::TooLarge);
        }
        unpacked.reserve_exact(decoder.can_collect());
        decoder.collect_to_writer(&mut unpacked)?;
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
            return Err(Failure::Broken("its checksum is wrong".to_owned()));
        }
    }
    Ok(unpacked)
}

#[cfg(test)]
#[path = "codings_tests.rs"]
mod tests;
