//! The progress of all input partitions, of this instance and of others, and the decision which of them to pass over.
//!
//! T is the smallest watermark of all partitions, and the owner of a partition decides about it alone: to pass over a
//! partition, its owner raises its watermark. The users tasks receive that like any other progress, in the transaction
//! that records it. The progress of other instances' partitions comes from the sources topic
//! ([`crate::log::Stream::Sources`]) after they committed it. If it comes late, a partition is raised later, but never
//! too far.

use super::idle::Idleness;
use super::{MAX_SKEW_MS, WorkerError};
use crate::log::NextOffset;
use crate::model::record::{RecordIn, RecordOut, Topic};
use crate::model::time::{Ms, Now, PANE_MS, floor_to};
use serde::{Deserialize, Serialize};

/// A partition counts as read to its end if it was at most this long ago.
const AT_END_FOR_MS: Ms = 5_000;
/// How often the brokers are asked about a partition that seems to hold all others back.
const ASK_AGAIN_MS: Ms = 2_000;

/// The progress of an input partition, as its owner reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub watermark_ms: Option<Ms>,
    /// At least one outcome was read from it.
    pub has_read: bool,
    pub is_at_end: bool,
    /// It does not hold T back.
    pub is_idle: bool,
}

/// The settings for partitions that hold T back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdlePolicy {
    pub idle_timeout_ms: Ms,
    pub max_alignment_wait_ms: Ms,
    pub out_of_orderness_ms: Ms,
}

/// A decision to raise a partition's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    pub source: u32,
    pub to_ms: Ms,
    pub is_incomplete: bool,
}

/// An answer of the brokers about the end of a partition.
#[derive(Clone, Copy)]
struct Asked {
    at_ms: Ms,
    end: Option<NextOffset>,
}

/// All input partitions.
pub struct Sources {
    all: Vec<Progress>,
    /// Progress of the partition was received while it was not ours.
    is_reported: Vec<bool>,
    /// Of our partitions: the progress last sent.
    sent: Vec<Option<Progress>>,
    /// Of our partitions: when they were last read to the end.
    at_end_ms: Vec<Option<Ms>>,
    /// Of our partitions: the end that the log reported last.
    ends: Vec<Option<NextOffset>>,
    /// Of our partitions: no record came since then.
    is_silent: Vec<bool>,
    /// Of our partitions: since when it alone has held T back.
    alone_since_ms: Vec<Option<Ms>>,
    /// The brokers' last answer about the end of such a partition.
    asked: Vec<Option<Asked>>,
    idleness: Idleness,
    patience: IdlePolicy,
}

impl Sources {
    pub fn new(count: u32, patience: IdlePolicy) -> Sources {
        let count = count as usize;
        Sources {
            all: vec![Progress::default(); count],
            is_reported: vec![false; count],
            sent: vec![None; count],
            at_end_ms: vec![None; count],
            ends: vec![None; count],
            is_silent: vec![false; count],
            alone_since_ms: vec![None; count],
            asked: vec![None; count],
            idleness: Idleness::new(count, patience.idle_timeout_ms),
            patience,
        }
    }

    /// Takes the progress of another instance's partition. Records about our own partitions are ignored, because we know
    /// better.
    pub fn receive(&mut self, record: &RecordIn<'_>, is_ours: impl Fn(u32) -> bool) {
        let source = record.key.and_then(|key| key.try_into().ok()).map(u32::from_be_bytes);
        let Some(source) = source.filter(|source| !is_ours(*source)) else { return };
        if let (Some(known), Ok(progress)) = (self.all.get_mut(source as usize), postcard::from_bytes(record.value)) {
            *known = progress;
            self.is_reported[source as usize] = true;
        }
    }

    /// The T of these partitions, as far as their progress is known; `None` if one of them has none.
    pub fn at_ms(&self, is_one: impl Fn(u32) -> bool) -> Option<Ms> {
        let watermarks =
            (0..).zip(&self.all).filter(|(source, _)| is_one(*source)).map(|(_, progress)| progress.watermark_ms);
        watermarks.min().flatten().map(|ms| floor_to(ms, PANE_MS))
    }

