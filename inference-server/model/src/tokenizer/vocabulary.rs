//! A `tokenizer.json` made of the files that came before it: `vocab.txt`, or `vocab.json` and `merges.txt`.

use serde_json::{Map, Value, json};

/// What `tokenizer_config.json` says; nothing where there is none.
pub(super) struct Settings(Map<String, Value>);

impl Settings {
    pub(super) fn of(file: Value) -> Self {
        match file {
            Value::Object(settings) => Self(settings),
            _ => Self(Map::new()),
        }
    }

    fn is(&self, name: &str, default: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    /// The name of a special token: as it is said, else the first that the vocabulary has.
    fn token(&self, role: &str, vocabulary: &Map<String, Value>, usual: &[&str]) -> Option<String> {
        let said = self.0.get(role);
        let said = said.and_then(|token| token.get("content").unwrap_or(token).as_str());
        let mut names = said.into_iter().chain(usual.iter().copied());
        names.find(|name| vocabulary.contains_key(*name)).map(str::to_owned)
    }
}

/// The tokens around and between texts.
struct Around {
    first: String,
    last: String,
    /// Two of `last` between texts, and one kind of token, as `RoBERTa` has it.
    is_doubled: bool,
}

impl Around {
    fn template(&self, vocabulary: &Map<String, Value>) -> Value {
        let Self { first, last, is_doubled } = self;
        let second = u8::from(!is_doubled);
        let special = |name: &str, kind: u8| json!({ "SpecialToken": { "id": name, "type_id": kind } });
        let text = |name: &str, kind: u8| json!({ "Sequence": { "id": name, "type_id": kind } });
        let mut pair = vec![special(first, 0), text("A", 0), special(last, 0)];
        if *is_doubled {
            pair.push(special(last, 0));
        }
        pair.extend([text("B", second), special(last, second)]);
        let mut ids = Map::new();
        for name in [first, last] {
            ids.insert(name.clone(), json!({ "id": name, "ids": [vocabulary[name]], "tokens": [name] }));
        }
        json!({
            "type": "TemplateProcessing",
            "single": [special(first, 0), text("A", 0), special(last, 0)],
            "pair": pair,
            "special_tokens": ids,
        })
    }
}

/// The roles of special tokens, and their usual names.
const ROLES: [(&str, &[&str]); 5] = [
    ("unk_token", &["[UNK]", "<unk>", "<|endoftext|>"]),
    ("cls_token", &["[CLS]", "<s>"]),
    ("sep_token", &["[SEP]", "</s>"]),
    ("pad_token", &["[PAD]", "<pad>"]),
    ("mask_token", &["[MASK]", "<mask>"]),
];

fn role(wanted: &str, settings: &Settings, vocabulary: &Map<String, Value>) -> Option<String> {
    let (role, usual) = ROLES.iter().find(|(role, _)| *role == wanted)?;
    settings.token(role, vocabulary, usual)
}

fn whole(settings: &Settings, vocabulary: &Map<String, Value>, added: &Map<String, Value>, parts: Value) -> Value {
    let mut tokens: Vec<(String, Value, bool)> = Vec::new();
    for (wanted, _) in ROLES {
        if let Some(name) = role(wanted, settings, vocabulary) {
            let id = vocabulary[&name].clone();
            tokens.push((name, id, wanted == "mask_token"));
        }
    }
    for (name, id) in added {
        tokens.push((name.clone(), id.clone(), false));
    }
    tokens.sort_by_key(|(_, id, _)| id.as_u64());
    tokens.dedup_by(|(one, ..), (other, ..)| one == other);
    let tokens: Vec<Value> = tokens
        .into_iter()
        .map(|(name, id, takes_space)| {
            // RoBERTa's mask stands for a word with the space before it.
            let takes_space = takes_space && name == "<mask>";
            json!({
                "id": id, "content": name, "single_word": false, "lstrip": takes_space, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
    let mut file = json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": tokens });
    if let (Value::Object(file), Value::Object(parts)) = (&mut file, parts) {
        file.extend(parts);
    }
    file
}

/// As `BertTokenizer` reads a `vocab.txt`, and `MPNetTokenizer` one with `RoBERTa`'s names.
pub(super) fn of_word_pieces(
    vocabulary: &str,
    settings: &Settings,
    added: &Map<String, Value>,
) -> Result<Value, String> {
    let vocabulary: Map<String, Value> = vocabulary
        .split_terminator('\n')
        .map(|line| line.trim_end_matches('\r'))
        .zip(0_u64..)
        .map(|(token, id)| (token.to_owned(), id.into()))
        .collect();
    let role = |wanted| role(wanted, settings, &vocabulary);
    let (Some(unknown), Some(first), Some(last)) = (role("unk_token"), role("cls_token"), role("sep_token")) else {
        return Err(
            "it has no token for what is unknown, or none for the start or the end of a text ([UNK], [CLS], [SEP])"
                .into(),
        );
    };
    let lowercase = settings.is("do_lower_case", true);
    let around = Around { is_doubled: first == "<s>", first, last };
    let parts = json!({
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "lowercase": lowercase,
            "handle_chinese_chars": settings.is("tokenize_chinese_chars", true),
            "strip_accents": settings.0.get("strip_accents").cloned().unwrap_or(Value::Null),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": around.template(&vocabulary),
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    Ok(whole(settings, &vocabulary, added, parts))
}

/// As `RobertaTokenizer`, `DebertaTokenizer` and `GPT2Tokenizer` read a `vocab.json` and a `merges.txt`.
pub(super) fn of_byte_pairs(
    vocabulary: Value,
    merges: &str,
    settings: &Settings,
    added: &Map<String, Value>,
) -> Result<Value, String> {
    let Value::Object(vocabulary) = vocabulary else { return Err("it is JSON, but no object".into()) };
    // What byte-level vocabularies write for a space, at the start of most words.
    if !vocabulary.keys().any(|token| token.starts_with('\u{120}')) {
        return Err("it isn't of bytes, as those of RoBERTa and GPT-2 are".into());
    }
    let role = |wanted| role(wanted, settings, &vocabulary);
    let merges: Vec<&str> =
        merges.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()).collect();
    let post_processor = match (role("cls_token"), role("sep_token")) {
        (Some(first), Some(last)) => Around { is_doubled: first == "<s>", first, last }.template(&vocabulary),
        _ => Value::Null,
    };
    let parts = json!({
        "normalizer": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": settings.is("add_prefix_space", false), "trim_offsets": true,
            "use_regex": true,
        },
        "post_processor": post_processor,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": merges,
        },
    });
    Ok(whole(settings, &vocabulary, added, parts))
}
