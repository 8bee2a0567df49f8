//! The bytes of state keys. They are frozen: a layout never changes, and the number of a kind is never reused. A
//! different layout needs a new kind or a new format byte.
//!
//! A key is a format byte, a kind byte and its fields. They are encoded so that the bytes sort like the fields, and
//! every [`Prefix`] matches exactly its rows: integers are big-endian (signed ones with the sign bit flipped), texts
//! have their zero bytes escaped and end with a terminator. This module does not know what a value means; see
//! [`super::values`] for its envelope.

mod bytes;

use crate::model::hex;
use crate::model::key::{Scope, encode_into};
use crate::model::time::Ms;
use bytes::{Fields, put_i64, put_text};
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// The number of virtual key groups, whatever the number of tasks. Every row of a user or a key belongs to one group,
/// and its key starts with it. So the number of tasks can change by moving groups, without reading the input again. A
/// task checkpoints a range of groups at a time.
pub const KEY_GROUPS: u16 = 1_024;

/// The virtual key groups of one of `ranges` ranges.
pub fn groups_of_range(range: u16, ranges: u16) -> std::ops::Range<u16> {
    let each = KEY_GROUPS / ranges;
    range * each..(range + 1) * each
}

/// The range, out of `ranges`, that a virtual key group is in.
pub const fn range_of(group: u16, ranges: u16) -> u16 {
    group / (KEY_GROUPS / ranges)
}

/// The first byte of every key.
pub const FORMAT: u8 = 1;

/// The second byte of every key. Never used: 0x00 and 0xff. Reserved: 0x02 and 0x03 by designs that were never built; for
/// later, 0x06 attempts of a journey, 0x07 ids seen (de-duplication), 0x08 users seen (distinct users), 0x09 gauges,
/// 0x0a canaries, 0x0b recorded decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    Meta = 0x01,
    User = 0x04,
    Key = 0x05,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Meta, Kind::User, Kind::Key];
}

/// What a window state is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ScopeKind {
    Aggregate = 0x01,
    Tenant = 0x02,
    Group = 0x03,
}

/// Which kind of period a window state belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PeriodKind {
    Rolling = 0x01,
    Calendar = 0x02,
    Timeslice = 0x03,
    Journey = 0x04,
}

/// The identity of an SLO's filters. Window state belongs to the filters, not to the SLO's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiltersId(pub u64);

impl FiltersId {
    /// From [`crate::model::slo::Slo::filters_hash`].
    pub fn of(filters_hash: &str) -> FiltersId {
        FiltersId(xxh3_64(filters_hash.as_bytes()))
    }
}

/// Rows about the store as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meta {
    /// The record of the last checkpoint.
    Checkpoint,
    /// The range of the changelog when the store was last flushed.
    ChangelogRange,
}

/// A key. `group` is the virtual key group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    Meta(Meta),
    /// The state of a user under some filters. `part` numbers its rows: data that only few users have (bad events) has a
    /// row of its own.
    User {
        group: u16,
        tenant: Cow<'a, str>,
        user: Cow<'a, str>,
        filters: FiltersId,
        scope: ScopeKind,
        period: PeriodKind,
        part: u8,
    },
    /// The state of a key (slo, scope). `part` numbers the kinds of its rows, `at_ms` the slices of one kind.
    Key {
        group: u16,
        slo: Cow<'a, str>,
        filters: FiltersId,
        scope: ScopeKind,
        subject: Cow<'a, str>,
        period: PeriodKind,
        part: u8,
        at_ms: Ms,
    },
}

impl ScopeKind {
    pub const fn of(scope: &Scope) -> ScopeKind {
        match scope {
            Scope::Aggregate => ScopeKind::Aggregate,
            Scope::Tenant(_) => ScopeKind::Tenant,
            Scope::Group(_) | Scope::OtherGroups => ScopeKind::Group,
        }
    }
}

/// The scope's value as one text: empty, the tenant, or the group as in record keys.
pub fn subject(scope: &Scope) -> Cow<'_, str> {
    match scope {
        Scope::Aggregate => Cow::Borrowed(""),
        Scope::Tenant(tenant) => Cow::Borrowed(tenant),
        Scope::OtherGroups => Cow::Borrowed(crate::model::key::OTHER),
        Scope::Group(pairs) => {
            let mut text = String::new();
            for (i, (name, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                encode_into(&mut text, name);
                text.push('=');
                encode_into(&mut text, value);
            }
            Cow::Owned(text)
        }
    }
}

/// A set of rows with neighbouring keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Kind(Kind),
    /// The users of a virtual key group.
    Users {
        group: u16,
    },
    /// The keys of a virtual key group.
    Keys {
        group: u16,
    },
}

/// What follows the kind in the keys of [`Meta`]. The first two were reserved for rows that were never built; the zeros
/// of the last are fields that only such rows would need.
mod meta {
    pub(super) const CHECKPOINT: &[u8] = &[0x03];
    pub(super) const CHANGELOG_RANGE: &[u8] = &[0x04, 0, 0, 0x04, 0, 0, 0, 0];
}

