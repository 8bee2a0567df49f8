//! The version of what tailburn stores, and how bytes of an earlier version are read.
//!
//! All stored forms (rows, checkpoints, partials) are structs in postcard's encoding, which has no names: the fields
//! follow one another. So a struct that gained a field reads the bytes of an earlier version wrongly unless the decoder
//! knows that the field is not there. To add a field to a stored struct (also to a record that is part of one):
//!
//! 1. Write `#[serde(default)]` at the field. State of an earlier version gets this default.
//! 2. Add the field to [`ADDED`], with the version that has it: `(7, "KeyState", "bank")`.
//!
//! If [`VERSION`] was released already (`tests/fixtures/state/vN.txt` exists), raise it first. A variant that is added at
//! the end of an enum needs nothing: earlier versions do not contain it. A field that changes its type becomes a new
//! field beside the old one, and the loader converts. An array counts as one field: it never changes its length.
//!
//! The current version is read without any of this, so nothing here costs time in normal operation.

mod decoder;
#[cfg(test)]
pub(crate) mod shape;
#[cfg(test)]
mod tests;

use decoder::Versioned;
use serde::Deserialize;

/// The version of all that is written now.
pub const VERSION: u8 = 11;

/// The oldest version that is read.
pub const OLDEST: u8 = 6;

/// A version, and a struct's field that no version before it has.
type Added = (u8, &'static str, &'static str);

/// The fields that were added to stored structs, by the names that serde uses.
const ADDED: &[Added] = &[
    (7, "KeyState", "budget"),
    (7, "KeyState", "canaries"),
    (7, "StoredDefinition", "canary"),
    (7, "StoredDefinition", "tail_alerts"),
    (7, "StoredDefinition", "forecast_alerts"),
    (7, "KeyDelta", "canary"),
    (7, "KeyDelta", "canary_overflow"),
    (7, "KeyState", "forecast"),
    (7, "KeyState", "tails"),
    (7, "Tracked", "is_open"),
    (7, "Leaf", "every"),
    (7, "Distribution", "with_bad"),
    (7, "Distribution", "dispersion"),
    (8, "Told", "same_as"),
    (8, "KeyState", "failing_users"),
    (8, "KeyStep", "failing"),
    (9, "KeyDelta", "events"),
    (9, "KeyState", "events"),
    (9, "Found", "events"),
    (9, "Found", "bad_events"),
    (9, "KeyState", "sla"),
    (9, "KeyState", "policy"),
    (9, "Windows", "calendar"),
    (9, "StoredDefinition", "sla"),
    (9, "StoredDefinition", "policy"),
    (10, "KeyState", "units"),
    (10, "KeyDelta", "failures"),
    (10, "KeyState", "failures"),
    (10, "KeyDelta", "maintenance"),
    (10, "KeyState", "maintenance"),
    (10, "KeyDelta", "event_news"),
    (10, "StoredDefinition", "unit"),
    (10, "PaneDelta", "parts"),
    (10, "PaneDelta", "gauge"),
    (10, "KeyDelta", "users"),
    (10, "KeyDelta", "decided"),
    (11, "KeyDelta", "late_users"),
    (11, "KeyDelta", "attempts"),
    (11, "Distinct", "periods"),
];

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Bytes(#[from] postcard::Error),
    #[error("{0} bytes follow its end")]
    Trailing(usize),
}

/// Reads what was written in this version; it must take all bytes.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8], version: u8) -> Result<T, DecodeError> {
    decode_by(ADDED, bytes, version)
}

fn decode_by<'de, T: Deserialize<'de>>(
    added: &'static [Added],
    bytes: &'de [u8],
    version: u8,
) -> Result<T, DecodeError> {
    let mut decoder = postcard::Deserializer::from_bytes(bytes);
    let value = if version == VERSION {
        T::deserialize(&mut decoder)?
    } else {
        T::deserialize(Versioned { inner: &mut decoder, version, added })?
    };
    match decoder.finalize()?.len() {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}
