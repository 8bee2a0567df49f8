//! What was published against what should have been, byte for byte and in order, and what must hold
//! of offsets, notes and decisions whatever was published.

use crate::backtest;
use crate::broker::Place;
use crate::faults::Fault;
use crate::partition::Record;
use crate::reference::{Memo, Published, Reference};
use crate::scenario::Scenario;
use crate::world::World;
use tailburn::log::Stream;
use tailburn::model::record::Topic;
use tailburn::model::time::Ms;

/// What there was to compare.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub records: usize,
    pub alerts: usize,
    pub cohorts: usize,
    pub dead_letters: usize,
    pub tombstones: usize,
    pub decided: usize,
}

/// Everything was published up to `to_ms`, or the first thing that is wrong.
pub fn compare(scenario: &Scenario, world: &World, to_ms: Option<Ms>) -> Result<Compared, String> {
    let reference = Reference::of(scenario, &world.broker, to_ms);
    check_offsets(scenario, world, to_ms)?;
    let mut compared = Compared { decided: reference.decided, ..Compared::default() };
    for place in world.broker.places() {
        let Place::Output(topic, _) = place else { continue };
        if topic == Topic::Partials {
            continue;
        }
        let got: Vec<Record> = world.broker.partition(place).visible().iter().map(|(_, r)| (**r).clone()).collect();
        compare_partition(place, &got, &reference.published)?;
        if topic != Topic::DeadLetters && !got.is_sorted_by_key(|record| record.timestamp_ms) {
            return Err(format!("{place:?} goes back in time"));
        }
        compared.add(topic, &got);
    }
    if reference.decided == 0 {
        backtest::is_a_prefix(scenario, &world.broker)?;
    }
    // A clock that jumps lets seconds pass for minutes: then only the sameness above is promised.
    let is_clock_right = !world.faults.has_taken(Fault::ClockForward) && !world.faults.has_taken(Fault::ClockBack);
    match reference.decided_wrongly.first() {
        Some(wrong) if is_clock_right => Err(format!("passed over, and not idle: {wrong}")),
        _ => Ok(compared),
    }
}

impl Compared {
    fn add(&mut self, topic: Topic, got: &[Record]) {
        self.records += got.len();
        self.tombstones += got.iter().filter(|record| record.value.is_none()).count();
        match topic {
            Topic::BurnAlerts => self.alerts += got.len(),
            Topic::TailCohorts => self.cohorts += got.len(),
            Topic::DeadLetters => self.dead_letters += got.len(),
            _ => {}
        }
    }
}

fn compare_partition(place: Place, got: &[Record], expected: &Published) -> Result<(), String> {
    let expected = expected.get(&place).map_or(&[][..], Vec::as_slice);
    let same = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
    if same == got.len() && same == expected.len() {
        return Ok(());
    }
    let show = |records: &[Record]| records.get(same).map_or_else(|| "nothing".to_owned(), text);
    Err(format!(
        "{place:?}: {} records instead of {}, and the one at {same} is\n     got {}\nexpected {}",
        got.len(),
        expected.len(),
        show(got),
        show(expected)
    ))
}

/// A record, readably.
pub fn text(record: &Record) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: Vec<String> =
        record.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
    format!("{} {:?} {:?} {headers:?}", record.timestamp_ms, text(&record.key), text(&record.value))
}

/// At the end every stream is committed behind its last record, with the same note of T.
fn check_offsets(scenario: &Scenario, world: &World, to_ms: Option<Ms>) -> Result<(), String> {
    let inputs = (0..scenario.inputs).map(Stream::Input);
    for stream in inputs.chain((0..scenario.rollups).map(Stream::Partials)) {
        let partition = world.broker.partition(stream.into());
        let next = partition.visible().last().map_or(partition.start(), |(offset, _)| offset + 1);
        let Some(committed) = world.broker.group.committed(stream) else {
            // Where nothing was ever read there is nothing to commit.
            if world.tally.commits == 0 {
                continue;
            }
            return Err(format!("{stream:?} was never committed"));
        };
        let memo = Memo::parse(&committed.metadata).ok_or_else(|| format!("{stream:?}: {}", committed.metadata))?;
        if (committed.next.0, memo.start) != (next, partition.start()) {
            return Err(format!(
                "{stream:?} is committed at {committed:?}; it begins at {} and ends at {next}",
                partition.start()
            ));
        }
        if matches!(stream, Stream::Input(_)) && memo.closed_ms != to_ms {
            return Err(format!("{stream:?} is committed with {:?}, and T is {to_ms:?}", memo.closed_ms));
        }
    }
    Ok(())
}
