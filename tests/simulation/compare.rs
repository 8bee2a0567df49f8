//! Compares the published records with the expected ones, byte for byte and in order, and checks the rules for offsets,
//! their metadata and decisions.

use crate::backtest;
use crate::broker::Place;
use crate::faults::Fault;
use crate::inputs;
use crate::partition::Record;
use crate::reached::Reached;
use crate::reference::{Published, Reference};
use crate::scenario::Scenario;
use crate::world::World;
use tailburn::model::record::Topic;
use tailburn::worker::OffsetMetadata;

/// How much was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub records: usize,
    pub alerts: usize,
    pub cohorts: usize,
    pub dead_letters: usize,
    pub tombstones: usize,
    pub decided: usize,
    /// Records that were found in blocks, or read by a keyed task.
    pub events: usize,
    pub late_dropped: usize,
    /// Runs that were also compared with a backtest.
    pub backtests: usize,
    /// Of these, runs in which several users tasks shared a limit that was reached.
    pub shared_limits: usize,
    pub reached: Reached,
}

/// Everything was published, or the first thing that is wrong.
pub fn compare(scenario: &Scenario, world: &World) -> Result<Compared, String> {
    let judged = inputs::judge(scenario, &world.broker)?;
    let reference = Reference::of(scenario, &world.broker)?;
    check_offsets(scenario, world, &reference)?;
    let mut compared = compare_outputs(world, &reference)?;
    compared.reached = Reached::of(&world.broker);
    (compared.decided, compared.events, compared.late_dropped) = (judged.met, judged.events, judged.late_dropped);
    // How many groups are remembered holds for each users task: with several of them the flag may come later.
    if judged.met == 0 && (scenario.remembers_all_groups() || scenario.users_tasks() == 1) {
        backtest::is_a_prefix(scenario, &world.broker)?;
        compared.backtests = 1;
        compared.shared_limits = usize::from(scenario.users_tasks() > 1 && reference.has_refused);
    }
    // If a partition could not be read for a while, only the comparison above must hold.
    let taken = |fault| world.faults.has_taken(fault);
    let is_right = !taken(Fault::InputStalled);
    let waits_long = scenario.alignment_ms > scenario.idle_ms * 5;
    // T may go on without a partition that has unread records, if it had some for long: slow readers and long restores are
    // no faults.
    let is_explained =
        |source: u32| !world.faults.taken.is_empty() || world.waits.reached(source, scenario.alignment_ms);
    let hasty = judged.hasty.iter().filter(|(source, _)| !is_explained(*source)).map(|(_, what)| what);
    match judged.wrong.iter().chain(hasty).next() {
        Some(wrong) if is_right && waits_long => Err(format!("passed over, but not idle: {wrong}")),
        _ => Ok(compared),
    }
}

/// What was published is what the reference says, record by record.
pub fn compare_outputs(world: &World, reference: &Reference) -> Result<Compared, String> {
    let mut compared = Compared::default();
    for place in world.broker.places() {
        let Place::Output(topic, _) = place else { continue };
        if Topic::INTERNAL.contains(&topic) {
            continue;
        }
        let got: Vec<Record> = world.broker.partition(place).ever().iter().map(|(_, r)| (**r).clone()).collect();
        compare_partition(place, &got, &reference.published)?;
        if topic != Topic::DeadLetters && !got.is_sorted_by_key(|record| record.timestamp_ms) {
            return Err(format!("{place:?} goes back in time"));
        }
        compared.add(topic, &got);
    }
    Ok(compared)
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
        "{place:?}: {} records instead of {}, and the one at {same} is\n{}",
        got.len(),
        expected.len(),
        apart(&show(got), &show(expected))
    ))
}

/// The parts of two texts around their first difference.
pub fn apart(got: &str, want: &str) -> String {
    let same = got.chars().zip(want.chars()).take_while(|(got, want)| got == want).count();
    let from = |text: &str| text.chars().skip(same.saturating_sub(120)).take(400).collect::<String>();
    let begin: String = got.chars().take(100).collect();
    format!("{begin} ..\n     got .. {}\nexpected .. {}", from(got), from(want))
}

/// A record as readable text.
pub fn text(record: &Record) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: Vec<String> =
        record.headers.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
    format!("{} {:?} {:?} {headers:?}", record.timestamp_ms, text(&record.key), text(&record.value))
}

/// Checks that at the end every stream is committed after its last record, with the T of its task in the metadata.
fn check_offsets(scenario: &Scenario, world: &World, reference: &Reference) -> Result<(), String> {
    for stream in scenario.streams() {
        let partition = world.broker.partition(stream.into());
        let next = partition.ever().last().map_or(partition.first(), |(offset, _)| offset + 1);
        let Some(committed) = world.broker.group.committed(stream) else {
            // If nothing was ever read, there is nothing to commit.
            if next == partition.first() {
                continue;
            }
            return Err(format!("{stream:?} was never committed"));
        };
        let memo =
            OffsetMetadata::parse(&committed.metadata).ok_or_else(|| format!("{stream:?}: {}", committed.metadata))?;
        if (committed.next.0, memo.start) != (next, partition.first()) {
            return Err(format!(
                "{stream:?} is committed at {committed:?}; it begins at {} and ends at {next}",
                partition.first()
            ));
        }
        if let Some(at_ms) = reference.at_ms.get(&stream).filter(|at_ms| **at_ms != memo.at_ms) {
            return Err(format!("{stream:?} is committed with {:?}, and it is at {at_ms:?}", memo.at_ms));
        }
    }
    Ok(())
}
