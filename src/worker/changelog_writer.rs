//! Writes a task's changelog: decides when each key group is written, and what of it.
//!
//! A group consists of an *image* (all its rows) and *deltas* (the rows that changed since), both in blocks. Once the
//! deltas are larger than the image, a new image is written under the next generation, and the blocks of the old one
//! get tombstones in the same transaction. After the blocks of a commit comes the task's mark with the generation and
//! the number of blocks of each group, so that a restore can tell whether blocks are missing. (This is a Kafka Streams
//! changelog with blocks instead of rows; DESIGN, section 5.)

use super::WorkerError;
use crate::fault::{self, Place};
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::operator::watermark::Watermark;
use crate::pipeline::checkpoint::{CheckpointError, GroupMark, Mark, ReplayStart};
use crate::state::{Batch, Store};
use std::ops::{ControlFlow, Range};

/// The size of a block, well below the largest record that brokers accept.
const BLOCK_BYTES: usize = 384 * 1_024;
/// Up to this size of a group's deltas no new image is written, however small the image is.
pub const DELTAS_MIN_BYTES: u64 = 64 * 1_024;
/// The first byte of a key.
const MARK: u8 = 0;
const BLOCK: u8 = 1;

/// A task's last checkpoint, and the progress of the next one.
pub struct ChangelogWriter {
    /// The partition of the changelog.
    pub partition: u32,
    pub sequence: u64,
    pub groups: Vec<GroupMark>,
    interval_ms: Ms,
    deltas_min_bytes: u64,
    /// When the current round over the groups began, and how many of them are written.
    round: Option<(Ms, u16)>,
    /// All groups are due at the next commit.
    is_urgent: bool,
    /// All groups get a new image, because the changelog has lost records.
    is_rewriting: bool,
    /// A round ended since the store was last flushed.
    pub is_round: bool,
}

impl ChangelogWriter {
    pub fn new(partition: u32, groups: u16, start: i64, interval_ms: Ms, deltas_min_bytes: u64) -> ChangelogWriter {
        let again = ReplayStart { offset: start, watermark: Watermark::default() };
        let none = GroupMark { at_ms: None, again, generation: 0, blocks: 0, image_bytes: 0, delta_bytes: 0 };
        ChangelogWriter {
            partition,
            sequence: 0,
            groups: vec![none; usize::from(groups)],
            interval_ms: interval_ms.max(1),
            deltas_min_bytes,
            round: None,
            is_urgent: false,
            is_rewriting: false,
            is_round: false,
        }
    }

    /// Continues from a restored mark.
    pub fn resume(&mut self, mark: &Mark) {
        self.sequence = mark.sequence;
        self.groups.clone_from(&mark.groups);
    }

    /// Makes all groups due at the next commit.
    pub fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Makes all groups due at the next commit, each with a new image.
    pub fn rewrite(&mut self) {
        (self.is_urgent, self.is_rewriting) = (true, true);
    }

    /// When the current round began. Every group was up to date in this round or in the one before.
    pub fn since_ms(&self) -> Option<Ms> {
        self.round.map(|(began_ms, _)| began_ms)
    }

    pub fn is_rewriting(&self) -> bool {
        self.is_rewriting
    }

    /// The groups to write now. They are spread evenly over the checkpoint interval, so that no commit is large.
    pub fn due(&mut self, steady_ms: Ms) -> Range<u16> {
        let all = self.groups.len() as u16;
        if std::mem::take(&mut self.is_urgent) {
            self.round = Some((steady_ms, 0));
            self.is_round = true;
            return 0..all;
        }
        let (began_ms, done) = *self.round.get_or_insert((steady_ms, 0));
        let elapsed_ms = (steady_ms - began_ms).clamp(0, self.interval_ms);
        let due = (i64::from(all) * elapsed_ms / self.interval_ms) as u16;
        if due < all {
            self.round = Some((began_ms, due.max(done)));
            return done..due.max(done);
        }
        self.round = Some((steady_ms, 0));
        self.is_round = true;
        done..all
    }

