//! The table of all faults that can occur, and the list of those that did.
//!
//! Each place that can fail asks here, by name; nothing else in the simulation decides about failures. A scenario
//! enables some of the fault points and scales how often they strike.

use crate::dice::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    CrashBeforePoll,
    CrashAfterPoll,
    CrashBeforeAnswer,
    CrashInReplay,
    CrashLeaving,
    CrashStopping,
    CrashAtSend,
    CrashInImage,
    CrashBeforeCommit,
    CrashBeforeEnd,
    CrashAfterEnd,
    CrashAtSeek,
    CrashAtOpen,
    CrashAtRange,
    CrashInRestore,
    CrashAtScan,
    CrashBeforeWrite,
    CrashAfterWrite,
    CrashBeforeFlush,
    CrashAfterFlush,
    CrashAtPurge,
    UnflushedLost,
    DirectoryLost,
    Damaged,
    WriteRefused,
    FlushFailed,
    ReadFailed,
    Stopped,
    Stalled,
    PollBroken,
    RestoreBroken,
    RecordNotDelivered,
    Aborted,
    FellBehind,
    Shuffled,
    TimedOut,
    Fenced,
    EndLost,
    EndReplyLost,
    EndDelayed,
    EndRepeated,
    MarkersLate,
    LostAtPoll,
    LostUnnoticed,
    AssignedInPieces,
    BrokerSilent,
    CutOff,
    InputStalled,
    Compacted,
    PurgeLate,
    ClockForward,
    ClockBack,
}

/// A fault point: its name in reports, what happens, and how often: once in this many visits of the place, unless the
/// scenario scales it.
pub struct Point {
    pub fault: Fault,
    pub name: &'static str,
    pub what: &'static str,
    pub one_in: u64,
}

const fn point(fault: Fault, name: &'static str, one_in: u64, what: &'static str) -> Point {
    Point { fault, name, what, one_in }
}

/// Every fault point of the simulation, in the order of [`Fault`].
#[rustfmt::skip]
pub const TABLE: [Point; 52] = [
    point(Fault::CrashBeforePoll, "crash_before_poll", 300, "the process dies before it reads"),
    point(Fault::CrashAfterPoll, "crash_after_poll", 300, "the process dies with records in hand"),
    point(Fault::CrashBeforeAnswer, "crash_before_answer", 8, "the process dies when streams are given up, before the group has its answer"),
    point(Fault::CrashInReplay, "crash_in_replay", 15, "the process dies while a task replays the log"),
    point(Fault::CrashLeaving, "crash_leaving", 8, "the process dies before it commits revoked streams"),
    point(Fault::CrashStopping, "crash_stopping", 3, "the process dies between the last commit and the flush"),
    point(Fault::CrashAtSend, "crash_at_send", 4_000, "the process dies while it sends records of a transaction"),
    point(Fault::CrashInImage, "crash_in_image", 12, "the process dies after it started to send a new image of a key group"),
    point(Fault::CrashBeforeCommit, "crash_before_commit", 150, "the process dies after it sent all records, before the offsets"),
    point(Fault::CrashBeforeEnd, "crash_before_end", 150, "the process dies after it sent records and offsets, before the commit"),
    point(Fault::CrashAfterEnd, "crash_after_end", 150, "the process dies after the commit, before it has the answer"),
    point(Fault::CrashAtSeek, "crash_at_seek", 20, "the process dies while it seeks to the start of a replay"),
    point(Fault::CrashAtOpen, "crash_at_open", 80, "the process dies while it opens a store"),
    point(Fault::CrashAtRange, "crash_at_range", 60, "the process dies while it asks for the ends of a changelog"),
    point(Fault::CrashInRestore, "crash_in_restore", 15, "the process dies while it reads a changelog"),
    point(Fault::CrashAtScan, "crash_at_scan", 1_000, "the process dies while it reads its state"),
    point(Fault::CrashBeforeWrite, "crash_before_write", 200, "the process dies before a store is written; other tasks' stores may be written"),
    point(Fault::CrashAfterWrite, "crash_after_write", 200, "the process dies after a store is written, before it is flushed"),
    point(Fault::CrashBeforeFlush, "crash_before_flush", 60, "the process dies before a store is flushed"),
    point(Fault::CrashAfterFlush, "crash_after_flush", 60, "the process dies right after a flush"),
    point(Fault::CrashAtPurge, "crash_at_purge", 20, "the process dies while it deletes records that are no longer needed"),
    point(Fault::UnflushedLost, "unflushed_lost", 2, "a crash loses the batches of a store that were not flushed"),
    point(Fault::DirectoryLost, "directory_lost", 3, "a crash loses the whole state directory"),
    point(Fault::Damaged, "damaged", 3_000, "a store is damaged and cannot be read any more"),
    point(Fault::WriteRefused, "write_refused", 400, "the disk is full: a batch is refused"),
    point(Fault::FlushFailed, "flush_failed", 150, "a flush fails"),
    point(Fault::ReadFailed, "read_failed", 3_000, "one read from the disk fails"),
    point(Fault::Stopped, "stopped", 300, "a person stops the program, and starts it again"),
    point(Fault::Stalled, "stalled", 300, "the process sleeps; others may take over, then it wakes up"),
    point(Fault::PollBroken, "poll_broken", 400, "the consumer fails for good"),
    point(Fault::RestoreBroken, "restore_broken", 25, "the reader of a changelog fails"),
    point(Fault::RecordNotDelivered, "record_not_delivered", 4_000, "a record is not delivered: its transaction can only be aborted"),
    point(Fault::Aborted, "aborted", 60, "the broker wants the transaction aborted"),
    point(Fault::FellBehind, "fell_behind", 400, "the group has a new generation, and members learn of it late"),
    point(Fault::Shuffled, "shuffled", 300, "the group assigns the streams differently"),
    point(Fault::TimedOut, "timed_out", 150, "the broker aborts the open transaction and fences its producer"),
    point(Fault::Fenced, "fenced", 300, "another producer takes the transactional id for a moment"),
    point(Fault::EndLost, "end_lost", 80, "the request to commit is lost, and the sender does not know"),
    point(Fault::EndReplyLost, "end_reply_lost", 80, "the transaction is committed, and the reply is lost"),
    point(Fault::EndDelayed, "end_delayed", 80, "the request to commit arrives later, or too late; the sender has given up"),
    point(Fault::EndRepeated, "end_repeated", 80, "the commit succeeds at the second try, but the first request is still to arrive"),
    point(Fault::MarkersLate, "markers_late", 40, "the markers of a transaction arrive late"),
    point(Fault::LostAtPoll, "lost_at_poll", 300, "the group takes the partitions away, and says so"),
    point(Fault::LostUnnoticed, "lost_unnoticed", 120, "the group takes the partitions away, and the process learns it from the commit"),
    point(Fault::AssignedInPieces, "assigned_in_pieces", 6, "the partitions come one after the other"),
    point(Fault::BrokerSilent, "broker_silent", 400, "the brokers are unreachable for a while"),
    point(Fault::CutOff, "cut_off", 400, "the brokers are unreachable for one process"),
    point(Fault::InputStalled, "input_stalled", 100, "an input partition returns no records for a while, although it has some"),
    point(Fault::Compacted, "compacted", 300, "the changelogs and the sources are compacted up to a random offset"),
    point(Fault::PurgeLate, "purge_late", 3, "the brokers delete records later than asked"),
    point(Fault::ClockForward, "clock_forward", 1_500, "the machine's clock jumps forward"),
    point(Fault::ClockBack, "clock_back", 1_500, "the machine's clock jumps back"),
];

