//! One SLO document -> one `Slo` per objective: follows references, fills in defaults, refuses what cannot be computed.

use super::annotations::{self, Settings};
use super::cursor::{Cursor, Fields};
use super::document::{Catalog, Document, Kind, read_inline};
use super::error::{NoticeLevel, Report};
use super::indicator::{IndicatorSpec, Metric, read_indicator};
use super::method::MethodName;
use super::rules::{self, WrittenRule};
use super::{composite, distinct, gauge, hash, journey, method, period};
use crate::model::duration;
use crate::model::maintenance::Maintenances;
use crate::model::period::Period;
use crate::model::ratio::Ratio;
use crate::model::slo::{Criterion, Indicator, Slo, ThresholdOp, USER_WINDOWS_MAX, Unit};
use crate::model::suggest::closest;
use crate::model::time::{DAY_MS, HOUR_MS, Ms};
use std::collections::BTreeMap;

/// The indicators of SLI documents; `None` for a wrong one, which is reported once.
pub(super) type Indicators<'d> = BTreeMap<&'d str, Option<IndicatorSpec>>;

const KEYS: [&str; 9] = [
    "description",
    "service",
    "indicator",
    "indicatorRef",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
    "sla",
];
pub(super) const OBJECTIVE_KEYS: [&str; 10] = [
    "displayName",
    "op",
    "value",
    "target",
    "targetPercent",
    "timeSliceTarget",
    "timeSliceWindow",
    "indicator",
    "indicatorRef",
    "compositeWeight",
];

/// The SLOs of a document and the place of each objective; empty if there is a mistake, which is then in the report.
pub(super) fn read_slo<'d>(
    document: &Document<'d>,
    catalog: &Catalog<'d>,
    indicators: &Indicators<'d>,
    report: &mut Report,
) -> Vec<(Slo, Cursor<'d>)> {
    let settings = annotations::read(document, report);
    let Some(spec) = &document.spec else {
        document.at.error(report, "`spec` is missing", "an SLO without a `spec` says nothing");
        return Vec::new();
    };
    let Some(fields) = spec.fields(report, &KEYS) else { return Vec::new() };
    fields.not_supported(report, &[("sla", "leave it out")]);
    let objectives =
        fields.require(report, "objectives", "write objectives: [{target: 0.999}]").map(|at| at.list(report));
    let objectives = objectives.unwrap_or_default();
    let Some(is_composite) = composite::is_composite(&fields, &objectives, report) else { return Vec::new() };
    let indicator = match is_composite {
        true => None,
        false => read_indicator_of(document, &fields, catalog, indicators, report),
    };
    let common = Common {
        service: read_service(&fields, catalog, report),
        description: fields.get("description").and_then(|at| at.text(report)),
        indicator,
        period: read_time_window(&fields, report),
        method: method::read(&fields, report),
        rules: read_rules(&fields, &settings, catalog, report),
    };
    if let (Some(at), true) = (fields.get("objectives"), objectives.is_empty()) {
        at.error(report, "an SLO has at least one objective", "write objectives: [{target: 0.999}]");
    }
    if objectives.len() > super::SLOS_MAX {
        super::too_many_slos(&document.at, report);
        return Vec::new();
    }
    let several = objectives.len() > 1 || is_composite;
    let count = objectives.len();
    let mut read: Vec<(Slo, Cursor<'d>)> = Vec::with_capacity(count + 1);
    let mut weights = Vec::with_capacity(count);
    for at in objectives {
        let Some(of) = at.fields(report, &OBJECTIVE_KEYS) else { continue };
        let own = is_composite.then(|| read_indicator_of(document, &of, catalog, indicators, report));
        let weight = composite::read_weight(&of, report);
        if let (false, Some(at)) = (is_composite, of.get("compositeWeight")) {
            at.error(report, "the SLO is no composite: its objectives share one indicator", "leave it out");
        }
        let indicator = own.unwrap_or_else(|| common.indicator.clone());
        let slo = read_objective(&at, &of, several, document, &settings, (&common, indicator.as_ref()), report);
        weights.extend(weight);
        read.extend(slo.map(|slo| (slo, at)));
    }
    if is_composite && read.len() == count && weights.len() == count {
        let parts: Vec<(Slo, f64)> = read.iter().map(|(slo, _)| slo.clone()).zip(weights).collect();
        let whole = finish_composite(document, &settings, (&common, &parts), report);
        read.extend(whole.map(|slo| (slo, document.at.clone())));
    }
    read
}

/// The composite has rules by its own objective, and hashes of its own.
fn finish_composite(
    document: &Document<'_>,
    settings: &Settings<'_>,
    (common, parts): (&Common<'_>, &[(Slo, f64)]),
    report: &mut Report,
) -> Option<Slo> {
    if let Some(at) = settings.canary_at() {
        at.error(report, "a composite has no canary", "leave it out, or write the components as SLOs of their own");
        return None;
    }
    let mut slo = composite::compose(document, parts, report)?;
    if common.rules.is_none() {
        let period_ms = slo.period.nominal_ms();
        slo.rules = rules::default_rules(&document.at, period_ms, slo.objective, &slo.method, report);
    }
    slo.filters_hash = hash::filters_hash(&slo);
    slo.definition_hash = hash::definition_hash(&slo);
    Some(slo)
}

/// The shared part of a document's objectives; `None` if it is missing or wrong.
struct Common<'d> {
    service: Option<&'d str>,
    description: Option<&'d str>,
    indicator: Option<IndicatorSpec>,
    period: Option<Period>,
    method: Option<MethodName>,
    rules: Option<Vec<WrittenRule<'d>>>,
}

fn read_service<'d>(fields: &Fields<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<&'d str> {
    let at = fields.require(report, "service", "name the service that the SLO is about")?;
    let service = at.name(report)?;
    // Documents of kind Service are optional; only a name that is nearly one of theirs is a mistake.
    if catalog.find(Kind::Service, service).is_none() {
        let near = closest(service, catalog.of_kind(Kind::Service).map(|document| document.name));
        if let Some(near) = near {
            let message = format!("no document of kind Service is named `{service}`: did you mean `{near}`?");
            at.notice(report, NoticeLevel::Warning, message);
        }
    }
    Some(service)
}

fn read_indicator_of<'d>(
    document: &Document<'d>,
    fields: &Fields<'d>,
    catalog: &Catalog<'d>,
    indicators: &Indicators<'d>,
    report: &mut Report,
) -> Option<IndicatorSpec> {
    match (fields.get("indicator"), fields.get("indicatorRef")) {
        (Some(at), None) => {
            let (name, spec) = read_inline(&at, Kind::Sli, report)?;
            read_indicator(name.unwrap_or(document.name), &spec, catalog, report)
        }
        (None, Some(at)) => {
            let name = catalog.resolve(Kind::Sli, &at, report)?.name;
            indicators.get(name).cloned().flatten()
        }
        (Some(_), Some(second)) => {
            second.error(report, "`indicator` and `indicatorRef` exclude each other", "leave one out");
            None
        }
        (None, None) => {
            fields.at.error(report, "`indicator` is missing", "write `indicator` or `indicatorRef`");
            None
        }
    }
}

