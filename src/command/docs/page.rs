//! The page: a table of contents, a section for each SLO, the glossary.

use super::{glossary, words};
use crate::command::check::firing::{self, FiringRow, percent};
use crate::command::report::escaped;
use crate::model::duration;
use crate::model::period::Method;
use crate::model::slo::{
    Aggregate, Criterion, GaugeSpec, Indicator, RuleKind, Severity, Slo, TenantAlerts, ThresholdOp,
};
use std::fmt::Write as _;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}table{border-collapse:collapse;width:100%;margin:.5rem 0}\
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}\
th[scope=row]{width:12rem;font-weight:600}code{font-size:.9em;overflow-wrap:anywhere}small,.none{color:#555}\
@media print{body{margin:0;max-width:none}h2,h3{break-after:avoid}tr{break-inside:avoid}nav{break-after:page}}";

pub fn page(slos: &[Slo]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Service level objectives</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Service level objectives</h1>\n<nav>\n<table><tr><th>SLO</th><th>Service</th><th>Objective</th><th>Owner</th></tr>\n"
    );
    for (i, slo) in slos.iter().enumerate() {
        let owner = slo.documentation.owner.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td><a href=\"#slo-{i}\">{}</a></td><td>{}</td><td>{} over {}</td><td>{}</td></tr>",
            escaped(&title(slo)),
            escaped(&slo.service),
            target(slo),
            escaped(&slo.period.name()),
            escaped(owner)
        );
    }
    out.push_str("</table>\n</nav>\n");
    slos.iter().enumerate().for_each(|(i, slo)| section(&mut out, i, slo));
    out.push_str("<h2 id=\"glossary\">Glossary</h2>\n<table>\n");
    glossary::TERMS.iter().for_each(|(term, meaning)| row(&mut out, term, &escaped(meaning)));
    out.push_str("</table>\n</body></html>\n");
    out
}

fn section(out: &mut String, index: usize, slo: &Slo) {
    let d = &slo.documentation;
    let _ = writeln!(out, "<h2 id=\"slo-{index}\">{}</h2>", escaped(&title(slo)));
    if let Some(description) = &d.description {
        let _ = writeln!(out, "<p>{}</p>", escaped(description.trim()));
    }
    out.push_str("<table>\n");
    row(out, "Name", &format!("<code>{}</code>", escaped(&slo.name)));
    row(out, "Service", &escaped(&slo.service));
    row(out, "Objective", &escaped(&objective(slo)));
    indicator(out, slo);
    for (label, text) in [
        ("Owner", &d.owner),
        ("Escalation", &d.escalation),
        ("Why", &d.why),
        ("How measured", &d.how_measured),
        ("Accepted variation", &d.accepted_variation),
        ("Review by", &d.review_by),
        ("Runbook", &d.runbook),
        ("Dashboard", &d.dashboard),
    ] {
        match text {
            Some(text) => row(out, label, &linked(text.trim())),
            None => row(out, label, "<span class=\"none\">not written</span>"),
        }
    }
    if !slo.tenant_objectives.is_empty() {
        let of = slo.tenant_objectives.iter().map(|(tenant, o)| format!("{tenant} {}", percent(o.as_f64())));
        row(out, "Tenants with their own", &escaped(&of.collect::<Vec<_>>().join(", ")));
    }
    agreement(out, slo);
    row(out, "Definition hash", &format!("<code>{}</code>", escaped(&slo.definition_hash)));
    out.push_str("</table>\n");
    rules(out, slo);
}

/// For the table of contents.
fn target(slo: &Slo) -> String {
    match slo.gauge().filter(|_| slo.is_value()) {
        Some(gauge) => escaped(&value_of(gauge)),
        None => percent(slo.objective.as_f64()),
    }
}

/// The objectives of one document share its title.
fn title(slo: &Slo) -> String {
    match &slo.objective_name {
        Some(objective) if slo.display_name != slo.name => format!("{}: {objective}", slo.display_name),
        _ => slo.display_name.clone(),
    }
}

