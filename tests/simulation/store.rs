//! State directories with one store per task. Batches are atomic; a crash may lose batches that were not flushed, the
//! latest first; a store may be damaged, and a whole directory may be lost.
//!
//! Each write is checked for one rule: no checkpoint is ahead of the committed offsets.

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
use tailburn::worker::{OffsetMetadata, Stores, TaskId};

type Bytes = Vec<u8>;

/// The data of one task that outlives a process.
#[derive(Clone, Default)]
pub struct Disk {
    rows: BTreeMap<Bytes, Bytes>,
    /// For each batch that was not flushed, the rows that it replaced.
    unflushed: Vec<Vec<(Bytes, Option<Bytes>)>>,
    /// It cannot be read any more.
    is_damaged: bool,
    /// A process has it open.
    is_open: bool,
}

type SharedDisk = Rc<RefCell<Disk>>;

/// A state directory.
#[derive(Clone, Default)]
pub struct Directory(Rc<RefCell<BTreeMap<TaskId, SharedDisk>>>);

impl Directory {
    /// Applies a crash; returns whether the whole directory is lost.
    pub fn crash(&self, faults: &mut Faults) -> bool {
        let mut disks = self.0.borrow_mut();
        for disk in disks.values() {
            let mut disk = disk.borrow_mut();
            disk.is_open = false;
            disk.crash(faults);
        }
        let is_lost = !disks.is_empty() && faults.strikes(Fault::DirectoryLost);
        if is_lost {
            disks.clear();
        }
        is_lost
    }

    /// A crash that loses all batches that were not flushed.
    pub fn crash_unflushed(&self) {
        for disk in self.0.borrow().values() {
            let mut disk = disk.borrow_mut();
            disk.is_open = false;
            let all = disk.unflushed.len();
            disk.lose(all);
        }
    }

    /// The whole directory is lost.
    pub fn lose(&self) {
        self.0.borrow_mut().clear();
    }

    pub fn wipe(&self, task: TaskId) {
        self.0.borrow_mut().remove(&task);
    }
}

