//! `/readyz` reports that an instance is a member of the group, and that its assigned tasks are live. (Every start of
//! [`Place`] checks that it does not report this too early.)

use crate::broker_or_skip;
use crate::recovery::Place;
use crate::world::World;

/// There are three tasks for six threads: threads without a task do not delay readiness.
#[test]
fn with_more_threads_than_tasks_it_is_ready_all_the_same() {
    let world = World::new(broker_or_skip!(), "w-idlers", 1);
    let place = Place::with(&world, "idlers", "workers: 6\npartitions: {users: 1, rollup: 1}\n");
    world.produce(0, &["no outcome"]);
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
    // After a restart there are offsets and state.
    let (running, _) = place.start();
    assert_eq!(running.stop(), Some(0), "{}", place.log());
}
