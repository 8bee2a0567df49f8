//! Definitions that change between a stop and the next start (contract, section 2): counts stay with their
//! filters, alerts end with the rules they had, what is gone gets tombstones.

use super::*;
use crate::model::output::{BurnAlert, SloStatus};
use crate::operator::admission::Decision;
use crate::pipeline::checkpoint::{CheckpointError, GroupMark, ReplayStart, UsersMark};
use crate::pipeline::key_ref::KEY_GROUPS as USER_GROUPS;
use crate::state::keys::{Key as RowKey, Kind, Prefix};
use std::ops::ControlFlow;

/// Input, users task and rollup task of one process, with what it left in its stores.
pub(super) struct Program {
    pub slos: Arc<Vec<Slo>>,
    pub input: Vec<Event>,
    pub users: UsersTask,
    pub rollup: RollupTask,
    pub stores: [Box<dyn Store>; 2],
    /// Partials so far.
    offset: i64,
    /// Which groups and tenants have keys, as the topic of the sources has it.
    pub decided: Vec<Decision>,
    /// The latest status of each key, as the compacted topic has it.
    pub latest: BTreeMap<String, SloStatus>,
    /// Users that are listed.
    listed: BTreeSet<String>,
    pub alerts: Vec<BurnAlert>,
}

pub(super) const SETTINGS: UsersSettings =
    UsersSettings { out_of_orderness_ms: 5_000, groups_max: 1_000, tenants_max: 50_000, rollup_partitions: 1 };

impl Program {
    pub fn new(slos: Arc<Vec<Slo>>) -> Program {
        Program {
            users: UsersTask::new(Arc::clone(&slos), 1, SETTINGS).asking(),
            rollup: rollup(&slos, 0, 1),
            slos,
            input: Vec::new(),
            stores: [Box::new(MemoryStore::new()), Box::new(MemoryStore::new())],
            offset: 0,
            decided: Vec::new(),
            latest: BTreeMap::new(),
            listed: BTreeSet::new(),
            alerts: Vec::new(),
        }
    }

    pub fn feed(&mut self, events: &[Event]) {
        for event in events {
            self.users.apply(0, self.input.len() as i64, &event.outcome());
            self.input.push(event.clone());
        }
        let Some(to_ms) = self.users.aligned_ms().filter(|to_ms| Some(*to_ms) > self.users.closed_ms()) else { return };
        self.close(to_ms);
        if self.users.closed_ms() < Some(to_ms) {
            self.close(to_ms);
        }
        assert_eq!(self.users.closed_ms(), Some(to_ms), "all that was named is decided");
    }

    /// T goes on without events.
    fn pass_time_to(&mut self, to_ms: Ms) {
        self.users.raise_to(0, to_ms, false);
        self.close(to_ms);
        self.close(to_ms);
        assert_eq!(self.users.closed_ms(), Some(to_ms));
    }

    fn close(&mut self, to_ms: Ms) {
        let (from_ms, up_to_ms) = (self.users.closed_ms(), Ms::MIN);
        let mut partials = vec![Partial { from_ms, up_to_ms, slos: slo_ids(&self.slos), ..Partial::default() }];
        self.users.close_until(to_ms, &mut partials, self.stores[0].as_ref()).expect("closed");
        self.rollup.apply(self.offset, partials.remove(0)).expect("in turn");
        self.offset += 1;
        let mut out = Vec::new();
        self.rollup.advance(&mut out).expect("evaluated");
        out.iter().for_each(|record| self.read(record));
        for decision in self.rollup.take_decisions() {
            self.users.learn(&decision, true);
            self.decided.push(decision);
        }
    }

    fn read(&mut self, record: &RecordOut) {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("text");
        match (record.topic, record.value.as_deref()) {
            (Topic::SloStatus, Some(value)) => {
                self.latest.insert(key, serde_json::from_slice(value).expect("a status"));
            }
            (Topic::SloStatus, None) => assert!(self.latest.remove(&key).is_some(), "{key} had no status"),
            (Topic::UserStatus, Some(_)) => {
                self.listed.insert(key);
            }
            (Topic::UserStatus, None) => assert!(self.listed.remove(&key), "{key} was not listed"),
            (Topic::BurnAlerts, Some(value)) => self.alerts.push(serde_json::from_slice(value).expect("an alert")),
            _ => {}
        }
    }

