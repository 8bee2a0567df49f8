//! What was odd about the input: dead letters by reason, values that a field could not take by field,
//! and the first example of each, for people to look up.
//!
//! [`Route`](super::route::Route) owns one, so there is one a worker and nothing is shared. Counting
//! happens on the cold path alone: a record in order touches nothing here.
//!
//! Everybody who tells of the input reads it from here: the summary of `backtest`, `check --input`, the
//! metrics. To add a kind of oddity, add a [`Tally`] (and where it is kept by an enum, an array of them),
//! a method that notes it, marked `#[cold]`, and a line in [`InputStats::told`].

use super::route::SourceName;
use crate::codec::field::Field;
use crate::codec::mapping::{self, Found, Mapping, Path};
use crate::codec::{Fault, Rejected};
use crate::model::outcome::Rejection;
use std::collections::BTreeMap;

/// So many shapes of dead letters are told of.
const SHAPES_TOLD: usize = 8;

/// Dead letters so far, by reason, in the order of [`Rejection::ALL`].
pub type DeadLetterCounts = [u64; Rejection::ALL.len()];
/// Records of which a field could not be read, by field, in the order of [`Field::ALL`].
pub type UnreadableCounts = [u64; Field::ALL.len()];

/// How people find a record again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// In text files: by its line, from 1, as editors and `sed` count.
    Lines,
    /// In Avro files, and in topics: by its number, from 0, or its offset.
    Records,
}

impl Counted {
    /// As in `line 1` for the record of number 0.
    pub fn place(self, offset: i64) -> String {
        match self {
            Counted::Lines => format!("line {}", offset + 1),
            Counted::Records => format!("record {offset}"),
        }
    }
}

/// Where something was seen first, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub source: SourceName,
    /// The record's number in its file, from 0, or its offset: as dead letters say it.
    pub offset: i64,
    /// For people: what was there, and what to do about it.
    pub detail: String,
}

/// How often something was seen, and the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    pub first: Option<Example>,
}

impl Tally {
    #[cold]
    fn note(&mut self, example: impl FnOnce() -> Example) {
        self.count += 1;
        self.first.get_or_insert_with(example);
    }

    fn told(&self, what: &str, counted: Counted) -> String {
        self.first.as_ref().map_or_else(|| what.to_owned(), |first| self.told_with(what, counted, &first.detail))
    }

    /// `detail` stands in place of the example's own.
    fn told_with(&self, what: &str, counted: Counted, detail: &str) -> String {
        let Some(Example { source, offset, .. }) = &self.first else { return what.to_owned() };
        let it_is = if self.count == 1 { "It is" } else { "The first is" };
        format!("{what} {it_is} {} of {}: {detail}.", counted.place(*offset), source.topic)
    }
}

/// How often a path of the mapping led somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedPath {
    /// The field that it is for, as in `attributes.tier`.
    pub target: String,
    pub path: String,
    /// Records in which it found a value.
    pub hits: u64,
    /// A path of the first record that may be meant, where this one leads nowhere in it.
    pub near: Option<String>,
    /// Its number among the rules.
    rule: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputStats {
    dead_letters: [Tally; Rejection::ALL.len()],
    unreadable: [Tally; Field::ALL.len()],
    /// Dead letters by what they look like; bounded, for what they look like is one of our own texts.
    shapes: BTreeMap<&'static str, Tally>,
    /// Records that the mapping found its way in.
    mapped: u64,
    paths: Vec<MappedPath>,
}

impl InputStats {
    pub fn new(mapping: &Mapping) -> InputStats {
        let path = |(rule, (target, path)): (usize, (String, Option<&Path>))| {
            Some(MappedPath { target, path: path?.to_string(), hits: 0, near: None, rule })
        };
        InputStats { paths: mapping.sources().enumerate().filter_map(path).collect(), ..InputStats::default() }
    }

    /// Counts what the rules of the mapping found in a record; `near` is asked of the first one.
    #[inline]
    pub fn mapped(&mut self, found: Found, near: impl FnOnce() -> Vec<Option<String>>) {
        if self.mapped == 0 {
            self.note_near(near());
        }
        self.mapped += 1;
        for path in &mut self.paths {
            path.hits += u64::from(found & mapping::bit(path.rule) != 0 || mapping::bit(path.rule) == 0);
        }
    }

    #[cold]
    fn note_near(&mut self, near: Vec<Option<String>>) {
        for path in &mut self.paths {
            path.near = near.get(path.rule).cloned().flatten();
        }
    }

    /// The paths of the mapping that found nothing in any record.
    pub fn paths_to_nothing(&self) -> impl Iterator<Item = &MappedPath> {
        self.paths.iter().filter(|path| path.hits == 0 && self.mapped > 0)
    }

    /// Counts a dead letter.
    #[cold]
    pub fn dead_letter(&mut self, source: &SourceName, offset: i64, rejected: &Rejected) {
        let example = || Example { source: source.clone(), offset, detail: rejected.detail.clone() };
        if let Some(looks_like) = rejected.looks_like {
            self.shapes.entry(looks_like).or_default().note(example);
        }
        self.dead_letters[rejected.reason as usize].note(example);
    }

