//! The whole flow: files to visible events, then every boundary in order, and every key at each boundary.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::alerts::{Episodes, RuleState, step_episodes, step_rules, stop_rules};
use crate::attempts::{Attempts, Open, Origin};
use crate::budget::{self, Budget};
use crate::canary::{Seen, verdicts};
use crate::dispersion::{Trailing, dispersion};
use crate::failures::{Failures, Pair, pair_of};
use crate::gauge::Readings;
use crate::input::{self, Format, Outcome};
use crate::latency::{Latencies, Rank};
use crate::parts::{Part, parts_of};
use crate::promises::{self, Agreement, Policy};
use crate::ratio::Ratio;
use crate::slo::{Counting, Severity, Slo, Verdict};
use crate::status;
use crate::time::{Arrival, DAY_MS, PANE_MS, Partition, SECOND_MS, floor_to, print_time, slice_of, window_start};
use crate::units::{Slices, reach};
use crate::users::{TupleIndex, UserIndex, Users, Worst};
use crate::windows::{Axis, History, Sums};

pub const OUT_OF_ORDERNESS_MS: i64 = 5 * SECOND_MS;

/// The output of a backtest, as far as the oracle models it; each list in the order of its file.
#[derive(Default)]
pub struct Outputs<R = Value> {
    pub statuses: Vec<R>,
    pub alerts: Vec<R>,
    pub user_statuses: Vec<R>,
    pub canaries: Vec<R>,
    pub dead_letters: Vec<R>,
}

/// One event of one SLO: good, bad or unclassified.
pub struct Event {
    pub visible_ms: i64,
    pub time_ms: i64,
    pub late: bool,
    pub verdict: Verdict,
    /// Of the components.
    pub parts: Vec<Verdict>,
    pub weight_micros: i64,
    pub user: Option<UserIndex>,
    pub tuple: TupleIndex,
    pub latency: Option<Rank>,
    /// Of a gauge.
    pub value: Option<f64>,
    pub tenant: u32,
    pub group: Option<u32>,
    /// Of a journey.
    pub step: usize,
    /// Of dependency and type of error.
    pub pair: Pair,
}

/// The complete state of one key.
pub struct Key {
    pub name: String,
    pub scope: &'static str,
    pub tenant: Option<String>,
    pub group: BTreeMap<String, String>,
    pub objective: Ratio,
    /// 1 - objective.
    pub allowed: Ratio,
    pub cap: Severity,
    pub history: History,
    /// Where it counts slices of time.
    pub slices: Option<Slices>,
    /// Of a composite.
    pub parts: Vec<Part>,
    pub counting: Counting,
    /// Of a gauge.
    pub readings: Readings,
    /// Of a journey.
    pub attempts: Option<Attempts>,
    pub latencies: RefCell<Latencies>,
    pub users: Users,
    /// Panes of its first and last event, if any.
    pub first_ms: Option<i64>,
    pub last_ms: Option<i64>,
    pub since_ms: i64,
    pub accepted: i64,
    pub unclassified: i64,
    pub late: i64,
    pub maintenance: i64,
    pub failures: Failures,
    pub rules: Vec<RuleState>,
    pub budget: Budget,
    pub episodes: Episodes,
    pub user_entries: BTreeMap<i64, Value>,
    /// By user window.
    pub trailing: BTreeMap<i64, Trailing>,
    pub agreement: Agreement,
    pub policy: Option<Policy>,
    /// Its state at the previous boundary; none at the first.
    pub state: Option<&'static str>,
    /// Whether an event became visible since the last status.
    pub news: bool,
}

pub fn replay(slos: &[Slo], inputs: &[PathBuf], format: Format) -> Outputs {
    replay_with(slos, inputs, format, OUT_OF_ORDERNESS_MS)
}

