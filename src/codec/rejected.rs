//! Why a record is not an outcome.

use crate::model::outcome::Rejection;

/// Why a record is not an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub reason: Rejection,
    /// What is wrong and where, for people.
    pub detail: String,
    /// What a record of another format looks like, if known; records are counted by it.
    pub looks_like: Option<&'static str>,
}

impl Rejected {
    #[cold]
    pub(super) fn new(reason: Rejection, detail: String) -> Self {
        Rejected { reason, detail, looks_like: None }
    }
}
