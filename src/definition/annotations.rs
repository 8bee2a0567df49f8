//! The annotations `tailburn.dev/...` of an SLO document; this is the complete list.

use super::agreement;
use super::cursor::Cursor;
use super::document::{ANNOTATION_PREFIX, Document};
use super::error::Report;
use super::rules::{self, WrittenRule};
use super::window;
use super::yaml::Value;
use crate::model::duration;
use crate::model::expr::Field;
use crate::model::ratio::Ratio;
use crate::model::slo::{Canary, Documentation, PolicyStep, Severity, Sla, Slo, TenantAlerts, Tracks};
use crate::model::suggest::{closest, one_of};
use crate::model::time::{DAY_MS, HOUR_MS, Ms};
use std::collections::BTreeMap;

const KEYS: [&str; 31] = [
    "group-by",
    "tenant-alerts",
    "sla",
    "tenant-slas",
    "policy",
    "goal",
    "tenant-objectives",
    "user-windows",
    "alert-rules",
    "min-events",
    "timeslice-min-events",
    "low-traffic-guard",
    "single-user-guard",
    "budget-rule",
    "tail-alerts",
    "forecast-alerts",
    "cohorts",
    "canary",
    "canary-max-burn",
    "resolve-after",
    "no-data-after",
    "min-user-events",
    "allowed-lateness",
    "owner",
    "escalation",
    "why",
    "how-measured",
    "accepted-variation",
    "review-by",
    "runbook",
    "dashboard",
];

const ALLOWED_LATENESS_MAX_MS: Ms = 7 * DAY_MS;

/// The values of the annotations, with defaults. `None` means "not written", if the default depends on the rest of the
/// SLO.
pub(super) struct Settings<'d> {
    pub group_by: Vec<String>,
    pub tenant_alerts: TenantAlerts,
    pub tenant_objectives: Option<(BTreeMap<String, Ratio>, Cursor<'d>)>,
    pub user_windows: Option<(Vec<Ms>, Cursor<'d>)>,
    pub rules: Option<(Vec<WrittenRule<'d>>, Cursor<'d>)>,
    pub min_events: u64,
    pub timeslice_min_events: Option<(u64, Cursor<'d>)>,
    pub low_traffic_guard: bool,
    pub single_user_guard: bool,
    pub budget_rule: bool,
    pub tail_alerts: Option<Severity>,
    pub forecast_alerts: Option<Severity>,
    pub cohorts: bool,
    sla: Option<Sla>,
    tenant_slas: BTreeMap<String, Ratio>,
    pub policy: Vec<PolicyStep>,
    /// The baseline of a gauge.
    pub goal: Option<(f64, Cursor<'d>)>,
    canary: Option<(Canary, Cursor<'d>)>,
    canary_max_burn: Option<(Ratio, Cursor<'d>)>,
    pub resolve_after_ms: Option<Ms>,
    pub no_data_after_ms: Ms,
    pub min_user_events: u64,
    pub allowed_lateness_ms: Ms,
    pub documentation: Documentation,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Settings {
            group_by: Vec::new(),
            tenant_alerts: TenantAlerts::UpTo(Severity::Info),
            tenant_objectives: None,
            user_windows: None,
            rules: None,
            min_events: 0,
            timeslice_min_events: None,
            low_traffic_guard: true,
            single_user_guard: true,
            budget_rule: true,
            tail_alerts: Some(Severity::Ticket),
            forecast_alerts: None,
            cohorts: true,
            sla: None,
            tenant_slas: BTreeMap::new(),
            policy: Vec::new(),
            goal: None,
            canary: None,
            canary_max_burn: None,
            resolve_after_ms: None,
            no_data_after_ms: HOUR_MS,
            min_user_events: 5,
            allowed_lateness_ms: HOUR_MS,
            documentation: Documentation::default(),
        }
    }
}

impl Settings<'_> {
    /// The agreement with those of single tenants, which may be the only ones.
    pub fn sla(&self) -> Option<Sla> {
        let of_tenants = !self.tenant_slas.is_empty();
        let sla = self.sla.clone().or_else(|| of_tenants.then(agreement::of_tenants_alone))?;
        Some(Sla { tenants: self.tenant_slas.clone(), ..sla })
    }

    pub fn canary_at(&self) -> Option<&Cursor<'_>> {
        self.canary.as_ref().map(|(_, at)| at)
    }

    /// The canary with its limit, which means nothing without one.
    pub fn canary(&self, report: &mut Report) -> Option<Canary> {
        match (&self.canary, &self.canary_max_burn) {
            (Some((canary, _)), max_burn) => {
                Some(Canary { max_burn: max_burn.as_ref().map(|(burn, _)| *burn), ..canary.clone() })
            }
            (None, Some((_, at))) => {
                let remedy = "add `tailburn.dev/canary`, as in release, or leave this out";
                at.error(report, "there is no canary that could burn too fast", remedy);
                None
            }
            (None, None) => None,
        }
    }
}

/// Reads all of them; ignores annotations of other tools.
pub(super) fn read<'d>(document: &Document<'d>, report: &mut Report) -> Settings<'d> {
    let mut settings = Settings::default();
    let mut unknown = 0;
    for (name, at) in &document.annotations {
        match name.strip_prefix(ANNOTATION_PREFIX) {
            Some(key) if !KEYS.contains(&key) => {
                unknown += 1;
                if unknown <= UNKNOWN_MAX {
                    report_unknown(key, at, report);
                }
            }
            Some(key) => {
                read_one(key, at, &mut settings, report);
            }
            None => warn_of_a_slip(name, at, report),
        }
    }
    if let (true, Some((_, last))) = (unknown > UNKNOWN_MAX, document.annotations.last()) {
        let more = format!("{} more annotations that are not known", unknown - UNKNOWN_MAX);
        last.error(report, more, "correct those above first");
    }
    settings
}

