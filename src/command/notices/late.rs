//! Late records: which record made them late, and which setting would have kept them.

use super::{Facts, percent, place};
use crate::model::duration;
use crate::model::time::{Moment, Ms};
use crate::pipeline::lateness::{Lateness, Leap};

/// Further inputs are only counted.
const INPUTS_MAX: usize = 5;

pub(super) fn notices(facts: &Facts<'_>) -> Vec<String> {
    let of_inputs = facts.users.lateness().zip(0..).flat_map(|(lateness, source)| of_input(facts, source, lateness));
    let mut said: Vec<String> = of_inputs.collect();
    if said.len() > INPUTS_MAX {
        let more = said.len() - INPUTS_MAX;
        said.truncate(INPUTS_MAX);
        said.push(format!("The same holds for {more} more inputs."));
    }
    said
}

fn of_input(facts: &Facts<'_>, source: u32, lateness: &Lateness) -> Vec<String> {
    let is_much = |count: u64| count * 100 > lateness.events;
    let mut said = Vec::new();
    if is_much(lateness.dropped) {
        said.push(dropped(facts, source, lateness));
    }
    if is_much(lateness.late) {
        said.push(late(facts, source, lateness));
    }
    said
}

fn dropped(facts: &Facts<'_>, source: u32, lateness: &Lateness) -> String {
    let allowed_ms = facts.slos.iter().map(|slo| slo.allowed_lateness_ms).min().unwrap_or(0);
    let seen = format!(
        "{} of {} events of {} ({}) were dropped as too late: when they arrived, the input's event time was more than \
         `allowed-lateness` ({}) ahead of theirs.",
        lateness.dropped,
        lateness.events,
        facts.input(source),
        percent(lateness.dropped, lateness.events),
        duration::print(allowed_ms)
    );
    let remedy = "else raise the SLOs' annotation `tailburn.dev/allowed-lateness` (up to 7d)";
    if let Some(leap) = lateness.to_blame() {
        return format!(
            "{seen} {} Correct or remove it where its clock is wrong; {remedy}.",
            ahead(facts, source, leap)
        );
    }
    let Some(latest) = lateness.furthest_ahead() else { return seen };
    let latest =
        format!("The time furthest ahead is {}, in {}", Moment(latest.time_ms), place(facts, source, latest.offset));
    if lateness.is_reversed() {
        format!(
            "{seen} {latest}: the input is sorted from the newest to the oldest. Reverse it (`tac FILE`) or sort it \
             by time; {remedy}."
        )
    } else {
        format!(
            "{seen} {latest}: older records follow it. Sort the input by time, or give each sorted file an --input of \
             its own; {remedy}."
        )
    }
}

fn late(facts: &Facts<'_>, source: u32, lateness: &Lateness) -> String {
    let own_ms = facts.settings.input.out_of_orderness_ms;
    let seen = format!(
        "{} of {} events of {} ({}) came late: more than `input.out_of_orderness` ({}) behind the times before them, so \
         that figures were published without them first.",
        lateness.late,
        lateness.events,
        facts.input(source),
        percent(lateness.late, lateness.events),
        duration::print(own_ms)
    );
    let blamed = lateness.to_blame().map(|leap| format!(" {}", ahead(facts, source, leap))).unwrap_or_default();
    let held = duration::print(up_to_seconds(lateness.furthest_behind_ms));
    format!("{seen}{blamed} `input.out_of_orderness: {held}` would have kept them in time.")
}

/// The record that was ahead, and by how much.
fn ahead(facts: &Facts<'_>, source: u32, leap: Leap) -> String {
    format!(
        "The record furthest ahead is {}: its time {} is {} after all times before it.",
        place(facts, source, leap.offset),
        Moment(leap.time_ms),
        about(leap.length_ms())
    )
}

fn up_to_seconds(ms: Ms) -> Ms {
    ms.div_euclid(1_000) * 1_000 + if ms.rem_euclid(1_000) > 0 { 1_000 } else { 0 }
}

/// A length for people: two units at most.
pub(super) fn about(ms: Ms) -> String {
    let seconds = ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_said_in_units_for_people() {
        let said = [999, 59_000, 61_000, 3_600_000, 86_398_000, 90_000_000].map(about);
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "23 h 59 min", "1 d 1 h"]);
    }

    #[test]
    fn a_setting_is_rounded_up_to_whole_seconds() {
        assert_eq!([36_001, 37_000, 1].map(up_to_seconds), [37_000, 37_000, 1_000]);
    }
}
