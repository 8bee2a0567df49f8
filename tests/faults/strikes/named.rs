//! Kills at the places of `tailburn::fault`.

use super::kills::{bound, stretch};
use crate::fleet::{End, Instance};
use crate::play::{Play, TERM};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tailburn::fault::Place;

/// How to make an instance pass a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provocation {
    /// It passes it by working or starting.
    None,
    /// It must start without its state.
    EmptyDisk,
    /// It must be asked to stop.
    Stop,
    /// Another instance must join and take streams from it.
    Neighbour,
    /// Its transaction must be aborted from outside.
    LongPause,
    /// Only the traffic of another scenario passes it.
    Elsewhere,
}

fn provocation(place: Place) -> Provocation {
    match place {
        Place::Restoring => Provocation::EmptyDisk,
        Place::Leaving => Provocation::Stop,
        Place::GivenUp => Provocation::Neighbour,
        Place::Resending => Provocation::LongPause,
        // Only `idle-partition` has an idle partition.
        Place::PassingOver => Provocation::Elsewhere,
        _ => Provocation::None,
    }
}

/// Some places are passed often while working, others once or twice in the life of a process.
fn passages(place: Place) -> u64 {
    match place {
        Place::BeforeSend | Place::BetweenSends | Place::BeforeCommit | Place::AfterCommit => 12,
        Place::BetweenStores | Place::BeforeFlush | Place::DeadLetter | Place::Restoring | Place::Closing => 3,
        _ => 1,
    }
}

/// The number of attempts before a place counts as not passed.
const TRIES: u32 = 2;
const WITHIN: Duration = Duration::from_secs(10);
/// Records below the checkpoints are deleted every half minute.
const UNTIL_A_PURGE: Duration = Duration::from_secs(40);
/// Longer than a transaction may stay open, including the broker's delay.
const LONG_PAUSE: Duration = Duration::from_secs(18);

/// The places tried, and those passed.
pub struct Rounds {
    has_neighbours: bool,
    order: Vec<(Place, &'static str)>,
    next: usize,
    /// Attempts without a passage.
    missed: BTreeMap<&'static str, u32>,
    struck: BTreeMap<&'static str, u64>,
}

pub fn everywhere(play: &mut Play<'_>) {
    let (kills, until) = (play.options.kills, bound(play));
    play.fleet.iter_mut().for_each(Instance::start);
    let mut rounds = Rounds::new(play);
    while rounds.kills() < kills && Instant::now() < until && rounds.has_more() {
        stretch(play, kills - rounds.kills());
        rounds.one(play);
    }
    if rounds.kills() < kills {
        play.complain(format!("only {} of {kills} kills struck", rounds.kills()));
    }
    rounds.report(play);
}

impl Rounds {
    pub fn new(play: &mut Play<'_>) -> Rounds {
        let mut order = Place::ALL.to_vec();
        play.dice.shuffle(&mut order);
        let has_neighbours = play.fleet.len() > 1;
        Rounds { has_neighbours, order, next: 0, missed: BTreeMap::new(), struck: BTreeMap::new() }
    }

    pub fn of(play: &mut Play<'_>, names: &[&str]) -> Rounds {
        let mut rounds = Rounds::new(play);
        rounds.order.retain(|(_, name)| names.contains(name));
        rounds
    }

    fn kills(&self) -> u64 {
        self.struck.values().sum()
    }

    /// Whether places are left to try.
    fn has_more(&self) -> bool {
        self.order.iter().any(|(place, name)| self.is_worth_it(*place, name))
    }

    fn is_worth_it(&self, place: Place, name: &str) -> bool {
        let missed = self.missed.get(name).copied().unwrap_or_default();
        let can_be = match provocation(place) {
            Provocation::Elsewhere => false,
            Provocation::Neighbour => self.has_neighbours,
            _ => true,
        };
        can_be && (missed < TRIES || self.struck.contains_key(name))
    }

