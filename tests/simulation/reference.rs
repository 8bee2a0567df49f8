//! The expected output: the committed log is fed to fresh tasks, stage by stage, without interruption. There is no
//! worker, no store and no transaction, and all boundaries are closed at once after everything was read.
//!
//! Passing over a partition depends on the wall clock, so such a run cannot be compared with a backtest. But each
//! decision is in the log before it is used: in the blocks, or in the marks of a users task that reads its input itself.
//! Given the decisions, the result is a function of the log again.

use crate::broker::{Broker, Place};
use crate::compare::apart;
use crate::log::hand_over;
use crate::partition::Record;
use crate::scenario::{OUT_OF_ORDERNESS_MS, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tailburn::codec::output::{Encoder, OutputFormat};
use tailburn::codec::{Decoder, InputSettings};
use tailburn::log::Stream;
use tailburn::model::key::Scope;
use tailburn::model::record::{RecordOut, Topic};
use tailburn::model::slo::Slo;
use tailburn::model::time::{MINUTE_MS, Ms, SECOND_MS, slice_ms};
use tailburn::operator::admission::{self, Admits, Candidates, SetId, order_of};
use tailburn::operator::partial::{BoundaryPartial, KeyDelta, Partial};
use tailburn::pipeline::checkpoint::Mark;
use tailburn::pipeline::pseudonym::UserIds;
use tailburn::pipeline::rollup::{RollupSettings, RollupTask, slo_ids};
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;
use tailburn::worker::{IdlePolicy, Setup, TaskId, read_partial};

pub fn route(scenario: &Scenario) -> Route {
    let settings = InputSettings { max_future_skew_ms: Some(30 * SECOND_MS), ..InputSettings::default() };
    let decoder = Decoder::new(settings).expect("the default settings make a decoder");
    let name = |partition| SourceName { topic: "outcomes".to_owned(), partition };
    let form = DeadLetterForm::Record { partitions: scenario.inputs };
    Route::new(decoder, (0..scenario.inputs).map(name).collect(), form)
}

fn users_settings(scenario: &Scenario) -> UsersSettings {
    UsersSettings {
        out_of_orderness_ms: OUT_OF_ORDERNESS_MS,
        groups_max: scenario.groups_max,
        tenants_max: scenario.tenants_max,
        rollup_partitions: scenario.rollups,
    }
}

pub fn rollup_settings() -> RollupSettings {
    RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: MINUTE_MS,
        tenant_status_interval_ms: 5 * MINUTE_MS,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("the schemas are right")),
    }
}

pub fn users_task(scenario: &Scenario, slos: &Arc<Vec<Slo>>, sources: usize) -> UsersTask {
    UsersTask::new(Arc::clone(slos), sources, users_settings(scenario))
}

/// The setup of a scenario's workers.
pub fn setup(scenario: &Scenario, slos: &Arc<Vec<Slo>>) -> Setup {
    let hashes: Vec<&str> = slos.iter().map(|slo| slo.definition_hash.as_str()).collect();
    Setup {
        slos: Arc::clone(slos),
        inputs: scenario.inputs,
        keyed_by_user: scenario.is_keyed,
        spread: scenario.spread.clone(),
        rollups: scenario.rollups,
        users: users_settings(scenario),
        rollup: rollup_settings(),
        patience: IdlePolicy {
            idle_timeout_ms: scenario.idle_ms,
            max_alignment_wait_ms: scenario.alignment_ms,
            out_of_orderness_ms: OUT_OF_ORDERNESS_MS,
        },
        identity: format!("simulated {}", hashes.concat()),
        checkpoint_interval_ms: scenario.checkpoint_ms,
        deltas_min_bytes: scenario.deltas_min_bytes,
        memory_limit_bytes: scenario.memory_bytes,
    }
}

/// Records by the partition that they are written to, in order.
pub type Published = BTreeMap<Place, Vec<Record>>;

pub fn published(records: Vec<RecordOut>) -> Published {
    let mut published = Published::new();
    for RecordOut { topic, partition, key, value, headers, timestamp_ms } in records {
        let record = Record { key, value, headers, timestamp_ms };
        published.entry(Place::Output(topic, partition)).or_default().push(record);
    }
    published
}

