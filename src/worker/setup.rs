//! What the tasks of a worker are made of.

use super::sources::IdlePolicy;
use crate::model::slo::Slo;
use crate::model::time::Ms;
use crate::pipeline::intake::Spread;
use crate::pipeline::rollup::RollupSettings;
use crate::pipeline::users::UsersSettings;
use std::sync::Arc;

/// What a worker's tasks are made of. It is the same in all instances of an application id.
pub struct Setup {
    pub slos: Arc<Vec<Slo>>,
    /// How many input partitions there are in all.
    pub inputs: u32,
    pub keyed_by_user: bool,
    /// How users are spread; with `keyed_by_user` there is a users task an input partition.
    pub spread: Spread,
    pub rollups: u32,
    pub users: UsersSettings,
    pub rollup: RollupSettings,
    pub patience: IdlePolicy,
    /// The build and the definitions: checkpoints carry it.
    pub identity: String,
    pub checkpoint_interval_ms: Ms,
    /// A key group's deltas may weigh as much before a new image is written; [`super::DELTAS_MIN_BYTES`].
    pub deltas_min_bytes: u64,
    /// Memory for the rows of all users tasks of this worker.
    pub memory_limit_bytes: u64,
}

impl Setup {
    /// How many users tasks there are in all.
    pub fn users_tasks(&self) -> u32 {
        if self.keyed_by_user { self.inputs } else { self.spread.partitions }
    }
}
