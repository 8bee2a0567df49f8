//! Definitions that change between a stop and the next start, and checks of the output after that (contract,
//! section 2).
//!
//! Sums, coverage and counts of a key depend only on the events, the filters and `group-by`. So after the change they
//! must equal those of a backtest of all input with the new definitions. Alerts need not: they end with the old
//! definitions.

use crate::backtest::backtest;
use crate::broker::{Broker, Place};
use crate::dice::Dice;
use crate::documents;
use crate::inputs;
use crate::reached::Reached;
use crate::reference::published;
use crate::scenario::Scenario;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tailburn::model::duration;
use tailburn::model::record::Topic;
use tailburn::model::slo::Slo;
use tailburn::model::time::{Moment, Ms};

/// The change of the first definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No change: all processes just stop and start.
    Nothing,
    Rules,
    Objective,
    Window,
    Label,
    Filter,
    GroupBy,
    Removed,
    Added,
    /// From events to slices of time, from these to their shares, from shares or a value's slices back.
    Method,
    SliceWindow,
    Components,
    Weight,
    Aggregate,
}

impl Change {
    pub const ALL: [Change; 14] = [
        Change::Nothing,
        Change::Rules,
        Change::Objective,
        Change::Window,
        Change::Label,
        Change::Filter,
        Change::GroupBy,
        Change::Removed,
        Change::Added,
        Change::Method,
        Change::SliceWindow,
        Change::Components,
        Change::Weight,
        Change::Aggregate,
    ];

    /// The first of these are changes of any kind of SLO.
    const OF_ALL: usize = 9;

    /// One that the first document can have; every second is one that not every kind of SLO can have.
    pub fn draw(dice: &mut Dice, first: &str) -> Change {
        let fitting = |of: &[Change]| of.iter().copied().filter(|change| change.fits(first)).collect::<Vec<_>>();
        let (of_all, of_kinds) = (fitting(&Change::ALL[..Change::OF_ALL]), fitting(&Change::ALL[Change::OF_ALL..]));
        if of_kinds.is_empty() {
            return dice.pick(&of_all);
        }
        let is_of_kind = dice.one_in(if of_kinds.len() > 1 || kind_of(first) != "events" { 2 } else { 8 });
        dice.pick(if is_of_kind { &of_kinds } else { &of_all })
    }

    fn fits(self, first: &str) -> bool {
        match self {
            Change::Rules => first.contains("alert-rules: '"),
            Change::Filter => first.contains("good: {metricSource"),
            // Attempts are not counted by slices.
            Change::Method => !first.contains("journey: "),
            Change::SliceWindow => first.contains("timeSliceWindow: 1m"),
            Change::Components | Change::Weight => first.contains("compositeWeight"),
            Change::Aggregate => first.contains("aggregate: "),
            _ => true,
        }
    }

    /// The documents after the change.
    pub fn of(self, documents: &[String]) -> Vec<String> {
        let mut all = documents.to_vec();
        let first = all[0].clone();
        let between = |from: &str, to: &str, new: &str| documents::replaced(&first, from, to, new);
        match self {
            Change::Nothing => {}
            Change::Rules => all[0] = between("alert-rules: '", "'", new_rules(&first)),
            Change::Objective => all[0] = between("target: ", "}", "0.85"),
            Change::Window => all[0] = between("duration: ", ",", "30d"),
            Change::Label => {
                all[0] = first.replacen(" annotations:", " labels: {team: payments}\n\x20 annotations:", 1)
            }
            Change::Filter => {
                all[0] = between("good: {metricSource: {type: tailburn, spec: {filter: \"", "\"", "status < 400")
            }
            Change::GroupBy if first.contains("group-by") => {
                all[0] = first.replace("tailburn.dev/group-by: region,", "").replace("'region,tier'", "tier");
            }
            Change::GroupBy => {
                all[0] = first.replacen("annotations: {", "annotations: {tailburn.dev/group-by: tier,", 1)
            }
            Change::Method => all[0] = documents::with_next_method(&first),
            Change::SliceWindow => all[0] = first.replace("timeSliceWindow: 1m", "timeSliceWindow: 5m"),
            Change::Components => all[0] = documents::with_another_component(&first),
            Change::Weight => all[0] = between("compositeWeight: ", ",", "7"),
            Change::Aggregate => {
                let next = if first.contains("aggregate: max") { "mean" } else { "max" };
                all[0] = between("aggregate: ", "}", next);
            }
            Change::Removed if all.len() > 1 => drop(all.remove(0)),
            Change::Removed | Change::Added => all.push(first.replace("name: slo0", "name: slo9")),
        }
        all
    }
}

