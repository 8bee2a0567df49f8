//! Burn-rate rules: the defaults, scaled to the SLO's period, and custom ones from OpenSLO alert policies or the
//! annotation `alert-rules`.

use super::cursor::Cursor;
use super::document::{Catalog, Kind, read_inline};
use super::error::{NoticeLevel, Report};
use crate::model::duration;
use crate::model::period::Method;
use crate::model::ratio::Ratio;
use crate::model::slo::{Rule, Severity};
use crate::model::suggest::closest;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Ms, ceil_to, slice_ms};
use std::cmp::Ordering;

/// A custom rule and its place.
#[derive(Clone)]
pub(super) struct WrittenRule<'d> {
    pub rule: Rule,
    pub at: Cursor<'d>,
}

/// Severity, long window, short window and share of the period's budget (in percent).
const DEFAULTS: [(Severity, Ms, Ms, u64); 4] = [
    (Severity::Page, HOUR_MS, 5 * MINUTE_MS, 2),
    (Severity::Page, 6 * HOUR_MS, 30 * MINUTE_MS, 5),
    (Severity::Ticket, DAY_MS, 2 * HOUR_MS, 10),
    (Severity::Ticket, 3 * DAY_MS, 6 * HOUR_MS, 10),
];

/// The period for which the default windows are meant.
const REFERENCE_PERIOD_MS: Ms = 28 * DAY_MS;
const LONG_MIN_MS: Ms = 5 * MINUTE_MS;
const SHORT_MIN_MS: Ms = MINUTE_MS;

/// The default rules of an SLO; rules that are left out are reported.
pub(super) fn default_rules(
    at: &Cursor<'_>,
    period_ms: Ms,
    objective: Ratio,
    method: &Method,
    report: &mut Report,
) -> Vec<Rule> {
    let mut rules = chosen(period_ms, objective, &mut |rule, why| notice_left_out(at, rule, why, report));
    rules.retain(|rule| match too_short(rule, method) {
        Some(why) => {
            notice_left_out(at, rule, &why, report);
            false
        }
        None => true,
    });
    rules
}

/// Why a rule cannot see the slices that the SLO counts.
fn too_short(rule: &Rule, method: &Method) -> Option<String> {
    let slice_ms = method.slicing()?.slice_ms;
    let short_ms = rule.evidence_ms();
    let (short, slice) = (duration::print(short_ms), duration::print(slice_ms));
    (short_ms < slice_ms).then(|| format!("its short window of {short} is shorter than a slice of {slice}"))
}

