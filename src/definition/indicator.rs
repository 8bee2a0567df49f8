//! SLI documents and inline indicators -> compiled filters. The threshold of a threshold metric belongs to the
//! objective and is added later, because several objectives may share one indicator.

use super::cursor::{Cursor, Fields};
use super::document::{Catalog, Document, Kind};
use super::error::{NoticeLevel, Report};
use super::expression::{ExpressionError, compile_filter, compile_number};
use super::journey::{self, JourneySpec};
use crate::model::expr::{Filter, NumberExpr, Reference};
use crate::model::slo::Aggregate;
use crate::model::suggest::closest;

/// An indicator without the objective's part.
#[derive(Clone)]
pub(super) struct IndicatorSpec {
    pub name: String,
    pub total: Option<Filter>,
    pub metric: Metric,
    /// Of a gauge, with its place.
    pub aggregate: Option<Aggregate>,
    /// Users are counted, each once.
    pub counts_users: bool,
    /// Attempts at several steps are counted.
    pub journey: Option<JourneySpec>,
}

#[derive(Clone)]
pub(super) enum Metric {
    Good(Filter),
    Bad(Filter),
    Value(NumberExpr),
}

/// The type of metric source that tailburn reads.
const SOURCE_TYPE: &str = "tailburn";

/// Reads the `spec` of an SLI or of an inline indicator.
pub(super) fn read_indicator<'d>(
    name: &str,
    spec: &Cursor<'d>,
    catalog: &Catalog<'d>,
    report: &mut Report,
) -> Option<IndicatorSpec> {
    let fields = spec.fields(report, &["ratioMetric", "thresholdMetric", "description"])?;
    let (total, metric, aggregate) = match (fields.get("ratioMetric"), fields.get("thresholdMetric")) {
        (Some(ratio), None) => {
            let (total, metric) = read_ratio(&ratio, catalog, report)?;
            (total, metric, None)
        }
        (None, Some(threshold)) => {
            let (total, metric, aggregate) = read_threshold(&threshold, catalog, report)?;
            (Total { filter: total, journey: None }, metric, aggregate)
        }
        (Some(_), Some(second)) => {
            second.error(report, "an indicator has a ratioMetric or a thresholdMetric, not both", "leave one out");
            return None;
        }
        (None, None) => {
            spec.error(report, "`ratioMetric` is missing", "write ratioMetric: {good: ..., total: ...}");
            return None;
        }
    };
    let counts_users = match fields.get("ratioMetric") {
        Some(ratio) => read_count(&ratio, report)?,
        None => false,
    };
    if let (true, Some(_), Some(ratio)) = (counts_users, &total.journey, fields.get("ratioMetric")) {
        ratio.error(report, "a journey counts attempts, not users", "leave `count` out, or `journey`");
        return None;
    }
    let Total { filter, journey } = total;
    Some(IndicatorSpec { name: name.to_owned(), total: filter, metric, aggregate, counts_users, journey })
}

/// Which events count.
struct Total {
    filter: Option<Filter>,
    journey: Option<JourneySpec>,
}

fn read_ratio<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<(Total, Metric)> {
    let fields = at.fields(report, &["counter", "good", "bad", "total", "raw", "rawType"])?;
    let remedy = "tailburn counts outcomes itself: write `good` (or `bad`) and `total`";
    let raw = refuse_raw(&fields, remedy, report);
    if let Some(counter) = fields.get("counter")
        && counter.bool(report) == Some(false)
    {
        counter.notice(report, NoticeLevel::Warning, "outcomes are always counted: `counter: false` has no effect");
    }
    let total = match fields.get("total") {
        Some(total) => read_total(&total, catalog, report),
        None => Some(Total { filter: None, journey: None }),
    };
    let metric = match (fields.get("good"), fields.get("bad")) {
        (Some(good), None) => required_filter(&good, catalog, report).map(Metric::Good),
        (None, Some(bad)) => required_filter(&bad, catalog, report).map(Metric::Bad),
        (Some(_), Some(bad)) => {
            bad.error(
                report,
                "`good` and `bad` exclude each other",
                "leave one out: the other events are the other kind",
            );
            None
        }
        (None, None) => {
            if !raw {
                at.error(report, "`good` is missing", "write `good` (or `bad`) with a filter, as in \"status < 500\"");
            }
            None
        }
    };
    if raw { None } else { Some((total?, metric?)) }
}

