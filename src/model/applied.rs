//! `definitions`: what was applied of an SLO, by whom and why. One record is one change of one SLO.

use super::output::Labels;
use super::time::Moment;
use serde::{Deserialize, Serialize};

/// A change of an SLO's definition. What is in force is the last change of an SLO's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedDefinition {
    pub slo: String,
    /// SHA-256 (hex); `None`: the SLO was removed.
    pub definition_hash: Option<String>,
    /// When it was applied, by the clock of who applied it.
    pub since: Moment,
    pub by: String,
    pub reason: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// The hash that was in force before; `None`: there was none.
    pub previous_hash: Option<String>,
    /// SHA-256 (hex) of the filters alone: while it stays, counts stay.
    pub filters_hash: Option<String>,
    pub application_id: String,
    /// The OpenSLO document as YAML, with references filled in.
    pub document: Option<String>,
    /// The definition after references, defaults and overrides: each field by its dotted name, as text.
    pub fields: Labels,
}

impl AppliedDefinition {
    pub const ADDED: &str = "added";
    pub const CHANGED: &str = "changed";
    pub const REMOVED: &str = "removed";

    pub const fn is_removal(&self) -> bool {
        self.definition_hash.is_none()
    }
}