    /// Appends the changed rows of a group, or a new image. `prefixes`: those of the group's rows in the store.
    pub fn write_group(
        &mut self,
        group: u16,
        rows: &mut Batch,
        prefixes: &[Vec<u8>],
        store: &dyn Store,
        out: &mut Vec<RecordOut>,
    ) -> Result<(), WorkerError> {
        let Some(mark) = self.groups.get_mut(usize::from(group)) else { return Ok(()) };
        if rows.is_empty() && !self.is_rewriting {
            return Ok(());
        }
        let outweighs = mark.delta_bytes + rows.bytes() as u64 > mark.image_bytes.max(self.deltas_min_bytes);
        let first = if mark.generation == 0 || outweighs || self.is_rewriting {
            let old = (mark.generation, std::mem::take(&mut mark.blocks));
            mark.generation += 1;
            let blocks = image(rows, prefixes, store)?;
            (mark.image_bytes, mark.delta_bytes) = (blocks.iter().map(|b| b.len() as u64).sum(), 0);
            let tombstones = (0..old.1).map(|n| record(self.partition, block_key(group, old.0, n), None));
            out.extend(tombstones);
            fault::point(Place::ImageSent);
            blocks
        } else {
            let blocks = packed(rows.sorted());
            mark.delta_bytes += blocks.iter().map(|b| b.len() as u64).sum::<u64>();
            blocks
        };
        for block in first {
            let key = block_key(group, mark.generation, mark.blocks);
            let sequence = (self.sequence + 1).to_be_bytes();
            let value = [&sequence[..], &block[..]].concat();
            out.push(record(self.partition, key, Some(value)));
            mark.blocks += 1;
        }
        Ok(())
    }

    /// Appends the mark, after the blocks of all groups.
    pub fn write_mark(&mut self, mark: &Mark, out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        self.is_rewriting = false;
        out.push(record(self.partition, vec![MARK], Some(mark.to_bytes()?)));
        Ok(())
    }
}

fn record(partition: u32, key: Vec<u8>, value: Option<Vec<u8>>) -> RecordOut {
    // The topic is compacted and never deleted by age, so the timestamp does not matter.
    RecordOut { topic: Topic::Changelog, partition, key: Some(key), value, headers: Vec::new(), timestamp_ms: 0 }
}

fn block_key(group: u16, generation: u32, number: u32) -> Vec<u8> {
    [&[BLOCK][..], &group.to_be_bytes(), &generation.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// All rows of a group as they will be after `changed` is written, in blocks.
fn image(changed: &mut Batch, prefixes: &[Vec<u8>], store: &dyn Store) -> Result<Vec<Vec<u8>>, WorkerError> {
    let mut all = Batch::new();
    for prefix in prefixes {
        store
            .scan(prefix, &mut |key, value| {
                all.put(key, value);
                ControlFlow::Continue(())
            })
            .map_err(CheckpointError::from)?;
    }
    changed.sorted().for_each(|(key, value)| all.set(key, value));
    // An image without rows is one empty block, because it must still replace the old image.
    let mut blocks = packed(all.sorted().filter(|(_, value)| value.is_some()));
    if blocks.is_empty() {
        blocks.push(Vec::new());
    }
    Ok(blocks)
}

/// Encodes rows into blocks.
fn packed<'a>(rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for (key, value) in rows {
        let bytes = 8 + key.len() + value.map_or(0, <[u8]>::len);
        let block = match blocks.last_mut() {
            Some(block) if block.len() + bytes <= BLOCK_BYTES => block,
            _ => {
                blocks.push(Vec::new());
                let last = blocks.len() - 1;
                &mut blocks[last]
            }
        };
        block.extend_from_slice(&(key.len() as u32).to_be_bytes());
        block.extend_from_slice(key);
        block.extend_from_slice(&value.map_or(0, |value| value.len() as u32 + 1).to_be_bytes());
        block.extend_from_slice(value.unwrap_or_default());
    }
    blocks
}

/// A record of the changelog.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Mark(&'a [u8]),
    Block {
        group: u16,
        generation: u32,
        number: u32,
        sequence: u64,
        rows: &'a [u8],
    },
    /// A block that is no longer needed.
    Tombstone,
}

/// Reads a record; `None`: it was not written by tailburn.
pub fn read<'a>(key: &[u8], value: &'a [u8]) -> Option<Entry<'a>> {
    match key.split_first()? {
        (&MARK, []) => Some(Entry::Mark(value)),
        (&BLOCK, key) if value.is_empty() && key.len() == 10 => Some(Entry::Tombstone),
        (&BLOCK, key) => {
            let (group, key) = key.split_first_chunk::<2>()?;
            let (generation, key) = key.split_first_chunk::<4>()?;
            let (number, []) = key.split_first_chunk::<4>()? else { return None };
            let (sequence, rows) = value.split_first_chunk::<8>()?;
            Some(Entry::Block {
                group: u16::from_be_bytes(*group),
                generation: u32::from_be_bytes(*generation),
                number: u32::from_be_bytes(*number),
                sequence: u64::from_be_bytes(*sequence),
                rows,
            })
        }
        _ => None,
    }
}

