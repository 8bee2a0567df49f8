//! Our topics are created as planned, and existing ones are never changed.

use crate::broker_or_skip;
use crate::world::World;
use tailburn::log::LogError;
use tailburn::log::kafka::KafkaLog;
use tailburn::log::kafka::topics::{Cleanup, PartitionCounts, TopicAdmin, TopicState, plan};

#[test]
fn missing_topics_are_created_once_and_are_as_planned() {
    let broker = broker_or_skip!();
    let world = World::new(broker, "plans", 3);
    let settings = world.settings("admin");
    let admin = TopicAdmin::open(&settings).expect("an administrator");
    let plans = plan(&settings, PartitionCounts { input: 3, users: 2, rollup: 2 });
    assert_eq!(admin.inspect(&plans).expect("a look"), vec![TopicState::AsPlanned; plans.len()]);
    assert_eq!(admin.create_missing(&plans, 1).expect("nothing to do"), Vec::<String>::new());
}

#[test]
fn a_topic_that_differs_is_named_and_left_alone() {
    let world = World::new(broker_or_skip!(), "differs", 1);
    let settings = world.settings("admin");
    let admin = TopicAdmin::open(&settings).expect("an administrator");
    let mut other = plan(&settings, PartitionCounts { input: 1, users: 2, rollup: 5 });
    other.truncate(1);
    other[0].cleanup = Cleanup::Delete { retention_ms: Some(1_000) };
    let TopicState::Differs(differences) = &admin.inspect(&other).expect("a look")[0] else { panic!("no difference") };
    assert_eq!(differences.len(), 3, "{differences:?}");
    assert_eq!(admin.create_missing(&other, 1).expect("left alone"), Vec::<String>::new());
    assert_eq!(admin.partitions(&other[0].name).expect("a look"), Some(2));
}

#[test]
fn a_missing_input_is_named() {
    let world = World::new(broker_or_skip!(), "absent", 1);
    let mut settings = world.settings("w");
    settings.input_topics = vec!["no-such-topic".to_owned()];
    let refusal = KafkaLog::open(&settings).map(|_| ());
    assert!(matches!(&refusal, Err(LogError::Refused { what, .. }) if what == "no-such-topic"), "{refusal:?}");
}
