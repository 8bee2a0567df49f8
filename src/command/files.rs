//! Files as a log: input partitions read line by line, and JSON lines for what leaves.

use crate::codec::files::{FileRecord, InputFile};
use crate::log::LogError;
use crate::log::embedded::{Sink, Source, SourceState};
use crate::model::record::{Headers, NoHeaders, RecordIn, RecordOut, Topic};
use crate::model::time::Ms;
use anyhow::Context as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// One input file as one partition.
pub struct FileSource {
    file: InputFile,
    partition: u32,
}

impl FileSource {
    pub fn new(file: InputFile, partition: u32) -> FileSource {
        FileSource { file, partition }
    }
}

impl Source for FileSource {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        for _ in 0..max {
            match self.file.next_record() {
                Ok(Some(record)) => each(&of_file(&record, self.partition)),
                Ok(None) => return Ok(SourceState::Finished),
                Err(e) => return Err(LogError::Broken(e.to_string())),
            }
        }
        Ok(SourceState::More)
    }
}

/// A record of a file as one of the log.
pub fn of_file<'a>(record: &FileRecord<'a>, partition: u32) -> RecordIn<'a> {
    let headers: &dyn Headers = match record.damage {
        Some(damage) => damage,
        None => &NoHeaders,
    };
    RecordIn { partition, offset: record.number, key: None, value: record.bytes, timestamp_ms: None, headers }
}

/// The topics that a backtest writes, a file each.
const FILES: [Topic; 4] = [Topic::SloStatus, Topic::BurnAlerts, Topic::TailCohorts, Topic::UserStatus];

/// JSON lines, one file a topic, sorted over all partitions: by T, then by key, then as decided.
pub struct JsonLines {
    dir: PathBuf,
    files: Vec<(Topic, BufWriter<File>)>,
    /// One file per input partition until the end: they are read in turns, and written in order.
    dead_letters: Vec<Option<BufWriter<File>>>,
    /// Lines written, by topic in the order of `FILES`.
    pub lines: [u64; FILES.len()],
}

impl JsonLines {
    pub fn create(dir: &Path, partitions: usize) -> anyhow::Result<JsonLines> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let open = |topic: Topic| -> anyhow::Result<(Topic, BufWriter<File>)> {
            let path = dir.join(format!("{}.jsonl", topic.name()));
            Ok((topic, BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?)))
        };
        let files = FILES.into_iter().map(open).collect::<anyhow::Result<_>>()?;
        let dead_letters = (0..partitions).map(|_| None).collect();
        Ok(JsonLines { dir: dir.to_owned(), files, dead_letters, lines: [0; FILES.len()] })
    }

    fn part(&self, partition: usize) -> PathBuf {
        self.dir.join(format!(".dead-letters.{partition}.part"))
    }

    /// Writes what is still in memory, and the dead letters of all partitions into their file.
    pub fn finish(mut self) -> anyhow::Result<()> {
        for (_, file) in &mut self.files {
            file.flush()?;
        }
        let path = self.dir.join("dead-letters.jsonl");
        let mut all = BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?);
        for partition in 0..self.dead_letters.len() {
            if let Some(mut part) = self.dead_letters[partition].take() {
                part.flush()?;
                let part = self.part(partition);
                io::copy(&mut File::open(&part)?, &mut all)?;
                fs::remove_file(&part)?;
            }
        }
        all.flush().with_context(|| path.display().to_string())
    }

    fn write(&mut self, record: &RecordOut) -> io::Result<()> {
        let Some(value) = &record.value else {
            // A tombstone takes the latest away; a file of all of them has no latest.
            return Ok(());
        };
        if record.topic == Topic::DeadLetters {
            return self.write_dead_letter(record.partition as usize, value);
        }
        if let Some(at) = FILES.iter().position(|topic| *topic == record.topic) {
            self.lines[at] += 1;
            let file = &mut self.files[at].1;
            file.write_all(value)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_dead_letter(&mut self, partition: usize, value: &[u8]) -> io::Result<()> {
        let path = self.part(partition);
        let slot = &mut self.dead_letters[partition];
        let file = match slot {
            Some(file) => file,
            None => slot.insert(BufWriter::new(File::create(path)?)),
        };
        file.write_all(value)?;
        file.write_all(b"\n")
    }
}

impl Sink for JsonLines {
    fn commit(&mut self, mut records: Vec<RecordOut>) -> Result<(), LogError> {
        // Every rollup task decided in its own order; a file has one. Dead letters keep theirs: the sort
        // is stable, and they have no key.
        records.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        records
            .iter()
            .try_for_each(|record| self.write(record))
            .map_err(|e| LogError::Broken(format!("{}: {e}", self.dir.display())))
    }
}

fn order_of(record: &RecordOut) -> Option<(Ms, &Vec<u8>)> {
    record.key.as_ref().map(|key| (record.timestamp_ms, key))
}
