//! Input files as partitions of a log.

use super::Failure;
use crate::codec::files::{FileRecord, InputFile};
use crate::log::LogError;
use crate::log::embedded::{Source, SourceState};
use crate::model::record::{Headers, NoHeaders, RecordIn};
use std::path::PathBuf;

/// One input file as one partition.
pub struct FileSource {
    file: InputFile,
    partition: u32,
    read: u64,
}

impl FileSource {
    pub fn new(file: InputFile, partition: u32) -> FileSource {
        FileSource { file, partition, read: 0 }
    }
}

impl Source for FileSource {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        for _ in 0..max {
            match self.file.next_record() {
                Ok(Some(record)) => {
                    self.read += 1;
                    each(&of_file(&record, self.partition));
                }
                Ok(None) => return Ok(SourceState::Finished),
                Err(e) => return Err(LogError::Broken(format!("{e}, after {} records", self.read))),
            }
        }
        Ok(SourceState::More)
    }
}

/// Refuses what can be read only once: standard input and pipes. `why` says what to do instead.
pub fn refuse_streams(inputs: &[PathBuf], why: &str) -> Result<(), Failure> {
    for path in inputs {
        let told = || format!("--input {}: {why}", path.display());
        if path.as_os_str() == "-" {
            return Err(Failure::Usage(told()));
        }
        // What is missing or a directory is told when it is opened.
        if path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            return Err(Failure::Definition(told()));
        }
    }
    Ok(())
}

/// A file's record as a record of the log.
pub fn of_file<'a>(record: &FileRecord<'a>, partition: u32) -> RecordIn<'a> {
    let headers: &dyn Headers = match record.damage {
        Some(damage) => damage,
        None => &NoHeaders,
    };
    RecordIn { partition, offset: record.number, key: None, value: record.bytes, timestamp_ms: None, headers }
}
