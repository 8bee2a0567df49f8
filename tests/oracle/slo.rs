//! SLO documents, as far as the tests need them: ratio and threshold metrics over one rolling window.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::attempts::{Journey, Step};
use crate::calendar::Calendar;
use crate::canary::Canary;
use crate::failures::Maintenance;
use crate::filter::{Absent, Filter};
use crate::ratio::Ratio;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, ceil_to, parse_duration, print_duration, slice_of};
use crate::units::Slicing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Off,
    Info,
    Ticket,
    Page,
}

impl Severity {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "info" => Ok(Self::Info),
            "ticket" => Ok(Self::Ticket),
            "page" => Ok(Self::Page),
            other => Err(format!("{other:?} is no severity")),
        }
    }

    pub fn name(self) -> &'static str {
        ["off", "info", "ticket", "page"][self as usize]
    }
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub long_ms: i64,
    pub short_ms: Option<i64>,
    pub factor: Ratio,
    pub severity: Severity,
    /// The rule `budget`, whose condition is not about burn rates.
    pub is_budget: bool,
    /// The rule `sla`, which has no windows.
    pub is_sla: bool,
}

impl Rule {
    pub fn name(&self) -> String {
        if self.is_sla {
            return "sla".to_owned();
        }
        if self.is_budget {
            return "budget".to_owned();
        }
        match self.short_ms {
            Some(short_ms) => format!("{}/{}", print_duration(self.long_ms), print_duration(short_ms)),
            None => print_duration(self.long_ms),
        }
    }

    /// The window whose evidence decides: the short one, or a twelfth of a single one, rounded up to its slice.
    pub fn evidence_ms(&self) -> i64 {
        let twelfth_ms = (self.long_ms + 11) / 12;
        self.short_ms.unwrap_or_else(|| ceil_to(twelfth_ms, slice_of(twelfth_ms)).max(MINUTE_MS))
    }
}

#[derive(Clone, Debug)]
pub struct Slo {
    pub name: String,
    pub total: Option<Filter>,
    pub verdict: VerdictFilter,
    pub objective: Ratio,
    pub period_ms: i64,
    pub calendar: Option<Calendar>,
    pub sla: Option<Sla>,
    /// `budgetingMethod`, and what it makes of a slice of time.
    pub method: String,
    /// What is counted where it is neither events nor slices.
    pub counting: Counting,
    pub journey: Option<Journey>,
    /// Components with their weights.
    pub parts: Vec<(Slo, f64)>,
    pub slicing: Option<Slicing>,
    /// What to do while the budget that is left is at most so much.
    pub policy: Vec<(Ratio, String)>,
    pub group_by: Vec<String>,
    pub tenant_cap: Severity,
    pub tenant_objectives: BTreeMap<String, Ratio>,
    pub user_windows_ms: Vec<i64>,
    pub rules: Vec<Rule>,
    pub canary: Option<Canary>,
    pub min_events: i64,
    pub low_traffic_guard: bool,
    pub single_user_guard: bool,
    pub resolve_after_ms: Option<i64>,
    pub no_data_after_ms: i64,
    pub min_user_events: i64,
    pub allowed_lateness_ms: i64,
    /// Of the configuration.
    pub maintenance: Vec<Maintenance>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Counting {
    Events,
    /// Attempts of a journey.
    Attempts,
    /// Distinct users: those with a good event are good, or those without a bad one.
    Users {
        by_bad: bool,
    },
    /// One value of a window.
    Gauge(Aggregate),
}

impl Counting {
    /// Whether it has the default rules, and guards about users.
    fn is_usual(&self) -> bool {
        matches!(self, Self::Events | Self::Attempts)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// `last`, `mean`, `min` or `max`.
    pub how: String,
    pub op: &'static str,
    pub target: f64,
    pub baseline: Option<f64>,
}

impl Aggregate {
    pub fn is_met(&self, value: f64) -> bool {
        meets(self.op, value, self.target)
    }
}

fn meets(op: &str, value: f64, threshold: f64) -> bool {
    match op {
        "lt" => value < threshold,
        "lte" => value <= threshold,
        "gt" => value > threshold,
        _ => value >= threshold,
    }
}

#[derive(Clone, Debug)]
pub struct Sla {
    pub objective: Option<Ratio>,
    pub tenants: BTreeMap<String, Ratio>,
    pub calendar: Calendar,
}

#[derive(Clone, Debug)]
pub enum VerdictFilter {
    Good(Filter),
    Bad(Filter),
    Threshold(Filter, &'static str, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Excluded,
    /// Excluded by a maintenance.
    Maintenance,
    Unclassified,
    Good,
    Bad,
}

impl Verdict {
    /// Of a composite's event.
    pub fn of_all(parts: &[Self]) -> Self {
        let of = [Self::Bad, Self::Good, Self::Unclassified].into_iter().find(|verdict| parts.contains(verdict));
        of.unwrap_or(Self::Excluded)
    }
}

impl Slo {
    pub fn verdict(&self, fields: &Map<String, Value>) -> Verdict {
        self.try_verdict(fields).unwrap_or(Verdict::Unclassified)
    }

