//! Everything that a seed determines before a run: SLOs, traffic, partition counts, intervals, and which faults strike
//! how often.

use crate::change::Change;
use crate::dice::Dice;
use crate::documents;
use crate::faults::{Fault, TABLE};
use crate::traffic::{self, Arrival};
use serde_json::Value;
use std::sync::Arc;
use tailburn::definition;
use tailburn::log::Stream;
use tailburn::model::slo::Slo;
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Ms, SECOND_MS};
use tailburn::pipeline::intake::Spread;

/// Event times start after this.
pub const EPOCH_MS: Ms = 1_780_000_000_000;
/// The default of the configuration; the same for all seeds.
pub const OUT_OF_ORDERNESS_MS: Ms = 5 * SECOND_MS;
/// The last event of [`Scenario::by_hand`].
pub const LAST_MS: Ms = EPOCH_MS + 75 * MINUTE_MS;
/// Longer than the traffic of any scenario, so that nothing is idle before its end.
const LONG_MS: Ms = 3 * HOUR_MS;

/// A member of the group: when it joins, and when it leaves for good.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    pub from_ms: Ms,
    pub until_ms: Option<Ms>,
}

/// A change of the definitions, and when all processes stop for it.
pub struct Becomes {
    pub at_ms: Ms,
    pub change: Change,
    pub slos: Arc<Vec<Slo>>,
}

pub struct Scenario {
    pub seed: u64,
    pub slos: Arc<Vec<Slo>>,
    /// The texts of the SLOs.
    pub documents: Vec<String>,
    /// The `maintenance` of the configuration.
    pub maintenance: Value,
    /// The change of the definitions, if there is one.
    pub becomes: Option<Becomes>,
    pub inputs: u32,
    pub is_keyed: bool,
    pub spread: Spread,
    pub rollups: u32,
    pub groups_max: usize,
    pub tenants_max: usize,
    /// The offset at which each input partition begins.
    pub firsts: Vec<i64>,
    /// In order of time.
    pub arrivals: Vec<Arrival>,
    pub stays: Vec<Stay>,
    pub begin_ms: Ms,
    /// The mean time between two polls of a process.
    pub pace_ms: Ms,
    pub batch: u64,
    pub commit_ms: Ms,
    pub checkpoint_ms: Ms,
    pub idle_ms: Ms,
    pub alignment_ms: Ms,
    pub deltas_min_bytes: u64,
    pub memory_bytes: u64,
    pub one_in: [Option<u64>; TABLE.len()],
    pub faults_max: usize,
}

impl Scenario {
    pub fn of(seed: u64) -> Scenario {
        let dice = &mut Dice::new(seed, "scenario");
        let inputs = dice.between(1, 4) as u32;
        let is_keyed = dice.one_in(3);
        let span_ms = dice.between(15, 100) * MINUTE_MS;
        let signals = &mut Dice::new(seed, "signals");
        let kinds = &mut Dice::new(seed, "kinds");
        let traffic = traffic::Plan::draw(dice, inputs, is_keyed, span_ms).with_signals(signals).with_failures(kinds);
        let arrivals = traffic::arrivals(&traffic, &mut Dice::new(seed, "traffic"));
        let is_patient = dice.one_in(3);
        let idle_ms = if is_patient { LONG_MS } else { dice.pick(&[10, 10, 30, 60]) * SECOND_MS };
        let alignment_ms = if is_patient { 10 * LONG_MS } else { dice.pick(&[30, 60, 600]) * SECOND_MS };
        // Processes start with the traffic, in the middle of it, or after all of it.
        let begun = dice.pick(&[0, 0, 50, 100]);
        let begin_ms = EPOCH_MS + span_ms * begun / 100;
        let large_tenants = if dice.one_in(2) { vec!["t1".to_owned()] } else { Vec::new() };
        let partitions = dice.between(1, 4) as u32;
        let documents: Vec<String> =
            (0..dice.between(1, 2)).map(|number| documents::slo(number, dice, signals, kinds)).collect();
        let maintenance = documents::maintenance(kinds, span_ms, documents.len());
        Scenario {
            seed,
            slos: parsed(&documents, &maintenance),
            documents,
            maintenance,
            becomes: None,
            inputs,
            is_keyed,
            spread: Spread { partitions, per_tenant: dice.between(1, 3) as u32, large_tenants },
            rollups: dice.between(1, 3) as u32,
            groups_max: dice.pick(&[1, 2, 10]),
            firsts: (0..inputs).map(|_| dice.pick(&[0, 0, 7, 1_000])).collect(),
            arrivals,
            stays: stays(dice, begin_ms, span_ms),
            begin_ms,
            pace_ms: dice.pick(&[500, 2_000, 5_000, 12_000]),
            batch: dice.pick(&[1, 4, 16, 64, 500]),
            commit_ms: dice.pick(&[200, 200, 2_000, 15_000]),
            checkpoint_ms: dice.pick(&[5, 30, 30, 300, 3_600]) * SECOND_MS,
            idle_ms,
            alignment_ms,
            deltas_min_bytes: dice.pick(&[0, 500, 64 * 1_024]),
            memory_bytes: dice.pick(&[u64::MAX, u64::MAX, 20_000, 1]),
            one_in: fault_rates(dice),
            faults_max: dice.pick(&[0, 8, 16, 30, 60]),
            tenants_max: dice.pick(&[1, 2, 50_000]),
        }
    }

