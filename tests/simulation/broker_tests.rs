//! The model keeps Kafka's promises. A simulation is only as good as its model.

use crate::broker::{Broker, Denied, Place};
use crate::partition::{Partition, Record};
use std::collections::BTreeMap;
use tailburn::log::{NextOffset, Stream};
use tailburn::model::record::Topic;

const OUT: Place = Place::Output(Topic::SloStatus, 0);
const INPUT: Stream = Stream::Input(0);

fn broker() -> Broker {
    let places = [Place::Input(0), OUT].map(|place| (place, Partition::default()));
    Broker::new(BTreeMap::from(places), vec![INPUT])
}

fn record(value: &str) -> Record {
    Record { key: None, value: Some(value.into()), headers: Vec::new(), timestamp_ms: 0 }
}

fn at(next: i64) -> [crate::group::Offset; 1] {
    [(INPUT, NextOffset(next), String::new())]
}

fn visible(broker: &Broker) -> Vec<Vec<u8>> {
    broker.partition(OUT).read(0, usize::MAX).0.into_iter().filter_map(|(_, record)| record.value.clone()).collect()
}

fn committed(broker: &Broker) -> Option<i64> {
    broker.group.committed(INPUT).map(|committed| committed.next.0)
}

/// A member and its producer.
fn member(broker: &mut Broker) -> (u32, u32) {
    let member = broker.group.join(0);
    broker.group.take(member, &[INPUT]);
    (member, broker.init("p"))
}

#[test]
fn records_and_offsets_count_together_or_not_at_all() {
    let mut broker = broker();
    let (member, epoch) = member(&mut broker);
    broker.send("p", epoch, OUT, record("dropped")).expect("sent");
    broker.send_offsets("p", epoch, member, &at(1)).expect("sent");
    broker.end("p", epoch, false, 0).expect("aborted");
    assert_eq!((visible(&broker).len(), committed(&broker)), (0, None));
    broker.send("p", epoch, OUT, record("kept")).expect("sent");
    broker.send_offsets("p", epoch, member, &at(2)).expect("sent");
    assert_eq!((visible(&broker).len(), committed(&broker)), (0, None));
    broker.end("p", epoch, true, 0).expect("committed");
    assert_eq!((visible(&broker), committed(&broker)), (vec![b"kept".to_vec()], Some(2)));
}

#[test]
fn a_new_holder_of_the_transactional_id_aborts_and_fences_the_old_one() {
    let mut broker = broker();
    let (_, old) = member(&mut broker);
    broker.send("p", old, OUT, record("of the old one")).expect("sent");
    let new = broker.init("p");
    assert_eq!(broker.send("p", old, OUT, record("too late")), Err(Denied::Fenced));
    assert_eq!(broker.end("p", old, true, 0), Err(Denied::Fenced));
    broker.send("p", new, OUT, record("of the new one")).expect("sent");
    broker.end("p", new, true, 0).expect("committed");
    assert_eq!(visible(&broker), [b"of the new one".to_vec()]);
}

#[test]
fn offsets_of_a_former_member_are_refused() {
    let mut broker = broker();
    let (member, epoch) = member(&mut broker);
    broker.group.expel_all();
    broker.group.join(0);
    assert_eq!(broker.send_offsets("p", epoch, member, &at(1)), Err(Denied::Stale));
}

#[test]
fn a_delayed_commit_ends_a_later_transaction_of_its_epoch_but_not_of_another() {
    let mut broker = broker();
    let (_, epoch) = member(&mut broker);
    broker.end_later("p", epoch, 1);
    broker.send("p", epoch, OUT, record("torn")).expect("sent");
    broker.tick();
    assert_eq!(visible(&broker).len(), 1, "because of this flaw of the protocol, producers are renewed");
    broker.end_later("p", epoch, 1);
    let renewed = broker.init("p");
    broker.send("p", renewed, OUT, record("whole")).expect("sent");
    broker.tick();
    assert_eq!(visible(&broker).len(), 1);
}

#[test]
fn late_markers_hide_a_committed_transaction_for_a_while() {
    let mut broker = broker();
    let (member, epoch) = member(&mut broker);
    broker.send("p", epoch, OUT, record("late")).expect("sent");
    broker.send_offsets("p", epoch, member, &at(1)).expect("sent");
    broker.end("p", epoch, true, 2).expect("committed");
    assert_eq!((visible(&broker).len(), committed(&broker)), (0, None));
    assert!(!broker.is_stable(&[INPUT]) && broker.committed_for_sure(INPUT).is_some());
    broker.tick();
    assert_eq!((broker.is_stable(&[INPUT]), committed(&broker)), (true, Some(1)));
    broker.tick();
    broker.tick();
    assert_eq!(visible(&broker).len(), 1);
}