    fn try_verdict(&self, fields: &Map<String, Value>) -> Result<Verdict, Absent> {
        if let Some(total) = &self.total
            && !total.holds(fields)?
        {
            return Ok(Verdict::Excluded);
        }
        if let Some(journey) = &self.journey {
            if journey.step(fields)?.is_none() {
                return Ok(Verdict::Excluded);
            }
            if !fields.contains_key("user") {
                return Ok(Verdict::Unclassified);
            }
        }
        let good = match &self.verdict {
            VerdictFilter::Good(filter) => filter.holds(fields)?,
            VerdictFilter::Bad(filter) => !filter.holds(fields)?,
            VerdictFilter::Threshold(value, op, threshold) => {
                let value = value.value(fields)?.as_f64().ok_or(Absent)?;
                meets(op, value, *threshold)
            }
        };
        Ok(if good { Verdict::Good } else { Verdict::Bad })
    }

    /// What a threshold metric reads.
    pub fn value(&self, fields: &Map<String, Value>) -> Option<f64> {
        let VerdictFilter::Threshold(value, ..) = &self.verdict else { return None };
        value.value(fields).ok()?.as_f64()
    }

    pub fn gauge(&self) -> Option<&Aggregate> {
        match &self.counting {
            Counting::Gauge(aggregate) => Some(aggregate),
            _ => None,
        }
    }

    pub fn objective_of(&self, tenant: Option<&str>) -> Ratio {
        tenant.and_then(|t| self.tenant_objectives.get(t)).copied().unwrap_or(self.objective)
    }

    pub fn sla_of(&self, tenant: Option<&str>) -> Option<Ratio> {
        let sla = self.sla.as_ref()?;
        tenant.and_then(|t| sla.tenants.get(t)).copied().or(sla.objective)
    }

    /// Whether the guards about users and little traffic are asked.
    pub fn asks_about_users(&self) -> bool {
        self.slicing.is_none() && self.counting.is_usual()
    }

    /// Whether a key has a rule.
    pub fn has_rule(&self, rule: &Rule, scope: &str, tenant: Option<&str>) -> bool {
        !rule.is_sla || scope != "group" && self.sla_of(tenant).is_some()
    }

    pub fn resolve_after_ms(&self, rule: &Rule) -> i64 {
        self.resolve_after_ms.unwrap_or_else(|| rule.evidence_ms().max(15 * MINUTE_MS))
    }

    /// The windows of a status, shortest first.
    pub fn windows_ms(&self) -> Vec<i64> {
        let mut windows = vec![5 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS];
        windows.extend(self.calendar.is_none().then_some(self.period_ms));
        windows.extend(self.rules.iter().filter(|r| !r.is_sla).flat_map(|r| [r.long_ms, r.evidence_ms()]));
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}

/// All SLOs of a file, or of the YAML files of a directory.
pub fn load(path: &Path) -> Result<Vec<Slo>, String> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| e.to_string())?;
        files = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "yaml" || e == "yml"));
        files.sort();
    }
    let mut documents = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        for document in text.split("\n---").filter(|d| !d.trim().is_empty()) {
            let document: Value = serde_saphyr::from_str(document).map_err(|e| format!("{}: {e}", file.display()))?;
            documents.push((file.clone(), document));
        }
    }
    let named = Named::of(documents.iter().map(|(_, document)| document));
    let mut slos = Vec::new();
    for (file, document) in documents.iter().filter(|(_, document)| document["kind"] == "SLO") {
        slos.extend(parse(document, &named).map_err(|e| format!("{}: {e}", file.display()))?);
    }
    Ok(slos)
}