/// `99.9 % of events over 28d`, in the unit that the SLO counts.
fn objective(slo: &Slo) -> String {
    let share = percent(slo.objective.as_f64());
    let window = match slo.period.calendar() {
        Some(calendar) => format!("each calendar period of {} in {}", slo.period.name(), calendar.zone),
        None => format!("the last {}", duration::words(slo.period.nominal_ms())),
    };
    let gauge = slo.gauge().map(value_of);
    let composite = slo.components().len();
    let slice = |slice_ms| duration::words(slice_ms);
    match (&slo.method, &gauge) {
        (Method::Occurrences, Some(value)) => format!("{value}, over {window}"),
        (Method::Occurrences, None) if composite > 0 => {
            format!("{share} over {window}, as the weighted mean of {composite} components")
        }
        (Method::Occurrences, None) if slo.journey().is_some() => {
            format!("{share} of the attempts at the journey are good, over {window}")
        }
        (Method::Occurrences, None) => format!("{share} of the events are good, over {window}"),
        (Method::Timeslices(slicing), _) => format!(
            "{share} of the slices of {} are good, over {window}; a slice is good when {}",
            slice(slicing.slice_ms),
            match gauge {
                Some(value) => value.clone(),
                None if composite > 0 => "no component's is bad".to_owned(),
                None => format!("{} of its events are", percent(slicing.target.as_f64())),
            }
        ),
        (Method::RatioTimeslices(slicing), _) => {
            format!(
                "{share} is the mean of the shares of good events of all slices of {}, over {window}",
                slice(slicing.slice_ms)
            )
        }
    }
}

fn indicator(out: &mut String, slo: &Slo) {
    if let Some(journey) = slo.journey() {
        for (number, (step, filter)) in (1..).zip(journey.steps.iter().zip(&slo.steps)) {
            let tries = match step.retries {
                0 => String::new(),
                1 => "; one failure may be tried again".to_owned(),
                retries => format!("; {retries} failures may be tried again"),
            };
            let text = format!(
                "{}: {}{}<br><small><code>{}</code></small>",
                escaped(&step.name),
                escaped(&words::of(filter.condition())),
                escaped(&tries),
                escaped(filter.source())
            );
            row(out, &format!("Step {number}"), &text);
        }
        if let Some(by) = &journey.by {
            row(out, "An attempt is", &escaped(&format!("the events of a user that have the same {by}")));
        }
        if let Some(within_ms) = journey.within_ms {
            row(out, "Bad if it takes longer than", &escaped(&duration::print(within_ms)));
        }
        row(out, "An attempt ends after", &escaped(&duration::print(journey.timeout_ms)));
        return criterion(out, &slo.indicator, false);
    }
    if slo.components().is_empty() {
        return indicator_of(out, &slo.indicator, slo.gauge().is_some());
    }
    for (component, indicator) in slo.components().iter().zip(&slo.indicators) {
        let text = format!(
            "{}: {} of its events, with the weight {}",
            component.name,
            percent(component.objective.as_f64()),
            component.weight
        );
        row(out, "Component", &escaped(&text));
        indicator_of(out, indicator, false);
    }
}

fn expression(words: &str, source: &str) -> String {
    format!("{}<br><small><code>{}</code></small>", escaped(words), escaped(source))
}

fn indicator_of(out: &mut String, indicator: &Indicator, is_gauge: bool) {
    let total = indicator.total.as_ref();
    row(
        out,
        "Which events count",
        &total.map_or("every event".to_owned(), |filter| expression(&words::of(filter.condition()), filter.source())),
    );
    criterion(out, indicator, is_gauge);
}

fn criterion(out: &mut String, indicator: &Indicator, is_gauge: bool) {
    match &indicator.criterion {
        Criterion::Good(filter) => row(out, "Good", &expression(&words::of(filter.condition()), filter.source())),
        Criterion::Bad(filter) => row(out, "Bad", &expression(&words::of(filter.condition()), filter.source())),
        Criterion::Threshold { value, .. } if is_gauge => {
            row(out, "Value", &expression(&value.to_string(), value.source()));
        }
        Criterion::Threshold { value, op, threshold } => {
            let (sign, word) = compared(*op);
            let source = format!("{} {sign} {threshold}", value.source());
            row(out, "Good", &expression(&format!("{value} {word} {threshold}"), &source));
        }
    }
}

const fn compared(op: ThresholdOp) -> (&'static str, &'static str) {
    match op {
        ThresholdOp::Lte => ("<=", "is at most"),
        ThresholdOp::Gte => (">=", "is at least"),
        ThresholdOp::Lt => ("<", "is below"),
        ThresholdOp::Gt => (">", "is above"),
    }
}

/// The value of a gauge, in words: `the mean of the values is at most 3`.
fn value_of(gauge: &GaugeSpec) -> String {
    let which = match gauge.aggregate {
        Aggregate::Last => "the last value",
        Aggregate::Mean => "the mean of the values",
        Aggregate::Min => "the smallest value",
        Aggregate::Max => "the largest value",
    };
    format!("{which} {} {}", compared(gauge.op).1, gauge.target)
}