pub struct Reference {
    pub published: Published,
    /// The last boundary of each task.
    pub at_ms: BTreeMap<Stream, Option<Ms>>,
    /// Some group or tenant has no key, because there are too many.
    pub has_refused: bool,
}

/// A committed decision to raise a source: from which offset on, to which watermark, and whether it had unread records.
pub type Decision = (i64, Ms, bool);

impl Reference {
    pub fn of(scenario: &Scenario, broker: &Broker) -> Result<Reference, String> {
        let mut out = dead_letters(scenario, broker);
        let mut at_ms = BTreeMap::new();
        let mut of_tasks = Vec::new();
        let mut tasks =
            (0..scenario.users_tasks()).map(|task| Fed::of(scenario, broker, task)).collect::<Result<Vec<_>, _>>()?;
        tasks.iter_mut().try_for_each(Fed::close)?;
        let candidates: Vec<&Candidates> =
            tasks.iter().flat_map(|fed| &fed.partials).flat_map(|p| &p.candidates).collect();
        let admitted = Admitted::of(&candidates);
        for (task, mut fed) in (0..).zip(tasks) {
            admitted.tell(&mut fed.users);
            fed.close()?;
            fed.check(scenario, broker, task, &admitted)?;
            at_ms.insert(scenario.users_stream(task), fed.users.closed_ms());
            of_tasks.push(fed.partials);
        }
        for partition in 0..scenario.rollups {
            // Keyed tasks do not record enough to know which boundaries were incomplete; see `same_partials`.
            let partials = match scenario.is_keyed {
                true => in_log(broker, partition).collect(),
                false => of_tasks.iter_mut().map(|of| std::mem::take(&mut of[partition as usize])).collect(),
            };
            at_ms.insert(Stream::Partials(partition), rollup(scenario, partials, partition, &mut out)?);
        }
        Ok(Reference { published: published(out), at_ms, has_refused: admitted.has_refused })
    }
}

fn dead_letters(scenario: &Scenario, broker: &Broker) -> Vec<RecordOut> {
    let (mut route, mut out) = (route(scenario), Vec::new());
    for source in 0..scenario.inputs {
        let batch = broker.partition(Place::Input(source)).ever();
        hand_over(Stream::Input(source), &batch, &mut |_, record| {
            out.extend(route.apply(source, record, |_| {}));
        });
    }
    out
}

/// Every decision about a source that was ever committed, from the marks of its keyed task.
pub fn decisions(scenario: &Scenario, broker: &Broker, source: u32) -> BTreeSet<Decision> {
    if !scenario.is_keyed {
        return BTreeSet::new();
    }
    let changelog = TaskId::Users(source).changelog(scenario.users_tasks());
    let records = broker.partition(Place::Output(Topic::Changelog, changelog)).ever();
    let marks = records.iter().filter(|(_, record)| record.key.as_deref() == Some(&[0]));
    let marks = marks.filter_map(|(_, record)| Mark::from_bytes(record.value.as_deref()?).ok());
    marks.flat_map(|mark| mark.raised).collect()
}

/// A users task that was fed its stream.
struct Fed {
    users: UsersTask,
    partials: Vec<Partial>,
}

impl Fed {
    fn of(scenario: &Scenario, broker: &Broker, task: u32) -> Result<Fed, String> {
        let sources = if scenario.is_keyed { 1 } else { scenario.inputs as usize };
        let mut users = users_task(scenario, &scenario.slos, sources).asking();
        let stream = scenario.users_stream(task);
        let mut decisions = decisions(scenario, broker, task);
        let mut route = route(scenario);
        let mut failed = None;
        hand_over(stream, &broker.partition(stream.into()).ever(), &mut |_, record| {
            if scenario.is_keyed {
                while let Some((_, to_ms, is_incomplete)) = decisions.first().filter(|(at, ..)| *at <= record.offset) {
                    users.raise_to(0, *to_ms, *is_incomplete);
                    decisions.pop_first();
                }
                route.apply(task, record, |outcome| users.apply(0, record.offset, outcome));
            } else if let Err(error) = users.apply_block(record.offset, record.value) {
                failed = Some(error.to_string());
            }
        });
        decisions.iter().for_each(|(_, to_ms, is_incomplete)| users.raise_to(0, *to_ms, *is_incomplete));
        let nothing = Partial { users_task: task, slos: slo_ids(&scenario.slos), ..Partial::default() };
        let partials = vec![nothing; scenario.rollups as usize];
        failed.map_or(Ok(Fed { users, partials }), Err)
    }