/// How many unknown annotations are reported, each with a suggestion.
const UNKNOWN_MAX: usize = 20;

/// Without this check `tailburn/owner` or `tailburn.dev.owner` would be ignored silently.
fn warn_of_a_slip(name: &str, at: &Cursor<'_>, report: &mut Report) {
    if name.starts_with("tailburn") {
        at.error(
            report,
            format!("`{name}` is not an annotation of tailburn"),
            format!("they begin with `{ANNOTATION_PREFIX}`"),
        );
    }
}

/// `None` if the value was wrong; it has been reported.
fn read_one<'d>(key: &str, at: &Cursor<'d>, s: &mut Settings<'d>, report: &mut Report) -> Option<()> {
    match key {
        "group-by" => s.group_by = read_names(at, report)?,
        "tenant-alerts" => s.tenant_alerts = read_tenant_alerts(at, report)?,
        "sla" => s.sla = Some(agreement::read_sla(at, report)?),
        "tenant-slas" => s.tenant_slas = read_objectives(at, report)?,
        "policy" => s.policy = agreement::read_policy(at, report)?,
        "tenant-objectives" => s.tenant_objectives = Some((read_objectives(at, report)?, at.clone())),
        "user-windows" => s.user_windows = Some((read_windows(at, report)?, at.clone())),
        "alert-rules" => s.rules = Some((rules::read_annotation(at, report), at.clone())),
        "min-events" => s.min_events = read_count(at, 0, report)?,
        "timeslice-min-events" => s.timeslice_min_events = Some((read_count(at, 1, report)?, at.clone())),
        "low-traffic-guard" => s.low_traffic_guard = read_switch(at, report)?,
        "single-user-guard" => s.single_user_guard = read_switch(at, report)?,
        "budget-rule" => s.budget_rule = read_switch(at, report)?,
        "forecast-alerts" => s.forecast_alerts = read_severity(at, report)?,
        "tail-alerts" => s.tail_alerts = read_severity(at, report)?,
        "goal" => s.goal = Some((read_goal(at, report)?, at.clone())),
        "canary" => s.canary = Some((read_canary(at, report)?, at.clone())),
        "canary-max-burn" => s.canary_max_burn = Some((read_burn(at, report)?, at.clone())),
        "cohorts" => s.cohorts = read_switch(at, report)?,
        "resolve-after" => s.resolve_after_ms = Some(read_duration(at, report)?),
        "no-data-after" => s.no_data_after_ms = read_positive_duration(at, report)?,
        "min-user-events" => s.min_user_events = read_count(at, 1, report)?,
        "allowed-lateness" => s.allowed_lateness_ms = read_lateness(at, report)?,
        _ => return read_documentation(key, at, &mut s.documentation, report),
    }
    Some(())
}

fn read_documentation(key: &str, at: &Cursor<'_>, d: &mut Documentation, report: &mut Report) -> Option<()> {
    let slot = match key {
        "owner" => &mut d.owner,
        "escalation" => &mut d.escalation,
        "why" => &mut d.why,
        "how-measured" => &mut d.how_measured,
        "accepted-variation" => &mut d.accepted_variation,
        "review-by" => &mut d.review_by,
        "runbook" => &mut d.runbook,
        "dashboard" => &mut d.dashboard,
        // Unknown names were reported before.
        _ => return None,
    };
    *slot = Some(at.text(report)?.to_owned());
    Some(())
}

