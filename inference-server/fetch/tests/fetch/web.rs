//! Files of web servers, and all that goes wrong on the way.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use crate::common::{
    self, Answer, Folder, Request, Run, Server, fetch, gzip, noise, onnx, sha256, small_model, tar_of, tls,
};

/// A model's archive that is far larger than what a socket keeps.
fn large() -> Vec<u8> {
    tar_of(&common::model(&[("model.onnx", onnx(6 << 20))]))
}

#[test]
fn an_archive_is_a_model() {
    let folder = Folder::new("archive");
    let archive = gzip(&tar_of(&small_model()));
    let digest = sha256(&archive);
    let server = Server::start(move |request| Answer::file(&archive, "\"1\"", request));
    let outcome = fetch(&folder, &["http", &server.url("/m.tar.gz?sig=s3cret"), "--sha256", &digest]).assert_ok();
    assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"]);
    assert_eq!(fs::read(folder.model().join("model.onnx")).unwrap(), onnx(1000));
    assert_eq!(outcome.logged("files"), Some(3.into()));
    assert!(outcome.logged("digest").unwrap().as_str().unwrap().starts_with("sha256:"));
    assert!(!outcome.log.contains("s3cret"), "{}", outcome.log);
    // Nothing is left beside it but the lock.
    let mut beside: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    beside.retain(|name| !name.to_string_lossy().starts_with("termination"));
    beside.sort();
    assert_eq!(beside, [".model.lock", "model"]);

    // A finished directory is taken as it is.
    fetch(&folder, &["http", &server.url("/m.tar.gz")]).assert_ok();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn single_files_are_a_model() {
    let folder = Folder::new("files");
    let server = Server::start(|request| {
        let files = small_model();
        let content = files.iter().find(|(name, _)| request.path == format!("/a/{name}"));
        content.map_or_else(|| Answer::status(404), |(_, content)| Answer::file(content, "", request))
    });
    let urls: Vec<String> =
        ["config.json", "tokenizer.json", "model.onnx"].iter().map(|name| server.url(&format!("/a/{name}"))).collect();
    let mut arguments = vec!["http"];
    arguments.extend(urls.iter().map(String::as_str));
    fetch(&folder, &arguments).assert_ok();
    assert_eq!(folder.listed(), ["config.json", "model.onnx", "tokenizer.json"]);
}

#[test]
fn two_files_of_one_name_are_none() {
    let folder = Folder::new("twins");
    let server = Server::start(|_| Answer::ok("{}"));
    let (one, two) = (server.url("/a/config.json"), server.url("/b/config.json"));
    fetch(&folder, &["http", &one, &two]).assert_failed(&["holds config.json twice"]);
}

#[test]
fn a_cut_connection_is_gone_on_with_where_it_was_cut() {
    let folder = Folder::new("cut");
    let archive = large();
    let digest = sha256(&archive);
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match tries.fetch_add(1, Relaxed) {
        0 => Answer::file(&archive, "\"1\"", request).cut_at(1_000_000),
        1 => Answer::file(&archive, "\"1\"", request).cut_at(2_000_000),
        _ => Answer::file(&archive, "\"1\"", request),
    });
    fetch(&folder, &["http", &server.url("/m.tar"), "--sha256", &digest]).assert_ok();
    let from: Vec<_> = server.requests().iter().map(Request::from).collect();
    assert_eq!(from, [0, 1_000_000, 3_000_000]);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"1\""));
    assert_eq!(fs::read(folder.model().join("model.onnx")).unwrap(), onnx(6 << 20));
}

#[test]
fn a_file_that_was_replaced_meanwhile_is_fetched_anew() {
    let folder = Folder::new("replaced");
    let (old, new) = (noise(3_000_000), large());
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match tries.fetch_add(1, Relaxed) {
        0 => Answer::file(&old, "\"old\"", request).cut_at(1_000_000),
        _ => Answer::file(&new, "\"new\"", request),
    });
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    assert_eq!(server.requests()[1].from(), 1_000_000);
    assert_eq!(fs::read(folder.model().join("model.onnx")).unwrap(), onnx(6 << 20));
}

