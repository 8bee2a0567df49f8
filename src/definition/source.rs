//! Reads the files and directories that a configuration names. The only IO of `definition`.

use super::{DefinitionError, DefinitionErrors, Definitions, parse};
use std::path::{Path, PathBuf};

/// Reads files and directories (their `.yaml` and `.yml`, by name; not those below) and parses them
/// together: a reference may cross files.
pub fn load(paths: &[PathBuf]) -> Result<Definitions, DefinitionErrors> {
    let mut errors = Vec::new();
    let mut sources = Vec::new();
    for file in files(paths, &mut errors) {
        match std::fs::read_to_string(&file) {
            Ok(text) => sources.push((file.display().to_string(), text)),
            Err(e) => errors.push(unreadable(&file, &e)),
        }
    }
    match parse(&sources) {
        Ok(definitions) if errors.is_empty() => Ok(definitions),
        Ok(_) => Err(DefinitionErrors(errors)),
        Err(more) => {
            errors.extend(more.0);
            Err(DefinitionErrors(errors))
        }
    }
}

/// Each file once, however often it is named.
fn files(paths: &[PathBuf], errors: &mut Vec<DefinitionError>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() { files_in(path, errors) } else { vec![path.clone()] };
        for file in found {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    files
}

fn files_in(directory: &Path, errors: &mut Vec<DefinitionError>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()) {
        Ok(entries) => entries,
        Err(e) => {
            errors.push(unreadable(directory, &e));
            return Vec::new();
        }
    };
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
    let mut found: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).filter(is_yaml).collect();
    found.sort();
    if found.is_empty() {
        errors.push(file_error(directory, "there is no SLO in here", "add a file that ends in .yaml or .yml"));
    }
    found
}

fn unreadable(path: &Path, e: &std::io::Error) -> DefinitionError {
    file_error(path, &format!("it cannot be read: {e}"), "check the path and who may read it")
}

fn file_error(path: &Path, message: &str, remedy: &str) -> DefinitionError {
    DefinitionError {
        file: path.display().to_string(),
        line: None,
        column: None,
        key: String::new(),
        message: message.to_owned(),
        remedy: Some(remedy.to_owned()),
    }
}