/// Documents that others refer to, by kind and name.
struct Named<'a>(BTreeMap<(&'a str, &'a str), &'a Value>);

impl<'a> Named<'a> {
    fn of(documents: impl Iterator<Item = &'a Value>) -> Self {
        Self(documents.filter_map(|d| Some(((d["kind"].as_str()?, d["metadata"]["name"].as_str()?), d))).collect())
    }

    /// The `spec` of an entry: a name, a map with a reference, or the document itself.
    fn spec(&self, kind: &str, reference: &str, entry: &'a Value) -> Result<&'a Value, String> {
        match entry.as_str().or_else(|| entry[reference].as_str()) {
            Some(name) => self.0.get(&(kind, name)).map(|d| &d["spec"]).ok_or_else(|| format!("no {kind} {name:?}")),
            None => Ok(&entry["spec"]),
        }
    }

    /// Of the objective, else of the document.
    fn indicator(&self, spec: &'a Value, objective: &'a Value) -> Result<&'a Value, String> {
        let of = if objective["indicator"].is_null() && objective["indicatorRef"].is_null() { spec } else { objective };
        match of["indicatorRef"].as_str() {
            Some(_) => self.spec("SLI", "indicatorRef", of),
            None => Ok(&of["indicator"]["spec"]),
        }
    }

    /// An alert policy is a single-window rule.
    fn rule(&self, policy: &'a Value) -> Result<Rule, String> {
        let policy = self.spec("AlertPolicy", "alertPolicyRef", policy)?;
        let spec = self.spec("AlertCondition", "conditionRef", &policy["conditions"][0])?;
        let condition = &spec["condition"];
        Ok(Rule {
            long_ms: parse_duration(condition["lookbackWindow"].as_str().ok_or("lookbackWindow is missing")?)?,
            short_ms: None,
            factor: Ratio::parse(&condition["threshold"].to_string())?,
            severity: Severity::parse(spec["severity"].as_str().unwrap_or_default())?,
            is_budget: false,
            is_sla: false,
        })
    }
}

/// One SLO for each objective of the document.
fn parse<'a>(document: &'a Value, named: &Named<'a>) -> Result<Vec<Slo>, String> {
    let name = document["metadata"]["name"].as_str().ok_or("metadata.name is missing")?;
    let objectives = document["spec"]["objectives"].as_array().ok_or("spec.objectives is missing")?;
    let is_composite = objectives.iter().any(|o| !o["indicator"].is_null() || !o["indicatorRef"].is_null());
    let several = objectives.len() > 1 || is_composite;
    let parse_objective = |objective: &'a Value| {
        let display = objective["displayName"].as_str().unwrap_or_default();
        let name = if several { format!("{name}:{display}") } else { name.to_owned() };
        parse_one(document, objective, name, named, None)
    };
    let mut slos: Vec<Slo> = objectives.iter().map(parse_objective).collect::<Result<_, _>>()?;
    if is_composite {
        let weight = |objective: &Value| objective["compositeWeight"].as_f64().unwrap_or(1.0);
        let parts: Vec<(Slo, f64)> = slos.iter().cloned().zip(objectives.iter().map(weight)).collect();
        slos.push(composite(document, &objectives[0], name, parts, named)?);
    }
    Ok(slos)
}

