//! The verdict over the users of an hour: is who fails a matter of chance, of one user, or of some users together. With and
//! without clients that send failed requests again.

use crate::dice::Dice;
use crate::stream::{CLIENTS, Person, Said, Stream, minutes, people};
use std::collections::BTreeMap;
use tailburn::model::output::SloStatus;
use tailburn::model::time::HOUR_MS;

const USERS: usize = 3_000;
const USUAL: f64 = 0.002;
/// In an incident users fail so many times as often.
const TIMES: f64 = 50.0;
/// The hours of a block: the first may have an incident.
const BLOCK_HOURS: i64 = 4;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Truth {
    Calm,
    Cohort,
    Hidden,
    OneUser,
}

const TRUTHS: [(Truth, &str, &str, &str); 4] = [
    (Truth::Calm, "nothing but chance", "random", "random >= 95 %, not random <= 1 %"),
    (Truth::Cohort, "50 x the errors of one client's users", "systemic", "systemic or unexplained >= 95 %"),
    (Truth::Hidden, "50 x the errors of as many users", "unexplained", "systemic or unexplained >= 95 %"),
    (Truth::OneUser, "one user fails always", "single_user", ">= 95 %"),
];

type Verdicts = BTreeMap<Truth, BTreeMap<String, usize>>;

/// Blocks of hours, one of them with an incident, each judged at its end.
fn watch(days: i64, has_retries: bool, seed: u64, verdicts: &mut Verdicts) {
    let mut dice = Dice(seed);
    let people = people(&mut dice, USERS, USUAL);
    let mut stream = Stream::new(people, 99.0, dice);
    stream.has_retries = has_retries;
    let (mut truth, mut chosen) = (Truth::Calm, vec![false; USERS]);
    for hour in 0..24 + days * 24 {
        let of_block = hour % BLOCK_HOURS;
        if hour >= 24 && of_block == 0 {
            truth = [Truth::Cohort, Truth::Hidden, Truth::OneUser][(hour / BLOCK_HOURS % 3) as usize];
            let mut dice = Dice(seed ^ (hour as u64) << 32);
            let client = dice.below(CLIENTS);
            // One who sends enough that an hour says something.
            let one = (0..USERS).cycle().skip(dice.below(USERS)).find(|at| stream.people[*at].events_an_hour > 30.0);
            let is_in = |at: usize, person: &Person, dice: &mut Dice| match truth {
                Truth::Calm => false,
                Truth::Cohort => person.client == client,
                Truth::Hidden => dice.unit() < 1.0 / CLIENTS as f64,
                Truth::OneUser => Some(at) == one,
            };
            chosen = stream.people.iter().enumerate().map(|(at, person)| is_in(at, person, &mut dice)).collect();
        }
        let is_on = hour >= 24 && of_block == 0;
        let errors = if truth == Truth::OneUser { 1.0 } else { TIMES * USUAL };
        let mut last = None;
        for _ in 0..minutes(60) {
            let said = stream.pane(&mut |person, at| if is_on && chosen[at] { errors } else { person.usual });
            for said in said {
                if let Said::Status(status) = said
                    && status.at.0 % HOUR_MS == 0
                {
                    last = Some(status);
                }
            }
        }
        // What the status at the end of an hour says becomes visible with the next event.
        if let Some(status) = last {
            let ended = hour - 1;
            let told = match (ended < 24, ended % BLOCK_HOURS) {
                (true, _) => continue,
                (_, 0) => truth_of(ended),
                // The hour just after an incident still has some of it.
                (_, 1) => continue,
                _ => Truth::Calm,
            };
            if let Some(verdict) = verdict(&status) {
                *verdicts.entry(told).or_default().entry(verdict).or_default() += 1;
            }
        }
    }
}

fn truth_of(hour: i64) -> Truth {
    [Truth::Cohort, Truth::Hidden, Truth::OneUser][(hour / BLOCK_HOURS % 3) as usize]
}

fn verdict(status: &SloStatus) -> Option<String> {
    let hour = status.users.iter().find(|users| users.window == "1h")?;
    hour.dispersion.as_ref().map(|dispersion| dispersion.verdict.clone())
}

pub fn dispersion(days: i64, seeds: u64) {
    println!(
        "Verdicts over the users of an hour: {USERS} users, {} % errors, an incident every {BLOCK_HOURS} h; {days} days, {seeds} seeds",
        USUAL * 100.0
    );
    println!(
        "{:<44}{:>8}{:>8}{:>10}{:>12}{:>12}{:>13}{:>14}  goal",
        "truth", "hours", "right", "random", "single_user", "systemic", "unexplained", "insufficient"
    );
    for has_retries in [false, true] {
        let mut verdicts = Verdicts::new();
        (0..seeds).for_each(|seed| watch(days, has_retries, 500 + seed, &mut verdicts));
        for (truth, name, right, goal) in TRUTHS {
            let of = verdicts.remove(&truth).unwrap_or_default();
            let all: usize = of.values().sum();
            let share = |verdict: &str| 100.0 * of.get(verdict).copied().unwrap_or(0) as f64 / all.max(1) as f64;
            let name = format!("{name}{}", if has_retries { ", retries" } else { "" });
            println!(
                "{name:<44}{all:>8}{:>6.1} %{:>8.1} %{:>10.1} %{:>10.1} %{:>11.1} %{:>12.1} %  {goal}",
                share(right),
                share("random"),
                share("single_user"),
                share("systemic"),
                share("unexplained"),
                share("insufficient"),
            );
        }
    }
}
