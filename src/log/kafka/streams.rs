//! Which stream is which partition of which topic.

use crate::log::numbering::Claim;
use crate::log::{Stream, TopicId};
use std::collections::BTreeMap;

/// The topics as they were when the log was opened: id and number of partitions, by name.
pub type OpenedTopics = BTreeMap<String, (TopicId, u32)>;

/// The streams of one worker's log.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The topics, in the order of the configuration.
    inputs: Vec<String>,
    /// Their partitions by number.
    numbered: Vec<Claim>,
    /// Their numbers by partition.
    numbers: BTreeMap<String, BTreeMap<u32, u32>>,
    /// `None`: the inputs are keyed by user, so nothing is repartitioned.
    repartition: Option<Topic>,
    partials: Topic,
    sources: Topic,
    opened: OpenedTopics,
}

/// A topic whose partitions are all the streams of one kind.
#[derive(Clone, Debug)]
struct Topic {
    name: String,
    partitions: u32,
}

impl From<(String, u32)> for Topic {
    fn from((name, partitions): (String, u32)) -> Topic {
        Topic { name, partitions }
    }
}

impl Streams {
    /// Topics with their partition counts, the input's partitions by number. The topic of the sources has one partition.
    pub fn new(
        inputs: &[String],
        numbered: Vec<Claim>,
        repartition: Option<(String, u32)>,
        partials: (String, u32),
        sources: String,
    ) -> Streams {
        let mut numbers: BTreeMap<String, BTreeMap<u32, u32>> = BTreeMap::new();
        for Claim { number, of, .. } in &numbered {
            numbers.entry(of.topic.clone()).or_default().insert(of.partition, *number);
        }
        Streams {
            inputs: inputs.to_vec(),
            numbered,
            numbers,
            repartition: repartition.map(Topic::from),
            partials: Topic::from(partials),
            sources: Topic::from((sources, 1)),
            opened: OpenedTopics::new(),
        }
    }

    pub fn with_topics(mut self, opened: OpenedTopics) -> Streams {
        self.opened = opened;
        self
    }

    /// The topics as they were when the log was opened.
    pub fn opened(&self) -> &OpenedTopics {
        &self.opened
    }

    pub fn topic_id(&self, topic: &str) -> TopicId {
        self.opened.get(topic).map_or(TopicId::UNKNOWN, |(id, _)| *id)
    }

    pub fn is_input(&self, topic: &str) -> bool {
        self.inputs.iter().any(|input| input == topic)
    }

    /// Whether nothing is repartitioned because the inputs are keyed by user.
    pub fn is_keyed_by_user(&self) -> bool {
        self.repartition.is_none()
    }

    /// Whether a stream is a partition that was added to an input topic after we had started to read the topic.
    pub fn extends_topic(&self, stream: Stream) -> bool {
        matches!(stream, Stream::Input(number) if self.numbered.get(number as usize).is_some_and(|claim| claim.extends_topic))
    }

    /// The stream of a partition. `None`: we do not read this partition.
    pub fn stream(&self, topic: &str, partition: i32) -> Option<Stream> {
        let partition = u32::try_from(partition).ok()?;
        if let Some(numbers) = self.numbers.get(topic) {
            return numbers.get(&partition).copied().map(Stream::Input);
        }
        let number = |found: &Topic| (topic == found.name && partition < found.partitions).then_some(partition);
        let repartition = self.repartition.as_ref().and_then(number).map(Stream::Repartition);
        let partials = || number(&self.partials).map(Stream::Partials);
        repartition.or_else(partials).or_else(|| number(&self.sources).map(|_| Stream::Sources))
    }

    /// The topic and partition of a stream. `None`: there is no such stream.
    pub fn source(&self, stream: Stream) -> Option<(&str, i32)> {
        let of = |topic: &'_ Topic, number: u32| (number < topic.partitions).then_some(number);
        let (topic, partition) = match stream {
            Stream::Partials(number) => (&self.partials.name, of(&self.partials, number)?),
            Stream::Input(number) => {
                let Claim { of, .. } = self.numbered.get(number as usize)?;
                (&of.topic, of.partition)
            }
            Stream::Repartition(number) => {
                let topic = self.repartition.as_ref()?;
                (&topic.name, of(topic, number)?)
            }
            Stream::Sources => (&self.sources.name, 0),
        };
        Some((topic, i32::try_from(partition).ok()?))
    }

    /// The topics whose partitions the group distributes. (Every instance reads all of the sources, outside of the group.)
    pub fn shared_topics(&self) -> impl Iterator<Item = &str> {
        let ours = self.repartition.iter().chain([&self.partials]).map(|topic| &topic.name);
        self.inputs.iter().chain(ours).map(String::as_str)
    }