fn report_unknown(key: &str, at: &Cursor<'_>, report: &mut Report) {
    let remedy = match closest(key, KEYS) {
        Some(near) => format!("did you mean `{ANNOTATION_PREFIX}{near}`?"),
        None => format!("the annotations are {}", one_of(KEYS)),
    };
    at.error(report, format!("there is no annotation `{ANNOTATION_PREFIX}{key}`"), remedy);
}

/// The parts of a list `a, b`; an empty part is a mistake. YAML lists are accepted, too.
pub(super) fn parts<'d>(at: &Cursor<'d>, report: &mut Report) -> Option<Vec<&'d str>> {
    let parts: Vec<&str> = if matches!(at.node.value, Value::List(_)) {
        at.list(report).iter().map(|item| item.text(report)).collect::<Option<_>>()?
    } else {
        at.text(report)?.split(',').collect()
    };
    let parts: Vec<&str> = parts.into_iter().map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        at.error(report, "an entry of the list is empty", "write a, b, c");
        return None;
    }
    Some(parts)
}

/// The most attributes in a group.
const GROUP_BY_MAX: usize = 16;

/// The names of `group-by`, ascending, so that a group's name does not depend on their order.
fn read_names(at: &Cursor<'_>, report: &mut Report) -> Option<Vec<String>> {
    let parts = parts(at, report)?;
    if parts.len() > GROUP_BY_MAX {
        let remedy = format!("{GROUP_BY_MAX} are the most: each combination of their values is a group");
        at.error(report, format!("{} names", parts.len()), remedy);
        return None;
    }
    let mut names: Vec<String> = Vec::with_capacity(parts.len());
    for part in parts {
        let name = group_name(part, at, report)?;
        if names.contains(&name) {
            at.error(report, format!("`{name}` is there twice"), "name each attribute once");
            return None;
        }
        names.push(name);
    }
    names.sort_unstable();
    Some(names)
}

/// `region`, `attributes.region`, `attributes['my region']`, or one of the fields that make groups.
fn group_name(written: &str, at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let indexed = written.strip_prefix("attributes[").and_then(|rest| rest.strip_suffix(']'));
    let quoted = indexed.map(|name| name.trim_matches(['\'', '"', ' ']));
    let name = quoted.or_else(|| written.strip_prefix("attributes.")).unwrap_or(written);
    let is_attribute = name.len() != written.len();
    let mistake = if Slo::GROUP_FIELDS.contains(&name) && is_attribute {
        Some((
            format!("`{name}` is a separate field: an attribute with this name cannot be in group-by"),
            format!("write `{name}` for the field, or give the attribute another name in the mapping"),
        ))
    } else if Field::parse(name).is_some() && !Slo::GROUP_FIELDS.contains(&name) && !is_attribute {
        Some((
            format!("the field `{name}` cannot be in group-by"),
            format!(
                "attributes do, and the fields {}; an attribute of this name is attributes.{name}",
                one_of(Slo::GROUP_FIELDS)
            ),
        ))
    } else if name.is_empty() || (quoted.is_none() && name.contains(|c: char| c.is_whitespace() || c == ';')) {
        Some((
            format!("`{written}` is not the name of an attribute"),
            "write commas between names, as in region, tier; a name with a blank is attributes['a b']".to_owned(),
        ))
    } else {
        None
    };
    if let Some((message, remedy)) = mistake {
        at.error(report, message, remedy);
        return None;
    }
    Some(name.to_owned())
}

fn read_tenant_alerts(at: &Cursor<'_>, report: &mut Report) -> Option<TenantAlerts> {
    let text = at.text(report)?;
    let cap = match text {
        "off" => Some(TenantAlerts::Off),
        _ => Severity::parse(text).map(TenantAlerts::UpTo),
    };
    if cap.is_none() {
        at.error(report, format!("`{text}` is not a severity cap"), "write off, info, ticket or page");
    }
    cap
}

/// `baseline=3.1`: where a goal started from.
fn read_goal(at: &Cursor<'_>, report: &mut Report) -> Option<f64> {
    let written = at.text(report)?;
    let value = written.trim().strip_prefix("baseline=").and_then(|text| text.trim().parse::<f64>().ok());
    let baseline = value.filter(|value| value.is_finite());
    if baseline.is_none() {
        at.error(report, format!("`{written}` is not a goal"), "write where it started from, as in baseline=3.1");
    }
    baseline
}

/// `release`, or `track=canary/stable`.
fn read_canary(at: &Cursor<'_>, report: &mut Report) -> Option<Canary> {
    let written = at.text(report)?;
    let canary = parse_canary(written);
    if canary.is_none() {
        let remedy = "write the attribute that names the version, as in release; or two of its values, the candidate \
                      first, as in track=canary/stable";
        at.error(report, format!("`{written}` is not a canary"), remedy);
    }
    canary
}