pub fn replay_with(slos: &[Slo], inputs: &[PathBuf], format: Format, out_of_orderness_ms: i64) -> Outputs {
    let lines = replay_lines(slos, inputs, format, out_of_orderness_ms);
    let parse = |lines: Vec<String>| lines.iter().map(|l| parse_line(l)).collect();
    Outputs {
        statuses: parse(lines.statuses),
        alerts: parse(lines.alerts),
        user_statuses: parse(lines.user_statuses),
        canaries: parse(lines.canaries),
        dead_letters: parse(lines.dead_letters),
    }
}

pub fn parse_line(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// The same as JSON lines, which need a fifth of the memory: a week's statuses do not fit as values.
pub fn replay_lines(slos: &[Slo], inputs: &[PathBuf], format: Format, out_of_orderness_ms: i64) -> Outputs<String> {
    let (arrived, dead_letters) = read(slos, inputs, format, out_of_orderness_ms);
    let dead_letters = dead_letters.iter().map(Value::to_string).collect();
    let mut outputs = Outputs { dead_letters, ..Outputs::default() };
    let mut records = Vec::new();
    // An event that every SLO drops does not count at all; one that all exclude only moves T.
    let lateness_ms = slos.iter().map(|slo| slo.allowed_lateness_ms).max().unwrap_or(0);
    let accepted = || arrived.iter().filter(|a| a.arrival.behind_ms <= lateness_ms);
    let Some(begin_ms) = accepted().map(|a| a.arrival.visible_ms).min() else { return outputs };
    let largest_ms = accepted().map(|a| a.time_ms).max().unwrap_or_default();
    let end_ms = floor_to(largest_ms, PANE_MS) + PANE_MS;
    let smallest_ms = arrived.iter().map(|a| a.time_ms).min().unwrap_or(end_ms);
    for number in 0..slos.len() {
        let axis = Axis::new(smallest_ms, end_ms);
        Run::new(slos, number, &arrived, axis).to(begin_ms, end_ms, &mut records);
    }
    records.sort_by(|a: &Published, b| a.order().cmp(&b.order()));
    for published in records {
        let list = match published.kind {
            Output::Status => &mut outputs.statuses,
            Output::Alert(_) => &mut outputs.alerts,
            Output::User => &mut outputs.user_statuses,
            Output::Canary => &mut outputs.canaries,
        };
        list.push(published.record);
    }
    outputs
}

pub struct Published {
    at_ms: i64,
    key: String,
    kind: Output,
    record: String,
}

/// In the order of a key's records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    Status,
    Alert(std::cmp::Reverse<Severity>),
    User,
    Canary,
}

impl Published {
    fn new(at_ms: i64, key: &str, kind: Output, record: &Value) -> Self {
        Self { at_ms, key: key.to_owned(), kind, record: record.to_string() }
    }

    fn order(&self) -> (i64, &str, Output) {
        (self.at_ms, &self.key, self.kind)
    }
}

/// Attributes by name.
type Tuple = BTreeMap<String, String>;

struct OfSlo {
    verdict: Verdict,
    /// Of the components of a composite.
    parts: Vec<Verdict>,
    value: Option<f64>,
    /// Of a journey.
    step: usize,
    group: Vec<String>,
}

/// One accepted outcome, with each SLO's verdict and group.
struct Arrived {
    tenant: String,
    user: Option<String>,
    time_ms: i64,
    weight_micros: i64,
    latency_ms: Option<f64>,
    attributes: Tuple,
    pair: Pair,
    arrival: Arrival,
    of_slos: Vec<OfSlo>,
}

