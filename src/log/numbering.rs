//! Which number an input partition has, for as long as the application lives.
//!
//! State keeps its sources by number, and topics grow: so a number is not counted, it is claimed. A claim
//! ("number 5 is `orders [3]`") is a record of the topic of the sources, and nothing of a partition is read before
//! its claim was read back from there. Of two claims the one that stands first in the topic counts: all
//! instances read the same topic, so all come to the same numbers, also where two of them see two topics grow at
//! the same moment.
//!
//! Builds before this one numbered the partitions through and said which one had which number with the first
//! commit of each ([`Commitment`]). Where nothing was claimed yet, these say what the numbers are.

use super::{Stream, TopicId};
use crate::model::record::{RecordOut, Topic};
use std::collections::BTreeMap;

/// The last byte of a record's key says what the record is.
const COMMITMENT: u8 = 2;
const CLAIM: u8 = 3;
/// The layout of a claim's value.
const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const COUNT_BYTES: usize = 4;

/// A partition of an input topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputPartition {
    pub topic: String,
    pub partition: u32,
}

impl InputPartition {
    fn new(topic: &str, partition: u32) -> InputPartition {
        InputPartition { topic: topic.to_owned(), partition }
    }

    /// As its name is printed; `None`: it is none.
    fn parse(name: &str) -> Option<InputPartition> {
        let (topic, rest) = name.rsplit_once(" [")?;
        Some(InputPartition::new(topic, rest.strip_suffix(']')?.parse().ok()?))
    }
}

impl std::fmt::Display for InputPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.topic, self.partition)
    }
}

/// What is said of a stream when it is committed for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    pub stream: Stream,
    pub topic: TopicId,
    /// How many input partitions there were then.
    pub inputs: u32,
    /// The topic's name and the partition.
    pub name: String,
}

impl Commitment {
    pub fn to_record(&self) -> RecordOut {
        let (kind, number) = match self.stream {
            Stream::Input(number) => (0u8, number),
            Stream::Repartition(number) => (1, number),
            Stream::Partials(number) => (2, number),
            Stream::Sources => (3, 0),
        };
        let key = [&[kind][..], &number.to_be_bytes(), &[COMMITMENT]].concat();
        record(key, [&self.topic.0[..], &self.inputs.to_be_bytes(), self.name.as_bytes()].concat())
    }

    /// `None`: the record is about something else.
    pub fn read(key: &[u8], value: &[u8]) -> Option<Commitment> {
        let (&COMMITMENT, key) = key.split_last()? else { return None };
        let (kind, number) = key.split_first()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let stream = match kind {
            0 => Stream::Input(number),
            1 => Stream::Repartition(number),
            2 => Stream::Partials(number),
            _ => return None,
        };
        let (id, rest) = value.split_first_chunk::<ID_BYTES>()?;
        let (inputs, name) = rest.split_first_chunk::<COUNT_BYTES>()?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some(Commitment { stream, topic: TopicId(*id), inputs: u32::from_be_bytes(*inputs), name })
    }
}

/// A number that somebody wants for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub number: u32,
    pub of: InputPartition,
    /// The partition was added to a topic that was read before.
    pub is_added: bool,
}

impl Claim {
    /// `claimant`: who claims, so that no two claims have one key: compaction would keep the later of them.
    pub fn to_record(&self, claimant: &str) -> RecordOut {
        let key = [&self.number.to_be_bytes()[..], claimant.as_bytes(), &[CLAIM]].concat();
        let head = [VERSION, u8::from(self.is_added)];
        record(key, [&head[..], &self.of.partition.to_be_bytes(), self.of.topic.as_bytes()].concat())
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Claim> {
        let (number, rest) = key.split_first_chunk::<4>()?;
        let (&CLAIM, _) = rest.split_last()? else { return None };
        let (&[VERSION, is_added], value) = value.split_first_chunk::<2>()? else { return None };
        let (partition, topic) = value.split_first_chunk::<4>()?;
        let of = InputPartition::new(std::str::from_utf8(topic).ok()?, u32::from_be_bytes(*partition));
        Some(Claim { number: u32::from_be_bytes(*number), of, is_added: is_added == 1 })
    }
}

fn record(key: Vec<u8>, value: Vec<u8>) -> RecordOut {
    let (key, value) = (Some(key), Some(value));
    RecordOut { topic: Topic::Sources, partition: 0, key, value, headers: Vec::new(), timestamp_ms: 0 }
}

/// Why partitions cannot be numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unnumbered {
    /// It was read, and is not among the partitions that are to be read now.
    Left(InputPartition),
    /// What an older build said fits more than one numbering, or none.
    Ambiguous,
}

