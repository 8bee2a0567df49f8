//! Records of input files and of standard input: lines, or the data of Avro container files; packed
//! or plain.
//!
//! A file of any size is read as a stream. The first bytes, not the name, decide the decompressor ([`unpack`]); for
//! unreadable files there is advice ([`sniff`]).

mod lines;
mod peek;
mod sniff;
mod unpack;

pub use lines::{LINE_BYTES_MAX, Lines};
pub(super) use unpack::xz_decoder;

use super::Format;
use super::avro::{CONTAINER_MAGIC, Container, FileSchema, Joined};
use crate::model::record::Damage;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Why an input cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}: {problem}")]
pub struct FileError {
    pub name: String,
    pub problem: String,
}

/// A record: its bytes (a line without its end), and its number from 0, blank lines counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord<'a> {
    pub number: i64,
    pub bytes: &'a [u8],
    /// Set if the bytes are the remains of one or several damaged records.
    pub damage: Option<&'a Damage>,
}

/// The records of one input of any format.
pub struct InputFile(Records);

enum Records {
    Lines(Lines),
    Container { name: String, container: Box<Container>, read: u64 },
}

impl InputFile {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path, format: Format) -> Result<InputFile, FileError> {
        let name = path.display().to_string();
        InputFile::from_stream(name.clone(), open(path).map_err(|e| failed(&name, &e))?, format)
    }

    /// Reads records from any stream.
    pub fn from_reader(name: String, input: impl Read + Send + 'static, format: Format) -> Result<Self, FileError> {
        InputFile::from_stream(name, Box::new(input), format)
    }

    fn from_stream(name: String, input: Box<dyn Read + Send>, format: Format) -> Result<Self, FileError> {
        let mut input = unpack::unpack(input).map_err(|e| failed(&name, &e))?;
        let begin = input.peek(sniff::BYTES).map_err(|e| failed(&name, &e))?;
        if let Some(problem) = sniff::mistaken(begin, format) {
            return Err(FileError { name, problem });
        }
        if format != Format::Avro {
            return Ok(InputFile(Records::Lines(Lines::new(name, Box::new(input)))));
        }
        input.consume(CONTAINER_MAGIC.len());
        let container = Container::open(Box::new(input)).map_err(|e| failed(&name, &e))?;
        Ok(InputFile(Records::Container { name, container: Box::new(container), read: 0 }))
    }

    /// The schema inside a container file, for [`super::AvroSchemas::add_file`].
    pub fn schema(&self) -> Option<&FileSchema> {
        match &self.0 {
            Records::Lines(_) => None,
            Records::Container { container, .. } => Some(container.schema()),
        }
    }

    /// A notice about the file that no record shows; complete once the file is read.
    pub fn notes(&self) -> FileNotes {
        match &self.0 {
            Records::Lines(_) => FileNotes::default(),
            Records::Container { name, container, .. } => {
                FileNotes { name: name.clone(), joined: Some(container.joined()) }
            }
        }
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<FileRecord<'_>>, FileError> {
        match &mut self.0 {
            Records::Lines(lines) => lines.next_line(),
            Records::Container { name, container, read } => match container.next_record() {
                Ok(next) => Ok(next.map(|(number, bytes, damage)| {
                    *read += u64::from(damage.is_none());
                    FileRecord { number, bytes, damage }
                })),
                Err(e) => Err(FileError { name: name.clone(), problem: behind(&e, *read, "records") }),
            },
        }
    }
}

/// Notes about a file, made while it is read.
#[derive(Clone, Debug, Default)]
pub struct FileNotes {
    name: String,
    joined: Option<Joined>,
}

impl FileNotes {
    /// The notice, if any.
    pub fn notice(&self) -> Option<String> {
        self.joined.as_ref()?.notice().map(|notice| format!("{}: {notice}", self.name))
    }
}

/// An error in the middle of a file, with the number of records read before.
fn behind(error: &io::Error, read: u64, what: &str) -> String {
    format!("{error} ({read} {what} were read before this)")
}

fn failed(name: &str, error: &io::Error) -> FileError {
    FileError { name: name.to_owned(), problem: error.to_string() }
}

fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory: name the files in it one by one"));
    }
    Ok(Box::new(File::open(path)?))
}

#[cfg(test)]
mod tests;
