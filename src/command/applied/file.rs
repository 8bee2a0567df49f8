//! What was applied, as lines of JSON in a file. Who writes keeps others out from reading it to adding to it.

use crate::command::Failure;
use crate::model::applied::AppliedDefinition;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The file, open and locked: nobody else adds to it.
pub struct Locked {
    path: PathBuf,
    file: File,
    /// In bytes.
    length: u64,
    lacks_newline: bool,
}

/// No file: nothing was applied yet.
pub fn read(path: &Path) -> Result<Vec<AppliedDefinition>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => records(path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::Definition(format!("definitions.file {}: {error}", path.display()))),
    }
}

/// Waits for others that add to the file, and reads what they left.
pub fn lock(path: &Path) -> Result<(Vec<AppliedDefinition>, Locked), Failure> {
    let opened = OpenOptions::new().create(true).read(true).append(true).open(path);
    let read = opened.and_then(|mut file| {
        wait_for(&file)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((file, text))
    });
    let (file, text) = read.map_err(|error| cannot_write(path, &error))?;
    let records = records(path, &text)?;
    let lacks_newline = !text.is_empty() && !text.ends_with('\n');
    Ok((records, Locked { path: path.to_owned(), file, length: text.len() as u64, lacks_newline }))
}

/// Where the file system knows no locks, we go on without.
pub fn wait_for(file: &File) -> io::Result<()> {
    match file.lock() {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        locked => locked,
    }
}

impl Locked {
    /// All at once, so that a change of several SLOs is there whole or not at all.
    pub fn add(mut self, records: &[AppliedDefinition]) -> Result<(), Failure> {
        let mut lines = if self.lacks_newline { vec![b'\n'] } else { Vec::new() };
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(anyhow::Error::from)?;
            lines.push(b'\n');
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_all());
        written.map_err(|error| {
            // A part of it would be a broken line. If it cannot be taken back, the next who reads says which line.
            let _ = self.file.set_len(self.length);
            cannot_write(&self.path, &error)
        })
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Definition(format!(
        "definitions.file {}: {error}: name a file in a directory that can be written, or none to keep what was applied \
         in the topic",
        path.display()
    ))
}

fn records(path: &Path, text: &str) -> Result<Vec<AppliedDefinition>, Failure> {
    let lines = text.split_inclusive('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let advice = match line.ends_with('\n') {
                true => "this is no record of `tailburn apply`",
                false => "the record was not written to its end: remove the line, and apply again",
            };
            Failure::Definition(format!("definitions.file {}:{}: {error}: {advice}", path.display(), index + 1))
        })
    };
    lines.map(read).collect()
}