/// A custom rule whose short window is shorter than a slice is an error.
pub(super) fn check_slices(rules: &[WrittenRule<'_>], method: &Method, report: &mut Report) {
    for WrittenRule { rule, at } in rules {
        if let Some(why) = too_short(rule, method) {
            at.error(report, format!("the rule {} can never see a slice: {why}", rule.name()), "write longer windows");
        }
    }
}

/// The rules for another objective: default ones are chosen anew, others stay as far as they can fire.
pub(super) fn rules_for(rules: &[Rule], period_ms: Ms, method: &Method, from: Ratio, to: Ratio) -> Vec<Rule> {
    let chosen = |objective: Ratio| -> Vec<Rule> {
        let rules = chosen(period_ms, objective, &mut |_, _| {});
        rules.into_iter().filter(|rule| too_short(rule, method).is_none()).collect()
    };
    if rules == chosen(from) {
        return chosen(to);
    }
    rules.iter().filter(|rule| can_fire(rule, to)).cloned().collect()
}

fn chosen(period_ms: Ms, objective: Ratio, left_out: &mut dyn FnMut(&Rule, &str)) -> Vec<Rule> {
    let scale = |&(severity, long_ms, short_ms, percent): &(Severity, Ms, Ms, u64)| {
        let long_ms = scaled(long_ms, period_ms, LONG_MIN_MS);
        let short_ms = Some(scaled(short_ms, period_ms, SHORT_MIN_MS));
        let factor = Ratio::new(percent * u64::try_from(period_ms).ok()?, 100 * u64::try_from(long_ms).ok()?)?;
        Some(Rule { long_ms, short_ms, factor, severity })
    };
    let mut kept: Vec<Rule> = Vec::new();
    for rule in DEFAULTS.iter().filter_map(scale) {
        if let Some(why) = why_left_out(&rule, objective) {
            left_out(&rule, &why);
            continue;
        }
        let same = kept.iter_mut().find(|known| (known.long_ms, known.short_ms) == (rule.long_ms, rule.short_ms));
        match same {
            None => kept.push(rule),
            Some(known) => {
                let (stays, goes) =
                    if is_below(rule.factor, known.factor) { (rule, known.clone()) } else { (known.clone(), rule) };
                let why = format!("another one, of factor {}, has the same windows", stays.factor.as_f64());
                left_out(&goes, &why);
                *known = stays;
            }
        }
    }
    kept
}

/// Why a default rule makes no sense for this period and objective.
fn why_left_out(rule: &Rule, objective: Ratio) -> Option<String> {
    let factor = rule.factor.as_f64();
    if !can_fire(rule, objective) {
        return Some(format!("a burn above {factor} cannot happen at an objective of {}", objective.as_f64()));
    }
    if rule.severity == Severity::Page && is_below(rule.factor, Ratio { num: 1, den: 1 }) {
        return Some(format!("a page at a burn of {factor} would be for less than the objective allows"));
    }
    is_below(rule.factor, Ratio { num: 9, den: 10 })
        .then(|| format!("a burn of {factor} is less than the objective allows"))
}

fn notice_left_out(at: &Cursor<'_>, rule: &Rule, why: &str, report: &mut Report) {
    let message = format!("the default rule {} ({}) is left out: {why}", rule.name(), rule.severity.as_str());
    at.notice(report, NoticeLevel::Warning, message);
}

fn is_below(a: Ratio, b: Ratio) -> bool {
    b.compare_share(u128::from(a.num), u128::from(a.den)) == Ordering::Less
}

/// Shrinks a window by period / 28 d, rounded up to whole minutes and to a multiple of its own slice.
fn scaled(window_ms: Ms, period_ms: Ms, min_ms: Ms) -> Ms {
    if period_ms >= REFERENCE_PERIOD_MS {
        return window_ms;
    }
    let exact = i128::from(window_ms) * i128::from(period_ms);
    let reference = i128::from(REFERENCE_PERIOD_MS);
    let up = (exact + reference - 1) / reference;
    // The result fits: a window below 28 d times a factor below 1.
    let shrunk = ceil_to(Ms::try_from(up).unwrap_or(window_ms), MINUTE_MS).max(min_ms);
    ceil_to(shrunk, slice_ms(shrunk))
}

/// A burn rate is at most 1 / (1 - objective).
pub(super) fn can_fire(rule: &Rule, objective: Ratio) -> bool {
    let Some(allowed) = objective.complement() else { return false };
    // factor * allowed < 1, as a comparison of fractions: allowed.num / allowed.den < factor.den / factor.num.
    if rule.factor.num == 0 {
        return true;
    }
    allowed.compare_share(u128::from(rule.factor.den), u128::from(rule.factor.num)) == Ordering::Greater
}

/// A custom rule that can never fire is an error.
pub(super) fn check_written(rules: &[WrittenRule<'_>], objective: Ratio, report: &mut Report) {
    for WrittenRule { rule, at } in rules.iter().filter(|written| !can_fire(&written.rule, objective)) {
        let highest = objective.complement().map_or(0.0, |allowed| 1.0 / allowed.as_f64());
        let message = format!(
            "the rule {} can never fire: a burn above {} cannot happen at an objective of {}",
            rule.name(),
            rule.factor.as_f64(),
            objective.as_f64()
        );
        at.error(report, message, format!("write a factor below {highest}"));
    }
}

/// `long/short/factor/severity, ...`; `long/factor/severity` is a rule with a single window.
pub(super) fn read_annotation<'d>(at: &Cursor<'d>, report: &mut Report) -> Vec<WrittenRule<'d>> {
    let Some(text) = at.text(report) else { return Vec::new() };
    let count = text.split(',').count();
    if count > RULES_MAX {
        at.error(report, format!("{count} rules"), format!("{RULES_MAX} are the most an SLO can have"));
        return Vec::new();
    }
    let rules = text.split(',').filter_map(|written| {
        let parts: Vec<&str> = written.split('/').map(str::trim).collect();
        let (long, short, factor, severity) = match parts.as_slice() {
            [long, short, factor, severity] => (*long, Some(*short), *factor, *severity),
            [_, short, factor] if duration::parse(short).is_ok() && Ratio::parse(factor).is_some() => {
                let written = written.trim();
                let remedy = format!("write {written}/page, {written}/ticket or {written}/info");
                at.error(report, format!("`{written}` has no severity"), remedy);
                return None;
            }
            [long, factor, severity] => (*long, None, *factor, *severity),
            _ => {
                let message = format!("`{}` is not a rule", super::cursor::shortened(written));
                at.error(report, message, "write long/short/factor/severity, ..., as in 1h/5m/13.44/page");
                return None;
            }
        };
        let long_ms = read_window(at, long, report)?;
        let short_ms = match short {
            Some(short) => Some(read_window(at, short, report)?),
            None => None,
        };
        let factor = read_factor(at, factor, report)?;
        let severity = read_severity(at, severity, report)?;
        written_rule(at, Rule { long_ms, short_ms, factor, severity }, report)
    });
    rules.collect()
}

