//! Instances that join and leave, and two with the same identity.

use crate::fleet::{End, Instance};
use crate::play::Play;
use std::fs;
use std::time::{Duration, Instant};

/// The interval between joins and leaves.
const BEAT: Duration = Duration::from_secs(2);
const SIZES: [usize; 3] = [1, 2, 4];

/// Up to 1, 2 and 4 instances at a time, depending on the options.
pub fn storm(play: &mut Play<'_>) {
    let sizes: Vec<usize> = SIZES.into_iter().filter(|size| *size == 1 || play.options.instances > 1).collect();
    let each = play.options.lasting(Duration::from_secs(60)) / sizes.len() as u32;
    play.pace.end_in(each * sizes.len() as u32);
    for size in sizes {
        grow(play, size);
        play.say(&format!("up to {size} join and leave"));
        storm_of(play, size, Instant::now() + each);
    }
}

fn grow(play: &mut Play<'_>, size: usize) {
    for n in size..play.fleet.len() {
        play.stop(n);
    }
    while play.fleet.len() < size {
        let name = format!("i{}", play.fleet.len());
        play.fleet.push(Instance::new(play.stage, &play.stage.name, &name));
    }
}

fn storm_of(play: &mut Play<'_>, size: usize, until: Instant) {
    while Instant::now() < until {
        let n = play.dice.index(size);
        if play.fleet[n].is_running() {
            play.stop(n);
            play.count("left");
        } else {
            play.fleet[n].start();
            play.count("joined");
        }
        play.wait(BEAT);
    }
}

const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// Each start of a worker takes the transactional id; more takeovers mean that two fight for it.
const TURNS_MAX: usize = 12;

/// A second process with a copy of the first one's identity file.
pub fn one_id_twice(play: &mut Play<'_>) {
    play.pace.end_in(Duration::from_secs(30));
    play.until_it_works(Duration::from_secs(40));
    let mut twin = Instance::new(play.stage, &play.stage.name, "twin");
    fs::create_dir_all(&twin.state).expect("a state directory");
    fs::copy(play.fleet[0].state.join("instance"), twin.state.join("instance")).expect("the instance's name");
    twin.start();
    play.count("second process with the same id");
    match who_exits(play, &mut twin) {
        None => play.complain(format!("neither of the two had exited after {} s", DECIDED_WITHIN.as_secs())),
        Some((who, End::Code(code))) if code != 0 => play.note(format!("{who} exited with code {code}")),
        Some((who, end)) => play.complain(format!("{who} ended with {end:?}, which is no error")),
    }
    let turns = [play.fleet[0].log(), twin.log()].concat().matches("going on from the checkpoint").count();
    if turns > TURNS_MAX {
        play.complain(format!("the two took the id from one another {turns} times"));
    }
    // The first one continues alone.
    if twin.is_running() {
        twin.kill();
    }
}

fn who_exits(play: &mut Play<'_>, twin: &mut Instance) -> Option<(String, End)> {
    let deadline = Instant::now() + DECIDED_WITHIN;
    while Instant::now() < deadline {
        if let Some(end) = play.fleet[0].ended() {
            return Some(("the first".to_owned(), end));
        }
        if let Some(end) = twin.ended() {
            return Some(("the second".to_owned(), end));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}
