//! What becomes of fetched files before they are a model's directory.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::{
    error::FetchError,
    names::FileName,
    select::{Variant, is_onnx, select},
};

/// How a file begins that stands for one in Git LFS.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// Folders within folders that are looked through.
const DEEPEST: usize = 32;

/// The files below a folder, hidden ones left out.
pub fn files(folder: &Path) -> Result<Vec<FileName>, FetchError> {
    let mut found = Vec::new();
    look(folder, "", 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn look(root: &Path, below: &str, depth: usize, found: &mut Vec<FileName>) -> Result<(), FetchError> {
    let folder = root.join(below);
    let error = |problem| FetchError::io(&folder, problem);
    for entry in fs::read_dir(&folder).map_err(error)? {
        let entry = entry.map_err(error)?;
        let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(str::to_owned) else {
            continue;
        };
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().map_err(error)?;
        if kind.is_dir() && depth < DEEPEST {
            look(root, &name, depth + 1, found)?;
        } else if kind.is_file()
            && let Ok(name) = FileName::parse(name.as_bytes())
        {
            found.push(name);
        }
    }
    Ok(())
}

/// Brings the files to where a server looks for them, and refuses what is no model.
pub fn arrange(tree: &Path, variant: Option<&Variant>, what: &str) -> Result<(), FetchError> {
    hoist(tree)?;
    let names = files(tree)?;
    for name in &names {
        let mut start = Vec::new();
        let path = name.below(tree);
        let read = File::open(&path).and_then(|file| file.take(LFS_POINTER.len() as u64).read_to_end(&mut start));
        read.map_err(|problem| FetchError::io(&path, problem))?;
        if start == LFS_POINTER {
            return Err(FetchError::LfsPointer(format!("{name} of {what}")));
        }
    }
    let selection = select(&names, variant, what)?;
    // Without a word on it, everything stays as it was packed, if the server finds its way.
    if variant.is_none() && selection.stays() {
        return Ok(());
    }
    let graph = selection.model.from.below(tree);
    let weights = crate::external::locations(&graph)?;
    let weights = weights.iter().filter_map(|location| selection.beside_model(location));
    let weights: Vec<_> = weights.filter(|weights| names.contains(&weights.from)).collect();
    let mut kept = selection.others;
    kept.push(selection.model);
    kept.extend(weights.into_iter().filter(|weights| !kept.contains(weights)).collect::<Vec<_>>());
    for onnx in names.iter().filter(|name| is_onnx(name)) {
        if kept.iter().all(|kept| kept.from != *onnx) {
            let path = onnx.below(tree);
            fs::remove_file(&path).map_err(|problem| FetchError::io(&path, problem))?;
        }
    }
    for chosen in kept.iter().filter(|chosen| chosen.from != chosen.to) {
        let (from, to) = (chosen.from.below(tree), chosen.to.below(tree));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|problem| FetchError::io(folder, problem))?;
        }
        fs::rename(&from, &to).map_err(|problem| FetchError::io(&to, problem))?;
    }
    Ok(())
}

/// Takes away folders around the model, as archives of a folder have them.
fn hoist(tree: &Path) -> Result<(), FetchError> {
    for _ in 0..DEEPEST {
        let names = files(tree)?;
        let Some(first) = names.first() else { return Ok(()) };
        let Some((folder, _)) = first.as_str().split_once('/') else { return Ok(()) };
        // The folder of ONNX files is one that servers know.
        if folder == "onnx" || names.iter().any(|name| name.within(folder).is_none()) {
            return Ok(());
        }
        // Under a hidden name, no file of the folder can be in its way.
        let aside = tree.join(".hoisted");
        let moved = fs::rename(tree.join(folder), &aside).and_then(|()| {
            for entry in fs::read_dir(&aside)? {
                let entry = entry?;
                fs::rename(entry.path(), tree.join(entry.file_name()))?;
            }
            fs::remove_dir(&aside)
        });
        moved.map_err(|problem| FetchError::io(&aside, problem))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn tree(name: &str, of: &[&str]) -> PathBuf {
        let tree = std::env::temp_dir().join(format!("model-fetch-finish-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&tree);
        for file in of {
            let path = tree.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        tree
    }

    fn arranged(name: &str, of: &[&str], variant: &str) -> Result<Vec<String>, String> {
        let tree = tree(name, of);
        let variant = (!variant.is_empty()).then(|| variant.parse().unwrap());
        let outcome = arrange(&tree, variant.as_ref(), "it").and_then(|()| files(&tree));
        fs::remove_dir_all(tree).unwrap();
        outcome.map(|names| names.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn folders_around_a_model_are_taken_away() {
        let of = ["a/b/config.json", "a/b/b/x.json", "a/b/onnx/model.onnx"];
        assert_eq!(arranged("hoist", &of, "").unwrap(), ["b/x.json", "config.json", "onnx/model.onnx"]);
        assert_eq!(arranged("onnx", &["onnx/model.onnx"], "").unwrap(), ["onnx/model.onnx"]);
    }

    #[test]
    fn a_variant_leaves_no_other_onnx_file() {
        let of = ["config.json", "model.onnx", "onnx/model_fp16.onnx", "onnx/model_int8.onnx", "README.md"];
        let expected = ["README.md", "config.json", "onnx/model_int8.onnx"];
        assert_eq!(arranged("variant", &of, "int8").unwrap(), expected);
        assert_eq!(arranged("all", &of, "").unwrap().len(), 5);
    }

    #[test]
    fn a_model_where_no_server_looks_is_moved() {
        let of = ["config.json", "weights/v1/model.onnx", "weights/v1/model.onnx_data"];
        assert_eq!(arranged("moved", &of, "").unwrap(), ["config.json", "model.onnx", "model.onnx_data"]);
    }

    #[test]
    fn no_onnx_file_is_said() {
        assert!(arranged("none", &["config.json"], "").unwrap_err().contains("optimum-cli export onnx"));
    }
}
