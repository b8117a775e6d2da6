//! Archives that are made to do harm.

use std::io::Write;

use tar::EntryType;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::common::{self, Answer, Folder, Server, add, fetch, gzip, list, model, noise, onnx, small_model, tar_of};

/// Has an archive fetched, and gives the folder in which that was tried.
fn tried(name: &str, archive: Vec<u8>, with: &[&str]) -> (Folder, common::Outcome) {
    let folder = Folder::new("archive");
    let server = Server::start(move |request| Answer::file(&archive, "\"1\"", request));
    let url = server.url(&format!("/{name}"));
    let mut arguments = with.to_vec();
    arguments.extend(["http", &url]);
    let outcome = fetch(&folder, &arguments);
    (folder, outcome)
}

/// A model's tar with one more entry.
fn tar_with(name: &[u8], kind: EntryType) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in small_model() {
        add(&mut builder, name.as_bytes(), EntryType::Regular, &content);
    }
    add(&mut builder, name, kind, if kind == EntryType::Regular { b"evil" } else { b"" });
    builder.into_inner().unwrap()
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn names_that_lead_elsewhere() {
    for (name, words) in [
        (&b"../evil"[..], "leads out of the folder"),
        (b"a/../../evil", "leads out of the folder"),
        (b"/tmp/evil", "is absolute"),
        (b"..\\evil", "leads out of the folder"),
    ] {
        for archive in [tar_with(name, EntryType::Regular), gzip(&tar_with(name, EntryType::Regular))] {
            let (folder, outcome) = tried("m.tar", archive, &[]);
            outcome.assert_failed(&[words, "pack the model again"]);
            assert!(!folder.model().exists() && !folder.join("evil").exists());
        }
    }
    let onnx = onnx(10);
    let archive = zip_of(&[("config.json", b"{}"), ("model.onnx", &onnx), ("../evil", b"evil")]);
    tried("m.zip", archive, &[]).1.assert_failed(&["leads out of the folder"]);
}

#[test]
fn names_without_an_end() {
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, b"././@LongLink", EntryType::GNULongName, &noise(3 << 20));
    add(&mut builder, b"config.json", EntryType::Regular, b"{}");
    tried("m.tar", builder.into_inner().unwrap(), &[]).1.assert_failed(&["a file's name has no end"]);
    // One as it should be.
    let name = format!("{}/config.json", "a".repeat(120));
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, b"././@LongLink", EntryType::GNULongName, name.as_bytes());
    add(&mut builder, b"short", EntryType::Regular, b"{}");
    add(&mut builder, b"model.onnx", EntryType::Regular, &onnx(10));
    let (folder, outcome) = tried("m.tar", builder.into_inner().unwrap(), &[]);
    outcome.assert_ok();
    assert_eq!(folder.listed(), [name.as_str(), "model.onnx"]);
}

