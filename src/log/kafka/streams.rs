//! Which stream is which partition of which topic.
//!
//! Input partitions of several topics are numbered through in the order of the configuration, so
//! the numbers depend on the partition counts: a topic that grows while tailburn runs is refused,
//! because every later number would then mean something else.

use super::watch::Expected;
use crate::log::{Stream, TopicId};

/// The streams of one worker's log.
#[derive(Clone, Debug)]
pub struct Streams {
    inputs: Vec<Topic>,
    /// `None` where the inputs are keyed by user already.
    repartition: Option<Topic>,
    partials: Topic,
    sources: Topic,
    ids: Expected,
}

#[derive(Clone, Debug)]
struct Topic {
    name: String,
    /// The number of the topic's first partition.
    first: u32,
    partitions: u32,
}

impl Topic {
    /// A topic whose partitions are the whole of a kind of stream.
    fn alone((name, partitions): (String, u32)) -> Topic {
        Topic { name, first: 0, partitions }
    }
}

impl Streams {
    /// Topics with their partition counts; the topic of the sources has one partition.
    pub fn new(
        inputs: &[(String, u32)],
        repartition: Option<(String, u32)>,
        partials: (String, u32),
        sources: String,
    ) -> Streams {
        let mut first = 0;
        let numbered = inputs.iter().map(|(name, partitions)| {
            let topic = Topic { name: name.clone(), first, partitions: *partitions };
            first += partitions;
            topic
        });
        Streams {
            inputs: numbered.collect(),
            repartition: repartition.map(Topic::alone),
            partials: Topic::alone(partials),
            sources: Topic::alone((sources, 1)),
            ids: Expected::new(),
        }
    }

    /// With the ids and partition counts of the topics, by name.
    pub fn with_ids(mut self, ids: Expected) -> Streams {
        self.ids = ids;
        self
    }

    /// The topics as they were when the log was opened.
    pub fn ids(&self) -> &Expected {
        &self.ids
    }

    pub fn topic_id(&self, topic: &str) -> TopicId {
        self.ids.get(topic).map_or(TopicId::UNKNOWN, |(id, _)| *id)
    }

    /// Whether a topic is an input and the last of them: what is numbered behind it would move.
    pub fn is_last_input(&self, topic: &str) -> bool {
        self.inputs.last().is_some_and(|last| last.name == topic)
    }

    pub fn is_input(&self, topic: &str) -> bool {
        self.inputs.iter().any(|input| input.name == topic)
    }

    /// What a partition of the broker is called here; `None` where it is none of ours.
    pub fn stream(&self, topic: &str, partition: i32) -> Option<Stream> {
        let number = |found: &Topic| {
            let partition = u32::try_from(partition).ok().filter(|p| *p < found.partitions)?;
            Some(found.first + partition)
        };
        if topic == self.partials.name {
            return number(&self.partials).map(Stream::Partials);
        }
        if topic == self.sources.name {
            return number(&self.sources).map(|_| Stream::Sources);
        }
        if let Some(repartition) = self.repartition.as_ref().filter(|repartition| topic == repartition.name) {
            return number(repartition).map(Stream::Repartition);
        }
        self.inputs.iter().find(|input| input.name == topic).and_then(number).map(Stream::Input)
    }

    /// The topic and partition of a stream; `None` where there is no such stream.
    pub fn source(&self, stream: Stream) -> Option<(&str, i32)> {
        let (topic, number) = match stream {
            Stream::Partials(number) => (&self.partials, number),
            Stream::Input(number) => (self.inputs.iter().rev().find(|input| input.first <= number)?, number),
            Stream::Repartition(number) => (self.repartition.as_ref()?, number),
            Stream::Sources => (&self.sources, 0),
        };
        let partition = number.checked_sub(topic.first).filter(|p| *p < topic.partitions)?;
        Some((&topic.name, i32::try_from(partition).ok()?))
    }

    /// The topics that the group shares: everybody reads the sources, so nobody subscribes to them.
    pub fn shared_topics(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().chain(&self.repartition).chain([&self.partials]).map(|topic| topic.name.as_str())
    }

    /// How many input partitions there are in all.
    pub fn input_partitions(&self) -> u32 {
        self.inputs.iter().map(|input| input.partitions).sum()
    }

    /// How many users tasks there are: one per partition of what they read.
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

    fn streams() -> Streams {
        let inputs = [("a".into(), 3), ("b".into(), 2)];
        Streams::new(&inputs, Some(("repartition".into(), 6)), ("partials".into(), 4), "sources".into())
    }

    fn keyed_by_user() -> Streams {
        Streams::new(&[("a".into(), 3)], None, ("partials".into(), 4), "sources".into())
    }

    #[test]
    fn inputs_are_numbered_through() {
        let streams = streams();
        assert_eq!(streams.stream("a", 2), Some(Stream::Input(2)));
        assert_eq!(streams.stream("b", 0), Some(Stream::Input(3)));
        assert_eq!(streams.stream("partials", 3), Some(Stream::Partials(3)));
        assert_eq!(streams.stream("repartition", 5), Some(Stream::Repartition(5)));
        assert_eq!(streams.stream("sources", 0), Some(Stream::Sources));
        assert_eq!((streams.input_partitions(), streams.users_partitions()), (5, 6));
    }

    #[test]
    fn inputs_that_are_keyed_by_user_are_what_the_users_tasks_read() {
        let streams = keyed_by_user();
        assert_eq!(streams.users_partitions(), 3);
        assert_eq!(streams.source(Stream::Repartition(0)), None);
        assert_eq!(streams.shared_topics().collect::<Vec<_>>(), ["a", "partials"]);
    }

    #[test]
    fn the_group_does_not_share_what_everybody_reads() {
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