fn agreement(out: &mut String, slo: &Slo) {
    if let Some(sla) = &slo.sla {
        let all = sla.objective.map(|objective| percent(objective.as_f64()));
        let of = sla.tenants.iter().map(|(tenant, objective)| format!("{tenant} {}", percent(objective.as_f64())));
        let parts: Vec<String> = all.into_iter().chain(of).collect();
        let text = format!("{} per {} in {}", parts.join(", "), sla.calendar.name(), sla.calendar.zone);
        row(out, "Agreement", &escaped(&text));
    }
    if !slo.policy.is_empty() {
        let steps = slo.policy.iter().map(|step| format!("{} at {} of the budget left", step.action, step.remaining));
        row(out, "Policy", &escaped(&steps.collect::<Vec<_>>().join(", ")));
    }
}

fn rules(out: &mut String, slo: &Slo) {
    out.push_str("<h3>Rules</h3>\n");
    if slo.all_rules().next().is_none() {
        out.push_str("<p>None: no alert is raised.</p>\n");
        return;
    }
    out.push_str("<table><tr><th>Rule</th><th>Severity</th><th>Fires when</th></tr>\n");
    for (kind, rule) in slo.all_rules() {
        let when = match kind {
            RuleKind::BurnRate => {
                let windows = match rule.short_ms {
                    Some(short) => {
                        format!("the last {} and the last {}", duration::words(rule.long_ms), duration::words(short))
                    }
                    None => format!("the last {}", duration::words(rule.long_ms)),
                };
                format!("the burn over {windows} is above {}", factor(rule.factor.as_f64()))
            }
            RuleKind::Budget => "a good part of the budget goes too fast, and not by chance".to_owned(),
            RuleKind::Tail => "the aggregate is fine, and its worst-served users are not".to_owned(),
            RuleKind::Exhaustion => "the budget will soon be gone".to_owned(),
            RuleKind::Sla => "the agreement is missed, or will be".to_owned(),
        };
        cells(out, &[&kind.name(&rule), rule.severity.as_str(), &when]);
    }
    out.push_str("</table>\n");
    let cap = match slo.tenant_alerts {
        TenantAlerts::Off => "raise no alert".to_owned(),
        TenantAlerts::UpTo(severity) => format!("are at most of severity {}", severity.as_str()),
    };
    let _ = writeln!(out, "<p><small>Alerts of one tenant alone {cap}.</small></p>");
    for table in firing::tables(std::slice::from_ref(slo), None) {
        let traffic = firing::rate(table.events_per_second, table.unit);
        let _ = writeln!(
            out,
            "<h3>When they fire</h3>\n<p><small>A steady share of failures, at {traffic}.</small></p>\n\
             <table><tr><th>Failures</th><th>First alert</th><th>After</th><th>Budget gone by then</th><th>Page after</th></tr>"
        );
        table.rows.iter().for_each(|row| firing_row(out, row));
        out.push_str("</table>\n");
    }
}

/// At most four digits behind the point.
fn factor(factor: f64) -> String {
    let text = format!("{factor:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn firing_row(out: &mut String, row: &FiringRow) {
    let never = || "never".to_owned();
    let page = row.alerts.iter().find(|alert| alert.severity == Severity::Page.as_str());
    let page = page.map_or_else(never, |alert| duration::short_words(alert.after_ms));
    let (first, after, spent) = match row.alerts.first() {
        Some(alert) => (
            format!("{} {}", alert.rule, alert.severity),
            duration::short_words(alert.after_ms),
            percent(alert.budget_spent),
        ),
        None => ("none".to_owned(), never(), "-".to_owned()),
    };
    cells(out, &[&percent(row.error_ratio), &first, &after, &spent, &page]);
}

/// `html` is markup; the label is ours.
fn row(out: &mut String, label: &str, html: &str) {
    let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{html}</td></tr>", escaped(label));
}

fn cells(out: &mut String, cells: &[&str]) {
    out.push_str("<tr>");
    for cell in cells {
        let _ = write!(out, "<td>{}</td>", escaped(cell));
    }
    out.push_str("</tr>\n");
}

/// A text; an address of the web becomes a link.
fn linked(text: &str) -> String {
    let shown = escaped(text);
    let is_address =
        (text.starts_with("https://") || text.starts_with("http://")) && !text.contains(char::is_whitespace);
    if is_address { format!("<a href=\"{shown}\">{shown}</a>") } else { shown }
}