impl Arrived {
    fn new(outcome: Outcome, arrival: Arrival, slos: &[Slo]) -> Self {
        let of_slo = |slo: &Slo| {
            let parts: Vec<Verdict> = slo.parts.iter().map(|(part, _)| part.verdict(&outcome.fields)).collect();
            let verdict = match () {
                () if slo.maintenance.iter().any(|entry| entry.excludes(&outcome)) => Verdict::Maintenance,
                () if parts.is_empty() => slo.verdict(&outcome.fields),
                () => Verdict::of_all(&parts),
            };
            let (value, group) = (slo.gauge().and_then(|_| slo.value(&outcome.fields)), group_of(slo, &outcome));
            let step = slo.journey.as_ref().and_then(|journey| journey.step(&outcome.fields).ok()?).unwrap_or(0);
            OfSlo { verdict, parts, value, step, group }
        };
        let of_slos = slos.iter().map(of_slo).collect();
        let pair = pair_of(&outcome);
        let latency_ms = outcome.fields.get("latency_ms").and_then(Value::as_f64);
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        let attributes = outcome.fields["attributes"].as_object().into_iter().flatten().filter_map(text).collect();
        let Outcome { tenant, user, time_ms, weight_micros, .. } = outcome;
        Self { tenant, user, time_ms, weight_micros, latency_ms, attributes, pair, arrival, of_slos }
    }

    fn named_user(&self) -> Option<(&str, &str)> {
        self.user.as_deref().map(|user| (self.tenant.as_str(), user))
    }
}

fn group_of(slo: &Slo, outcome: &Outcome) -> Vec<String> {
    let value = |name: &String| {
        let is_field = ["operation", "dependency", "error_type"].contains(&name.as_str());
        let of = if is_field { &outcome.fields } else { outcome.fields["attributes"].as_object()? };
        of.get(name)?.as_str()
    };
    let value = |name: &String| value(name).unwrap_or("-");
    slo.group_by.iter().map(|name| value(name).to_owned()).collect()
}

fn read(slos: &[Slo], inputs: &[PathBuf], format: Format, out_of_orderness_ms: i64) -> (Vec<Arrived>, Vec<Value>) {
    let (mut arrived, mut dead_letters) = (Vec::new(), Vec::new());
    for (number, path) in inputs.iter().enumerate() {
        let topic = path.file_name().unwrap_or_default().to_string_lossy();
        let mut partition = Partition::default();
        for (offset, line) in input::read_lines(path).iter().enumerate().filter(|(_, l)| !input::is_blank(l)) {
            match input::decode(line, format) {
                Ok(outcome) => {
                    let arrival = partition.arrive(outcome.time_ms, out_of_orderness_ms);
                    arrived.push(Arrived::new(outcome, arrival, slos));
                }
                Err(reason) => dead_letters.push(input::dead_letter(&topic, number, offset, line, reason)),
            }
        }
    }
    (arrived, dead_letters)
}

/// One SLO over the whole input.
struct Run<'a> {
    slo: &'a Slo,
    axis: Axis,
    events: Vec<Event>,
    tenants: Vec<String>,
    groups: Vec<Vec<String>>,
    users: Vec<(String, String)>,
    tuples: Vec<Tuple>,
    /// Every latency of a good or bad event, ascending.
    latencies_ms: Vec<f64>,
    /// By scope (0 aggregate, 1 tenant, 2 group) and index.
    keys: BTreeMap<(u8, u32), Key>,
    /// Every key that there was.
    known: BTreeSet<(u8, u32)>,
    open: Open,
    /// Unclassified events that were visible before their key existed: they are in the windows, but not in the counts.
    early: BTreeMap<(u8, u32), Vec<(i64, Sums)>>,
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect::<BTreeSet<_>>().into_iter().collect()
}

fn index_of<T: Ord>(sorted: &[T], value: &T) -> u32 {
    sorted.binary_search(value).map_or(u32::MAX, |i| i as u32)
}