    /// Stops as a program does that is asked to, and starts with these definitions.
    pub fn restart(&mut self, slos: &Arc<Vec<Slo>>) {
        self.save_users();
        self.save_keys();
        let (users, mark) = (self.users.mark(), self.rollup.mark());
        let again = self.users.read_again(self.input.len() as i64);
        let at_ms = self.users.closed_ms();
        self.slos = Arc::clone(slos);
        self.rollup = self.loaded(&mark);
        for forgotten in self.rollup.take_forgotten() {
            self.decided.retain(|decision| decision.set != forgotten.set);
        }
        self.load_users(&users, at_ms, again);
    }

    pub fn save_users(&mut self) {
        let mut batch = Batch::default();
        (0..USER_GROUPS).for_each(|g| self.users.save_group(g, self.stores[0].as_ref(), &mut batch).expect("saved"));
        self.stores[0].write(&mut batch).expect("written");
    }

    pub fn save_keys(&mut self) {
        let mut batch = Batch::default();
        (0..KEY_GROUPS).for_each(|group| self.rollup.save_group(group, &mut batch).expect("saved"));
        self.stores[1].write(&mut batch).expect("written");
    }

    fn loaded(&self, mark: &RollupMark) -> RollupTask {
        self.try_loaded(mark).expect("loaded")
    }

    pub fn try_loaded(&self, mark: &RollupMark) -> Result<RollupTask, CheckpointError> {
        let mut task = rollup(&self.slos, 0, 1);
        let groups = vec![mark.at_ms; usize::from(KEY_GROUPS)];
        task.load(&groups, mark, self.stores[1].as_ref())?;
        task.end_replay(mark);
        Ok(task)
    }

    fn load_users(&mut self, mark: &UsersMark, at_ms: Option<Ms>, again: ReplayStart) {
        self.try_load_users(mark, at_ms, again).expect("loaded");
    }

    pub fn try_load_users(
        &mut self,
        mark: &UsersMark,
        at_ms: Option<Ms>,
        again: ReplayStart,
    ) -> Result<(), CheckpointError> {
        self.users = UsersTask::new(Arc::clone(&self.slos), 1, SETTINGS).asking();
        self.decided.iter().for_each(|decision| self.users.learn(decision, true));
        let group = GroupMark { at_ms, again, generation: 0, blocks: 0, image_bytes: 0, delta_bytes: 0 };
        let groups = vec![group; usize::from(USER_GROUPS)];
        self.users.load(&groups, mark, self.stores[0].as_ref(), u64::MAX)?;
        self.users.begin_replay(again.watermark);
        for (offset, event) in (0..).zip(&self.input).skip(again.offset as usize) {
            self.users.apply(0, offset, &event.outcome());
        }
        self.users.end_replay(Some(mark));
        self.users.ask_again();
        Ok(())
    }

    /// Good and bad in the compliance window.
    fn counted(&self, key: &str) -> f64 {
        let status = &self.latest[key];
        let window = status.windows.iter().find(|w| w.window == status.compliance_window).expect("it is there");
        window.good.unwrap_or(0.0) + window.bad.unwrap_or(0.0)
    }

    /// Alerts without an end, by id.
    fn open(&self) -> BTreeMap<&str, &BurnAlert> {
        let mut open = BTreeMap::new();
        for alert in &self.alerts {
            match alert.state.as_str() {
                "resolved" => assert!(open.remove(alert.id.as_str()).is_some(), "{} was not open", alert.id),
                _ => drop(open.insert(alert.id.as_str(), alert)),
            }
        }
        open
    }

    fn rows(&self) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        let note = &mut |key: &[u8], _: &[u8]| {
            rows.push(key.to_vec());
            ControlFlow::Continue(())
        };
        self.stores[0].scan(&Prefix::Kind(Kind::User).to_bytes(), note).expect("memory");
        rows
    }
}

/// An event a second of 60 users; everything fails behind the first hour and a half.
pub(super) fn outage(from: i64, seconds: i64) -> Vec<Event> {
    let event = |second: i64| {
        let status = if second > 90 * 60 { 503 } else { 200 };
        Event {
            tenant: (second % 3) as u64,
            region: (second % 2) as u64,
            tier: (second / 7 % 2) as u64,
            ..plain(START_MS + second * SECOND_MS, (second % 60) as u64, status)
        }
    };
    (from..from + seconds).map(event).collect()
}

