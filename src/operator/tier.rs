//! The slices of one length of one key, packed: a slice with a handful of events takes about ten
//! bytes, so a key with an event an hour keeps 28 days of them in two kilobytes.
//!
//! Slices are stored one after the other, oldest first. Almost every event goes to the last one, and the oldest leave
//! at the front. Each is
//!
//! ```text
//! varint   how many slices after the previous one (the first one: its number)
//! varint   length of the payload
//! payload  flags, counts, latency bins, exemplars; zeros and derivable values are left out
//! ```
//!
//! Latencies are kept only here: a due status adds up the bins of its windows, so that an event need not add to every
//! window.

use super::exemplars::keep_smallest;
use super::partial::{Counts, PaneDelta};
use super::sketch::{Sketch, SketchBuilder};
use crate::model::output::Exemplar;
use crate::model::time::{Moment, Ms};
use crate::model::wire::Writer;
use serde::{Deserialize, Serialize};

/// One event of weight 1, in micro-weights.
const ONE: u64 = 1_000_000;

const HAS_BAD: u8 = 1;
const HAS_ANONYMOUS: u8 = 1 << 1;
const HAS_LATENCY: u8 = 1 << 2;
const HAS_EXEMPLARS: u8 = 1 << 3;
/// Every event weighs 1: the weights follow from the numbers of events.
const IS_UNWEIGHTED: u8 = 1 << 4;

/// Slices in ascending order. A slice's number is its start over the slices' length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    #[serde(with = "as_bytes")]
    bytes: Vec<u8>,
    /// Position and number of the last slice; without meaning if there is none.
    last_at: usize,
    last_number: i64,
}

/// One slice.
#[derive(Clone, Copy, Debug)]
pub struct SliceRef<'a> {
    pub number: i64,
    payload: &'a [u8],
    /// Start and end of its payload.
    from: usize,
    end: usize,
}

impl Tier {
    /// Starts with the oldest.
    pub fn slices(&self) -> impl Iterator<Item = SliceRef<'_>> {
        let (mut at, mut number) = (0, 0);
        std::iter::from_fn(move || {
            let slice = self.slice(at, number)?;
            (at, number) = (slice.end, slice.number);
            Some(slice)
        })
    }

    /// The slices from this number on.
    pub fn slices_from(&self, number: i64) -> impl Iterator<Item = SliceRef<'_>> {
        self.slices().skip_while(move |slice| slice.number < number)
    }

    /// The slice at position `at`; `before` is the number of the previous one.
    fn slice(&self, at: usize, before: i64) -> Option<SliceRef<'_>> {
        let mut rest = Packed(self.bytes.get(at..).filter(|rest| !rest.is_empty())?);
        let number = before + rest.i64();
        let payload = rest.bytes();
        let end = self.bytes.len() - rest.0.len();
        Some(SliceRef { number, payload, from: end - payload.len(), end })
    }

    /// Drops the slices before this number.
    pub fn drop_before(&mut self, number: i64) {
        if self.slices().next().is_none_or(|first| first.number >= number) {
            return;
        }
        let Some(first) = self.slices_from(number).next() else {
            *self = Tier::default();
            return;
        };
        let header = header_of(first.number, first.payload.len());
        let from = first.from;
        // If only the last slice is left, its header changes, too.
        self.last_at = if self.last_at < from { 0 } else { self.last_at + header.len() - from };
        self.bytes.splice(..from, header);
        if self.bytes.capacity() > 2 * self.bytes.len() + 64 {
            self.bytes.shrink_to_fit();
        }
    }

    /// Adds what became visible in a slice; the exemplars only if they are needed.
    pub fn add(&mut self, number: i64, pane: &PaneDelta, keeps_exemplars: bool) {
        let more = More { pane, exemplars: if keeps_exemplars { &pane.exemplars } else { &[] } };
        if self.bytes.is_empty() || number > self.last_number {
            return self.append(number, &payload_of(None, more));
        }
        let (at, before) = self.place_of(number);
        let behind = self.bytes.split_off(at);
        let (last_at, last_number) = (self.last_at, self.last_number);
        self.last_number = before;
        let mut rest = Packed(&behind);
        let next_number = before + rest.i64();
        let next = rest.bytes();
        if next_number == number {
            self.append(number, &payload_of(Some(next), more));
        } else {
            self.append(number, &payload_of(None, more));
            self.append(next_number, next);
        }
        // The later headers stay valid, because the slice from which they count still exists.
        if !rest.0.is_empty() {
            let gone = at + behind.len() - rest.0.len();
            (self.last_at, self.last_number) = (self.bytes.len() + last_at - gone, last_number);
            self.bytes.extend_from_slice(rest.0);
        }
    }

    /// The position of the first slice with at least this number, and the number of the slice before it, or 0. There
    /// must be such a slice.
    fn place_of(&self, number: i64) -> (usize, i64) {
        if number == self.last_number {
            let step = Packed(&self.bytes[self.last_at..]).i64();
            return (self.last_at, number - step);
        }
        self.slices().take_while(|slice| slice.number < number).last().map_or((0, 0), |s| (s.end, s.number))
    }

    fn append(&mut self, number: i64, payload: &[u8]) {
        let before = if self.bytes.is_empty() { 0 } else { self.last_number };
        (self.last_at, self.last_number) = (self.bytes.len(), number);
        let header = header_of(number - before, payload.len());
        // Most keys have few slices, so do not reserve twice the room.
        if self.bytes.len() < 4_096 {
            self.bytes.reserve_exact(header.len() + payload.len());
        }
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(payload);
    }
}