impl<'a> Run<'a> {
    fn new(slos: &'a [Slo], number: usize, arrived: &[Arrived], axis: Axis) -> Self {
        let slo = &slos[number];
        let users = sorted(arrived.iter().filter_map(Arrived::named_user));
        let tenants = sorted(arrived.iter().map(|a| a.tenant.as_str()));
        let groups = sorted(arrived.iter().map(|a| &a.of_slos[number].group));
        let tuples = sorted(arrived.iter().map(|a| &a.attributes));
        let in_time = |event: &Arrived| event.arrival.behind_ms <= slo.allowed_lateness_ms;
        let latencies_ms = distinct(arrived.iter().filter(|a| in_time(a)).filter_map(|a| a.latency_ms));
        let rank = |ms: f64| latencies_ms.partition_point(|other| *other < ms) as Rank;
        let event = |event: &Arrived| {
            let OfSlo { verdict, parts, value, step, group } = &event.of_slos[number];
            let counts = *verdict != Verdict::Excluded && in_time(event);
            counts.then(|| Event {
                visible_ms: event.arrival.visible_ms,
                time_ms: event.time_ms,
                late: event.arrival.late,
                verdict: *verdict,
                parts: parts.clone(),
                weight_micros: event.weight_micros,
                user: event.named_user().map(|user| index_of(&users, &user)),
                tuple: index_of(&tuples, &&event.attributes),
                value: *value,
                step: *step,
                pair: event.pair.clone(),
                latency: event.latency_ms.map(rank),
                tenant: index_of(&tenants, &event.tenant.as_str()),
                group: (!slo.group_by.is_empty()).then(|| index_of(&groups, &group)),
            })
        };
        let mut events: Vec<Event> = arrived.iter().filter_map(event).collect();
        events.sort_by_key(|e| e.visible_ms);
        let tenants = tenants.into_iter().map(str::to_owned).collect();
        let groups = groups.into_iter().cloned().collect();
        let users = users.into_iter().map(|(tenant, user)| (tenant.to_owned(), user.to_owned())).collect();
        let tuples = tuples.into_iter().cloned().collect();
        let (keys, known, open, early) = Default::default();
        Self { slo, axis, events, tenants, groups, users, tuples, latencies_ms, keys, known, open, early }
    }

    fn to(&mut self, begin_ms: i64, end_ms: i64, records: &mut Vec<Published>) {
        let events = std::mem::take(&mut self.events);
        self.write_canaries(&events, end_ms, records);
        let aggregate = self.new_key((0, 0), begin_ms);
        self.keys.insert((0, 0), aggregate);
        let mut at_ms = begin_ms;
        let mut unseen = events.iter().peekable();
        while at_ms <= end_ms {
            // A key exists from this T on, independent of the order within T: its counts begin with everything visible
            // at T.
            let mut visible: Vec<&Event> = Vec::new();
            while let Some(event) = unseen.next_if(|e| e.visible_ms <= at_ms) {
                visible.push(event);
            }
            // Pairs that failed are admitted in the order of their bytes.
            let is_silent = |e: &Event| matches!(e.verdict, Verdict::Unclassified | Verdict::Maintenance);
            visible.sort_by(|a, b| (is_silent(a), &a.pair).cmp(&(is_silent(b), &b.pair)));
            visible.iter().for_each(|event| self.see(event, at_ms));
            visible.retain(|event| event.verdict != Verdict::Maintenance);
            self.step_journey(&visible, at_ms);
            self.evaluate(at_ms, end_ms, records);
            at_ms += PANE_MS;
        }
        assert!(unseen.next().is_none(), "every event is visible by the end of its input");
    }

    fn step_journey(&mut self, visible: &[&Event], at_ms: i64) {
        let Some(journey) = &self.slo.journey else { return };
        let news = self.open.step(journey, visible, at_ms);
        for decided in &news.decided {
            self.of_origin(&decided.origin, |attempts| attempts.see(decided));
        }
        for (origin, time_ms) in &news.strays {
            self.of_origin(origin, |attempts| attempts.stray(*time_ms));
        }
    }

    fn of_origin(&mut self, origin: &Origin, see: impl Fn(&mut Attempts)) {
        let places = [Some((0, 0)), Some((1, origin.tenant)), origin.group.map(|group| (2, group))];
        for place in places.into_iter().flatten() {
            self.keys.get_mut(&place).and_then(|key| key.attempts.as_mut()).into_iter().for_each(&see);
        }
    }

