//! Blocks: the records of the repartition topic, which carry verdicts from route to users.
//!
//! A block is a head followed by its events, so that a writer can append and a reader can borrow. Texts that many
//! events share are in the head, once. SLOs are identified by their filters: a reader with other definitions takes the
//! SLOs that it knows and skips the others.

use super::example::Example;
use super::intern::NONE;
use super::sequence::SequenceError;
use crate::model::time::{Ms, PANE_MS, floor_to};
use crate::operator::classify::{Extra, Verdict};
use serde::{Deserialize, Serialize};

/// A block is closed at this size, well below the largest record that brokers accept.
pub const BLOCK_BYTES: usize = 384 * 1_024;

/// The version of the layout, the first byte of every block.
const VERSION: u8 = 4;
/// The last layout that is read, too: a bad event has no type of error, and nothing is said beyond verdicts.
const WITHOUT_ERROR_TYPES: u8 = 3;

/// The weight of what stands for an event in a maintenance: which SLOs exclude it. (An event that counts weighs more.)
pub const IN_MAINTENANCE: u64 = 0;

/// The part of a block before its events.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Head<'a> {
    version: u8,
    /// The input partition of the events.
    pub source: u32,
    /// The input offsets that the block covers; `next_offset` is the first one after it.
    pub first_offset: i64,
    pub next_offset: i64,
    /// The `next_offset` of the previous block. `None`: this is the first block.
    pub follows: Option<i64>,
    /// The source's watermark after the block: no later event becomes visible at or before it.
    pub watermark_ms: Option<Ms>,
    /// The watermark was raised because the source alone held T back (contract, section 3).
    pub is_incomplete: bool,
    /// The identity of each SLO's filters. Events refer to SLOs by their index here.
    pub slos: Vec<u64>,
    #[serde(borrow)]
    pub tenants: Vec<&'a str>,
    /// Attribute tuples as [`crate::model::tuple`] writes them, preceded by the fields for groups (`grouping`).
    #[serde(borrow)]
    pub tuples: Vec<&'a [u8]>,
    pub events: u32,
}

/// One outcome that at least one SLO counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event<'a> {
    pub time_ms: Ms,
    /// The boundary at which it becomes visible.
    pub boundary_ms: Ms,
    pub weight_micros: u64,
    pub tenant: u32,
    pub tuple: u32,
    pub latency: i16,
    pub is_late: bool,
    pub user: Option<&'a str>,
    /// Four SLOs per byte, without trailing zero bytes; see [`Codes`].
    codes: &'a [u8],
    /// What it says beyond its verdicts; see [`Extras`]. It follows the event in the block.
    #[serde(skip)]
    extras: &'a [u8],
    pub example: Option<Example<'a>>,
}

/// Why a block cannot be read: it is none, or of a build that writes them otherwise.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error(
        "a block of verdicts has layout {found}, but this build reads layout {VERSION}: start the build that wrote it, let \
         it read everything, and stop it gracefully"
    )]
    Version { found: u8 },
    #[error("a block of verdicts cannot be {what}: {source}")]
    Bytes { what: &'static str, source: postcard::Error },
    #[error("a block of verdicts {0}")]
    SequenceError(#[from] SequenceError),
    /// The input has more partitions than when this task started.
    #[error("a block of verdicts is from input partition {0}, which did not exist when this task started")]
    UnknownSource(u32),
}

/// The verdicts of one event, two bits per SLO; zero if the SLO does not count the event.
#[derive(Clone, Debug, Default)]
pub struct Codes(Vec<u8>);

impl Codes {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn set(&mut self, slo: usize, verdict: Verdict) {
        // Of an event of its own: see [`IN_MAINTENANCE`].
        let code = if verdict == Verdict::Maintenance { Verdict::Good.code() } else { verdict.code() };
        if code == 0 {
            return;
        }
        if self.0.len() <= slo / 4 {
            self.0.resize(slo / 4 + 1, 0);
        }
        self.0[slo / 4] |= code << (slo % 4 * 2);
    }
}

/// The extras of one event that are not 0, each behind the index of its SLO: 4 and 8 bytes.
#[derive(Clone, Debug, Default)]
pub struct Extras(Vec<u8>);

impl Extras {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn set(&mut self, slo: usize, extra: Extra) {
        if extra != 0 {
            self.0.extend_from_slice(&(slo as u32).to_le_bytes());
            self.0.extend_from_slice(&extra.to_le_bytes());
        }
    }
}

impl Event<'_> {
    /// Whether it only says which SLOs exclude an event.
    pub const fn is_in_maintenance(&self) -> bool {
        self.weight_micros == IN_MAINTENANCE
    }

    /// What the event says to an SLO beyond its verdict.
    pub fn extra(&self, slo: usize) -> Extra {
        let mut all = self.extras.as_chunks::<12>().0.iter();
        let of_slo = all.find(|extra| extra[..4] == (slo as u32).to_le_bytes());
        of_slo.and_then(|extra| extra.last_chunk::<8>()).map_or(0, |bytes| Extra::from_le_bytes(*bytes))
    }

    /// The verdicts, each with the SLO's index in [`Head::slos`].
    pub fn verdicts(&self) -> impl Iterator<Item = (usize, Verdict)> {
        self.codes.iter().enumerate().flat_map(move |(at, byte)| {
            (0..4).filter_map(move |i| {
                let verdict = match Verdict::of_code(byte >> (i * 2)) {
                    Verdict::Good if self.weight_micros == IN_MAINTENANCE => Verdict::Maintenance,
                    verdict => verdict,
                };
                (verdict != Verdict::Excluded).then_some((at * 4 + i, verdict))
            })
        })
    }
}