    /// Whether progress of a partition was received while it was not ours.
    pub fn is_reported(&self, source: u32) -> bool {
        self.is_reported.get(source as usize).copied().unwrap_or(false)
    }

    /// A record of one of our partitions arrived.
    #[inline]
    pub fn record_arrived(&mut self, source: u32) {
        if let Some(is_silent) = self.is_silent.get_mut(source as usize) {
            *is_silent = false;
        }
        self.idleness.record_arrived(source);
    }

    pub fn at_end(&mut self, source: u32, end: NextOffset, steady_ms: Ms) {
        if let Some(at) = self.at_end_ms.get_mut(source as usize) {
            *at = Some(steady_ms);
            self.ends[source as usize] = Some(end);
            self.is_silent[source as usize] = true;
        }
        self.idleness.at_end(source, end, steady_ms);
    }

    /// A partition was revoked or assigned: forgets what was observed of it here.
    pub fn forget(&mut self, source: u32) {
        let at = source as usize;
        self.record_arrived(source);
        for seen in [&mut self.at_end_ms, &mut self.alone_since_ms] {
            if let Some(seen) = seen.get_mut(at) {
                *seen = None;
            }
        }
        if let (Some(sent), Some(asked)) = (self.sent.get_mut(at), self.asked.get_mut(at)) {
            (*sent, *asked) = (None, None);
        }
        if let Some(end) = self.ends.get_mut(at) {
            *end = None;
        }
    }

    pub fn progress(&self, source: u32) -> Progress {
        self.all.get(source as usize).copied().unwrap_or_default()
    }

    /// The end of one of our partitions, as the log reported it last.
    pub fn reported_end(&self, source: u32) -> Option<NextOffset> {
        self.ends.get(source as usize).copied().flatten()
    }

    /// Our partitions that were silent long enough, or seem to hold all others back: the brokers must be asked where they
    /// end.
    pub fn to_be_asked(&self, steady_ms: Ms) -> Vec<u32> {
        let mut all = self.idleness.to_be_asked(steady_ms);
        let is_due = |asked: &Option<Asked>| asked.is_none_or(|asked| steady_ms - asked.at_ms >= ASK_AGAIN_MS);
        let alone = (0..).zip(self.alone_since_ms.iter().zip(&self.asked));
        all.extend(alone.filter(|(_, (since, asked))| since.is_some() && is_due(asked)).map(|(source, _)| source));
        all
    }

    pub fn answered(&mut self, source: u32, end: Option<NextOffset>, steady_ms: Ms) {
        if let Some(asked) = self.asked.get_mut(source as usize) {
            *asked = Some(Asked { at_ms: steady_ms, end });
        }
        self.idleness.answered(source, end, steady_ms);
    }

    /// One of our partitions is read up to `position`. `true`: that is at or past the end that the brokers named lately.
    ///
    /// If new records always arrive before the last ones are fetched, a client never sees the end of a partition,
    /// although it is not behind.
    pub fn is_read_to(&mut self, source: u32, position: NextOffset, steady_ms: Ms) -> bool {
        let at = source as usize;
        let Some(Some(asked)) = self.asked.get_mut(at) else { return false };
        if asked.end.is_none_or(|end| position < end) || steady_ms - asked.at_ms > AT_END_FOR_MS {
            return false;
        }
        asked.end = None;
        self.at_end_ms[at] = self.at_end_ms[at].max(Some(asked.at_ms));
        true
    }

