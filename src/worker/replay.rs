//! Replaying: from the checkpoint to the committed offsets, with everything that comes of it dropped.

use super::raised::Decision;
use super::{Worker, WorkerError};
use crate::log::{Assignment, Log, NextOffset, Stream};
use crate::model::time::Ms;
use crate::operator::partial::Partial;
use crate::pipeline::checkpoint::Mark;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a commit notes beside each offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// Where the stream began for this application id.
    pub start: i64,
    /// The last boundary whose partials were published.
    pub closed_ms: Option<Ms>,
    /// What records met that came after a silence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raised: Vec<Decision>,
}

impl Memo {
    pub fn to_text(&self) -> String {
        // Numbers are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None`: somebody else committed this offset.
    pub fn parse(text: &str) -> Option<Memo> {
        serde_json::from_str(text).ok()
    }
}

/// The streams that are still being read again.
#[derive(Default)]
pub struct Replay {
    pub mark: Option<Mark>,
    /// Where each stream was committed.
    targets: BTreeMap<Stream, NextOffset>,
    /// Streams that are there, and wait for the others.
    arrived: BTreeSet<Stream>,
    /// Streams that are ours, and wait until all are.
    gathered: BTreeSet<Stream>,
    /// Something was committed for some of the streams, for some nothing.
    has_history: bool,
    has_new_streams: bool,
    closed_ms: Option<Ms>,
}

impl Replay {
    pub fn is_under_way(&self) -> bool {
        !self.targets.is_empty() || !self.gathered.is_empty()
    }

    pub fn is_target(&self, stream: Stream) -> bool {
        self.targets.contains_key(&stream)
    }

    /// A record behind the committed offset comes again once the replay is over.
    pub fn is_past(&self, stream: Stream, offset: i64) -> bool {
        self.targets.get(&stream).is_some_and(|target| offset >= target.0)
    }

    pub fn has_arrived(&self, stream: Stream) -> bool {
        self.arrived.contains(&stream)
    }
}

impl<L: Log> Worker<L> {
    /// Takes up streams. Reading begins once all are there: figures need every partition, and what
    /// is replayed is known only then.
    pub(super) fn take_up_all(&mut self, assignments: &[Assignment]) -> Result<(), WorkerError> {
        for assignment in assignments {
            self.take_up(assignment)?;
        }
        let streams: Vec<Stream> = assignments.iter().map(|a| a.stream).collect();
        if self.has_all_streams() {
            if !self.replay.has_history {
                self.replay.targets.clear();
            }
            let gathered: Vec<Stream> = std::mem::take(&mut self.replay.gathered).into_iter().collect();
            return Ok(self.log.resume(&gathered)?);
        }
        self.log.pause(&streams)?;
        self.replay.gathered.extend(streams);
        Ok(())
    }

    pub(super) fn has_all_streams(&self) -> bool {
        self.starts.len() >= self.users.source_count() + self.rollups.len()
    }

    /// Takes up a stream: where it is read from, and up to where that is a replay.
    fn take_up(&mut self, assignment: &Assignment) -> Result<(), WorkerError> {
        let stream = assignment.stream;
        let Some((committed, memo)) = of_ours(assignment) else {
            return self.take_up_anew(assignment);
        };
        let start = NextOffset(memo.start);
        self.starts.insert(stream, start);
        let from = self.checkpointed(stream).unwrap_or(start);
        if from > committed {
            return Err(refused(
                stream,
                format!(
                    "the state is at offset {}, and the group's committed offset is {}: the group was reset, or the state \
                 is another's. Move the state directory away to have it rebuilt from the log, or set the offset back",
                    from.0, committed.0
                ),
            ));
        }
        if from < assignment.log_start && from < committed {
            return Err(refused(
                stream,
                format!(
                    "the state needs the log from offset {} on, and it begins at {}: retention has passed it. Put the state \
                 directory back, or begin anew with another application_id",
                    from.0, assignment.log_start.0
                ),
            ));
        }
        self.positions.insert(stream, from);
        if let Stream::Input(source) = stream {
            self.raised.recall(source, &memo.raised);
            // Idleness is found out anew: nothing is passed over before it was read to its end.
            self.users.take_up(source);
        }
        self.replay.has_history = true;
        self.replay.closed_ms = self.replay.closed_ms.max(memo.closed_ms);
        // Also a stream that is there already waits for the others: what comes of its next record
        // is news, and must not be dropped with what is not.
        self.replay.targets.insert(stream, committed);
        if from < committed { Ok(self.log.seek(stream, from)?) } else { Ok(()) }
    }