fn changed(from: &str, to: &str) -> Arc<Vec<Slo>> {
    assert!(CHECKOUT.contains(from), "{from}");
    slos(&[&CHECKOUT.replace(from, to)])
}

const RULES: &str = "'10m/2m/2/page, 1h/5m/1/ticket, 30m/1/info'";
pub(super) const STOP_S: i64 = 2 * 3_600;

/// Runs into the outage, stops, and goes on with other definitions for so many seconds.
fn stopped_and_changed(to: &Arc<Vec<Slo>>, more_s: i64) -> Program {
    let mut program = Program::new(slos(&[CHECKOUT]));
    program.feed(&outage(0, STOP_S));
    assert!(program.open().len() >= 6, "aggregate, tenants and groups fire: {}", program.open().len());
    program.restart(to);
    program.feed(&outage(STOP_S, more_s));
    program
}

/// Each alert that was open has its end, with the rules it had.
fn assert_ended(program: &Program, why: &str) {
    let stopped_ms = START_MS + STOP_S * SECOND_MS - MINUTE_MS;
    let began = |alert: &&BurnAlert| alert.at.0 < stopped_ms && alert.state == "firing";
    let before: Vec<&BurnAlert> = program.alerts.iter().filter(began).collect();
    assert!(before.len() >= 6);
    for firing in before {
        let records: Vec<&BurnAlert> = program.alerts.iter().filter(|a| a.id == firing.id).collect();
        let [.., told, last] = records[..] else { panic!("{} has no end", firing.id) };
        assert_eq!((last.state.as_str(), last.resolved_reason.as_deref()), ("resolved", Some(why)), "{last:?}");
        let rules = |alert: &BurnAlert| alert.rules.iter().map(|rule| rule.rule.clone()).collect::<Vec<_>>();
        assert_eq!(rules(last), rules(told));
        assert!(!last.rules.is_empty() && last.rules.iter().all(|rule| rule.burn_long.is_some()), "{last:?}");
        assert_eq!(last.seq, told.seq + 1);
        assert_eq!(last.definition_hash, told.definition_hash, "it ends as what it was");
    }
}

/// As if the definitions had always been these.
fn assert_counts_as(program: &Program, slos: &Arc<Vec<Slo>>, what: &str) {
    let mut fresh = Program::new(Arc::clone(slos));
    fresh.feed(&program.input);
    assert!(fresh.latest.keys().eq(program.latest.keys()), "{what}");
    let mut compared = 0;
    for (key, want) in &fresh.latest {
        let got = &program.latest[key];
        // Where an alert was written, a status is one boundary younger.
        if got.at == want.at {
            assert_eq!(got.windows, want.windows, "{what}: {key}");
            compared += 1;
        }
        assert_eq!(got.definition_hash, want.definition_hash, "{what}: {key}");
        assert_eq!(seen(program, key), seen(&fresh, key), "{what}: users of {key}");
    }
    assert!(compared > 0, "{what}: nothing was compared");
}

/// By rule: users with a bad event in its long window, and with any.
fn seen(program: &Program, key: &str) -> Vec<(u64, u64)> {
    let key = program.rollup.keys[key].key(&program.rollup.definitions).into_owned();
    let at_ms = program.rollup.at_ms().expect("a boundary");
    let since = |rule: &crate::model::slo::Rule| crate::model::time::window_start(at_ms, rule.long_ms);
    let users = |ms: Ms| (key.state.bad_seen.users_since(ms), key.state.seen.users_since(ms));
    program.slos[0].rules.iter().map(since).map(users).collect()
}

#[test]
fn an_unchanged_definition_ends_no_alert() {
    let slos = slos(&[CHECKOUT]);
    let program = stopped_and_changed(&slos, 600);
    assert!(program.alerts.iter().all(|alert| alert.resolved_reason.as_deref() != Some("definition_changed")));
    assert_counts_as(&program, &slos, "nothing changed");
}