    /// Counts the fields that could not take a value of a record, each once.
    #[cold]
    pub fn unreadable(&mut self, source: &SourceName, offset: i64, faults: &[Fault<'_>]) {
        for (i, fault) in faults.iter().enumerate() {
            if faults[..i].iter().all(|earlier| earlier.field() != fault.field()) {
                let example = || Example { source: source.clone(), offset, detail: fault.to_string() };
                self.unreadable[fault.field() as usize].note(example);
            }
        }
    }

    pub fn dead_letter_counts(&self) -> DeadLetterCounts {
        std::array::from_fn(|reason| self.dead_letters[reason].count)
    }

    pub fn unreadable_counts(&self) -> UnreadableCounts {
        std::array::from_fn(|field| self.unreadable[field].count)
    }

    /// The reasons for which there are dead letters, in the contract's order.
    pub fn dead_letters(&self) -> impl Iterator<Item = (Rejection, &Tally)> {
        Rejection::ALL.into_iter().zip(&self.dead_letters).filter(|(_, tally)| tally.count > 0)
    }

    /// The fields that could not be read somewhere, in the contract's order.
    pub fn unreadable_fields(&self) -> impl Iterator<Item = (Field, &Tally)> {
        Field::ALL.into_iter().zip(&self.unreadable).filter(|(_, tally)| tally.count > 0)
    }

    /// What dead letters look like, the most frequent first. None where all look like the first of them,
    /// of which is told anyway.
    fn further_shapes(&self) -> impl Iterator<Item = (&'static str, &Tally)> {
        let mut shapes: Vec<(&'static str, &Tally)> = self.shapes.iter().map(|(text, tally)| (*text, tally)).collect();
        shapes.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        let is_told = shapes.len() == 1;
        shapes.into_iter().take(SHAPES_TOLD).filter(move |_| !is_told)
    }

    /// Where a text for each shape follows, it holds the examples.
    fn told_of_reason(&self, reason: Rejection, tally: &Tally, counted: Counted) -> String {
        let letters = if tally.count == 1 { "dead letter" } else { "dead letters" };
        let what = format!("{} {letters} with the reason `{reason}`", tally.count);
        let shaped: u64 = self.shapes.values().map(|shape| shape.count).sum();
        let is_told_by_shape = self.shapes.len() > 1 && self.shapes.len() <= SHAPES_TOLD;
        if reason == Rejection::NotDecodable && is_told_by_shape && shaped == tally.count {
            return format!("{what}, of {} shapes.", self.shapes.len());
        }
        tally.told(&format!("{what}."), counted)
    }

    /// All of it for people, a text each: what was seen, how often, and the first time.
    pub fn told(&self, counted: Counted) -> Vec<String> {
        let dead = self.dead_letters().map(|(reason, tally)| self.told_of_reason(reason, tally, counted));
        let shapes = self.further_shapes().map(|(looks_like, tally)| {
            let look = if tally.count == 1 { "looks" } else { "look" };
            let what = format!("{} of the dead letters {look} like {looks_like}.", tally.count);
            let detail = tally.first.as_ref().map_or("", |first| remedy(&first.detail, looks_like));
            tally.told_with(&what, counted, detail)
        });
        let unreadable = self.unreadable_fields().map(|(field, tally)| {
            let records = if tally.count == 1 { "record, which counts" } else { "records, which count" };
            let what = format!("`{}` could not be read in {} {records} without it.", field.name(), tally.count);
            tally.told(&what, counted)
        });
        let nothing = self.paths_to_nothing().map(|path| {
            let records =
                if self.mapped == 1 { "the only record".to_owned() } else { format!("all {} records", self.mapped) };
            let near = path.near.as_ref().map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            format!("input.mapping: the path `{}` of `{}` leads to nothing in {records}.{near}", path.path, path.target)
        });
        dead.chain(shapes).chain(unreadable).chain(nothing).collect()
    }
}

/// What to do about a shape, without the words that name it: they stand in front.
fn remedy<'a>(detail: &'a str, looks_like: &str) -> &'a str {
    let named = detail.find(looks_like).map(|at| &detail[at + looks_like.len()..]);
    named.and_then(|rest| rest.strip_prefix("; ")).unwrap_or(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, Format, InputSettings};
    use crate::model::record::{NoHeaders, RecordIn};

