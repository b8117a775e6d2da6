//! Buckets whose servers speak the part of each store's protocol that is needed to list and read.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};

use crate::common::{self, Answer, Folder, Request, Run, Server, gzip, model, noise, onnx, small_model, tar_of};

/// Which store a server is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    S3,
    Gcs,
    Azure,
}

const KINDS: [Kind; 3] = [Kind::S3, Kind::Gcs, Kind::Azure];

type Files = Vec<(String, Vec<u8>)>;

fn tag(content: &[u8]) -> String {
    format!("\"{}\"", &common::sha256(content)[..16])
}

/// A bucket's listing and its objects.
fn answer(kind: Kind, files: &Files, request: &Request) -> Answer {
    let listed = request.path.contains("list-type=2") || request.path.contains("comp=list");
    if listed {
        let prefix = request.path.split("prefix=").nth(1).unwrap_or_default().split('&').next().unwrap();
        let prefix = percent_encoding::percent_decode_str(prefix).decode_utf8().unwrap().into_owned();
        let objects = files.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(name, content)| {
            let (size, tag) = (content.len(), tag(content));
            match kind {
                Kind::Azure => format!(
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>Mon, 01 Jan 2024 00:00:00 GMT</Last-Modified>\
                     <Content-Length>{size}</Content-Length><Content-Type>x/y</Content-Type><Etag>{tag}</Etag></Properties></Blob>"
                ),
                _ => format!(
                    "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>2024-01-01T00:00:00.000Z</LastModified>\
                     <ETag>{tag}</ETag></Contents>"
                ),
            }
        });
        let objects: String = objects.collect();
        return Answer::ok(match kind {
            Kind::Azure => format!("<EnumerationResults><Blobs>{objects}</Blobs><NextMarker/></EnumerationResults>"),
            _ => format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"),
        });
    }
    let path = percent_encoding::percent_decode_str(request.plain_path()).decode_utf8().unwrap();
    let name = path.strip_prefix("/models/").unwrap_or_default();
    let Some((_, content)) = files.iter().find(|(file, _)| file == name) else { return Answer::status(404) };
    let answer = Answer::file(content, &tag(content), request).with("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    let md5 = STANDARD.encode(Md5::digest(content));
    match kind {
        Kind::S3 => answer,
        Kind::Gcs => answer.with("x-goog-hash", &format!("md5={md5}")),
        Kind::Azure => answer.with("x-ms-blob-content-md5", &md5),
    }
}

/// Whether it is for the ONNX file. Google's names are escaped more than they need to be.
fn is_model(request: &Request) -> bool {
    request.plain_path().ends_with("/model.onnx") || request.plain_path().ends_with("/model%2Eonnx")
}

fn run(folder: &Folder, kind: Kind, server: &Server, with: &[&str]) -> Run {
    let endpoint = server.url("");
    let mut arguments = match kind {
        Kind::S3 => vec!["s3", "models"],
        Kind::Gcs => vec!["gcs", "models"],
        Kind::Azure => vec!["azure", "account", "models"],
    };
    let split = with.iter().position(|argument| *argument == "--path").unwrap_or(with.len());
    let mut all = with[..split].to_vec();
    all.append(&mut arguments);
    all.extend(["--endpoint", &endpoint]);
    all.extend(&with[split..]);
    let credentials = r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
    let file = folder.write("credentials.json", credentials);
    let run = Run::new(folder, &all);
    match kind {
        Kind::S3 => run.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "s3cret"),
        Kind::Gcs => run.env("GOOGLE_APPLICATION_CREDENTIALS", file),
        Kind::Azure => run.env("AZURE_STORAGE_ACCOUNT_KEY", STANDARD.encode("s3cret")),
    }
}

fn below(prefix: &str, files: Files) -> Files {
    files.into_iter().map(|(name, content)| (format!("{prefix}/{name}"), content)).collect()
}

#[test]
fn a_folder_of_a_bucket() {
    for kind in KINDS {
        let folder = Folder::new("bucket");
        let mut files = below(
            "a/v3",
            model(&[("onnx/model.onnx", onnx(2000)), ("onnx/model_int8.onnx", onnx(10)), ("weights.bin", noise(10))]),
        );
        files.push(("a/v3x/config.json".to_owned(), b"no".to_vec()));
        let server = Server::start(move |request| answer(kind, &files, request));
        let outcome = run(&folder, kind, &server, &["--variant", "fp32", "--path", "a/v3/"]).run().assert_ok();
        assert_eq!(folder.listed(), ["config.json", "onnx/model.onnx", "tokenizer.json"], "{kind:?}");
        assert!(!outcome.log.contains("s3cret"), "{}", outcome.log);
        let signed = match kind {
            Kind::S3 => "AWS4-HMAC-SHA256",
            // Its credentials say that there is no server of tokens.
            Kind::Gcs => "",
            Kind::Azure => "SharedKey account:",
        };
        let authorization = server.requests()[0].header("authorization").unwrap_or_default().to_owned();
        assert!(authorization.starts_with(signed), "{kind:?}: {authorization}");
    }
}