/// Adds the rows of a block to a batch; `false`: the block is truncated.
pub fn unpack(mut rows: &[u8], batch: &mut Batch) -> bool {
    while !rows.is_empty() {
        let Some((key, value, rest)) = row(rows) else { return false };
        batch.set(key, value);
        rows = rest;
    }
    true
}

/// A key, its value, and the bytes after them.
type Row<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// The first row.
fn row(rows: &[u8]) -> Option<Row<'_>> {
    let (length, rest) = rows.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    match u32::from_be_bytes(*length).checked_sub(1) {
        None => Some((key, None, rest)),
        Some(length) => {
            let (value, rest) = rest.split_at_checked(length as usize)?;
            Some((key, Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::MemoryStore;

    fn rows(of: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in of {
            batch.set(key.as_bytes(), value.map(str::as_bytes));
        }
        batch
    }

    #[test]
    fn a_round_takes_the_interval_and_includes_every_group() {
        let mut writer = ChangelogWriter::new(0, 64, 0, 30_000, DELTAS_MIN_BYTES);
        let mut groups = Vec::new();
        for steady_ms in (0..=30_000).step_by(200) {
            let due = writer.due(steady_ms);
            assert!(due.len() <= 2, "no burst");
            groups.extend(due);
        }
        assert_eq!(groups, (0..64).collect::<Vec<_>>());
        assert!(std::mem::take(&mut writer.is_round));
        assert_eq!(writer.due(30_000), 0..0);
        writer.hurry();
        assert_eq!(writer.due(30_001), 0..64);
    }

    #[test]
    fn deltas_follow_the_image_until_they_are_larger() {
        let (mut writer, mut store) = (ChangelogWriter::new(3, 2, 0, 1_000, DELTAS_MIN_BYTES), MemoryStore::default());
        let mut keys = Vec::new();
        let large = "x".repeat(40_000);
        for value in ["small", &large, &large] {
            let mut out = Vec::new();
            let mut batch = rows(&[("p/a", Some(value)), ("p/gone", None)]);
            writer.write_group(1, &mut batch, &[b"p/".to_vec()], &store, &mut out).expect("written");
            store.write(&mut batch).expect("stored");
            writer.sequence += 1;
            keys.extend(out.into_iter().map(|r| (r.key.unwrap_or_default(), r.value.is_some())));
        }
        let of = |generation, number, is_put| (block_key(1, generation, number), is_put);
        assert_eq!(keys, [of(1, 0, true), of(1, 1, true), of(1, 0, false), of(1, 1, false), of(2, 0, true)]);
    }

    #[test]
    fn a_block_is_read_as_it_was_written() {
        let store = MemoryStore::default();
        let (mut writer, mut out) = (ChangelogWriter::new(3, 2, 0, 1_000, DELTAS_MIN_BYTES), Vec::new());
        let mut batch = rows(&[("p/a", Some("1")), ("p/b", Some(""))]);
        writer.write_group(1, &mut batch, &[b"p/".to_vec()], &store, &mut out).expect("written");
        let (key, value) = (out[0].key.clone().unwrap_or_default(), out[0].value.clone().unwrap_or_default());
        let Some(Entry::Block { group: 1, generation: 1, number: 0, sequence: 1, rows }) = read(&key, &value) else {
            panic!("not a block")
        };
        let mut again = Batch::new();
        assert!(unpack(rows, &mut again));
        let read_rows: Vec<_> = again.sorted().map(|(k, v)| (k.to_vec(), v.map(<[u8]>::to_vec))).collect();
        assert_eq!(read_rows, [(b"p/a".to_vec(), Some(b"1".to_vec())), (b"p/b".to_vec(), Some(Vec::new()))]);
        assert!(!unpack(&rows[..rows.len() - 1], &mut Batch::new()));
        assert_eq!(read(&key, b""), Some(Entry::Tombstone));
        assert_eq!(read(b"other", b"x"), None);
    }
}
