//! A disk with a store on it: batches are whole, those that were not flushed may be lost with a
//! crash, the latest ones first, and a disk may be lost as a whole.
//!
//! It looks into what is written for one rule: no checkpoint is ahead of the committed offsets.

use crate::faults::{Fault, Faults};
use crate::world::{Life, Shared, World};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::rc::Rc;
use tailburn::log::Stream;
use tailburn::pipeline::checkpoint::Mark;
use tailburn::state::{Batch, EachRow, Store, StoreError, Usage};

type Bytes = Vec<u8>;

/// What outlives a process.
#[derive(Clone, Default)]
pub struct Disk {
    rows: BTreeMap<Bytes, Bytes>,
    /// For each batch that was not flushed, what it replaced.
    unflushed: Vec<Vec<(Bytes, Option<Bytes>)>>,
}

pub type SharedDisk = Rc<RefCell<Disk>>;

impl Disk {
    /// What a crash leaves.
    pub fn crash(&mut self, faults: &mut Faults) {
        if !self.unflushed.is_empty() && faults.strikes(Fault::UnflushedLost) {
            let lost = faults.size(1, self.unflushed.len() as i64);
            self.lose(lost as usize);
        }
        self.unflushed.clear();
        if !self.rows.is_empty() && faults.strikes(Fault::DiskEmptied) {
            self.rows.clear();
        }
    }

    fn lose(&mut self, batches: usize) {
        for _ in 0..batches {
            for (key, before) in self.unflushed.pop().into_iter().flatten() {
                match before {
                    Some(value) => self.rows.insert(key, value),
                    None => self.rows.remove(&key),
                };
            }
        }
    }

    fn apply(&mut self, batch: &mut Batch) {
        let mut before = Vec::new();
        for (key, value) in batch.sorted() {
            let replaced = match value {
                Some(value) => self.rows.insert(key.to_vec(), value.to_vec()),
                None => self.rows.remove(key),
            };
            before.push((key.to_vec(), replaced));
        }
        self.unflushed.push(before);
        batch.clear();
    }
}

/// The store as one process sees it.
pub struct SimStore {
    disk: SharedDisk,
    world: Shared,
    life: Life,
}

fn failure(message: &str) -> StoreError {
    StoreError::Io { dir: PathBuf::from("simulated"), message: message.to_owned() }
}

impl SimStore {
    pub fn open(disk: &SharedDisk, world: &Shared, life: &Life) -> SimStore {
        SimStore { disk: Rc::clone(disk), world: Rc::clone(world), life: life.clone() }
    }

    fn strike(&self, fault: Fault) -> Result<(), StoreError> {
        let is_crash = fault.point().name.starts_with("crash");
        let faults = &mut self.world.borrow_mut().faults;
        if is_crash && self.life.dies(faults, fault) {
            return Err(failure("the process died"));
        }
        if !is_crash && faults.strikes(fault) {
            return Err(failure(fault.point().what));
        }
        if self.life.is_over() { Err(failure("the process is dead")) } else { Ok(()) }
    }

    /// The state is never ahead of the log: what it holds was committed, and is published.
    fn check_mark(&self) {
        let world = &mut *self.world.borrow_mut();
        let Ok(Some(mark)) = Mark::read(&*self.disk.borrow()) else {
            world.violated("a batch was written, and there is no readable mark".to_owned());
            return;
        };
        let inputs = (0..).zip(&mark.users.sources).map(|(source, again)| (Stream::Input(source), again.offset));
        let rollups = (0..).zip(&mark.rollups).map(|(rollup, of)| (Stream::Partials(rollup), of.next_partial));
        for (stream, offset) in inputs.chain(rollups).collect::<Vec<_>>() {
            check_offset(world, stream, offset);
        }
    }
}

fn check_offset(world: &mut World, stream: Stream, offset: i64) {
    world.broker.settle_offsets();
    let committed = world.broker.group.committed(stream).map(|committed| committed.next.0);
    if committed.is_none_or(|committed| offset > committed) {
        world.violated(format!("the checkpoint has {stream:?} at {offset}, committed is {committed:?}"));
    }
}

impl Store for Disk {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        into.clear();
        let found = self.rows.get(key);
        into.extend(found.into_iter().flatten());
        Ok(found.is_some())
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        keys.iter().enumerate().for_each(|(i, key)| each(i, self.rows.get(*key).map(Vec::as_slice)));
        Ok(())
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        for (key, value) in self.rows.range::<[u8], _>(from).take_while(|(key, _)| key.starts_with(prefix)) {
            if each(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        self.apply(batch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.unflushed.clear();
        Ok(())
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage::default())
    }
}

impl Store for SimStore {
    fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, StoreError> {
        self.strike(Fault::ReadFailed)?;
        self.disk.borrow().get(key, into)
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        self.strike(Fault::ReadFailed)?;
        self.disk.borrow().multi_get(keys, each)
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.strike(Fault::ReadFailed)?;
        self.strike(Fault::CrashAtRestore)?;
        self.disk.borrow().scan(prefix, each)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        self.strike(Fault::CrashBeforeWrite)?;
        self.strike(Fault::WriteRefused)?;
        self.disk.borrow_mut().apply(batch);
        self.check_mark();
        self.strike(Fault::CrashAfterWrite)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.strike(Fault::FlushFailed) {
            if !self.life.is_over() && self.world.borrow_mut().faults.coin() {
                let mut disk = self.disk.borrow_mut();
                let batches = disk.unflushed.len();
                disk.lose(batches);
            }
            return Err(error);
        }
        self.disk.borrow_mut().unflushed.clear();
        self.world.borrow_mut().tally.checkpoints += 1;
        self.strike(Fault::CrashAfterFlush)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::TABLE;

    fn put(disk: &mut Disk, key: &[u8], value: &[u8]) {
        let mut batch = Batch::new();
        batch.put(key, value);
        disk.apply(&mut batch);
    }

    #[test]
    fn a_crash_takes_unflushed_batches_from_the_end_and_never_a_flushed_one() {
        let mut disk = Disk::default();
        put(&mut disk, b"a", b"flushed");
        disk.flush().expect("flushed");
        put(&mut disk, b"a", b"later");
        put(&mut disk, b"b", b"last");
        disk.lose(1);
        assert_eq!(disk.rows, BTreeMap::from([(b"a".to_vec(), b"later".to_vec())]));
        let mut always = [None; TABLE.len()];
        always[Fault::UnflushedLost as usize] = Some(1);
        disk.crash(&mut Faults::new(0, always, 1));
        assert_eq!(disk.rows, BTreeMap::from([(b"a".to_vec(), b"flushed".to_vec())]));
    }
}