#[test]
fn links_and_devices() {
    for (kind, words) in [
        (EntryType::Symlink, "is a symbolic link"),
        (EntryType::Link, "is a hard link"),
        (EntryType::Char, "is a device"),
        (EntryType::Block, "is a device"),
        (EntryType::Fifo, "is a pipe"),
    ] {
        let (folder, outcome) = tried("m.tar", tar_with(b"evil", kind), &[]);
        outcome.assert_failed(&["m.tar holds evil", words]);
        assert!(!folder.model().exists());
    }
    let mut writer = ZipWriter::new(std::io::Cursor::new(zip_of(&[])));
    writer.add_symlink("evil", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    tried("m.zip", archive, &[]).1.assert_failed(&["holds evil", "is a symbolic link"]);
}

#[test]
fn names_that_are_there_twice() {
    tried("m.tar", tar_with(b"config.json", EntryType::Regular), &[]).1.assert_failed(&["holds config.json twice"]);
    tried("m.tar", tar_with(b"./config.json", EntryType::Regular), &[]).1.assert_failed(&["holds config.json twice"]);
    // A file where another has a folder.
    tried("m.tar", tar_with(b"config.json/x", EntryType::Regular), &[]).1.assert_failed(&["config.json/x twice"]);
    // The library writes no such zip.
    let onnx = onnx(10);
    let mut zip = zip_of(&[("config.json", b"{}"), ("confix.json", b"[]"), ("model.onnx", &onnx)]);
    while let Some(at) = zip.windows(11).position(|name| name == b"confix.json") {
        zip[at + 5] = b'g';
    }
    tried("m.zip", zip, &[]).1.assert_failed(&["holds config.json twice"]);
}

#[test]
fn bombs() {
    let zeros = vec![0; 200 << 20];
    let bomb = model(&[("model.onnx", onnx(10)), ("zeros.txt", zeros.clone())]);
    let (folder, outcome) = tried("m.tar.gz", gzip(&tar_of(&bomb)), &[]);
    let outcome = outcome.assert_failed(&["m.tar.gz grows to more than 50 times its size"]);
    assert!(!folder.model().exists());
    // It was stopped long before the end.
    assert!(list(&folder.join(".model.partial")).iter().all(|file| !file.ends_with("tokenizer")), "{}", outcome.log);
    tried("m.zip", zip_of(&[("zeros.txt", &zeros)]), &[]).1.assert_failed(&["m.zip grows to more than 50 times"]);
}

#[test]
fn more_than_is_allowed() {
    let archive = tar_of(&model(&[("model.onnx", onnx(100_000))]));
    tried("m.tar", archive.clone(), &["--max-bytes", "50000"])
        .1
        .assert_failed(&["50000 bytes that --max-bytes allows"]);
    // Small while it is packed.
    let packed = gzip(&tar_of(&model(&[("model.onnx", onnx(10)), ("zeros.txt", vec![0; 100_000])])));
    assert!(packed.len() < 50_000);
    tried("m.tar.gz", packed, &["--max-bytes", "50000"]).1.assert_failed(&["50000 bytes that --max-bytes allows"]);
    tried("m.tar", archive, &["--max-bytes", "1M"]).1.assert_ok();
}

#[test]
fn far_too_many_files() {
    let files: Vec<_> = (0..10_001).map(|index| (format!("a/{index}.txt"), Vec::new())).collect();
    tried("m.tar.gz", gzip(&tar_of(&files)), &[]).1.assert_failed(&["has more than 10000 files"]);
}

#[test]
fn half_an_archive() {
    let whole = tar_of(&model(&[("model.onnx", onnx(100_000))]));
    let half = whole[..whole.len() / 2].to_vec();
    tried("m.tar", half.clone(), &[]).1.assert_failed(&["m.tar can't be unpacked"]);
    let packed = gzip(&whole);
    tried("m.tar.gz", packed[..packed.len() / 2].to_vec(), &[]).1.assert_failed(&["m.tar.gz can't be unpacked"]);
    let mut flipped = packed;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    tried("m.tar.gz", flipped, &[]).1.assert_failed(&["m.tar.gz can't be unpacked"]);
    let onnx = onnx(1000);
    let zip = zip_of(&[("model.onnx", &onnx)]);
    tried("m.zip", zip[..zip.len() / 2].to_vec(), &[]).1.assert_failed(&["m.zip can't be unpacked"]);
    tried("m.tar.xz", b"\xfd7zXZ\0rest".to_vec(), &[]).1.assert_failed(&["it is packed by xz"]);
}

#[test]
fn archives_of_every_kind() {
    let onnx = onnx(70_000);
    let files = [("config.json", common::CONFIG.as_bytes()), ("tokenizer.json", common::TOKENIZER.as_bytes())];
    let zip = zip_of(&[&files[..], &[("onnx/model.onnx", &onnx), (".hidden", b"x")]].concat());
    let inside: Vec<(String, Vec<u8>)> = model(&[("onnx/model.onnx", onnx.clone())]);
    let mut hidden = inside.clone();
    hidden.push((".git/config".to_owned(), b"x".to_vec()));
    let tar = tar_of(&hidden);
    let below: Vec<(String, Vec<u8>)> =
        inside.iter().map(|(name, content)| (format!("./reviews-1.2/{name}"), content.clone())).collect();
    for (name, archive) in [
        ("m.zip", zip),
        ("m.tar", tar.clone()),
        ("m.tgz", gzip(&tar)),
        // Two members behind each other, as pigz and others write them.
        ("download", [gzip(&tar[..1000]), gzip(&tar[1000..])].concat()),
        ("in-a-folder.tar.gz", gzip(&tar_of(&below))),
        ("m.tar.zst", zstd(&tar)),
    ] {
        let (folder, outcome) = tried(name, archive, &[]);
        outcome.assert_ok();
        assert_eq!(folder.listed(), ["config.json", "onnx/model.onnx", "tokenizer.json"], "{name}");
        assert_eq!(std::fs::read(folder.model().join("onnx/model.onnx")).unwrap(), onnx, "{name}");
    }
}

/// Two frames with one between them that is to be skipped. Blocks are stored as they are (RFC 8878, 3.1.1).
fn zstd(content: &[u8]) -> Vec<u8> {
    let frame = |content: &[u8]| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
        frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        let mut blocks = content.chunks(100_000).peekable();
        while let Some(block) = blocks.next() {
            let head = (u32::try_from(block.len()).unwrap() << 3) | u32::from(blocks.peek().is_none());
            frame.extend(&head.to_le_bytes()[..3]);
            frame.extend(block);
        }
        frame
    };
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let (first, second) = content.split_at(content.len() / 2);
    [frame(first), skipped, frame(second)].concat()
}

#[test]
fn a_variant_of_an_archive() {
    let files = model(&[("onnx/model.onnx", onnx(10)), ("onnx/model_int8.onnx", onnx(20)), ("notes.md", vec![1])]);
    let (folder, outcome) = tried("m.tar", tar_of(&files), &["--variant", "int8"]);
    outcome.assert_ok();
    assert_eq!(folder.listed(), ["config.json", "notes.md", "onnx/model_int8.onnx", "tokenizer.json"]);
    tried("m.tar", tar_of(&model(&[])), &[]).1.assert_failed(&["holds no ONNX file", "optimum-cli"]);
}

#[test]
fn an_lfs_pointer_in_an_archive() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n".to_vec();
    let archive = tar_of(&model(&[("model.onnx", pointer)]));
    tried("m.tar", archive, &[]).1.assert_failed(&["model.onnx of http://", "is a Git LFS pointer"]);
}
