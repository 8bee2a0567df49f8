//! The topics tailburn needs: what they should be, what they are, and creating those that are missing.

pub(super) mod admin;
mod create;
mod inspect;
mod missing_rights;
pub(super) mod plan;
mod state;

pub use admin::TopicAdmin;
pub use plan::{Cleanup, PartitionCounts, TopicPlan, definitions, plan, silences};
pub use state::{Difference, TopicState};
