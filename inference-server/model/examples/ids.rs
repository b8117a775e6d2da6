//! The ids that the server feeds a model with: `ids DIRECTORY < TEXTS`, one JSON string a line in, one array of ids or an
//! error as a string out. `make contract` compares them with those of Python's tokenizers.

use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
    path::PathBuf,
};

use engine::{Input, Tokenize};
use model::{LongTexts, Reading, Tokenizer, TokenizerFiles};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: ids DIRECTORY < TEXTS")?;
    let reading = Reading { max_tokens: 1 << 20, long_texts: LongTexts::Cut, split_special_tokens: false };
    let tokenizer = Tokenizer::load(&TokenizerFiles::find(&directory)?, reading)?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let answer = match tokenizer.tokenize(&Input::from(text.as_str())) {
            Ok(encoding) => serde_json::to_string(&encoding.windows[0].ids)?,
            Err(error) => serde_json::to_string(&error.to_string())?,
        };
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
