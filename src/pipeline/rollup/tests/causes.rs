//! Who and what stands out: users who fail more than the rest of their tenant, and groups that repeat a cohort of the
//! aggregate.

use super::*;
use serde_json::Value;

const USERS: u64 = 180;
const MINUTES: Ms = 88;
/// The user who fails alone, and of which tenant it is.
const ALONE: u64 = 7;
const TENANTS: u64 = 2;

/// Each user sends an event a minute. From minute 15 to 45 four in five of one user's fail; from minute 50 to 80 half of those
/// of a tier. Some come late.
fn troubled(dice: &mut Dice, falls_silent: bool) -> Vec<Event> {
    let mut events = Vec::new();
    for at in 0..MINUTES as u64 * USERS {
        let time_ms = START_MS + (at * MINUTE_MS as u64 / USERS) as Ms;
        let (user, minute) = (at * 71 % USERS, (time_ms - START_MS) / MINUTE_MS);
        if falls_silent && user == ALONE && minute >= 35 {
            continue;
        }
        let tier = u64::from(user % 5 == 0);
        let bad_percent = match () {
            () if user == ALONE && (15..45).contains(&minute) => 80,
            () if tier == 1 && (50..80).contains(&minute) => 50,
            () => 1,
        };
        let status = if dice.below(100) < bad_percent { 503 } else { 200 };
        let late_ms = if dice.one_in(40) { 90 * SECOND_MS } else { 0 };
        let (region, any) = (user % 3, dice.below(u64::MAX));
        let tenant = user % TENANTS;
        events.push(Event { tenant, region, tier, any, ..plain(time_ms - late_ms, user, status) });
    }
    events
}

/// All records of one topic, over all rollup tasks.
fn cohorts(out: &[RecordOut]) -> Vec<Value> {
    let of_topic = out.iter().filter(|record| record.topic == Topic::TailCohorts);
    of_topic.filter_map(|record| serde_json::from_slice(record.value.as_deref()?).ok()).collect()
}

fn of_users(cohorts: &[Value]) -> Vec<&Value> {
    cohorts.iter().filter(|record| record["kind"] == "user").collect()
}

fn of_minute(record: &Value) -> Ms {
    let at: jiff::Timestamp = record["at"].as_str().expect("a time").parse().expect("a time");
    (at.as_millisecond() - START_MS) / MINUTE_MS
}

fn states<'a>(records: &[&'a Value]) -> Vec<&'a str> {
    records.iter().filter_map(|record| record["state"].as_str()).collect()
}

fn all(slos: &Arc<Vec<Slo>>, events: &[Event], users_tasks: u32, dice: &mut Dice) -> Vec<RecordOut> {
    let streams = said(slos, events, users_tasks, dice);
    let each = (0..).zip(&streams);
    each.flat_map(|(r, stream)| published(rollup(slos, r, users_tasks), stream, dice)).collect()
}

#[test]
fn one_user_who_fails_more_than_its_tenant_is_named_and_no_other() {
    let slos = slos(&[CHECKOUT]);
    let mut dice = Dice(5);
    let whole = cohorts(&all(&slos, &troubled(&mut dice, false), 1, &mut dice));
    let named = of_users(&whole);
    let (open, closed) = (named.first().expect("an episode"), named.last().expect("an end"));
    assert_eq!((states(&named)[0], states(&named)[named.len() - 1]), ("open", "closed"), "{named:#?}");
    assert!(named.iter().all(|record| record["id"] == open["id"] && record["tenant"] == "t1"), "{named:#?}");
    assert!(named.iter().all(|record| record["sample_users"][0].as_str().is_some_and(|user| user.ends_with("user-7"))));
    assert!((20..=36).contains(&of_minute(open)), "{open}");
    assert!((48..=60).contains(&of_minute(closed)), "{closed}");
    let summary = open["summary"].as_str().expect("words");
    assert!(summary.starts_with("user ") && summary.contains("user-7 of t1 fails "), "{summary}");
    assert!(summary.contains(" requests since ") && summary.contains("the rest of its tenant "), "{summary}");
    assert!(open["p_adjusted"].as_f64().is_some_and(|p| p <= 0.01), "{open}");
    assert_eq!((&open["users_in_tail"], &open["cohort"]), (&1.into(), &Value::Array(Vec::new())));
}

#[test]
fn a_group_names_the_cohort_of_the_aggregate_that_it_repeats() {
    let slos = slos(&[CHECKOUT]);
    let mut dice = Dice(6);
    let whole = cohorts(&all(&slos, &troubled(&mut dice, false), 2, &mut dice));
    let is_pro =
        |record: &&Value| record["cohort"].as_array().is_some_and(|of| of.len() == 1 && of[0]["value"] == "pro");
    let of = |scope: &str| -> Vec<&Value> {
        whole.iter().filter(|record| record["scope"] == scope).filter(is_pro).collect()
    };
    let aggregate = of("aggregate");
    let id = &aggregate.first().expect("a cohort")["id"];
    assert!(aggregate.iter().all(|record| record["same_as"].is_null()));
    let groups: Vec<&Value> = of("group").into_iter().filter(|record| record["same_as"] == *id).collect();
    let regions: BTreeSet<&str> = groups.iter().filter_map(|record| record["group"]["region"].as_str()).collect();
    assert!(regions.len() == 3, "{regions:?} of {:#?}", of("group"));
}

#[test]
fn neither_the_number_of_tasks_nor_a_death_changes_who_is_named() {
    let slos = slos(&[CHECKOUT]);
    let mut dice = Dice(7);
    let events = troubled(&mut dice, false);
    let whole = all(&slos, &events, 1, &mut dice);
    assert_same(&all(&slos, &events, 3, &mut dice), &whole, "three users tasks");
    let mut named = 0;
    for (r, stream) in (0..).zip(&said(&slos, &events, 2, &mut dice)) {
        let new = || rollup(&slos, r, 2);
        let whole = published(new(), stream, &mut dice);
        let mut torn = Torn::new(new());
        while torn.next < stream.len() {
            torn.turn(stream, &mut dice);
            if dice.one_in(60) {
                torn.die(new(), stream, &mut dice);
            }
        }
        torn.commit(&mut dice);
        assert_same(&torn.out, &whole, &format!("rollup {r} that dies"));
        named += of_users(&cohorts(&whole)).len();
    }
    assert!(named > 1);
}

/// The episode ends once the failures are a day old, whoever looks when.
#[test]
fn a_user_who_falls_silent_stays_named_for_a_day() {
    let slos = slos(&[CHECKOUT]);
    let mut dice = Dice(8);
    let mut events = troubled(&mut dice, true);
    let behind_ms = START_MS + 26 * HOUR_MS;
    events.extend((0..20).map(|at| Event { tenant: at % TENANTS, ..plain(behind_ms + at as Ms * SECOND_MS, at, 200) }));
    let out = cohorts(&passes_over(&slos, &events, &mut dice, "silence"));
    let named = of_users(&out);
    let closed = named.last().expect("an episode");
    let hours = (of_minute(closed) as f64) / 60.0;
    assert!(closed["state"] == "closed" && (24.0..25.0).contains(&hours), "{named:#?}");
}