    fn see(&mut self, event: &Event, at_ms: i64) {
        let places = [Some((0, 0)), Some((1, event.tenant)), event.group.map(|g| (2, g))];
        for place in places.into_iter().flatten() {
            if event.verdict == Verdict::Maintenance {
                self.keys.get_mut(&place).into_iter().for_each(|key| key.maintenance += 1);
                continue;
            }
            let unclassified = event.verdict == Verdict::Unclassified;
            if !self.keys.contains_key(&place) {
                if unclassified {
                    self.early.entry(place).or_default().push((event.time_ms, sums_of(event)));
                    continue;
                }
                let key = self.new_key(place, at_ms);
                self.keys.insert(place, key);
            }
            if let Some(key) = self.keys.get_mut(&place) {
                key.see(event);
            }
        }
    }

    fn new_key(&mut self, place: (u8, u32), at_ms: i64) -> Key {
        let slo = self.slo;
        let tenant = (place.0 == 1).then(|| self.tenants[place.1 as usize].clone());
        let mut group = BTreeMap::new();
        if place.0 == 2 {
            group = slo.group_by.iter().cloned().zip(self.groups[place.1 as usize].iter().cloned()).collect();
        }
        let objective = slo.objective_of(tenant.as_deref());
        let parts = parts_of(slo, tenant.as_deref(), self.axis);
        let mut history = History::new(self.axis);
        reach(!self.known.insert(place), "a key that comes back");
        for (time_ms, sums) in self.early.remove(&place).unwrap_or_default() {
            history.add(self.axis.slice(time_ms), &sums);
        }
        Key {
            name: key_name(slo, place.0, tenant.as_deref(), &group),
            scope: ["aggregate", "tenant", "group"][usize::from(place.0)],
            objective,
            allowed: objective.one_minus(),
            cap: if place.0 == 1 { slo.tenant_cap } else { Severity::Page },
            tenant,
            group,
            parts,
            counting: slo.counting.clone(),
            readings: Readings::default(),
            attempts: slo.journey.as_ref().map(|_| Attempts::new(self.axis, self.users.len())),
            slices: slo.slicing.map(|slicing| Slices::new(slicing, &history)),
            history,
            latencies: RefCell::new(Latencies::new(
                slo.windows_ms().len() + usize::from(slo.calendar.is_some()),
                self.latencies_ms.len(),
            )),
            users: Users::new(self.axis, self.users.len()),
            first_ms: None,
            last_ms: None,
            since_ms: at_ms,
            accepted: 0,
            unclassified: 0,
            late: 0,
            maintenance: 0,
            failures: Failures::default(),
            rules: vec![RuleState::default(); slo.rules.len()],
            budget: Budget::new(objective.one_minus(), slo.period_ms, at_ms),
            episodes: Episodes::new(),
            user_entries: BTreeMap::new(),
            trailing: BTreeMap::new(),
            agreement: Agreement::default(),
            policy: None,
            state: None,
            news: false,
        }
    }

    fn evaluate(&mut self, at_ms: i64, end_ms: i64, records: &mut Vec<Published>) {
        let slo = self.slo;
        let is_forgotten = |key: &Key| key.scope != "aggregate" && promises::is_forgotten(slo, key, at_ms);
        for key in self.keys.values_mut().filter(|key| is_forgotten(key)) {
            // An alert of a forgotten key would never end, so it ends here with no data.
            let stopped = stop_rules(key);
            let name = key.name.clone();
            let ended = step_episodes(slo, key, at_ms, &stopped).into_iter();
            let published = |(severity, record)| Published::new(at_ms, &name, alert(severity), &record);
            records.extend(ended.map(published));
        }
        self.keys.retain(|_, key| !is_forgotten(key));
        self.write_users(at_ms, records);
        for key in self.keys.values_mut() {
            key.settle(at_ms);
            key.step_users(slo, at_ms);
            key.budget.step(&key.history, key.first_ms, at_ms);
            let stopped = step_rules(slo, key, at_ms);
            promises::step_policy(slo, key, at_ms);
            let alerts = step_episodes(slo, key, at_ms, &stopped);
            let state = status::state(slo, key, at_ms);
            // A key that begins to exist does not change its state; but an aggregate's first status is due.
            let moved = key.state.replace(state).map_or(key.scope == "aggregate", |before| before != state);
            let name = key.name.clone();
            let published = |kind, record: &Value| Published::new(at_ms, &name, kind, record);
            if moved || !alerts.is_empty() || status::is_due(key, at_ms, end_ms) || promises::is_due(slo, key, at_ms) {
                records.push(published(Output::Status, &status::record(slo, key, at_ms, &self.latencies_ms)));
                key.news = false;
            }
            records.extend(alerts.into_iter().map(|(severity, record)| published(alert(severity), &record)));
        }
    }
}