fn read_threshold<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<Threshold> {
    let source = read_source(at, catalog, report)?;
    let remedy = "name the number, as in `value: latency_ms`";
    let Some(spec) = source.get("spec") else {
        source.at.error(report, "`spec` is missing", remedy);
        return None;
    };
    refuse_percentile(&spec, report)?;
    let spec = spec.fields(report, &["filter", "value", "aggregate"])?;
    let aggregate = match spec.get("aggregate") {
        Some(at) => Some(read_aggregate(&at, report)?),
        None => None,
    };
    let total = match spec.get("filter") {
        Some(filter) => compile(&filter, report, compile_filter).map(Some),
        None => Some(None),
    };
    let value = spec.require(report, "value", remedy).and_then(|at| {
        let value = compile(&at, report, compile_number)?;
        advise(&at, &value.unguarded_reads(), report);
        Some(value)
    });
    if let (Some(Some(total)), Some(at)) = (&total, spec.get("filter")) {
        advise(&at, &total.unguarded_reads(), report);
    }
    Some((total?, Metric::Value(value?), aggregate))
}

/// What counts, the value, and how the values of a gauge become one.
type Threshold = (Option<Filter>, Metric, Option<Aggregate>);

fn read_aggregate(at: &Cursor<'_>, report: &mut Report) -> Option<Aggregate> {
    let text = at.text(report)?;
    let found = Aggregate::ALL.into_iter().find(|aggregate| aggregate.as_str() == text);
    if found.is_none() {
        at.error(report, format!("`{text}` makes no value of many"), "write last, mean, min or max");
    }
    found
}

/// A ratio that comes as one number says nothing of the events behind it.
fn refuse_raw(fields: &Fields<'_>, remedy: &str, report: &mut Report) -> bool {
    let mut found = false;
    for at in ["raw", "rawType"].into_iter().filter_map(|key| fields.get(key)) {
        at.error(report, "a ratio that somebody else computed has no events and no users", remedy);
        found = true;
    }
    found
}

/// "p95 below 300 ms" says that 95 % of the events are: an objective, not a value of an event.
fn refuse_percentile(spec: &Cursor<'_>, report: &mut Report) -> Option<()> {
    let Some(at) = ["percentile", "quantile"].into_iter().find_map(|key| spec.child_named(key)) else {
        return Some(());
    };
    let remedy = "\"p95 at most 300 ms\" means that 95 % of the events are: leave this out, and write the objective as \
                  {op: lte, value: 300, target: 0.95}";
    at.error(report, "an event has no percentile", remedy);
    None
}

/// Whether users are counted: both specs say so, or none.
fn read_count(ratio: &Cursor<'_>, report: &mut Report) -> Option<bool> {
    let count = |side: &str| {
        let spec = ratio.child_named(side)?.child_named("metricSource")?.child_named("spec")?;
        spec.child_named("count")
    };
    let written: Vec<_> = ["good", "bad", "total"].into_iter().filter_map(count).collect();
    for at in &written {
        if at.text(report)? != "users" {
            at.error(report, "only users can be counted instead of events", "write count: users, or leave it out");
            return None;
        }
    }
    match written.as_slice() {
        [] => Some(false),
        [_, _] => Some(true),
        [at, ..] => {
            at.error(
                report,
                "the other metric counts events",
                "write count: users in `total` and in `good` (or `bad`)",
            );
            None
        }
    }
}

fn required_filter<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<Filter> {
    let filter = read_filter(at, catalog, report)?;
    if filter.is_none() {
        at.error(report, "`filter` is missing", "write spec: {filter: ...}, as in \"status < 500\"");
    }
    filter
}

/// What counts: events, or attempts at a journey.
fn read_total<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<Total> {
    let Some(spec) = read_source(at, catalog, report)?.get("spec") else {
        return Some(Total { filter: None, journey: None });
    };
    let fields = spec.fields(report, &["filter", "count", "journey"])?;
    if let (Some(_), Some(second)) = (fields.get("filter"), fields.get("journey")) {
        second.error(report, "`filter` and `journey` exclude each other", "the filters of the steps say what counts");
        return None;
    }
    let journey = match fields.get("journey") {
        Some(at) => Some(journey::read(&at, report)?),
        None => None,
    };
    let filter = match fields.get("filter") {
        Some(at) => Some(filter_of(&at, report)?),
        None => None,
    };
    Some(Total { filter, journey })
}

/// The filter of a metric; `Some(None)` if it has none, `None` if it is wrong.
fn read_filter<'d>(at: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<Option<Filter>> {
    let Some(spec) = read_source(at, catalog, report)?.get("spec") else { return Some(None) };
    let Some(filter_at) = spec.fields(report, &["filter", "count"])?.get("filter") else { return Some(None) };
    filter_of(&filter_at, report).map(Some)
}