impl SliceRef<'_> {
    pub fn counts(&self) -> Counts {
        counts_of(&mut Packed(self.payload)).1
    }

    /// Its whole content, as a delta that became visible at a time.
    pub fn to_pane(&self, start_ms: Ms) -> PaneDelta {
        let mut payload = Packed(self.payload);
        let (flags, counts) = counts_of(&mut payload);
        let mut bins = Vec::new();
        payload.bins(flags, |bin, weight| bins.push((bin, weight)));
        PaneDelta {
            start_ms,
            counts,
            latency: Sketch::from_sorted(bins),
            exemplars: payload.exemplars(flags),
            parts: Vec::new(),
            gauge: None,
        }
    }

    /// Visits its latency bins.
    pub fn gather_latency(&self, into: &mut SketchBuilder) {
        let mut payload = Packed(self.payload);
        let (flags, _) = counts_of(&mut payload);
        payload.bins(flags, |bin, weight| into.add(bin, weight));
    }

    pub fn exemplars(&self) -> Vec<(u64, Exemplar)> {
        let mut payload = Packed(self.payload);
        let (flags, _) = counts_of(&mut payload);
        payload.bins(flags, |_, _| ());
        payload.exemplars(flags)
    }
}

fn header_of(step: i64, len: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(8);
    let mut out = Writer::new(&mut header);
    out.u64(step as u64);
    out.u64(len as u64);
    header
}

/// A pane's contribution to a slice.
#[derive(Clone, Copy)]
struct More<'a> {
    pane: &'a PaneDelta,
    exemplars: &'a [(u64, Exemplar)],
}

/// A slice's content, with a pane added.
fn payload_of(slice: Option<&[u8]>, More { pane, exemplars: more }: More<'_>) -> Vec<u8> {
    let Some(slice) = slice else { return encode(&pane.counts, &pane.latency, more) };
    let mut payload = Packed(slice);
    let (flags, mut counts) = counts_of(&mut payload);
    let mut bins = Vec::new();
    payload.bins(flags, |bin, weight| bins.push((bin, weight)));
    let mut latency = Sketch::from_sorted(bins);
    let mut exemplars = payload.exemplars(flags);
    counts.add(&pane.counts);
    latency.add(&pane.latency);
    keep_smallest(&mut exemplars, more);
    encode(&counts, &latency, &exemplars)
}

fn encode(counts: &Counts, latency: &Sketch, exemplars: &[(u64, Exemplar)]) -> Vec<u8> {
    let weight_of = |events: u64| u128::from(events) * u128::from(ONE);
    let is_unweighted =
        counts.bad == weight_of(counts.bad_events) && counts.good == weight_of(counts.events - counts.bad_events);
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(counts.bad_events > 0, HAS_BAD)
        | flag(counts.anonymous > 0, HAS_ANONYMOUS)
        | flag(!latency.is_empty(), HAS_LATENCY)
        | flag(!exemplars.is_empty(), HAS_EXEMPLARS)
        | flag(is_unweighted, IS_UNWEIGHTED);
    let mut payload = Vec::with_capacity(8 + 4 * latency.bins().len());
    let mut out = Writer::new(&mut payload);
    out.u8(flags);
    out.u64(counts.events);
    if counts.bad_events > 0 {
        out.u64(counts.bad_events);
    }
    if counts.anonymous > 0 {
        out.u64(counts.anonymous);
        out.u64(counts.anonymous_bad);
    }
    if !is_unweighted {
        out.u128(counts.good);
        out.u128(counts.bad);
    }
    if !latency.is_empty() {
        encode_bins(latency, &mut out);
    }
    exemplars.iter().for_each(|(hash, exemplar)| encode_exemplar(*hash, exemplar, &mut out));
    payload
}