#[test]
fn a_pinned_file_that_was_replaced_behind_its_name_is_fetched_anew() {
    let folder = Folder::new("replaced-pinned");
    let (old, new) = (noise(3_000_000), large());
    let digest = sha256(&new);
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match tries.fetch_add(1, Relaxed) {
        0 => Answer::file(&old, "", request).cut_at(1_000_000),
        _ => Answer::file(&new, "", request),
    });
    let outcome = fetch(&folder, &["http", &server.url("/m.tar"), "--sha256", &digest]);
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [0, 1_000_000, 0], "{outcome:?}");
    outcome.assert_ok();
}

#[test]
fn without_a_tag_nothing_is_put_together_from_parts() {
    let folder = Folder::new("untagged");
    let archive = large();
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let answer = Answer::file(&archive, "", request);
        if tries.fetch_add(1, Relaxed) == 0 { answer.cut_at(1_000_000) } else { answer }
    });
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    assert_eq!(server.requests().iter().map(Request::from).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_connection_that_is_always_cut_is_given_up() {
    let folder = Folder::new("always");
    let server = Server::start(|request| Answer::file(&noise(100_000), "\"1\"", request).cut_at(10));
    let outcome = fetch(&folder, &["--attempts", "3", "http", &server.url("/m.tar")]);
    outcome.assert_failed(&["was cut at byte 30 of m.tar", "3 times in a row"]);
    assert!(!folder.model().exists());
}

#[test]
fn a_wrong_digest_is_refused_before_anything_is_unpacked() {
    let folder = Folder::new("digest");
    let archive = tar_of(&small_model());
    let got = sha256(&archive);
    let server = Server::start(move |request| Answer::file(&archive, "\"1\"", request));
    let expected = "0".repeat(64);
    let outcome = fetch(&folder, &["http", &server.url("/m.tar"), "--sha256", &expected]);
    outcome.assert_failed(&["m.tar", "has the digest sha256:", &got, &expected, "correct the digest"]);
    assert!(!folder.model().exists());
    assert_eq!(common::list(&folder.join(".model.partial")), [""; 0]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_models_own_digest_is_checked() {
    let folder = Folder::new("model-digest");
    let archive = tar_of(&small_model());
    let server = Server::start(move |request| Answer::file(&archive, "\"1\"", request));
    let url = server.url("/m.tar");
    let wrong = format!("sha256:{}", "0".repeat(64));
    let outcome = fetch(&folder, &["--digest", &wrong, "http", &url]);
    let outcome = outcome.assert_failed(&["the model's digest is sha256:", &wrong, "spec.model.digest"]);
    assert!(!folder.model().exists() && !folder.join(".model.partial").exists());
    let found = outcome.told.split("digest is ").nth(1).unwrap().split(',').next().unwrap();
    fetch(&folder, &["--digest", found, "http", &url]).assert_ok();
    fetch(&folder, &["--digest", found, "http", &url]).assert_ok();
    assert_eq!(server.requests().len(), 2);

    // A directory of another digest isn't thrown away.
    fetch(&folder, &["--digest", &wrong, "http", &url]).assert_failed(&["is there and holds a model with", found]);
    // One that was made here and is damaged is made again.
    fs::write(folder.model().join("model.onnx"), onnx(7)).unwrap();
    fetch(&folder, &["--digest", found, "http", &url]).assert_ok();
    assert_eq!(server.requests().len(), 3);
    assert_eq!(fs::read(folder.model().join("model.onnx")).unwrap(), onnx(1000));
}

#[test]
fn refusals_say_what_to_look_at() {
    for (status, words) in [
        (401, ["wants valid credentials for m.tar (401)", "headersSecretRef"]),
        (403, ["refuses access to m.tar (403)", "headersSecretRef"]),
        (404, ["has no m.tar (404)", "spec.model.source.http.url"]),
        (400, ["answers 400 for m.tar", "check that the address is right"]),
    ] {
        let folder = Folder::new("refused");
        let server = Server::start(move |_| Answer::status(status));
        let url = server.url("/m.tar?sig=s3cret").replace("http://", "http://me:pa55@");
        let outcome = fetch(&folder, &["http", &url]).assert_failed(&words);
        assert!(!outcome.log.contains("s3cret") && !outcome.log.contains("pa55"), "{}", outcome.log);
        assert_eq!(server.requests().len(), 1, "{status} is no matter of time");
    }
}

#[test]
fn servers_in_trouble_are_asked_again_when_they_say() {
    let folder = Folder::new("429");
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match tries.fetch_add(1, Relaxed) {
        0 => Answer::status(429).with("Retry-After", "2"),
        1 => Answer::status(503),
        _ => Answer::file(&tar_of(&small_model()), "\"1\"", request),
    });
    let outcome = fetch(&folder, &["http", &server.url("/m.tar")]).assert_ok();
    assert!(outcome.took >= Duration::from_secs(2), "{:?}", outcome.took);

    let folder = Folder::new("429-always");
    let server = Server::start(|_| Answer::status(429).with("Retry-After", "0"));
    let outcome = fetch(&folder, &["--attempts", "4", "http", &server.url("/m.tar")]);
    outcome.assert_failed(&["is asked too often for m.tar (429)", "4 times in a row"]);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_slow_drip_is_given_up() {
    let folder = Folder::new("drip");
    let server =
        Server::start(|request| Answer::file(&noise(100_000), "\"1\"", request).drip(10, Duration::from_millis(50)));
    let outcome = fetch(&folder, &["--stall", "1", "--attempts", "2", "http", &server.url("/m.tar")]);
    let outcome = outcome.assert_failed(&["sent only", "bytes of m.tar in 1 s", "2 times in a row"]);
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
    assert!(server.requests()[1].from() > 0, "the second try goes on");
}

#[test]
fn the_whole_has_a_time_too() {
    let folder = Folder::new("timeout");
    // Fast enough never to be called stalled.
    let server = Server::start(|request| {
        Answer::file(&noise(50_000_000), "\"1\"", request).drip(20_000, Duration::from_millis(100))
    });
    let outcome = fetch(&folder, &["--timeout", "2", "http", &server.url("/m.tar")]);
    let outcome = outcome.assert_failed(&["isn't there after 2 s", "raise --timeout"]);
    assert!(outcome.took < Duration::from_secs(4), "{:?}", outcome.took);
}

#[test]
fn headers_go_to_the_server_that_is_named_and_to_no_other() {
    let folder = Folder::new("headers");
    folder.write("headers/X-Token", "s3cret\n");
    folder.write("headers/Authorization", "Bearer s3cret");
    folder.write("headers/..data", "no header");
    let store = Server::start(|request| Answer::file(&tar_of(&small_model()), "\"1\"", request));
    for leads_by_name in [false, true] {
        let to = if leads_by_name { store.url_by_name("/m.tar") } else { store.url("/m.tar") };
        let server = Server::start(move |request| match request.path.as_str() {
            "/m.tar" => Answer::redirect("/again"),
            _ => Answer::redirect(&to),
        });
        let headers = folder.join("headers").display().to_string();
        let outcome = fetch(&folder, &["http", &server.url("/m.tar"), "--headers", &headers]).assert_ok();
        fs::remove_dir_all(folder.model()).unwrap();
        for request in server.requests() {
            assert_eq!(
                (request.header("x-token"), request.header("authorization")),
                (Some("s3cret"), Some("Bearer s3cret"))
            );
        }
        assert!(!outcome.log.contains("s3cret"), "{}", outcome.log);
    }
    assert_eq!(store.requests().len(), 2);
    for request in store.requests() {
        assert_eq!((request.header("x-token"), request.header("authorization")), (None, None));
    }
}

#[test]
fn link_local_addresses_are_refused() {
    for to in ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/"] {
        let folder = Folder::new("link-local");
        let server = Server::start(move |_| Answer::redirect(to));
        fetch(&folder, &["http", &server.url("/m.tar")]).assert_failed(&["leads to a link-local address"]);
        fetch(&folder, &["http", to]).assert_failed(&["leads to a link-local address"]);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn names_of_link_local_addresses_are_refused() {
    let folder = Folder::new("link-local-name");
    let hosts = folder.write("hosts", "169.254.10.10 metadata.example\n127.0.0.1 localhost\n");
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let Some(shell) = own_mounts(&script) else { return };
    let outcome = Run::in_place_of(shell, &folder, &["http", "http://metadata.example/m.tar"]).run();
    outcome.assert_failed(&["metadata.example leads to a link-local address"]);
}

/// A shell with mounts of its own, before the program and its arguments; `None` where the system has none to give.
fn own_mounts(script: &str) -> Option<Command> {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]).args(arguments);
        command
    };
    if !unshare(&["mount -t tmpfs none /mnt"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system lets nobody have mounts of their own");
        return None;
    }
    Some(unshare(&[script, "sh", env!("CARGO_BIN_EXE_model-fetch")]))
}

#[test]
fn redirects_end() {
    let folder = Folder::new("round");
    let server = Server::start(|_| Answer::redirect("/m.tar"));
    fetch(&folder, &["http", &server.url("/m.tar")]).assert_failed(&["redirects more often than is followed"]);
}

#[test]
fn private_authorities_are_trusted_when_they_are_named() {
    let folder = Folder::new("tls");
    let (authority, config) = tls();
    let file = folder.write("ca.pem", authority);
    let plain = Server::start(|_| Answer::ok("never"));
    let plain_url = plain.url("/m.tar");
    let server = Server::start_tls(config, move |request| match request.path.as_str() {
        "/down" => Answer::redirect(&plain_url),
        _ => Answer::file(&tar_of(&small_model()), "\"1\"", request),
    });
    let url = server.url("/m.tar");
    fetch(&folder, &["http", &url]).assert_failed(&["isn't trusted", "SSL_CERT_FILE"]);
    Run::new(&folder, &["http", &url]).env("SSL_CERT_FILE", &file).run().assert_ok();
    fs::remove_dir_all(folder.model()).unwrap();

    let down = Run::new(&folder, &["http", &server.url("/down")]).env("SSL_CERT_FILE", &file).run();
    down.assert_failed(&["without encryption, which isn't followed"]);
    assert_eq!(plain.requests().len(), 0);
    let missing = Run::new(&folder, &["http", &url]).env("SSL_CERT_FILE", folder.join("missing.pem")).run();
    missing.assert_failed(&["no certificate of an authority can be read from SSL_CERT_FILE"]);
}

#[test]
fn proxies_are_used_as_the_environment_says() {
    let folder = Folder::new("proxy");
    let proxy = Server::start(|request| Answer::file(&tar_of(&small_model()), "\"1\"", request));
    let url = proxy.url("");
    Run::new(&folder, &["http", "http://models.example/m.tar"]).env("HTTP_PROXY", &url).run().assert_ok();
    assert_eq!(proxy.requests()[0].path, "http://models.example/m.tar");
    fs::remove_dir_all(folder.model()).unwrap();

    let server = Server::start(|request| Answer::file(&tar_of(&small_model()), "\"1\"", request));
    let direct = Run::new(&folder, &["http", &server.url("/m.tar")]).env("HTTP_PROXY", &url);
    direct.env("NO_PROXY", "127.0.0.0/8").run().assert_ok();
    assert_eq!((server.requests().len(), proxy.requests().len()), (1, 1));
}

#[test]
fn nobody_there() {
    let folder = Folder::new("nobody");
    let (listener, url) = common::silent();
    drop(listener);
    let outcome = fetch(&folder, &["--attempts", "2", "http", &format!("{url}/m.tar")]);
    outcome.assert_failed(&["can't be reached", "refused", "network policy", "2 times in a row"]);
}

#[test]
fn a_full_disk_is_one_clear_sentence() {
    let folder = Folder::new("full");
    fs::create_dir_all(folder.join("volume")).unwrap();
    let server = Server::start(|request| Answer::file(&large(), "\"1\"", request));
    let volume = folder.join("volume");
    let script = format!("mount -t tmpfs -o size=2m none {} && exec \"$@\"", volume.display());
    let Some(shell) = own_mounts(&script) else { return };
    let into = volume.join("model").display().to_string();
    let run = Run::in_place_of(shell, &folder, &["--into", &into, "http", &server.url("/m.tar")]);
    run.run().assert_failed(&["the volume of", "is full", "spec.model.cache.size"]);
}

#[test]
fn what_is_no_source_is_said_at_once() {
    let folder = Folder::new("bad");
    fetch(&folder, &["http", "ftp://host/m.tar"]).assert_failed(&["isn't of the web"]);
    fetch(&folder, &["http", "nowhere"]).assert_failed(&["is no address"]);
    fetch(&folder, &["http", "http://host/", "--sha256", "abc"]).assert_failed(&["is no SHA-256"]);
    assert!(!folder.join(".model.lock").exists());
}

#[test]
fn a_page_is_no_archive() {
    let folder = Folder::new("page");
    let server = Server::start(|_| Answer::ok("<html>Sign in</html>"));
    fetch(&folder, &["http", &server.url("/m.tar.gz")]).assert_failed(&["m.tar.gz can't be unpacked", "no archive"]);
}
