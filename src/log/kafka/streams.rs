//! Which stream is which partition of which topic.
//!
//! Input partitions of several topics are numbered through in the order of the configuration, so
//! the numbers depend on the partition counts: a topic that grows while tailburn runs is refused,
//! because every later number would then mean something else.

use crate::log::Stream;

/// The streams of one worker's log.
#[derive(Clone, Debug)]
pub struct Streams {
    inputs: Vec<Topic>,
    partials: Topic,
}

#[derive(Clone, Debug)]
struct Topic {
    name: String,
    /// The number of the topic's first partition.
    first: u32,
    partitions: u32,
}

impl Streams {
    pub fn new(inputs: &[(String, u32)], partials: (String, u32)) -> Streams {
        let mut first = 0;
        let numbered = inputs.iter().map(|(name, partitions)| {
            let topic = Topic { name: name.clone(), first, partitions: *partitions };
            first += partitions;
            topic
        });
        Streams { inputs: numbered.collect(), partials: Topic { name: partials.0, first: 0, partitions: partials.1 } }
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
        self.inputs.iter().find(|input| input.name == topic).and_then(number).map(Stream::Input)
    }

    /// The topic and partition of a stream; `None` where there is no such stream.
    pub fn source(&self, stream: Stream) -> Option<(&str, i32)> {
        let (topic, number) = match stream {
            Stream::Partials(number) => (&self.partials, number),
            Stream::Input(number) => (self.inputs.iter().rev().find(|input| input.first <= number)?, number),
            Stream::Repartition(_) | Stream::Sources => return None,
        };
        let partition = number.checked_sub(topic.first).filter(|p| *p < topic.partitions)?;
        Some((&topic.name, i32::try_from(partition).ok()?))
    }

    /// The topics to subscribe to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().chain([&self.partials]).map(|topic| topic.name.as_str())
    }

    /// How many input partitions there are in all.
    pub fn input_partitions(&self) -> u32 {
        self.inputs.iter().map(|input| input.partitions).sum()
    }

    pub fn partials_partitions(&self) -> u32 {
        self.partials.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Streams {
        Streams::new(&[("a".into(), 3), ("b".into(), 2)], ("partials".into(), 4))
    }

    #[test]
    fn inputs_are_numbered_through() {
        let streams = streams();
        assert_eq!(streams.stream("a", 2), Some(Stream::Input(2)));
        assert_eq!(streams.stream("b", 0), Some(Stream::Input(3)));
        assert_eq!(streams.stream("partials", 3), Some(Stream::Partials(3)));
        assert_eq!(streams.input_partitions(), 5);
    }

    #[test]
    fn a_partition_that_was_added_later_is_no_stream() {
        assert_eq!(streams().stream("a", 3), None);
        assert_eq!(streams().stream("other", 0), None);
        assert_eq!(streams().stream("a", -1), None);
    }

    #[test]
    fn a_stream_knows_its_source() {
        let streams = streams();
        for stream in [Stream::Input(0), Stream::Input(2), Stream::Input(3), Stream::Input(4), Stream::Partials(3)] {
            let (topic, partition) = streams.source(stream).unwrap_or(("none", -1));
            assert_eq!(streams.stream(topic, partition), Some(stream));
        }
        assert_eq!(streams.source(Stream::Input(5)), None);
        assert_eq!(streams.source(Stream::Partials(4)), None);
    }
}