fn read_time_window(fields: &Fields<'_>, report: &mut Report) -> Option<Period> {
    let remedy = "write timeWindow: [{duration: 28d, isRolling: true}]";
    let at = fields.require(report, "timeWindow", remedy)?;
    let windows = at.list(report);
    let [only] = windows.as_slice() else {
        at.error(report, format!("an SLO has one time window, not {}", windows.len()), remedy);
        return None;
    };
    let window = only.fields(report, &["duration", "isRolling", "calendar"])?;
    period::read(only, &window, report)
}

/// The custom rules; `None` if the defaults apply.
fn read_rules<'d>(
    fields: &Fields<'d>,
    settings: &Settings<'d>,
    catalog: &Catalog<'d>,
    report: &mut Report,
) -> Option<Vec<WrittenRule<'d>>> {
    let policies = fields.get("alertPolicies").map(|at| (rules::read_policies(&at, catalog, report), at));
    let policies = policies.filter(|(rules, at)| {
        let is_empty_list = matches!(&at.node.value, super::yaml::Value::List(items) if items.is_empty());
        !(rules.is_empty() && is_empty_list)
    });
    match (policies, &settings.rules) {
        (Some(_), Some((_, at))) => {
            at.error(report, "`alertPolicies` and this annotation both replace the default rules", "leave one out");
            None
        }
        (Some((rules, _)), None) => Some(rules),
        (None, Some((rules, _))) => Some(rules.clone()),
        (None, None) => None,
    }
}