impl Prefix {
    /// Appends the bytes that all keys of this set, and no others, start with.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (kind, group) = match self {
            Prefix::Kind(kind) => (kind, None),
            Prefix::Users { group } => (Kind::User, Some(group)),
            Prefix::Keys { group } => (Kind::Key, Some(group)),
        };
        out.extend_from_slice(&[FORMAT, kind as u8]);
        out.extend(group.map(u16::to_be_bytes).into_iter().flatten());
    }

    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

impl Key<'_> {
    pub const fn kind(&self) -> Kind {
        match self {
            Key::Meta(_) => Kind::Meta,
            Key::User { .. } => Kind::User,
            Key::Key { .. } => Kind::Key,
        }
    }

    /// Appends the bytes of the key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Key::Meta(row) => {
                Prefix::Kind(Kind::Meta).encode(out);
                out.extend_from_slice(match row {
                    Meta::Checkpoint => meta::CHECKPOINT,
                    Meta::ChangelogRange => meta::CHANGELOG_RANGE,
                });
            }
            Key::User { group, tenant, user, filters, scope, period, part } => {
                Prefix::Users { group: *group }.encode(out);
                put_text(out, tenant);
                put_text(out, user);
                out.extend_from_slice(&filters.0.to_be_bytes());
                out.extend_from_slice(&[*scope as u8, *period as u8, *part]);
            }
            Key::Key { group, slo, filters, scope, subject, period, part, at_ms } => {
                Prefix::Keys { group: *group }.encode(out);
                put_text(out, slo);
                out.extend_from_slice(&filters.0.to_be_bytes());
                out.push(*scope as u8);
                put_text(out, subject);
                out.extend_from_slice(&[*period as u8, *part]);
                put_i64(out, *at_ms);
            }
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads a key back. Texts without zero bytes are borrowed.
    pub fn decode(bytes: &[u8]) -> Result<Key<'_>, KeyError> {
        let mut fields = Fields::new(bytes);
        let key = decode_fields(&mut fields)?;
        fields.finish()?;
        Ok(key)
    }
}

fn decode_fields<'a>(fields: &mut Fields<'a>) -> Result<Key<'a>, KeyError> {
    fields.byte("format", |b| (b == FORMAT).then_some(()))?;
    let kind = fields.byte("kind", |b| Kind::ALL.into_iter().find(|k| *k as u8 == b))?;
    Ok(match kind {
        Kind::Meta => Key::Meta(decode_meta(fields)?),
        Kind::User => Key::User {
            group: fields.u16()?,
            tenant: fields.text()?,
            user: fields.text()?,
            filters: FiltersId(fields.u64()?),
            scope: fields.scope()?,
            period: fields.period()?,
            part: fields.u8()?,
        },
        Kind::Key => Key::Key {
            group: fields.u16()?,
            slo: fields.text()?,
            filters: FiltersId(fields.u64()?),
            scope: fields.scope()?,
            subject: fields.text()?,
            period: fields.period()?,
            part: fields.u8()?,
            at_ms: fields.i64()?,
        },
    })
}

fn decode_meta(fields: &mut Fields<'_>) -> Result<Meta, KeyError> {
    let rows = [(meta::CHECKPOINT, Meta::Checkpoint), (meta::CHANGELOG_RANGE, Meta::ChangelogRange)];
    let (bytes, row) = fields.byte("meta row", |b| rows.into_iter().find(|(bytes, _)| bytes[0] == b))?;
    for expected in &bytes[1..] {
        fields.byte("meta row", |b| (b == *expected).then_some(()))?;
    }
    Ok(row)
}

/// Why bytes are not a key of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key ends at byte {at}, within its {what}")]
    Truncated { at: usize, what: &'static str },
    #[error("{found:#04x} at byte {at} of the key is not a {what} that this build knows")]
    Unknown { at: usize, what: &'static str, found: u8 },
    #[error("a text at byte {at} of the key is not UTF-8")]
    NotUtf8 { at: usize },
    #[error("{left} bytes are left over at the end of the key")]
    Trailing { left: usize },
}

/// A key for an error message or a log line: its fields if it can be read, otherwise its size, hash and first bytes. User
/// ids are shown as a hash, never in plain text.
pub fn describe(bytes: &[u8]) -> String {
    match Key::decode(bytes) {
        Ok(Key::User { group, tenant, user, filters, part, .. }) => {
            let user = xxh3_64(user.as_bytes());
            format!(
                "user row (group {group}, tenant {tenant:?}, user #{user:016x}, filters {:016x}, part {part})",
                filters.0
            )
        }
        Ok(key) => format!("{key:?}"),
        Err(_) => {
            let kind = hex::encode(&bytes[..bytes.len().min(2)]);
            format!("an unreadable key of {} bytes (#{:016x}, beginning with {kind:?})", bytes.len(), xxh3_64(bytes))
        }
    }
}

#[cfg(test)]
mod tests;
