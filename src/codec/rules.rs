//! What decides about a record besides its fields.

use super::limits::FieldLimits;
use crate::model::time::Ms;
use serde::Deserialize;

/// Servers write a record at the end of a request, but some put the start time into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestampIs {
    /// The end of a request; used unchanged.
    #[default]
    End,
    /// The start: the latency, if there is one, is added.
    Start,
}

/// What a verdict needs besides the record's fields.
pub(super) struct Rules<'a> {
    pub limits: &'a FieldLimits,
    /// Used for an absent or empty tenant; not empty itself.
    pub default_tenant: Option<&'a str>,
    /// The largest acceptable event time; `None` if no record can be in the future.
    pub not_after_ms: Option<Ms>,
    pub timestamp_is: TimestampIs,
}