    /// How many input partitions there are in all.
    pub fn input_partitions(&self) -> u32 {
        self.numbered.len() as u32
    }

    /// How many users tasks there are: one for each partition that they read.
    pub fn users_partitions(&self) -> u32 {
        self.repartition.as_ref().map_or_else(|| self.input_partitions(), |repartition| repartition.partitions)
    }

    pub fn partials_partitions(&self) -> u32 {
        self.partials.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::numbering::{InputPartition, Numbering};

    fn numbered(topics: &[(&str, u32)]) -> Vec<Claim> {
        let topics: Vec<(String, u32)> = topics.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Numbering::default().to_claim(&topics).expect("numbered")
    }

    fn of(inputs: &[&str], numbered: Vec<Claim>) -> Streams {
        let inputs: Vec<String> = inputs.iter().map(|name| (*name).to_owned()).collect();
        Streams::new(&inputs, numbered, Some(("repartition".into(), 6)), ("partials".into(), 4), "sources".into())
    }

    fn streams() -> Streams {
        of(&["a", "b"], numbered(&[("a", 3), ("b", 2)]))
    }

    fn keyed_by_user() -> Streams {
        Streams::new(&["a".into()], numbered(&[("a", 3)]), None, ("partials".into(), 4), "sources".into())
    }

    #[test]
    fn partitions_of_all_inputs_have_a_number() {
        let streams = streams();
        assert_eq!(streams.stream("a", 2), Some(Stream::Input(2)));
        assert_eq!(streams.stream("b", 0), Some(Stream::Input(3)));
        assert_eq!(streams.stream("partials", 3), Some(Stream::Partials(3)));
        assert_eq!(streams.stream("repartition", 5), Some(Stream::Repartition(5)));
        assert_eq!(streams.stream("sources", 0), Some(Stream::Sources));
        assert_eq!((streams.input_partitions(), streams.users_partitions()), (5, 6));
    }

    /// The first topic got one more partition: the others keep their numbers.
    #[test]
    fn a_partition_has_the_number_that_was_claimed_for_it() {
        let mut claims = numbered(&[("a", 1), ("b", 1)]);
        let of_one = InputPartition { topic: "a".to_owned(), partition: 1 };
        claims.push(Claim { number: 2, of: of_one, extends_topic: true });
        let streams = of(&["b", "a"], claims);
        let all: Vec<_> = (0..4).map(|number| streams.source(Stream::Input(number))).collect();
        assert_eq!(all, [Some(("a", 0)), Some(("b", 0)), Some(("a", 1)), None]);
        assert_eq!(streams.stream("a", 1), Some(Stream::Input(2)));
        let extends_topic: Vec<bool> = (0..3).map(|number| streams.extends_topic(Stream::Input(number))).collect();
        assert_eq!(extends_topic, [false, false, true]);
        assert_eq!(streams.shared_topics().collect::<Vec<_>>(), ["b", "a", "repartition", "partials"]);
    }

    #[test]
    fn inputs_that_are_keyed_by_user_are_what_the_users_tasks_read() {
        let streams = keyed_by_user();
        assert_eq!(streams.users_partitions(), 3);
        assert_eq!(streams.source(Stream::Repartition(0)), None);
        assert_eq!(streams.shared_topics().collect::<Vec<_>>(), ["a", "partials"]);
    }

    #[test]
    fn the_group_does_not_distribute_the_sources() {
        assert_eq!(streams().shared_topics().collect::<Vec<_>>(), ["a", "b", "repartition", "partials"]);
    }

    #[test]
    fn a_partition_that_was_added_later_is_no_stream() {
        assert_eq!(streams().stream("a", 3), None);
        assert_eq!(streams().stream("other", 0), None);
        assert_eq!(streams().stream("a", -1), None);
        assert_eq!(streams().stream("sources", 1), None);
    }

    #[test]
    fn a_stream_knows_its_source() {
        let streams = streams();
        let inputs = (0..5).map(Stream::Input);
        for stream in inputs.chain([Stream::Repartition(0), Stream::Partials(3), Stream::Sources]) {
            let (topic, partition) = streams.source(stream).unwrap_or(("none", -1));
            assert_eq!(streams.stream(topic, partition), Some(stream));
        }
        assert_eq!(streams.source(Stream::Input(5)), None);
        assert_eq!(streams.source(Stream::Repartition(6)), None);
        assert_eq!(streams.source(Stream::Partials(4)), None);
    }
}
