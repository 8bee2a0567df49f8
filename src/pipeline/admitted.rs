//! Which groups or tenants of an SLO have keys, as a users task knows it.

use crate::model::time::Ms;

/// The codes of groups or tenants that have keys, and since when.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// By code: the boundary; [`NEVER`] where it has none.
    pub since_ms: Vec<Ms>,
    /// How many codes have keys.
    pub count: usize,
    /// How many have keys in all, including those without a code here.
    pub total: usize,
    /// From this boundary on nobody else gets a key.
    pub full_ms: Option<Ms>,
    /// Everything up to here is decided.
    pub up_to_ms: Option<Ms>,
    /// The last boundary, of the decisions received, at which somebody was admitted.
    pub last_ms: Option<Ms>,
    /// The same at the time of the checkpoint that the task was restored from: its rows are of that time.
    pub needs_ms: Option<Ms>,
}

pub(super) const NEVER: Ms = Ms::MAX;

impl Admitted {
    pub fn since_ms(&self, code: u32) -> Ms {
        self.since_ms.get(code as usize).copied().unwrap_or(NEVER)
    }

    pub fn has(&self, code: u32, at_ms: Ms) -> bool {
        self.since_ms(code) <= at_ms
    }

    /// Gives a code to one that has a key.
    pub fn know(&mut self, code: u32, since_ms: Ms) {
        let at = code as usize;
        if at >= self.since_ms.len() {
            self.since_ms.resize(at + 1, NEVER);
        }
        self.count += usize::from(self.since_ms[at] == NEVER);
        self.since_ms[at] = self.since_ms[at].min(since_ms);
    }

    pub fn admit(&mut self, at_ms: Ms, max: usize) {
        self.total += 1;
        if self.total >= max {
            self.full_ms.get_or_insert(at_ms);
        }
    }

    pub fn add(&mut self, code: u32, at_ms: Ms, max: usize) {
        if self.since_ms(code) == NEVER {
            self.know(code, at_ms);
            self.admit(at_ms, max);
        }
    }

    pub fn is_full(&self, max: usize) -> bool {
        self.full_ms.is_some() || self.total >= max
    }

    /// Some decisions that the task's rows depend on have not been received again yet.
    pub fn lacks_some(&self) -> bool {
        self.full_ms.is_none() && self.up_to_ms.max(self.last_ms) < self.needs_ms
    }

    pub fn is_decided(&self, at_ms: Ms) -> bool {
        self.full_ms.is_some() || Some(at_ms) <= self.up_to_ms
    }

    pub fn codes(&self) -> impl Iterator<Item = (Ms, u32)> {
        self.since_ms.iter().zip(0..).filter(|(since_ms, _)| **since_ms != NEVER).map(|(ms, code)| (*ms, code))
    }
}