    /// Sets the progress of one of our partitions; `is_held`: it is paused, or its task is not live.
    pub fn note(&mut self, source: u32, watermark_ms: Option<Ms>, has_read: bool, is_held: bool, steady_ms: Ms) {
        let at = source as usize;
        let is_idle = self.idleness.is_idle(source);
        let at_end_ms = self.at_end_ms.get(at).copied().flatten();
        let was_lately = at_end_ms.is_some_and(|at_ms| steady_ms - at_ms <= AT_END_FOR_MS);
        let is_at_end = was_lately || self.is_silent.get(at).copied().unwrap_or(false) || is_idle;
        if let Some(known) = self.all.get_mut(at) {
            let (is_at_end, is_idle) = (is_at_end && !is_held, is_idle && !is_held);
            *known = Progress { watermark_ms, has_read, is_at_end, is_idle };
        }
    }

    /// Which of our partitions to raise, and how far.
    pub fn decide(&mut self, ours: &[u32], now: Now) -> Vec<Raise> {
        let mut raises = Vec::new();
        for source in ours.iter().copied() {
            let Some(own) = self.all.get(source as usize).copied() else { continue };
            let waited_enough = !own.is_idle && self.holds_back_alone(source, now.steady_ms);
            if !own.is_idle && !waited_enough {
                continue;
            }
            if let Some(to_ms) = self.without(source, now.wall_ms).filter(|to| own.watermark_ms.is_none_or(|w| w < *to))
            {
                raises.push(Raise { source, to_ms, is_incomplete: waited_enough });
            }
        }
        raises
    }

    /// How far T would be without this partition.
    fn without(&self, source: u32, wall_ms: Ms) -> Option<Ms> {
        let others = || (0..).zip(&self.all).filter(|(other, _)| *other != source).map(|(_, progress)| progress);
        let mut holding = others().filter(|progress| !progress.is_idle).peekable();
        if holding.peek().is_some() {
            let slowest_ms = holding.map(|progress| progress.watermark_ms).min().flatten()?;
            return Some(floor_to(slowest_ms, PANE_MS));
        }
        // No other partition holds T back, so it follows the wall clock. But T begins only with the first outcome.
        let has_begun = self.all.iter().any(|progress| progress.has_read);
        has_begun.then(|| floor_to(wall_ms - self.patience.out_of_orderness_ms, PANE_MS))
    }

    /// Whether a partition has held T back for `max_alignment_wait` while all others are read to their ends.
    fn holds_back_alone(&mut self, source: u32, steady_ms: Ms) -> bool {
        if self.all.len() < 2 {
            return false;
        }
        let others = (0..).zip(&self.all).filter(|(other, _)| *other != source).map(|(_, progress)| progress);
        let own = self.all.get(source as usize).copied().unwrap_or_default();
        let holds = !own.is_at_end && others.clone().all(|other| other.is_at_end);
        let is_behind = others.filter_map(|other| other.watermark_ms).max() > own.watermark_ms;
        let Some(since) = self.alone_since_ms.get_mut(source as usize) else { return false };
        if !holds {
            *since = None;
            return false;
        }
        if since.is_none() && !is_behind {
            return false;
        }
        steady_ms - *since.get_or_insert(steady_ms) >= self.patience.max_alignment_wait_ms
    }

    /// Our partitions that are far ahead of the slowest of all partitions.
    pub fn far_ahead(&self, ours: impl Iterator<Item = (u32, Option<Ms>)>) -> Vec<u32> {
        let holding = || self.all.iter().filter(|progress| !progress.is_idle);
        // Partitions of which nothing was read yet are left out, because nobody knows how far they are behind.
        let slowest_ms = holding().filter_map(|progress| progress.watermark_ms).min();
        let is_ahead = |largest_ms: Option<Ms>| match (largest_ms, slowest_ms) {
            (Some(largest_ms), Some(slowest_ms)) => largest_ms > slowest_ms + MAX_SKEW_MS,
            _ => false,
        };
        ours.filter(|(_, largest_ms)| is_ahead(*largest_ms)).map(|(source, _)| source).collect()
    }

    /// The progress of one of our partitions, with the watermark rounded down to a boundary, if it differs from the
    /// progress last sent.
    fn unsent(&self, source: u32) -> Option<Progress> {
        let known = self.all.get(source as usize)?;
        let progress = Progress { watermark_ms: known.watermark_ms.map(|w| floor_to(w, PANE_MS)), ..*known };
        (self.sent[source as usize] != Some(progress)).then_some(progress)
    }