impl Fault {
    pub fn point(self) -> &'static Point {
        &TABLE[self as usize]
    }
}

/// A fault that struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub step: u64,
    pub fault: Fault,
}

/// How often each fault strikes in one run, and the faults that struck.
pub struct Faults {
    dice: Dice,
    /// Once in this many visits; `None`: never in this scenario.
    one_in: [Option<u64>; TABLE.len()],
    /// The largest number of faults.
    most: usize,
    /// Visits of fault points so far: the number of a step in reports.
    pub step: u64,
    pub taken: Vec<Taken>,
    is_over: bool,
    /// Nothing strikes for a while.
    pub is_held: bool,
}

impl Faults {
    pub fn new(seed: u64, one_in: [Option<u64>; TABLE.len()], most: usize) -> Faults {
        Faults {
            dice: Dice::new(seed, "faults"),
            one_in,
            most,
            step: 0,
            taken: Vec::new(),
            is_over: false,
            is_held: false,
        }
    }

    /// Whether the fault strikes at this visit of its place.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        self.step += 1;
        let Some(one_in) = self.one_in[fault as usize] else { return false };
        // Always rolled, even if no fault may strike any more: then a run with fewer faults is the same up to that point.
        let is_due = self.dice.one_in(one_in);
        if !is_due || self.is_over || self.is_held || self.taken.len() >= self.most {
            return false;
        }
        self.taken.push(Taken { step: self.step, fault });
        true
    }

    /// The size of a fault that has one: how long, or how much.
    pub fn size(&mut self, low: i64, high: i64) -> i64 {
        self.dice.between(low, high)
    }

    pub fn coin(&mut self) -> bool {
        self.dice.one_in(2)
    }

    /// No more faults from now on, so that the run can end.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn has_taken(&self, fault: Fault) -> bool {
        self.taken.iter().any(|taken| taken.fault == fault)
    }
}

#[test]
fn the_table_names_every_fault_once_and_in_order() {
    for (index, point) in TABLE.iter().enumerate() {
        assert_eq!(point.fault as usize, index, "{}", point.name);
        assert!(!point.what.is_empty() && TABLE.iter().filter(|other| other.name == point.name).count() == 1);
    }
    assert_eq!(Fault::ClockBack as usize + 1, TABLE.len());
}
