//! Places where a test harness can kill the process.
//!
//! Nothing happens unless `TAILBURN_CRASH_AT` names a place when the process starts: `PLACE` or `PLACE:N`, the N-th
//! passage. The process then kills itself with SIGKILL: no destructor runs, nothing is flushed, nobody gets an answer.
#![expect(clippy::disallowed_methods, reason = "the environment says where to die, once")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A place to die at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A stream was assigned; its state is not restored yet.
    Assigned,
    /// While the changelog is restored.
    Restoring,
    /// While the log is replayed.
    Replaying,
    /// The replay is over, nothing has been committed since.
    Live,
    /// Records were read, but nothing was sent yet.
    BeforeSend,
    /// Outputs and partials were sent, the changelog and the offsets were not.
    BetweenSends,
    /// Everything was sent, the commit not yet requested.
    BeforeCommit,
    /// The commit succeeded; the store is not updated yet.
    AfterCommit,
    /// Some tasks' stores were written, others were not.
    BetweenStores,
    /// All stores were written, none was flushed.
    BeforeFlush,
    /// A full image of a key group was sent, the commit not yet requested.
    ImageSent,
    /// During a checkpoint of all dirty rows, because streams are revoked or the process leaves.
    Leaving,
    /// Streams were given up, and the group has not been answered yet.
    GivenUp,
    /// Records below the checkpoints are deleted.
    Purging,
    /// A transaction was aborted and is about to be sent again.
    Resending,
    /// A partition is passed over for the first time; the decision is not recorded yet.
    PassingOver,
    /// While boundaries are closed.
    Closing,
    /// While the state directory is opened.
    Opening,
    /// The transactional producer exists: the predecessor's transaction has ended.
    Joining,
    /// A dead letter is about to be sent.
    DeadLetter,
}

impl Place {
    pub const ALL: [(Place, &'static str); 20] = [
        (Place::Assigned, "assigned"),
        (Place::Restoring, "restoring"),
        (Place::Replaying, "replaying"),
        (Place::Live, "live"),
        (Place::BeforeSend, "before-send"),
        (Place::BetweenSends, "between-sends"),
        (Place::BeforeCommit, "before-commit"),
        (Place::AfterCommit, "after-commit"),
        (Place::BetweenStores, "between-stores"),
        (Place::BeforeFlush, "before-flush"),
        (Place::ImageSent, "image-sent"),
        (Place::Leaving, "leaving"),
        (Place::GivenUp, "given-up"),
        (Place::Purging, "purging"),
        (Place::Resending, "resending"),
        (Place::PassingOver, "passing-over"),
        (Place::Closing, "closing"),
        (Place::Opening, "opening"),
        (Place::Joining, "joining"),
        (Place::DeadLetter, "dead-letter"),
    ];
}

struct Armed {
    place: Place,
    passages_left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Dies here if this is the place and the time. Otherwise it costs a load and a comparison.
#[inline]
pub fn point(place: Place) {
    if let Some(armed) = ARMED.get_or_init(read)
        && armed.place == place
        && armed.passages_left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        die(place);
    }
}

/// Reads `TAILBURN_CRASH_AT`; an unknown place never happens.
fn read() -> Option<Armed> {
    let text = std::env::var("TAILBURN_CRASH_AT").ok()?;
    let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
    let (place, _) = Place::ALL.into_iter().find(|(_, known)| *known == name)?;
    Some(Armed { place, passages_left: AtomicU64::new(count.parse().unwrap_or(1)) })
}

#[cold]
fn die(place: Place) -> ! {
    tracing::warn!(?place, "TAILBURN_CRASH_AT: dying here");
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way; nothing may happen until it arrives.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Place::ALL.iter().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Place::ALL.len());
    }
}