    /// Appends the progress of our partitions that changed since it was last sent.
    pub fn news(&mut self, ours: &[u32], out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        for source in ours.iter().copied() {
            let Some(progress) = self.unsent(source) else { continue };
            self.sent[source as usize] = Some(progress);
            let value = postcard::to_stdvec(&progress).map_err(WorkerError::Write)?;
            out.push(RecordOut {
                topic: Topic::Sources,
                partition: 0,
                key: Some(source.to_be_bytes().to_vec()),
                value: Some(value),
                headers: Vec::new(),
                timestamp_ms: 0,
            });
        }
        Ok(())
    }

    pub fn has_news(&self, ours: &[u32]) -> bool {
        ours.iter().any(|source| self.unsent(*source).is_some())
    }

    pub fn count(&self) -> u32 {
        self.all.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::NoHeaders;
    use crate::model::time::{DAY_MS, MINUTE_MS, SECOND_MS};

    const NOW_MS: Ms = 1_780_000_000_000;
    /// The steady clock is a day behind the wall clock.
    fn now(wall_ms: Ms) -> Now {
        Now { wall_ms, steady_ms: steady(wall_ms) }
    }

    fn steady(wall_ms: Ms) -> Ms {
        wall_ms - DAY_MS
    }

    const PATIENCE: IdlePolicy =
        IdlePolicy { idle_timeout_ms: 30_000, max_alignment_wait_ms: 600_000, out_of_orderness_ms: 5_000 };

    fn report(sources: &mut Sources, source: u32, progress: Progress) {
        let value = postcard::to_stdvec(&progress).expect("encoded");
        let key = source.to_be_bytes();
        let record = RecordIn {
            partition: 0,
            offset: 0,
            key: Some(&key),
            value: &value,
            timestamp_ms: None,
            headers: &NoHeaders,
        };
        sources.receive(&record, |own| own == 0);
    }

    fn at(watermark_ms: Ms) -> Progress {
        Progress { watermark_ms: Some(watermark_ms), has_read: true, is_at_end: true, is_idle: false }
    }

    fn idle(sources: &mut Sources, since_ms: Ms, watermark_ms: Option<Ms>, now_ms: Ms) {
        let (since_ms, now_ms) = (steady(since_ms), steady(now_ms));
        sources.at_end(0, NextOffset(7), since_ms);
        assert!(now_ms < since_ms + 30_000 || sources.to_be_asked(now_ms) == [0]);
        sources.answered(0, Some(NextOffset(7)), now_ms);
        sources.note(0, watermark_ms, watermark_ms.is_some(), false, now_ms);
    }

    #[test]
    fn an_idle_partition_rises_with_the_slowest_of_the_others() {
        let mut sources = Sources::new(3, PATIENCE);
        report(&mut sources, 1, at(NOW_MS + 12_345));
        report(&mut sources, 2, at(NOW_MS + 34_567));
        idle(&mut sources, NOW_MS, Some(NOW_MS - 60_000), NOW_MS + 29_999);
        assert!(sources.decide(&[0], now(NOW_MS + 29_999)).is_empty());
        idle(&mut sources, NOW_MS, Some(NOW_MS - 60_000), NOW_MS + 30_000);
        let raise = |to_ms| Raise { source: 0, to_ms, is_incomplete: false };
        assert_eq!(sources.decide(&[0], now(NOW_MS + 30_000)), [raise(NOW_MS + 10_000)]);
        report(&mut sources, 1, Progress::default());
        assert!(sources.decide(&[0], now(NOW_MS + 30_000)).is_empty(), "partition 1 has no watermark yet");
    }

    #[test]
    fn if_all_are_idle_t_follows_the_wall_clock_once_an_outcome_was_read() {
        let mut sources = Sources::new(2, PATIENCE);
        report(&mut sources, 1, Progress { is_idle: true, is_at_end: true, ..Progress::default() });
        idle(&mut sources, NOW_MS, None, NOW_MS + 30_000);
        assert!(sources.decide(&[0], now(NOW_MS + 30_000)).is_empty());
        report(&mut sources, 1, Progress { is_idle: true, ..at(NOW_MS - 60_000) });
        let raises = sources.decide(&[0], now(NOW_MS + 30_000));
        assert_eq!(raises, [Raise { source: 0, to_ms: NOW_MS + 20_000, is_incomplete: false }]);
    }

    #[test]
    fn a_partition_that_alone_holds_t_back_is_raised_after_the_maximum_wait() {
        let mut sources = Sources::new(2, PATIENCE);
        for (minute, is_waited_for) in [(0, true), (9, true), (10, false)] {
            let now_ms = NOW_MS + minute * MINUTE_MS;
            report(&mut sources, 1, at(now_ms));
            sources.note(0, Some(NOW_MS - 60_000), true, false, steady(now_ms));
            let raises = sources.decide(&[0], now(now_ms));
            let raise = Raise { source: 0, to_ms: floor_to(now_ms, PANE_MS), is_incomplete: true };
            assert_eq!(raises, if is_waited_for { vec![] } else { vec![raise] }, "minute {minute}");
        }
        sources.at_end(0, NextOffset(1), steady(NOW_MS + 11 * MINUTE_MS));
        sources.note(0, Some(NOW_MS), true, false, steady(NOW_MS + 11 * MINUTE_MS));
        assert!(sources.decide(&[0], now(NOW_MS + 11 * MINUTE_MS)).is_empty(), "it has caught up");
    }

    #[test]
    fn a_partition_that_is_read_as_fast_as_records_come_is_not_raised() {
        let mut sources = Sources::new(2, PATIENCE);
        let mut asked = 0;
        for second in 0..1_200 {
            let now_ms = NOW_MS + second * SECOND_MS;
            report(&mut sources, 1, at(now_ms));
            // While the records of one second are fetched those of the next arrive, so the end is never seen.
            sources.is_read_to(0, NextOffset(second * 1_000), steady(now_ms));
            for source in sources.to_be_asked(steady(now_ms)) {
                sources.answered(source, Some(NextOffset(second * 1_000 + 900)), steady(now_ms));
                asked += 1;
            }
            sources.note(0, Some(now_ms - 2_000), true, false, steady(now_ms));
            assert!(sources.decide(&[0], now(now_ms)).is_empty(), "second {second}");
        }
        assert!((150..300).contains(&asked), "asked {asked} times");
    }

    #[test]
    fn a_partition_far_ahead_of_the_slowest_waits() {
        let mut sources = Sources::new(2, PATIENCE);
        report(&mut sources, 1, at(NOW_MS));
        sources.note(0, Some(NOW_MS + 11 * MINUTE_MS), true, false, NOW_MS);
        assert_eq!(sources.far_ahead([(0, Some(NOW_MS + 11 * MINUTE_MS))].into_iter()), [0]);
        assert!(sources.far_ahead([(0, Some(NOW_MS + 9 * MINUTE_MS))].into_iter()).is_empty());
        report(&mut sources, 1, Progress { is_idle: true, ..at(NOW_MS) });
        assert!(sources.far_ahead([(0, Some(NOW_MS + 11 * MINUTE_MS))].into_iter()).is_empty());
    }

    #[test]
    fn progress_is_sent_once_per_boundary() {
        let (mut sources, mut out) = (Sources::new(1, PATIENCE), Vec::new());
        sources.note(0, Some(NOW_MS + 1), true, false, NOW_MS);
        assert!(sources.has_news(&[0]));
        sources.news(&[0], &mut out).expect("said");
        sources.note(0, Some(NOW_MS + 9_999), true, false, NOW_MS);
        assert!(!sources.has_news(&[0]));
        sources.news(&[0], &mut out).expect("said");
        assert_eq!(out.len(), 1);
    }
}
