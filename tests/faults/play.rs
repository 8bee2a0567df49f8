//! One scenario from start to verdict: sends traffic, injects faults, waits for all output, and compares it.

use crate::autopsy::{Witness, findings};
use crate::broker::Broker;
use crate::compare::Verdict;
use crate::dice::Dice;
use crate::feeder::{Pace, Release, feed};
use crate::fleet::{End, Instance};
use crate::options::Options;
use crate::scenarios::{Needs, Scenario};
use crate::stage::{Settings, Stage};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the remaining output may take after all traffic is sent and the faults are over.
const TOLD_WITHIN: Duration = Duration::from_secs(120);
/// The number of SIGTERM.
pub const TERM: i32 = 15;

/// The result of a scenario.
pub struct Outcome {
    pub name: &'static str,
    pub row: &'static str,
    pub injected: BTreeMap<String, u64>,
    pub verdict: Verdict,
    /// Mistakes besides wrong records.
    pub complaints: Vec<String>,
    /// Notes: what could not be tried, and the like.
    pub notes: Vec<String>,
    pub seconds: u64,
    /// Why it was skipped.
    pub skipped: Option<String>,
}

impl Outcome {
    pub fn is_well(&self) -> bool {
        self.skipped.is_some() || (self.verdict.is_same() && self.complaints.is_empty())
    }

    /// A planned fault never happened: a place was not passed, a topic is missing.
    pub fn is_in_part(&self) -> bool {
        self.notes.iter().any(|note| note.starts_with("NOT "))
    }
}

pub struct Play<'a> {
    pub options: &'a Options,
    pub stage: &'a Stage,
    pub settings: Settings,
    pub pace: &'a Pace,
    pub dice: Dice,
    pub fleet: Vec<Instance>,
    pub injected: BTreeMap<String, u64>,
    pub notes: Vec<String>,
    pub complaints: Vec<String>,
    /// Instances may end by themselves if they work after a restart.
    pub may_exit: bool,
    /// They may also refuse to continue until a person starts them again.
    pub may_refuse: bool,
    began: Instant,
    name: &'static str,
}

pub fn play(scenario: &'static Scenario, options: &Options, broker: &Arc<Broker>) -> Outcome {
    let began = Instant::now();
    let name = scenario.name;
    if let Err(why) = (scenario.can_be_played)() {
        return skipped(scenario, why);
    }
    let broker = match scenario.needs {
        Needs::AnyBroker => Arc::clone(broker),
        Needs::BrokerApart => match Broker::start_apart() {
            Some(broker) => Arc::new(broker),
            None => return skipped(scenario, "no broker of its own could be started".to_owned()),
        },
    };
    let hours = (scenario.hours)(options);
    let stage = Stage::set(broker, name, scenario.settings, scenario.traffic, options.seed, hours);
    say(name, began, &format!("{} records in; expected {}", stage.traffic.records(), stage.expected_counts()));
    let pace = Pace::new((scenario.pace)(options));
    let fleet = (0..options.instances).map(|n| Instance::new(&stage, name, &format!("i{n}"))).collect();
    let mut play = Play {
        options,
        stage: &stage,
        settings: scenario.settings,
        pace: &pace,
        dice: Dice::of(options.seed, name),
        fleet,
        injected: BTreeMap::new(),
        notes: Vec::new(),
        complaints: Vec::new(),
        may_exit: false,
        may_refuse: false,
        began,
        name,
    };
    let (verdict, findings) = play.witnessed(scenario);
    let outcome = Outcome {
        name,
        row: scenario.row,
        injected: std::mem::take(&mut play.injected),
        verdict,
        complaints: std::mem::take(&mut play.complaints),
        notes: std::mem::take(&mut play.notes),
        seconds: began.elapsed().as_secs(),
        skipped: None,
    };
    if !outcome.is_well() {
        keep(&play.fleet, name, &findings);
    }
    outcome
}

fn keeps() -> Option<PathBuf> {
    std::env::var_os("TAILBURN_FAULTS_KEEP").map(PathBuf::from)
}