/// The numbers, as far as the topic of the sources was read.
#[derive(Clone, Debug, Default)]
pub struct Numbering {
    /// By number.
    claimed: Vec<Claim>,
    number_of: BTreeMap<InputPartition, u32>,
    /// By number: what was committed of, and how many there were then.
    committed: BTreeMap<u32, (String, u32)>,
}

impl Numbering {
    /// Takes the next record of the topic; `true`: it is a claim.
    pub fn hear(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(Commitment { stream: Stream::Input(number), inputs, name, .. }) = Commitment::read(key, value) {
            self.committed.insert(number, (name, inputs));
        }
        let Some(claim) = Claim::read(key, value) else { return false };
        // The first one counts. (Who was slower hears of that, and claims the next number.)
        let is_free = claim.number as usize == self.claimed.len() && !self.number_of.contains_key(&claim.of);
        if is_free {
            self.number_of.insert(claim.of.clone(), claim.number);
            self.claimed.push(claim);
        }
        true
    }

    /// What is claimed, by number.
    pub fn claimed(&self) -> &[Claim] {
        &self.claimed
    }

    /// What is to be claimed for all partitions to have a number. `present`: the topics in the order of the
    /// configuration, with how many partitions they have now.
    pub fn to_claim(&self, present: &[(String, u32)]) -> Result<Vec<Claim>, Unnumbered> {
        let old = if self.claimed.is_empty() { self.numbered_before(present)? } else { Vec::new() };
        let is_absent = |of: &&InputPartition| !present.iter().any(|(t, n)| *t == of.topic && of.partition < *n);
        if let Some(left) = self.number_of.keys().find(is_absent) {
            return Err(Unnumbered::Left(left.clone()));
        }
        let is_known = |topic: &str| old.iter().chain(self.number_of.keys()).any(|of| of.topic == topic);
        let new = numbered_through(present).into_iter();
        let new = new.filter(|of| !self.number_of.contains_key(of) && !old.contains(of));
        let new = new.map(|of| (is_known(&of.topic), of));
        let first = self.claimed.len() as u32;
        let wanted = old.iter().cloned().map(|of| (false, of)).chain(new);
        Ok((first..).zip(wanted).map(|(number, (is_added, of))| Claim { number, of, is_added }).collect())
    }

    /// The partitions as an older build numbered them through; none where there was none.
    fn numbered_before(&self, present: &[(String, u32)]) -> Result<Vec<InputPartition>, Unnumbered> {
        let Some(total) = self.committed.values().map(|(_, inputs)| *inputs).max() else { return Ok(Vec::new()) };
        let mut committed = BTreeMap::new();
        for (number, (name, _)) in &self.committed {
            committed.insert(*number, InputPartition::parse(name).ok_or(Unnumbered::Ambiguous)?);
        }
        let is_absent = |of: &&InputPartition| !present.iter().any(|(topic, _)| *topic == of.topic);
        if let Some(left) = committed.values().find(is_absent) {
            return Err(Unnumbered::Left(left.clone()));
        }
        let fits = |layout: &[(String, u32)]| {
            let all: Vec<InputPartition> = numbered_through(layout);
            let agrees = committed.iter().all(|(number, of)| all.get(*number as usize) == Some(of));
            (all.len() as u32 == total && agrees).then_some(all)
        };
        if let Some(all) = fits(present) {
            return Ok(all);
        }
        let layout = layout(&committed, total, present).ok_or(Unnumbered::Ambiguous)?;
        fits(&layout).ok_or(Unnumbered::Ambiguous)
    }
}