#[test]
fn other_rules_objectives_and_windows_keep_the_counts_and_end_the_alerts() {
    let cases = [
        ("a rule more", changed(RULES, "'10m/2m/2/page, 1h/5m/1/ticket, 30m/1/info, 6h/30m/3/ticket'")),
        ("other rules", changed(RULES, "'2h/10m/2/page'")),
        ("rules of minutes", changed(RULES, "'5m/1m/2/page'")),
        ("an objective", changed("target: 0.95", "target: 0.94")),
        ("a longer window", changed("duration: 2d", "duration: 28d")),
        ("a shorter window", changed("duration: 2d", "duration: 1d")),
        ("a window of many days", changed("duration: 2d", "duration: 60d")),
        ("user windows", changed("user-windows: 1h,1d", "user-windows: 10m,6h")),
        ("a label", changed("  name: checkout\n", "  name: checkout\n  labels: {team: pay}\n")),
    ];
    for (what, to) in cases {
        let program = stopped_and_changed(&to, 900);
        assert_ended(&program, "definition_changed");
        assert_counts_as(&program, &to, what);
        let open = program.open();
        assert!(open.values().all(|alert| alert.definition_hash == to[0].definition_hash), "{what}: {open:?}");
        assert!(open.values().any(|alert| alert.scope == "aggregate"), "{what}: what still burns fires again");
        let lists = to[0].user_windows_ms.contains(&DAY_MS);
        assert_eq!(program.listed.is_empty(), !lists, "{what}: {:?}", program.listed);
    }
}

#[test]
fn other_filters_start_from_zero_and_do_not_find_the_old_ones_when_they_come_back() {
    let (was, other) = (slos(&[CHECKOUT]), changed("status < 500", "status < 499"));
    let mut program = stopped_and_changed(&other, 900);
    assert_ended(&program, "definition_changed");
    let counted = program.counted("checkout|aggregate");
    assert!((850.0..=905.0).contains(&counted), "{counted}");
    program.restart(&was);
    program.feed(&outage(STOP_S + 900, 60));
    let counted = program.counted("checkout|aggregate");
    assert!((20.0..70.0).contains(&counted), "a ghost of {counted} events");
    program.restart(&was);
    assert_eq!(program.rows().len(), 60, "rows of filters that are gone stay in the store");
    program.feed(&outage(STOP_S + 960, 60));
    let counted = program.counted("checkout|aggregate");
    assert!((80.0..130.0).contains(&counted), "{counted}");
}

#[test]
fn another_group_by_keeps_all_keys_but_its_groups() {
    let (was, tier) = (slos(&[CHECKOUT]), changed("group-by: region", "group-by: tier"));
    let mut program = stopped_and_changed(&tier, 900);
    assert_ended(&program, "definition_changed");
    assert!(program.counted("checkout|aggregate") > 8_000.0, "{}", program.counted("checkout|aggregate"));
    assert!(program.counted("checkout|tenant|t1") > 2_500.0);
    let groups = |program: &Program| -> Vec<String> {
        program.latest.keys().filter(|key| key.contains("|group|")).cloned().collect()
    };
    let all = |program: &Program| -> f64 { groups(program).iter().map(|key| program.counted(key)).sum() };
    assert_eq!(groups(&program), ["checkout|group|tier=free", "checkout|group|tier=pro"]);
    assert!((850.0..=905.0).contains(&all(&program)), "{}: they start from zero", all(&program));
    program.restart(&was);
    program.feed(&outage(STOP_S + 900, 60));
    assert_eq!(groups(&program), ["checkout|group|region=eu", "checkout|group|region=us"]);
    assert!((20.0..70.0).contains(&all(&program)), "{}: ghosts", all(&program));
    assert!(program.counted("checkout|aggregate") > 8_000.0);
}

#[test]
fn without_a_group_by_the_groups_end() {
    let program = stopped_and_changed(&changed("    tailburn.dev/group-by: region\n", ""), 300);
    assert_ended(&program, "definition_changed");
    assert!(program.latest.keys().all(|key| !key.contains("|group|")), "{:?}", program.latest.keys());
}