    fn take_up_anew(&mut self, assignment: &Assignment) -> Result<(), WorkerError> {
        let stream = assignment.stream;
        if let Some(from) = self.checkpointed(stream) {
            return Err(refused(
                stream,
                format!(
                    "there is state up to offset {}, but the group has no offset that tailburn committed: its offsets \
                 expired or were set by hand, or the topic was made anew. Move the state directory away to begin again \
                 from the log",
                    from.0
                ),
            ));
        }
        self.starts.insert(stream, assignment.next);
        self.positions.insert(stream, assignment.next);
        // Where others have a history, its first record waits for them.
        self.replay.targets.insert(stream, assignment.next);
        self.replay.has_new_streams = true;
        Ok(())
    }

    fn checkpointed(&self, stream: Stream) -> Option<NextOffset> {
        let mark = self.replay.mark.as_ref()?;
        let offset = match stream {
            Stream::Input(source) => mark.users.sources.get(source as usize)?.offset,
            Stream::Partials(partition) => mark.rollups.get(partition as usize)?.next_partial,
            Stream::Repartition(_) | Stream::Sources => return None,
        };
        Some(NextOffset(offset))
    }

    /// Drops what the replay published again, and ends it once every stream is where it was committed.
    pub(super) fn go_on_replaying(&mut self) -> Result<(), WorkerError> {
        if !self.has_all_streams() {
            return Ok(());
        }
        self.outputs.clear();
        self.hold_back_the_arrived()?;
        if let Some(to_ms) = self.users.aligned_ms() {
            self.replay_until(to_ms.min(self.replay.closed_ms.unwrap_or(Ms::MIN)))?;
        }
        if self.replay.arrived.len() == self.replay.targets.len() {
            self.end_replay()?;
        }
        Ok(())
    }

    fn hold_back_the_arrived(&mut self) -> Result<(), WorkerError> {
        let is_there = |stream: &Stream, target: &NextOffset| self.positions.get(stream) >= Some(target);
        let there = self.replay.targets.iter().filter(|(stream, target)| is_there(stream, target));
        let new: Vec<Stream> = there.map(|(s, _)| *s).filter(|s| !self.replay.arrived.contains(s)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.log.pause(&new)?;
        for stream in &new {
            if let Stream::Input(source) = stream {
                // Nothing of it is to be replayed any more, so it holds the replay's T back no longer.
                self.users.pass_over(*source);
            }
        }
        self.replay.arrived.extend(new);
        Ok(())
    }

    /// Closes boundaries whose partials were published before: nothing is to be said of them again.
    fn replay_until(&mut self, to_ms: Ms) -> Result<(), WorkerError> {
        self.close_until(to_ms)?;
        self.partials.fill(Partial::default());
        Ok(())
    }

    fn end_replay(&mut self) -> Result<(), WorkerError> {
        if let Some(closed_ms) = self.replay.closed_ms {
            self.replay_until(closed_ms)?;
        }
        for source in 0..self.users.source_count() as u32 {
            self.users.take_up(source);
            if let (Some(closed_ms), Some(next)) =
                (self.replay.closed_ms, self.replay.targets.get(&Stream::Input(source)))
            {
                // A source that was passed over had risen so far; the others were beyond anyway.
                self.users.raise_source(source, closed_ms);
                self.raised.add(source, next.0, closed_ms);
            }
        }
        let targets = std::mem::take(&mut self.replay.targets);
        for (stream, target) in &targets {
            // What the log handed over behind the committed offset was left alone: it comes once more.
            self.log.seek(*stream, *target)?;
        }
        self.positions.extend(targets);
        if !self.replay.has_new_streams {
            self.committed.clone_from(&self.positions);
        }
        let mut held: BTreeSet<Stream> = std::mem::take(&mut self.replay.arrived);
        held.extend(std::mem::take(&mut self.paused));
        Ok(self.log.resume(&held.into_iter().collect::<Vec<_>>())?)
    }
}

/// The committed offset of a stream with our note, where we committed it.
fn of_ours(assignment: &Assignment) -> Option<(NextOffset, Memo)> {
    let committed = assignment.committed.as_ref()?;
    Some((committed.next, Memo::parse(&committed.metadata)?))
}

fn refused(stream: Stream, why: String) -> WorkerError {
    let name = match stream {
        Stream::Input(source) => format!("input partition {source}"),
        Stream::Partials(partition) => format!("partials partition {partition}"),
        Stream::Repartition(partition) => format!("repartition partition {partition}"),
        Stream::Sources => "sources".to_owned(),
    };
    WorkerError::Refused(format!("{name}: {why}"))
}