fn numbered_through(topics: &[(String, u32)]) -> Vec<InputPartition> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(|p| InputPartition::new(topic, p))).collect()
}

/// The topics with the partitions that they had, from where each of them began: some have more by now, and others
/// were not read yet. `None`: what was committed does not say it.
fn layout(
    committed: &BTreeMap<u32, InputPartition>,
    total: u32,
    present: &[(String, u32)],
) -> Option<Vec<(String, u32)>> {
    let begins = committed.iter().map(|(number, of)| Some((number.checked_sub(of.partition)?, of.topic.as_str())));
    let begins: BTreeMap<u32, &str> = begins.collect::<Option<_>>()?;
    let is_begun = |topic: &str| begins.values().any(|begun| *begun == topic);
    // A topic of which nothing was committed may stand in any gap.
    let all_begun = present.iter().all(|(topic, _)| is_begun(topic));
    if !all_begun && committed.len() as u32 != total {
        return None;
    }
    let ends = begins.keys().skip(1).copied().chain([total]);
    let lengths =
        begins.iter().zip(ends).map(|((begin, topic), end)| ((*topic).to_owned(), end.saturating_sub(*begin)));
    let layout: Vec<(String, u32)> = lengths.collect();
    let has_them = |(topic, had): &(String, u32)| present.iter().any(|(name, has)| name == topic && has >= had);
    layout.iter().all(has_them).then_some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(all: &[(&str, u32)]) -> Vec<(String, u32)> {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn hear(numbering: &mut Numbering, record: &RecordOut) -> bool {
        numbering.hear(record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default())
    }

    /// What an instance claims is said in one transaction.
    fn claim(log: &mut Vec<RecordOut>, by: &str, claims: &[Claim]) {
        log.extend(claims.iter().map(|claim| claim.to_record(by)));
    }

    fn heard(log: &[RecordOut]) -> Numbering {
        let mut numbering = Numbering::default();
        for record in log {
            hear(&mut numbering, record);
        }
        numbering
    }

    fn names(numbering: &Numbering) -> Vec<String> {
        numbering.claimed().iter().map(|claim| claim.of.to_string()).collect()
    }

    fn committed(number: u32, name: &str, inputs: u32) -> RecordOut {
        let stream = Stream::Input(number);
        Commitment { stream, topic: TopicId([1; 16]), inputs, name: name.to_owned() }.to_record()
    }

    #[test]
    fn the_first_claims_number_the_partitions_through() {
        let claims = Numbering::default().to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered");
        let mut log = Vec::new();
        claim(&mut log, "one", &claims);
        let numbering = heard(&log);
        assert_eq!(names(&numbering), ["a [0]", "a [1]", "b [0]"]);
        assert!(numbering.claimed().iter().all(|claim| !claim.is_added));
        assert_eq!(numbering.to_claim(&topics(&[("b", 1), ("a", 2)])), Ok(Vec::new()), "in whatever order they stand");
    }

    #[test]
    fn any_topic_may_grow_and_others_be_appended() {
        let mut log = Vec::new();
        let mut grow = |present: &[(&str, u32)]| {
            let claims = heard(&log).to_claim(&topics(present)).expect("numbered");
            claim(&mut log, "one", &claims);
            (names(&heard(&log)), claims.iter().map(|claim| claim.is_added).collect::<Vec<_>>())
        };
        grow(&[("a", 1), ("b", 1)]);
        let (names, _) = grow(&[("a", 3), ("b", 1)]);
        assert_eq!(names, ["a [0]", "b [0]", "a [1]", "a [2]"]);
        let (names, is_added) = grow(&[("c", 1), ("a", 3), ("b", 2)]);
        assert_eq!(names[4..], ["c [0]", "b [1]"]);
        assert_eq!(is_added, [false, true], "a topic that is new begins where all begin");
    }

    #[test]
    fn of_two_that_claim_at_the_same_moment_the_first_is_right_for_both() {
        let mut log = Vec::new();
        claim(&mut log, "one", &Numbering::default().to_claim(&topics(&[("a", 1), ("b", 1)])).expect("numbered"));
        let seen = heard(&log);
        let one = seen.to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered");
        let other = seen.to_claim(&topics(&[("a", 1), ("b", 2)])).expect("numbered");
        let both = seen.to_claim(&topics(&[("a", 2), ("b", 2)])).expect("numbered");
        claim(&mut log, "other", &other);
        claim(&mut log, "one", &one);
        claim(&mut log, "both", &both);
        assert_eq!(names(&heard(&log)), ["a [0]", "b [0]", "b [1]"]);
        let again = heard(&log).to_claim(&topics(&[("a", 2), ("b", 2)])).expect("numbered");
        claim(&mut log, "one", &again);
        assert_eq!(names(&heard(&log)), ["a [0]", "b [0]", "b [1]", "a [1]"]);
        let keys: Vec<_> = log.iter().map(|record| record.key.clone()).collect();
        let is_alone = |key| keys.iter().filter(|other| *other == key).count() == 1;
        assert!(keys.iter().all(is_alone), "compaction would keep the later one of two");
    }

    #[test]
    fn what_left_the_list_is_named() {
        let mut log = Vec::new();
        claim(&mut log, "one", &Numbering::default().to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered"));
        let left = |present| heard(&log).to_claim(&topics(present));
        assert_eq!(left(&[("a", 2)]), Err(Unnumbered::Left(InputPartition::new("b", 0))));
        assert_eq!(left(&[("a", 1), ("b", 1)]), Err(Unnumbered::Left(InputPartition::new("a", 1))));
    }

    /// State of a build that claimed nothing goes on unchanged, whatever became of its topics since.
    #[test]
    fn what_an_older_build_committed_says_its_numbers() {
        let whole = [committed(0, "a [0]", 3), committed(1, "a [1]", 3), committed(2, "b [0]", 3)];
        let numbers = |present| {
            let claims = heard(&whole).to_claim(&topics(present))?;
            Ok(claims.iter().map(|c| format!("{}{}", c.of, if c.is_added { "+" } else { "" })).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[("a", 2), ("b", 1)]), Ok(vec!["a [0]".into(), "a [1]".into(), "b [0]".into()]));
        let grown = ["a [0]", "a [1]", "b [0]", "a [2]+", "b [1]+"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&[("a", 3), ("b", 2)]), Ok(grown));
        let more = ["a [0]", "a [1]", "b [0]", "c [0]"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&[("c", 1), ("a", 2), ("b", 1)]), Ok(more));
        assert_eq!(numbers(&[("a", 2)]), Err(Unnumbered::Left(InputPartition::new("b", 0))));
    }

    #[test]
    fn what_an_older_build_did_not_say_is_not_guessed() {
        let numbers = |log: &[RecordOut], present| heard(log).to_claim(&topics(present)).map(|claims| claims.len());
        // Of the first topic nothing was committed: the count says that all are as they were, or it does not.
        let second = [committed(2, "b [0]", 3)];
        assert_eq!(numbers(&second, &[("a", 2), ("b", 1)]), Ok(3));
        assert_eq!(numbers(&second, &[("a", 3), ("b", 1)]), Err(Unnumbered::Ambiguous));
        // Where each of them began is known.
        let begun = [committed(1, "a [1]", 3), committed(2, "b [0]", 3)];
        assert_eq!(numbers(&begun, &[("a", 3), ("b", 1)]), Ok(4));
        let more = [committed(0, "a [0]", 3), committed(1, "a [1]", 3), committed(3, "b [1]", 4)];
        assert_eq!(numbers(&more, &[("a", 3), ("b", 2)]), Ok(5), "its last topic had grown once");
        assert_eq!(numbers(&[committed(0, "a [0]", 2)], &[("a", 2), ("c", 1)]), Err(Unnumbered::Ambiguous));
    }

    #[test]
    fn other_records_are_no_claims() {
        let mut numbering = Numbering::default();
        for key in [&[0, 0, 0, 3][..], &[0, 0, 0, 7, 1], &[0, 0, 0, 0, 7, 2], b""] {
            assert!(!numbering.hear(key, b"something"), "{key:?}");
        }
        assert_eq!(Commitment::read(&[0, 0, 0, 7], b""), None);
    }
}
