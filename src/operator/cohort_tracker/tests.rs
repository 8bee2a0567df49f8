use super::*;
use crate::operator::cohort::risk::Risk;

fn found(attributes: &str, rank: u64) -> Found {
    let pair = |p: &str| p.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    Found {
        attributes: attributes.split(',').filter_map(pair).collect(),
        rank,
        users_in_tail: 10,
        users: 20,
        tail_total: 15,
        users_total: 500,
        risk: Risk { ratio: 48.0, low: 20.0, high: 100.0 },
        p_adjusted: 1e-9,
        bad: 4_000_000,
        bad_total: 5_000_000,
        sample: Vec::new(),
        events: 0,
        bad_events: 0,
    }
}

fn hits_and_misses(cohorts: &Cohorts) -> Vec<(u8, u8)> {
    cohorts.tracked.iter().map(|t| (t.hits, t.misses)).collect()
}

fn open(cohorts: &mut Cohorts, id: &str) {
    let open = |t: &mut Tracked| t.open = Some(Open { id: id.into(), started_ms: 0, seq: 1, told: Told::default() });
    cohorts.tracked.iter_mut().filter(|t| t.open.is_none()).for_each(open);
}

#[test]
fn hits_count_in_a_row_and_a_cohort_found_once_is_forgotten() {
    let mut cohorts = Cohorts::default();
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    assert_eq!(hits_and_misses(&cohorts), [(1, 0)]);
    cohorts.see(Kind::Users, 1, vec![]);
    assert_eq!(hits_and_misses(&cohorts), []);
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    assert_eq!(hits_and_misses(&cohorts), [(2, 0)]);
}

#[test]
fn an_open_cohort_survives_two_misses_and_steps_of_other_windows_do_not_count() {
    let mut cohorts = Cohorts::default();
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    open(&mut cohorts, "x");
    for _ in 0..2 {
        cohorts.see(Kind::Users, 1, vec![]);
        cohorts.see(Kind::Users, 2, vec![]);
        cohorts.see(Kind::Events, 1, vec![]);
    }
    assert_eq!(hits_and_misses(&cohorts), [(0, 2)]);
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    assert_eq!(hits_and_misses(&cohorts), [(1, 0)]);
}

#[test]
fn ranks_and_the_leading_cohort_are_by_the_budget_that_was_burnt() {
    let mut cohorts = Cohorts::default();
    let mut add = |kind, window_ms, names: &[(&str, u128)]| {
        let found = |(at, (name, bad)): (usize, &(&str, u128))| Found { bad: *bad, ..found(name, at as u64 + 1) };
        cohorts.see(kind, window_ms, names.iter().enumerate().map(found).collect());
        open(&mut cohorts, names[0].0);
        cohorts.tracked.iter_mut().for_each(|t| t.is_open = true);
    };
    add(Kind::Users, 1, &[("a=1", 10), ("b=1", 30)]);
    add(Kind::Events, 1, &[("c=1", 20), ("d=1", 30)]);
    add(Kind::Users, 2, &[("e=1", 90)]);
    cohorts.rank();
    let ranks: Vec<(&str, u64)> = cohorts.tracked.iter().map(|t| (&*t.found.attributes[0].0, t.found.rank)).collect();
    assert_eq!(ranks, [("a", 4), ("b", 1), ("c", 3), ("d", 2), ("e", 1)]);
    let leading = |cohorts: &Cohorts| cohorts.leading().map(|leading| leading.cohort[0].attribute.clone());
    assert_eq!(leading(&cohorts).as_deref(), Some("b"), "of the shortest window");
    let of = |window_ms| cohorts.leading_of(window_ms).map(|attributes| attributes[0].0.clone());
    assert_eq!([of(1).as_deref(), of(2).as_deref(), of(3).as_deref()], [Some("b"), Some("e"), None]);
    assert_eq!(leading(&Cohorts::default()), None);
}

/// An episode is shown in one window, and its cohort may be open in several.
#[test]
fn a_cohort_leads_in_every_window_in_which_it_is_open() {
    let mut cohorts = Cohorts::default();
    cohorts.see(Kind::Users, 1, vec![found("a=1", 1)]);
    open(&mut cohorts, "x");
    for _ in 0..2 {
        cohorts.see(Kind::Events, 2, vec![found("a=1", 1), found("b=1", 2)]);
    }
    assert!(cohorts.is_open(1) && cohorts.is_open(2) && !cohorts.is_open(3));
    let of = |window_ms| cohorts.leading_of(window_ms).map(|attributes| attributes[0].0.clone());
    assert_eq!([of(1).as_deref(), of(2).as_deref()], [Some("a"), Some("a")], "b has no episode");
}

#[test]
fn a_group_repeats_the_cohort_of_the_aggregate_with_or_without_what_all_of_the_group_have() {
    let attributes = |text: &str| found(text, 1).attributes;
    let open = |text: &str| OpenCohort { attributes: attributes(text), id: text.to_owned() };
    let above = [open("region=eu"), open("region=eu,tier=pro"), open("region=us,tier=free"), open("tier=pro")];
    let group = Scope::Group(vec![("region".to_owned(), "eu".to_owned())]);
    let same = |own: &str, scope: &Scope| repeated(&attributes(own), scope, &above).map(|open| open.id.clone());
    assert_eq!(same("tier=pro", &group).as_deref(), Some("tier=pro"), "the one that is the same to the letter");
    assert_eq!(same("region=eu,tier=pro", &group).as_deref(), Some("region=eu,tier=pro"));
    assert_eq!(same("tier=free", &group), None, "that one is of another region");
    assert_eq!(repeated(&attributes("tier=pro"), &group, &above[..2]).map(|o| &*o.id), Some("region=eu,tier=pro"));
    assert_eq!(repeated(&attributes("tier=pro"), &Scope::OtherGroups, &above[..2]), None);
}
