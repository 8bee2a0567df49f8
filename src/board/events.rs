//! What changes on the board, for those who watch it live.
//!
//! The last changes are kept, so that a viewer whose connection broke goes on where it was. Who is too slow for the
//! rest misses some, and is told by the stream's end.

use super::key_parts::KeyParts;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Changes that are kept for viewers who come back, and that a viewer may be behind.
const KEPT: usize = 4_096;

/// One change.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: u64,
    /// `status`, `alert`, `cohort`, `history`.
    pub kind: &'static str,
    pub key: Arc<str>,
    pub parts: KeyParts,
    pub json: Arc<[u8]>,
}

pub struct Events {
    /// Distinguishes the numbers of this process from those of another one.
    pub epoch: String,
    next: u64,
    all: Channel,
    /// Without statuses and points of tenants and groups: who watches the aggregates is not woken by 50,000 tenants.
    few: Channel,
}

struct Channel {
    kept: VecDeque<Arc<Event>>,
    /// The number of the last event that is not kept any more.
    gone: u64,
    sender: broadcast::Sender<Arc<Event>>,
}

impl Default for Channel {
    fn default() -> Channel {
        Channel { kept: VecDeque::new(), gone: 0, sender: broadcast::channel(KEPT).0 }
    }
}

impl Channel {
    fn tell(&mut self, event: Arc<Event>) {
        if self.kept.len() == KEPT
            && let Some(gone) = self.kept.pop_front()
        {
            self.gone = gone.number;
        }
        self.kept.push_back(Arc::clone(&event));
        // Nobody watches: no error.
        let _ = self.sender.send(event);
    }
}

/// A viewer's view: what it missed, and what comes.
pub struct Watching {
    /// `None`: what it saw last is no longer known, and it must read the lists again.
    pub missed: Option<Vec<Arc<Event>>>,
    pub coming: broadcast::Receiver<Arc<Event>>,
}

impl Default for Events {
    #[expect(clippy::disallowed_methods, reason = "tells processes apart; no figure comes from it")]
    fn default() -> Events {
        let epoch = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        Events { epoch, next: 1, all: Channel::default(), few: Channel::default() }
    }
}

impl Events {
    pub fn tell(&mut self, kind: &'static str, key: &str, json: Arc<[u8]>) {
        let event = Arc::new(Event { number: self.next, kind, key: key.into(), parts: KeyParts::of(key), json });
        self.next += 1;
        let is_of_many = matches!(kind, "status" | "history") && !event.parts.is_aggregate();
        if !is_of_many {
            self.few.tell(Arc::clone(&event));
        }
        self.all.tell(event);
    }

    /// `after`: the last id that the viewer saw, `EPOCH-NUMBER`. `of_aggregates`: it wants no status or point of tenants
    /// and groups.
    pub fn watch(&self, after: Option<&str>, of_aggregates: bool) -> Watching {
        let channel = if of_aggregates { &self.few } else { &self.all };
        let coming = channel.sender.subscribe();
        let Some(after) = after else { return Watching { missed: Some(Vec::new()), coming } };
        let seen = after.strip_prefix(&self.epoch).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
        let missed = seen.filter(|seen| *seen < self.next && *seen >= channel.gone);
        let missed = missed.map(|seen| channel.kept.iter().filter(|event| event.number > seen).cloned().collect());
        Watching { missed, coming }
    }

    pub fn viewers(&self) -> usize {
        self.all.sender.receiver_count() + self.few.sender.receiver_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_who_comes_back_gets_what_it_missed_or_is_told_to_read_again() {
        let mut events = Events::default();
        (0..3).for_each(|_| events.tell("status", "a|aggregate", Arc::from(*b"{}")));
        let missed = |after: &str| events.watch(Some(after), false).missed.map(|missed| missed.len());
        let id = |n: u64| format!("{}-{n}", events.epoch);
        assert_eq!((missed(&id(1)), missed(&id(3)), missed(&id(0))), (Some(2), Some(0), Some(3)));
        assert_eq!((missed(&id(9)), missed("other-1"), missed("nonsense")), (None, None, None));
        let mut many = Events::default();
        (0..KEPT + 10).for_each(|_| many.tell("status", "a|aggregate", Arc::from(*b"{}")));
        assert!(many.watch(Some(&format!("{}-5", many.epoch)), false).missed.is_none());
    }

    #[test]
    fn who_watches_aggregates_is_not_woken_by_tenants_and_goes_on_behind_thousands_of_them() {
        let mut events = Events::default();
        let mut watching = events.watch(None, true);
        events.tell("status", "a|aggregate", Arc::from(*b"{}"));
        (0..KEPT + 10).for_each(|_| events.tell("status", "a|tenant|acme", Arc::from(*b"{}")));
        events.tell("alert", "a|tenant|acme", Arc::from(*b"{}"));
        let mut seen = || watching.coming.try_recv().map(|event| event.kind).ok();
        assert_eq!([seen(), seen(), seen()], [Some("status"), Some("alert"), None]);
        let missed = |after: u64, few| events.watch(Some(&format!("{}-{after}", events.epoch)), few).missed;
        assert_eq!((missed(1, true).map(|missed| missed.len()), missed(1, false).is_none()), (Some(1), true));
    }
}
