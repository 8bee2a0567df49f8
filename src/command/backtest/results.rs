//! The files of a backtest: JSON lines, one file a topic. Records of all partitions are sorted by T, then by key, then
//! in the order in which they were decided.
//!
//! They are written as `NAME.part` and renamed once all are complete. If a backtest ends early (a signal, a full disk,
//! a broken input), the files under the final names are unchanged.

use crate::command::Failure;
use crate::command::records::FILES;
use crate::log::LogError;
use crate::log::embedded::Sink;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use anyhow::Context as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

fn final_path(dir: &Path, topic: Topic) -> PathBuf {
    dir.join(format!("{}.jsonl", topic.name()))
}

fn part_path(dir: &Path, topic: Topic) -> PathBuf {
    dir.join(format!("{}.jsonl.part", topic.name()))
}

/// Holds the dead letters of a partition after the first until the end, because partitions are read in turns.
fn dead_letters_path(dir: &Path, partition: usize) -> PathBuf {
    dir.join(format!("dead-letters.{partition}.jsonl.part"))
}

/// Every path that a backtest of this many partitions writes to.
pub(super) fn paths(dir: &Path, partitions: usize) -> impl Iterator<Item = PathBuf> {
    FILES.into_iter().map(|topic| final_path(dir, topic)).chain(unfinished(dir, partitions))
}

/// The paths to remove when a backtest fails.
pub(super) fn unfinished(dir: &Path, partitions: usize) -> impl Iterator<Item = PathBuf> {
    let of_topics = FILES.into_iter().map(|topic| part_path(dir, topic));
    of_topics.chain((1..partitions).map(|partition| dead_letters_path(dir, partition)))
}

/// A file that is not complete yet.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Part {
    /// Opens a file and locks it against other backtests. A file left by an earlier backtest is reused.
    fn open(path: PathBuf) -> anyhow::Result<Part> {
        let named = || path.display().to_string();
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.with_context(named)?;
        match file.try_lock() {
            Ok(()) => file.set_len(0).with_context(named)?,
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("{}: another backtest is writing there; choose another --out", named())
            }
            // Not every file system supports locks.
            Err(TryLockError::Error(_)) => file.set_len(0).with_context(named)?,
        }
        Ok(Part { file: BufWriter::with_capacity(1 << 16, file), path })
    }

    fn line(&mut self, value: &[u8]) -> io::Result<()> {
        self.file.write_all(value)?;
        self.file.write_all(b"\n")
    }
}

/// All files of a backtest.
pub(super) struct Results {
    dir: PathBuf,
    /// In the order of [`FILES`]. That of canary verdicts, which few SLOs have, is made for the first one.
    parts: Vec<Option<Part>>,
    /// By partition, without the first.
    dead_letters: Vec<Option<Part>>,
    /// User statuses of the last T. They are sorted differently from the keys they arrive with, so they wait until T is
    /// complete.
    users: Vec<RecordOut>,
    /// The write that failed, and why.
    failed: Option<String>,
}

impl Results {
    /// The caller has checked that none of the [`paths`] is a file that is read.
    pub fn create(dir: &Path, partitions: usize) -> Result<Results, Failure> {
        fs::create_dir_all(dir).with_context(|| format!("--out {}: cannot be created", dir.display()))?;
        let open = |topic| (topic != Topic::CanaryVerdicts).then(|| Part::open(part_path(dir, topic))).transpose();
        let parts = FILES.into_iter().map(open).collect::<anyhow::Result<_>>()?;
        let dead_letters = (1..partitions).map(|_| None).collect();
        Ok(Results { dir: dir.to_owned(), parts, dead_letters, users: Vec::new(), failed: None })
    }