#[test]
fn an_archive_in_a_bucket() {
    for kind in KINDS {
        let folder = Folder::new("bucket-archive");
        let files = vec![("a/m.tar.gz".to_owned(), gzip(&tar_of(&small_model())))];
        let server = Server::start(move |request| answer(kind, &files, request));
        run(&folder, kind, &server, &["--path", "a/m.tar.gz"]).run().assert_ok();
        assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"], "{kind:?}");
    }
}

#[test]
fn a_cut_is_gone_on_with() {
    for kind in KINDS {
        let folder = Folder::new("bucket-cut");
        let files = model(&[("model.onnx", onnx(3 << 20))]);
        let tries = AtomicUsize::new(0);
        let server = Server::start(move |request| {
            let answer = answer(kind, &files, request);
            let is_first = is_model(request) && tries.fetch_add(1, Relaxed) == 0;
            if is_first { answer.cut_at(1 << 20) } else { answer }
        });
        run(&folder, kind, &server, &[]).run().assert_ok();
        let asked: Vec<_> = server.requests().into_iter().filter(is_model).collect();
        assert_eq!(asked.iter().map(Request::from).collect::<Vec<_>>(), [0, 1 << 20], "{kind:?}");
        assert!(asked[1].header("if-match").is_some(), "{kind:?}");
        assert_eq!(std::fs::read(folder.model().join("model.onnx")).unwrap(), onnx(3 << 20));
    }
}

#[test]
fn what_the_store_keeps_of_the_content_is_checked() {
    for kind in [Kind::Gcs, Kind::Azure] {
        let folder = Folder::new("bucket-md5");
        let files = small_model();
        let server = Server::start(move |request| {
            let mut answer = answer(kind, &files, request);
            if is_model(request) {
                *answer.body.last_mut().unwrap() ^= 1;
            }
            answer
        });
        let outcome = run(&folder, kind, &server, &[]).run();
        outcome.assert_failed(&["model.onnx from", "has the digest md5:"]);
    }
}

#[test]
fn refusals_name_the_secret() {
    for (kind, field) in [(Kind::S3, "s3."), (Kind::Gcs, "gcs."), (Kind::Azure, "azureBlob.")] {
        for (status, words) in [
            (401, "valid credentials"),
            (403, "refuses access"),
            (404, "(404)"),
            (429, "asked too often"),
            (503, "answers 503"),
        ] {
            let folder = Folder::new("bucket-refused");
            let server = Server::start(move |_| Answer::status(status));
            let outcome = run(&folder, kind, &server, &["--attempts", "2"]).run();
            let field = if status == 503 { "" } else { field };
            let field = if status == 429 { "spec.model.cache" } else { field };
            let outcome = outcome.assert_failed(&[words, field]);
            assert!(!outcome.log.contains("s3cret"), "{}", outcome.log);
            let expected = if matches!(status, 429 | 503) { 2 } else { 1 };
            assert_eq!(server.requests().len(), expected, "{kind:?} {status}");
        }
    }
}

#[test]
fn nothing_at_a_path() {
    let folder = Folder::new("bucket-empty");
    let server = Server::start(|request| answer(Kind::S3, &small_model(), request));
    let outcome = run(&folder, Kind::S3, &server, &["--path", "nowhere"]).run();
    outcome.assert_failed(&["s3://models/nowhere holds nothing at the path nowhere"]);
}

#[test]
fn a_store_at_a_link_local_address_is_refused() {
    for endpoint in ["http://169.254.169.254", "http://169.254.169.254/latest"] {
        let folder = Folder::new("bucket-ssrf");
        let path = "meta-data/iam/security-credentials/role";
        let run = Run::new(&folder, &["s3", "latest", "--endpoint", endpoint, "--path", path]);
        run.run().assert_failed(&["leads to a link-local address"]);
    }
    let folder = Folder::new("bucket-ssrf");
    let google = "http://metadata.google.internal";
    let with = ["gcs", "computeMetadata", "--endpoint", google, "--path", "v1/instance/service-accounts/default"];
    Run::new(&folder, &with).run().assert_failed(&["leads to a link-local address"]);
}

#[test]
fn names_are_checked() {
    let folder = Folder::new("bucket-names");
    Run::new(&folder, &["s3", "a/b"]).run().assert_failed(&["the bucket \"a/b\" is no name"]);
    Run::new(&folder, &["azure", "evil.example/x", "c"]).run().assert_failed(&["the storage account"]);
    Run::new(&folder, &["s3", "a", "--region", "x/y"]).run().assert_failed(&["--region"]);
    Run::new(&folder, &["s3", "a", "--path", "../b"]).run().assert_failed(&["leads out of the folder"]);
}
