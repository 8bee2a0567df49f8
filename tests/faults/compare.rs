//! Compares expected with published records, and distinguishes lost, doubled and torn ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A record of an output topic, expected or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub topic: &'static str,
    pub partition: i32,
    /// Its T. Dead letters have none: 0.
    pub at_ms: i64,
    /// Its identity within its T.
    pub identity: String,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How many records per kind of mistake are shown in full.
const TOLD: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    Lost,
    Doubled,
    Missing,
    Differs,
    Unexpected,
    Order,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub compared: usize,
    /// Records of a T that is missing completely.
    pub lost: usize,
    /// Present more than once.
    pub doubled: usize,
    /// Different, unexpected, out of order, or missing in a T with other records.
    pub torn: usize,
    /// The first differences by T, in words.
    pub told: Vec<String>,
}

impl Verdict {
    pub fn is_same(&self) -> bool {
        self.lost + self.doubled + self.torn == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} compared, {} lost, {} doubled, {} torn", self.compared, self.lost, self.doubled, self.torn)?;
        self.told.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// A partition of a topic.
type Place = (&'static str, i32);
/// A record of a partition: T, then the identity within T.
type Name<'a> = (i64, &'a str);

/// Both in the order of their partitions.
pub fn compare(expected: &[Record], found: &[Record]) -> Verdict {
    let begun = begun(found);
    let (expected, found) = (by_place(expected), by_place(found));
    let places: BTreeSet<Place> = expected.keys().chain(found.keys()).copied().collect();
    let mut comparison = Comparison::default();
    for place in places {
        let none = Vec::new();
        let (wanted, there) = (expected.get(&place).unwrap_or(&none), found.get(&place).unwrap_or(&none));
        comparison.place(wanted, there, &begun);
    }
    comparison.verdict()
}

fn by_place(records: &[Record]) -> BTreeMap<Place, Vec<&Record>> {
    let mut sorted: BTreeMap<Place, Vec<&Record>> = BTreeMap::new();
    for record in records {
        sorted.entry((record.topic, record.partition)).or_default().push(record);
    }
    sorted
}

/// The content of one transaction: a T of a rollup task (the same partition of all its topics), or one dead letter.
fn whole(record: &Record) -> (i32, i64, Option<&str>) {
    (record.partition, record.at_ms, (record.at_ms == 0).then_some(record.identity.as_str()))
}

fn begun(found: &[Record]) -> BTreeSet<(i32, i64, Option<&str>)> {
    found.iter().map(whole).collect()
}

#[derive(Default)]
struct Comparison {
    verdict: Verdict,
    told: Vec<(i64, Mistake, String)>,
}

impl Comparison {
    fn place(&mut self, wanted: &[&Record], there: &[&Record], begun: &BTreeSet<(i32, i64, Option<&str>)>) {
        let wanted_by_name = by_name(wanted);
        let there_by_name = by_name(there);
        let mistakes = self.told.len();
        for (name, wanted) in &wanted_by_name {
            self.verdict.compared += 1;
            match there_by_name.get(name) {
                None => self.missing(wanted[0], begun.contains(&whole(wanted[0]))),
                Some(there) => self.both(wanted, there),
            }
        }
        for (_, there) in there_by_name.iter().filter(|(name, _)| !wanted_by_name.contains_key(*name)) {
            self.verdict.torn += there.len();
            self.tell(Mistake::Unexpected, there[0], &format!("not expected: {}", clip(&text(there[0]), 0)));
        }
        if self.told.len() == mistakes {
            self.order(wanted, there);
        }
    }

    fn missing(&mut self, wanted: &Record, is_begun: bool) {
        let (mistake, count, word) = if is_begun {
            (Mistake::Missing, &mut self.verdict.torn, "missing from a T that is there in part")
        } else {
            (Mistake::Lost, &mut self.verdict.lost, "lost")
        };
        *count += 1;
        self.tell(mistake, wanted, &format!("{word}: {}", clip(&text(wanted), 0)));
    }

    fn both(&mut self, wanted: &[&Record], there: &[&Record]) {
        if there.len() > wanted.len() {
            self.verdict.doubled += there.len() - wanted.len();
            self.tell(Mistake::Doubled, there[0], &format!("there {} times instead of {}", there.len(), wanted.len()));
        }
        if wanted[0] != there[0] {
            self.verdict.torn += 1;
            self.tell(Mistake::Differs, wanted[0], &difference(wanted[0], there[0]));
        }
    }

    /// The same records, in another order.
    fn order(&mut self, wanted: &[&Record], there: &[&Record]) {
        if let Some((wanted, there)) = wanted.iter().zip(there).find(|(a, b)| a != b) {
            self.verdict.torn += 1;
            self.tell(
                Mistake::Order,
                wanted,
                &format!("out of order: in its place is {} {}", there.at_ms, there.identity),
            );
        }
    }

    fn tell(&mut self, mistake: Mistake, record: &Record, what: &str) {
        let at = if record.at_ms == 0 { String::new() } else { format!(" T={}", time(record.at_ms)) };
        let line = format!("{}/{}{at} {}: {what}", record.topic, record.partition, record.identity);
        self.told.push((record.at_ms, mistake, line));
    }

