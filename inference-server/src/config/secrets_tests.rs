//! Secrets that are there but can't be used, and secrets that nobody may see.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::*;

/// What no output may hold.
const CANARY: &str = "CANARY-d7f3";

/// A folder of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kubesentiment-secrets-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.0.join(name).display().to_string()
    }

    /// The settings of this folder's file and of these variables.
    fn settings(&self, yaml: &str, variables: &[(&str, &OsStr)]) -> Result<Settings, ConfigError> {
        self.write("server.yaml", yaml);
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.to_os_string()));
        let mut settings = Settings::of_process(variables, Some(self.0.display().to_string()));
        settings.read_files().map(|()| settings)
    }

    fn error(&self, yaml: &str, variables: &[(&str, &OsStr)]) -> String {
        let error = match self.settings(yaml, variables) {
            Ok(settings) => Config::of(&settings).expect_err("the settings can be used"),
            Err(error) => error,
        };
        error.to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn secrets() -> impl Iterator<Item = &'static Variable> {
    variables().filter(|variable| variable.secrecy == Secrecy::Secret)
}

#[test]
fn every_secret_has_a_variable_that_names_its_file_and_no_other_has() {
    for secret in secrets() {
        let file = variables::find(&format!("{}_FILE", secret.name)).unwrap();
        assert_eq!((file.secrecy, file.key()), (Secrecy::SecretFile, format!("{}_file", secret.key())));
    }
    // A certificate and its key are in files alone.
    let files = variables().filter(|variable| variable.secrecy == Secrecy::SecretFile);
    let files = files.filter(|variable| !variable.name.starts_with("MLOPS_TLS_"));
    assert_eq!(files.count(), secrets().count());
}

#[test]
fn a_secret_that_is_blank_or_no_text_ends_the_start_in_every_form() {
    let folder = Folder::new("blank");
    let empty = folder.write("empty", "\n");
    let missing = folder.0.join("missing").display().to_string();
    for secret in secrets() {
        let (name, file) = (secret.name, format!("{}_FILE", secret.name));
        for blank in ["", " ", "\t\n"] {
            let sentence = format!("{name} is blank: give it a value or unset it");
            assert_eq!(folder.error("", &[(name, blank.as_ref())]), sentence);
            assert!(
                folder.error("", &[(&file, blank.as_ref())]).starts_with(&format!("{file} must be the whole path"))
            );
        }
        // Also where a file of settings has a good one.
        let yaml = format!("{}: a=b", secret.key());
        assert!(folder.error(&yaml, &[(name, " ".as_ref())]).starts_with(&format!("{name} is blank")));
        for yaml in [format!("{}:", secret.key()), format!("{}: ' '", secret.key())] {
            let sentence = folder.error(&yaml, &[]);
            assert!(
                sentence.starts_with(&format!("{} in ", secret.key())) && sentence.contains("is blank"),
                "{sentence}"
            );
        }
        let sentence = folder.error("", &[(&file, empty.as_ref())]);
        assert!(sentence.starts_with(&format!("the file that {file} names ")), "{sentence}");
        let sentence = folder.error("", &[(&file, missing.as_ref())]);
        assert!(sentence.starts_with(&format!("the file that {file} names can't be read: ")), "{sentence}");
        for name in [name, &file] {
            let sentence = folder.error("", &[(name, OsStr::from_bytes(b"\xff\xfe"))]);
            assert_eq!(sentence, format!("{name} is not UTF-8 text: give it a value that is, or unset it"));
        }
    }
}

#[test]
fn a_secret_in_both_forms_is_refused() {
    let folder = Folder::new("both");
    let path = folder.write("secret", "a=b");
    for secret in secrets() {
        let file = format!("{}_FILE", secret.name);
        let both = [(secret.name, "a=b".as_ref()), (&*file, path.as_ref())];
        assert_eq!(folder.error("", &both), format!("{} and {file} are both set: keep one", secret.name));
        let sentence = folder.error(&format!("{}_file: {path}", secret.key()), &both[..1]);
        assert!(sentence.starts_with(&format!("{} and {}_file in ", secret.name, secret.key())), "{sentence}");
    }
}

