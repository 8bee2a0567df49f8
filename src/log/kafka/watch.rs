//! Watches our topics on a thread of its own: whether each is still the topic that was there when the log was opened,
//! and whether we still have our rights.
//!
//! If a topic is deleted and created again at once, its consumers silently continue at their old offset in the new
//! topic. So the watch keeps asking the brokers for the topics' ids. The log looks at the watch at every poll and before
//! every commit.

use super::errors::recreated;
use super::native::describe_topics::Described;
use super::rights::{self, Right};
use super::settings::KafkaSettings;
use super::streams::{OpenedTopics, Streams};
use super::topics::admin::TopicAdmin;
use crate::log::{LogError, TopicId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A topic that was created again is noticed within 10 s, even if a broker is slow.
const INTERVAL: Duration = Duration::from_secs(2);
/// One request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What changed. The log cannot simply continue after any of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Recreated {
        topic: String,
        was: TopicId,
        now: TopicId,
    },
    Grown {
        topic: String,
        was: u32,
        now: u32,
    },
    /// Our credentials or rights were withdrawn.
    Refused {
        what: String,
        message: String,
    },
}

/// A new password is set on both sides one after the other, so a short refusal is no reason to give up.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Whoever edits rights may remove one and grant it again at once: a right has to be missing this many times in a row.
const TIMES_MISSING: u32 = 2;
/// The rights on the group are checked every so many times.
const GROUP_EVERY: u32 = 3;

/// Owned by the log. The thread stops when this is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    _stop: Sender<()>,
}

#[derive(Default)]
struct Shared {
    has_changed: AtomicBool,
    change: Mutex<Option<Change>>,
}

impl Watch {
    pub fn start(settings: &KafkaSettings, opened: OpenedTopics) -> Result<Watch, LogError> {
        let admin = TopicAdmin::open(settings)?;
        // Other clients with the same settings have just worked. Otherwise brokers that go down before the first look
        // would seem to refuse the settings.
        admin.mark_healthy();
        let needed = rights::needed(settings);
        let (stop, stopped) = channel();
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("tailburn-topics".to_owned());
        let thread_shared = Arc::clone(&shared);
        thread
            .spawn(move || serve(&admin, &opened, &needed, &thread_shared, &stopped))
            .map_err(|e| LogError::Broken(format!("no thread to watch the topics with: {e}")))?;
        Ok(Watch { shared, _stop: stop })
    }

    /// Fails if something changed since the log was opened. If nothing did, this only reads a flag.
    #[inline]
    pub fn check(&self, streams: &Streams) -> Result<(), LogError> {
        if !self.shared.has_changed.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.shared.change.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Ok(()),
            Some(Change::Recreated { topic, was, now }) => Err(recreated(&topic, was, now)),
            Some(Change::Grown { topic, was, now }) => Err(streams.grown(&topic, was, now)),
            Some(Change::Refused { what, message }) => Err(LogError::Refused { what, message }),
        }
    }
}

fn serve(admin: &TopicAdmin, opened: &OpenedTopics, needed: &[Right], shared: &Shared, stopped: &Receiver<()>) {
    let mut names = rights::topics(needed);
    names.extend(opened.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let mut rights = Rights::default();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let change = match admin.describe(&names, TIMEOUT) {
            Ok(found) => {
                admin.mark_healthy();
                change(opened, &found).or_else(|| rights.check(admin, needed, &found))
            }
            Err(error) => {
                tracing::debug!(target: "tailburn::kafka", %error, "the topics cannot be described");
                admin.refused_for(REFUSED_FOR).and_then(refused)
            }
        };
        if let Some(change) = change {
            *shared.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
            shared.has_changed.store(true, Ordering::Release);
            return;
        }
    }
}

/// The rights as of the last check.
#[derive(Default)]
struct Rights {
    checks: u32,
    /// How many checks in a row found a right missing.
    times_missing: u32,
    missing_on_group: Option<Right>,
}

