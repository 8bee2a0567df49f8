//! One partition of a topic: records and control markers with offsets, and the view of a reader of committed records.
//! Deleted and compacted records are hidden from readers, but kept for the comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tailburn::model::time::Ms;

/// Numbers the transactions of all producers.
pub type TransactionId = u64;

/// A record as the brokers keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Ms,
}

enum Entry {
    Data {
        record: Rc<Record>,
        transaction: Option<TransactionId>,
        /// Compaction removed it, so its offset is a gap.
        is_gone: bool,
    },
    /// The end of a transaction takes an offset of its own.
    Marker,
}

/// Records in order. Which of them are visible depends on how their transactions ended.
#[derive(Default)]
pub struct Partition {
    /// The offset of the first entry.
    first: i64,
    /// All records before it are deleted.
    start: i64,
    entries: Vec<Entry>,
    /// Transactions without a marker here, and their first offsets.
    open: BTreeMap<TransactionId, i64>,
    aborted: BTreeSet<TransactionId>,
}

/// Records with their offsets.
pub type Batch = Vec<(i64, Rc<Record>)>;

impl Partition {
    pub fn beginning_at(first: i64) -> Partition {
        Partition { first, start: first, ..Partition::default() }
    }

    pub fn first(&self) -> i64 {
        self.first
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    pub fn end(&self) -> i64 {
        self.first + self.entries.len() as i64
    }

    /// The last stable offset: readers see nothing from the first open transaction on.
    pub fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or_else(|| self.end())
    }

    pub fn append(&mut self, record: Rc<Record>, transaction: Option<TransactionId>) {
        if let Some(transaction) = transaction {
            let end = self.end();
            self.open.entry(transaction).or_insert(end);
        }
        self.entries.push(Entry::Data { record, transaction, is_gone: false });
    }

    /// Writes the marker that ends a transaction here.
    pub fn mark(&mut self, transaction: TransactionId, is_commit: bool) {
        if self.open.remove(&transaction).is_none() {
            return;
        }
        if !is_commit {
            self.aborted.insert(transaction);
        }
        self.entries.push(Entry::Marker);
    }

    /// Deletes the records before an offset, as far as they are stable.
    pub fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.stable_end()));
    }

    /// All records are gone, as after the topic's data was deleted; offsets go on.
    pub fn lose(&mut self) {
        for entry in &mut self.entries {
            if let Entry::Data { is_gone, .. } = entry {
                *is_gone = true;
            }
        }
    }

    /// Of the records before `to`, keeps only the newest one of every key; also drops old tombstones if
    /// `drops_tombstones`. Returns how many records it removed.
    pub fn compact(&mut self, to: i64, drops_tombstones: bool) -> usize {
        let to = (to.min(self.stable_end()) - self.first).max(0) as usize;
        let (aborted, mut newest) = (&self.aborted, BTreeMap::new());
        let is_aborted = |transaction: &Option<TransactionId>| transaction.is_some_and(|t| aborted.contains(&t));
        for (at, entry) in self.entries[..to].iter().enumerate() {
            if let Entry::Data { record, transaction, .. } = entry
                && !is_aborted(transaction)
            {
                newest.insert(record.key.clone(), at);
            }
        }
        let mut went = 0;
        for (at, entry) in self.entries[..to].iter_mut().enumerate() {
            if let Entry::Data { record, transaction, is_gone } = entry {
                let is_newest = !is_aborted(transaction) && newest.get(&record.key) == Some(&at);
                let goes = !is_newest || drops_tombstones && record.value.is_none();
                went += usize::from(goes && !*is_gone);
                *is_gone |= goes;
            }
        }
        went
    }

    /// At most `most` committed records from `from` on, and the next offset to read. Markers and aborted records are
    /// skipped silently.
    pub fn read(&self, from: i64, most: usize) -> (Batch, i64) {
        let (mut batch, mut next) = (Batch::new(), from.max(self.first));
        while next < self.stable_end() && batch.len() < most {
            if let (true, Entry::Data { record, .. }) = (self.is_visible(next), self.entry(next)) {
                batch.push((next, Rc::clone(record)));
            }
            next += 1;
        }
        // A fetch that reached the last record also skips the markers after it.
        while next < self.stable_end() && !self.is_visible(next) {
            next += 1;
        }
        (batch, next)
    }

    fn entry(&self, offset: i64) -> &Entry {
        &self.entries[(offset - self.first) as usize]
    }

    fn is_visible(&self, offset: i64) -> bool {
        matches!(self.entry(offset), Entry::Data { is_gone: false, .. }) && self.is_committed(offset)
    }

    fn is_committed(&self, offset: i64) -> bool {
        match self.entry(offset) {
            Entry::Data { transaction, .. } => transaction.is_none_or(|t| !self.aborted.contains(&t)),
            Entry::Marker => false,
        }
    }

    /// Every record that was ever committed, even if it was deleted or compacted.
    pub fn ever(&self) -> Batch {
        let mut batch = Batch::new();
        for offset in (self.first..self.stable_end()).filter(|offset| self.is_committed(*offset)) {
            if let Entry::Data { record, .. } = self.entry(offset) {
                batch.push((offset, Rc::clone(record)));
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> Rc<Record> {
        Rc::new(Record { key: None, value: Some(value.into()), headers: Vec::new(), timestamp_ms: 0 })
    }

    fn offsets(partition: &Partition) -> Vec<i64> {
        partition.read(partition.start(), usize::MAX).0.iter().map(|(offset, _)| *offset).collect()
    }

    #[test]
    fn an_open_transaction_also_hides_all_later_records() {
        let mut partition = Partition::beginning_at(5);
        partition.append(record("plain"), None);
        partition.append(record("open"), Some(1));
        partition.append(record("behind"), None);
        assert_eq!((offsets(&partition), partition.stable_end(), partition.end()), (vec![5], 6, 8));
        partition.mark(1, true);
        assert_eq!((offsets(&partition), partition.stable_end()), (vec![5, 6, 7], 9));
    }

    #[test]
    fn aborted_records_and_markers_are_skipped() {
        let mut partition = Partition::default();
        partition.append(record("aborted"), Some(1));
        partition.append(record("kept"), Some(2));
        partition.mark(1, false);
        partition.mark(2, true);
        assert_eq!(offsets(&partition), [1]);
        assert_eq!(partition.read(0, 1).1, 4, "the markers after the last record are skipped, too");
        assert_eq!(partition.read(2, 9), (Vec::new(), 4));
    }

    #[test]
    fn compaction_leaves_the_newest_record_of_a_key_and_gaps() {
        let mut partition = Partition::default();
        let of = |key: &str, value: Option<&str>| {
            let (key, value) = (Some(key.into()), value.map(Into::into));
            Rc::new(Record { key, value, headers: Vec::new(), timestamp_ms: 0 })
        };
        for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("b", None)] {
            partition.append(of(key, value), None);
        }
        partition.append(of("a", Some("3")), Some(1));
        assert_eq!(partition.compact(9, false), 2);
        assert_eq!((offsets(&partition), partition.end()), (vec![2, 3], 5));
        assert_eq!(partition.compact(9, true), 1);
        assert_eq!((offsets(&partition), partition.ever().len()), (vec![2], 4));
        partition.mark(1, true);
        partition.delete_before(4);
        assert_eq!((offsets(&partition), partition.start()), (vec![4], 4));
    }
}
