use std::io::Write;

use axum::http::HeaderValue;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::*;

const JSON: &str = r#"{"text":"I love this café, and this café loves me"}"#;

// What Python's brotli, zstandard and zlib make of it.
const BROTLI: &str = "0b1a807b2274657874223a2249206c6f7665207468697320636166c3a92c20616e64207468697320636166c3a9206c6f766573206d65227d03";
const ZSTD: &str = "28b52ffd24357d010054027b2274657874223a2249206c6f7665207468697320636166c3a92c20616e6473206d65227d02004309f018d3091520d4b8";
/// Of unknown length, with a window of 8 MiB; and with one of 16 MiB.
const ZSTD_STREAM: &str =
    "28b52ffd00687d010054027b2274657874223a2249206c6f7665207468697320636166c3a92c20616e6473206d65227d02004309f018d309";
const ZSTD_WIDE: &str =
    "28b52ffd00707d010054027b2274657874223a2249206c6f7665207468697320636166c3a92c20616e6473206d65227d02004309f018d309";
const DEFLATE: &str =
    "789cab562a49ad2851b252f254c8c92f4b5528c9c82c56484e4c3bbc524721312f05890f962f56c84d55aa0500fdda1375";
const DEFLATE_RAW: &str = "ab562a49ad2851b252f254c8c92f4b5528c9c82c56484e4c3bbc524721312f05890f962f56c84d55aa0500";
const GZIP: &str = "1f8b0800000000000203ab562a49ad2851b252f254c8c92f4b5528c9c82c56484e4c3bbc524721312f05890f962f56c84d55aa05005555 5ed035000000";

/// 64 MiB of spaces.
const BROTLI_BOMB: &str = "cbffff3ff8254\
    0e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12f0110870500baf77ffcffff835f02200e0b0074eff\
    ff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffe3ffff1ffc1200715800a07bff37";

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>().into()
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap().into()
}

/// A frame of blocks of one byte repeated 128 Ki times.
fn zstd_bomb(mib: usize) -> Bytes {
    let mut frame = bytes("28b52ffd 00 68").to_vec();
    for block in 1..=8 * mib {
        let header = u32::from(block == 8 * mib) | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame.into()
}

fn unpacked(packed: Bytes, codings: &[Coding]) -> Result<Bytes, String> {
    unpack(packed, codings, 1 << 20).map_err(|error| error.to_string())
}

#[test]
fn what_other_programs_have_packed() {
    let gzip_twice = [bytes(GZIP), gzip(b" ")].concat().into();
    let skipped = [bytes("502a4d18 02000000 0000"), bytes(ZSTD)].concat().into();
    for (packed, coding, expected) in [
        (bytes(GZIP), Coding::Gzip, JSON),
        (gzip_twice, Coding::Gzip, &format!("{JSON} ")),
        (bytes(DEFLATE), Coding::Deflate, JSON),
        (bytes(DEFLATE_RAW), Coding::Deflate, JSON),
        (bytes(BROTLI), Coding::Brotli, JSON),
        (bytes(ZSTD), Coding::Zstd, JSON),
        (bytes(ZSTD_STREAM), Coding::Zstd, JSON),
        (skipped, Coding::Zstd, JSON),
        ([bytes(ZSTD), bytes(ZSTD_STREAM)].concat().into(), Coding::Zstd, &JSON.repeat(2)),
    ] {
        assert_eq!(unpacked(packed, &[coding]).as_deref(), Ok(expected.as_bytes()), "{coding:?}");
    }
    let twice = gzip(&bytes(BROTLI));
    assert_eq!(unpacked(twice, &[Coding::Brotli, Coding::Gzip]).as_deref(), Ok(JSON.as_bytes()));
}

#[test]
fn a_bomb_is_too_large_in_each_coding_and_each_step() {
    let spaces = vec![b' '; 3 << 20];
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&spaces).unwrap();
    let gzipped = gzip(&spaces);
    let twice = gzip(&gzipped);
    let too_large = Err("the body decompresses to more than 1048576 bytes".to_owned());
    for (packed, codings) in [
        (gzipped, &[Coding::Gzip][..]),
        (zlib.finish().unwrap().into(), &[Coding::Deflate]),
        (bytes(BROTLI_BOMB), &[Coding::Brotli]),
        (zstd_bomb(64), &[Coding::Zstd]),
        (twice, &[Coding::Gzip, Coding::Gzip]),
        // Nothing comes out of the second step, which is no reason for the first to go on.
        (gzip(&spaces), &[Coding::Zstd, Coding::Gzip]),
    ] {
        assert_eq!(unpacked(packed, codings), too_large, "{codings:?}");
    }
    let mebibyte = vec![b' '; 1 << 20];
    assert_eq!(unpacked(gzip(&mebibyte), &[Coding::Gzip]).map(|bytes| bytes.len()), Ok(1 << 20));
    assert_eq!(unpacked(zstd_bomb(1), &[Coding::Zstd]).map(|bytes| bytes.len()), Ok(1 << 20));
}

#[test]
fn broken_data_says_so() {
    for (hex, coding) in [
        (GZIP, Coding::Gzip),
        (DEFLATE, Coding::Deflate),
        (BROTLI, Coding::Brotli),
        (ZSTD, Coding::Zstd),
        (ZSTD_STREAM, Coding::Zstd),
    ] {
        let whole = bytes(hex);
        let start = format!("the body is not {}: ", coding.name());
        for broken in [whole.slice(..whole.len() - 1), whole.slice(..4), [whole, "{}".into()].concat().into()] {
            let error = unpacked(broken, &[coding]).unwrap_err();
            assert!(error.starts_with(&start), "{error}");
        }
        let plain = unpacked(JSON.into(), &[coding]).unwrap_err();
        assert!(plain.starts_with(&start), "{plain}");
    }
    let mut wrong = bytes(ZSTD).to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(unpacked(wrong.into(), &[Coding::Zstd]), Err("the body is not zstd: its checksum is wrong".to_owned()));
    let wide = unpacked(bytes(ZSTD_WIDE), &[Coding::Zstd]).unwrap_err();
    assert_eq!(wide, "the body is not zstd: its window has 16777216 bytes, and at most 8388608 are read");
}

#[test]
fn names_of_codings() {
    let of = |values: &[&'static str]| {
        let headers = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
        Coding::of(&headers.collect()).map_err(|error| error.to_string())
    };
    assert_eq!(of(&[]), Ok(vec![]));
    assert_eq!(of(&["identity"]), Ok(vec![]));
    assert_eq!(of(&["GZIP, br", "x-gzip"]), Ok(vec![Coding::Gzip, Coding::Brotli, Coding::Gzip]));
    assert_eq!(
        of(&["compress"]),
        Err("the content encoding \"compress\" isn't read; gzip, deflate, br, zstd are".to_owned())
    );
    assert!(of(&["gzip, gzip, gzip, gzip"]).is_err());
}