    #[test]
    fn each_oddity_is_counted_and_its_first_example_kept() {
        let decoder = Decoder::new(InputSettings::default()).expect("a decoder");
        let source = SourceName { topic: "p0.jsonl".to_owned(), partition: 0 };
        let mut stats = InputStats::default();
        let lines = [
            r#"{"tenant":"a","timestamp":1780074045845,"status":"OK","attributes":{"a":[],"b":{}}}"#,
            r#"{"tenant":"a","timestamp":1780074045845,"status":"NOT FOUND","latency_ms":"-"}"#,
            r#"{"timestamp":1780074045845}"#,
            r#"{"tenant":"a","timestamp":1780074045845,"status":200}"#,
        ];
        for (offset, line) in (0..).zip(lines) {
            let value = line.as_bytes();
            let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders };
            let read = decoder.read(&record, |_| {});
            match read.became {
                Ok(()) => stats.unreadable(&source, offset, &read.faults),
                Err(rejected) => stats.dead_letter(&source, offset, &rejected),
            }
        }
        assert_eq!(stats.dead_letter_counts(), [0, 1, 0, 0, 0, 0, 0, 0]);
        let fields: Vec<(Field, u64)> = stats.unreadable_fields().map(|(field, tally)| (field, tally.count)).collect();
        assert_eq!(fields, [(Field::Status, 2), (Field::Attributes, 1)]);
        let told = stats.told(Counted::Records);
        let dead = "1 dead letter with the reason `no_tenant`. It is record 2 of p0.jsonl: `tenant` is absent";
        assert!(told[0].starts_with(dead), "{told:?}");
        let status = "`status` could not be read in 2 records, which count without it. The first is record 0 of \
                      p0.jsonl: `status` must be an integer, and is \"OK\".";
        assert_eq!(told[1], status);
        assert!(told[2].starts_with("`attributes` could not be read in 1 record, which counts without it. It is"));
    }

    #[test]
    fn shapes_are_told_where_there_are_several() {
        let decoder =
            Decoder::new(InputSettings { format: Format::Clf, ..InputSettings::default() }).expect("a decoder");
        let source = SourceName { topic: "access.log".to_owned(), partition: 0 };
        let mut stats = InputStats::default();
        let mut told_of = |lines: &[&str]| {
            for (offset, line) in (0..).zip(lines) {
                let value = line.as_bytes();
                let headers = &NoHeaders;
                let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers };
                stats.dead_letter(&source, offset, &decoder.read(&record, |_| {}).became.expect_err("a dead letter"));
            }
            stats.told(Counted::Lines)
        };
        let alike = told_of(&["{}", "{\"a\":1}"]);
        assert_eq!(alike.len(), 1, "{alike:?}");
        assert!(alike[0].contains("looks like JSON"), "{alike:?}");
        let mixed = told_of(&["192.0.2.1, 192.0.2.2 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1"]);
        assert_eq!(mixed.len(), 3, "{mixed:?}");
        assert_eq!(mixed[0], "3 dead letters with the reason `not_decodable`, of 2 shapes.");
        let json = "2 of the dead letters look like JSON. The first is line 1 of access.log: use --format jsonl";
        assert!(mixed[1].starts_with(json), "{mixed:?}");
        assert!(mixed[2].starts_with("1 of the dead letters looks like a line that begins with several"), "{mixed:?}");
    }

    #[test]
    fn a_path_of_the_mapping_that_finds_nothing_is_told_with_what_may_be_meant() {
        let rules = r#"{
            "tenant": {"const": "web"}, "timestamp": "time", "status": "response.status", "user": "remote_adr",
            "operation": "req.method", "error_type": "errors.kind", "attributes.region": "labels.region"
        }"#;
        let mapping: Mapping = serde_json::from_str(rules).expect("a mapping");
        let decoder = Decoder::new(InputSettings { mapping, ..InputSettings::default() }).expect("a decoder");
        let source = SourceName { topic: "p0.jsonl".to_owned(), partition: 0 };
        let form = super::super::route::DeadLetterForm::Line;
        let mut route = super::super::route::Route::new(decoder, vec![source], form);
        let lines = [
            r#"{"time":1780074045845,"response.status":200,"remote_addr":"192.0.2.1","http":{"method":"GET"},"labels":{}}"#,
            r#"{"time":1780074045846,"labels":{"region":"eu"},"errors":{"kind":null}}"#,
            r#"{"tim":1780074045846}"#,
            "no record",
        ];
        for (offset, line) in (0..).zip(lines) {
            let value = line.as_bytes();
            let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders };
            route.apply(0, &record, |_| {});
        }
        assert_eq!(route.stats.dead_letter_counts(), [1, 0, 1, 0, 0, 0, 0, 0]);
        let told: Vec<String> =
            route.stats.told(Counted::Lines).into_iter().filter(|told| told.starts_with("input.mapping")).collect();
        let expected = [
            "input.mapping: the path `errors.kind` of `error_type` leads to nothing in all 3 records.",
            "input.mapping: the path `req.method` of `operation` leads to nothing in all 3 records. Did you mean `http.method`?",
            "input.mapping: the path `response.status` of `status` leads to nothing in all 3 records. Did you mean \
             `\"response.status\"`?",
            "input.mapping: the path `remote_adr` of `user` leads to nothing in all 3 records. Did you mean `remote_addr`?",
        ];
        assert_eq!(told, expected);
        let no_time = route.stats.dead_letters().find(|(reason, _)| *reason == Rejection::NoTimestamp);
        let detail = no_time.and_then(|(_, tally)| tally.first.clone()).map(|first| first.detail);
        assert_eq!(detail.as_deref(), Some("`timestamp` is absent; input.mapping reads it from `time`"));
    }
}
