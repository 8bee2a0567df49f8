//! Partials as bytes. A large one is sent in parts that brokers accept; only the last part contains how far it goes.

use super::WorkerError;
use crate::model::record::{RecordOut, Topic};
use crate::model::time::Ms;
use crate::operator::partial::{BoundaryPartial, KeyDelta, Partial};
use crate::state::versions::{self, VERSION};

/// A partial larger than this is sent in parts.
const PART_BYTES: usize = 512 * 1_024;
/// The first byte of partials that were written when the state had version 6; since then it is the version of the state.
const BEFORE_7: u8 = 4;
/// Before, each leaf of events had its attributes.
const EVENTS_BY_NUMBER: u8 = 10;

/// Whether a partial has to be sent; `closed_ms` is the last boundary that its users task has closed.
pub fn is_news(partial: &Partial, closed_ms: Option<Ms>) -> bool {
    !partial.boundaries.is_empty()
        || partial.candidates_up_to_ms.is_some()
        || closed_ms.is_some_and(|closed_ms| partial.up_to_ms >= closed_ms)
}

/// The partials that have to be sent, one a rollup partition, with its number. Copies of `nothing` replace them.
pub fn news_of<'a>(
    partials: &'a mut [Partial],
    nothing: &'a Partial,
    closed_ms: Option<Ms>,
) -> impl Iterator<Item = (u32, Partial)> + 'a {
    let news = (0..).zip(partials).filter(move |(_, partial)| is_news(partial, closed_ms));
    news.map(move |(partition, partial)| {
        if closed_ms.is_none_or(|closed_ms| partial.up_to_ms < closed_ms) {
            // Candidates, ahead of the boundary that waits for them.
            partial.up_to_ms = Ms::MIN;
        }
        let next = Partial { from_ms: closed_ms, ..nothing.clone() };
        (partition, std::mem::replace(partial, next))
    })
}

/// The records of these partials.
pub fn records_of(
    partials: &mut [Partial],
    nothing: &Partial,
    closed_ms: Option<Ms>,
    out: &mut Vec<RecordOut>,
) -> Result<(), WorkerError> {
    for (partition, partial) in news_of(partials, nothing, closed_ms) {
        out.extend(of(partial)?.into_iter().map(|part| RecordOut {
            topic: Topic::Partials,
            partition,
            key: None,
            value: Some(part),
            headers: Vec::new(),
            timestamp_ms: closed_ms.unwrap_or(0),
        }));
    }
    Ok(())
}

/// A partial as it was sent.
pub fn read(bytes: &[u8]) -> Result<Partial, WorkerError> {
    let (found, partial) = bytes.split_first().unwrap_or((&0, &[]));
    let version = match *found {
        BEFORE_7 => 6,
        7..=VERSION => *found,
        found => return Err(WorkerError::PartialVersion { found }),
    };
    let mut partial: Partial = versions::decode(partial, version)?;
    if version < EVENTS_BY_NUMBER {
        partial.boundaries.iter_mut().flat_map(|boundary| &mut boundary.deltas).for_each(KeyDelta::renew_events);
    }
    Ok(partial)
}

/// The records of a partial.
fn of(mut whole: Partial) -> Result<Vec<Vec<u8>>, WorkerError> {
    let bytes = encode(&whole)?;
    if bytes.len() <= PART_BYTES {
        return Ok(vec![bytes]);
    }
    let mut parts = Vec::new();
    let (up_to_ms, boundaries) = (whole.up_to_ms, std::mem::take(&mut whole.boundaries));
    let (candidates, candidates_up_to_ms) = (std::mem::take(&mut whole.candidates), whole.candidates_up_to_ms);
    let empty = Partial { up_to_ms: Ms::MIN, candidates_up_to_ms: None, ..whole };
    for candidates in candidates {
        parts.push(encode(&Partial { candidates: vec![candidates], ..empty.clone() })?);
    }
    for boundary in boundaries {
        split(&empty, boundary, &mut parts)?;
    }
    parts.push(encode(&Partial { up_to_ms, candidates_up_to_ms, ..empty })?);
    Ok(parts)
}

fn encode(partial: &Partial) -> Result<Vec<u8>, WorkerError> {
    postcard::to_extend(partial, vec![VERSION]).map_err(WorkerError::Write)
}