    /// Closes what can be closed; the first time it names its candidates, all of them.
    fn close(&mut self) -> Result<(), String> {
        match self.users.aligned_ms().filter(|to_ms| self.users.closed_ms() < Some(*to_ms)) {
            Some(to_ms) => self
                .users
                .close_until(to_ms, &mut self.partials, &MemoryStore::default())
                .map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    /// Holds what the task says against what was said.
    fn check(&self, scenario: &Scenario, broker: &Broker, task: u32, admitted: &Admitted) -> Result<(), String> {
        if self.users.waits_for_decision() {
            return Err(format!("users-{task} waits for a decision"));
        }
        for (partition, partial) in (0..).zip(&self.partials) {
            same_partials(scenario, partial, &said(broker, task, partition), admitted)
                .map_err(|why| format!("users-{task} to rollup-{partition}: {why}"))?;
        }
        Ok(())
    }
}

/// The names that were admitted, each with its boundary, and all names.
type Named = (Vec<(Ms, Vec<u8>)>, BTreeSet<Vec<u8>>);

/// Who has a key, worked out with all candidates at hand: by when they became visible, then by their keys.
#[derive(Default)]
struct Admitted {
    sets: BTreeMap<SetId, Named>,
    has_refused: bool,
    last_ms: Ms,
}

impl Admitted {
    fn of(candidates: &[&Candidates]) -> Admitted {
        let mut first: BTreeMap<SetId, BTreeMap<Vec<u8>, Ms>> = BTreeMap::new();
        let mut subjects = BTreeMap::new();
        let mut admitted = Admitted::default();
        for candidates in candidates {
            subjects.insert(candidates.set, &candidates.subject);
            admitted.last_ms = admitted.last_ms.max(candidates.at_ms);
            let set = first.entry(candidates.set).or_default();
            for name in &candidates.names {
                let at_ms = set.entry(name.clone()).or_insert(candidates.at_ms);
                *at_ms = candidates.at_ms.min(*at_ms);
            }
        }
        for (id, names) in first {
            let subject = subjects[&id];
            let mut sorted: Vec<(Ms, Vec<u8>)> = names.into_iter().map(|(name, at_ms)| (at_ms, name)).collect();
            sorted.sort_by_key(|(at_ms, name)| (*at_ms, order_of(id.admits, &subject.group_by, name)));
            let refused = sorted.split_off(sorted.len().min(subject.max as usize));
            admitted.has_refused |= !refused.is_empty();
            admitted.sets.insert(id, (sorted, refused.into_iter().map(|(_, name)| name).collect()));
        }
        admitted
    }

    fn tell(&self, users: &mut UsersTask) {
        let decision =
            |set, at_ms, names| admission::Decision { set, slo: String::new(), at_ms, after_ms: None, names };
        for (set, (names, _)) in &self.sets {
            for (at_ms, name) in names {
                users.learn(&decision(*set, *at_ms, vec![name.clone()]), false);
            }
            users.learn(&decision(*set, self.last_ms, Vec::new()), true);
        }
    }

    /// Whether a delta is of a tenant that never gets a key of the SLO, and so of nobody. `filters` has the filters' id of each
    /// SLO.
    fn is_of_nobody(&self, delta: &KeyDelta, filters: &[u64]) -> bool {
        let Scope::Tenant(tenant) = &delta.scope else { return false };
        let set = SetId { admits: Admits::Tenants, of: filters[delta.slo as usize] };
        let is_admitted = |(names, _): &Named| names.iter().any(|(_, name)| name == tenant.as_bytes());
        delta.panes.is_empty() && !self.sets.get(&set).is_some_and(is_admitted)
    }
}

/// The published partials of a partition.
fn in_log(broker: &Broker, partition: u32) -> impl Iterator<Item = Partial> {
    let records = broker.partition(Place::Output(Topic::Partials, partition)).ever();
    let read = |bytes: Option<&[u8]>| read_partial(bytes.unwrap_or_default()).expect("a partial is readable");
    records.into_iter().map(move |(_, record)| read(record.value.as_deref()))
}

/// All published partials of a users task for a rollup task, merged into one.
fn said(broker: &Broker, task: u32, partition: u32) -> Partial {
    let mut all = Partial::default();
    for partial in in_log(broker, partition).filter(|partial| partial.users_task == task) {
        all.up_to_ms = all.up_to_ms.max(partial.up_to_ms);
        all.boundaries.extend(partial.boundaries);
    }
    all
}

/// The length of the longest window.
fn keep_ms(slo: &Slo) -> Ms {
    let windows = slo.rules.iter().map(|rule| rule.long_ms).chain(slo.user_windows_ms.iter().copied());
    windows.max().unwrap_or(0).max(slo.period.nominal_ms())
}

fn same_partials(scenario: &Scenario, want: &Partial, got: &Partial, admitted: &Admitted) -> Result<(), String> {
    if want.up_to_ms != got.up_to_ms {
        return Err(format!("published up to {} instead of {}", got.up_to_ms, want.up_to_ms));
    }
    // Two differences are allowed. A task without events yet sends an incomplete boundary only if it closes boundaries one
    // by one, which a worker does and the reference does not. And of two decisions about a keyed task between the same
    // two records, only the last one is kept.
    let filters = slo_ids(&scenario.slos);
    let bare = |partial: &Partial| -> Vec<BoundaryPartial> {
        let mut boundaries = partial.boundaries.clone();
        boundaries
            .iter_mut()
            .for_each(|boundary| boundary.deltas.retain(|delta| !admitted.is_of_nobody(delta, &filters)));
        boundaries.retain(|boundary| !boundary.deltas.is_empty() || !boundary.steps.is_empty());
        for boundary in &mut boundaries {
            boundary.is_incomplete &= !scenario.is_keyed;
            // The order of the deltas of different keys does not matter.
            boundary.deltas.sort_by_key(|delta| (delta.slo, format!("{:?}", delta.scope)));
            for delta in &mut boundary.deltas {
                // It does not matter when entries disappear that no window needs any more.
                let keep_ms = keep_ms(&scenario.slos[delta.slo as usize]);
                let from_ms = boundary.at_ms - keep_ms + slice_ms(keep_ms);
                delta.seen.retain(|(ms, _)| *ms > from_ms);
                delta.bad_seen.retain(|(ms, _)| *ms > from_ms);
            }
            boundary.steps.sort_by_key(|step| (step.slo, format!("{:?}", step.scope), step.window_ms));
        }
        boundaries
    };
    let (want, got) = (bare(want), bare(got));
    let same = want.iter().zip(&got).take_while(|(want, got)| want == got).count();
    if same == want.len() && same == got.len() {
        return Ok(());
    }
    Err(format!(
        "boundary {same} of {} instead of {}\n{}",
        got.len(),
        want.len(),
        apart(&format!("{:?}", got.get(same)), &format!("{:?}", want.get(same)))
    ))
}

/// Runs a rollup task over partials.
fn rollup(
    scenario: &Scenario,
    partials: Vec<Partial>,
    partition: u32,
    out: &mut Vec<RecordOut>,
) -> Result<Option<Ms>, String> {
    let settings = RollupSettings { partition, users_tasks: scenario.users_tasks(), ..rollup_settings() };
    let mut task = RollupTask::new(&scenario.slos, settings);
    for partial in partials {
        task.apply(0, partial).map_err(|why| why.to_string())?;
    }
    task.advance(out).map_err(|error| error.to_string())?;
    Ok(task.at_ms())
}