/// An event before it is added to a block: all of [`Event`] except the numbers of its tenant and tuple.
pub struct Arriving<'a> {
    pub time_ms: Ms,
    pub boundary_ms: Ms,
    pub weight_micros: u64,
    pub latency: i16,
    pub is_late: bool,
    pub user: Option<&'a str>,
    pub codes: &'a Codes,
    pub extras: &'a Extras,
    pub example: Option<Example<'a>>,
}

/// Maps the intake's numbers of texts to the numbers within one block.
#[derive(Debug, Default)]
struct Numbered {
    /// The block's number, by the intake's number.
    own: Vec<u32>,
    /// The intake's number, by the block's number.
    used: Vec<u32>,
}

impl Numbered {
    fn number(&mut self, text: u32) -> u32 {
        let at = text as usize;
        if at >= self.own.len() {
            self.own.resize(at + 1, NONE);
        }
        if self.own[at] == NONE {
            self.own[at] = self.used.len() as u32;
            self.used.push(text);
        }
        self.own[at]
    }

    fn clear(&mut self) {
        for text in self.used.drain(..) {
            self.own[text as usize] = NONE;
        }
    }
}

/// Builds the next block from one source to one users partition.
#[derive(Debug, Default)]
pub struct BlockWriter {
    tenants: Numbered,
    tuples: Numbered,
    events: Vec<u8>,
    count: u32,
    first_offset: Option<i64>,
    /// The `next_offset` of the last block.
    last_end: Option<i64>,
    /// The last boundary that the watermark of a sent block allows to close.
    sent_ms: Option<Ms>,
}

/// What a block's head contains besides the texts and the event count.
pub struct Sealing<'a> {
    pub source: u32,
    pub next_offset: i64,
    pub watermark_ms: Option<Ms>,
    pub is_incomplete: bool,
    pub slos: &'a [u64],
}

impl BlockWriter {
    /// Appends an event; `tenant` and `tuple` are the intake's numbers. Returns whether the block is full.
    pub fn add(&mut self, offset: i64, tenant: u32, tuple: u32, event: &Arriving<'_>) -> Result<bool, BlockError> {
        self.first_offset.get_or_insert(offset);
        let event = Event {
            time_ms: event.time_ms,
            boundary_ms: event.boundary_ms,
            weight_micros: event.weight_micros,
            tenant: self.tenants.number(tenant),
            tuple: self.tuples.number(tuple),
            latency: event.latency,
            is_late: event.is_late,
            user: event.user,
            codes: &event.codes.0,
            extras: &event.extras.0,
            example: event.example,
        };
        let mut written = postcard::to_extend(&event, std::mem::take(&mut self.events));
        if let Some(example) = &event.example {
            written = written.and_then(|events| postcard::to_extend(&example.error_type, events));
        }
        written = written.and_then(|events| postcard::to_extend(&event.extras, events));
        self.events = written.map_err(|source| BlockError::Bytes { what: "written", source })?;
        self.count += 1;
        Ok(self.events.len() >= BLOCK_BYTES)
    }

    /// A writer whose first block continues after a block that ended at `last_end`.
    pub fn after(last_end: Option<i64>) -> BlockWriter {
        BlockWriter { last_end, ..BlockWriter::default() }
    }

    /// The `next_offset` of the last block.
    pub fn last_end(&self) -> Option<i64> {
        self.last_end
    }

    /// Whether a block should be sent: there are events, or the watermark allows another boundary to close.
    pub fn has_news(&self, watermark_ms: Option<Ms>) -> bool {
        self.count > 0 || boundary_of(watermark_ms) > self.sent_ms
    }

    /// Returns the bytes of the block, and starts the next one. `tenant` and `tuple` return the text of an intake's
    /// number.
    pub fn seal<'t>(
        &mut self,
        sealing: &Sealing<'_>,
        tenant: impl Fn(u32) -> &'t str,
        tuple: impl Fn(u32) -> &'t [u8],
    ) -> Result<Vec<u8>, BlockError> {
        let head = Head {
            version: VERSION,
            source: sealing.source,
            first_offset: self.first_offset.unwrap_or(sealing.next_offset),
            next_offset: sealing.next_offset,
            follows: self.last_end.replace(sealing.next_offset),
            watermark_ms: sealing.watermark_ms,
            is_incomplete: sealing.is_incomplete,
            slos: sealing.slos.to_vec(),
            tenants: self.tenants.used.iter().map(|t| tenant(*t)).collect(),
            tuples: self.tuples.used.iter().map(|t| tuple(*t)).collect(),
            events: self.count,
        };
        let bytes = postcard::to_extend(&head, Vec::with_capacity(self.events.len() + 256));
        let mut bytes = bytes.map_err(|source| BlockError::Bytes { what: "written", source })?;
        bytes.append(&mut self.events);
        self.tenants.clear();
        self.tuples.clear();
        (self.count, self.first_offset) = (0, None);
        self.sent_ms = self.sent_ms.max(boundary_of(sealing.watermark_ms));
        Ok(bytes)
    }
}