/// The most rules of an SLO, because each is evaluated at every boundary of every key.
const RULES_MAX: usize = 32;

fn written_rule<'d>(at: &Cursor<'d>, rule: Rule, report: &mut Report) -> Option<WrittenRule<'d>> {
    if rule.short_ms.is_some_and(|short_ms| short_ms >= rule.long_ms) {
        at.error(report, format!("the short window of {} is not shorter than the long one", rule.name()), "");
        return None;
    }
    Some(WrittenRule { rule, at: at.clone() })
}

fn read_window(at: &Cursor<'_>, text: &str, report: &mut Report) -> Option<Ms> {
    match duration::parse(text) {
        Ok(window_ms) => super::window::check(at, window_ms, report),
        Err(e) => {
            at.error(report, e.to_string(), "");
            None
        }
    }
}

fn read_factor(at: &Cursor<'_>, text: &str, report: &mut Report) -> Option<Ratio> {
    let factor = Ratio::parse(text).filter(|factor| factor.num > 0);
    if factor.is_none() {
        at.error(report, format!("`{text}` is not a burn-rate factor"), "write a number above 0, as in 13.44");
    }
    factor
}

fn read_severity(at: &Cursor<'_>, text: &str, report: &mut Report) -> Option<Severity> {
    let severity = Severity::parse(text);
    if severity.is_none() {
        let meant = match text.trim().to_ascii_lowercase().as_str() {
            "page" | "critical" | "crit" | "high" | "urgent" | "p1" | "sev1" => "write page, which wakes somebody",
            "ticket" | "warning" | "warn" | "medium" | "major" | "minor" | "low" | "p2" | "p3" | "sev2" | "sev3" => {
                "write ticket, which waits for the morning"
            }
            _ => "write page, ticket or info",
        };
        at.error(report, format!("`{text}` is not a severity of a rule"), meant);
    }
    severity
}

/// The rules of the entries of `alertPolicies`: a name, `{alertPolicyRef: name}`, or a policy. A repeated rule counts
/// once.
pub(super) fn read_policies<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Vec<WrittenRule<'d>> {
    let mut rules: Vec<WrittenRule<'_>> = Vec::new();
    let items = at.list(report);
    if items.len() > RULES_MAX {
        at.error(report, format!("{} policies", items.len()), format!("{RULES_MAX} are the most an SLO can have"));
        return rules;
    }
    for item in items {
        let spec = match reference_in(&item, "alertPolicyRef", report) {
            Some(reference) => {
                catalog.resolve(Kind::AlertPolicy, &reference, report).and_then(|policy| policy.spec.clone())
            }
            None => read_inline(&item, Kind::AlertPolicy, report).map(|(_, spec)| spec),
        };
        let Some(rule) = spec.and_then(|spec| read_policy(&spec, catalog, report)) else { continue };
        match rules.iter().find(|known| known.rule == rule.rule) {
            Some(known) => {
                let place = format!("{}:{}", known.at.file, known.at.place.line);
                let message = format!("the rule {} is there twice (see {place}): it counts once", rule.rule.name());
                item.notice(report, NoticeLevel::Warning, message);
            }
            None => rules.push(rule),
        }
    }
    rules
}

/// A plain text, or the value of the one key `reference`.
fn reference_in<'d>(item: &Cursor<'d>, reference: &str, report: &mut Report) -> Option<Cursor<'d>> {
    use super::yaml::Value;
    match &item.node.value {
        Value::Map(entries) if entries.iter().any(|entry| entry.key == reference) => {
            let fields = item.fields(report, &[reference, "operator"])?;
            notice_operator(&fields, report);
            fields.get(reference)
        }
        Value::Map(_) => None,
        _ => Some(item.clone()),
    }
}

