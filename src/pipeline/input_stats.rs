//! What was wrong with the input: dead letters by reason, unreadable values by field, and the first example of each,
//! so that people can look it up.
//!
//! [`Route`](super::route::Route) owns one, so each worker has its own. Except for the paths of a mapping, only
//! records with a problem are counted, on the cold path.
//!
//! The summary of `backtest`, `check --input` and the metrics all read from here. To add a kind of problem, add a
//! [`Tally`] (or an array of them, indexed by an enum), a `#[cold]` method that counts it, and a line in
//! [`InputStats::notices`].

use crate::codec::field::Field;
use crate::codec::mapping::{Found, MappedPlace, Mapping};
use crate::codec::{Fault, Rejected};
use crate::model::outcome::Rejection;
use std::collections::BTreeMap;

/// The name of an input partition, as in dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// The topic, or the file's name.
    pub topic: String,
    /// The partition in that topic.
    pub partition: u32,
}

/// More paths to nothing than these share one notice.
const ALONE_MAX: usize = 3;
/// At most this many shapes of dead letters are reported.
const SHAPES_REPORTED: usize = 8;

/// The number of dead letters by reason, in the order of [`Rejection::ALL`].
pub type DeadLetterCounts = [u64; Rejection::ALL.len()];
/// The number of records with an unreadable field, by field, in the order of [`Field::ALL`].
pub type UnreadableCounts = [u64; Field::ALL.len()];

/// How people find a record in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Text files: by line, from 1, as editors and `sed` count.
    Lines,
    /// Avro files and topics: by number from 0, or by offset.
    Records,
}

impl Counted {
    /// For example `line 1` for the record with number 0.
    pub fn place(self, offset: i64) -> String {
        match self {
            Counted::Lines => format!("line {}", offset + 1),
            Counted::Records => format!("record {offset}"),
        }
    }
}

/// The first record with a problem, and the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub source: SourceName,
    /// The record's number in its file, from 0, or its offset, as in dead letters.
    pub offset: i64,
    /// For people: what the record contains, and what to do about it.
    pub detail: String,
}

/// How often a problem occurred, and its first example.
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

    /// The text `what`, followed by the example.
    fn describe(&self, what: &str, counted: Counted) -> String {
        self.first.as_ref().map_or_else(|| what.to_owned(), |first| self.describe_with(what, counted, &first.detail))
    }

    /// The same, with `detail` instead of the example's own.
    fn describe_with(&self, what: &str, counted: Counted, detail: &str) -> String {
        let Some(Example { source, offset, .. }) = &self.first else { return what.to_owned() };
        let it_is = if self.count == 1 { "It is" } else { "The first is" };
        format!("{what} {it_is} {} of {}: {detail}.", counted.place(*offset), source.topic)
    }
}

/// A path of the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedPath {
    /// The field that the path is for, such as `attributes.tier`.
    pub target: String,
    pub path: String,
    /// If the path finds nothing in the first record: a similar path that exists there.
    pub near: Option<String>,
    /// Its bit in [`Found`].
    bit: u128,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputStats {
    dead_letters: [Tally; Rejection::ALL.len()],
    unreadable: [Tally; Field::ALL.len()],
    /// Dead letters by what they look like. Bounded, because the keys are texts of our own code.
    shapes: BTreeMap<&'static str, Tally>,
    /// The number of records that the mapping was applied to.
    mapped: u64,
    paths: Vec<MappedPath>,
    /// Of all records together: the paths that were asked, and those that had a value.
    found: Found,
    /// The number of records in which an unmapped field was read by its own name, in the order of [`Field::ALL`].
    own: [u64; Field::ALL.len()],
}