#[test]
fn secrets_come_from_files_that_variables_or_files_of_settings_name() {
    let folder = Folder::new("files");
    let keys = folder.write("keys", "shop: one\nbilling: two\n");
    let password = folder.write("password", "hunter2\n");
    let headers = folder.write("headers", "authorization=Bearer x");
    let yaml = format!("redis: {{enabled: true, password_file: {password}}}\notlp: {{endpoint: 'http://a:4318'}}");
    let variables = [("MLOPS_API_KEY_FILE", keys.as_ref()), ("MLOPS_OTLP_HEADERS_FILE", headers.as_ref())];
    let config = Config::of(&folder.settings(&yaml, &variables).unwrap()).unwrap();
    assert_eq!(config.api_keys.as_ref().unwrap().current().name_of(b"two").unwrap().as_ref(), "billing");
    assert_eq!(config.redis.as_ref().unwrap().password.as_ref().unwrap().current().expose(), "hunter2");
    let files: Vec<_> = config.secret_files().iter().map(|file| file.variable()).collect();
    assert_eq!(files, ["MLOPS_API_KEY_FILE", "MLOPS_REDIS_PASSWORD_FILE", "MLOPS_OTLP_HEADERS_FILE"]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_certificate_needs_its_key_and_an_authority_needs_both() {
    let folder = Folder::new("tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = folder.write("tls.crt", &made.cert.pem());
    let key = folder.write("tls.key", &made.signing_key.serialize_pem());
    let other = folder.write("other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem());
    let [cert_name, key_name, ca_name] = ["MLOPS_TLS_CERT_FILE", "MLOPS_TLS_KEY_FILE", "MLOPS_TLS_CLIENT_CA_FILE"];
    let (cert, key) = ((cert_name, certificate.as_ref()), (key_name, key.as_ref()));
    for (variables, sentence) in [
        (&[cert][..], "MLOPS_TLS_CERT_FILE is set, but has no effect unless MLOPS_TLS_KEY_FILE is set too"),
        (&[key], "MLOPS_TLS_KEY_FILE is set, but has no effect unless MLOPS_TLS_CERT_FILE is set too"),
        (
            &[(ca_name, certificate.as_ref())],
            "MLOPS_TLS_CLIENT_CA_FILE is set, but has no effect unless MLOPS_TLS_CERT_FILE and MLOPS_TLS_KEY_FILE are set \
             too",
        ),
        (&[cert, (key_name, "".as_ref())], "MLOPS_TLS_KEY_FILE must be the whole path of a file, "),
        (&[(cert_name, "/no/where".as_ref()), key], "the file that MLOPS_TLS_CERT_FILE names can't be read: "),
        (&[cert, (key_name, other.as_ref())], "the file that MLOPS_TLS_KEY_FILE names holds another key than "),
        (
            &[cert, key, (ca_name, other.as_ref())],
            "the file that MLOPS_TLS_CLIENT_CA_FILE names holds no certificate: ",
        ),
    ] {
        let found = folder.error("", variables);
        assert!(found.starts_with(sentence), "{found}");
    }
    let config = Config::of(&folder.settings("", &[cert, key]).unwrap()).unwrap();
    let files: Vec<_> = config.secret_files().iter().map(|file| file.variable()).collect();
    assert!(config.tls.is_some() && files == ["MLOPS_TLS_CERT_FILE"], "{files:?}");
    assert!(Config::of(&folder.settings("", &[]).unwrap()).unwrap().tls.is_none());
}

#[test]
fn limits_need_a_key_and_can_be_a_list_in_a_file() {
    let folder = Folder::new("limits");
    let yaml = "api_key_limits:\n  - name: shop\n    requestsPerSecond: 10\n  - {name: '*', concurrency: 4}\n";
    let config = Config::of(&folder.settings(yaml, &[("MLOPS_API_KEY", "s3cret".as_ref())]).unwrap()).unwrap();
    let limits = config.api_key_limits.unwrap();
    assert_eq!(
        (limits.of("shop").unwrap().rate.unwrap().burst.get(), limits.of("a").unwrap().concurrency),
        (10, Some(4))
    );
    let sentence = folder.error(yaml, &[]);
    let needs = " is set, but has no effect unless MLOPS_API_KEY or MLOPS_API_KEY_FILE is set";
    assert!(sentence.starts_with("api_key_limits in ") && sentence.ends_with(needs), "{sentence}");
    let sentence = folder.error("", &[("MLOPS_API_KEY_LIMITS", "10 a second".as_ref())]);
    assert!(sentence.starts_with("MLOPS_API_KEY_LIMITS is not a list of limits: "), "{sentence}");
}

#[test]
fn a_variable_that_is_no_text_is_an_error_where_it_is_known_and_a_warning_where_it_is_not() {
    let folder = Folder::new("no-text");
    let bytes = OsStr::from_bytes(b"\xff");
    for name in ["MLOPS_PORT", "MLOPS_REDIS_HOST", "MLOPS_TERMINATION_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        let sentence = folder.error("", &[(name, bytes)]);
        assert_eq!(sentence, format!("{name} is not UTF-8 text: give it a value that is, or unset it"));
    }
    // Where it isn't looked at, it may be another program's.
    let variables = [("REDIS_HOST", bytes), ("HOME", bytes), ("MLOPS_PROT", bytes)];
    let settings = folder.settings("", &variables).unwrap();
    Config::of(&settings).unwrap();
    assert_eq!(
        Reader::new(&settings).without_effect(),
        ["MLOPS_PROT is not a known variable and has no effect; did you mean MLOPS_PORT?"]
    );
    let sentence = folder.error("", &[("REDIS_HOST", bytes), ("MLOPS_REDIS_ENABLED", "true".as_ref())]);
    assert!(sentence.starts_with("REDIS_HOST is not UTF-8 text"), "{sentence}");
    let both = [("REDIS_HOST", bytes), ("MLOPS_REDIS_HOST", "a".as_ref()), ("MLOPS_REDIS_ENABLED", "true".as_ref())];
    assert!(folder.settings("", &both).is_ok_and(|settings| Config::of(&settings).is_ok()));
}

/// Everything that these settings let a person see.
fn shown(folder: &Folder, yaml: &str, variables: &[(&str, &OsStr)]) -> String {
    let settings = match folder.settings(yaml, variables) {
        Ok(settings) => settings,
        Err(error) => return format!("{error} {error:?}"),
    };
    let reader = Reader::new(&settings);
    let mut all = format!("{}\n{:?}\n", reader.print(), reader.without_effect());
    match Config::of(&settings) {
        Ok(config) => all.push_str(&format!("{config:?}")),
        Err(error) => all.push_str(&format!("{error} {error:?}")),
    }
    all
}

#[test]
fn a_secret_is_in_nothing_that_is_shown_wherever_it_was_put() {
    let folder = Folder::new("canary");
    let everything = [
        ("MLOPS_REDIS_ENABLED", OsStr::new("true")),
        ("MLOPS_ENABLE_TRACING", OsStr::new("true")),
        ("MLOPS_REDIS_TLS", OsStr::new("true")),
    ];
    // In place of the secret, or of the file's name, in forms that can and that can't be used.
    for variable in variables().filter(|variable| variable.secrecy != Secrecy::Open) {
        let values = [
            CANARY.to_owned(),
            format!("{CANARY}\n{CANARY}"),
            format!("name: {CANARY}"),
            format!("authorization={CANARY}"),
            format!("{CANARY}\u{1}"),
            format!("{CANARY}ü"),
            CANARY.repeat(200),
        ];
        for value in values {
            let variables = [&everything[..], &[(variable.name, value.as_ref())]].concat();
            let shown = shown(&folder, "", &variables);
            assert!(!shown.contains(CANARY), "{}={value} shows\n{shown}", variable.name);
        }
        let bytes = [CANARY.as_bytes(), b"\xff"].concat();
        assert!(!shown(&folder, "", &[(variable.name, OsStr::from_bytes(&bytes))]).contains(CANARY));
        for value in [
            format!("'{CANARY}'"),
            format!("[{CANARY}, b]"),
            format!("{{{CANARY}: b}}"),
            format!("{{name: {CANARY}}}"),
            format!("{{name: {{{CANARY}: b}}}}"),
            format!("!tag {CANARY}"),
            format!("'{CANARY}"),
            format!("{CANARY}: {CANARY}"),
            format!("\n  - {CANARY}\n - b"),
        ] {
            let yaml = format!("{}: {value}", variable.key());
            let shown = shown(&folder, &yaml, &everything);
            assert!(!shown.contains(CANARY), "{yaml} shows\n{shown}");
        }
        // A space is missing, so that key and value are one.
        for yaml in [format!("port: 1\n{}:{CANARY}", variable.key()), format!("{}:{CANARY}: a", variable.key())] {
            let shown = shown(&folder, &yaml, &everything);
            assert!(!shown.contains(CANARY), "{yaml} shows\n{shown}");
        }
        let file = folder.write("secret", &format!("a: {CANARY}\n{CANARY}\u{1}"));
        assert!(!shown(&folder, "", &[(variable.name, file.as_ref())]).contains(CANARY));
    }
}

#[test]
fn a_url_s_user_and_query_are_in_no_message_whichever_variable_they_were_put_in() {
    let folder = Folder::new("url");
    let everything = [("MLOPS_REDIS_ENABLED", OsStr::new("true")), ("MLOPS_ENABLE_TRACING", OsStr::new("true"))];
    // Not the debug print, which nothing shows: a path is there as it was written.
    let told = |yaml: &str, variables: &[(&str, &OsStr)]| match folder.settings(yaml, variables) {
        Ok(settings) => {
            let error = Config::of(&settings).err().map(|error| error.to_string());
            format!("{}{error:?}", Reader::new(&settings).print())
        }
        Err(error) => error.to_string(),
    };
    for variable in variables().filter(|variable| variable.secrecy == Secrecy::Open) {
        for value in [
            format!("https://user:{CANARY}@host:4318/path"),
            format!("https://{CANARY}@host"),
            format!("redis://:{CANARY}@host:6379/0"),
            format!(":{CANARY}@host:6379"),
            format!("https://a.example, https://u:{CANARY}@b.example"),
            format!(r#"["https://u:{CANARY}@b.example"]"#),
            format!("https://host/?token={CANARY}"),
        ] {
            let yaml = format!("{}: {}", variable.key(), serde_json::json!(value));
            for name in [Some(variable.name), variable.also].into_iter().flatten() {
                let told = told("", &[&everything[..], &[(name, value.as_ref())]].concat());
                assert!(!told.contains(CANARY), "{name}={value} shows\n{told}");
            }
            assert!(!told(&yaml, &everything).contains(CANARY), "{yaml}");
        }
    }
    let headers = [("OTEL_EXPORTER_OTLP_HEADERS", CANARY.as_ref()), ("MLOPS_ENABLE_TRACING", "true".as_ref())];
    let told = told("", &headers);
    assert!(told.contains("OTEL_EXPORTER_OTLP_HEADERS has no = in header 1") && !told.contains(CANARY), "{told}");
}

#[test]
fn an_endpoint_with_a_token_says_where_the_token_belongs() {
    let sentence = Config::read(&[("MLOPS_OTLP_ENDPOINT".to_owned(), format!("https://u:{CANARY}@host"))].into());
    let sentence = sentence.unwrap_err().to_string();
    assert!(sentence.starts_with("MLOPS_OTLP_ENDPOINT is \"https://***@host\", but must be a URL like "), "{sentence}");
    assert!(sentence.contains("MLOPS_OTLP_HEADERS"), "{sentence}");
}

#[test]
fn the_port_of_version_1_is_told_from_others() {
    let grpc = |endpoint: &str| {
        let config = Config::read(&[("MLOPS_OTLP_ENDPOINT".to_owned(), endpoint.to_owned())].into()).unwrap();
        config.tracing.unwrap().is_grpc_port()
    };
    assert!(grpc("http://collector:4317") && grpc("https://[::1]:4317/otlp"));
    assert!(!grpc("http://collector:4318") && !grpc("http://collector") && !grpc("http://c:4318/4317"));
}