/// Reads an `AlertPolicy`; anything that tailburn would handle differently is an error.
pub(super) fn read_policy<'d>(
    spec: &Cursor<'d>,
    catalog: &Catalog<'d>,
    report: &mut Report,
) -> Option<WrittenRule<'d>> {
    let keys = [
        "description",
        "alertWhenNoData",
        "alertWhenResolved",
        "alertWhenBreaching",
        "conditions",
        "notificationTargets",
        "operator",
    ];
    let fields = spec.fields(report, &keys)?;
    if let Some(at) = fields.get("alertWhenNoData")
        && at.bool(report)?
    {
        at.error(report, "`alertWhenNoData: true` is not supported yet", "the status says `no_data`");
    }
    if let Some(at) = fields.get("alertWhenBreaching")
        && !at.bool(report)?
    {
        at.error(report, "a policy that does not alert when breaching does nothing", "leave it out");
    }
    if let Some(at) = fields.get("alertWhenResolved")
        && !at.bool(report)?
    {
        at.notice(report, NoticeLevel::Warning, "`false` has no effect: the end of an alert is always published");
    }
    if let Some(at) = fields.get("notificationTargets") {
        check_targets(&at, catalog, report);
    }
    let conditions = fields.require(report, "conditions", "a policy has one condition")?.list(report);
    let [condition] = conditions.as_slice() else {
        spec.error(
            report,
            format!("a policy has one condition, not {}", conditions.len()),
            "write one policy per condition; a pair of windows goes to the annotation tailburn.dev/alert-rules",
        );
        return None;
    };
    notice_operator(&fields, report);
    let spec = match reference_in(condition, "conditionRef", report) {
        Some(reference) => catalog.resolve(Kind::AlertCondition, &reference, report)?.spec.clone()?,
        None => read_inline(condition, Kind::AlertCondition, report)?.1,
    };
    read_condition(&spec, report)
}

/// One condition is the same with `and` and with `or`.
fn notice_operator(fields: &super::cursor::Fields<'_>, report: &mut Report) {
    if let Some(at) = fields.get("operator") {
        at.notice(report, NoticeLevel::Warning, "`operator` has no effect: there is one condition");
    }
}

/// tailburn notifies nobody, but an unknown target name is still a mistake.
fn check_targets<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) {
    let mut names_some = false;
    for item in at.list(report) {
        let Some(reference) = reference_in(&item, "targetRef", report) else {
            names_some |= read_inline(&item, Kind::AlertNotificationTarget, report).is_some();
            continue;
        };
        let Some(name) = reference.text(report) else { continue };
        names_some = true;
        if catalog.find(Kind::AlertNotificationTarget, name).is_none() {
            let known = || catalog.of_kind(Kind::AlertNotificationTarget).map(|document| document.name);
            let remedy = match closest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add a document of kind AlertNotificationTarget with this name, or leave it out".to_owned(),
            };
            reference.error(report, format!("there is no AlertNotificationTarget `{name}`"), remedy);
        }
    }
    if names_some {
        let message = "tailburn itself notifies nobody: consumers of the topic burn-alerts do";
        at.notice(report, NoticeLevel::Advice, message);
    }
}

/// Reads an `AlertCondition`: a rule with a single window.
pub(super) fn read_condition<'d>(spec: &Cursor<'d>, report: &mut Report) -> Option<WrittenRule<'d>> {
    let fields = spec.fields(report, &["description", "severity", "condition"])?;
    let severity = fields
        .require(report, "severity", "write page, ticket or info")
        .and_then(|at| read_severity(&at, at.text(report)?, report));
    let condition = fields.require(report, "condition", "write condition: {kind: burnrate, op: gt, ...}")?;
    let fields = condition.fields(report, &["kind", "op", "threshold", "lookbackWindow", "alertAfter"])?;
    check_condition_kind(&fields, report);
    let threshold = fields.require(report, "threshold", "write the burn-rate factor, as in 13.44").and_then(|at| {
        at.number(report)?;
        read_factor(&at, at.text(report)?, report)
    });
    let window = fields
        .require(report, "lookbackWindow", "write the window, as in 1h")
        .and_then(|at| read_window(&at, at.text(report)?, report));
    written_rule(&condition, Rule { long_ms: window?, short_ms: None, factor: threshold?, severity: severity? }, report)
}

fn check_condition_kind(fields: &super::cursor::Fields<'_>, report: &mut Report) {
    if let Some(at) = fields.get("kind")
        && let Some(kind) = at.text(report)
        && !kind.eq_ignore_ascii_case("burnrate")
    {
        at.error(report, format!("there is no kind of condition `{kind}`"), "write burnrate");
    }
    if let Some(at) = fields.get("op") {
        match at.text(report) {
            None | Some("gt") => {}
            Some("gte") => at.notice(report, NoticeLevel::Warning, "a rule fires above its factor, as with `gt`"),
            Some(other) => {
                at.error(report, format!("a burn rate alerts when it is above a factor, not `{other}`"), "write gt")
            }
        }
    }
    if let Some(at) = fields.get("alertAfter")
        && let Some(text) = at.text(report)
        && duration::parse(text) != Ok(0)
    {
        at.error(report, "`alertAfter` is not supported yet", "write 0m, or leave it out");
    }
}