    /// For tests that do by hand what happens: no fault strikes, and no partition is passed over.
    pub fn by_hand(is_keyed: bool) -> Scenario {
        let (seed, inputs) = (1, 3);
        let mut arrivals = traffic::arrivals(&traffic::Plan::plain(inputs), &mut Dice::new(seed, "by hand"));
        arrivals.extend((0..inputs).map(|partition| traffic::last(partition, LAST_MS)));
        Scenario {
            inputs,
            is_keyed,
            spread: Spread { partitions: 5, per_tenant: 3, large_tenants: vec!["t1".to_owned()] },
            rollups: 2,
            // Fewer than there are, so that somebody has to decide for all users tasks.
            groups_max: 1,
            tenants_max: 2,
            firsts: vec![0, 7, 1_000],
            arrivals,
            begin_ms: LAST_MS,
            batch: 64,
            checkpoint_ms: 2 * SECOND_MS,
            idle_ms: LONG_MS,
            alignment_ms: 10 * LONG_MS,
            deltas_min_bytes: 500,
            memory_bytes: u64::MAX,
            one_in: [None; TABLE.len()],
            faults_max: 0,
            ..Scenario::of(seed)
        }
    }

    /// The same scenario, but state directories are lost often.
    pub fn losing_directories(mut self) -> Scenario {
        self.one_in[Fault::DirectoryLost as usize] = Some(2);
        self.one_in[Fault::CrashAfterEnd as usize] = Some(20);
        self.faults_max = 30;
        self
    }

    /// The same scenario, but the definitions change in the middle. No partition is passed over before the end, so that
    /// the figures must equal those of a backtest.
    pub fn changing(mut self) -> Scenario {
        let dice = &mut Dice::new(self.seed, "change");
        (self.idle_ms, self.alignment_ms) = (LONG_MS, 10 * LONG_MS);
        // A key that is forgotten begins anew by one definition, and not by the other that remembers longer.
        self.arrivals.retain(|arrival| !arrival.is_old);
        // Other scenarios test the limit of groups.
        self.groups_max = 100;
        let span_ms = self.last_arrival_ms() - self.begin_ms;
        let at_ms = self.begin_ms + span_ms * dice.between(20, 80) / 100;
        let change = Change::draw(dice, &self.documents[0]);
        let slos = parsed(&change.of(&self.documents), &self.maintenance);
        self.becomes = Some(Becomes { at_ms, change, slos });
        self
    }

    /// Whether no task can see more groups of an SLO than it remembers: how many it sees depends on how many
    /// tasks there are.
    pub fn remembers_all_groups(&self) -> bool {
        let groups = |slo: &Slo| traffic::REGIONS.len() * if slo.group_by.len() > 1 { traffic::TIERS.len() } else { 1 };
        self.slos.iter().all(|slo| groups(slo) <= 4 * self.groups_max)
    }

    /// How many users tasks there are.
    pub fn users_tasks(&self) -> u32 {
        if self.is_keyed { self.inputs } else { self.spread.partitions }
    }

    /// The stream of a users task.
    pub fn users_stream(&self, task: u32) -> Stream {
        if self.is_keyed { Stream::Input(task) } else { Stream::Repartition(task) }
    }

    /// All streams that the group assigns.
    pub fn streams(&self) -> Vec<Stream> {
        let blocks = (0..if self.is_keyed { 0 } else { self.spread.partitions }).map(Stream::Repartition);
        (0..self.inputs).map(Stream::Input).chain(blocks).chain((0..self.rollups).map(Stream::Partials)).collect()
    }

    /// The change of the definitions, if there is one.
    pub fn becomes_what(&self) -> Option<Change> {
        self.becomes.as_ref().map(|becomes| becomes.change)
    }

    pub fn last_arrival_ms(&self) -> Ms {
        self.arrivals.last().map_or(self.begin_ms, |arrival| arrival.at_ms)
    }
}

/// One member stays from the beginning to the end; others join and leave.
fn stays(dice: &mut Dice, begin_ms: Ms, span_ms: Ms) -> Vec<Stay> {
    let others = dice.pick(&[0, 1, 1, 2, 3]);
    let mut stays = vec![Stay { from_ms: begin_ms, until_ms: None }];
    for _ in 0..others {
        let from_ms = begin_ms + dice.pick(&[0, 0, 30]) * span_ms / 100;
        let until_ms = dice.one_in(2).then(|| from_ms + dice.between(5, 80) * span_ms / 100);
        stays.push(Stay { from_ms, until_ms });
    }
    stays
}

/// Few kinds of faults that strike often find mistakes that all kinds at low rates do not.
fn fault_rates(dice: &mut Dice) -> [Option<u64>; TABLE.len()] {
    let share = dice.pick(&[1, 3, 5]);
    let mut one_in = [None; TABLE.len()];
    for (rate, point) in one_in.iter_mut().zip(&TABLE) {
        let factor = dice.pick(&[1, 2, 8]);
        if dice.one_in(share) {
            *rate = Some((point.one_in / factor).max(2));
        }
    }
    one_in
}

fn parsed(documents: &[String], maintenance: &Value) -> Arc<Vec<Slo>> {
    let named = documents.iter().enumerate().map(|(n, text)| (format!("slo{n}.yaml"), text.clone()));
    let definitions = definition::parse(&named.collect::<Vec<_>>());
    let mut slos = definitions.expect("the definitions of scenarios are right").slos;
    definition::maintenance::apply(maintenance, &mut slos).expect("the maintenance of scenarios is right");
    Arc::new(slos)
}
