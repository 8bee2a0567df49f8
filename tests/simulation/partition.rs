//! One partition of a topic: records and control markers with offsets, and what a reader that wants
//! committed records only may see of it.

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
    },
    /// The end of a transaction takes an offset of its own.
    Marker,
}

/// Records in order; what of them is visible depends on how their transactions ended.
#[derive(Default)]
pub struct Partition {
    /// The offset of the first entry: what was before it is deleted.
    first: i64,
    entries: Vec<Entry>,
    /// Transactions that have not ended here, and where they begin.
    open: BTreeMap<TransactionId, i64>,
    aborted: BTreeSet<TransactionId>,
}

/// Records with their offsets.
pub type Batch = Vec<(i64, Rc<Record>)>;

impl Partition {
    pub fn beginning_at(first: i64) -> Partition {
        Partition { first, ..Partition::default() }
    }

    pub fn start(&self) -> i64 {
        self.first
    }

    pub fn end(&self) -> i64 {
        self.first + self.entries.len() as i64
    }

    /// The last stable offset: nothing from the first open transaction on is shown to anybody.
    pub fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or_else(|| self.end())
    }

    pub fn append(&mut self, record: Rc<Record>, transaction: Option<TransactionId>) {
        if let Some(transaction) = transaction {
            let end = self.end();
            self.open.entry(transaction).or_insert(end);
        }
        self.entries.push(Entry::Data { record, transaction });
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

    /// At most `most` committed records from `from` on, and where reading goes on: behind markers
    /// and aborted records, which are stepped over without a word.
    pub fn read(&self, from: i64, most: usize) -> (Batch, i64) {
        let (mut batch, mut next) = (Batch::new(), from);
        while next < self.stable_end() && batch.len() < most {
            if let Entry::Data { record, transaction } = &self.entries[(next - self.first) as usize]
                && transaction.is_none_or(|transaction| !self.aborted.contains(&transaction))
            {
                batch.push((next, Rc::clone(record)));
            }
            next += 1;
        }
        // A fetch that ended with the last record also told what is behind it.
        while next < self.stable_end() && !self.is_visible(next) {
            next += 1;
        }
        (batch, next)
    }

    fn is_visible(&self, offset: i64) -> bool {
        match &self.entries[(offset - self.first) as usize] {
            Entry::Data { transaction, .. } => transaction.is_none_or(|t| !self.aborted.contains(&t)),
            Entry::Marker => false,
        }
    }

    /// Every committed record.
    pub fn visible(&self) -> Batch {
        self.read(self.first, usize::MAX).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &str) -> Rc<Record> {
        Rc::new(Record { key: None, value: Some(value.into()), headers: Vec::new(), timestamp_ms: 0 })
    }

    fn offsets(partition: &Partition) -> Vec<i64> {
        partition.visible().iter().map(|(offset, _)| *offset).collect()
    }

    #[test]
    fn an_open_transaction_hides_what_stands_behind_it_too() {
        let mut partition = Partition::beginning_at(5);
        partition.append(record("plain"), None);
        partition.append(record("open"), Some(1));
        partition.append(record("behind"), None);
        assert_eq!((offsets(&partition), partition.stable_end(), partition.end()), (vec![5], 6, 8));
        partition.mark(1, true);
        assert_eq!((offsets(&partition), partition.stable_end()), (vec![5, 6, 7], 9));
    }

    #[test]
    fn aborted_records_and_markers_are_stepped_over() {
        let mut partition = Partition::default();
        partition.append(record("aborted"), Some(1));
        partition.append(record("kept"), Some(2));
        partition.mark(1, false);
        partition.mark(2, true);
        assert_eq!(offsets(&partition), [1]);
        assert_eq!(partition.read(0, 1).1, 4, "the markers behind the last record are no more to come");
        assert_eq!(partition.read(2, 9), (Vec::new(), 4));
    }
}