/// The name of the kind of a document's SLO.
fn kind_of(document: &str) -> &'static str {
    let has = |text: &str| document.contains(text);
    match (has("compositeWeight"), has("aggregate: "), has("timeSliceWindow")) {
        _ if has("journey: ") => "journey",
        (true, _, false) => "composite",
        (true, _, true) => "composite of slices",
        (_, true, false) => "value",
        (_, true, true) => "value of slices",
        (_, _, true) => "slices",
        _ => "events",
    }
}

/// A short window is no shorter than a slice.
fn new_rules(document: &str) -> &'static str {
    match document.contains("timeSliceWindow") {
        true => "15m/5m/2/page,1h/5m/1/ticket,10m/5m/3/info",
        false => "15m/3m/2/page,1h/5m/1/ticket,10m/1m/3/info",
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub statuses: usize,
    pub user_windows: usize,
    pub alerts: usize,
    /// How many of these alerts the change ended.
    pub ended: usize,
    pub tombstones: usize,
    /// What the compared statuses under the new definitions show.
    pub reached: Reached,
    /// How many runs made each change that not every kind of SLO can have.
    pub of_kinds: [usize; 5],
}

impl Checked {
    pub fn add(&mut self, more: &Checked) {
        self.statuses += more.statuses;
        self.user_windows += more.user_windows;
        self.alerts += more.alerts;
        self.ended += more.ended;
        self.tombstones += more.tombstones;
        self.reached.add(&more.reached);
        self.of_kinds.iter_mut().zip(more.of_kinds).for_each(|(sum, one)| *sum += one);
    }

    pub fn has_seen_enough(&self) -> bool {
        let counts = [self.statuses > 10_000, self.user_windows > 10_000, self.ended > 100, self.tombstones > 10];
        counts.iter().all(|is_enough| *is_enough)
            && self.reached.has_seen(20)
            && self.of_kinds.iter().all(|runs| *runs > 0)
    }
}

pub fn check(scenario: &Scenario, broker: &Broker) -> Result<Checked, String> {
    let new = &scenario.becomes.as_ref().ok_or("the definitions do not change")?.slos;
    let mut checked = Checked::default();
    let place = Change::ALL[Change::OF_ALL..].iter().position(|change| Some(*change) == scenario.becomes_what());
    place.into_iter().for_each(|place| checked.of_kinds[place] += 1);
    let met = inputs::judge(scenario, broker).map_or(0, |judged| judged.met);
    let expected = statuses(&published(backtest(scenario, new, broker).map_err(|error| error.to_string())?));
    let kept = new.iter().filter(|slo| goes_on(slo, &scenario.slos)).map(|slo| (slo.name.as_str(), slo));
    let kept: BTreeMap<&str, &Slo> = kept.collect();
    let mut first_ms: BTreeMap<(String, String), Moment> = BTreeMap::new();
    for (key, got) in live(broker, Topic::SloStatus) {
        let Some(got) = got else {
            checked.tombstones += 1;
            continue;
        };
        let Some(slo) = kept.get(text(&got, "slo")).filter(|slo| text(&got, "definition_hash") == slo.definition_hash)
        else {
            continue;
        };
        let regrouped = scenario.slos.iter().any(|old| old.name == slo.name && old.group_by != slo.group_by);
        if regrouped && text(&got, "scope") == "group" {
            continue;
        }
        let at = moment(&got);
        let since = *first_ms.entry((key.clone(), slo.definition_hash.clone())).or_insert(at);
        let old = scenario.slos.iter().find(|old| old.name == slo.name);
        let was_value = old.is_some_and(Slo::is_value);
        let old = old.filter(|old| !begins_units(old, slo)).map(windows_of).unwrap_or_default();
        // A new window is filled from the existing slices. It is exact once it starts after the change.
        let is_exact = |window: &Value| {
            let ms = duration::parse(window["window"].as_str().unwrap_or_default()).expect("a duration");
            old.contains(&ms) || at.0 - since.0 >= ms
        };
        // If a decision depended on the wall clock, a backtest may differ.
        if let Some(expected) = expected.get(&(key, text(&got, "at").to_owned())).filter(|_| met == 0) {
            same_windows(&got, expected, &is_exact).map_err(|why| {
                format!("{why}\nunder the definition since {since}, {} {}", text(&got, "scope"), text(&got, "tenant"))
            })?;
            // Users tasks that were ahead of the change had already counted users below the old objective.
            let leaves_out: &[&str] = match scenario.becomes_what() {
                Some(Change::Objective) => &["below_objective", "below_share"],
                _ => &[],
            };
            same_figures(&got, expected, &figures(slo, &old, at.0 - since.0), &mut checked)?;
            // No users are kept of an SLO about a value.
            if !was_value {
                same_users(&got, expected, leaves_out, &mut checked)?;
            }
            checked.reached.see(&got);
        }
    }
    check_alerts(scenario, new, broker, &mut checked)?;
    check_tombstones(scenario, new, broker)?;
    Ok(checked)
}