    /// Why a result could not be written, if that happened.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    fn write(&mut self, record: &RecordOut) -> io::Result<()> {
        let Some(value) = &record.value else {
            // A tombstone deletes the latest value of a key; a file that keeps all values needs none.
            return Ok(());
        };
        match FILES.iter().position(|topic| *topic == record.topic) {
            Some(_) if record.topic == Topic::DeadLetters && record.partition > 0 => {
                self.write_dead_letter(record.partition as usize, value)
            }
            Some(at) => self.part(at, record.topic)?.line(value),
            None => Ok(()),
        }
    }

    fn part(&mut self, at: usize, topic: Topic) -> io::Result<&mut Part> {
        let slot = &mut self.parts[at];
        match slot {
            Some(part) => Ok(part),
            None => Ok(slot.insert(Part::open(part_path(&self.dir, topic)).map_err(io::Error::other)?)),
        }
    }

    fn write_dead_letter(&mut self, partition: usize, value: &[u8]) -> io::Result<()> {
        let path = dead_letters_path(&self.dir, partition);
        let Some(slot) = self.dead_letters.get_mut(partition - 1) else {
            return Err(io::Error::other(format!("there is no input partition {partition}")));
        };
        match slot {
            Some(part) => part.line(value),
            None => slot.insert(Part::open(path).map_err(io::Error::other)?).line(value),
        }
    }

    /// Writes the users of all T before this one.
    fn write_users_before(&mut self, at_ms: Ms) -> io::Result<()> {
        let last = self.users.partition_point(|record| record.timestamp_ms < at_ms);
        let before: Vec<RecordOut> = self.users.drain(..last).collect();
        before.iter().try_for_each(|record| self.write(record))
    }

    fn write_all(&mut self, mut records: Vec<RecordOut>) -> io::Result<()> {
        // Each rollup task has its own order; a file needs one for all. Dead letters keep theirs: they have no key, and
        // the sort is stable.
        records.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let at_ms = records.last().filter(|record| record.key.is_some()).map(|record| record.timestamp_ms);
        let (users, records): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| r.topic == Topic::UserStatus);
        if !users.is_empty() {
            self.users.extend(users);
            self.users.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        }
        at_ms.map_or(Ok(()), |at_ms| self.write_users_before(at_ms))?;
        records.iter().try_for_each(|record| self.write(record))
    }

    /// Flushes the buffers and joins the dead letters of all partitions into one file.
    fn flush(&mut self) -> anyhow::Result<()> {
        self.write_users_before(Ms::MAX).with_context(|| self.dir.display().to_string())?;
        for part in self.parts.iter_mut().flatten() {
            part.file.flush().with_context(|| part.path.display().to_string())?;
        }
        let Some(Some(all)) = self.parts.last_mut() else { return Ok(()) };
        for slot in &mut self.dead_letters {
            let Some(mut part) = slot.take() else { continue };
            let named = || part.path.display().to_string();
            let mut copy = || -> io::Result<()> {
                part.file.flush()?;
                let mut from = part.file.get_ref();
                from.rewind()?;
                io::copy(&mut from, &mut all.file)?;
                fs::remove_file(&part.path)
            };
            copy().with_context(named)?;
        }
        all.file.flush().with_context(|| all.path.display().to_string())
    }

    /// Renames all files to their final names.
    pub fn finish(mut self) -> Result<(), Unwritten> {
        match self.put() {
            Ok(()) => Ok(()),
            Err(e) => {
                let cause = format!("{e:#}");
                self.discard();
                Err(Unwritten(cause))
            }
        }
    }

    fn put(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        for part in self.parts.iter().flatten() {
            // A full disk may be reported only now.
            part.file.get_ref().sync_all().with_context(|| part.path.display().to_string())?;
        }
        for (part, topic) in self.parts.iter().zip(FILES) {
            let path = final_path(&self.dir, topic);
            let Some(part) = part else {
                // The file of an earlier backtest would be taken for one of this one.
                fs::remove_file(&path).or_else(is_absent).with_context(|| path.display().to_string())?;
                continue;
            };
            fs::rename(&part.path, &path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Keeps what was written so far, up to the last complete line, under the `.part` names. `false`: nothing was
    /// written, so no file is left.
    pub fn keep(mut self) -> Result<bool, Unwritten> {
        let is_empty = |part: &Part| part.file.get_ref().metadata().is_ok_and(|found| found.len() == 0);
        match self.flush() {
            Ok(()) if self.parts.iter().flatten().all(is_empty) => {
                self.discard();
                Ok(false)
            }
            Ok(()) => Ok(true),
            Err(e) => {
                let cause = format!("{e:#}");
                self.discard();
                Err(Unwritten(cause))
            }
        }
    }

    /// Removes what was written so far.
    pub fn discard(self) {
        // A file that cannot be removed has no final name, so it does no harm.
        unfinished(&self.dir, self.dead_letters.len() + 1).for_each(|path| drop(fs::remove_file(path)));
    }
}

/// The results could not be written; removes the unfinished files.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unwritten(String);

impl Sink for Results {
    fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError> {
        self.write_all(records).map_err(|e| {
            let what = format!("{}: {e}", self.dir.display());
            self.failed = Some(what.clone());
            LogError::Broken(what)
        })
    }
}

/// A file that is not there need not be removed.
fn is_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn order_of(record: &RecordOut) -> Option<(Ms, &Vec<u8>)> {
    record.key.as_ref().map(|key| (record.timestamp_ms, key))
}
