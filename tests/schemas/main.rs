//! `schemas/*.avsc` against the code that writes the records, and against their own past.
//!
//! The comparison goes through the Avro library's own reader, never through tailburn's.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "what to run and to rewrite is chosen by environment variables")]

mod agreement;
mod documentation;
mod evolution;
mod samples;

use std::path::{Path, PathBuf};

fn schemas_dir() -> PathBuf {
    PathBuf::from("schemas")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