fn read_objective<'d>(
    at: &Cursor<'d>,
    fields: &Fields<'d>,
    several: bool,
    document: &Document<'d>,
    settings: &Settings<'d>,
    (common, indicator): (&Common<'d>, Option<&IndicatorSpec>),
    report: &mut Report,
) -> Option<Slo> {
    let name = objective_name(fields, several, document, report);
    let is_gauge = indicator.is_some_and(|spec| spec.aggregate.is_some());
    // A value has no share of good events: its threshold is the objective.
    let is_value = is_gauge && common.method == Some(MethodName::Occurrences);
    let has_target = fields.get("target").is_some() || fields.get("targetPercent").is_some();
    let objective = if is_value && !has_target { Some(Ratio::ZERO) } else { read_target(fields, report) };
    let criterion = indicator.and_then(|spec| criterion(fields, &spec.metric, report));
    let (name, objective, indicator, criterion) = (name?, objective?, indicator?, criterion?);
    let unit = match (&indicator.journey, indicator.counts_users) {
        (Some(spec), _) => Unit::Journey(spec.journey.clone()),
        (None, true) => Unit::Users { by_bad: matches!(criterion, Criterion::Bad(_)) },
        (None, false) => gauge::unit_of(indicator.aggregate, &criterion, settings),
    };
    let method = method::of_objective(common.method?, is_gauge, fields, settings, report);
    let (period, method) = (common.period.clone()?, method?);
    let rules = match &common.rules {
        Some(written) => {
            if !is_value {
                rules::check_written(written, objective, report);
            }
            rules::check_slices(written, &method, report);
            written.iter().map(|written| written.rule.clone()).collect()
        }
        None if is_value || indicator.counts_users => Vec::new(),
        None => rules::default_rules(at, period.nominal_ms(), objective, &method, report),
    };
    let mut slo = Slo {
        objective_name: if several { fields.get("displayName").and_then(|at| at.name(report)) } else { None }
            .map(str::to_owned),
        display_name: document.display_name.unwrap_or(&name).to_owned(),
        name,
        service: common.service?.to_owned(),
        labels: document.labels.clone(),
        documentation: settings.documentation.clone(),
        indicator: Indicator { name: indicator.name.clone(), total: indicator.total.clone(), criterion },
        unit,
        indicators: Vec::new(),
        steps: indicator.journey.as_ref().map(|spec| spec.filters.clone()).unwrap_or_default(),
        objective,
        tenant_objectives: settings.tenant_objectives.as_ref().map(|(map, _)| map.clone()).unwrap_or_default(),
        method,
        group_by: settings.group_by.clone(),
        tenant_alerts: settings.tenant_alerts,
        user_windows_ms: user_windows(settings, &period, report),
        period,
        rules,
        min_events: settings.min_events,
        low_traffic_guard: settings.low_traffic_guard,
        single_user_guard: settings.single_user_guard,
        budget_rule: settings.budget_rule,
        tail_alerts: settings.tail_alerts,
        forecast_alerts: settings.forecast_alerts,
        cohorts: settings.cohorts,
        canary: settings.canary(report),
        sla: settings.sla(),
        policy: settings.policy.clone(),
        resolve_after_ms: settings.resolve_after_ms,
        no_data_after_ms: settings.no_data_after_ms,
        min_user_events: settings.min_user_events,
        allowed_lateness_ms: settings.allowed_lateness_ms,
        maintenance: Maintenances::default(),
        definition_hash: String::new(),
        filters_hash: String::new(),
    };
    slo.documentation.description = common.description.map(str::to_owned);
    gauge::settle(&mut slo, at, settings, common.rules.is_some(), report);
    distinct::settle(&mut slo, at, settings, report);
    journey::settle(&mut slo, at, report);
    notice_tenants(&slo, settings, report);
    slo.filters_hash = hash::filters_hash(&slo);
    slo.definition_hash = hash::definition_hash(&slo);
    Some(slo)
}

fn objective_name(fields: &Fields<'_>, several: bool, document: &Document<'_>, report: &mut Report) -> Option<String> {
    let display_name = match fields.get("displayName") {
        Some(at) => Some(at.name(report)?),
        None => None,
    };
    match display_name {
        _ if !several => Some(document.name.to_owned()),
        Some(display_name) => Some(format!("{}:{display_name}", document.name)),
        None => {
            let remedy = "each becomes a separate SLO, named name:displayName";
            fields.at.error(report, "`displayName` is missing: the document has several objectives", remedy);
            None
        }
    }
}

