//! Watches over the topics that are read, on a thread of its own: whether each still is the topic that it was
//! when the log was opened.
//!
//! A client that reads a topic which is deleted and made anew at once goes on at its old offset in the new one,
//! and says nothing. So the brokers are asked again and again for the ids; the log asks the watch at every
//! poll and before every commit.

use super::KafkaSettings;
use super::rights::{self, Right};
use super::topic_ids::Described;
use super::topics::TopicAdmin;
use crate::log::{LogError, TopicId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A topic that was made anew is to be noticed within 10 s, also where a broker is slow.
const INTERVAL: Duration = Duration::from_secs(2);
/// One question.
const QUESTION: Duration = Duration::from_secs(5);

/// The topics as they were, by name.
pub type Expected = BTreeMap<String, (TopicId, u32)>;

/// What became of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    MadeAnew {
        topic: String,
        was: TopicId,
        now: TopicId,
    },
    Grown {
        topic: String,
        was: u32,
        now: u32,
    },
    /// Credentials or rights that were in force are no more.
    Refused {
        what: String,
        message: String,
    },
}

/// Credentials may be changed on both sides, one after the other.
const UNTIL_REFUSED: Duration = Duration::from_secs(10);
/// Rights are taken back and granted again while they are put in order: missing so often in a row they are missing.
const TIMES_MISSING: u32 = 2;
/// Each how many looks the group is asked about.
const GROUP_EVERY: u32 = 3;

/// The log's end. The thread ends with it.
pub struct Watch {
    shared: Arc<Shared>,
    _ends: Sender<()>,
}

#[derive(Default)]
struct Shared {
    has_changed: AtomicBool,
    change: Mutex<Option<Change>>,
}

impl Watch {
    pub fn begin(settings: &KafkaSettings, expected: Expected) -> Result<Watch, LogError> {
        let admin = TopicAdmin::open(settings)?;
        let needed = rights::needed(settings);
        let (ends, ended) = channel();
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("tailburn-topics".to_owned());
        let told = Arc::clone(&shared);
        thread
            .spawn(move || serve(&admin, &expected, &needed, &told, &ended))
            .map_err(|e| LogError::Broken(format!("no thread to watch the topics with: {e}")))?;
        Ok(Watch { shared, _ends: ends })
    }

    /// What changed since the log was opened. Costs one look at a flag where nothing did.
    #[inline]
    pub fn change(&self) -> Option<Change> {
        if !self.shared.has_changed.load(Ordering::Acquire) {
            return None;
        }
        self.shared.change.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(admin: &TopicAdmin, expected: &Expected, needed: &[Right], shared: &Shared, ended: &Receiver<()>) {
    let mut names = rights::topics(needed);
    names.extend(expected.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    let mut rights = Rights::default();
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let change = match admin.describe(&names, QUESTION) {
            Ok(found) => {
                admin.is_well();
                change(expected, &found).or_else(|| rights.look(admin, needed, &found))
            }
            Err(error) => {
                tracing::debug!(target: "tailburn::kafka", %error, "the topics' ids cannot be asked for");
                admin.refused_credentials(UNTIL_REFUSED).and_then(refused)
            }
        };
        if let Some(change) = change {
            *shared.change.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
            shared.has_changed.store(true, Ordering::Release);
            return;
        }
    }
}

/// What was missing when one looked last.
#[derive(Default)]
struct Rights {
    looks: u32,
    times_missing: u32,
    of_group: Option<Right>,
}

impl Rights {
    fn look(&mut self, admin: &TopicAdmin, needed: &[Right], found: &BTreeMap<String, Described>) -> Option<Change> {
        let mut missing = admin.missing_on_topics(needed, found);
        if self.looks.is_multiple_of(GROUP_EVERY) || self.of_group.is_some() {
            // Who does not answer forbids nothing.
            self.of_group = admin.missing_on_group(needed, QUESTION).unwrap_or_default();
        }
        self.looks = self.looks.wrapping_add(1);
        missing.extend(self.of_group.clone());
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

/// The first difference. A topic that is not there just now may be on its way; who reads it hears of that.
pub fn change(expected: &Expected, found: &BTreeMap<String, Described>) -> Option<Change> {
    let all = || expected.iter().filter_map(|(name, was)| Some((name, was, found.get(name)?)));
    let made_anew = all().find_map(|(name, (was, _), now)| match now {
        Described::There { id, .. } if id.contradicts(*was) => {
            Some(Change::MadeAnew { topic: name.clone(), was: *was, now: *id })
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
    made_anew.or_else(grown)
}

#[cfg(test)]
mod tests {
    use super::super::rights::{Operation, Operations, Resource};
    use super::*;
    use rdkafka::error::RDKafkaErrorCode;

    const OLD: TopicId = TopicId([1; 16]);
    const NEW: TopicId = TopicId([2; 16]);

    fn found(id: TopicId, partitions: u32) -> BTreeMap<String, Described> {
        let there = |id, partitions| Described::There { id, partitions, operations: Operations::UNKNOWN };
        BTreeMap::from([("a".to_owned(), there(OLD, 1)), ("b".to_owned(), there(id, partitions))])
    }

    #[test]
    fn another_id_comes_before_another_count_and_what_is_not_there_is_waited_for() {
        let expected = Expected::from([("a".to_owned(), (OLD, 1)), ("b".to_owned(), (OLD, 3))]);
        assert_eq!(change(&expected, &found(OLD, 3)), None);
        assert_eq!(change(&expected, &found(TopicId::UNKNOWN, 3)), None);
        assert_eq!(change(&expected, &BTreeMap::from([("b".to_owned(), Described::Absent)])), None);
        let made_anew = Change::MadeAnew { topic: "b".to_owned(), was: OLD, now: NEW };
        assert_eq!(change(&expected, &found(NEW, 4)), Some(made_anew));
        let refused = Described::Refused(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(change(&expected, &BTreeMap::from([("b".to_owned(), refused)])), None, "a right is looked at apart");
        let grown = Change::Grown { topic: "b".to_owned(), was: 3, now: 4 };
        assert_eq!(change(&expected, &found(OLD, 4)), Some(grown));
    }

    #[test]
    fn a_right_that_is_granted_again_at_once_ends_nothing() {
        let missing = [Right { resource: Resource::Topic("a".to_owned()), operations: vec![Operation::Write] }];
        let mut rights = Rights::default();
        assert_eq!(rights.decide(&missing), None);
        assert_eq!(rights.decide(&[]), None);
        assert_eq!(rights.decide(&missing), None, "it was there in between");
        let withdrawn = rights.decide(&missing);
        assert!(
            matches!(&withdrawn, Some(Change::Refused { what, message }) if what == "a" && message.contains("Write")),
            "{withdrawn:?}"
        );
    }
}
