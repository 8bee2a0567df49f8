//! Size limits of an outcome's fields. A longer tenant or user makes a dead letter (`too_long`), any other longer text
//! is absent; nothing is cut.
//!
//! Limits are in bytes of UTF-8. They bound the size of rows, groups and output records, well above what people log.

use serde::Deserialize;

/// The table of limits. All fields not named here are numbers.
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
    /// Attributes per record: distinct names, without absent (null) ones.
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
