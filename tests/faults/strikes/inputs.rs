//! Input of every kind, silent partitions, and input that is read again.

use crate::fleet::{End, Instance};
use crate::play::Play;
use std::time::{Duration, Instant};

/// The comparison checks the records: dead letters with their reasons, and watermarks through everything that depends
/// on them.
pub fn all_kinds(play: &mut Play<'_>) {
    super::kills::at_random(play);
    let dead = play.stage.expected_of("dead-letters").count();
    play.note(format!("{dead} dead letters among what was compared"));
}

/// Kills the instance at the decision to pass over the silent partition, as often as the seed says.
pub fn silent(play: &mut Play<'_>) {
    let mut killed = 0;
    for passage in [1, 1, 1] {
        for n in 0..play.fleet.len() {
            if !play.fleet[n].is_running() {
                play.fleet[n].start_armed(Some(format!("passing-over:{passage}")));
            }
        }
        let until = Instant::now() + Duration::from_secs(12);
        while Instant::now() < until && play.fleet.iter().all(Instance::is_running) {
            let ends: Vec<Option<End>> = play.fleet.iter_mut().map(Instance::ended).collect();
            for (n, end) in ends.into_iter().enumerate() {
                if let Some(end) = end {
                    killed += 1;
                    play.unasked(n, &end);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    if killed == 0 {
        play.note("NOT PASSED: passing-over".to_owned());
    }
    for _ in 0..3 {
        let before = play.dice.millis(500, 3_500);
        play.wait(before);
        let n = play.dice.index(play.fleet.len());
        play.kill_one(n, Duration::ZERO);
    }
}

/// A new application id, a new state, the same input: the same records byte for byte.
pub fn replayed(play: &mut Play<'_>) {
    play.pace.end_in(Duration::ZERO);
    let again = format!("{}-again", play.stage.name);
    play.stage.write_configuration(&again, play.settings);
    let mut instance = Instance::new(play.stage, &again, "again");
    instance.start();
    play.count("input read again by another application id");
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut reader = play.stage.reader(&again);
    while !(reader.has_topics() && play.stage.is_told(&reader)) {
        if Instant::now() > deadline {
            play.complain(format!("the replay did not tell everything\n      {}", instance.last_words()));
            return;
        }
        if !reader.has_topics() {
            reader = play.stage.reader(&again);
        }
        reader.read(Duration::from_millis(300));
        play.look_after();
    }
    if instance.stop() != Ok(End::Code(0)) {
        play.complain("the replaying instance did not stop well".to_owned());
    }
    let verdict = play.stage.verdict(&again);
    play.note(format!("the replay: {verdict}"));
    if !verdict.is_same() {
        play.complain(format!("the replay differs: {verdict}"));
    }
}

pub fn forged(play: &mut Play<'_>) {
    play.until_it_works(Duration::from_secs(40));
    let mut reader = play.stage.reader(&play.stage.name);
    reader.read_to_the_ends(Duration::from_secs(20));
    let Some(record) = reader.records.iter().find(|record| record.topic == "slo-status") else {
        return play.complain("there is nothing to forge".to_owned());
    };
    play.stage.outsider.forge(&format!("{}.", play.stage.name), record);
    play.count("record forged");
}

/// A restore waits a minute for records that may still become visible.
const REFUSED_WITHIN: Duration = Duration::from_secs(90);
/// For a configuration or state that a person must correct.
const CONFIGURATION: i32 = 78;

/// Committed offsets before the state's position: reading again would publish everything twice.
pub fn rewound(play: &mut Play<'_>) {
    play.pace.end_in(Duration::ZERO);
    play.until_it_works(Duration::from_secs(40));
    play.wait(Duration::from_secs(5));
    (0..play.fleet.len()).for_each(|n| play.stop(n));
    let (group, input) = (play.stage.name.clone(), play.stage.input());
    let committed = play.stage.outsider.committed(&group, &input);
    play.stage.outsider.commit(&group, &play.stage.outsider.beginnings(&input));
    play.count("the group's offsets set to 0");
    expect_refusal(play, 0, "offsets");
    play.stage.outsider.commit(&group, &committed);
    play.count("the group's offsets set back");
    play.fleet.iter_mut().for_each(Instance::start);
}

/// Starts an instance that must exit with 78 and say what to do.
pub fn expect_refusal(play: &mut Play<'_>, n: usize, about: &str) {
    let known = play.fleet[n].log().len();
    play.fleet[n].start();
    let end = play.fleet[n].await_end(REFUSED_WITHIN);
    let log = play.fleet[n].log();
    let said = log.get(known..).unwrap_or_default().trim().to_owned();
    let last = said.lines().next_back().unwrap_or_default().to_owned();
    match end {
        Some(End::Code(CONFIGURATION)) if said.contains(about) => play.note(format!("refused, code 78: {last}")),
        Some(end) => play.complain(format!("ended with {end:?} instead of a refusal about {about}: {last}")),
        None => {
            play.complain(format!("went on for {} s instead of refusing ({about})", REFUSED_WITHIN.as_secs()));
            play.stop(n);
        }
    }
}