impl Rights {
    fn check(&mut self, admin: &TopicAdmin, needed: &[Right], found: &BTreeMap<String, Described>) -> Option<Change> {
        let mut missing = admin.missing_on_topics(needed, found);
        if self.checks.is_multiple_of(GROUP_EVERY) || self.missing_on_group.is_some() {
            // A coordinator that does not answer takes no right away.
            self.missing_on_group = admin.missing_on_group(needed, TIMEOUT).unwrap_or_default();
        }
        self.checks = self.checks.wrapping_add(1);
        missing.extend(self.missing_on_group.clone());
        self.decide(&missing)
    }

    fn decide(&mut self, missing: &[Right]) -> Option<Change> {
        self.times_missing = if missing.is_empty() { 0 } else { self.times_missing + 1 };
        if self.times_missing < TIMES_MISSING {
            return None;
        }
        rights::refused(missing).and_then(refused)
    }
}

fn refused(error: LogError) -> Option<Change> {
    match error {
        LogError::Refused { what, message } => Some(Change::Refused { what, message }),
        _ => None,
    }
}

/// The first difference. A topic that a broker does not know may be a new one. If it is really gone, the consumer
/// reports that.
fn change(opened: &OpenedTopics, found: &BTreeMap<String, Described>) -> Option<Change> {
    let all = || opened.iter().filter_map(|(name, was)| Some((name, was, found.get(name)?)));
    let recreated = all().find_map(|(name, (was, _), now)| match now {
        Described::There { id, .. } if id.contradicts(*was) => {
            Some(Change::Recreated { topic: name.clone(), was: *was, now: *id })
        }
        _ => None,
    });
    let grown = || {
        all().find_map(|(name, (_, was), now)| match now {
            Described::There { partitions, .. } if partitions > was => {
                Some(Change::Grown { topic: name.clone(), was: *was, now: *partitions })
            }
            _ => None,
        })
    };
    recreated.or_else(grown)
}

#[cfg(test)]
mod tests {
    use super::super::operations::{Operation, Operations};
    use super::super::rights::Resource;
    use super::*;
    use rdkafka::error::RDKafkaErrorCode;

    const OLD: TopicId = TopicId([1; 16]);
    const NEW: TopicId = TopicId([2; 16]);

    fn found(id: TopicId, partitions: u32) -> BTreeMap<String, Described> {
        let there = |id, partitions| Described::There { id, partitions, operations: Operations::UNKNOWN };
        BTreeMap::from([("a".to_owned(), there(OLD, 1)), ("b".to_owned(), there(id, partitions))])
    }

    #[test]
    fn a_new_id_is_reported_before_a_new_count_and_a_missing_topic_is_not_reported() {
        let opened = OpenedTopics::from([("a".to_owned(), (OLD, 1)), ("b".to_owned(), (OLD, 3))]);
        assert_eq!(change(&opened, &found(OLD, 3)), None);
        assert_eq!(change(&opened, &found(TopicId::UNKNOWN, 3)), None);
        assert_eq!(change(&opened, &BTreeMap::from([("b".to_owned(), Described::Absent)])), None);
        let recreated = Change::Recreated { topic: "b".to_owned(), was: OLD, now: NEW };
        assert_eq!(change(&opened, &found(NEW, 4)), Some(recreated));
        let refused = Described::Refused(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(
            change(&opened, &BTreeMap::from([("b".to_owned(), refused)])),
            None,
            "rights are checked separately"
        );
        let grown = Change::Grown { topic: "b".to_owned(), was: 3, now: 4 };
        assert_eq!(change(&opened, &found(OLD, 4)), Some(grown));
    }

    #[test]
    fn a_right_that_is_granted_again_at_once_does_not_count_as_missing() {
        let missing = [Right { resource: Resource::Topic("a".to_owned()), operations: vec![Operation::Write] }];
        let mut rights = Rights::default();
        assert_eq!(rights.decide(&missing), None);
        assert_eq!(rights.decide(&[]), None);
        assert_eq!(rights.decide(&missing), None, "it was granted in between");
        let withdrawn = rights.decide(&missing);
        assert!(
            matches!(&withdrawn, Some(Change::Refused { what, message }) if what == "a" && message.contains("Write")),
            "{withdrawn:?}"
        );
    }
}
