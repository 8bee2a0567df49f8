//! `/readyz` says that an instance does its share: it is in the group, and has what the group gave it. (That it says so
//! no earlier is looked at in every start of [`Place`].)

use crate::broker_or_skip;
use crate::recovery::Place;
use crate::world::World;

/// There are three tasks for six threads: those that have nothing to do keep nobody waiting.
#[test]
fn with_more_threads_than_tasks_it_is_ready_all_the_same() {
    let world = World::new(broker_or_skip!(), "w-idlers", 1);
    let place = Place::with(&world, "idlers", "workers: 6\npartitions: {users: 1, rollup: 1}\n");
    world.produce(0, &["no outcome"]);
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    // Restarted it has offsets and state.
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
}
