//! Shows for each record of a file or topic its fields and every SLO's verdict, or why it is a dead letter.
//!
//! The verdict comes from the operator that `run` uses, so the two cannot differ; only the reason is found here.

use super::report::{Became, RecordReport, RecordsReport, Verdict};
use crate::codec::Decoder;
use crate::codec::files::InputFile;
use crate::command::decoder;
use crate::command::files::of_file;
use crate::command::notices::counted;
use crate::command::survey::Survey;
use crate::config::{InputFormat, Settings};
use crate::model::expr::{Fault, Filter};
use crate::model::outcome::{Outcome, WEIGHT_ONE};
use crate::model::record::RecordIn;
use crate::model::slo::{Component, Criterion, Slo, ThresholdOp};
use crate::model::time::Moment;
use crate::operator::classify;
use crate::pipeline::input_stats::{Counted, InputStats};
#[cfg(feature = "kafka")]
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The first `limit` records of a file, or the newest of a topic.
pub fn of(settings: &Settings, slos: &[Slo], input: &Path, limit: u64) -> anyhow::Result<RecordsReport> {
    match topic_of(input) {
        Some(topic) => newest(settings, slos, topic, limit),
        None => first(settings, slos, input, limit),
    }
}

/// The topic that is meant, if it cannot be a file.
fn topic_of(input: &Path) -> Option<&str> {
    let name = input.to_str()?;
    let is_topic = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // Names with these endings are files; nobody names a topic like that.
    const FILES: [&str; 8] = ["json", "jsonl", "ndjson", "gz", "zst", "log", "avro", "txt"];
    let extension = input.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let is_file = name == "-" || input.exists() || FILES.contains(&extension);
    (!is_file && name.chars().all(is_topic)).then_some(name)
}

#[cfg(feature = "kafka")]
fn newest(settings: &Settings, slos: &[Slo], topic: &str, limit: u64) -> anyhow::Result<RecordsReport> {
    let decoder = decoder::of_records(settings)?;
    let name = decoder_name(settings);
    let servers = settings.kafka.properties.get("bootstrap.servers").map_or("", String::as_str);
    let peeked = crate::log::kafka::peek::newest(&settings.kafka.properties, topic, limit).with_context(|| {
        format!("there is no file `{topic}`, and as a topic it could not be read from the brokers at {servers}")
    })?;
    let mut examiner = Examiner::new(&decoder, slos, name);
    peeked.iter().for_each(|peeked| {
        let record = peeked.record();
        examiner.take(Some(record.partition), &record);
    });
    Ok(examiner.report(Counted::Records))
}

#[cfg(not(feature = "kafka"))]
fn newest(_: &Settings, _: &[Slo], topic: &str, _: u64) -> anyhow::Result<RecordsReport> {
    anyhow::bail!("there is no file `{topic}`, and this build has no Kafka (feature `kafka`) to look for a topic in")
}

fn first(settings: &Settings, slos: &[Slo], file: &Path, limit: u64) -> anyhow::Result<RecordsReport> {
    let format = settings.input.format;
    let mut input = [InputFile::open(file, decoder::codec_format(format))?];
    let decoder = decoder::of_files(settings, format, &input)?;
    let name = decoder_name(settings);
    let [records] = &mut input;
    let mut examiner = Examiner::new(&decoder, slos, name);
    while (examiner.records.len() as u64) < limit
        && let Some(record) = records.next_record()?
    {
        examiner.take(None, &of_file(&record, 0));
    }
    let survey = is_plain_file(file).then(|| examiner.read_on(records)).transpose()?;
    Ok(RecordsReport { survey, ..examiner.report(counted(format)) })
}

/// The most records that are read after those that are shown.
const READ_ON_MAX: usize = 1_000_000;

/// Whether it has an end: reading on in a pipe may take forever.
fn is_plain_file(path: &Path) -> bool {
    path.as_os_str() != "-" && path.is_file()
}

