//! How a rollup task keeps a key between boundaries: live while it is busy, packed into a few hundred bytes while it
//! is quiet.
//!
//! With many tenants most keys are quiet most of the time. A live key takes kilobytes (windows, rules and figures of
//! users, each with room to grow), a packed one only the bytes of its content.
//!
//! A table of events stays as it is: tenants have none, and the few keys that have one would spend more time on packing and
//! unpacking it, several times a minute, than on their events.

use super::rollup_key::{Definition, RollupKey};
use crate::model::key::Scope;
use crate::model::time::{MINUTE_MS, Ms, PANE_MS};
use crate::operator::event_table::EventTable;
use crate::operator::key_definition::KeyIdentity;
use crate::operator::key_state::KeyState;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A key is packed if nothing will happen to it for this long. That includes a key that waits for the next step of a
/// user window of an hour; with a shorter time keys would be packed and unpacked at every other boundary.
const REST_MS: Ms = MINUTE_MS - PANE_MS;

pub(super) struct KeySlot {
    /// Nothing happens to the key before this boundary, unless a partial for it arrives.
    pub due_ms: Ms,
    form: Form,
}

enum Form {
    Live(Box<RollupKey>),
    Packed(PackedKey),
}

struct PackedKey {
    bytes: Box<[u8]>,
    events: Option<Box<EventTable>>,
}

/// The parts of a key that cannot be rebuilt from its definition.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    slo: usize,
    group: u16,
    at_ms: Ms,
    scope: Cow<'a, Scope>,
    state: Cow<'a, KeyState>,
    listed_users: Cow<'a, [Box<str>]>,
}

impl KeySlot {
    pub fn new(key: RollupKey) -> KeySlot {
        KeySlot { due_ms: key.due_ms, form: Form::Live(Box::new(key)) }
    }

    /// The key for changes: unpacks it in place.
    pub fn live(&mut self, definitions: &[Definition]) -> &mut RollupKey {
        if let Form::Packed(packed) = &mut self.form {
            let mut key = unpack(&packed.bytes, self.due_ms, definitions);
            key.state.put_events(packed.events.take());
            self.form = Form::Live(Box::new(key));
        }
        match &mut self.form {
            Form::Live(key) => key,
            Form::Packed(_) => unreachable!("it was unpacked above"),
        }
    }

    /// The key for reading: a packed one stays packed.
    pub fn key(&self, definitions: &[Definition]) -> Cow<'_, RollupKey> {
        let mut key = self.key_without_events(definitions);
        if let Form::Packed(PackedKey { events: Some(events), .. }) = &self.form {
            key.to_mut().state.put_events(Some(events.clone()));
        }
        key
    }

    /// As [`KeySlot::key`] for whoever does not ask for its table of events, which need not be copied then.
    pub fn key_without_events(&self, definitions: &[Definition]) -> Cow<'_, RollupKey> {
        match &self.form {
            Form::Live(key) => Cow::Borrowed(key),
            Form::Packed(packed) => Cow::Owned(unpack(&packed.bytes, self.due_ms, definitions)),
        }
    }

    pub fn into_key(mut self, definitions: &[Definition]) -> RollupKey {
        self.live(definitions);
        match self.form {
            Form::Live(key) => *key,
            Form::Packed(_) => unreachable!("it was unpacked above"),
        }
    }

    /// Called if nothing happened to the key at this boundary: packs it if nothing will happen for a while.
    pub fn rest(&mut self, at_ms: Ms) {
        if let Form::Live(key) = &mut self.form
            && self.due_ms - at_ms >= REST_MS
        {
            let events = key.state.take_events();
            self.form = Form::Packed(PackedKey { bytes: pack(key), events });
        }
    }

    #[cfg(test)]
    pub fn packed_bytes(&self) -> Option<usize> {
        match &self.form {
            Form::Live(_) => None,
            Form::Packed(packed) => Some(packed.bytes.len()),
        }
    }
}

#[expect(clippy::expect_used, reason = "memory takes every key: anything else is a bug, and aborts")]
fn pack(key: &RollupKey) -> Box<[u8]> {
    let packed = Packed {
        slo: key.slo,
        group: key.group,
        at_ms: key.at_ms,
        scope: Cow::Borrowed(&key.identity.scope),
        state: Cow::Borrowed(&key.state),
        listed_users: Cow::Borrowed(&key.listed_users),
    };
    postcard::to_stdvec(&packed).expect("a key can be packed").into_boxed_slice()
}

#[expect(clippy::expect_used, reason = "this task packed it: anything else is a bug, and aborts")]
fn unpack(bytes: &[u8], due_ms: Ms, definitions: &[Definition]) -> RollupKey {
    let packed: Packed<'_> = postcard::from_bytes(bytes).expect("a packed key can be read");
    let definition = &definitions[packed.slo];
    RollupKey {
        slo: packed.slo,
        // Before it was packed it had taken a step under its present definition.
        former: None,
        group: packed.group,
        identity: KeyIdentity::of(&definition.slo, &definition.layout, packed.scope.into_owned()),
        state: packed.state.into_owned(),
        listed_users: packed.listed_users.into_owned(),
        at_ms: packed.at_ms,
        due_ms,
    }
}
