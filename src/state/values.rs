//! The envelope of a value: a version, the payload, a checksum.
//!
//! The operators define the payloads: they write them with [`Writer`] and read them, also in versions of earlier
//! builds, with [`Reader`]. The checksum covers the key, too: a row under a wrong key is as damaged as one with a
//! flipped bit, and both are found when the row is read, independent of the store's own checks.

use super::keys::{Key, describe};
use super::store::Batch;
use crate::model::wire::{Reader, WireError, Writer};
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_64;

const CHECKSUM_BYTES: usize = 4;

/// A value with a valid checksum and a known version.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    pub version: u8,
    pub payload: Reader<'a>,
}

/// Why a value cannot be used. It names the key; the remedy is the store's: wipe and rebuild.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the value of {key} is damaged ({bytes} bytes); the state has to be rebuilt from the log")]
    Damaged { key: String, bytes: usize },
    #[error(
        "the value of {key} has version {found}, and this build reads versions up to {newest}; run the newer \
         build, or move the state directory away to have it rebuilt from the log"
    )]
    NewerVersion { key: String, found: u8, newest: u8 },
    #[error(
        "{what} was written by an earlier build, in a format that this one does not read; start that build again, or \
         start over with another application_id and output.prefix"
    )]
    OlderVersion { what: String },
    #[error("{what} was written by a newer build; start that one")]
    NewerBuild { what: String },
    #[error("the value of {key} (version {version}) cannot be read: {source}")]
    Unreadable { key: String, version: u8, source: WireError },
}

impl ValueError {
    pub fn older(what: &str) -> ValueError {
        ValueError::OlderVersion { what: what.to_owned() }
    }

    pub fn newer(what: &str) -> ValueError {
        ValueError::NewerBuild { what: what.to_owned() }
    }

    /// Whether another build could read it, because nothing is damaged.
    pub const fn is_of_another_build(&self) -> bool {
        use ValueError::{NewerBuild, NewerVersion, OlderVersion};
        matches!(self, NewerVersion { .. } | OlderVersion { .. } | NewerBuild { .. })
    }

    /// Used by the payload's reader, which does not know key and version.
    pub fn unreadable(key: &[u8], version: u8, source: WireError) -> ValueError {
        ValueError::Unreadable { key: describe(key), version, source }
    }
}

/// Appends the value of `key` to `out`.
pub fn seal(key: &[u8], version: u8, out: &mut Vec<u8>, payload: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.push(version);
    payload(&mut Writer::new(out));
    let sum = checksum(key, &out[start..]);
    out.extend_from_slice(&sum);
}

/// Checks the value of `key` and opens it. `versions` are those that the caller can read.
pub fn open<'a>(key: &[u8], versions: RangeInclusive<u8>, value: &'a [u8]) -> Result<Row<'a>, ValueError> {
    let damaged = || ValueError::Damaged { key: describe(key), bytes: value.len() };
    let (sealed, sum) = value.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(damaged)?;
    let (&version, payload) = sealed.split_first().ok_or_else(damaged)?;
    if checksum(key, sealed) != *sum {
        return Err(damaged());
    }
    if version > *versions.end() {
        return Err(ValueError::NewerVersion { key: describe(key), found: version, newest: *versions.end() });
    }
    if version < *versions.start() {
        return Err(ValueError::older(&format!("the value of {} (version {version})", describe(key))));
    }
    Ok(Row { version, payload: Reader::new(payload) })
}

impl Batch {
    /// Puts a row, encoded in place.
    pub fn put_row(&mut self, key: &Key<'_>, version: u8, payload: impl FnOnce(&mut Writer<'_>)) {
        self.put_with(
            |out| key.encode(out),
            |key, out| {
                let start = out.len();
                out.push(version);
                payload(&mut Writer::new(out));
                let sum = checksum(&out[key], &out[start..]);
                out.extend_from_slice(&sum);
            },
        );
    }

    /// Deletes a row.
    pub fn delete_row(&mut self, key: &Key<'_>) {
        self.delete_with(|out| key.encode(out));
    }
}

/// One hash is rotated, so that equal keys and payloads do not cancel out.
fn checksum(key: &[u8], sealed: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let sum = xxh3_64(key).rotate_left(32) ^ xxh3_64(sealed);
    (sum as u32 ^ (sum >> 32) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::keys::Meta;
    use proptest::prelude::*;

    const KEY: Key<'static> = Key::Meta(Meta::Checkpoint);

    fn sealed(payload: &[u8]) -> Vec<u8> {
        let mut value = Vec::new();
        seal(&KEY.to_bytes(), 1, &mut value, |w| w.bytes(payload));
        value
    }

    /// Values of earlier builds must always open.
    #[test]
    fn values_of_version_1_open() {
        let value = [0x01, 0x03, b'a', b'b', b'c', 0xc4, 0x3b, 0xed, 0xbe];
        assert_eq!(sealed(b"abc"), value);
        let mut row = open(&KEY.to_bytes(), 1..=9, &value).unwrap();
        assert_eq!((row.version, row.payload.bytes()), (1, Ok(&b"abc"[..])));
        assert_eq!(row.payload.finish(), Ok(()));
    }

    #[test]
    fn a_row_put_into_a_batch_is_the_sealed_value() {
        let mut batch = Batch::new();
        batch.put_row(&KEY, 1, |w| w.bytes(b"abc"));
        let key = KEY.to_bytes();
        assert_eq!(batch.sorted().next(), Some((&key[..], Some(&sealed(b"abc")[..]))));
        batch.delete_row(&KEY);
        assert_eq!(batch.sorted().collect::<Vec<_>>(), [(&key[..], None)]);
    }

    #[test]
    fn a_newer_version_is_refused_with_the_remedy() {
        let error = open(&KEY.to_bytes(), 0..=0, &sealed(b"")).unwrap_err();
        assert_eq!(error, ValueError::NewerVersion { key: describe(&KEY.to_bytes()), found: 1, newest: 0 });
        assert!(error.to_string().contains("run the newer build"), "{error}");
    }

    #[test]
    fn an_older_version_is_refused_with_the_remedy_and_nothing_of_it_is_read() {
        let error = open(&KEY.to_bytes(), 2..=3, &sealed(b"")).unwrap_err();
        assert!(error.is_of_another_build() && error.to_string().contains("start that build again"), "{error}");
    }

    #[test]
    fn a_value_under_another_key_is_damaged() {
        let other = Key::Meta(Meta::ChangelogRange).to_bytes();
        assert!(matches!(open(&other, 1..=1, &sealed(b"abc")), Err(ValueError::Damaged { .. })));
    }

    #[test]
    fn errors_name_the_key() {
        let error = open(&KEY.to_bytes(), 1..=1, b"").unwrap_err();
        assert!(error.to_string().contains("Checkpoint"), "{error}");
        let source = WireError::Trailing { at: 3, left: 1 };
        let error = ValueError::unreadable(&KEY.to_bytes(), 1, source);
        assert!(error.to_string().contains("Checkpoint"), "{error}");
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_cut_is_damage(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8
        ) {
            let key = KEY.to_bytes();
            let value = sealed(&payload);
            prop_assert!(open(&key, 1..=1, &value).is_ok());
            let mut flipped = value.clone();
            flipped[at.index(value.len())] ^= 1 << bit;
            let found = matches!(open(&key, 0..=255, &flipped), Err(ValueError::Damaged { .. }));
            prop_assert!(found);
            prop_assert!(open(&key, 1..=1, &value[..at.index(value.len())]).is_err());
        }
    }
}
