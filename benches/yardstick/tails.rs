//! The rules `tail-1h` and `tail-1d`: do they see a few users who are served badly while the aggregate is fine, how soon, and
//! how often do they see them where there are none.

use crate::dice::{Dice, median};
use crate::stream::{Person, Said, Stream, minutes, people};
use tailburn::model::time::{MINUTE_MS, Ms};

const USERS: usize = 3_000;
/// The rules know what is usual after a day.
const WARM_HOURS: i64 = 25;
const INCIDENT_HOURS: i64 = 6;
/// Errors while all is well.
const USUAL: f64 = 0.0005;
/// Users of a planted tail send no more than this an hour: the aggregate must stay fine.
const PLANTED_ACTIVITY_MAX: f64 = 20.0;
/// Objectives in percent, the strictest first.
const OBJECTIVES: [f64; 7] = [99.5, 99.0, 98.0, 97.0, 96.0, 95.0, 90.0];
/// Of the allowed errors, how much the incident takes at most.
const BURN_MAX: f64 = 0.8;
const RULES: [&str; 2] = ["tail-1h", "tail-1d"];

/// When each rule began to fire.
fn onsets(said: Vec<Said>, seen: &mut [Vec<Ms>; 2]) {
    for said in said {
        let Said::Alert(alert) = said else { continue };
        for rule in &alert.rules {
            let Some(at) = RULES.iter().position(|name| *name == rule.rule) else { continue };
            if !seen[at].contains(&rule.since.0) {
                seen[at].push(rule.since.0);
            }
        }
    }
}

/// Minutes until each rule fires, and the objective.
fn planted(share: f64, errors: f64, seed: u64) -> ([Option<f64>; 2], f64) {
    let mut dice = Dice(seed);
    let people = people(&mut dice, USERS, USUAL);
    let count = (USERS as f64 * share) as usize;
    let mut chosen: Vec<usize> = (0..USERS).filter(|at| people[*at].events_an_hour <= PLANTED_ACTIVITY_MAX).collect();
    if seed.is_multiple_of(2) {
        // Users of one client, as far as there are enough: a recorded attribute explains it.
        chosen.sort_by_key(|at| (people[*at].client, *at));
    } else {
        for at in 0..count {
            let other = at + dice.below(chosen.len() - at);
            chosen.swap(at, other);
        }
    }
    chosen.truncate(count);
    let is_chosen: Vec<bool> = (0..USERS).map(|at| chosen.contains(&at)).collect();
    let all: f64 = people.iter().map(|person| person.events_an_hour).sum();
    let own: f64 = chosen.iter().map(|at| people[*at].events_an_hour).sum();
    let bad = own / all * errors + USUAL;
    let objective = OBJECTIVES.into_iter().find(|o| bad <= BURN_MAX * (1.0 - o / 100.0)).unwrap_or(90.0);
    let mut stream = Stream::new(people, objective, dice);
    let mut seen = [Vec::new(), Vec::new()];
    let onset = minutes(WARM_HOURS * 60) + stream.dice.below(360) as i64;
    for _ in 0..onset {
        onsets(stream.pane(&mut |person, _| person.usual), &mut seen);
    }
    let onset_ms = stream.now_ms;
    let after =
        |seen: &Vec<Ms>| seen.iter().find(|at| **at > onset_ms).map(|at| (at - onset_ms) as f64 / MINUTE_MS as f64);
    for _ in 0..minutes(INCIDENT_HOURS * 60) {
        let said = stream.pane(&mut |person, at| if is_chosen[at] { errors } else { person.usual });
        onsets(said, &mut seen);
        if seen.iter().all(|seen| after(seen).is_some()) {
            break;
        }
    }
    ([after(&seen[0]), after(&seen[1])], objective)
}

/// How soon `tail-1h` can fire: an hour's error rate of the worst 1 % must be over ten times what is allowed, at three steps in
/// a row.
fn earliest_m(objective: f64, share: f64, errors: f64) -> f64 {
    60.0 * 10.0 * (1.0 - objective / 100.0) / (errors * (share / 0.01).min(1.0)) + 2.0
}

/// What healthy traffic is like.
#[derive(Clone, Copy, PartialEq)]
enum Noise {
    Even,
    Unequal,
    Bots,
    Retries,
    HeavyUser,
    Blips,
}