    fn next_place(&mut self) -> Option<(Place, &'static str)> {
        for _ in 0..self.order.len() {
            let (place, name) = self.order[self.next % self.order.len()];
            self.next += 1;
            if self.is_worth_it(place, name) {
                return Some((place, name));
            }
        }
        None
    }

    pub fn one(&mut self, play: &mut Play<'_>) {
        self.one_within(play, WITHIN);
    }

    /// One instance is armed with a place to die. After its death it starts again, sometimes already with the next
    /// place, to test death during recovery.
    pub fn one_within(&mut self, play: &mut Play<'_>, within: Duration) {
        let n = play.dice.index(play.fleet.len());
        play.stop(n);
        while let Some((place, name)) = self.next_place() {
            let passage = play.dice.between(1, passages(place));
            let within = if place == Place::Purging { UNTIL_A_PURGE } else { within };
            let is_struck = strike(play, n, place, &format!("{name}:{passage}"), within);
            self.note(play, name, passage, is_struck);
            if !is_struck || play.dice.one_in(2) {
                break;
            }
        }
        if !play.fleet[n].is_running() {
            play.fleet[n].start();
        }
        let works = play.dice.millis(200, 2_000);
        play.wait(works);
    }

    fn note(&mut self, play: &mut Play<'_>, name: &'static str, passage: u64, is_struck: bool) {
        if is_struck {
            *self.struck.entry(name).or_default() += 1;
            play.count(&format!("killed at {name}"));
            play.say(&format!("kill {}: died at {name}:{passage}", self.kills()));
        } else {
            *self.missed.entry(name).or_default() += 1;
            play.say(&format!("{name}:{passage} was not passed"));
        }
    }

    /// A place that was never passed is not a success.
    pub fn report(&self, play: &mut Play<'_>) {
        let tried = self.order.iter().map(|(_, name)| *name).filter(|name| !self.struck.contains_key(name));
        let never: Vec<&str> = tried.collect();
        if !never.is_empty() {
            play.note(format!("NOT PASSED: {}", never.join(", ")));
        }
    }
}

/// Starts instance `n` armed with a place, provokes it, and returns whether it died there. Otherwise it continues
/// unarmed, or is stopped.
fn strike(play: &mut Play<'_>, n: usize, place: Place, armed: &str, within: Duration) -> bool {
    let provocation = provocation(place);
    if provocation == Provocation::EmptyDisk {
        play.fleet[n].forget_state();
    }
    let neighbour = (n + 1) % play.fleet.len();
    if provocation == Provocation::Neighbour {
        play.stop(neighbour);
    }
    play.fleet[n].start_armed(Some(armed.to_owned()));
    if provocation == Provocation::Neighbour {
        play.until_it_works(within);
        play.fleet[neighbour].start();
    }
    if provocation == Provocation::LongPause {
        play.until_it_works(within);
        play.fleet[n].pause();
        sleep_beside(play, n, LONG_PAUSE);
        play.fleet[n].go_on();
    }
    if provocation == Provocation::Stop {
        play.until_it_works(within);
        play.fleet[n].terminate();
    }
    // It may still pass the place while it stops.
    let end = await_end(play, n, within).map_or_else(|| play.fleet[n].stop(), Ok);
    match end {
        Ok(End::AtPlace(_)) => true,
        Ok(End::Code(0) | End::Signal(TERM)) => false,
        Ok(end) => {
            play.unasked(n, &end);
            false
        }
        Err(why) => {
            play.complain(why);
            false
        }
    }
}

/// Watches the others meanwhile.
fn await_end(play: &mut Play<'_>, n: usize, within: Duration) -> Option<End> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(end) = play.fleet[n].await_end(Duration::from_millis(50)) {
            return Some(end);
        }
        look_after_others(play, n);
    }
    None
}

fn sleep_beside(play: &mut Play<'_>, n: usize, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        look_after_others(play, n);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn look_after_others(play: &mut Play<'_>, n: usize) {
    for other in (0..play.fleet.len()).filter(|other| *other != n) {
        play.look_after_one(other);
    }
}