/// Judges records one by one, and collects what they have in common.
struct Examiner<'a> {
    decoder: &'a Decoder,
    slos: &'a [Slo],
    name: String,
    records: Vec<RecordReport>,
    stats: InputStats,
    survey: Survey,
}

impl<'a> Examiner<'a> {
    fn new(decoder: &'a Decoder, slos: &'a [Slo], name: String) -> Examiner<'a> {
        Examiner {
            decoder,
            slos,
            name,
            records: Vec::new(),
            stats: InputStats::new(decoder.mapping()),
            survey: Survey::new(slos.len()),
        }
    }

    fn take(&mut self, partition: Option<u32>, record: &RecordIn<'_>) {
        self.count(record);
        let became = became(self.decoder, self.slos, record);
        self.records.push(RecordReport { partition, number: record.offset, decoder: self.name.clone(), became });
    }

    /// Counts one record for the survey, and what the mapping found in it.
    fn count(&mut self, record: &RecordIn<'_>) {
        let Examiner { decoder, slos, survey, stats, .. } = self;
        let read = decoder.read(record, |outcome| {
            survey.add(outcome);
            for (index, slo) in slos.iter().enumerate() {
                survey.judge(index, outcome, classify::classify(slo, outcome).0);
            }
        });
        survey.dead_letters += u64::from(read.became.is_err());
        if let Some(found) = read.found {
            stats.mapped(found, || decoder.near_paths(record));
        }
    }

    /// Counts the records after those that are shown.
    fn read_on(&mut self, input: &mut InputFile) -> anyhow::Result<Survey> {
        for _ in 0..READ_ON_MAX {
            let Some(record) = input.next_record()? else { break };
            self.count(&of_file(&record, 0));
        }
        Ok(std::mem::take(&mut self.survey))
    }

    fn report(self, counted: Counted) -> RecordsReport {
        RecordsReport { notices: self.stats.notices(counted), records: self.records, survey: None, counted }
    }
}

fn decoder_name(settings: &Settings) -> String {
    let format = InputFormat::ALL.iter().find(|(_, f)| *f == settings.input.format).map_or("", |(name, _)| name);
    let mapped = settings.input.mapping.as_object().is_some_and(|m| !m.is_empty());
    if mapped { format!("{format}, mapped") } else { format.to_owned() }
}

fn became(decoder: &Decoder, slos: &[Slo], record: &RecordIn<'_>) -> Became {
    match decoder.examine(record) {
        Err(rejected) => Became::DeadLetter { reason: rejected.reason.to_string(), detail: rejected.detail },
        Ok((outcome, faults)) => {
            let verdicts = slos.iter().map(|slo| verdict(slo, &outcome)).collect();
            let unreadable = faults.iter().map(ToString::to_string).collect();
            Became::Outcome { fields: fields(&outcome), unreadable, verdicts }
        }
    }
}

/// The fields that are present, in the order of the contract.
fn fields(outcome: &Outcome<'_>) -> Map<String, Value> {
    let texts = [
        ("operation", &outcome.operation),
        ("dependency", &outcome.dependency),
        ("error_type", &outcome.error_type),
        ("trace_id", &outcome.trace_id),
        ("event_id", &outcome.event_id),
        ("journey", &outcome.journey),
        ("step", &outcome.step),
    ];
    let mut fields = Map::new();
    fields.insert("tenant".to_owned(), json!(outcome.tenant));
    fields.extend(outcome.user.as_ref().map(|user| ("user".to_owned(), json!(user))));
    fields.insert("timestamp".to_owned(), json!(Moment(outcome.timestamp_ms)));
    fields.extend(texts.iter().filter_map(|(name, text)| Some(((*name).to_owned(), json!(text.as_ref()?)))));
    fields.extend(outcome.status.map(|status| ("status".to_owned(), json!(status))));
    fields.extend(outcome.latency_ms.map(|latency| ("latency_ms".to_owned(), json!(latency))));
    let measures: Map<String, Value> = outcome.measures.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
    let attributes: Map<String, Value> = outcome.attributes.iter().map(|(k, v)| (k.to_string(), json!(v))).collect();
    for (name, map) in [("measures", measures), ("attributes", attributes)] {
        if !map.is_empty() {
            fields.insert(name.to_owned(), Value::Object(map));
        }
    }
    if outcome.weight_micros != WEIGHT_ONE {
        fields.insert("weight".to_owned(), json!(outcome.weight_micros as f64 / WEIGHT_ONE as f64));
    }
    fields
}

