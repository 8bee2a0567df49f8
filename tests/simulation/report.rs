//! Reports: the totals of the seeds that passed, and for a seed that failed the shortest schedule of faults that makes
//! it fail, the first difference, and the command to replay it.

use crate::compare::Compared;
use crate::faults::{TABLE, Taken};
use crate::run::{Failure, Success, run};
use crate::scenario::Scenario;
use crate::world::Tally;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sums over seeds.
pub struct Totals {
    seeds: u64,
    taken: [u64; TABLE.len()],
    tally: Tally,
    compared: Compared,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals { seeds: 0, taken: [0; TABLE.len()], tally: Tally::default(), compared: Compared::default() }
    }
}

/// Runs the seeds in order; the first one that fails ends the test.
pub fn run_seeds(seeds: Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        if totals.seeds > 0 && totals.seeds.is_multiple_of(500) {
            println!("{} seeds passed", totals.seeds);
        }
        match run_seed(seed) {
            Ok(success) => totals.add(&success),
            Err(report) => panic!("{report}\n{} seeds passed before it", totals.seeds),
        }
    }
    totals
}

/// Runs a seed. If it fails, finds the smallest number of faults with which it still fails.
pub fn run_seed(seed: u64) -> Result<Success, String> {
    run_scenario(&Scenario::of(seed))
}

pub fn run_scenario(scenario: &Scenario) -> Result<Success, String> {
    let failure = match attempt(scenario, scenario.faults_max) {
        Ok(success) => return Ok(success),
        Err(failure) => failure,
    };
    let shorter = (0..failure.taken.len()).find_map(|most| attempt(scenario, most).err());
    Err(describe(scenario, &shorter.unwrap_or(failure)))
}

/// A panic of the worker is a failure like any other.
fn attempt(scenario: &Scenario, faults_max: usize) -> Result<Success, Failure> {
    catch_unwind(AssertUnwindSafe(|| run(scenario, faults_max))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Failure { what: format!("a panic: {}", text.unwrap_or_default()), taken: Vec::new() })
    })
}

fn schedule(taken: &[Taken]) -> String {
    let mut text = String::new();
    for Taken { step, fault } in taken {
        let point = fault.point();
        let _ = write!(text, "\n  step {step:>6}  {:<22} {}", point.name, point.what);
    }
    if text.is_empty() { "\n  no fault".to_owned() } else { text }
}

fn settings(scenario: &Scenario) -> String {
    format!(
        "{} inputs (keyed: {}), {} users, {} rollups, {} members {:?}, {} arrivals, pace {} ms, batch {}, commit {} ms, checkpoint {} ms, idle {} ms, alignment {} ms, memory {}",
        scenario.inputs,
        scenario.is_keyed,
        scenario.users_tasks(),
        scenario.rollups,
        scenario.stays.len(),
        scenario.stays,
        scenario.arrivals.len(),
        scenario.pace_ms,
        scenario.batch,
        scenario.commit_ms,
        scenario.checkpoint_ms,
        scenario.idle_ms,
        scenario.alignment_ms,
        scenario.memory_bytes
    )
}

fn describe(scenario: &Scenario, failure: &Failure) -> String {
    format!(
        "seed {seed}: {what}\n{settings}\nthe fewest faults with which it fails:{schedule}\nto replay it:\n  \
         TAILBURN_SIM_SEED={seed} cargo test --release --no-default-features --test simulation \
         what_is_published -- --nocapture",
        seed = scenario.seed,
        what = failure.what,
        settings = settings(scenario),
        schedule = schedule(&failure.taken),
    )
}

/// A seed that passed, in detail.
pub fn tell(scenario: &Scenario, success: &Success) -> String {
    let (seed, settings, schedule) = (scenario.seed, settings(scenario), schedule(&success.taken));
    format!("seed {seed} passed\n{settings}\nfaults:{schedule}\n{:?}\n{:?}", success.tally, success.compared)
}

impl Totals {
    fn add(&mut self, success: &Success) {
        self.seeds += 1;
        success.taken.iter().for_each(|taken| self.taken[taken.fault as usize] += 1);
        let (sum, one) = (&mut self.tally, &success.tally);
        sum.turns += one.turns;
        sum.workers += one.workers;
        sum.crashes += one.crashes;
        sum.commits += one.commits;
        sum.aborts += one.aborts;
        sum.flushes += one.flushes;
        sum.replayed += one.replayed;
        sum.cold_reads += one.cold_reads;
        sum.restores += one.restores;
        sum.restored += one.restored;
        sum.wiped += one.wiped;
        sum.revoked += one.revoked;
        sum.expelled += one.expelled;
        sum.moved += one.moved;
        sum.purges += one.purges;
        sum.replaced += one.replaced;
        sum.compacted += one.compacted;
        let (sum, one) = (&mut self.compared, &success.compared);
        sum.records += one.records;
        sum.alerts += one.alerts;
        sum.cohorts += one.cohorts;
        sum.dead_letters += one.dead_letters;
        sum.tombstones += one.tombstones;
        sum.decided += one.decided;
        sum.events += one.events;
        sum.late_dropped += one.late_dropped;
        sum.backtests += one.backtests;
        sum.shared_limits += one.shared_limits;
        sum.reached.add(&one.reached);
    }

    /// Fault points that never struck.
    pub fn never_taken(&self) -> impl Iterator<Item = &'static str> {
        TABLE.iter().zip(self.taken).filter(|(_, count)| *count == 0).map(|(point, _)| point.name)
    }

    /// Whether enough happened: a simulation without events proves nothing.
    pub fn has_seen_enough(&self) -> bool {
        let (did, compared) = (&self.tally, &self.compared);
        did.crashes > self.seeds / 2
            && did.flushes > self.seeds
            && did.replayed > 10 * self.seeds
            && did.restored > self.seeds
            && did.moved > self.seeds
            && did.purges > self.seeds
            && did.cold_reads > self.seeds
            && compared.decided > self.seeds as usize / 10
            && compared.backtests > self.seeds as usize / 20
            && compared.shared_limits > self.seeds as usize / 50
            && compared.reached.has_seen(5)
            && compared.records > 100 * self.seeds as usize
            && [compared.alerts, compared.cohorts, compared.dead_letters, compared.tombstones].iter().all(|n| *n > 50)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.taken.iter().sum();
        writeln!(f, "{} seeds, {faults} faults, {:?}, {:?}", self.seeds, self.tally, self.compared)?;
        let counts = TABLE.iter().zip(self.taken).map(|(point, count)| format!("{} {count}", point.name));
        write!(f, "{}", counts.collect::<Vec<_>>().join(", "))
    }
}