/// Cuts a boundary into pieces until every part is small enough, or one key's. Into as many at once as its size asks for: each
/// time that a piece is too large it is encoded once more.
fn split(empty: &Partial, boundary: BoundaryPartial, parts: &mut Vec<Vec<u8>>) -> Result<(), WorkerError> {
    let keys = boundary.deltas.len() + boundary.steps.len();
    let mut partial = Partial { boundaries: vec![boundary], ..empty.clone() };
    let bytes = encode(&partial)?;
    if bytes.len() <= PART_BYTES || keys <= 1 {
        parts.push(bytes);
        return Ok(());
    }
    let mut boundary = partial.boundaries.pop().unwrap_or_default();
    let mut deltas = std::mem::take(&mut boundary.deltas).into_iter();
    let mut steps = std::mem::take(&mut boundary.steps).into_iter();
    // At least two pieces: each has fewer keys than all.
    let of_piece = keys.div_ceil(bytes.len() / PART_BYTES + 1).min(keys - 1);
    drop(bytes);
    while deltas.len() + steps.len() > 0 {
        let BoundaryPartial { at_ms, is_incomplete, .. } = boundary;
        // What the boundary says beside its keys is in the first one.
        let rest = BoundaryPartial { at_ms, is_incomplete, ..BoundaryPartial::default() };
        let mut piece = std::mem::replace(&mut boundary, rest);
        piece.deltas.extend(deltas.by_ref().take(of_piece));
        piece.steps.extend(steps.by_ref().take(of_piece - piece.deltas.len()));
        split(empty, piece, parts)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Scope;
    use crate::model::tuple::Tuple;
    use crate::operator::event_leaf::{BadEvents, EventLeaf, EventPane};

    #[test]
    fn a_partial_of_an_earlier_version_is_read_and_one_of_another_build_is_refused_with_advice() {
        let partial = Partial { up_to_ms: 7, slos: vec![1, 2], ..Partial::default() };
        let mut bytes = encode(&partial).expect("encoded");
        assert_eq!((bytes[0], read(&bytes).expect("a partial")), (VERSION, partial));
        let before = [BEFORE_7, 0, 0, 14, 0, 2, 1, 2, 0, 0];
        let before = read(&before).expect("a partial");
        assert_eq!((before.up_to_ms, &before.slos[..]), (7, &[1, 2][..]));
        for version in [3, 5, 6, VERSION + 1] {
            bytes[0] = version;
            let refused = read(&bytes).expect_err("refused").to_string();
            assert!(refused.contains("another build wrote it; start that one"), "{refused}");
        }
        bytes[0] = VERSION;
        bytes.push(0);
        assert!(matches!(read(&bytes), Err(WorkerError::Partial(_))));
    }

    #[test]
    fn events_of_a_partial_of_version_9_are_counted_by_number() {
        let leaf = |region: &str, events: u64, bad: Option<BadEvents>| EventLeaf {
            tuple: Tuple::of([("region", region)].into_iter()),
            events,
            bad,
        };
        let bad = BadEvents { events: 2, weight: 2_000_000, nameless: 2, ..BadEvents::default() };
        let pane = |start_ms: Ms, leaves: Vec<EventLeaf>| EventPane { start_ms, leaves };
        let (first, second) = (vec![leaf("us", 3, None), leaf("ap", 4, Some(bad.clone()))], vec![leaf("ap", 5, None)]);
        let events = vec![pane(0, first), pane(60_000, second)];
        let delta = KeyDelta { events, ..KeyDelta::nothing(0, Scope::Aggregate) };
        let boundary = BoundaryPartial { at_ms: 70_000, deltas: vec![delta], ..BoundaryPartial::default() };
        let partial = Partial { up_to_ms: 70_000, boundaries: vec![boundary], ..Partial::default() };
        let mut bytes = encode(&partial).expect("encoded");
        // Without the fields that later versions added behind the last one of the delta; six empty ones follow.
        (0..8).for_each(|_| assert_eq!(bytes.remove(bytes.len() - 7), 0));
        bytes[0] = 9;
        let read = read(&bytes).expect("a partial");
        let delta = &read.boundaries[0].deltas[0];
        let news = delta.event_news.as_deref().expect("events");
        let tuples: Vec<Tuple> = news.tuples.iter().map(Tuple::of_bytes).collect();
        assert_eq!(tuples, ["ap", "us"].map(|region| leaf(region, 0, None).tuple));
        let all: Vec<_> = news.slices.iter().map(|slice| (slice.start_ms, &slice.all[..])).collect();
        assert_eq!(all, [(0, &[(0, 4), (1, 3)][..]), (60_000, &[(0, 5)][..])]);
        assert_eq!((&news.slices[0].bad[..], delta.events.len()), (&[(0, bad)][..], 0));
    }

    #[test]
    fn a_large_partial_leaves_in_parts_that_add_up_to_it() {
        let delta = |i: u32| KeyDelta {
            unclassified: (0..200).map(|n| (n * 10_000, 1)).collect(),
            late: u64::from(i),
            ..KeyDelta::nothing(0, Scope::Tenant(format!("tenant-{i}")))
        };
        let deltas: Vec<KeyDelta> = (0..3_000).map(delta).collect();
        let boundary = BoundaryPartial { at_ms: 10_000, deltas: deltas.clone(), ..BoundaryPartial::default() };
        let parts =
            of(Partial { up_to_ms: 10_000, boundaries: vec![boundary], ..Partial::default() }).expect("encoded");
        assert!(parts.len() > 2 && parts.iter().all(|p| p.len() <= PART_BYTES), "{} parts", parts.len());
        let back: Vec<Partial> = parts.iter().map(|p| read(p).expect("a partial")).collect();
        let all: Vec<KeyDelta> = back.iter().flat_map(|p| &p.boundaries).flat_map(|b| b.deltas.clone()).collect();
        assert_eq!(all, deltas);
        let up_to: Vec<Ms> = back.iter().map(|p| p.up_to_ms).filter(|ms| *ms != Ms::MIN).collect();
        assert_eq!(up_to, [10_000], "only the last part says how far it goes");
    }
}