const NOISES: [(Noise, &str); 6] = [
    (Noise::Even, "all users alike"),
    (Noise::Unequal, "error rates of users differ (beta)"),
    (Noise::Bots, "20 bots send a quarter, fail 4 times as often"),
    (Noise::Retries, "clients send failed requests again"),
    (Noise::HeavyUser, "one user sends a tenth, 3 % of it fail"),
    (Noise::Blips, "a blip of 30 to 180 s a day, 30 % errors"),
];

/// How often each rule fires on traffic that is as it always is; and the days.
fn healthy(noise: Noise, days: i64, seed: u64) -> [usize; 2] {
    let mut dice = Dice(seed);
    let mut people = people(&mut dice, USERS, 0.003);
    let all: f64 = people.iter().map(|person| person.events_an_hour).sum();
    match noise {
        Noise::Even | Noise::Blips => {}
        Noise::Unequal => people.iter_mut().for_each(|person| person.usual = dice.beta(0.3, 100.0)),
        Noise::Bots => people.iter_mut().take(20).for_each(|bot| {
            (bot.events_an_hour, bot.usual) = (all / 60.0, 0.008);
        }),
        Noise::Retries => people.iter_mut().for_each(|person| person.usual = 0.0015),
        Noise::HeavyUser => (people[0].events_an_hour, people[0].usual) = (all / 9.0, 0.03),
    }
    let mut stream = Stream::new(people, 99.0, dice);
    stream.has_retries = noise == Noise::Retries;
    stream.is_diurnal = true;
    let (warm, mut seen, mut blip) = (minutes(WARM_HOURS * 60), [Vec::new(), Vec::new()], 0..0);
    for pane in 0..warm + minutes(days * 1_440) {
        if noise == Noise::Blips && pane % minutes(1_440) == 0 {
            let from = pane + stream.dice.below(8_000) as i64;
            blip = from..from + stream.dice.between(3.0, 18.0) as i64;
        }
        let is_blip = blip.contains(&pane);
        let mut usual = |person: &Person, _: usize| if is_blip { 0.3 } else { person.usual };
        let said = stream.pane(&mut usual);
        if pane >= warm {
            onsets(said, &mut seen);
        }
    }
    seen.map(|seen| seen.len())
}

pub fn tails(seeds: u64, days: i64) {
    println!(
        "Some of {USERS} users are served badly while the aggregate is fine; {seeds} seeds. Share seen, median minutes"
    );
    println!(
        "{:<24}{:>16}{:>22}{:>18}{:>18}{:>18}  goal",
        "users, their errors", "objective", "tail-1h within 15 m", "tail-1h", "cannot before", "tail-1d"
    );
    for share in [0.003, 0.01, 0.02, 0.03] {
        for errors in [0.2, 0.5, 1.0] {
            let runs: Vec<_> = (0..seeds).map(|seed| planted(share, errors, 100 + seed)).collect();
            let of = |rule: usize, within: f64| {
                runs.iter().filter(|(delays, _)| delays[rule].is_some_and(|m| m <= within)).count() as f64
                    / runs.len() as f64
            };
            let words = |rule: usize| {
                let delays: Vec<f64> = runs.iter().filter_map(|(delays, _)| delays[rule]).collect();
                let after = median(delays).map_or("never".to_owned(), |m| format!("{m:.0} m"));
                format!("{:.2}, {after}", of(rule, f64::MAX))
            };
            let least = runs.iter().map(|(_, objective)| *objective).fold(100.0, f64::min);
            let most = runs.iter().map(|(_, objective)| *objective).fold(0.0, f64::max);
            let objective = if least < most { format!("{least} to {most} %") } else { format!("{least} %") };
            let goal = if share >= 0.01 && errors >= 0.5 { ">= .95 within 15 m" } else { "" };
            let name = format!("{} %, {} %", share * 100.0, errors * 100.0);
            let earliest = format!("{:.0} m", earliest_m(least, share, errors));
            let (seen, hour, day) = (of(0, 15.0), words(0), words(1));
            println!("{name:<24}{objective:>16}{seen:>22.2}{hour:>18}{earliest:>18}{day:>18}  {goal}");
        }
    }
    println!("\nTickets a month of a healthy SLO of 99 % with {USERS} users, by day and night; {days} days each");
    println!("{:<50}{:>12}{:>12}  goal", "", "tail-1h", "tail-1d");
    for (noise, name) in NOISES {
        let month = |count: usize| count as f64 * 30.0 / days as f64;
        let [hour, day] = healthy(noise, days, 9_000).map(month);
        println!("{name:<50}{hour:>12.2}{day:>12.2}  <= 0.1");
    }
}
