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
fn the_leading_cohort_is_of_events_only_while_the_budget_burns() {
    let mut cohorts = Cohorts::default();
    let mut add = |kind, window_ms, name: &str, rank| {
        cohorts.see(kind, window_ms, vec![found(name, rank)]);
        open(&mut cohorts, name);
    };
    add(Kind::Users, 2, "a=1", 1);
    add(Kind::Users, 1, "b=1", 2);
    add(Kind::Events, 2, "c=1", 1);
    let leading = |cohorts: &Cohorts, burns| cohorts.leading(burns).map(|c| c.id);
    assert_eq!(leading(&cohorts, true).as_deref(), Some("c=1"));
    assert_eq!(leading(&cohorts, false).as_deref(), Some("b=1"));
    assert_eq!(leading(&Cohorts::default(), true), None);
}