/// Bins as steps from one to the next; a weight that is a whole number of events as that number.
fn encode_bins(latency: &Sketch, out: &mut Writer<'_>) {
    out.u64(latency.bins().len() as u64);
    let mut before = i64::from(i16::MIN);
    for (bin, weight) in latency.bins() {
        out.step(&mut before, i64::from(*bin));
        let is_whole = weight % ONE == 0;
        out.u128(if is_whole { u128::from(weight / ONE) << 1 } else { u128::from(*weight) << 1 | 1 });
    }
}

fn encode_exemplar(hash: u64, exemplar: &Exemplar, out: &mut Writer<'_>) {
    out.u64(hash);
    out.i64(exemplar.at.0);
    out.option(exemplar.status, |out, status| out.i64(status));
    for text in [&exemplar.trace_id, &exemplar.operation, &exemplar.dependency] {
        out.option(text.as_ref(), |out, text| out.str(text));
    }
}

/// Reads packed bytes. They are our own and were checked when loaded, so unreadable ones are a bug, and abort.
struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    #[inline]
    fn u64(&mut self) -> u64 {
        if let [byte @ 0..=0x7f, rest @ ..] = self.0 {
            self.0 = rest;
            return u64::from(*byte);
        }
        self.u128() as u64
    }

    fn u128(&mut self) -> u128 {
        let (mut value, mut shift) = (0u128, 0);
        loop {
            let byte = self.0[0];
            self.0 = &self.0[1..];
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    /// A number that is never below 0.
    fn i64(&mut self) -> i64 {
        self.u64() as i64
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = self.u64() as usize;
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn bins(&mut self, flags: u8, mut each: impl FnMut(i16, u64)) {
        if flags & HAS_LATENCY == 0 {
            return;
        }
        let mut bin = i64::from(i16::MIN);
        for _ in 0..self.u64() {
            bin += self.i64();
            let weight = self.u128();
            each(bin as i16, if weight & 1 == 0 { (weight >> 1) as u64 * ONE } else { (weight >> 1) as u64 });
        }
    }

    fn exemplars(&mut self, flags: u8) -> Vec<(u64, Exemplar)> {
        let mut exemplars = Vec::new();
        while flags & HAS_EXEMPLARS != 0 && !self.0.is_empty() {
            let hash = self.u64();
            let at = Moment(self.zigzag());
            let status = (self.u64() == 1).then(|| self.zigzag());
            let [trace_id, operation, dependency] = [self.text(), self.text(), self.text()];
            exemplars.push((hash, Exemplar { trace_id, at, operation, status, dependency }));
        }
        exemplars
    }

    fn zigzag(&mut self) -> i64 {
        let coded = self.u64();
        (coded >> 1) as i64 ^ -((coded & 1) as i64)
    }

    fn text(&mut self) -> Option<String> {
        (self.u64() == 1).then(|| String::from_utf8_lossy(self.bytes()).into_owned())
    }
}

fn counts_of(payload: &mut Packed<'_>) -> (u8, Counts) {
    let flags = payload.u64() as u8;
    let has = |flag: u8| flags & flag != 0;
    let mut counts = Counts { events: payload.u64(), ..Counts::default() };
    if has(HAS_BAD) {
        counts.bad_events = payload.u64();
    }
    if has(HAS_ANONYMOUS) {
        (counts.anonymous, counts.anonymous_bad) = (payload.u64(), payload.u64());
    }
    (counts.good, counts.bad) = if has(IS_UNWEIGHTED) {
        let weight_of = |events: u64| u128::from(events) * u128::from(ONE);
        (weight_of(counts.events - counts.bad_events), weight_of(counts.bad_events))
    } else {
        (payload.u128(), payload.u128())
    };
    (flags, counts)
}

/// A list of bytes as one value, not as a sequence of numbers.
mod as_bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::sketch::bin_of;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn pane(events: u64, bad: u64, weight: u64, latencies: &[f64]) -> PaneDelta {
        let bad = bad.min(events);
        let exemplar = |i: u64| Exemplar {
            trace_id: Some(format!("t{i}")),
            at: Moment(1_780_000_000_000),
            operation: None,
            status: Some(500 + i as i64),
            dependency: None,
        };
        PaneDelta {
            start_ms: 0,
            counts: Counts {
                events,
                bad_events: bad,
                anonymous: events / 2,
                anonymous_bad: bad / 2,
                good: u128::from(events - bad) * u128::from(weight),
                bad: u128::from(bad) * u128::from(weight),
            },
            latency: Sketch::from_unsorted(latencies.iter().map(|v| (bin_of(*v), weight)).collect()),
            exemplars: (0..bad.min(3)).map(|i| (i * 7 + events, exemplar(i))).collect(),
            parts: Vec::new(),
            gauge: None,
        }
    }

    type Whole = (Counts, Sketch, Vec<(u64, Exemplar)>);

    /// The same, unpacked.
    #[derive(Default)]
    struct Plain(BTreeMap<i64, Whole>);

    impl Plain {
        fn add(&mut self, number: i64, pane: &PaneDelta) {
            let (counts, latency, exemplars) = self.0.entry(number).or_default();
            counts.add(&pane.counts);
            latency.add(&pane.latency);
            keep_smallest(exemplars, &pane.exemplars);
        }
    }

    fn same(tier: &Tier, plain: &Plain) {
        let slices: Vec<_> = tier.slices().collect();
        assert_eq!(slices.iter().map(|s| s.number).collect::<Vec<_>>(), plain.0.keys().copied().collect::<Vec<_>>());
        for (slice, (counts, latency, exemplars)) in slices.iter().zip(plain.0.values()) {
            assert_eq!(slice.counts(), *counts);
            let mut gathering = SketchBuilder::default();
            slice.gather_latency(&mut gathering);
            assert_eq!(gathering.into_sketch(), *latency);
            assert_eq!(slice.exemplars(), *exemplars);
        }
    }

    #[test]
    fn a_slice_of_one_event_takes_ten_bytes() {
        let mut tier = Tier::default();
        for hour in 0..72 {
            let one = Counts { events: 1, good: ONE.into(), ..Counts::default() };
            let latency = Sketch::from_unsorted(vec![(bin_of(12.5), ONE)]);
            tier.add(490_000 + hour, &PaneDelta { counts: one, latency, ..PaneDelta::default() }, true);
        }
        assert!(tier.bytes.len() <= 72 * 10 + 4, "{}", tier.bytes.len());
        assert!(tier.bytes.capacity() <= tier.bytes.len() + 16, "{}", tier.bytes.capacity());
    }

    proptest! {
        #[test]
        fn is_what_a_map_of_slices_is(
            steps in prop::collection::vec(
                (0i64..40, 1u64..5, 0u64..4, prop::sample::select(vec![1u64, 250_000, ONE, 3 * ONE]),
                 prop::collection::vec(1e-3f64..1e5, 0..4), prop::option::of(0i64..30)),
                1..60),
        ) {
            let (mut tier, mut plain) = (Tier::default(), Plain::default());
            for (i, (number, events, bad, weight, latencies, drop_before)) in steps.into_iter().enumerate() {
                let number = 17_000_000 + i as i64 / 2 + number;
                let pane = pane(events, bad, weight, &latencies);
                tier.add(number, &pane, true);
                plain.add(number, &pane);
                if let Some(before) = drop_before {
                    let before = 17_000_000 + before;
                    tier.drop_before(before);
                    plain.0.retain(|number, _| *number >= before);
                }
                same(&tier, &plain);
                let from = number - 2;
                let expected: Vec<i64> = plain.0.keys().copied().filter(|n| *n >= from).collect();
                prop_assert_eq!(tier.slices_from(from).map(|s| s.number).collect::<Vec<_>>(), expected);
            }
            let stored = postcard::to_stdvec(&tier).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Tier>(&stored).unwrap(), tier);
        }
    }
}
