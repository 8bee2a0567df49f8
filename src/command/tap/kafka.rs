//! Reads a topic in Kafka without disturbing anyone: it assigns the partitions itself, joins no group, commits no
//! offset, and reads only committed records.

use super::From;
use super::printer::{Flow, Found, Place, Printer};
use crate::log::kafka::observer::{Observer, observer};
use crate::log::kafka::peek;
use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

const METADATA_WAIT: Duration = Duration::from_secs(15);
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Passes each record of a topic to the printer, until the printer stops or (if asked) until the end.
pub fn read(
    topic: &str,
    properties: BTreeMap<String, String>,
    from: From,
    exit_at_end: bool,
    printer: &mut Printer<impl Write, impl Write>,
) -> anyhow::Result<()> {
    let consumer =
        observer(&properties, "tailburn-tap").context("no consumer can be created with `kafka.properties`")?;
    let partitions = assign(&consumer, topic, from)?;
    let mut ended = BTreeSet::new();
    let mut is_explained = false;
    while !(exit_at_end && ended.len() == partitions) {
        match consumer.poll(POLL_WAIT) {
            None => {}
            Some(Ok(message)) => {
                ended.remove(&message.partition());
                if take(&message, printer)?.is_break() {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
                if ended.len() == partitions && !std::mem::replace(&mut is_explained, true) {
                    printer.explain()?;
                    if exit_at_end && printer.records() == 0 {
                        let hint =
                            if from == From::Latest { " since now: --from earliest shows what is there" } else { "" };
                        printer.tell(&format!("topic `{topic}` has no record{hint}"))?;
                    }
                }
            }
            Some(Err(error)) if is_passing(&error) => printer.tell(&format!("{topic}: {error}; trying again"))?,
            Some(Err(error)) => return Err(error).with_context(|| format!("topic `{topic}` cannot be read")),
        }
    }
    Ok(())
}

/// Passes the newest records of a topic to the printer, the oldest of them first.
pub fn newest(
    topic: &str,
    properties: &BTreeMap<String, String>,
    count: u64,
    printer: &mut Printer<impl Write, impl Write>,
) -> anyhow::Result<()> {
    let peeked = peek::newest(properties, topic, count).with_context(|| format!("topic `{topic}` cannot be read"))?;
    for record in &peeked {
        let at = record.record();
        let found = Found {
            place: Place::Kafka {
                partition: i32::try_from(at.partition).unwrap_or(i32::MAX),
                offset: at.offset,
                timestamp_ms: at.timestamp_ms,
            },
            key: at.key,
            value: (!record.is_tombstone()).then_some(at.value),
            headers: record.headers().collect(),
        };
        if printer.take(&found)?.is_break() {
            return Ok(());
        }
    }
    if peeked.is_empty() {
        printer.tell(&format!("topic `{topic}` has no record"))?;
    }
    Ok(printer.explain()?)
}

/// Assigns all partitions of the topic and returns their number.
fn assign(consumer: &BaseConsumer<Observer>, topic: &str, from: From) -> anyhow::Result<usize> {
    let unreachable = || format!("the broker does not describe topic `{topic}`: is `bootstrap.servers` right?");
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_WAIT).with_context(unreachable)?;
    let partitions = metadata.topics().first().map_or(&[][..], |found| found.partitions());
    if partitions.is_empty() {
        bail!("there is no topic `{topic}`: `tailburn topics` lists ours, `output.prefix` names them");
    }
    let offset = match from {
        From::Earliest => Offset::Beginning,
        From::Latest => Offset::End,
    };
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, partition.id(), offset)?;
    }
    consumer.assign(&list).with_context(|| format!("topic `{topic}` cannot be assigned"))?;
    Ok(partitions.len())
}

fn take(message: &BorrowedMessage<'_>, printer: &mut Printer<impl Write, impl Write>) -> anyhow::Result<Flow> {
    let headers =
        message.headers().map(|headers| headers.iter().map(|h| (h.key, h.value.unwrap_or_default())).collect());
    let found = Found {
        place: Place::Kafka {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
        },
        key: message.key(),
        value: message.payload(),
        headers: headers.unwrap_or_default(),
    };
    Ok(printer.take(&found)?)
}

/// Errors from which librdkafka recovers by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

#[cfg(test)]
mod tests {
    use super::super::printer::tests::{args, ran};
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    const TOPIC: &str = "tailburn.slo-status";

    /// Writes to librdkafka's mock broker and reads with the given arguments.
    fn tapped(flags: &[&str], from: From) -> (String, String, u64) {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, 2, 1).expect("a topic");
        let servers = cluster.bootstrap_servers();
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &servers).create().expect("a producer");
        for (partition, slo) in [(0, "a"), (1, "b"), (0, "c")] {
            let value = format!(r#"{{"slo":"{slo}"}}"#);
            let record = BaseRecord::to(TOPIC).partition(partition).key(slo).payload(&value).timestamp(60_000);
            producer.send(record).expect("is queued");
            producer.flush(Duration::from_secs(10)).expect("is written");
        }
        let properties = BTreeMap::from([("bootstrap.servers".to_owned(), servers)]);
        ran(args("slo-status", flags), |printer| read(TOPIC, properties, from, true, printer))
    }

    #[test]
    fn reads_every_partition_from_the_beginning_to_the_end() {
        let (out, messages, _) = tapped(&[], From::Earliest);
        let mut lines: Vec<_> = out.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, [r#"{"slo":"a"}"#, r#"{"slo":"b"}"#, r#"{"slo":"c"}"#]);
        assert_eq!(messages, "");
    }

    #[test]
    fn an_envelope_says_where_a_record_stands() {
        let (out, ..) = tapped(&["--envelope", "--key", "c"], From::Earliest);
        let expected =
            r#"{"key":"c","partition":0,"offset":1,"timestamp":"1970-01-01T00:01:00.000Z","value":{"slo":"c"}}"#;
        assert_eq!(out.trim_end(), expected);
    }

    #[test]
    fn from_the_end_on_there_is_nothing_yet() {
        assert_eq!(tapped(&[], From::Latest).0, "");
    }
}
