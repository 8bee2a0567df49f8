//! The lines of a file.
//!
//! A line is kept up to a limit. A longer one is cut and marked, so that it becomes a dead letter and does not exhaust
//! memory.

use super::{FileError, FileRecord, behind, failed, open, unpack};
use crate::model::record::Damage;
use std::io::{self, BufRead};
use std::ops::Range;
use std::path::Path;

/// The longest line that is kept whole.
pub const LINE_BYTES_MAX: usize = 16 << 20;
/// The byte order mark that some programs write first; joined files have it in the middle.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of one input, blank ones skipped.
pub struct Lines {
    name: String,
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    /// The full length of the line.
    line_bytes: u64,
    cut: Option<Damage>,
    next_number: i64,
    line_bytes_max: usize,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Lines, FileError> {
        let name = path.display().to_string();
        match open(path).and_then(unpack::unpack) {
            Ok(input) => Ok(Lines::new(name, Box::new(input))),
            Err(e) => Err(failed(&name, &e)),
        }
    }

    pub(super) fn new(name: String, input: Box<dyn BufRead + Send>) -> Lines {
        let (line, cut) = (Vec::new(), None);
        Lines { name, input, line, line_bytes: 0, cut, next_number: 0, line_bytes_max: LINE_BYTES_MAX }
    }

    #[cfg(test)]
    pub(super) fn with_limit(self, line_bytes_max: usize) -> Lines {
        Lines { line_bytes_max, ..self }
    }

    /// The next line that is not blank; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<FileRecord<'_>>, FileError> {
        while self.read_line().map_err(|e| self.broken(&e))? {
            let number = self.next_number;
            self.next_number += 1;
            let held = self.line.len() as u64;
            if self.line_bytes > held {
                self.cut = Some(cut(self.line_bytes, held));
                return Ok(Some(FileRecord { number, bytes: &self.line, damage: self.cut.as_ref() }));
            }
            if let Some(text) = text(&self.line) {
                return Ok(Some(FileRecord { number, bytes: &self.line[text], damage: None }));
            }
        }
        Ok(None)
    }

    fn broken(&self, error: &io::Error) -> FileError {
        let problem = behind(error, self.next_number.unsigned_abs(), "lines");
        FileError { name: self.name.clone(), problem }
    }

    /// Reads one line into `self.line`; false at the end of the input.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.line_bytes = 0;
        let mut any = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.line_bytes_max.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.line_bytes += part.len() as u64;
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        Ok(any)
    }
}

/// The range of a line's text, without byte order mark and line end; `None` if it is blank.
fn text(line: &[u8]) -> Option<Range<usize>> {
    let from = if line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let to = line.len() - usize::from(line.ends_with(b"\r"));
    (!line[from..to].trim_ascii().is_empty()).then_some(from..to)
}

#[cold]
fn cut(bytes: u64, held: u64) -> Damage {
    let detail = format!(
        "the line has {bytes} bytes, and {held} is the longest that is read: a record a line is expected; is it a list \
         or a pretty-printed document (`jq -c '.[]'` makes lines of a list)?"
    );
    Damage { detail, records: 1, block: None, cut_from_bytes: Some(bytes) }
}