impl InputStats {
    pub fn new(mapping: &Mapping) -> InputStats {
        let path = |MappedPlace { target, path, bit }: MappedPlace<'_>| MappedPath {
            target,
            path: path.to_string(),
            near: None,
            bit,
        };
        InputStats { paths: mapping.places().map(path).collect(), ..InputStats::default() }
    }

    /// Counts what the mapping found in a record. `near` is only called for the first record.
    #[inline]
    pub fn mapped(&mut self, found: Found, near: impl FnOnce() -> Vec<Option<String>>) {
        if self.mapped == 0 {
            self.note_near(near());
        }
        self.mapped += 1;
        self.found.asked |= found.asked;
        self.found.seen |= found.seen;
        if found.has_own() {
            found.own().for_each(|field| self.own[field as usize] += 1);
        }
    }

    #[cold]
    fn note_near(&mut self, near: Vec<Option<String>>) {
        for (path, near) in self.paths.iter_mut().zip(near) {
            path.near = near;
        }
    }

    /// The paths of the mapping that found nothing in any record. A path of a list that was never asked, because
    /// something before it always had a value, is not one of them.
    pub fn paths_to_nothing(&self) -> impl Iterator<Item = &MappedPath> {
        let Found { asked, seen, .. } = self.found;
        self.paths.iter().filter(move |path| path.bit & asked & !seen != 0)
    }

    /// The fields that the mapping does not name and that were read by their own names, with the number of records.
    pub fn own_names(&self) -> impl Iterator<Item = (Field, u64)> {
        Field::ALL.into_iter().zip(self.own).filter(|(_, records)| *records > 0)
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

    /// Counts the unreadable fields of a record, each once.
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

    /// The reasons with at least one dead letter, in the contract's order.
    pub fn dead_letters(&self) -> impl Iterator<Item = (Rejection, &Tally)> {
        Rejection::ALL.into_iter().zip(&self.dead_letters).filter(|(_, tally)| tally.count > 0)
    }

    /// The fields that were unreadable in at least one record, in the contract's order.
    pub fn unreadable_fields(&self) -> impl Iterator<Item = (Field, &Tally)> {
        Field::ALL.into_iter().zip(&self.unreadable).filter(|(_, tally)| tally.count > 0)
    }

    /// What dead letters look like, the most frequent first. Empty if all look alike: then the example of their reason
    /// is enough.
    fn further_shapes(&self) -> impl Iterator<Item = (&'static str, &Tally)> {
        let mut shapes: Vec<(&'static str, &Tally)> = self.shapes.iter().map(|(text, tally)| (*text, tally)).collect();
        shapes.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.count));
        let are_alike = shapes.len() == 1;
        shapes.into_iter().take(SHAPES_REPORTED).filter(move |_| !are_alike)
    }

    /// The notice for a reason. It has no example if a notice with an example follows for each shape.
    fn reason_notice(&self, reason: Rejection, tally: &Tally, counted: Counted) -> String {
        let letters = if tally.count == 1 { "dead letter" } else { "dead letters" };
        let what = format!("{} {letters} with the reason `{reason}`", tally.count);
        let shaped: u64 = self.shapes.values().map(|shape| shape.count).sum();
        let has_shape_notices = self.shapes.len() > 1 && self.shapes.len() <= SHAPES_REPORTED;
        if reason == Rejection::NotDecodable && has_shape_notices && shaped == tally.count {
            return format!("{what}, of {} shapes.", self.shapes.len());
        }
        tally.describe(&format!("{what}."), counted)
    }

    /// One text for people per problem: what it is, how often it occurred, and its first example.
    pub fn notices(&self, counted: Counted) -> Vec<String> {
        let dead = self.dead_letters().map(|(reason, tally)| self.reason_notice(reason, tally, counted));
        let shapes = self.further_shapes().map(|(looks_like, tally)| {
            let look = if tally.count == 1 { "looks" } else { "look" };
            let what = format!("{} of the dead letters {look} like {looks_like}.", tally.count);
            let detail = tally.first.as_ref().map_or("", |first| remedy(&first.detail, looks_like));
            tally.describe_with(&what, counted, detail)
        });
        let unreadable = self.unreadable_fields().map(|(field, tally)| {
            let records = if tally.count == 1 { "record, which counts" } else { "records, which count" };
            let what = format!("`{}` could not be read in {} {records} without it.", field.name(), tally.count);
            tally.describe(&what, counted)
        });
        dead.chain(shapes).chain(unreadable).chain(self.nothing_notices()).chain(self.own_notice()).collect()
    }

    /// One notice for each path that found nothing; where there are many, as with a preset, those without a similar path
    /// share one.
    fn nothing_notices(&self) -> Vec<String> {
        let records = self.records();
        let (near, bare): (Vec<_>, Vec<_>) = self.paths_to_nothing().partition(|path| path.near.is_some());
        let alone = |path: &&MappedPath| {
            let near = path.near.as_ref().map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            format!("input.mapping: the path `{}` of `{}` had a value in 0 of {records}.{near}", path.path, path.target)
        };
        if near.is_empty() && bare.len() <= ALONE_MAX || bare.len() <= 1 {
            let all = self.paths_to_nothing().collect::<Vec<_>>();
            return all.iter().map(alone).collect();
        }
        let names: Vec<String> = bare.iter().map(|path| format!("`{}` of `{}`", path.path, path.target)).collect();
        let together = format!("input.mapping: these paths had a value in 0 of {records}: {}.", names.join(", "));
        near.iter().map(alone).chain([together]).collect()
    }

    fn records(&self) -> String {
        format!("{} {}", self.mapped, if self.mapped == 1 { "record" } else { "records" })
    }

    /// The fields that nobody mapped: that a record has such a name does not say that it means the same.
    fn own_notice(&self) -> Option<String> {
        let taken: Vec<String> = self.own_names().map(|(field, n)| format!("`{}` ({n})", field.name())).collect();
        let (names, records) = (taken.join(", "), self.records());
        (!taken.is_empty()).then(|| {
            format!(
                "input.mapping has no entry for {names}: of {records}, so many have a field of this very name, and it was \
                 read. If it means something else there, map it."
            )
        })
    }
}