/// A filter, with advice about the fields that it needs.
pub(super) fn filter_of(at: &Cursor<'_>, report: &mut Report) -> Option<Filter> {
    let filter = compile(at, report, compile_filter)?;
    advise(at, &filter.unguarded_reads(), report);
    Some(filter)
}

fn read_source<'d>(metric: &Cursor<'d>, catalog: &Catalog<'d>, report: &mut Report) -> Option<Fields<'d>> {
    let remedy = "write metricSource: {type: tailburn, spec: ...}";
    let source = metric.fields(report, &["metricSource"])?.require(report, "metricSource", remedy)?;
    let fields = source.fields(report, &["metricSourceRef", "type", "spec"])?;
    let named = match fields.get("metricSourceRef") {
        Some(reference) => {
            let document = data_source(&reference, catalog, report)?;
            if data_source_type(document.spec.as_ref()) != Some(SOURCE_TYPE) {
                let message = format!("the DataSource `{}` is not of type {SOURCE_TYPE}", document.name);
                reference.error(report, message, "tailburn reads only outcomes, no other data sources");
                return None;
            }
            true
        }
        None => false,
    };
    match fields.get("type") {
        Some(at) => {
            let written = at.text(report)?;
            if written != SOURCE_TYPE {
                at.error(report, format!("`{written}` is not a source that tailburn reads"), A_SOURCE);
                return None;
            }
        }
        None if named => {}
        None => {
            source.error(report, "`type` is missing", "write `type: tailburn`");
            return None;
        }
    }
    Some(fields)
}

const A_SOURCE: &str =
    "tailburn reads outcomes, and a filter says which: write metricSource: {type: tailburn, spec: {filter: ...}}";

/// Documents written for other tools name sources that nobody would want to add here.
fn data_source<'c, 'd>(
    reference: &Cursor<'d>,
    catalog: &'c Catalog<'d>,
    report: &mut Report,
) -> Option<&'c Document<'d>> {
    let name = reference.text(report)?;
    let known = || catalog.of_kind(Kind::DataSource).map(|document| document.name);
    if catalog.find(Kind::DataSource, name).is_none() && closest(name, known()).is_none() {
        reference.error(report, format!("there is no DataSource `{name}`"), A_SOURCE);
        return None;
    }
    catalog.resolve(Kind::DataSource, reference, report)
}

/// No report here, because the DataSource document is checked separately.
fn data_source_type<'d>(spec: Option<&Cursor<'d>>) -> Option<&'d str> {
    let mut silent = Report::default();
    spec?.fields(&mut silent, &["type", "description", "connectionDetails"])?.get("type")?.text(&mut silent)
}

fn compile<T>(
    at: &Cursor<'_>,
    report: &mut Report,
    compiler: impl Fn(&str) -> Result<T, ExpressionError>,
) -> Option<T> {
    let source = at.text(report)?;
    match compiler(source) {
        Ok(compiled) => Some(compiled),
        Err(e) => {
            let shown = excerpt(source, e.character);
            let message = match e.character {
                Some(character) => format!("in `{shown}`, character {character}: {}", e.message),
                None => format!("in `{shown}`: {}", e.message),
            };
            at.error(report, message, e.remedy.unwrap_or_default());
            None
        }
    }
}

/// The expression, or for a long one the part around the mistake.
fn excerpt(source: &str, character: Option<u32>) -> String {
    let source = source.trim();
    let length = source.chars().count();
    if length <= EXCERPT_MAX {
        return source.to_owned();
    }
    let at = character.map_or(0, |character| character as usize);
    let from = at.saturating_sub(EXCERPT_MAX / 2).min(length - EXCERPT_MAX);
    let shown: String = source.chars().skip(from).take(EXCERPT_MAX).collect();
    let (before, behind) = (if from > 0 { "..." } else { "" }, if from + EXCERPT_MAX < length { "..." } else { "" });
    format!("{before}{shown}{behind}")
}

/// In characters.
const EXCERPT_MAX: usize = 120;

/// Events without the field are unclassified, which is allowed but worth a notice.
fn advise(at: &Cursor<'_>, reads: &[Reference], report: &mut Report) {
    if reads.is_empty() {
        return;
    }
    let names = reads.iter().map(Reference::to_string).collect::<Vec<_>>().join(", ");
    at.notice(
        report,
        NoticeLevel::Advice,
        format!("an event without {names} is unclassified, neither good nor bad; has() or `in` decides otherwise"),
    );
}