impl Run<'_> {
    fn write_canaries(&self, events: &[Event], end_ms: i64, records: &mut Vec<Published>) {
        let Some(canary) = &self.slo.canary else { return };
        let seen = |event: &'_ Event| {
            let value = self.tuples[event.tuple as usize].get(&canary.attribute)?;
            let bad = match event.verdict {
                Verdict::Good => false,
                Verdict::Bad => true,
                _ => return None,
            };
            Some(Seen { visible_ms: event.visible_ms, value, bad, user: event.user })
        };
        let seen: Vec<Seen<'_>> = events.iter().filter_map(seen).collect();
        for (at_ms, candidate, record) in verdicts(&self.slo.name, canary, self.slo.objective, &seen, end_ms) {
            let key = format!("{}|*|{}", encode(&self.slo.name), encode(&candidate));
            records.push(Published::new(at_ms, &key, Output::Canary, &record));
        }
    }

    /// The worst-served users of each tenant, at the steps of the 1 d window.
    fn write_users(&self, at_ms: i64, records: &mut Vec<Published>) {
        if at_ms % slice_of(DAY_MS) != 0 || !self.slo.user_windows_ms.contains(&DAY_MS) {
            return;
        }
        let start = self.axis.slice(window_start(at_ms, DAY_MS));
        for key in self.keys.values().filter(|key| key.scope == "tenant") {
            for (rank, worst) in (1..).zip(key.counted().1.worst(start, self.slo.min_user_events, WORST_USERS)) {
                let (tenant, user) = &self.users[worst.user as usize];
                let key = [&self.slo.name, tenant, user].map(|part| encode(part)).join("|");
                let record = self.user_record(at_ms, rank, &worst);
                records.push(Published::new(at_ms, &key, Output::User, &record));
            }
        }
    }

    fn user_record(&self, at_ms: i64, rank: i64, worst: &Worst) -> Value {
        let (tenant, user) = &self.users[worst.user as usize];
        let time = |slice: usize| print_time(self.axis.start_ms(slice));
        json!({
            "slo": self.slo.name, "tenant": tenant, "user": user, "window": "1d", "at": print_time(at_ms),
            "good": worst.good_micros as f64 / 1e6, "bad": worst.bad_micros as f64 / 1e6, "sli": worst.sli,
            "rank": rank, "first_bad": worst.bad.map(|(first, _)| time(first)),
            "last_bad": worst.bad.map(|(_, last)| time(last)), "attributes": self.tuples[worst.tuple as usize],
        })
    }
}

/// How many worst-served users of a tenant are published.
const WORST_USERS: usize = 100;

fn alert(severity: Severity) -> Output {
    Output::Alert(std::cmp::Reverse(severity))
}

fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

impl Key {
    /// Whether there was no event for longer than this, or never one.
    pub fn is_silent(&self, at_ms: i64, for_ms: i64) -> bool {
        self.last_ms.is_none_or(|last_ms| at_ms - last_ms > for_ms)
    }

