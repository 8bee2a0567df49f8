//! Keeps a backtest from overwriting a file that it reads: inputs, SLOs, the configuration, keys.
//!
//! Files are compared by device and inode, because a link is another name of the same file. The check runs before any
//! file is opened for writing.

use crate::command::Failure;
use std::fs::{self, Metadata};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most files of an SLO directory that are checked.
const FILES_MAX: usize = 100_000;

/// The files that are read, each with a description for messages.
#[derive(Default)]
pub(super) struct Read(Vec<(u64, u64, String)>);

impl Read {
    /// A file, or all files of a directory. A missing file is skipped here: the code that reads it reports it.
    pub fn add(&mut self, what: &str, path: &Path) {
        let mut paths = vec![path.to_owned()];
        let mut left = FILES_MAX;
        while let Some(path) = paths.pop().filter(|_| left > 0) {
            left -= 1;
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => {
                    let inside = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
                    // A link to a parent directory would make this walk endless.
                    paths.extend(inside.filter(|path| !path.is_symlink() || path.is_file()));
                }
                Ok(found) => self.0.push((found.dev(), found.ino(), format!("{what} {}", path.display()))),
                Err(_) => {}
            }
        }
    }

    /// An input; `-` is the file behind standard input, if any.
    pub fn add_input(&mut self, path: &Path) {
        if path != Path::new("-") {
            return self.add("the input", path);
        }
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(fs::File::from);
        if let Ok(found) = stdin.and_then(|file| file.metadata()) {
            self.0.push((found.dev(), found.ino(), "the input on standard input".to_owned()));
        }
    }

    fn find(&self, found: &Metadata) -> Option<&str> {
        self.0.iter().find(|(dev, ino, _)| (*dev, *ino) == (found.dev(), found.ino())).map(|(_, _, what)| what.as_str())
    }

    /// Refuses a result directory if a path in it is a file that is read, or is not a plain file.
    pub fn refuse(&self, out: &Path, paths: impl IntoIterator<Item = PathBuf>) -> Result<(), Failure> {
        if out.exists() && !out.is_dir() {
            let out = out.display();
            return Err(Failure::Usage(format!("--out {out}: this is a file; name a directory (it need not exist)")));
        }
        for path in paths {
            let Ok(found) = fs::metadata(&path) else { continue };
            let (path, out) = (path.display(), out.display());
            if let Some(what) = self.find(&found) {
                return Err(Failure::Usage(format!(
                    "--out {out}: the result {path} would be written over {what}; choose another directory (nothing was \
                     changed)"
                )));
            }
            if !found.is_file() {
                return Err(Failure::Usage(format!(
                    "--out {out}: {path} is not a plain file; move it or choose another directory"
                )));
            }
        }
        Ok(())
    }
}
