//! Change control on a real broker: the first `run` records its SLOs, an edited one is refused with 78 until it is
//! applied, and every change is in the topic, also for a reader who sees only the latest record of each key.

use crate::broker_or_skip;
use crate::recovery::Place;
use crate::rights::{CONFIGURATION, SOON, tailburn};
use crate::world::World;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Edits the SLO of a place.
fn edit(place: &Place, from: &str, to: &str) {
    let path = place.dir.path().join("slo.yaml");
    let text = fs::read_to_string(&path).expect("an SLO");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("an SLO");
}

fn starts_and_stops(place: &Place) {
    let (running, _) = place.start_beside();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
}

fn done(place: &Place, arguments: &[&str]) -> String {
    let (code, printed) = tailburn(place, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {printed}");
    printed
}

#[test]
fn run_refuses_what_was_not_applied_and_the_topic_keeps_every_change() {
    let world = World::new(broker_or_skip!(), "applied-world", 1);
    let place = Place::with(&world, "applied", "");
    starts_and_stops(&place);
    assert!(place.log().contains("nothing was applied before: 1 SLO recorded"), "{}", place.log());
    starts_and_stops(&place);
    assert!(!place.log().contains("nothing was applied before"), "{}", place.log());

    edit(&place, "spec:\n  service: ", "spec:\n  description: Edited.\n  service: ");
    assert_eq!(place.spawn(&[]).end(SOON), CONFIGURATION, "{}", place.log());
    for part in ["description: none -> Edited.", "tailburn apply --by NAME --reason WHY"] {
        assert!(place.log().contains(part), "{part}: {}", place.log());
    }
    assert_eq!(tailburn(&place, &["diff"]).0, Some(1), "something differs");
    let mut uncontrolled = place.spawn(&["--set", "definitions.control=false"]);
    std::thread::sleep(Duration::from_secs(5));
    assert!(uncontrolled.is_alive(), "{}", place.log());
    assert_eq!(uncontrolled.stop(), Some(0), "{}", place.log());

    assert!(done(&place, &["apply", "--dry-run"]).contains("Nothing was recorded"));
    assert!(done(&place, &["apply", "--by", "ann", "--reason", "it says more"]).contains("Recorded in the topic"));
    assert!(done(&place, &["apply", "--by", "ann", "--reason", "again"]).contains("nothing to apply"));
    assert_eq!(tailburn(&place, &["diff"]).0, Some(0));
    starts_and_stops(&place);

    let mut latest: BTreeMap<String, Value> = BTreeMap::new();
    world.each_record("applied.definitions", |key, value| {
        latest.insert(key.to_owned(), serde_json::from_slice(value.expect("no tombstone")).expect("JSON"));
    });
    let (changes, in_force): (Vec<_>, Vec<_>) = latest.iter().partition(|(key, _)| key.contains('|'));
    let told: Vec<_> = changes.iter().map(|(_, change)| (change["by"].as_str(), change["change"].as_str())).collect();
    assert_eq!(told, [(Some("run"), Some("added")), (Some("ann"), Some("changed"))], "{latest:?}");
    let [(name, last)] = in_force.as_slice() else { panic!("one SLO: {in_force:?}") };
    assert_eq!(*last, changes[1].1);
    let history = done(&place, &["history", name.as_str()]);
    for part in ["added by run: first start", "changed by ann: it says more", "description: none -> Edited."] {
        assert!(history.contains(part), "{part}: {history}");
    }
}