/// For analysis: the logs of the instances, and the autopsy's result.
fn keep(fleet: &[Instance], name: &str, findings: &[String]) {
    let Some(dir) = keeps() else { return };
    let logs = fleet.iter().map(|instance| (format!("{name}-{}.log", instance.name), instance.log()));
    for (file, text) in logs.chain([(format!("{name}-findings.txt"), findings.join("\n"))]) {
        let path = dir.join(file);
        match std::fs::write(&path, text) {
            Ok(()) => eprintln!("[{name}] kept: {}", path.display()),
            Err(e) => eprintln!("[{name}] {}: {e}", path.display()),
        }
    }
}

/// The same, but a panic of the harness ends only this scenario.
pub fn play_or_complain(scenario: &'static Scenario, options: &Options, broker: &Arc<Broker>) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| play(scenario, options, broker)));
    played.unwrap_or_else(|_| Outcome {
        complaints: vec!["the scenario could not be played to its end: see the panic above".to_owned()],
        ..unplayed(scenario)
    })
}

fn skipped(scenario: &Scenario, why: String) -> Outcome {
    Outcome { skipped: Some(why), ..unplayed(scenario) }
}

fn unplayed(scenario: &Scenario) -> Outcome {
    Outcome {
        name: scenario.name,
        row: scenario.row,
        injected: BTreeMap::new(),
        verdict: Verdict::default(),
        complaints: Vec::new(),
        notes: Vec::new(),
        seconds: 0,
        skipped: None,
    }
}

fn say(name: &str, began: Instant, what: &str) {
    eprintln!("[{name} {:>4} s] {what}", began.elapsed().as_secs());
}

