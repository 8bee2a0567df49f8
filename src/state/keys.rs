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

/// The second byte of every key. Never used: 0x00 and 0xff. Reserved for later: 0x06 attempts of a journey, 0x07 ids
/// seen (de-duplication), 0x08 users seen (distinct users), 0x09 gauges, 0x0a canaries, 0x0b recorded decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    Meta = 0x01,
    Dictionary = 0x02,
    Pending = 0x03,
    User = 0x04,
    Key = 0x05,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Meta, Kind::Dictionary, Kind::Pending, Kind::User, Kind::Key];
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

/// What a dictionary numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    AttributeTuples = 0x01,
    Tenants = 0x02,
    Groups = 0x03,
}

/// The kind of topic that an offset belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StreamKind {
    Input = 0x01,
    Repartition = 0x02,
    Partials = 0x03,
    Changelog = 0x04,
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

/// Rows about the store as a whole, or about a key group of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meta {
    /// The application and the task that the state belongs to.
    Application,
    /// The build and the configuration that wrote it.
    Identity,
    /// The record of the last checkpoint.
    Checkpoint,
    /// The offset up to which the rows of a range of key groups are current.
    Offset { group: u16, stream: StreamKind, partition: u32 },
}

/// A key. `group` is the virtual key group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<'a> {
    Meta(Meta),
    Dictionary {
        space: Space,
        id: u64,
    },
    /// Events that wait for their boundary.
    Pending {
        group: u16,
        visible_at_ms: Ms,
        source: u32,
        part: u32,
    },
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
pub enum Prefix<'a> {
    Kind(Kind),
    /// The offsets of a key group.
    Offsets {
        group: u16,
    },
    Dictionary(Space),
    Pending {
        group: u16,
    },
    /// Events that become visible at one boundary.
    PendingAt {
        group: u16,
        visible_at_ms: Ms,
    },
    Users {
        group: u16,
    },
    Tenant {
        group: u16,
        tenant: &'a str,
    },
    User {
        group: u16,
        tenant: &'a str,
        user: &'a str,
    },
    Keys {
        group: u16,
    },
    Slo {
        group: u16,
        slo: &'a str,
    },
    /// The state of an SLO under some filters, which is deleted when the filters change.
    SloFilters {
        group: u16,
        slo: &'a str,
        filters: FiltersId,
    },
}

mod meta {
    pub(super) const APPLICATION: u8 = 0x01;
    pub(super) const IDENTITY: u8 = 0x02;
    pub(super) const CHECKPOINT: u8 = 0x03;
    pub(super) const OFFSET: u8 = 0x04;
}

impl Prefix<'_> {
    /// Appends the bytes that all keys of this set, and no others, start with.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = |out: &mut Vec<u8>, kind: Kind| out.extend_from_slice(&[FORMAT, kind as u8]);
        let grouped = |out: &mut Vec<u8>, kind: Kind, group: u16| {
            begin(out, kind);
            out.extend_from_slice(&group.to_be_bytes());
        };
        match *self {
            Prefix::Kind(kind) => begin(out, kind),
            Prefix::Offsets { group } => {
                begin(out, Kind::Meta);
                out.push(meta::OFFSET);
                out.extend_from_slice(&group.to_be_bytes());
            }
            Prefix::Dictionary(space) => {
                begin(out, Kind::Dictionary);
                out.push(space as u8);
            }
            Prefix::Pending { group } => grouped(out, Kind::Pending, group),
            Prefix::PendingAt { group, visible_at_ms } => {
                grouped(out, Kind::Pending, group);
                put_i64(out, visible_at_ms);
            }
            Prefix::Users { group } => grouped(out, Kind::User, group),
            Prefix::Tenant { group, tenant } => {
                grouped(out, Kind::User, group);
                put_text(out, tenant);
            }
            Prefix::User { group, tenant, user } => {
                Prefix::Tenant { group, tenant }.encode(out);
                put_text(out, user);
            }
            Prefix::Keys { group } => grouped(out, Kind::Key, group),
            Prefix::Slo { group, slo } => {
                grouped(out, Kind::Key, group);
                put_text(out, slo);
            }
            Prefix::SloFilters { group, slo, filters } => {
                Prefix::Slo { group, slo }.encode(out);
                out.extend_from_slice(&filters.0.to_be_bytes());
            }
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

impl Key<'_> {
    pub const fn kind(&self) -> Kind {
        match self {
            Key::Meta(_) => Kind::Meta,
            Key::Dictionary { .. } => Kind::Dictionary,
            Key::Pending { .. } => Kind::Pending,
            Key::User { .. } => Kind::User,
            Key::Key { .. } => Kind::Key,
        }
    }

    /// Appends the bytes of the key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Key::Meta(row) => encode_meta(*row, out),
            Key::Dictionary { space, id } => {
                Prefix::Dictionary(*space).encode(out);
                out.extend_from_slice(&id.to_be_bytes());
            }
            Key::Pending { group, visible_at_ms, source, part } => {
                Prefix::PendingAt { group: *group, visible_at_ms: *visible_at_ms }.encode(out);
                out.extend_from_slice(&source.to_be_bytes());
                out.extend_from_slice(&part.to_be_bytes());
            }
            Key::User { group, tenant, user, filters, scope, period, part } => {
                Prefix::User { group: *group, tenant, user }.encode(out);
                out.extend_from_slice(&filters.0.to_be_bytes());
                out.extend_from_slice(&[*scope as u8, *period as u8, *part]);
            }
            Key::Key { group, slo, filters, scope, subject, period, part, at_ms } => {
                Prefix::SloFilters { group: *group, slo, filters: *filters }.encode(out);
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

fn encode_meta(row: Meta, out: &mut Vec<u8>) {
    match row {
        Meta::Application => out.extend_from_slice(&[FORMAT, Kind::Meta as u8, meta::APPLICATION]),
        Meta::Identity => out.extend_from_slice(&[FORMAT, Kind::Meta as u8, meta::IDENTITY]),
        Meta::Checkpoint => out.extend_from_slice(&[FORMAT, Kind::Meta as u8, meta::CHECKPOINT]),
        Meta::Offset { group, stream, partition } => {
            Prefix::Offsets { group }.encode(out);
            out.push(stream as u8);
            out.extend_from_slice(&partition.to_be_bytes());
        }
    }
}

fn decode_fields<'a>(fields: &mut Fields<'a>) -> Result<Key<'a>, KeyError> {
    fields.byte("format", |b| (b == FORMAT).then_some(()))?;
    let kind = fields.byte("kind", |b| Kind::ALL.into_iter().find(|k| *k as u8 == b))?;
    Ok(match kind {
        Kind::Meta => Key::Meta(decode_meta(fields)?),
        Kind::Dictionary => Key::Dictionary { space: fields.space()?, id: fields.u64()? },
        Kind::Pending => Key::Pending {
            group: fields.u16()?,
            visible_at_ms: fields.i64()?,
            source: fields.u32()?,
            part: fields.u32()?,
        },
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
    Ok(match fields.byte("meta row", |b| (meta::APPLICATION..=meta::OFFSET).contains(&b).then_some(b))? {
        meta::APPLICATION => Meta::Application,
        meta::IDENTITY => Meta::Identity,
        meta::CHECKPOINT => Meta::Checkpoint,
        _ => Meta::Offset { group: fields.u16()?, stream: fields.stream()?, partition: fields.u32()? },
    })
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