fn parse_canary(written: &str) -> Option<Canary> {
    let (name, values) = match written.split_once('=') {
        Some((name, values)) => (name.trim(), Some(values)),
        None => (written.trim(), None),
    };
    let attribute = name.strip_prefix("attributes.").unwrap_or(name);
    let is_name = !attribute.is_empty() && !attribute.contains(|c: char| c.is_whitespace() || ",;/|".contains(c));
    let tracks = match values {
        None => None,
        Some(values) => {
            let (candidate, baseline) = values.split_once('/')?;
            let (candidate, baseline) = (candidate.trim().to_owned(), baseline.trim().to_owned());
            let differ = !candidate.is_empty() && !baseline.is_empty() && candidate != baseline;
            Some(differ.then_some(Tracks { candidate, baseline })?)
        }
    };
    is_name.then(|| Canary { attribute: attribute.to_owned(), tracks, max_burn: None })
}

/// A burn rate above 0.
fn read_burn(at: &Cursor<'_>, report: &mut Report) -> Option<Ratio> {
    let written = at.text(report)?;
    let burn = Ratio::parse(written).filter(|burn| burn.num > 0);
    if burn.is_none() {
        at.error(report, format!("`{written}` is not a burn rate"), "write a number above 0, as in 10");
    }
    burn
}

/// The severity of the rules of a signal; `off` is `None`.
fn read_severity(at: &Cursor<'_>, report: &mut Report) -> Option<Option<Severity>> {
    match read_tenant_alerts(at, report)? {
        TenantAlerts::Off => Some(None),
        TenantAlerts::UpTo(severity) => Some(Some(severity)),
    }
}

fn read_objectives(at: &Cursor<'_>, report: &mut Report) -> Option<BTreeMap<String, Ratio>> {
    let remedy = "write tenant=objective, ..., as in acme=0.9995";
    let mut objectives = BTreeMap::new();
    for part in parts(at, report)? {
        let pair = part.rsplit_once('=').map(|(tenant, objective)| (tenant.trim(), Ratio::parse(objective)));
        let Some((tenant, Some(objective))) = pair.filter(|(tenant, _)| !tenant.is_empty()) else {
            at.error(report, format!("`{part}` is not an objective of a tenant"), remedy);
            return None;
        };
        if objective.num >= objective.den {
            at.error(report, format!("the objective of `{tenant}` must be below 1"), remedy);
            return None;
        }
        if objectives.insert(tenant.to_owned(), objective).is_some() {
            at.error(report, format!("`{tenant}` is there twice"), "give each tenant one objective");
            return None;
        }
    }
    Some(objectives)
}

fn read_windows(at: &Cursor<'_>, report: &mut Report) -> Option<Vec<Ms>> {
    let mut windows = Vec::new();
    for part in parts(at, report)? {
        match duration::parse(part) {
            Ok(window_ms) => windows.push(window::check(at, window_ms, report)?),
            Err(e) => {
                at.error(report, e.to_string(), "");
                return None;
            }
        }
    }
    Some(windows)
}

fn read_count(at: &Cursor<'_>, least: u64, report: &mut Report) -> Option<u64> {
    let text = at.text(report)?;
    let count = text.trim().parse().ok().filter(|count| *count >= least);
    if count.is_none() {
        at.error(
            report,
            format!("`{text}` is not a number of events"),
            format!("write a whole number from {least} on"),
        );
    }
    count
}

fn read_switch(at: &Cursor<'_>, report: &mut Report) -> Option<bool> {
    match at.text(report)? {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        other => {
            at.error(report, format!("`{other}` is not a switch"), "write on or off");
            None
        }
    }
}

fn read_duration(at: &Cursor<'_>, report: &mut Report) -> Option<Ms> {
    match duration::parse(at.text(report)?) {
        Ok(duration_ms) => Some(duration_ms),
        Err(e) => {
            at.error(report, e.to_string(), "");
            None
        }
    }
}

fn read_positive_duration(at: &Cursor<'_>, report: &mut Report) -> Option<Ms> {
    let duration_ms = read_duration(at, report)?;
    if duration_ms == 0 {
        at.error(report, "it must be longer than 0", "write a duration, as in 1h");
        return None;
    }
    Some(duration_ms)
}

fn read_lateness(at: &Cursor<'_>, report: &mut Report) -> Option<Ms> {
    let lateness_ms = read_duration(at, report)?;
    if lateness_ms > ALLOWED_LATENESS_MAX_MS {
        let message = format!("a lateness of {} is too long", duration::print(lateness_ms));
        at.error(report, message, format!("the longest is {}", duration::print(ALLOWED_LATENESS_MAX_MS)));
        return None;
    }
    Some(lateness_ms)
}