impl Disk {
    /// Applies a crash.
    fn crash(&mut self, faults: &mut Faults) {
        if !self.unflushed.is_empty() && faults.strikes(Fault::UnflushedLost) {
            let lost = faults.size(1, self.unflushed.len() as i64);
            self.lose(lost as usize);
        }
        self.unflushed.clear();
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

/// The stores as one process sees them.
pub struct SimStores {
    directory: Directory,
    world: Shared,
    life: Life,
    is_keyed: bool,
}

impl SimStores {
    pub fn open(directory: &Directory, world: &Shared, life: &Life, is_keyed: bool) -> SimStores {
        SimStores { directory: directory.clone(), world: Rc::clone(world), life: life.clone(), is_keyed }
    }
}

impl Stores for SimStores {
    fn open(&mut self, task: TaskId) -> Result<Box<dyn Store>, StoreError> {
        let disk = Rc::clone(self.directory.0.borrow_mut().entry(task).or_default());
        let stream = match task {
            TaskId::Users(number) if self.is_keyed => Stream::Input(number),
            TaskId::Users(number) => Stream::Repartition(number),
            TaskId::Rollup(number) => Stream::Partials(number),
        };
        let store = SimStore { disk, world: Rc::clone(&self.world), life: self.life.clone(), stream };
        if store.disk.borrow().is_open {
            store.world.borrow_mut().violated(format!("the store of {task} is open twice"));
        }
        store.strike(Fault::CrashAtOpen)?;
        store.strike(Fault::ReadFailed)?;
        store.look_for_damage()?;
        store.disk.borrow_mut().is_open = true;
        Ok(Box::new(store))
    }

    fn wipe(&mut self, task: TaskId) -> Result<(), StoreError> {
        let disk = self.directory.0.borrow().get(&task).cloned();
        if disk.is_some_and(|disk| disk.borrow().is_open) {
            self.world.borrow_mut().violated(format!("the store of {task} is wiped while it is open"));
        }
        self.world.borrow_mut().tally.wiped += 1;
        self.directory.wipe(task);
        Ok(())
    }
}

/// A store as one process sees it.
pub struct SimStore {
    disk: SharedDisk,
    world: Shared,
    life: Life,
    stream: Stream,
}

impl Drop for SimStore {
    fn drop(&mut self) {
        if !self.life.is_over() {
            self.disk.borrow_mut().is_open = false;
        }
    }
}

fn failure(message: &str) -> StoreError {
    StoreError::Io { dir: PathBuf::from("simulated"), message: message.to_owned() }
}

impl SimStore {
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

    fn look_for_damage(&self) -> Result<(), StoreError> {
        let mut disk = self.disk.borrow_mut();
        if !disk.rows.is_empty() {
            disk.is_damaged |= self.world.borrow_mut().faults.strikes(Fault::Damaged);
        }
        match disk.is_damaged {
            true => Err(StoreError::Corrupt { dir: PathBuf::from("simulated"), message: "a block".to_owned() }),
            false => Ok(()),
        }
    }

    /// Checks that the state is not ahead of the log: its checkpoint was committed, and its results published.
    fn check_mark(&self) {
        let world = &mut *self.world.borrow_mut();
        match Mark::read(&*self.disk.borrow()) {
            Ok(Some(mark)) => check_mark(world, self.stream, &mark),
            Ok(None) => {}
            Err(error) => world.violated(format!("the mark of {:?}: {error}", self.stream)),
        }
    }
}

fn check_mark(world: &mut World, stream: Stream, mark: &Mark) {
    let committed = world.broker.committed_for_sure(stream);
    let said = committed.as_ref().and_then(|(next, metadata)| Some((*next, OffsetMetadata::parse(metadata)?)));
    let again = mark.again().map_or(0, |again| again.offset);
    if said.is_none_or(|(next, memo)| mark.sequence > memo.sequence || again > next.0) {
        let sequence = mark.sequence;
        world
            .violated(format!("the checkpoint of {stream:?} is {sequence} at {again}, but {committed:?} is committed"));
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
        self.look_for_damage()?;
        self.world.borrow_mut().tally.cold_reads += u64::from(key.len() > 16);
        self.disk.borrow().get(key, into)
    }

    fn multi_get(&self, keys: &[&[u8]], each: &mut dyn FnMut(usize, Option<&[u8]>)) -> Result<(), StoreError> {
        self.strike(Fault::ReadFailed)?;
        self.look_for_damage()?;
        self.world.borrow_mut().tally.cold_reads += keys.len() as u64;
        self.disk.borrow().multi_get(keys, each)
    }

    fn scan(&self, prefix: &[u8], each: &mut EachRow<'_>) -> Result<(), StoreError> {
        self.strike(Fault::ReadFailed)?;
        self.strike(Fault::CrashAtScan)?;
        self.look_for_damage()?;
        self.disk.borrow().scan(prefix, each)
    }

    fn write(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        self.strike(Fault::CrashBeforeWrite)?;
        self.strike(Fault::WriteRefused)?;
        self.look_for_damage()?;
        self.disk.borrow_mut().apply(batch);
        self.check_mark();
        self.strike(Fault::CrashAfterWrite)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.strike(Fault::CrashBeforeFlush)?;
        self.strike(Fault::FlushFailed)?;
        self.disk.borrow_mut().unflushed.clear();
        self.world.borrow_mut().tally.flushes += 1;
        self.strike(Fault::CrashAfterFlush)
    }

    fn flush_soon(&mut self) -> Result<(), StoreError> {
        // The flush may happen later, or never.
        let comes = self.world.borrow_mut().reading.one_in(2);
        if comes { self.flush() } else { self.strike(Fault::CrashBeforeFlush) }
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
    fn a_crash_loses_unflushed_batches_from_the_end_and_never_a_flushed_one() {
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
