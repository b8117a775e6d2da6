//! A registry that speaks as the distribution specification says.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::common::{
    self, Answer, Folder, Request, Run, Server, add, fetch, gzip, model, onnx, sha256, small_model, tar_of,
};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What a registry holds.
#[derive(Clone, Default)]
struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
}

impl Content {
    /// An image or artifact of layers: media type, title, content.
    fn of(layers: &[(&str, &str, Vec<u8>)]) -> Self {
        let mut content = Self::default();
        let mut told = Vec::new();
        for (media_type, title, layer) in layers {
            let digest = format!("sha256:{}", sha256(layer));
            let title = if title.is_empty() {
                String::new()
            } else {
                format!(r#","annotations":{{"org.opencontainers.image.title":"{title}"}}"#)
            };
            told.push(format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}{title}}}"#, layer.len()));
            content.blobs.insert(digest, layer.clone());
        }
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{}]}}"#,
            told.join(",")
        );
        content.tag("1", manifest.into_bytes());
        content
    }

    fn tag(&mut self, tag: &str, manifest: Vec<u8>) -> String {
        let digest = format!("sha256:{}", sha256(&manifest));
        self.manifests.insert(tag.to_owned(), manifest.clone());
        self.manifests.insert(digest.clone(), manifest);
        digest
    }

    fn answer(&self, request: &Request) -> Answer {
        let path = request.plain_path();
        if let Some(name) = path.strip_prefix("/v2/me/model/manifests/") {
            return self.manifests.get(name).map_or_else(
                || Answer::status(404),
                |manifest| {
                    Answer::ok(manifest.clone()).with("Docker-Content-Digest", &format!("sha256:{}", sha256(manifest)))
                },
            );
        }
        let blob = path.strip_prefix("/v2/me/model/blobs/").and_then(|digest| self.blobs.get(digest));
        blob.map_or_else(|| Answer::status(404), |blob| Answer::file(blob, "", request))
    }

    fn serve(self) -> Server {
        Server::start(move |request| self.answer(request))
    }
}

fn reference(server: &Server) -> String {
    format!("{}/me/model:1", server.address)
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    gzip(&tar_of(files))
}

#[test]
fn a_folder_of_an_image_with_its_layers_in_order() {
    let folder = Folder::new("image");
    let below = |files: Vec<(String, Vec<u8>)>| -> Vec<(String, Vec<u8>)> {
        files.into_iter().map(|(name, content)| (format!("models/m/{name}"), content)).collect()
    };
    // What a base image has, links and devices too, is no matter outside the path.
    let mut base = tar::Builder::new(Vec::new());
    add(&mut base, b"bin", tar::EntryType::Symlink, b"");
    add(&mut base, b"dev/null", tar::EntryType::Char, b"");
    add(&mut base, b"models/m/old.json", tar::EntryType::Regular, b"{}");
    add(&mut base, b"models/m/config.json", tar::EntryType::Regular, b"{}");
    let second = [below(small_model()), vec![("models/m/.wh.old.json".to_owned(), Vec::new())]].concat();
    let layers = [(TAR, "", gzip(&base.into_inner().unwrap())), (TAR, "", packed(&second))];
    let server = Content::of(&layers).serve();
    fetch(&folder, &["oci", &reference(&server), "--path", "/models/m"]).assert_ok();
    assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"]);
    assert_eq!(std::fs::read_to_string(folder.model().join("config.json")).unwrap(), common::CONFIG);

    let elsewhere = Folder::new("image");
    let outcome = fetch(&elsewhere, &["oci", &reference(&server), "--path", "model"]);
    outcome.assert_failed(&["holds nothing at the path model", "correct the path"]);
}

#[test]
fn an_artifact_of_single_files() {
    let folder = Folder::new("artifact");
    // oras gives every file the media type of a layer.
    let layers: Vec<_> = model(&[("onnx/model.onnx", onnx(1000)), ("onnx/model_fp16.onnx", onnx(10))])
        .into_iter()
        .map(|(name, content)| ("application/vnd.oci.image.layer.v1.tar", name, content))
        .collect();
    let layers: Vec<_> = layers.iter().map(|(kind, name, content)| (*kind, name.as_str(), content.clone())).collect();
    let server = Content::of(&layers).serve();
    fetch(&folder, &["--variant", "fp32", "oci", &reference(&server)]).assert_ok();
    assert_eq!(folder.listed(), ["config.json", "onnx/model.onnx", "tokenizer.json"]);
}