    fn verdict(mut self) -> Verdict {
        self.told.sort_by_key(|(at_ms, _, _)| *at_ms);
        let mut by_mistake: BTreeMap<Mistake, usize> = BTreeMap::new();
        self.told.retain(|(_, mistake, _)| {
            let told = by_mistake.entry(*mistake).or_default();
            *told += 1;
            *told <= TOLD
        });
        self.verdict.told = self.told.into_iter().map(|(_, _, line)| line).collect();
        self.verdict
    }
}

fn by_name<'a>(records: &[&'a Record]) -> BTreeMap<Name<'a>, Vec<&'a Record>> {
    let mut sorted: BTreeMap<Name<'a>, Vec<&'a Record>> = BTreeMap::new();
    for record in records {
        sorted.entry((record.at_ms, record.identity.as_str())).or_default().push(record);
    }
    sorted
}

pub fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |t| t.to_string())
}

fn text(record: &Record) -> String {
    record.value.as_deref().map_or_else(|| "(tombstone)".to_owned(), |v| String::from_utf8_lossy(v).into_owned())
}

/// The first difference between two records of one identity.
fn difference(wanted: &Record, there: &Record) -> String {
    if wanted.key != there.key {
        let of = |key: &Option<Vec<u8>>| key.as_deref().map(|k| String::from_utf8_lossy(k).into_owned());
        return format!("the key is {:?} instead of {:?}", of(&there.key), of(&wanted.key));
    }
    if wanted.headers != there.headers {
        let of = |headers: &[(String, Vec<u8>)]| {
            headers.iter().map(|(name, v)| format!("{name}={}", String::from_utf8_lossy(v))).collect::<Vec<_>>()
        };
        return format!("the headers are {:?} instead of {:?}", of(&there.headers), of(&wanted.headers));
    }
    let (wanted, there) = (text(wanted), text(there));
    let from = wanted.bytes().zip(there.bytes()).take_while(|(a, b)| a == b).count();
    format!("differs from byte {from} on: {} instead of {}", clip(&there, from), clip(&wanted, from))
}

/// A part of a long text, around `from`.
fn clip(text: &str, from: usize) -> String {
    let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (begin, end) = (boundary(from.saturating_sub(60)), boundary(from + 100));
    format!("{}{}{}", if begin > 0 { ".." } else { "" }, &text[begin..end], if end < text.len() { ".." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &'static str, at_ms: i64, key: &str, value: &str) -> Record {
        Record {
            topic,
            partition: 0,
            at_ms,
            identity: key.to_owned(),
            key: Some(key.as_bytes().to_vec()),
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    }

    /// Two T, the second with a status and an alert.
    fn all() -> Vec<Record> {
        vec![
            record("slo-status", 10, "a", "1"),
            record("slo-status", 20, "a", "2"),
            record("slo-status", 20, "b", "3"),
            record("burn-alerts", 20, "a", "page"),
        ]
    }

    fn counts(found: &[Record]) -> (usize, usize, usize) {
        let verdict = compare(&all(), found);
        assert_eq!(verdict.compared, 4);
        assert_eq!(verdict.told.is_empty(), verdict.is_same(), "{verdict}");
        (verdict.lost, verdict.doubled, verdict.torn)
    }

    #[test]
    fn the_same_is_the_same() {
        assert_eq!(counts(&all()), (0, 0, 0));
    }

    #[test]
    fn a_whole_t_that_is_missing_is_lost_and_a_part_of_one_is_torn() {
        assert_eq!(counts(&all()[1..]), (1, 0, 0));
        assert_eq!(counts(&all()[..1]), (3, 0, 0));
        assert_eq!(counts(&all()[..3]), (0, 0, 1), "the alert of a T whose statuses are there");
    }

    #[test]
    fn a_record_that_came_twice_is_doubled() {
        let mut found = all();
        found.push(found[1].clone());
        assert_eq!(counts(&found), (0, 1, 0));
    }

    #[test]
    fn what_differs_or_was_never_expected_is_torn() {
        let mut found = all();
        found[2].value = Some(b"4".to_vec());
        found.push(record("slo-status", 30, "a", "5"));
        assert_eq!(counts(&found), (0, 0, 2));
        let verdict = compare(&all(), &found);
        assert!(verdict.told[0].contains("differs from byte 0 on: 4 instead of 3"), "{verdict}");
    }

    #[test]
    fn another_order_is_torn() {
        let mut found = all();
        found.swap(0, 1);
        assert_eq!(counts(&found), (0, 0, 1));
    }

    #[test]
    fn dead_letters_are_lost_one_by_one() {
        let dead = |offset: &str| record("dead-letters", 0, offset, "x");
        let verdict = compare(&[dead("1"), dead("2"), dead("3")], &[dead("1"), dead("3")]);
        assert_eq!((verdict.lost, verdict.torn), (1, 0), "{verdict}");
    }
}
