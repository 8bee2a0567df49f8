//! What a checkpoint says beside its rows: how far the task was, and from where its stream has to be read again.

use super::stored::{CheckpointError, get, put};
use super::stored_definition::StoredDefinition;
use crate::model::time::Ms;
use crate::operator::admission::{Decision, SetId};
use crate::operator::watermark::Watermark;
use crate::state::keys::{Key, Meta};
use crate::state::values::ValueError;
use crate::state::versions::{self, OLDEST, VERSION};
use crate::state::{Batch, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a rollup task is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RollupMark {
    /// The last boundary that was evaluated.
    pub at_ms: Option<Ms>,
    /// By users task, the last boundary it said to be closed.
    pub up_to_ms: Vec<Option<Ms>>,
    /// By users task, how far its candidates for keys were known.
    pub(super) named_up_to_ms: Vec<Option<Ms>>,
    /// SLOs that have more groups than are remembered.
    pub(super) groups_overflow: Vec<String>,
    /// The definitions that the keys were evaluated by.
    pub(super) definitions: Vec<StoredDefinition>,
}

/// Where a source is to be read again from, and the watermark that its first record met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayStart {
    pub offset: i64,
    pub watermark: Watermark,
}

/// What a checkpoint says of a users task beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersMark {
    /// How far each source had come.
    pub sources: Vec<Watermark>,
    /// By source, where its last block ended.
    pub(super) heard: Vec<Option<i64>>,
    /// By source, open boundaries that are incomplete because of it: after the first of each pair, up to the second. The
    /// records that said so may lie before the start of the replay.
    pub(super) incomplete: Vec<Vec<(Ms, Ms)>>,
    /// By filters and `group-by` ([`super::stored::groups_of`]): groups that are remembered, with or without a key of
    /// their own.
    pub(super) kept: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Which groups and tenants have keys, where the task decides that alone.
    pub(super) decisions: Vec<Decision>,
    /// If a rollup task decides: by set, the last boundary known to the task at which somebody was admitted. Rows of tenants
    /// may be older than the replay, so no candidate would ask for these decisions again.
    pub(super) known: Vec<(SetId, Ms)>,
    /// Those with more groups than are remembered (by filters and `group-by`), and those with more tenants than
    /// may have keys (by filters).
    pub(super) overflowing: (Vec<u64>, Vec<u64>),
    /// Filters whose aggregate key exists, because an event was visible.
    pub(super) begun: Vec<u64>,
}

/// What a checkpoint says of a key group: groups are written in turn, so each has its own boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMark {
    /// The boundary that the group's rows are true of.
    pub at_ms: Option<Ms>,
    /// Reading the task's stream again from here brings back all that the rows do not have.
    pub again: ReplayStart,
    /// Which image of the group the changelog holds, and how many blocks it has had since.
    pub generation: u32,
    pub blocks: u32,
    pub image_bytes: u64,
    pub delta_bytes: u64,
}

/// What kind of task a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskMark {
    Users(UsersMark),
    Rollup(RollupMark),
}

/// The checkpoint of a task: in the changelog and in the store, in one unit with the rows it is true of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The build and definitions that wrote it.
    pub identity: String,
    /// Counts the commits that wrote one. The committed offset names the last of them.
    pub sequence: u64,
    pub groups: Vec<GroupMark>,
    /// Watermark overrides of the task's own source; see the worker.
    pub raised: Vec<(i64, Ms, bool)>,
    pub task: TaskMark,
}

impl Mark {
    pub fn write(&self, batch: &mut Batch) -> Result<(), CheckpointError> {
        put(batch, &Key::Meta(Meta::Checkpoint), self)
    }

    pub fn read(store: &dyn Store) -> Result<Option<Mark>, CheckpointError> {
        let key = Key::Meta(Meta::Checkpoint).to_bytes();
        let mut value = Vec::new();
        if store.get(&key, &mut value)? { Ok(Some(get(&key, &value)?)) } else { Ok(None) }
    }

    /// As the changelog has it: a version and the mark.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        postcard::to_extend(self, vec![VERSION]).map_err(CheckpointError::Write)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Mark, CheckpointError> {
        match bytes.split_first() {
            Some((version @ OLDEST..=VERSION, mark)) => Ok(versions::decode(mark, *version)?),
            // Marks before version 6 had no version: they began with the length of a text.
            Some((found, _)) if *found < OLDEST || *found >= 0x10 => Err(ValueError::older("the checkpoint").into()),
            _ => Err(ValueError::newer("the checkpoint").into()),
        }
    }

    /// The boundary that all rows are true of, at least.
    pub fn at_ms(&self) -> Option<Ms> {
        self.groups.iter().map(|group| group.at_ms).min().flatten()
    }

    /// Where the task's stream has to be read again from.
    pub fn again(&self) -> Option<ReplayStart> {
        self.groups.iter().map(|group| group.again).min_by_key(|again| again.offset)
    }
}