/// Whether an SLO keeps its counts, because it had the same filters before.
fn goes_on(slo: &Slo, before: &[Slo]) -> bool {
    before.iter().any(|old| old.name == slo.name && old.filters_hash == slo.filters_hash)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// All published records of a topic, with their keys; `None` is a tombstone.
fn live(broker: &Broker, topic: Topic) -> Vec<(String, Option<Value>)> {
    let mut all = Vec::new();
    for place in broker.places().filter(|place| matches!(place, Place::Output(of, _) if *of == topic)) {
        for (_, record) in broker.partition(place).ever() {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let value = record.value.as_deref().map(|value| serde_json::from_slice(value).expect("JSON"));
            all.push((key, value));
        }
    }
    all
}

/// The statuses of a backtest by key and T.
fn statuses(published: &crate::reference::Published) -> BTreeMap<(String, String), Value> {
    let of_status = published.iter().filter(|(place, _)| matches!(place, Place::Output(Topic::SloStatus, _)));
    let values = of_status.flat_map(|(_, records)| records).filter_map(|record| {
        let key = String::from_utf8_lossy(record.key.as_deref()?).into_owned();
        let value: Value = serde_json::from_slice(record.value.as_deref()?).expect("JSON");
        Some(((key, text(&value, "at").to_owned()), value))
    });
    values.collect()
}

fn moment(status: &Value) -> Moment {
    Moment(text(status, "at").parse::<jiff::Timestamp>().expect("a time").as_millisecond())
}

/// The windows in a status of an SLO.
fn windows_of(slo: &Slo) -> BTreeSet<Ms> {
    let usual = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"].map(|text| duration::parse(text).expect("a duration"));
    let of_rules = slo.rules.iter().flat_map(|rule| [rule.long_ms, rule.evidence_ms()]);
    usual.into_iter().chain(of_rules).chain([slo.period.nominal_ms()]).collect()
}

fn same_windows(got: &Value, expected: &Value, is_exact: &dyn Fn(&Value) -> bool) -> Result<(), String> {
    let empty = Vec::new();
    let all = |status: &Value| status["windows"].as_array().unwrap_or(&empty).clone();
    if all(got).len() != all(expected).len() {
        return Err(format!("{} has other windows at {}", text(got, "slo"), text(got, "at")));
    }
    for (got_window, expected) in all(got).iter().zip(&all(expected)).filter(|(window, _)| is_exact(window)) {
        if got_window != expected {
            let (slo, at) = (text(got, "slo"), text(got, "at"));
            return Err(format!("{slo} at {at}: {got_window} instead of {expected}"));
        }
    }
    Ok(())
}

/// The fields that must be the same. What is over a compliance window that the old definition had not filled is left out:
/// failures and values are kept for that window only.
fn figures(slo: &Slo, old: &BTreeSet<Ms>, age_ms: Ms) -> Vec<&'static str> {
    let mut fields = vec!["counts", "objective", "flags", "maintenance"];
    let period_ms = slo.period.nominal_ms();
    if !old.is_empty() || age_ms >= period_ms {
        fields.extend(["budget", "budget_remaining", "budget_spent_of_period", "components", "journey"]);
    }
    if old.contains(&period_ms) || age_ms >= period_ms {
        fields.extend(["gauge", "failures"]);
    }
    fields
}