#[test]
fn a_layer_with_a_name_twice_is_refused() {
    let folder = Folder::new("layer-twice");
    let mut files = small_model();
    files.push(("config.json".to_owned(), b"{}".to_vec()));
    let server = Content::of(&[(TAR, "", packed(&files))]).serve();
    fetch(&folder, &["oci", &reference(&server)]).assert_failed(&["holds config.json twice"]);
}

#[test]
fn a_layer_of_another_kind_is_named() {
    let folder = Folder::new("kind");
    let server = Content::of(&[("application/vnd.other.model", "", vec![1; 100])]).serve();
    fetch(&folder, &["oci", &reference(&server)]).assert_failed(&["application/vnd.other.model", "model pack"]);
}

#[test]
fn an_index_leads_to_this_processor() {
    let folder = Folder::new("index");
    let mut content = Content::of(&[(TAR, "", packed(&small_model()))]);
    let manifest = content.manifests["1"].clone();
    let (digest, size) = (format!("sha256:{}", sha256(&manifest)), manifest.len());
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let wrong = format!("sha256:{}", "0".repeat(64));
    let entry = |digest: &str, os: &str, architecture: &str| {
        format!(
            r#"{{"mediaType":"m","digest":"{digest}","size":{size},"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
        )
    };
    let entries =
        [entry(&wrong, "unknown", "unknown"), entry(&wrong, "linux", "s390x"), entry(&digest, "linux", here)].join(",");
    let index = content.tag("1", format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#).into_bytes());
    let server = content.serve();
    let pinned = format!("{}/me/model@{index}", server.address);
    fetch(&folder, &["oci", &pinned]).assert_ok();
    assert_eq!(folder.listed().len(), 3);
}

#[test]
fn digests_of_manifests_and_blobs_are_checked() {
    let folder = Folder::new("oci-digest");
    let mut content = Content::of(&[(TAR, "", packed(&small_model()))]);
    let good = content.manifests["1"].clone();
    let pinned = format!("sha256:{}", sha256(&good));
    content.manifests.insert(pinned.clone(), [good, b" ".to_vec()].concat());
    let server = content.clone().serve();
    let outcome = fetch(&folder, &["oci", &format!("{}/me/model@{pinned}", server.address)]);
    outcome.assert_failed(&["the manifest of", "has the digest", &pinned]);

    let blob = content.blobs.values_mut().next().unwrap();
    blob[20] ^= 1;
    let server = content.serve();
    fetch(&folder, &["oci", &reference(&server)]).assert_failed(&["layer sha256:", "has the digest"]);
    assert!(!folder.model().exists());
}

#[test]
fn a_cut_blob_is_gone_on_with_and_another_host_sees_no_credentials() {
    let folder = Folder::new("oci-cut");
    let content = Content::of(&[(TAR, "", packed(&model(&[("model.onnx", onnx(3 << 20))])))]);
    let blobs = content.clone();
    let tries = AtomicUsize::new(0);
    let store = Server::start(move |request| {
        let answer = blobs.answer(request);
        if tries.fetch_add(1, Relaxed) == 0 { answer.cut_at(1 << 20) } else { answer }
    });
    let to = store.url_by_name("");
    let server = Server::start(move |request| {
        if request.header("authorization") != Some("Basic bWU6czNjcmV0") {
            return Answer::status(401).with("WWW-Authenticate", "Basic realm=\"registry\"");
        }
        if request.path.contains("/blobs/") {
            return Answer::redirect(&format!("{to}{}", request.path));
        }
        content.answer(request)
    });
    let config = format!(r#"{{"auths":{{"{}":{{"username":"me","password":"s3cret"}}}}}}"#, server.address);
    let file = folder.write("config.json", config).display().to_string();
    let other = folder.write("other.json", r#"{"auths":{"other.example":{"auth":"eDp5"}}}"#).display().to_string();
    let with = ["oci", &reference(&server), "--docker-config", &other, "--docker-config", &file];
    let outcome = fetch(&folder, &with).assert_ok();
    assert_eq!(store.requests().iter().map(Request::from).collect::<Vec<_>>(), [0, 1 << 20]);
    assert!(store.requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(!outcome.log.contains("s3cret") && !outcome.log.contains("bWU6czNjcmV0"), "{}", outcome.log);
}

/// A registry with a server of tokens, which gives one to those who may pull.
fn with_tokens(user: &'static str) -> (Server, Server) {
    let tokens = Server::start(move |request| {
        let is_known = match user {
            "" => request.header("authorization").is_none(),
            "refresh" => request.method == "POST" && request.body.contains("refresh_token=s3cret"),
            user => request.header("authorization") == Some(user),
        };
        let scope = "scope=repository%3Ame%2Fmodel%3Apull";
        if !is_known || !(request.path.contains(scope) || request.body.contains(scope)) {
            return Answer::status(401);
        }
        Answer::ok(r#"{"token":"t0ken","expires_in":300}"#)
    });
    let content = Content::of(&[(TAR, "", packed(&small_model()))]);
    let realm = tokens.url("/token");
    let server = Server::start(move |request| {
        if request.header("authorization") == Some("Bearer t0ken") {
            return content.answer(request);
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="registry",scope="repository:me/model:pull""#);
        Answer::status(401).with("WWW-Authenticate", &challenge)
    });
    (server, tokens)
}

#[test]
fn tokens_are_asked_for_as_registries_want_it() {
    for (user, entry) in [
        ("", None),
        ("Basic bWU6czNjcmV0", Some(r#""auth":"bWU6czNjcmV0""#)),
        ("refresh", Some(r#""identitytoken":"s3cret""#)),
    ] {
        let folder = Folder::new("tokens");
        let (server, tokens) = with_tokens(user);
        let reference = reference(&server);
        let mut with = vec!["oci", &reference];
        let mut file = String::new();
        if let Some(entry) = entry {
            let config = format!(r#"{{"auths":{{"{}":{{{entry}}}}}}}"#, server.address);
            file = folder.write("config.json", config).display().to_string();
            with.extend(["--docker-config", &file]);
        }
        let outcome = fetch(&folder, &with).assert_ok();
        assert_eq!(tokens.requests().len(), 1, "one token is for all requests");
        assert!(!outcome.log.contains("s3cret") && !outcome.log.contains("t0ken"), "{}", outcome.log);
        drop(file);
    }
}

#[test]
fn refusals_name_the_pull_secret() {
    let folder = Folder::new("oci-refused");
    let (server, _tokens) = with_tokens("Basic bWU6czNjcmV0");
    let outcome = fetch(&folder, &["oci", &reference(&server)]);
    outcome.assert_failed(&["(401)", "spec.model.source.image.pullSecrets"]);

    let config = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6d3Jvbmc="}}}}}}"#, server.address);
    let file = folder.write("config.json", config).display().to_string();
    let outcome = fetch(&folder, &["oci", &reference(&server), "--docker-config", &file]);
    outcome.assert_failed(&["(401)", "spec.model.source.image.pullSecrets"]);

    let server = Content::default().serve();
    let outcome = fetch(&folder, &["oci", &reference(&server)]);
    outcome.assert_failed(&["me/model:1 (404)", "spec.model.source.image.reference"]);

    let broken = folder.write("broken.json", "{").display().to_string();
    let outcome = fetch(&folder, &["oci", "host.io/a", "--docker-config", &broken]);
    outcome.assert_failed(&["broken.json", "correct the pull Secret"]);
    fetch(&folder, &["oci", "https://host.io/a"]).assert_failed(&["has a scheme"]);
}

#[test]
fn a_registry_behind_a_redirect_to_metadata_is_refused() {
    let folder = Folder::new("oci-ssrf");
    let server = Server::start(|_| {
        Answer::status(401).with("WWW-Authenticate", r#"Bearer realm="http://169.254.169.254/token""#)
    });
    fetch(&folder, &["oci", &reference(&server)]).assert_failed(&["link-local address"]);
    let run = Run::new(&folder, &["oci", "169.254.169.254/a/b"]).run();
    run.assert_failed(&["link-local address"]);
}