/// The last boundary that a watermark allows to close.
fn boundary_of(watermark_ms: Option<Ms>) -> Option<Ms> {
    watermark_ms.map(|ms| floor_to(ms, PANE_MS))
}

/// Reads the head of a block; returns it with the bytes of the events.
pub fn open(bytes: &[u8]) -> Result<(Head<'_>, &[u8]), BlockError> {
    if let Some(found) = bytes.first().filter(|version| !(WITHOUT_ERROR_TYPES..=VERSION).contains(*version)) {
        return Err(BlockError::Version { found: *found });
    }
    postcard::take_from_bytes(bytes).map_err(|source| BlockError::Bytes { what: "read", source })
}

impl Head<'_> {
    /// Reads the next event, and advances `rest` past it.
    #[inline]
    pub fn next_event<'a>(&self, rest: &mut &'a [u8]) -> Result<Event<'a>, BlockError> {
        let mut event: Event<'a> = take(rest)?;
        if let Some(example) = event.example.as_mut().filter(|_| self.version > WITHOUT_ERROR_TYPES) {
            example.error_type = take(rest)?;
        }
        if self.version > WITHOUT_ERROR_TYPES {
            event.extras = take(rest)?;
        }
        Ok(event)
    }
}

#[inline]
fn take<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> Result<T, BlockError> {
    let (value, after) =
        postcard::take_from_bytes(rest).map_err(|source| BlockError::Bytes { what: "read", source })?;
    *rest = after;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written() {
        let mut writer = BlockWriter::default();
        let mut codes = Codes::default();
        codes.set(0, Verdict::Good);
        codes.set(5, Verdict::Bad);
        codes.set(6, Verdict::Excluded);
        codes.set(9, Verdict::Unclassified);
        let mut extras = Extras::default();
        extras.set(0, 0);
        extras.set(5, 77);
        let example = Example {
            hash: 7,
            trace_id: Some("t"),
            operation: None,
            status: Some(503),
            dependency: Some("db"),
            error_type: Some("timeout"),
        };
        let event = |user| Arriving {
            time_ms: 12_345,
            boundary_ms: 20_000,
            weight_micros: 1_500_000,
            latency: -3,
            is_late: true,
            user,
            codes: &codes,
            extras: &extras,
            example: Some(example),
        };
        assert!(!writer.has_news(None));
        writer.add(40, 9, 3, &event(Some("u"))).expect("added");
        writer.add(41, 2, 3, &event(None)).expect("added");
        assert!(writer.has_news(None));
        let slos = [11, 12];
        let sealing =
            Sealing { source: 4, next_offset: 50, watermark_ms: Some(19_000), is_incomplete: true, slos: &slos };
        let tenant = |t: u32| if t == 9 { "nine" } else { "two" };
        let bytes = writer.seal(&sealing, tenant, |_| b"tuple").expect("sealed");
        assert!(!writer.has_news(Some(10_000)) && writer.has_news(Some(20_000)));
        let (head, mut rest) = open(&bytes).expect("a block");
        assert_eq!((head.source, head.first_offset, head.next_offset, head.events), (4, 40, 50, 2));
        assert_eq!((head.watermark_ms, head.is_incomplete, &head.slos[..]), (Some(19_000), true, &slos[..]));
        assert_eq!((&head.tenants[..], &head.tuples[..]), (&["nine", "two"][..], &[&b"tuple"[..]][..]));
        let mut next = || head.next_event(&mut rest);
        let (first, second) = (next().expect("first"), next().expect("second"));
        assert!(rest.is_empty());
        assert_eq!((first.tenant, first.user, second.tenant, second.user), (0, Some("u"), 1, None));
        assert!(!first.is_in_maintenance());
        let verdicts: Vec<_> = first.verdicts().collect();
        assert_eq!(verdicts, [(0, Verdict::Good), (5, Verdict::Bad), (9, Verdict::Unclassified)]);
        assert_eq!((first.extra(0), first.extra(5), first.extra(77)), (0, 77, 0));
        assert_eq!((first.example, first.is_late, first.latency), (Some(example), true, -3));
        assert_eq!(head.follows, None);
        let bytes = writer.seal(&Sealing { next_offset: 60, ..sealing }, tenant, |_| b"tuple").expect("sealed");
        assert_eq!(open(&bytes).expect("a block").0.follows, Some(50));
    }

    #[test]
    fn another_layout_is_refused_with_its_number() {
        assert!(matches!(open(&[VERSION + 1, 0]), Err(BlockError::Version { found }) if found == VERSION + 1));
        assert!(matches!(open(&[VERSION]), Err(BlockError::Bytes { .. })));
    }
}