/// Whether the new definition counts something that the old one kept in longer slices, or not at all.
fn begins_units(old: &Slo, new: &Slo) -> bool {
    let slice_ms = |slo: &Slo| slo.method.slicing().map(|slicing| slicing.slice_ms);
    slice_ms(old) != slice_ms(new) && (old.is_value() || !new.components().is_empty() && slice_ms(new).is_none())
}

fn same_figures(got: &Value, expected: &Value, fields: &[&str], checked: &mut Checked) -> Result<(), String> {
    for field in fields {
        if got[field] != expected[field] {
            return Err(format!(
                "{field} of {} at {}: {} instead of {}",
                text(got, "slo"),
                text(got, "at"),
                got[field],
                expected[field]
            ));
        }
    }
    checked.statuses += 1;
    Ok(())
}

fn same_users(got: &Value, expected: &Value, leaves_out: &[&str], checked: &mut Checked) -> Result<(), String> {
    let empty = Vec::new();
    for users in got["users"].as_array().unwrap_or(&empty) {
        let same_step = |other: &&Value| other["window"] == users["window"] && other["at"] == users["at"];
        let other = expected["users"].as_array().unwrap_or(&empty).iter().find(same_step);
        let bare = |users: &Value| {
            let mut users = users.clone();
            leaves_out.iter().for_each(|name| users[*name] = Value::Null);
            users
        };
        if other.is_some_and(|other| bare(other) != bare(users)) {
            return Err(format!("users of {} at {}: {users} instead of {other:?}", text(got, "slo"), text(got, "at")));
        }
        checked.user_windows += usize::from(other.is_some());
    }
    Ok(())
}

/// Checks that alerts are numbered without gaps and end once, and that alerts of a removed definition have ended.
fn check_alerts(scenario: &Scenario, new: &[Slo], broker: &Broker, checked: &mut Checked) -> Result<(), String> {
    let hashes: BTreeSet<&str> = new.iter().map(|slo| slo.definition_hash.as_str()).collect();
    let mut open: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for (_, alert) in live(broker, Topic::BurnAlerts) {
        let alert = alert.ok_or("an alert without a value")?;
        let (id, seq) = (text(&alert, "id").to_owned(), alert["seq"].as_u64().unwrap_or_default());
        let before = open.get(&id).map_or(0, |(seq, _)| *seq);
        if seq != before + 1 || ended.contains(&id) {
            return Err(format!("alert {id}: number {seq} behind {before}"));
        }
        checked.alerts += 1;
        if text(&alert, "state") == "resolved" {
            let by_change = ["definition_changed", "removed"].contains(&text(&alert, "resolved_reason"));
            checked.ended += usize::from(by_change);
            open.remove(&id);
            ended.insert(id);
        } else {
            open.insert(id, (seq, text(&alert, "definition_hash").to_owned()));
        }
    }
    match open.iter().find(|(_, (_, hash))| !hashes.contains(hash.as_str())) {
        Some((id, _)) => Err(format!("alert {id} of a removed definition never ended: {:?}", scenario.becomes_what())),
        None => Ok(()),
    }
}

/// Checks that the last record of each key of a removed SLO is a tombstone.
fn check_tombstones(scenario: &Scenario, new: &[Slo], broker: &Broker) -> Result<(), String> {
    let is_gone = |slo: &&Slo| new.iter().all(|other| other.name != slo.name);
    let gone: Vec<String> = scenario.slos.iter().filter(is_gone).map(|slo| format!("{}|", slo.name)).collect();
    let latest: BTreeMap<String, bool> =
        live(broker, Topic::SloStatus).into_iter().map(|(key, value)| (key, value.is_some())).collect();
    let left = latest.iter().find(|(key, is_there)| **is_there && gone.iter().any(|slo| key.starts_with(slo)));
    left.map_or(Ok(()), |(key, _)| Err(format!("{key} has no tombstone, although its SLO was removed")))
}
