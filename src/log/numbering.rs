//! The number of each input partition. It never changes while the application exists.
//!
//! State stores its sources by number, and topics grow, so numbers cannot follow from the order of the partitions: they
//! are claimed. A claim ("number 5 is `orders [3]`") is a record in the topic of the sources, and a partition is read
//! only after its claim was read back from there. Of two claims the one that comes first in the topic counts. All
//! instances read the same topic, so all find the same numbers, even if two instances see two topics grow at the same
//! moment.
//!
//! Older builds numbered the partitions by their order, and stored the number of each with its first commit
//! ([`Commitment`]). If nothing was claimed yet, the numbers come from these records.

use super::{Stream, TopicId};
use crate::model::record::{RecordOut, Topic};
use std::collections::BTreeMap;

/// The last byte of a record's key is the kind of the record.
const COMMITMENT: u8 = 2;
const CLAIM: u8 = 3;
/// The version of a claim's value.
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

    /// Reads a printed name.
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

/// The record that is written when a stream is committed for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    pub stream: Stream,
    pub topic: TopicId,
    /// How many input partitions there were at that time.
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

    /// `None`: the record is of another kind.
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

/// A number that an instance claims for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub number: u32,
    pub of: InputPartition,
    /// The partition was added to a topic after the application had started to read the topic: it is read from its
    /// beginning. A partition of a topic that is new starts where the settings say, so this is noted with the claim: the
    /// numbers alone do not tell the two apart.
    pub extends_topic: bool,
}

impl Claim {
    /// `claimant` makes the key unique: of two claims with the same key compaction would keep the later one.
    pub fn to_record(&self, claimant: &str) -> RecordOut {
        let key = [&self.number.to_be_bytes()[..], claimant.as_bytes(), &[CLAIM]].concat();
        let head = [VERSION, u8::from(self.extends_topic)];
        record(key, [&head[..], &self.of.partition.to_be_bytes(), self.of.topic.as_bytes()].concat())
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Claim> {
        let (number, rest) = key.split_first_chunk::<4>()?;
        let (&CLAIM, _) = rest.split_last()? else { return None };
        let (&[VERSION, extends_topic], value) = value.split_first_chunk::<2>()? else { return None };
        let (partition, topic) = value.split_first_chunk::<4>()?;
        let of = InputPartition::new(std::str::from_utf8(topic).ok()?, u32::from_be_bytes(*partition));
        Some(Claim { number: u32::from_be_bytes(*number), of, extends_topic: extends_topic == 1 })
    }
}

fn record(key: Vec<u8>, value: Vec<u8>) -> RecordOut {
    let (key, value) = (Some(key), Some(value));
    RecordOut { topic: Topic::Sources, partition: 0, key, value, headers: Vec::new(), timestamp_ms: 0 }
}

/// Why partitions cannot be numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unnumbered {
    /// This partition was read before, and is not among those that are configured now.
    Left(InputPartition),
    /// The records of an older build fit more than one numbering, or none.
    Ambiguous,
}

/// The numbers, as far as the topic of the sources has been read.
#[derive(Clone, Debug, Default)]
pub struct Numbering {
    /// By number.
    claimed: Vec<Claim>,
    number_of: BTreeMap<InputPartition, u32>,
    /// By number: the name of the committed partition, and how many input partitions there were at that time.
    committed: BTreeMap<u32, (String, u32)>,
}

impl Numbering {
    /// Applies the next record of the topic. `true`: it is a claim.
    pub fn apply(&mut self, key: &[u8], value: &[u8]) -> bool {
        if let Some(Commitment { stream: Stream::Input(number), inputs, name, .. }) = Commitment::read(key, value) {
            self.committed.insert(number, (name, inputs));
        }
        let Some(claim) = Claim::read(key, value) else { return false };
        // The first claim counts. (A slower instance reads this one too, and claims the next number.)
        let is_free = claim.number as usize == self.claimed.len() && !self.number_of.contains_key(&claim.of);
        if is_free {
            self.number_of.insert(claim.of.clone(), claim.number);
            self.claimed.push(claim);
        }
        true
    }

    /// The claims that count, by number.
    pub fn claimed(&self) -> &[Claim] {
        &self.claimed
    }