/// The SLO of all components; its filters are never asked.
fn composite<'a>(
    document: &'a Value,
    first: &'a Value,
    name: &str,
    parts: Vec<(Slo, f64)>,
    named: &Named<'a>,
) -> Result<Slo, String> {
    let sum = |of: &dyn Fn(&(Slo, f64)) -> f64| parts.iter().map(of).sum::<f64>();
    let target = sum(&|(slo, weight)| weight * slo.objective.as_f64()) / sum(&|(_, weight)| *weight);
    let mut slo = parse_one(document, first, name.to_owned(), named, Some(Ratio::of_double(target)?))?;
    slo.rules.retain(|rule| !rule.is_budget);
    slo.parts = parts;
    Ok(slo)
}

fn parse_one<'a>(
    document: &'a Value,
    objective: &'a Value,
    name: String,
    named: &Named<'a>,
    target: Option<Ratio>,
) -> Result<Slo, String> {
    let notes = Annotations(&document["metadata"]["annotations"]);
    let spec = &document["spec"];
    // A gauge may do without one.
    let written = if objective["target"].is_null() { Value::from(1) } else { objective["target"].clone() };
    let target = target.map_or_else(|| Ratio::parse(&written.to_string()), Ok)?;
    let window = &spec["timeWindow"][0];
    let duration = window["duration"].as_str().ok_or("timeWindow is missing")?;
    let calendar = match window["calendar"]["startTime"].as_str() {
        Some(start) => {
            Some(Calendar::of(duration, start, window["calendar"]["timeZone"].as_str().unwrap_or_default())?)
        }
        None => None,
    };
    let period_ms = calendar.as_ref().map_or_else(|| parse_duration(duration), |calendar| Ok(calendar.nominal_ms))?;
    let sla = notes.sla()?;
    if notes.switch("cohorts", true) {
        return Err("the oracle does not know cohorts, which update alerts: set tailburn.dev/cohorts to off".to_owned());
    }
    if notes.text("tail-alerts").as_deref() != Some("off") {
        return Err("the oracle does not know rules about tails: set tailburn.dev/tail-alerts to off".to_owned());
    }
    let method = spec["budgetingMethod"].as_str().ok_or("budgetingMethod is missing")?.to_owned();
    let slicing = slicing(&method, objective, notes.number("timeslice-min-events", 1)?)?;
    let counting = counting(named.indicator(spec, objective)?, objective, notes.text("goal").as_deref())?;
    let is_usual = counting.is_usual() || matches!(counting, Counting::Gauge(_)) && slicing.is_some();
    let longest_ms = calendar.as_ref().map_or(period_ms, |_| 28 * DAY_MS);
    let user_windows_ms =
        if is_usual { user_windows(notes.text("user-windows").as_deref(), longest_ms)? } else { Vec::new() };
    let mut rules: Vec<Rule> = match notes.text("alert-rules") {
        Some(text) => list(&text).map(parse_rule).collect::<Result<_, _>>()?,
        None if spec["alertPolicies"].is_array() => {
            let policies = spec["alertPolicies"].as_array().into_iter().flatten();
            policies.map(|policy| named.rule(policy)).collect::<Result<_, _>>()?
        }
        None if !is_usual => Vec::new(),
        None => default_rules(period_ms, target),
    };
    rules.retain(|rule| slicing.is_none_or(|slicing| rule.evidence_ms() >= slicing.window_ms));
    if notes.switch("budget-rule", true) && slicing.is_none() && counting == Counting::Events {
        rules.push(crate::budget::rule());
    }
    if sla.is_some() {
        let factor = Ratio::new(1, 1);
        rules.push(Rule {
            long_ms: 0,
            short_ms: None,
            factor,
            severity: Severity::Ticket,
            is_budget: false,
            is_sla: true,
        });
    }
    let (total, verdict) = filters(named.indicator(spec, objective)?, objective)?;
    Ok(Slo {
        name,
        total,
        verdict,
        objective: target,
        period_ms,
        sla,
        method,
        slicing,
        counting,
        journey: journey(&named.indicator(spec, objective)?["ratioMetric"]["total"]["metricSource"]["spec"])?,
        parts: Vec::new(),
        policy: notes.policy()?,
        group_by: notes.text("group-by").map(|t| group_by(&t)).unwrap_or_default(),
        tenant_cap: Severity::parse(notes.text("tenant-alerts").as_deref().unwrap_or("info"))?,
        tenant_objectives: tenant_objectives(notes.text("tenant-objectives").as_deref().unwrap_or(""))?,
        user_windows_ms,
        calendar,
        rules,
        canary: notes.canary()?,
        min_events: notes.number("min-events", 0)?,
        low_traffic_guard: notes.switch("low-traffic-guard", true),
        single_user_guard: notes.switch("single-user-guard", true),
        resolve_after_ms: notes.text("resolve-after").map(|t| parse_duration(&t)).transpose()?,
        no_data_after_ms: notes.text("no-data-after").map_or(Ok(HOUR_MS), |t| parse_duration(&t))?,
        min_user_events: notes.number("min-user-events", 5)?,
        allowed_lateness_ms: notes.text("allowed-lateness").map_or(Ok(HOUR_MS), |t| parse_duration(&t))?,
        maintenance: Vec::new(),
    })
}

