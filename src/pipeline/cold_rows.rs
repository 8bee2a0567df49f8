//! Rows that are only in the store.

use crate::model::time::Ms;
use crate::operator::user_row::{NEVER, UserRow};

/// The rows of an SLO that are only in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColdRows {
    pub users: u64,
    /// The time of their newest event.
    pub newest_ms: Ms,
}

impl Default for ColdRows {
    fn default() -> Self {
        ColdRows { users: 0, newest_ms: NEVER }
    }
}

impl ColdRows {
    pub fn add(&mut self, last_ms: Ms) {
        self.users += 1;
        self.newest_ms = self.newest_ms.max(last_ms);
    }

    pub fn take(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            *self = ColdRows::default();
        }
    }
}

/// A row read from the store, with its names.
pub(super) struct ColdRow {
    pub tenant: u32,
    pub user: String,
    pub group: u32,
    pub row: UserRow,
}
