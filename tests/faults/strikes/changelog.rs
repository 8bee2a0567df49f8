//! A changelog that lost its records, or was deleted.

use super::inputs::expect_refusal;
use crate::fleet::Instance;
use crate::play::Play;
use std::path::PathBuf;
use std::time::Duration;

const TOPIC: &str = "changelog";
/// How long a restore waits for missing records, plus a margin.
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
    // The broker needs a moment to delete it.
    play.wait(Duration::from_secs(3));
    play.stage.outsider.create_topic(&topic, partitions, &[("cleanup.policy", "compact")]);
    play.count("changelog made again");
    rebuilt(play);
}

/// The fleet continues with its state, and its new changelog is enough for an empty disk.
///
/// Each of several instances has only its own tasks. An instance that gets another one's task finds no state for it and
/// refuses; the others continue from what was written back until then.
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

/// Without changelog and state no correct output is possible, and the program must say so.
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
    // The final comparison needs intact state: the refusal must not have changed anything.
    for (instance, kept) in play.fleet.iter_mut().zip(&kept) {
        instance.forget_state();
        std::fs::rename(kept, &instance.state).expect("the state is back");
        instance.start();
    }
    play.may_refuse = play.fleet.len() > 1;
    play.until_it_works(PATIENCE * 2);
}
