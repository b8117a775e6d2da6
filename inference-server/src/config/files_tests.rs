use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{super::*, *};

/// A folder of settings of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kubesentiment-settings-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.0.join(name).display().to_string()
    }

    fn settings(&self, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut settings = Settings::new(environment, Some(self.0.display().to_string()));
        settings.read_files().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    fn config(&self, environment: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(&self.settings(environment)?).map_err(|error| error.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn parsed(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    Ok(parse(text)?.into_iter().map(|(variable, value)| (variable.name, value)).collect())
}

#[test]
fn keys_are_the_variables_in_lower_case_nested_or_not() {
    let expected = [
        ("MLOPS_PORT", "8080".to_owned()),
        ("MLOPS_MAX_TEXT_LENGTH", "100".to_owned()),
        ("MLOPS_MAX_TOKENS", "64".to_owned()),
        ("MLOPS_DEBUG", "true".to_owned()),
        ("MLOPS_NEUTRAL_BAND", "0.6".to_owned()),
        ("MLOPS_LABELS", r#"["no","yes, sir"]"#.to_owned()),
        ("MLOPS_DROP_LABELS", r#"["no"]"#.to_owned()),
        ("MLOPS_API_KEY", String::new()),
    ];
    let flat = "
port: 8080
max_text_length: 100
max_tokens: '64'
debug: true
neutral_band: 0.6
labels: [no, 'yes, sir']
drop_labels: [no]
api_key:
";
    let nested = "
port: 8080
max: {text: {length: 100}, tokens: '64'}
debug: true
neutral: {band: 0.6}
labels:
  - no
  - yes, sir
drop: {labels: [no]}
api_key: ~
";
    assert_eq!(parsed(flat).unwrap(), expected);
    assert_eq!(parsed(nested).unwrap(), expected);
    for empty in ["", "# nothing\n", "---\n", "{}"] {
        assert_eq!(parsed(empty).unwrap(), [], "{empty:?}");
    }
}

#[test]
fn every_variable_but_the_folders_own_has_its_key() {
    for variable in variables() {
        let key = variable.key();
        let found = parsed(&format!("{key}: text"));
        if variable.name == "MLOPS_CONFIG_DIR" {
            assert!(found.unwrap_err().starts_with("config_dir is not a known key"));
        } else {
            assert_eq!(found.unwrap(), [(variable.name, "text".to_owned())]);
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_what_was_probably_meant() {
    for (text, expected) in [
        ("prot: 1", "prot is not a known key; did you mean port?"),
        ("log: {levle: INFO}", "log_levle is not a known key; did you mean log_level?"),
        ("MLOPS_PORT: 1", "MLOPS_PORT is not a known key; did you mean port?"),
        ("log-level: INFO", "log-level is not a known key; did you mean log_level?"),
        ("maxTextLength: 1", "maxTextLength is not a known key; did you mean max_text_length?"),
        ("prediction_cache: true", "prediction_cache is not a known key; did you mean prediction_cache_enabled?"),
        ("onnx_intra_op_num_threads: 1", "onnx_intra_op_num_threads is not a known key; did you mean threads?"),
    ] {
        assert_eq!(parsed(text).unwrap_err(), expected);
    }
    let nothing_near = parsed("kafka: {enabled: true}").unwrap_err();
    assert!(nothing_near.starts_with("kafka_enabled is not a known key; a key is the name of a"), "{nothing_near}");
}

#[test]
fn what_is_no_settings_is_refused_in_one_line() {
    let deep = format!("{}1", "[".repeat(60_000));
    let deep_mapping = format!("{}1{}", "{a: ".repeat(200), "}".repeat(200));
    let long = format!("{}: 1", "k".repeat(500));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e]\n\
                g: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]";
    for (text, expected) in [
        ("port", "must hold keys with values"),
        ("- port: 1", "must hold keys with values"),
        ("port: 1\nport: 2", "is not usable YAML: "),
        ("log_level: INFO\nlog: {level: INFO}", "log_level is there twice; keep one"),
        ("1: port", "holds a key that is not text; a key is the name of a variable"),
        ("port: !port 1", "port must be a whole number from 0 to 65535"),
        ("labels: [[a], b]", "labels must be a JSON or comma-separated list of names"),
        ("labels: [{a: b}]", "labels must be a JSON or comma-separated list of names"),
        ("port: [", "is not usable YAML: "),
        ("port: 1\n---\nport: 2", "is not usable YAML: "),
        ("port: *nowhere", "is not usable YAML: "),
        (&deep, "is not usable YAML: "),
        (&deep_mapping, "is not usable YAML: "),
        (&long, "holds a key of more than 100 bytes; "),
        (bomb, "is not usable YAML: "),
    ] {
        let problem = parsed(text).unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
        assert!(!problem.contains('\n') && problem.len() < 300, "{problem}");
    }
}

#[test]
fn the_environment_wins_over_files_and_a_later_file_over_an_earlier_one() {
    let folder = Folder::new("order");
    folder.write("10-first.yaml", "port: 1\nmax_text_length: 10\nmax_batch_size: 3");
    let second = folder.write("20-second.yml", "max_text_length: 20\nmax_batch_size: 4");
    folder.write("note.txt", "port: not read");
    folder.write(".hidden.yaml", "port: not read");
    let without_ending = folder.write("LOG_LEVEL", "not read, but told of");
    let environment = [("MLOPS_MAX_BATCH_SIZE", "5"), ("MLOPS_PORT", "")];
    let config = folder.config(&environment).unwrap();
    assert_eq!((config.port, config.max_text_length, config.engine.max_batch_size), (1, 20, 5));

    let settings = folder.settings(&environment).unwrap();
    assert_eq!(settings.files().len(), 2);
    let reader = Reader::new(&settings);
    assert_eq!(reader.without_effect(), [format!("{without_ending} is not read: its name must end in .yaml")]);
    let printed = reader.print();
    for (setting, origin) in [
        ("MLOPS_CONFIG_DIR=", "command line"),
        ("MLOPS_MAX_TEXT_LENGTH=20 ", second.as_str()),
        ("MLOPS_MAX_BATCH_SIZE=5 ", "environment, MLOPS_MAX_BATCH_SIZE"),
        ("MLOPS_QUEUE_CAPACITY=256 ", "default"),
    ] {
        let line = printed.lines().find(|line| line.starts_with(setting)).unwrap();
        assert!(line.ends_with(&format!("  # {origin}")), "{line}");
    }
}

#[test]
fn a_mounted_config_map_is_read_once_through_its_links() {
    let folder = Folder::new("config-map");
    let version = folder.0.join("..2026_11_25_04_00_00.123");
    fs::create_dir(&version).unwrap();
    fs::write(version.join("server.yaml"), "port: 4").unwrap();
    symlink("..2026_11_25_04_00_00.123", folder.0.join("..data")).unwrap();
    symlink("..data/server.yaml", folder.0.join("server.yaml")).unwrap();
    let settings = folder.settings(&[]).unwrap();
    assert_eq!(settings.files(), [folder.0.join("server.yaml")]);
    assert_eq!(Config::of(&settings).unwrap().port, 4);
}

#[test]
fn a_bad_value_names_file_key_and_what_is_allowed_and_no_secret() {
    let folder = Folder::new("bad-value");
    let file = folder.write("server.yaml", "max: {batch: {size: many}}");
    assert_eq!(
        folder.config(&[]).unwrap_err(),
        format!("max_batch_size in {file} is \"many\", but must be a whole number of texts from 1 to 1024")
    );
    folder.write("server.yaml", "prot: 1");
    assert_eq!(folder.config(&[]).unwrap_err(), format!("{file}: prot is not a known key; did you mean port?"));
    folder.write("server.yaml", "api_key: [hunter2, {a: b}]");
    assert!(!folder.config(&[]).unwrap_err().contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new("unreadable");
    let file = folder.write("server.yaml", b"port: \xff");
    assert_eq!(folder.config(&[]).unwrap_err(), format!("{file}: is not UTF-8 text"));
    folder.write("server.yaml", format!("# {}", "long ".repeat(20_000)));
    assert!(folder.config(&[]).unwrap_err().starts_with(&format!("{file}: is larger than 65536 bytes")));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(folder.config(&[]).unwrap_err().starts_with(&format!("{file}: is not a file; ")));
    fs::remove_dir(&file).unwrap();
    symlink("nowhere", &file).unwrap();
    assert!(folder.config(&[]).unwrap_err().starts_with(&format!("{file}: can't be read: ")));
    fs::remove_file(&file).unwrap();
    for number in 0..=MOST_FILES {
        folder.write(&format!("{number}.yaml"), "");
    }
    assert!(folder.config(&[]).unwrap_err().ends_with("101 files are too many, merge them into 100 at most"));
}

#[test]
fn only_a_folder_that_somebody_named_must_exist() {
    assert_eq!(list(Path::new("/nonexistent/settings"), None), Ok(Listing::default()));
    let environment = Environment::from([("MLOPS_CONFIG_DIR".to_owned(), "/nonexistent/settings".to_owned())]);
    let mut settings = Settings::from(environment);
    let error = settings.read_files().unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("/nonexistent/settings: the folder that MLOPS_CONFIG_DIR names can't be read: "),
        "{sentence}"
    );
    // What is known must do to write the sentence where Kubernetes looks for it.
    assert_eq!(Reader::new(&settings).termination_log(), Path::new("/dev/termination-log"));
}