/// What to do about a shape, without the words that name the shape: the caller's text names it already.
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
    fn each_problem_is_counted_and_its_first_example_kept() {
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
        let notices = stats.notices(Counted::Records);
        let dead = "1 dead letter with the reason `no_tenant`. It is record 2 of p0.jsonl: `tenant` is absent";
        assert!(notices[0].starts_with(dead), "{notices:?}");
        let status = "`status` could not be read in 2 records, which count without it. The first is record 0 of \
                      p0.jsonl: `status` must be an integer, and is \"OK\".";
        assert_eq!(notices[1], status);
        assert!(notices[2].starts_with("`attributes` could not be read in 1 record, which counts without it. It is"));
    }

    #[test]
    fn many_paths_to_nothing_share_one_notice_and_own_names_have_one() {
        let notices = |rules: &str| {
            let mapping: Mapping = serde_json::from_str(rules).expect("a mapping");
            let decoder = Decoder::new(InputSettings { mapping, ..InputSettings::default() }).expect("a decoder");
            let mut stats = InputStats::new(decoder.mapping());
            for value in [
                "{\"tenant\":\"a\",\"when\":1,\"status\":200,\"x\":1}",
                "{\"tenant\":\"a\",\"when\":1,\"status\":null}",
            ] {
                let value = value.as_bytes();
                let record =
                    RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
                let found = decoder.read(&record, |_| {}).found.expect("a mapping");
                stats.mapped(found, || decoder.near_paths(&record));
            }
            stats.notices(Counted::Lines)
        };
        let many = notices(
            r#"{"timestamp":"when","user":["who","client"],"step":"somewhere","operation":["x","never"],"journey":"route","trace_id":"whn"}"#,
        );
        let expected = [
            "input.mapping: the path `whn` of `trace_id` had a value in 0 of 2 records. Did you mean `when`?",
            "input.mapping: these paths had a value in 0 of 2 records: `route` of `journey`, `never` of `operation`, \
             `somewhere` of `step`, `who` of `user`, `client` of `user`.",
            "input.mapping has no entry for `tenant` (2), `status` (1): of 2 records, so many have a field of this very name, \
             and it was read. If it means something else there, map it.",
        ];
        assert_eq!(many, expected);
        let asked = notices(r#"{"timestamp":["when","never"],"tenant":"tenant","status":"status"}"#);
        assert_eq!(asked, Vec::<String>::new(), "what stood before it had a value always");
    }

    #[test]
    fn shapes_of_dead_letters_are_reported_if_there_are_several() {
        let decoder =
            Decoder::new(InputSettings { format: Format::Clf, ..InputSettings::default() }).expect("a decoder");
        let source = SourceName { topic: "access.log".to_owned(), partition: 0 };
        let mut stats = InputStats::default();
        let mut notices_of = |lines: &[&str]| {
            for (offset, line) in (0..).zip(lines) {
                let value = line.as_bytes();
                let headers = &NoHeaders;
                let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers };
                stats.dead_letter(&source, offset, &decoder.read(&record, |_| {}).became.expect_err("a dead letter"));
            }
            stats.notices(Counted::Lines)
        };
        let alike = notices_of(&["{}", "{\"a\":1}"]);
        assert_eq!(alike.len(), 1, "{alike:?}");
        assert!(alike[0].contains("looks like JSON"), "{alike:?}");
        let mixed = notices_of(&["192.0.2.1, 192.0.2.2 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1"]);
        assert_eq!(mixed.len(), 3, "{mixed:?}");
        assert_eq!(mixed[0], "3 dead letters with the reason `not_decodable`, of 2 shapes.");
        let json = "2 of the dead letters look like JSON. The first is line 1 of access.log: use --format jsonl";
        assert!(mixed[1].starts_with(json), "{mixed:?}");
        assert!(mixed[2].starts_with("1 of the dead letters looks like a line that begins with several"), "{mixed:?}");
    }

    #[test]
    fn a_path_of_the_mapping_that_finds_nothing_is_reported_with_a_similar_path() {
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
        let notices = route.stats.notices(Counted::Lines);
        let of_mapping: Vec<String> = notices.into_iter().filter(|text| text.starts_with("input.mapping")).collect();
        let expected = [
            "input.mapping: the path `errors.kind` of `error_type` had a value in 0 of 3 records.",
            "input.mapping: the path `req.method` of `operation` had a value in 0 of 3 records. Did you mean `http.method`?",
            "input.mapping: the path `response.status` of `status` had a value in 0 of 3 records. Did you mean \
             `\"response.status\"`?",
            "input.mapping: the path `remote_adr` of `user` had a value in 0 of 3 records. Did you mean `remote_addr`?",
        ];
        assert_eq!(of_mapping, expected);
        let no_time = route.stats.dead_letters().find(|(reason, _)| *reason == Rejection::NoTimestamp);
        let detail = no_time.and_then(|(_, tally)| tally.first.clone()).map(|first| first.detail);
        assert_eq!(detail.as_deref(), Some("`timestamp` is absent; input.mapping reads it from `time`"));
    }
}