    fn see(&mut self, event: &Event) {
        let slice = self.history.axis.slice(event.time_ms);
        self.history.add(slice, &sums_of(event));
        self.late += i64::from(event.late);
        for (part, verdict) in self.parts.iter_mut().zip(&event.parts) {
            part.see(*verdict, event.time_ms, event.weight_micros);
        }
        if event.verdict == Verdict::Unclassified {
            self.unclassified += 1;
            return;
        }
        self.accepted += 1;
        if event.verdict == Verdict::Bad {
            self.failures.see(&event.pair, event.time_ms, event.weight_micros);
        }
        self.slices.iter_mut().for_each(|slices| slices.see(event.time_ms));
        self.budget.now.add(budget::Seen { events: 1, bad: i64::from(event.verdict == Verdict::Bad) });
        self.news = true;
        let pane_ms = floor_to(event.time_ms, PANE_MS);
        self.first_ms = Some(self.first_ms.map_or(pane_ms, |ms| ms.min(pane_ms)));
        self.last_ms = self.last_ms.max(Some(pane_ms));
        if let Some(value) = event.value {
            self.readings.see(event.time_ms, value, event.weight_micros);
        }
        self.users.see(slice, event.user, event.verdict == Verdict::Good, event.weight_micros);
        if let Some(user) = event.user {
            self.users.note_tuple(user, event.time_ms, event.tuple);
            let of_attempts = self.attempts.iter_mut();
            of_attempts.for_each(|attempts| attempts.users.note_tuple(user, event.time_ms, event.tuple));
        }
        if let Some(rank) = event.latency {
            self.latencies.get_mut().see(slice, rank, event.weight_micros);
        }
    }

    /// What users and guards are about: events, or attempts.
    pub fn counted(&self) -> (&History, &Users) {
        match &self.attempts {
            Some(attempts) => (&attempts.history, &attempts.users),
            None => (&self.history, &self.users),
        }
    }

    /// The distribution over users, for each window whose slice ends here.
    fn step_users(&mut self, slo: &Slo, at_ms: i64) {
        for window_ms in slo.user_windows_ms.iter().filter(|w| at_ms % slice_of(**w) == 0) {
            let start = self.history.axis.slice(crate::time::window_start(at_ms, *window_ms));
            let mut figures = self.counted().1.distribution(start, slo.min_user_events, self.allowed);
            if *window_ms <= DAY_MS {
                let minutes = self.counted().1.minutes(start, self.history.axis);
                let trailing = self.trailing.entry(*window_ms).or_default();
                figures.insert("dispersion".into(), dispersion(&minutes, at_ms, trailing));
            } else {
                figures.insert("dispersion".into(), Value::Null);
            }
            self.user_entries.insert(*window_ms, crate::users::entry(*window_ms, at_ms, figures));
        }
    }
}

pub fn sums(is_good: bool, weight_micros: i64) -> Sums {
    if is_good {
        Sums { good: 1, good_micros: weight_micros, ..Sums::default() }
    } else {
        Sums { bad: 1, bad_micros: weight_micros, ..Sums::default() }
    }
}

fn sums_of(event: &Event) -> Sums {
    match event.verdict {
        Verdict::Good | Verdict::Bad => sums(event.verdict == Verdict::Good, event.weight_micros),
        Verdict::Unclassified => Sums { unclassified: 1, ..Sums::default() },
        Verdict::Excluded | Verdict::Maintenance => Sums::default(),
    }
}

fn key_name(slo: &Slo, scope: u8, tenant: Option<&str>, group: &BTreeMap<String, String>) -> String {
    let name = encode(&slo.name);
    match (scope, tenant) {
        (1, Some(tenant)) => format!("{name}|tenant|{}", encode(tenant)),
        (2, _) => {
            let value = |attribute: &String| format!("{}={}", encode(attribute), encode(&group[attribute]));
            format!("{name}|group|{}", slo.group_by.iter().map(value).collect::<Vec<_>>().join(","))
        }
        _ => format!("{name}|aggregate"),
    }
}

fn encode(text: &str) -> String {
    text.replace('%', "%25").replace('|', "%7C").replace(',', "%2C").replace('=', "%3D")
}
