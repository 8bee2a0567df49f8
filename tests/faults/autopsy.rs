//! Finds the stage at fault after a failure: the records between stages are recorded, and then replayed through the
//! operators without log, store or restart.

use crate::answers::{OUTPUTS, ROLLUPS, identity};
use crate::compare::{Record, compare};
use crate::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tailburn::codec::output::OutputFormat;
use tailburn::command::assemble;
use tailburn::config::{self, Sources, UserIds};
use tailburn::model::record::RecordOut;
use tailburn::model::time::Ms;
use tailburn::operator::partial::{BoundaryPartial, Partial};
use tailburn::pipeline::rollup::{RollupSettings, RollupTask, slo_ids};
use tailburn::pipeline::users::UsersTask;
use tailburn::state::MemoryStore;
use tailburn::worker::{Setup, read_partial};

/// The internal topics to record, because brokers keep little of them.
const READ_ALONG: [&str; 2] = ["partials", "repartition"];

/// Records the messages between stages from the beginning, until it is stopped.
pub struct Witness {
    stop: AtomicBool,
}

impl Witness {
    pub fn new() -> Witness {
        Witness { stop: AtomicBool::new(false) }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// All records, in the order of their partitions.
    pub fn read(&self, stage: &Stage) -> Vec<Record> {
        let open = || stage.outsider.reader(&stage.internal(""), &READ_ALONG);
        let mut reader = open();
        while !self.stop.load(Ordering::Relaxed) {
            if reader.has_topics() {
                reader.read(Duration::from_millis(200));
            } else {
                std::thread::sleep(Duration::from_millis(200));
                reader = open();
            }
        }
        reader.read(Duration::from_secs(2));
        reader.records
    }
}

/// The stages' results for their recorded input, in words.
pub fn findings(stage: &Stage, application: &str, heard: &[Record]) -> Vec<String> {
    let setup = setup(stage, application);
    let of = |topic: &str, partition: u32| {
        let is_of = move |record: &&Record| record.topic == topic && record.partition == partition as i32;
        heard.iter().filter(is_of).filter_map(|record| record.value.as_deref()).collect::<Vec<_>>()
    };
    let published: Vec<Vec<Partial>> = (0..ROLLUPS)
        .map(|p| of("partials", p).into_iter().map(|b| read_partial(b).expect("a partial")).collect())
        .collect();
    let of_partials = rolled_up(&setup, &published);
    let users = (0..setup.users_tasks()).map(|task| closed(&setup, task, &of("repartition", task)));
    let mut again: Vec<Vec<Partial>> = vec![Vec::new(); ROLLUPS as usize];
    for partials in users {
        again.iter_mut().zip(partials).for_each(|(all, partial)| all.push(partial));
    }
    let of_blocks = rolled_up(&setup, &again);
    let verdict = |found: Result<Vec<Record>, String>| match found {
        Ok(found) => compare(&expected(stage), &told(stage, found)).to_string(),
        Err(why) => why,
    };
    let count = |topic: &str| heard.iter().filter(|record| record.topic == topic).count();
    vec![
        format!("with the {} blocks that were published: {}", count("repartition"), verdict(of_blocks)),
        format!("with the {} partials that were published: {}", count("partials"), verdict(of_partials)),
        same_partials(&published, &again),
    ]
}

fn expected(stage: &Stage) -> Vec<Record> {
    OUTPUTS
        .iter()
        .filter(|topic| **topic != "dead-letters")
        .flat_map(|topic| stage.expected_of(topic))
        .cloned()
        .collect()
}

fn told(stage: &Stage, mut found: Vec<Record>) -> Vec<Record> {
    found.retain(|record| record.at_ms <= stage.traffic.told_to_ms);
    found
}

fn setup(stage: &Stage, application: &str) -> Setup {
    let file = Some(stage.configuration(application));
    let settings = config::load(&Sources { file, ..Sources::default() }).expect("a configuration").settings;
    let slos = Arc::new(assemble::definitions(&settings.slos).expect("definitions").slos);
    let ids = assemble::user_ids(&settings, UserIds::Plain).expect("user ids");
    let inputs = crate::traffic::INPUTS as u32;
    assemble::setup(&settings, &slos, inputs, ids, OutputFormat::Json, String::new()).expect("a setup")
}

/// The output of rollup tasks for the partials.
fn rolled_up(setup: &Setup, partials: &[Vec<Partial>]) -> Result<Vec<Record>, String> {
    let mut found = Vec::new();
    for (partition, partials) in (0..).zip(partials) {
        let settings = RollupSettings { partition, users_tasks: setup.users_tasks(), ..setup.rollup.clone() };
        let (mut task, mut out) = (RollupTask::new(&setup.slos, settings), Vec::new());
        for (offset, partial) in (0..).zip(partials) {
            task.apply(offset, partial.clone()).map_err(|why| format!("partial {offset} of {partition} {why}"))?;
            task.advance(&mut out).map_err(|e| e.to_string())?;
        }
        found.extend(out.into_iter().map(record));
    }
    Ok(found)
}

/// A users task's output for the blocks, one partial per rollup task.
fn closed(setup: &Setup, task: u32, blocks: &[&[u8]]) -> Vec<Partial> {
    let mut users = UsersTask::new(Arc::clone(&setup.slos), setup.inputs as usize, setup.users);
    let nothing = Partial { users_task: task, slos: slo_ids(&setup.slos), ..Partial::default() };
    let mut partials = vec![nothing; ROLLUPS as usize];
    for (offset, block) in (0..).zip(blocks) {
        users.apply_block(offset, block).unwrap_or_else(|e| panic!("block {offset} of users-{task}: {e}"));
    }
    if let Some(to_ms) = users.aligned_ms() {
        users.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("closed");
    }
    partials
}

/// The first boundary at which users tasks published something else than their blocks give.
fn same_partials(published: &[Vec<Partial>], again: &[Vec<Partial>]) -> String {
    for (rollup, (published, again)) in published.iter().zip(again).enumerate() {
        for whole in again {
            let said = published.iter().filter(|p| p.users_task == whole.users_task).flat_map(|p| &p.boundaries);
            let (said, wanted) = (by_boundary(said), by_boundary(&whole.boundaries));
            let nothing = Vec::new();
            let all: BTreeSet<Ms> = said.keys().chain(wanted.keys()).copied().collect();
            for at_ms in all {
                let of = |deltas: &BTreeMap<Ms, Vec<String>>| deltas.get(&at_ms).unwrap_or(&nothing).clone();
                let (said, wanted) = (of(&said), of(&wanted));
                if said != wanted {
                    let (task, at) = (whole.users_task, crate::compare::time(at_ms));
                    let (said, wanted) = (apart(&said, &wanted), apart(&wanted, &said));
                    return format!(
                        "users-{task} to rollup-{rollup} at {at}:\n      said   {said:?}\n      wanted {wanted:?}"
                    );
                }
            }
        }
    }
    "the partials are what the blocks come to".to_owned()
}

/// The deltas of each boundary, sorted, because their sum does not depend on the order.
fn by_boundary<'a>(boundaries: impl IntoIterator<Item = &'a BoundaryPartial>) -> BTreeMap<Ms, Vec<String>> {
    let mut deltas: BTreeMap<Ms, Vec<String>> = BTreeMap::new();
    for boundary in boundaries {
        deltas.entry(boundary.at_ms).or_default().extend(boundary.deltas.iter().map(|delta| format!("{delta:?}")));
    }
    deltas.values_mut().for_each(|of_one| of_one.sort());
    deltas
}

fn apart<'a>(of: &'a [String], other: &[String]) -> Vec<&'a String> {
    of.iter().filter(|text| !other.contains(text)).take(2).collect()
}

fn record(out: RecordOut) -> Record {
    let key = out.key.as_deref().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
    let parsed = out.value.as_deref().map(|bytes| serde_json::from_slice(bytes).unwrap_or_default());
    let topic = out.topic.name();
    Record {
        topic,
        partition: out.partition as i32,
        at_ms: out.timestamp_ms,
        identity: identity(topic, &key, parsed.as_ref()),
        key: out.key,
        value: out.value,
        headers: Vec::new(),
    }
}
