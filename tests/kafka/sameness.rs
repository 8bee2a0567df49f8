//! A backtest of the same partitions is a prefix of what `tailburn run` publishes, byte for byte.

use crate::broker_or_skip;
use crate::story::{COMPARED, INPUTS, ROLLUPS, Story, Visible};
use rdkafka::bindings::rd_kafka_msg_partitioner_murmur2;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tailburn::model::time::HOUR_MS;

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(240);

#[test]
fn a_live_run_publishes_what_the_backtest_wrote_byte_for_byte() {
    let story =
        Story::new(broker_or_skip!(), "sameness", "1d", "input: {topics: [sameness-outcomes], idle_timeout: 1s}\n");
    story.feed(1, Duration::ZERO);
    let running = story.run();
    assert!(story.is_told(SOON), "{}", story.log());
    await_tombstones(&story);
    assert_eq!(running.stop(), Some(0), "{}", story.log());
    story.assert_same();
    for topic in COMPARED {
        assert_in_order(topic, &story.visible(topic, ROLLUPS));
    }
    assert_dead_letters(&story);
}

/// Once all partitions are idle, T follows the wall clock, which is hours ahead, so every key is forgotten.
fn await_tombstones(story: &Story) {
    let deadline = Instant::now() + SOON;
    let remaining = || {
        let records = story.visible("slo-status", ROLLUPS);
        let latest: BTreeMap<String, bool> = records.into_iter().map(|r| (r.key, r.value.is_some())).collect();
        assert!(!latest.is_empty());
        // The aggregate keys stay.
        let is_left = |(key, is_there): &(String, bool)| *is_there && !key.ends_with("|aggregate");
        latest.into_iter().filter(is_left).map(|(key, _)| key).collect::<Vec<_>>()
    };
    while !remaining().is_empty() {
        assert!(Instant::now() < deadline, "no tombstone for {:?}\n{}", remaining(), story.log());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Records in order of T, then key, on the partition that Kafka's own partitioner chooses for the key. The brokers stamp
/// each with the time of writing, so traffic that began thirty hours ago is not old in our topics.
fn assert_in_order(topic: &str, records: &[Visible]) {
    let hour_ago_ms = jiff::Timestamp::now().as_millisecond() - HOUR_MS;
    let mut last: BTreeMap<i32, (i64, &str)> = BTreeMap::new();
    for record in records {
        assert!(record.timestamp_ms > hour_ago_ms, "{topic}: {} is stamped {}", record.key, record.timestamp_ms);
        if topic != "user-status" {
            // An SLO's groups are in the partition of its aggregate.
            let placed_by = match record.key.split_once("|group|") {
                Some((slo, _)) => format!("{slo}|aggregate"),
                None => record.key.clone(),
            };
            assert_eq!(record.partition, partition_of(&placed_by), "{topic}: {}", record.key);
        }
        let Some(value) = &record.value else { continue };
        let value: Value = serde_json::from_str(value).expect("JSON");
        let at: jiff::Timestamp = value["at"].as_str().expect("a time").parse().expect("a time");
        if topic != "user-status" {
            let place = (at.as_millisecond(), record.key.as_str());
            let before = last.insert(record.partition, place);
            assert!(before.is_none_or(|before| before <= place), "{topic}: {before:?} before {place:?}");
        }
    }
}

#[allow(unsafe_code, reason = "the client library has no safe call for a partitioner")]
fn partition_of(key: &str) -> i32 {
    // SAFETY: the partitioner reads the key and nothing else.
    unsafe {
        rd_kafka_msg_partitioner_murmur2(
            std::ptr::null(),
            key.as_ptr().cast(),
            key.len(),
            ROLLUPS as i32,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    }
}

/// Dead letters with the original bytes, and headers for reason and source, in input order per input partition.
fn assert_dead_letters(story: &Story) {
    let expected: Vec<Value> =
        story.lines("dead-letters").iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let records = story.visible("dead-letters", INPUTS);
    assert!(!expected.is_empty());
    for partition in 0..INPUTS as i32 {
        let published: Vec<_> = records.iter().filter(|r| r.partition == partition).map(headers).collect();
        let of_file = expected.iter().filter(|line| line["partition"] == partition);
        let wanted: Vec<_> = of_file
            .map(|line| (line["reason"].as_str().expect("a reason").to_owned(), line["offset"].to_string()))
            .collect();
        let found: Vec<_> = published.iter().map(|(reason, _, _, offset)| (reason.clone(), offset.clone())).collect();
        assert_eq!(found, wanted, "partition {partition}");
        assert!(published.iter().all(|(_, topic, from, _)| *topic == story.input() && *from == partition.to_string()));
    }
}

fn headers(record: &Visible) -> (String, String, String, String) {
    let header = |name: &str| record.headers.get(&format!("tailburn.{name}")).cloned().unwrap_or_default();
    (header("reason"), header("topic"), header("partition"), header("offset"))
}
