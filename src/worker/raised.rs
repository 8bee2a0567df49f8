//! Which records met a watermark that was raised while their partition was passed over.
//!
//! That a partition is passed over is decided by the wall clock, so a replay could not find it out:
//! each commit notes the decisions that its records met. Records before a decision are not touched
//! by it, so nothing is to be noted until one comes.

use crate::model::time::Ms;
use crate::pipeline::users::UsersTask;
use std::collections::VecDeque;

/// Decisions noted per partition. They are few: at most one per silence of `input.idle_timeout`,
/// and those before the checkpoint are forgotten.
const NOTED_MAX: usize = 64;

/// A record (by its offset), and the watermark that it met at least.
pub type Decision = (i64, Ms);

/// The decisions of each input partition, in the order of offsets.
#[derive(Default)]
pub struct Raised {
    by_source: Vec<VecDeque<Decision>>,
    /// The last one of each partition, also once it is forgotten.
    last_ms: Vec<Ms>,
}

impl Raised {
    pub fn new(sources: usize) -> Raised {
        Raised { by_source: vec![VecDeque::new(); sources], last_ms: vec![Ms::MIN; sources] }
    }

    /// Notes what a record met that is read for the first time.
    #[inline]
    pub fn note(&mut self, source: u32, offset: i64, users: &UsersTask) {
        let raised_ms = users.watermark(source).raised_ms();
        if let Some(raised_ms) = raised_ms
            && self.last_ms.get(source as usize).is_some_and(|last_ms| *last_ms < raised_ms)
        {
            self.add(source, offset, raised_ms);
        }
    }

    /// From the record at `offset` on, whichever that will be, a source is raised.
    pub fn add(&mut self, source: u32, offset: i64, raised_ms: Ms) {
        let index = source as usize;
        let (Some(noted), Some(last_ms)) = (self.by_source.get_mut(index), self.last_ms.get_mut(index)) else { return };
        if *last_ms >= raised_ms {
            return;
        }
        *last_ms = raised_ms;
        if noted.len() >= NOTED_MAX {
            noted.pop_front();
        }
        noted.push_back((offset, raised_ms));
    }

    /// Lets a record that is read again meet what it met before.
    #[inline]
    pub fn repeat(&self, source: u32, offset: i64, users: &mut UsersTask) {
        let noted = self.by_source.get(source as usize);
        if let Some((_, raised_ms)) = noted.and_then(|noted| noted.iter().rev().find(|(at, _)| *at <= offset)) {
            users.raise_source(source, *raised_ms);
        }
    }

    /// Takes up what an earlier commit noted.
    pub fn recall(&mut self, source: u32, noted: &[Decision]) {
        if let Some(own) = self.by_source.get_mut(source as usize) {
            *own = noted.iter().copied().collect();
        }
    }

    /// Nothing before `offset` will be read again.
    pub fn forget_before(&mut self, source: u32, offset: i64) {
        if let Some(noted) = self.by_source.get_mut(source as usize) {
            noted.retain(|(at, _)| *at >= offset);
        }
    }

    pub fn of(&self, source: u32) -> Vec<Decision> {
        self.by_source.get(source as usize).map_or_else(Vec::new, |noted| noted.iter().copied().collect())
    }
}
