//! Problems that a person must solve end `run` with code 78 and a remedy, and no wrong figure is published before.

use crate::broker_or_skip;
use crate::story::{ROLLUPS, Story};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
const CONFIGURATION: Option<i32> = Some(78);

/// One user is on two partitions: the instances exchange samples of their users, and notice.
#[test]
fn input_that_is_not_keyed_by_user_though_it_is_said_to_be() {
    let settings = "input: {topics: [astray-outcomes], keyed_by_user: true, idle_timeout: 6s}\n";
    let story = Story::new(broker_or_skip!(), "astray", "28d", settings);
    story.feed(1, Duration::ZERO);
    let first = story.run();
    assert!(story.is_told(SOON), "as long as it is keyed by user\n{}", story.log());
    story.feed_astray();
    assert_eq!(first.end(SOON), CONFIGURATION, "{}", story.log());
    let log = story.log();
    let says = "input.keyed_by_user: a user's events are on input partitions 0 and 1";
    assert!(log.lines().next_back().is_some_and(|last| last.contains(says)), "{log}");
    story.assert_same();
}

/// Keys are assigned to tasks by these counts, so with another count a task would find another task's state.
#[test]
fn another_count_of_tasks_under_an_application_that_has_state() {
    let settings = "input: {topics: [recounted-outcomes], idle_timeout: 6s}\n";
    let story = Story::new(broker_or_skip!(), "recounted", "28d", settings);
    story.feed(1, Duration::ZERO);
    let first = story.run();
    assert!(story.is_told(SOON), "{}", story.log());
    assert_eq!(first.stop(), Some(0), "{}", story.log());
    let was = format!("partitions: {{rollup: {ROLLUPS}}}");
    for (key, now) in [("partitions.users", "{users: 16, rollup: 2}"), ("partitions.rollup", "{rollup: 3}")] {
        story.reconfigure(&was, &format!("partitions: {now}"));
        let known = story.log().len();
        let began = Instant::now();
        assert_eq!(story.run().end(SOON), CONFIGURATION, "{}", story.log());
        let said = story.log().split_off(known);
        let last = said.lines().next_back().unwrap_or_default();
        assert!(last.contains(key), "{key}, after {} s: {said}", began.elapsed().as_secs());
        story.reconfigure(&format!("partitions: {now}"), &was);
    }
    let again = story.run();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(again.stop(), Some(0), "with the counts that it has it goes on\n{}", story.log());
    story.assert_same();
}