fn journey(total: &Value) -> Result<Option<Journey>, String> {
    let Some(steps) = total["journey"]["steps"].as_array() else { return Ok(None) };
    let step = |step: &Value| {
        let filter = Filter::parse(step["filter"].as_str().ok_or("a step without a filter")?)?;
        let name = step["name"].as_str().unwrap_or_default().to_owned();
        Ok(Step { name, filter, retries: step["retries"].as_i64().unwrap_or(0) })
    };
    let steps: Vec<Step> = steps.iter().map(step).collect::<Result<_, String>>()?;
    let timeout_ms = parse_duration(total["journey"]["timeout"].as_str().ok_or("a journey without a timeout")?)?;
    Ok(Some(Journey { timeout_ms, steps }))
}

fn counting(indicator: &Value, objective: &Value, goal: Option<&str>) -> Result<Counting, String> {
    let (ratio, threshold) = (&indicator["ratioMetric"], &indicator["thresholdMetric"]["metricSource"]["spec"]);
    if ratio["total"]["metricSource"]["spec"]["count"] == "users" {
        return Ok(Counting::Users { by_bad: ratio["good"].is_null() });
    }
    if !ratio["total"]["metricSource"]["spec"]["journey"].is_null() {
        return Ok(Counting::Attempts);
    }
    let Some(how) = threshold["aggregate"].as_str() else { return Ok(Counting::Events) };
    let op = ["lt", "lte", "gt", "gte"].into_iter().find(|op| objective["op"] == **op).ok_or("no op")?;
    let baseline = goal.and_then(|goal| goal.trim().strip_prefix("baseline=")).map(str::parse).transpose();
    let (baseline, target) = (baseline.map_err(|e| format!("goal: {e}"))?, objective["value"].as_f64());
    Ok(Counting::Gauge(Aggregate { how: how.to_owned(), op, target: target.ok_or("no value")?, baseline }))
}

fn slicing(method: &str, objective: &Value, min_events: i64) -> Result<Option<Slicing>, String> {
    let window_ms = || parse_duration(objective["timeSliceWindow"].as_str().ok_or("timeSliceWindow is missing")?);
    let target = match method {
        // A gauge has none: its value says what a slice is.
        "Timeslices" if objective["timeSliceTarget"].is_null() => Some(Ratio::new(1, 1)),
        "Timeslices" => Some(Ratio::parse(&objective["timeSliceTarget"].to_string())?),
        "RatioTimeslices" => None,
        _ => return Ok(None),
    };
    Ok(Some(Slicing { window_ms: window_ms()?, target, min_events }))
}

struct Annotations<'a>(&'a Value);