impl Play<'_> {
    /// The same, with recording of internal topics if an autopsy is wanted.
    fn witnessed(&mut self, scenario: &Scenario) -> (Verdict, Vec<String>) {
        if keeps().is_none() {
            return (self.through(scenario), Vec::new());
        }
        let (stage, name, witness) = (self.stage, self.name, Witness::new());
        let (verdict, heard) = std::thread::scope(|scope| {
            let reading = scope.spawn(|| witness.read(stage));
            let verdict = catch_unwind(AssertUnwindSafe(|| self.through(scenario)));
            witness.stop();
            let heard = reading.join().expect("the witness reads");
            (verdict.unwrap_or_else(|panic| resume_unwind(panic)), heard)
        });
        let findings = if verdict.is_same() { Vec::new() } else { findings(stage, name, &heard) };
        findings.iter().for_each(|finding| self.say(finding));
        (verdict, findings)
    }

    fn through(&mut self, scenario: &Scenario) -> Verdict {
        let (stage, pace) = (self.stage, self.pace);
        std::thread::scope(|scope| {
            // The traffic always ends with this, because the scope waits for it.
            let _release = Release(pace);
            let feeder = scope.spawn(move || feed(stage, pace));
            if scenario.starts_all {
                self.fleet.iter_mut().for_each(Instance::start);
            }
            (scenario.strike)(self);
            pace.end_in(Duration::ZERO);
            self.say("the faults are over; the rest of the traffic is sent");
            self.await_fed(&feeder);
        });
        self.check_input();
        self.until_told();
        self.stop_all();
        let verdict = self.stage.verdict(self.name);
        self.say(&verdict.to_string());
        verdict
    }

    fn await_fed(&mut self, feeder: &std::thread::ScopedJoinHandle<'_, ()>) {
        while !feeder.is_finished() {
            self.wait(Duration::from_millis(200));
        }
    }

    pub fn say(&self, what: &str) {
        say(self.name, self.began, what);
    }

    pub fn count(&mut self, what: &str) -> u64 {
        let count = self.injected.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    pub fn complain(&mut self, what: String) {
        self.say(&format!("NOT WELL: {what}"));
        self.complaints.push(what);
    }

    pub fn note(&mut self, what: String) {
        self.say(&what);
        self.notes.push(what);
    }

    /// Waits, and restarts instances that end unexpectedly, like a service manager.
    pub fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.look_after();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    pub fn look_after(&mut self) {
        (0..self.fleet.len()).for_each(|n| self.look_after_one(n));
    }

    pub fn look_after_one(&mut self, n: usize) {
        if let Some(end) = self.fleet[n].ended() {
            self.unasked(n, &end);
            // Service managers wait before a restart.
            std::thread::sleep(Duration::from_millis(500));
            self.fleet[n].start();
        }
    }

    /// An instance ended unexpectedly.
    pub fn unasked(&mut self, n: usize, end: &End) {
        if let End::AtPlace(place) = end {
            let place = place.split(':').next().unwrap_or_default().to_owned();
            self.count(&format!("killed at {place}"));
            return;
        }
        let what = format!("{} ended by itself: {end:?}\n      {}", self.fleet[n].name, self.fleet[n].last_words());
        self.count(&format!("ended by itself ({end:?})"));
        let is_known = self.complaints.iter().any(|known| known.contains(&format!("by itself: {end:?}")));
        // With this code a service manager does not start it again (ops/systemd).
        let may_exit = if *end == End::Code(78) { self.may_refuse } else { self.may_exit };
        if may_exit || is_known { self.say(&what) } else { self.complain(what) }
    }

    /// Kills a random instance, and starts it again after a while.
    pub fn kill_one(&mut self, n: usize, pause: Duration) {
        self.fleet[n].kill();
        self.count("SIGKILL");
        self.wait(pause);
        self.fleet[n].start();
    }

    /// Waits until the fleet has published something new (or everything); `false`: it did not within this time.
    pub fn until_it_works(&mut self, within: Duration) -> bool {
        let (deadline, mut reader) = (Instant::now() + within, self.stage.reader(self.name));
        while !reader.has_topics() {
            if Instant::now() > deadline {
                return false;
            }
            self.wait(Duration::from_millis(200));
            reader = self.stage.reader(self.name);
        }
        // Skips existing records, because only new ones show that an instance works.
        reader.read_to_the_ends(within);
        let before = reader.records.len();
        while reader.records.len() <= before && !self.stage.is_told(&reader) {
            if Instant::now() > deadline {
                return false;
            }
            reader.read(Duration::from_millis(100));
            self.look_after();
        }
        true
    }

    /// Offsets must be equal to line numbers, or nothing can be compared.
    fn check_input(&mut self) {
        let lines: Vec<i64> = self.stage.traffic.lines.iter().map(|lines| lines.len() as i64).collect();
        let ends = self.stage.outsider.ends(&self.stage.input());
        if ends != lines {
            self.complain(format!("the input was not sent as planned: it ends at {ends:?}, not at {lines:?}"));
        } else if let Some(why) = self.stage.input_differs() {
            self.complain(format!("the input was not sent as planned: {why}"));
        }
    }

    fn until_told(&mut self) {
        let deadline = Instant::now() + TOLD_WITHIN;
        for instance in &mut self.fleet {
            if !instance.is_running() {
                instance.start();
            }
        }
        let mut reader = self.stage.reader(self.name);
        while !self.stage.is_told(&reader) {
            if Instant::now() > deadline {
                let words: Vec<String> = self.fleet.iter().map(Instance::last_words).collect();
                let within = TOLD_WITHIN.as_secs();
                self.complain(format!("not everything was told within {within} s\n      {}", words.join("\n      ")));
                return;
            }
            reader.read(Duration::from_millis(300));
            self.look_after();
            if !reader.has_topics() {
                reader = self.stage.reader(self.name);
            }
        }
    }

    fn stop_all(&mut self) {
        for n in 0..self.fleet.len() {
            self.stop(n);
        }
    }

    /// Stops an instance, which must exit with success.
    pub fn stop(&mut self, n: usize) {
        if !self.fleet[n].is_running() {
            return;
        }
        match self.fleet[n].stop() {
            // A process that has just started does not handle signals yet.
            Ok(End::Code(0) | End::Signal(TERM)) => {}
            Ok(end) => self.unasked(n, &end),
            Err(why) => self.complain(format!("{why}\n      {}", self.fleet[n].last_words())),
        }
    }

    /// Ends after this time, unless the faults ended before.
    pub fn deadline(&self, or: Duration) -> Instant {
        Instant::now() + self.options.lasting(or)
    }
}
