//! The documents of a scenario's SLOs: of events, of slices of time, composites, values and journeys.

use crate::dice::Dice;
use crate::scenario::EPOCH_MS;
use serde_json::{Value, json};
use tailburn::model::time::{MINUTE_MS, Moment, Ms};

/// What an SLO is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Events,
    Components,
    /// A value, by its `aggregate`.
    Value(&'static str),
    /// Attempts, by their time-out.
    Journey(&'static str),
}

/// How an SLO counts.
#[derive(Clone, Copy)]
struct Kind {
    subject: Subject,
    method: &'static str,
    slice: &'static str,
    /// `timeslice-min-events`.
    least: u64,
}

impl Kind {
    fn draw(dice: &mut Dice) -> Kind {
        let value = Subject::Value(dice.pick(&["last", "mean", "min", "max"]));
        let journey = Subject::Journey(dice.pick(&["90s", "4m", "20m"]));
        let of_composite = dice.pick(&["Occurrences", "Timeslices", "RatioTimeslices"]);
        let (subject, method) = dice.pick(&[
            (Subject::Events, "Occurrences"),
            (Subject::Events, "Occurrences"),
            (Subject::Events, "Occurrences"),
            (Subject::Events, "Occurrences"),
            (Subject::Events, "Timeslices"),
            (Subject::Events, "RatioTimeslices"),
            (Subject::Components, of_composite),
            (value, "Occurrences"),
            (value, "Occurrences"),
            (value, "Timeslices"),
            (journey, "Occurrences"),
            (journey, "Occurrences"),
        ]);
        Kind { subject, method, slice: dice.pick(&["1m", "5m"]), least: dice.pick(&[1, 2]) }
    }

    fn has_slices(&self) -> bool {
        self.method != "Occurrences"
    }

    fn is_of_value(&self) -> bool {
        matches!(self.subject, Subject::Value(_))
    }

    /// The annotations that only this kind has.
    fn annotations(&self) -> String {
        let least = format!("tailburn.dev/timeslice-min-events: '{}',", self.least);
        let goal = "tailburn.dev/goal: 'baseline=300',";
        [(self.has_slices(), least.as_str()), (self.is_of_value(), goal)]
            .iter()
            .filter(|(has, _)| *has)
            .map(|(_, text)| *text)
            .collect()
    }

    /// The rules, which must see a slice; a value has none.
    fn rules(&self, of_events: &str, dice: &mut Dice) -> String {
        let of_slices = dice.pick(&["30m/5m/1/page,1h/10m/2/ticket", "10m/5m/2/page"]);
        let rules = if self.has_slices() { of_slices } else { of_events };
        match self.is_of_value() && !self.has_slices() {
            true => String::new(),
            false => format!("tailburn.dev/alert-rules: '{rules}',"),
        }
    }

    fn objective(&self, name: &str, more: &str, target: &str) -> String {
        let slices = match self.method {
            "Timeslices" => format!("timeSliceWindow: {}, timeSliceTarget: 0.8, ", self.slice),
            "RatioTimeslices" => format!("timeSliceWindow: {}, ", self.slice),
            _ => String::new(),
        };
        format!("{{displayName: {name}, {more}{slices}target: {target}}}")
    }

    /// `indicator`, where the document has one for all objectives, `budgetingMethod` and `objectives`.
    fn spec(&self, number: i64, [good, total]: [&str; 2], target: &str) -> String {
        let method = self.method;
        match self.subject {
            Subject::Events => format!(
                "\x20 indicator: {}\n\x20 budgetingMethod: {method}\n\x20 objectives: [{}]\n",
                indicator(&format!("indicator{number}"), &ratio(good, total)),
                self.objective("standard", "", target)
            ),
            Subject::Value(aggregate) => format!(
                "\x20 indicator: {}\n\x20 budgetingMethod: {method}\n\x20 objectives: [{}]\n",
                indicator(&format!("indicator{number}"), &threshold(total, &format!(", aggregate: {aggregate}"))),
                self.objective("standard", "op: lt, value: 500, ", target)
            ),
            Subject::Journey(timeout) => format!(
                "\x20 indicator: {}\n\x20 budgetingMethod: {method}\n\x20 objectives: [{}]\n",
                indicator(&format!("indicator{number}"), &journey(good, timeout)),
                self.objective("standard", "", target)
            ),
            Subject::Components => {
                let answered = indicator("answered", &ratio(good, total));
                let fast = indicator("fast", &threshold("operation == 'pay'", ""));
                let answered =
                    self.objective("answered", &format!("compositeWeight: 2, indicator: {answered}, "), target);
                let fast = self.objective("fast", &format!("indicator: {fast}, op: lt, value: 800, "), "0.75");
                format!("\x20 budgetingMethod: {method}\n\x20 objectives: [{answered}, {fast}]\n")
            }
        }
    }
}

fn indicator(name: &str, metric: &str) -> String {
    format!("{{metadata: {{name: {name}}}, spec: {{{metric}}}}}")
}

fn ratio(good: &str, total: &str) -> String {
    format!(
        "ratioMetric: {{counter: true, good: {{metricSource: {{type: tailburn, spec: {{filter: \"{good}\"}}}}}}, \
         total: {{metricSource: {{type: tailburn, spec: {{filter: \"{total}\"}}}}}}}}"
    )
}

fn journey(good: &str, timeout: &str) -> String {
    format!(
        "ratioMetric: {{counter: true, good: {{metricSource: {{type: tailburn, spec: {{filter: \"{good}\"}}}}}}, \
         total: {{metricSource: {{type: tailburn, spec: {{journey: {{timeout: {timeout}, steps: [\
         {{name: look, filter: \"operation != 'pay'\", retries: 1}}, {{name: pay, filter: \"operation == 'pay'\"}}]}}}}}}}}}}"
    )
}

fn threshold(filter: &str, more: &str) -> String {
    format!(
        "thresholdMetric: {{metricSource: {{type: tailburn, spec: {{filter: \"{filter}\", value: latency_ms{more}}}}}}}"
    )
}

/// The document of a composite with one more component.
pub fn with_another_component(document: &str) -> String {
    let slices = document.find("timeSlice").map_or("", |from| {
        let to = document[from..].find("target: ").map_or(document.len(), |length| from + length);
        &document[from..to]
    });
    let indicator = indicator("browsed", &ratio("status < 500", "operation == 'browse'"));
    let more = format!("{{displayName: browsed, compositeWeight: 0.5, indicator: {indicator}, {slices}target: 0.7}}");
    format!("{}, {more}]\n", document.trim_end().trim_end_matches(']'))
}

/// The document with another `budgetingMethod`: events become slices, slices their shares, and these events again. Slices of
/// a value become the value.
pub fn with_next_method(document: &str) -> String {
    let is_of_value = document.contains("aggregate: ");
    let next = match document {
        _ if document.contains("budgetingMethod: Occurrences") => "Timeslices",
        _ if document.contains("budgetingMethod: Timeslices") && !is_of_value => "RatioTimeslices",
        _ => "Occurrences",
    };
    let changed = replaced(document, "budgetingMethod: ", "\n", next);
    match next {
        "Timeslices" => changed.replace("target: ", "timeSliceWindow: 1m, timeSliceTarget: 0.8, target: "),
        "RatioTimeslices" => without(&changed, "timeSliceTarget: "),
        _ => {
            let of_value = if is_of_value { "tailburn.dev/alert-rules: '" } else { "\0" };
            let written = ["timeSliceWindow: ", "timeSliceTarget: ", "tailburn.dev/timeslice-min-events: ", of_value];
            written.iter().fold(changed, |text, name| without(&text, name))
        }
    }
}

/// The text with something else between the first `from` and the next `to`.
pub fn replaced(text: &str, from: &str, to: &str, new: &str) -> String {
    let begin = text.find(from).expect("it is in the document") + from.len();
    let end = begin + text[begin..].find(to).expect("it ends");
    format!("{}{new}{}", &text[..begin], &text[end..])
}

/// The text without every field that begins like this; it ends with a comma behind a quote, where it has one.
fn without(text: &str, name: &str) -> String {
    let mut left = text.to_owned();
    while let Some(begin) = left.find(name) {
        let end = if name.starts_with("tailburn") { "'," } else { "," };
        let behind = begin + name.len();
        let end = behind + left[behind..].find(end).expect("it ends") + end.len();
        left.replace_range(begin..end, "");
    }
    left
}

/// A document.
pub fn slo(number: i64, dice: &mut Dice, signals: &mut Dice, kinds: &mut Dice) -> String {
    let kind = Kind::draw(kinds);
    let canary = signals.pick(&[
        "",
        "tailburn.dev/canary: release,",
        "tailburn.dev/canary: release, tailburn.dev/canary-max-burn: '2',",
        "tailburn.dev/canary: release=v2/v1,",
    ]);
    let canary = if kind.subject == Subject::Events { canary } else { "" };
    let budget = signals.pick(&["on", "on", "off"]);
    let promises = signals.pick(&[
        "",
        "tailburn.dev/policy: '0.5=caution, 0=freeze',",
        "tailburn.dev/sla: 0.97 per 1d in Asia/Kathmandu, tailburn.dev/tenant-slas: t1=0.9,",
    ]);
    let promises = if kind.is_of_value() { "" } else { promises };
    let is_calendar = signals.one_in(4);
    let (period, users) = dice.pick(&[("28d", "10m,1d"), ("1h", "10m"), ("2h", "10m,1h"), ("12h", "1h")]);
    // Days that begin at 05:00 in the zone, so that runs of hours see an end.
    let window = if is_calendar {
        "duration: 1d, isRolling: false, calendar: {startTime: '2026-01-01 05:00:00', timeZone: Europe/Berlin}"
            .to_owned()
    } else {
        format!("duration: {period}, isRolling: true")
    };
    let rules = dice.pick(&["10m/1m/3/page,30m/5m/1/ticket", "5m/1m/2/ticket", "20m/2/page"]);
    let group_by = dice.pick(&["", "tailburn.dev/group-by: region,", "tailburn.dev/group-by: 'region,tier',"]);
    let good = dice.pick(&["status < 500", "latency_ms < 700.0", "status < 500 && latency_ms < 900.0"]);
    let total = dice.pick(&["true", "operation == 'pay'"]);
    let lateness = dice.pick(&["0s", "1m", "10m"]);
    let alerts = dice.pick(&["info", "page", "off"]);
    let least = dice.pick(&[1, 2, 5]);
    let target = dice.pick(&["0.8", "0.9", "0.95"]);
    format!(
        "apiVersion: openslo/v1\n\
         kind: SLO\n\
         metadata:\n\
         \x20 name: slo{number}\n\
         \x20 annotations: {{{group_by} {canary} {promises} {own} {rules} tailburn.dev/budget-rule: '{budget}',\n\
         \x20   tailburn.dev/allowed-lateness: {lateness}, tailburn.dev/user-windows: '{users}',\n\
         \x20   tailburn.dev/tenant-alerts: {alerts}, tailburn.dev/no-data-after: 10m,\n\
         \x20   tailburn.dev/min-user-events: '{least}', tailburn.dev/low-traffic-guard: 'off'}}\n\
         spec:\n\
         \x20 service: checkout\n\
         \x20 timeWindow: [{{{window}}}]\n\
         {spec}",
        own = kind.annotations(),
        rules = kind.rules(rules, kinds),
        spec = kind.spec(number, [good, total], target),
    )
}

/// The `maintenance` of the configuration: none, of all SLOs, of one, or of one tenant. The first SLO may be removed
/// later, so no entry names it.
pub fn maintenance(dice: &mut Dice, span_ms: Ms, documents: usize) -> Value {
    let mut entries = Vec::new();
    for number in 0..dice.pick(&[0, 1, 2]) {
        let start_ms = EPOCH_MS + dice.between(0, span_ms);
        let end_ms = start_ms + dice.between(1, 20) * MINUTE_MS;
        let slos = if documents > 1 && dice.one_in(2) { vec!["slo1"] } else { Vec::new() };
        let tenants = if dice.one_in(3) { vec!["t1"] } else { Vec::new() };
        entries.push(json!({
            "name": format!("upgrade {number}"),
            "start": Moment(start_ms).to_string(),
            "end": Moment(end_ms).to_string(),
            "slos": slos,
            "tenants": tenants,
        }));
    }
    Value::Array(entries)
}
