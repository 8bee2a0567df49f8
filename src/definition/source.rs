//! Reads the files and directories that a configuration names. The only IO of `definition`.

use super::error::{Notice, NoticeLevel};
use super::{DefinitionError, DefinitionErrors, Definitions, parse};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads files and directories (recursively: `.yaml`, `.yml` and `.json`, by name) and parses them together, because
/// references may cross files.
pub fn load(paths: &[PathBuf]) -> Result<Definitions, DefinitionErrors> {
    let (mut found, sources) = read(paths);
    match parse(&sources) {
        Ok(mut definitions) if found.errors.is_empty() => {
            definitions.notices.extend(found.notices);
            Ok(definitions)
        }
        Ok(_) => Err(DefinitionErrors(found.errors)),
        Err(more) => {
            found.errors.extend(more.0);
            Err(DefinitionErrors(found.errors))
        }
    }
}

/// The same files as they are: (file name, text).
pub fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, DefinitionErrors> {
    let (found, sources) = read(paths);
    if found.errors.is_empty() { Ok(sources) } else { Err(DefinitionErrors(found.errors)) }
}

fn read(paths: &[PathBuf]) -> (Found, Vec<(String, String)>) {
    let mut found = Found::default();
    for path in paths {
        found.add(path);
    }
    let mut sources = Vec::with_capacity(found.files.len());
    for file in &found.files {
        match text_of(file) {
            Ok(text) => sources.push((file.display().to_string(), text)),
            Err(e) => found.errors.push(*e),
        }
    }
    (found, sources)
}

/// The largest file of definitions.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The depth limit of directories: more is a loop or a mistake.
const DEPTH_MAX: usize = 32;
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

fn text_of(file: &Path) -> Result<String, Box<DefinitionError>> {
    let length = std::fs::metadata(file).map(|metadata| metadata.len());
    if length.is_ok_and(|length| length > FILE_BYTES_MAX) {
        let message = format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(Box::new(file_error(file, &message, "split it into several files")));
    }
    std::fs::read_to_string(file).map_err(|e| Box::new(unreadable(file, &e)))
}

#[derive(Default)]
struct Found {
    /// In the given order; files of directories by name.
    files: Vec<PathBuf>,
    /// Each file once, even if it is named several times or by links.
    known: BTreeSet<PathBuf>,
    errors: Vec<DefinitionError>,
    notices: Vec<Notice>,
}

impl Found {
    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            self.add_file(path);
            return;
        }
        let before = self.known.len();
        let named_before = self.errors.len();
        self.walk(path, 0);
        if self.known.len() == before
            && self.errors.len() == named_before
            && self.files.iter().all(|f| !f.starts_with(path))
        {
            let remedy = "add a file that ends in .yaml, .yml or .json";
            self.errors.push(file_error(path, "there is no SLO in here", remedy));
        }
    }

    fn add_file(&mut self, file: &Path) {
        let identity = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        if self.known.insert(identity) {
            self.files.push(file.to_owned());
        }
    }

    fn walk(&mut self, directory: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            let message = format!("directories are nested more than {DEPTH_MAX} deep");
            self.errors.push(file_error(directory, &message, "look for a link that leads back up"));
            return;
        }
        let entries = match std::fs::read_dir(directory).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()) {
            Ok(entries) => entries,
            Err(e) => {
                self.errors.push(unreadable(directory, &e));
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
        paths.sort();
        // Files before subdirectories, so that upper files come first.
        let (directories, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
        for file in files.iter().filter(|file| !is_hidden(file)) {
            if is_definition(file) {
                self.add_file(file);
            } else {
                self.notice_of_a_near_miss(file);
            }
        }
        // Hidden directories belong to other programs: a repository, or the versions of a mounted volume.
        for below in directories.iter().filter(|below| !is_hidden(below)) {
            self.walk(below, depth + 1);
        }
    }

    /// `slo.yaml.bak` and `slo.yml~` look like definitions but are not read, which is worth a notice.
    fn notice_of_a_near_miss(&mut self, file: &Path) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
        if EXTENSIONS.iter().any(|extension| name.contains(&format!(".{extension}"))) {
            self.notices.push(Notice {
                level: NoticeLevel::Warning,
                file: file.display().to_string(),
                line: 1,
                key: String::new(),
                message: "it is not read: its name ends in neither .yaml, .yml nor .json".to_owned(),
            });
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

fn is_definition(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

fn unreadable(path: &Path, e: &std::io::Error) -> DefinitionError {
    match e.kind() {
        std::io::ErrorKind::NotFound => {
            file_error(path, "it does not exist", "check the path: it is relative to the configuration file")
        }
        std::io::ErrorKind::PermissionDenied => {
            file_error(path, "it may not be read", "give tailburn's user the right to read it")
        }
        std::io::ErrorKind::InvalidData => file_error(path, "it is not UTF-8", "save it as UTF-8"),
        _ => file_error(path, &format!("it cannot be read: {e}"), "check the path and who may read it"),
    }
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
