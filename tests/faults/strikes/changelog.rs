//! A changelog that lost its records, or itself.

use super::inputs::expect_refusal;
use crate::fleet::Instance;
use crate::play::Play;
use std::path::PathBuf;
use std::time::Duration;

const TOPIC: &str = "changelog";
/// How long a restore waits for what is missing, and then some.
const PATIENCE: Duration = Duration::from_secs(90);

/// Lets the fleet work for a while, and stops it: its state is warm, the changelog is written.
fn warmed_up(play: &mut Play<'_>) -> String {
    play.pace.end_in(Duration::from_secs(20));
    play.until_it_works(Duration::from_secs(40));
    play.wait(Duration::from_secs(6));
    let topic = play.stage.internal(TOPIC);
    assert!(play.stage.outsider.partitions(&topic) > 0, "there is no topic {topic}");
    (0..play.fleet.len()).for_each(|n| play.stop(n));
    topic
}

pub fn cut(play: &mut Play<'_>) {
    let topic = warmed_up(play);
    play.stage.outsider.empty_compacted(&topic);
    play.count("changelog cut to its end");
    rebuilt(play);
}

pub fn made_again(play: &mut Play<'_>) {
    let topic = warmed_up(play);
    let partitions = play.stage.outsider.partitions(&topic);
    play.stage.outsider.delete_topic(&topic);
    // The broker takes a moment to forget it.
    play.wait(Duration::from_secs(3));
    play.stage.outsider.create_topic(&topic, partitions, &[("cleanup.policy", "compact")]);
    play.count("changelog made again");
    rebuilt(play);
}

/// With its state the fleet goes on, and what it writes from now on is enough for an empty disk.
///
/// Of several each has only the tasks that were its own. Who is dealt one of another's finds nothing of
/// it anywhere and refuses, and another one goes on from what it wrote back until then.
fn rebuilt(play: &mut Play<'_>) {
    play.may_refuse = play.fleet.len() > 1;
    play.fleet.iter_mut().for_each(Instance::start);
    play.until_it_works(PATIENCE * 2);
    play.wait(Duration::from_secs(5));
    play.fleet[0].kill();
    play.fleet[0].forget_state();
    play.count("state directory removed afterwards");
    play.fleet[0].start();
}

/// Neither the changelog nor the state: nothing true can be told any more, and that has to be said.
pub fn gone_with_the_state(play: &mut Play<'_>) {
    let topic = warmed_up(play);
    let kept = |n: usize| play.stage.path().join(format!("kept-{n}"));
    let kept: Vec<PathBuf> = (0..play.fleet.len()).map(kept).collect();
    for (instance, kept) in play.fleet.iter().zip(&kept) {
        std::fs::rename(&instance.state, kept).expect("the state is put aside");
    }
    play.stage.outsider.empty_compacted(&topic);
    play.count("changelog cut and state removed");
    expect_refusal(play, 0, TOPIC);
    // The rest of the comparison wants somebody who knows: what is refused changed nothing.
    for (instance, kept) in play.fleet.iter_mut().zip(&kept) {
        instance.forget_state();
        std::fs::rename(kept, &instance.state).expect("the state is back");
        instance.start();
    }
    play.may_refuse = play.fleet.len() > 1;
    play.until_it_works(PATIENCE * 2);
}