impl Annotations<'_> {
    fn text(&self, key: &str) -> Option<String> {
        match self.0.get(format!("tailburn.dev/{key}"))? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    fn canary(&self) -> Result<Option<Canary>, String> {
        let Some(text) = self.text("canary") else { return Ok(None) };
        let max_burn = self.text("canary-max-burn").map(|burn| Ratio::parse(&burn)).transpose()?;
        let Some((attribute, values)) = text.split_once('=') else {
            return Ok(Some(Canary { attribute: text, tracks: None, max_burn }));
        };
        let (candidate, baseline) = values.split_once('/').ok_or("a canary has two values")?;
        let tracks = Some((candidate.to_owned(), baseline.to_owned()));
        Ok(Some(Canary { attribute: attribute.to_owned(), tracks, max_burn }))
    }

    /// `0.995`, or `0.995 per 1M in Europe/Berlin`; months in UTC where nothing is said.
    fn sla(&self) -> Result<Option<Sla>, String> {
        let tenants = tenant_objectives(self.text("tenant-slas").as_deref().unwrap_or(""))?;
        let text = self.text("sla");
        if text.is_none() && tenants.is_empty() {
            return Ok(None);
        }
        let text = text.unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let name = words.get(2).copied().unwrap_or("1M");
        let start = if name.ends_with('w') { "2000-01-03 00:00:00" } else { "2000-01-01 00:00:00" };
        let calendar = Calendar::of(name, start, words.get(4).copied().unwrap_or("UTC"))?;
        let objective = words.first().map(|text| Ratio::parse(text)).transpose()?;
        Ok(Some(Sla { objective, tenants, calendar }))
    }

    fn policy(&self) -> Result<Vec<(Ratio, String)>, String> {
        let text = self.text("policy").unwrap_or_default();
        let step = |item: &str| {
            let (left, action) = item.split_once('=').ok_or_else(|| format!("{item:?} is no step"))?;
            Ok((Ratio::parse(left)?, action.to_owned()))
        };
        list(&text).map(step).collect()
    }

    fn switch(&self, key: &str, default: bool) -> bool {
        self.text(key).map_or(default, |t| t == "on" || t == "true")
    }

    fn number(&self, key: &str, default: i64) -> Result<i64, String> {
        self.text(key).map_or(Ok(default), |t| t.parse().map_err(|e| format!("{key}: {e}")))
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|t| !t.is_empty())
}

/// Attributes and fields, sorted by name.
fn group_by(text: &str) -> Vec<String> {
    let mut names: Vec<String> = list(text).map(str::to_owned).collect();
    names.sort();
    names
}

fn filters(indicator: &Value, objective: &Value) -> Result<(Option<Filter>, VerdictFilter), String> {
    let filter =
        |source: &Value, name: &str| source["metricSource"]["spec"][name].as_str().map(Filter::parse).transpose();
    let threshold = &indicator["thresholdMetric"];
    if !threshold.is_null() {
        let value = filter(threshold, "value")?.ok_or("thresholdMetric without a value")?;
        let limit = objective["value"].as_f64().ok_or("an objective without a value")?;
        let op = ["lt", "lte", "gt", "gte"].into_iter().find(|o| objective["op"] == **o).ok_or("no op")?;
        return Ok((filter(threshold, "filter")?, VerdictFilter::Threshold(value, op, limit)));
    }
    let ratio = &indicator["ratioMetric"];
    let verdict = match (filter(&ratio["good"], "filter")?, filter(&ratio["bad"], "filter")?) {
        (Some(good), None) => VerdictFilter::Good(good),
        (None, Some(bad)) => VerdictFilter::Bad(bad),
        _ => return Err("either good or bad is wanted".to_owned()),
    };
    Ok((filter(&ratio["total"], "filter")?, verdict))
}

fn tenant_objectives(text: &str) -> Result<BTreeMap<String, Ratio>, String> {
    let entry = |item: &str| {
        let (tenant, target) = item.split_once('=').ok_or_else(|| format!("{item:?} is no objective"))?;
        Ok((tenant.trim().to_owned(), Ratio::parse(target)?))
    };
    list(text).map(entry).collect()
}

fn user_windows(text: Option<&str>, period_ms: i64) -> Result<Vec<i64>, String> {
    let mut windows = match text {
        Some(text) => list(text).map(parse_duration).collect::<Result<Vec<_>, _>>()?,
        None => vec![HOUR_MS, DAY_MS, period_ms],
    };
    windows.sort_unstable();
    windows.dedup();
    Ok(windows)
}

