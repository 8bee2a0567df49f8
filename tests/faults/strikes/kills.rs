//! SIGKILL at random.

use super::named::Rounds;
use crate::play::Play;
use std::time::{Duration, Instant};

/// The approximate time of a kill and the recovery.
const ROUND: Duration = Duration::from_secs(5);

/// Stretches the traffic a little beyond the remaining kills, because kills without traffic prove nothing. The rest is
/// sent at once at the end.
pub fn stretch(play: &Play<'_>, kills_left: u64) {
    play.pace.end_in(2 * ROUND * kills_left as u32 + Duration::from_secs(60));
}

/// The given time limit, else the longest expected time.
pub fn bound(play: &Play<'_>) -> Instant {
    play.deadline(ROUND * 4 * play.options.kills as u32 + Duration::from_secs(60))
}

pub fn at_random(play: &mut Play<'_>) {
    let (kills, until) = (play.options.kills, bound(play));
    for kill in 1..=kills {
        if Instant::now() > until {
            play.complain(format!("only {} of {kills} kills struck in time", kill - 1));
            return;
        }
        stretch(play, kills - kill + 1);
        strike_one(play);
        play.say(&format!("kill {kill} of {kills}"));
    }
}

fn strike_one(play: &mut Play<'_>) {
    let (before, down) = (play.dice.millis(100, 6_000), play.dice.millis(0, 1_500));
    play.wait(before);
    let n = play.dice.index(play.fleet.len());
    play.kill_one(n, down);
}

/// Named places, random kills and pauses in turns.
pub fn of_all_kinds(play: &mut Play<'_>) {
    let (kills, until) = (play.options.kills, bound(play));
    let mut rounds = Rounds::new(play);
    while play.injected.values().sum::<u64>() < kills && Instant::now() < until {
        let left = kills.saturating_sub(play.injected.values().sum());
        stretch(play, left);
        match play.dice.between(0, 3) {
            0 => {
                let (n, time) = (play.dice.index(play.fleet.len()), play.dice.millis(7_000, 9_000));
                super::pauses::pause(play, n, time);
            }
            1 => strike_one(play),
            _ => rounds.one(play),
        }
    }
    rounds.report(play);
}

/// How many rounds of each kind the short scenario has.
const FEW: usize = 5;

pub fn a_few(play: &mut Play<'_>) {
    play.pace.end_in(Duration::from_secs(50));
    play.fleet.iter_mut().for_each(crate::fleet::Instance::start);
    for _ in 0..FEW {
        let (before, down) = (play.dice.millis(300, 2_500), play.dice.millis(0, 500));
        play.wait(before);
        let n = play.dice.index(play.fleet.len());
        play.kill_one(n, down);
    }
    let mut rounds = Rounds::of(play, &["before-commit", "after-commit", "between-sends", "before-flush", "opening"]);
    for _ in 0..FEW {
        rounds.one_within(play, Duration::from_secs(4));
    }
    rounds.report(play);
}
