//! Why a schema cannot be used.

use std::path::PathBuf;

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is not JSON: {0}")]
    NoJson(String),
    #[error("not an Avro schema: {place} {problem}")]
    Invalid { place: String, problem: String },
    #[error("the schema is not a record: an outcome's schema is a record, or a union with one")]
    NoRecord,
    #[error("the schema refers to the type `{0}`, which it does not define")]
    UnknownName(String),
    #[error("cannot read {}: {problem}", path.display())]
    Read { path: PathBuf, problem: String },
    #[error("{} has no schema in it: put the writers' schemas there, as 7.avsc or <GUID>.avsc", path.display())]
    Empty { path: PathBuf },
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: Box<SchemaError> },
}