fn verdict(slo: &Slo, outcome: &Outcome<'_>) -> Verdict {
    let (found, extra) = classify::classify(slo, outcome);
    let verdict = match found {
        classify::Verdict::Good => "good",
        classify::Verdict::Bad => "bad",
        classify::Verdict::Excluded | classify::Verdict::Maintenance => "excluded",
        classify::Verdict::Unclassified => "unclassified",
    };
    let (decided_by, because) = match slo.components() {
        [] => decision(slo, outcome),
        components => (by_parts(components, extra), None),
    };
    Verdict { slo: slo.name.clone(), verdict, decided_by, because }
}

/// What an event is for each component of a composite.
fn by_parts(components: &[Component], extra: classify::Extra) -> String {
    let word = |part: usize| match classify::part_of(extra, part) {
        classify::Verdict::Good => "good",
        classify::Verdict::Bad => "bad",
        classify::Verdict::Excluded | classify::Verdict::Maintenance => "excluded",
        classify::Verdict::Unclassified => "unclassified",
    };
    let parts = components.iter().enumerate().map(|(part, component)| format!("{}: {}", component.name, word(part)));
    parts.collect::<Vec<_>>().join(", ")
}

/// The part of the expressions that decided, or why it could not decide.
fn decision(slo: &Slo, outcome: &Outcome<'_>) -> (String, Option<String>) {
    if let Some(maintenance) = slo.maintenance.excluding(&outcome.tenant, outcome.timestamp_ms) {
        return (format!("maintenance: {}", maintenance.name), None);
    }
    for (step, filter) in slo.journey().iter().flat_map(|journey| journey.steps.iter().zip(&slo.steps)) {
        match filter.eval(outcome) {
            Some(false) => {}
            None => return of_filter(&step.name, filter, outcome),
            Some(true) if outcome.user.is_none() => {
                return (format!("step {}", step.name), Some("it has no user".to_owned()));
            }
            Some(true) => break,
        }
    }
    if let Some(total) = &slo.indicator.total
        && total.eval(outcome) != Some(true)
    {
        return of_filter("total", total, outcome);
    }
    match &slo.indicator.criterion {
        Criterion::Good(filter) => of_filter("good", filter, outcome),
        Criterion::Bad(filter) => of_filter("bad", filter, outcome),
        Criterion::Threshold { value, op, threshold } => {
            let text = format!("{} {} {threshold}", value.source(), symbol(*op));
            match value.eval_explain(outcome) {
                Ok(found) => (text, Some(format!("the value is {found}"))),
                Err(fault) => (text, Some(told(fault))),
            }
        }
    }
}

fn of_filter(side: &str, filter: &Filter, outcome: &Outcome<'_>) -> (String, Option<String>) {
    let decided_by = format!("{side}: {}", filter.deciding(outcome));
    (decided_by, filter.eval_explain(outcome).err().map(told))
}

fn told(fault: Fault<'_>) -> String {
    fault.to_string()
}

const fn symbol(op: ThresholdOp) -> &'static str {
    match op {
        ThresholdOp::Lte => "<=",
        ThresholdOp::Gte => ">=",
        ThresholdOp::Lt => "<",
        ThresholdOp::Gt => ">",
    }
}