fn read_target(fields: &Fields<'_>, report: &mut Report) -> Option<Ratio> {
    let (at, unit, limit) = match (fields.get("target"), fields.get("targetPercent")) {
        (Some(at), None) => (at, 1, "1"),
        (None, Some(at)) => (at, 100, "100"),
        (Some(_), Some(second)) => {
            second.error(report, "`target` and `targetPercent` exclude each other", "leave one out");
            return None;
        }
        (None, None) => {
            fields.at.error(report, "`target` is missing", "write target: 0.999 (or targetPercent: 99.9)");
            return None;
        }
    };
    let number = at.number(report)?;
    let ratio = Ratio::from_f64(number).and_then(|r| Ratio::new(r.num, r.den.checked_mul(unit)?));
    let ratio = ratio.filter(|r| r.num < r.den);
    if ratio.is_none() {
        let written = at.text(report)?.trim();
        at.error(report, format!("{written} is not an objective"), target_remedy(number, unit, limit));
    }
    ratio
}

/// The value that was probably meant.
fn target_remedy(number: f64, unit: u64, limit: &str) -> String {
    let share = Ratio::from_f64(number).and_then(|r| Ratio::new(r.num, r.den.checked_mul(100)?));
    match share.filter(|share| unit == 1 && number > 1.0 && share.num < share.den) {
        Some(share) => format!("write targetPercent: {number}, or target: {}", share.as_f64()),
        None if number == 1.0 || number == 100.0 => {
            format!("an objective allows some failures: write a number below {limit}")
        }
        None => format!("write a number from 0 to below {limit}"),
    }
}

fn criterion(fields: &Fields<'_>, metric: &Metric, report: &mut Report) -> Option<Criterion> {
    let value = match metric {
        Metric::Value(value) => value,
        Metric::Good(filter) | Metric::Bad(filter) => {
            let mut clean = true;
            for key in ["op", "value"] {
                if let Some(at) = fields.get(key) {
                    at.error(
                        report,
                        format!("`{key}` belongs to a thresholdMetric"),
                        "leave it out: the filter decides",
                    );
                    clean = false;
                }
            }
            let criterion = if matches!(metric, Metric::Good(_)) { Criterion::Good } else { Criterion::Bad };
            return clean.then(|| criterion(filter.clone()));
        }
    };
    let op = fields.require(report, "op", "a thresholdMetric needs op: lte, lt, gte or gt");
    let threshold = fields.require(report, "value", "a thresholdMetric needs the threshold: value: 300");
    let op = op.and_then(|at| {
        let text = at.text(report)?;
        let op = parse_op(text);
        if op.is_none() {
            at.error(report, format!("`{text}` is not an operator"), "write lte, lt, gte or gt");
        }
        op
    });
    let threshold = threshold.and_then(|at| at.number(report));
    Some(Criterion::Threshold { value: value.clone(), op: op?, threshold: threshold? })
}

fn parse_op(text: &str) -> Option<ThresholdOp> {
    Some(match text {
        "lte" => ThresholdOp::Lte,
        "gte" => ThresholdOp::Gte,
        "lt" => ThresholdOp::Lt,
        "gt" => ThresholdOp::Gt,
        _ => return None,
    })
}

/// Ascending, without repeats: the ones written, or 1 h, 1 d and the compliance window.
fn user_windows(settings: &Settings<'_>, period: &Period, report: &mut Report) -> Vec<Ms> {
    let mut windows = match &settings.user_windows {
        Some((written, at)) => {
            let longest_ms = period.calendar().map_or(period.nominal_ms(), |_| Ms::MAX);
            for long in written.iter().filter(|window_ms| **window_ms > longest_ms) {
                let message = format!(
                    "the user window {} is longer than the compliance window {}",
                    duration::print(*long),
                    period.name()
                );
                at.error(report, message, "leave it out, or choose a longer time window");
            }
            if written.len() > USER_WINDOWS_MAX {
                let message = format!("{} user windows", written.len());
                at.error(report, message, format!("{USER_WINDOWS_MAX} are the most an SLO can have"));
            }
            written.clone()
        }
        // Beside a calendar's period the longest one rolls.
        None => vec![HOUR_MS, DAY_MS, period.calendar().map_or(period.nominal_ms(), |_| 28 * DAY_MS)],
    };
    windows.sort_unstable();
    windows.dedup();
    windows
}

/// With a lower objective fewer rules of a tenant can fire; that is a notice, not a mistake.
fn notice_tenants(slo: &Slo, settings: &Settings<'_>, report: &mut Report) {
    let Some((objectives, at)) = &settings.tenant_objectives else { return };
    for (tenant, objective) in objectives {
        let dead: Vec<_> = slo.rules.iter().filter(|r| !rules::can_fire(r, *objective)).map(|r| r.name()).collect();
        if !dead.is_empty() {
            let message = format!(
                "{} can never fire for the tenant `{tenant}`, at its objective of {}",
                dead.join(", "),
                objective.as_f64()
            );
            at.notice(report, NoticeLevel::Warning, message);
        }
    }
}