#[test]
fn an_slo_that_is_gone_leaves_nothing_and_starts_from_zero_when_it_comes_back() {
    let (both, one) = (slos(&[CHECKOUT, SPEED]), slos(&[SPEED]));
    let mut program = Program::new(Arc::clone(&both));
    program.feed(&outage(0, STOP_S));
    let speed = program.counted("speed|aggregate");
    program.restart(&one);
    program.feed(&outage(STOP_S, 600));
    let open = program.open();
    assert!(open.values().all(|alert| alert.slo != "checkout"), "{open:?}");
    let removed = |a: &&BurnAlert| a.slo == "checkout" && a.resolved_reason.as_deref() == Some("removed");
    assert!(program.alerts.iter().filter(removed).count() >= 6);
    assert!(program.latest.keys().all(|key| key.starts_with("speed|")), "{:?}", program.latest.keys());
    assert!(program.listed.iter().all(|key| key.starts_with("speed|")), "{:?}", program.listed);
    assert!(program.counted("speed|aggregate") > speed + 500.0, "the other one goes on");
    program.restart(&one);
    let mut left = BTreeSet::new();
    for row in program.rows() {
        if let Ok(RowKey::User { filters, .. }) = RowKey::decode(&row) {
            left.insert(filters);
        }
    }
    assert_eq!(left.len(), 1, "rows of one SLO's filters are left");
    program.restart(&both);
    program.feed(&outage(STOP_S + 600, 60));
    let counted = program.counted("checkout|aggregate");
    assert!((20.0..70.0).contains(&counted), "{counted}");
}

#[test]
fn an_slo_that_is_new_has_its_aggregate_key_at_the_next_boundary() {
    let nothing =
        CHECKOUT.replace("name: checkout\n", "name: nothing\n").replace("status < 500", "attributes.none == \"\"");
    let mut program = Program::new(slos(&[CHECKOUT]));
    program.feed(&outage(0, 600));
    program.restart(&slos(&[CHECKOUT, &nothing]));
    program.feed(&outage(600, 60));
    let status = program.latest.get("nothing|aggregate").expect("it exists");
    assert_eq!(status.state, "no_data");
}

/// While the definition was another one, the users task was never live. So its checkpoint knows of decisions that are
/// void, and no event comes that needs a new one.
#[test]
fn decisions_that_became_void_are_not_waited_for() {
    let (was, other) = (slos(&[CHECKOUT]), changed("status < 500", "status < 499"));
    let mut program = Program::new(Arc::clone(&was));
    program.feed(&outage(0, 600));
    let end_ms = program.users.closed_ms().expect("closed") + MINUTE_MS;
    program.pass_time_to(end_ms);
    program.save_users();
    program.save_keys();
    let (users, mut rollup) = (program.users.mark(), program.rollup.mark());
    assert!(users.known.len() == 2 && !program.decided.is_empty(), "groups and tenants: {:?}", users.known);
    for definitions in [&other, &was] {
        program.slos = Arc::clone(definitions);
        program.rollup = program.loaded(&rollup);
        for forgotten in program.rollup.take_forgotten() {
            program.decided.retain(|decision| decision.set != forgotten.set);
        }
        program.save_keys();
        rollup = program.rollup.mark();
    }
    assert!(program.decided.is_empty());
    let again = program.users.read_again(program.input.len() as i64);
    program.load_users(&users, Some(end_ms), again);
    assert!(program.users.waits_for_decision());
    program.pass_time_to(end_ms + MINUTE_MS);
    assert!(!program.users.waits_for_decision());
}

/// A crash behind a change, with the first checkpoint of the new build at hand: the same is published.
#[test]
fn a_crash_after_a_change_publishes_the_same() {
    let to = slos(&[&CHECKOUT.replace(RULES, "'2h/10m/2/page'").replace("group-by: region", "group-by: tier")]);
    let mut program = stopped_and_changed(&to, 0);
    program.save_keys();
    let mark = program.rollup.mark();
    let again = program.loaded(&mark);
    let told = program.alerts.len();
    let (input, latest) = (program.input.clone(), program.latest.clone());
    program.feed(&outage(STOP_S, 120));
    let steady = program.alerts.split_off(told);
    assert!(steady.len() >= 6, "{}", steady.len());
    // The users task says the same once more.
    let mut crashed = stopped_and_changed(&to, 0);
    assert_eq!(crashed.input.len(), input.len());
    (crashed.rollup, crashed.latest) = (again, latest);
    let told = crashed.alerts.len();
    crashed.feed(&outage(STOP_S, 120));
    assert_eq!(crashed.alerts.split_off(told), steady);
    assert_eq!(crashed.latest, program.latest);
}