/// `long/short/factor/severity`, or `long/factor/severity` for a rule of a single window.
fn parse_rule(text: &str) -> Result<Rule, String> {
    let parts: Vec<&str> = text.split('/').map(str::trim).collect();
    let (long, short, factor, severity) = match parts[..] {
        [long, short, factor, severity] => (long, Some(short), factor, severity),
        [long, factor, severity] => (long, None, factor, severity),
        _ => return Err(format!("{text:?} is no rule")),
    };
    Ok(Rule {
        long_ms: parse_duration(long)?,
        short_ms: short.map(parse_duration).transpose()?,
        factor: Ratio::parse(factor)?,
        severity: Severity::parse(severity)?,
        is_budget: false,
        is_sla: false,
    })
}

fn default_rules(period_ms: i64, objective: Ratio) -> Vec<Rule> {
    let table = [
        (HOUR_MS, 5 * MINUTE_MS, 2, Severity::Page),
        (6 * HOUR_MS, 30 * MINUTE_MS, 5, Severity::Page),
        (DAY_MS, 2 * HOUR_MS, 10, Severity::Ticket),
        (3 * DAY_MS, 6 * HOUR_MS, 10, Severity::Ticket),
    ];
    let rule = |(long_ms, short_ms, percent, severity): (i64, i64, i128, Severity)| {
        let long_ms = shrink(long_ms, period_ms, 5 * MINUTE_MS);
        let short_ms = shrink(short_ms, period_ms, MINUTE_MS);
        let factor = Ratio::new(percent * i128::from(period_ms), 100 * i128::from(long_ms));
        Rule { long_ms, short_ms: Some(short_ms), factor, severity, is_budget: false, is_sla: false }
    };
    let makes_sense = |rule: &Rule| {
        let threshold = rule.factor.times(objective.one_minus());
        let least = if rule.severity == Severity::Page { Ratio::new(1, 1) } else { Ratio::new(9, 10) };
        threshold.num < threshold.den && !least.exceeds(rule.factor)
    };
    let rules: Vec<Rule> = table.into_iter().map(rule).filter(makes_sense).collect();
    let same = |a: &Rule, b: &Rule| (a.long_ms, a.short_ms) == (b.long_ms, b.short_ms);
    let smallest = |r: &&Rule| !rules.iter().any(|other| same(other, r) && r.factor.exceeds(other.factor));
    let mut kept: Vec<Rule> = rules.iter().filter(smallest).cloned().collect();
    kept.dedup_by(|later, first| same(later, first));
    kept
}

/// Scaled by period / 28 d, rounded up to whole minutes and whole slices.
fn shrink(window_ms: i64, period_ms: i64, least_ms: i64) -> i64 {
    if period_ms >= 28 * DAY_MS {
        return window_ms;
    }
    let shrunk_ms = (window_ms * period_ms + 28 * DAY_MS - 1) / (28 * DAY_MS);
    let minutes_ms = ceil_to(shrunk_ms, MINUTE_MS).max(least_ms);
    ceil_to(minutes_ms, slice_of(minutes_ms))
}

#[test]
fn default_rules_shrink_with_a_short_period() {
    let names = |days: i64| -> Vec<String> {
        default_rules(days * DAY_MS, Ratio::new(999, 1000)).iter().map(Rule::name).collect()
    };
    assert_eq!(names(28), ["1h/5m", "6h/30m", "1d/2h", "3d/6h"]);
    assert_eq!(names(30), ["1h/5m", "6h/30m", "1d/2h", "3d/6h"]);
    assert_eq!(names(7), ["15m/2m", "90m/8m", "6h/30m", "18h/90m"]);
    assert_eq!(names(1), ["5m/1m", "13m/2m", "52m/5m", "155m/13m"]);
    let of_hours = |hours: i64| -> Vec<(String, Severity)> {
        let rules = default_rules(hours * HOUR_MS, Ratio::new(999, 1000));
        rules.iter().map(|r| (r.name(), r.severity)).collect()
    };
    // 5m/1m three times: pages at 0.24 and 0.6 make no sense, the ticket at 1.2 does.
    assert_eq!(of_hours(1), [("5m/1m".to_owned(), Severity::Ticket)]);
    assert_eq!(of_hours(2), [("5m/1m".to_owned(), Severity::Page), ("13m/2m".to_owned(), Severity::Ticket)]);
}