    /// The claims that are needed to give every partition a number. `present`: the topics in the order of the
    /// configuration, with their numbers of partitions now.
    pub fn to_claim(&self, present: &[(String, u32)]) -> Result<Vec<Claim>, Unnumbered> {
        let old = if self.claimed.is_empty() { self.numbered_by_older_build(present)? } else { Vec::new() };
        let is_absent = |of: &&InputPartition| !present.iter().any(|(t, n)| *t == of.topic && of.partition < *n);
        if let Some(left) = self.number_of.keys().find(is_absent) {
            return Err(Unnumbered::Left(left.clone()));
        }
        let is_known = |topic: &str| old.iter().chain(self.number_of.keys()).any(|of| of.topic == topic);
        let new = in_order(present).into_iter();
        let new = new.filter(|of| !self.number_of.contains_key(of) && !old.contains(of));
        let new = new.map(|of| (is_known(&of.topic), of));
        let first = self.claimed.len() as u32;
        let wanted = old.iter().cloned().map(|of| (false, of)).chain(new);
        Ok((first..).zip(wanted).map(|(number, (extends_topic, of))| Claim { number, of, extends_topic }).collect())
    }

    /// The partitions as an older build numbered them. Empty: there was no older build.
    fn numbered_by_older_build(&self, present: &[(String, u32)]) -> Result<Vec<InputPartition>, Unnumbered> {
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
            let all: Vec<InputPartition> = in_order(layout);
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

fn in_order(topics: &[(String, u32)]) -> Vec<InputPartition> {
    topics.iter().flat_map(|(topic, count)| (0..*count).map(|p| InputPartition::new(topic, p))).collect()
}

/// The topics with their old numbers of partitions, found from the first number of each. Some have more partitions now,
/// and some topics are new. `None`: the committed partitions do not show it.
fn layout(
    committed: &BTreeMap<u32, InputPartition>,
    total: u32,
    present: &[(String, u32)],
) -> Option<Vec<(String, u32)>> {
    let starts = committed.iter().map(|(number, of)| Some((number.checked_sub(of.partition)?, of.topic.as_str())));
    let starts: BTreeMap<u32, &str> = starts.collect::<Option<_>>()?;
    let has_start = |topic: &str| starts.values().any(|started| *started == topic);
    // A topic without a committed partition could be in any gap.
    let all_started = present.iter().all(|(topic, _)| has_start(topic));
    if !all_started && committed.len() as u32 != total {
        return None;
    }
    let ends = starts.keys().skip(1).copied().chain([total]);
    let lengths =
        starts.iter().zip(ends).map(|((start, topic), end)| ((*topic).to_owned(), end.saturating_sub(*start)));
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

    fn apply(numbering: &mut Numbering, record: &RecordOut) -> bool {
        numbering.apply(record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default())
    }

    /// All claims of an instance are in one transaction.
    fn claim(log: &mut Vec<RecordOut>, by: &str, claims: &[Claim]) {
        log.extend(claims.iter().map(|claim| claim.to_record(by)));
    }

    fn read(log: &[RecordOut]) -> Numbering {
        let mut numbering = Numbering::default();
        for record in log {
            apply(&mut numbering, record);
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
    fn the_first_claims_number_the_partitions_in_order() {
        let claims = Numbering::default().to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered");
        let mut log = Vec::new();
        claim(&mut log, "one", &claims);
        let numbering = read(&log);
        assert_eq!(names(&numbering), ["a [0]", "a [1]", "b [0]"]);
        assert!(numbering.claimed().iter().all(|claim| !claim.extends_topic));
        assert_eq!(numbering.to_claim(&topics(&[("b", 1), ("a", 2)])), Ok(Vec::new()), "the order no longer matters");
    }

    #[test]
    fn any_topic_may_grow_and_topics_may_be_added() {
        let mut log = Vec::new();
        let mut grow = |present: &[(&str, u32)]| {
            let claims = read(&log).to_claim(&topics(present)).expect("numbered");
            claim(&mut log, "one", &claims);
            (names(&read(&log)), claims.iter().map(|claim| claim.extends_topic).collect::<Vec<_>>())
        };
        grow(&[("a", 1), ("b", 1)]);
        let (names, _) = grow(&[("a", 3), ("b", 1)]);
        assert_eq!(names, ["a [0]", "b [0]", "a [1]", "a [2]"]);
        let (names, extends_topic) = grow(&[("c", 1), ("a", 3), ("b", 2)]);
        assert_eq!(names[4..], ["c [0]", "b [1]"]);
        assert_eq!(extends_topic, [false, true], "a new topic is not an added partition");
    }

    #[test]
    fn of_two_claims_at_the_same_moment_the_first_counts_for_both_instances() {
        let mut log = Vec::new();
        claim(&mut log, "one", &Numbering::default().to_claim(&topics(&[("a", 1), ("b", 1)])).expect("numbered"));
        let seen = read(&log);
        let one = seen.to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered");
        let other = seen.to_claim(&topics(&[("a", 1), ("b", 2)])).expect("numbered");
        let both = seen.to_claim(&topics(&[("a", 2), ("b", 2)])).expect("numbered");
        claim(&mut log, "other", &other);
        claim(&mut log, "one", &one);
        claim(&mut log, "both", &both);
        assert_eq!(names(&read(&log)), ["a [0]", "b [0]", "b [1]"]);
        let again = read(&log).to_claim(&topics(&[("a", 2), ("b", 2)])).expect("numbered");
        claim(&mut log, "one", &again);
        assert_eq!(names(&read(&log)), ["a [0]", "b [0]", "b [1]", "a [1]"]);
        let keys: Vec<_> = log.iter().map(|record| record.key.clone()).collect();
        let is_alone = |key| keys.iter().filter(|other| *other == key).count() == 1;
        assert!(keys.iter().all(is_alone), "compaction would keep the later one of two");
    }

    #[test]
    fn a_partition_that_is_no_longer_configured_is_named() {
        let mut log = Vec::new();
        claim(&mut log, "one", &Numbering::default().to_claim(&topics(&[("a", 2), ("b", 1)])).expect("numbered"));
        let left = |present| read(&log).to_claim(&topics(present));
        assert_eq!(left(&[("a", 2)]), Err(Unnumbered::Left(InputPartition::new("b", 0))));
        assert_eq!(left(&[("a", 1), ("b", 1)]), Err(Unnumbered::Left(InputPartition::new("a", 1))));
    }

    /// State of a build without claims stays valid, even if its topics have grown since.
    #[test]
    fn the_commits_of_an_older_build_show_its_numbers() {
        let whole = [committed(0, "a [0]", 3), committed(1, "a [1]", 3), committed(2, "b [0]", 3)];
        let numbers = |present| {
            let claims = read(&whole).to_claim(&topics(present))?;
            Ok(claims.iter().map(|c| format!("{}{}", c.of, if c.extends_topic { "+" } else { "" })).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[("a", 2), ("b", 1)]), Ok(vec!["a [0]".into(), "a [1]".into(), "b [0]".into()]));
        let grown = ["a [0]", "a [1]", "b [0]", "a [2]+", "b [1]+"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&[("a", 3), ("b", 2)]), Ok(grown));
        let more = ["a [0]", "a [1]", "b [0]", "c [0]"].map(str::to_owned).to_vec();
        assert_eq!(numbers(&[("c", 1), ("a", 2), ("b", 1)]), Ok(more));
        assert_eq!(numbers(&[("a", 2)]), Err(Unnumbered::Left(InputPartition::new("b", 0))));
    }

    #[test]
    fn numbers_of_an_older_build_are_not_guessed() {
        let numbers = |log: &[RecordOut], present| read(log).to_claim(&topics(present)).map(|claims| claims.len());
        // Nothing was committed of the first topic. Only if the count is the same, all numbers are known.
        let second = [committed(2, "b [0]", 3)];
        assert_eq!(numbers(&second, &[("a", 2), ("b", 1)]), Ok(3));
        assert_eq!(numbers(&second, &[("a", 3), ("b", 1)]), Err(Unnumbered::Ambiguous));
        // The first number of each topic is known.
        let begun = [committed(1, "a [1]", 3), committed(2, "b [0]", 3)];
        assert_eq!(numbers(&begun, &[("a", 3), ("b", 1)]), Ok(4));
        let more = [committed(0, "a [0]", 3), committed(1, "a [1]", 3), committed(3, "b [1]", 4)];
        assert_eq!(numbers(&more, &[("a", 3), ("b", 2)]), Ok(5), "the last topic had grown before");
        assert_eq!(numbers(&[committed(0, "a [0]", 2)], &[("a", 2), ("c", 1)]), Err(Unnumbered::Ambiguous));
    }

    #[test]
    fn records_of_other_kinds_are_no_claims() {
        let mut numbering = Numbering::default();
        for key in [&[0, 0, 0, 3][..], &[0, 0, 0, 7, 1], &[0, 0, 0, 0, 7, 2], b""] {
            assert!(!numbering.apply(key, b"something"), "{key:?}");
        }
        assert_eq!(Commitment::read(&[0, 0, 0, 7], b""), None);
    }
}
