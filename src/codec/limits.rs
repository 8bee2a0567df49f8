//! Size limits of an outcome's fields: what is over one is a dead letter (`too_long`), never cut.
//!
//! Limits are in bytes of UTF-8. They bound what a row, a group or an output record can cost; they
//! are generous to what people log and far below what would hurt.

use serde::Deserialize;

/// The table of limits. Everything not named here is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldLimits {
    pub tenant_bytes: usize,
    pub user_bytes: usize,
    /// `operation`, `dependency`, `error_type`, `trace_id`, `event_id`, `journey` and `step`.
    pub text_bytes: usize,
    /// Names of attributes and measures.
    pub name_bytes: usize,
    pub attribute_value_bytes: usize,
    /// Attributes of one record, distinct names, absent (null) ones not counted.
    pub attributes: usize,
    pub measures: usize,
}

impl Default for FieldLimits {
    fn default() -> Self {
        FieldLimits {
            tenant_bytes: 256,
            user_bytes: 1_024,
            text_bytes: 1_024,
            name_bytes: 256,
            attribute_value_bytes: 1_024,
            attributes: 64,
            measures: 64,
        }
    }
}
