//! Which groups and tenants have keys does not depend on how many users tasks there are, nor on when each of them
//! hears what was decided (contract, section 2).

use super::*;
use crate::operator::admission::Decision;
use crate::pipeline::checkpoint::GroupMark;
use crate::pipeline::key_ref::KEY_GROUPS as USER_GROUPS;
use std::collections::VecDeque;

const CELLS: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: cells
  annotations:
    tailburn.dev/group-by: tier,cell
    tailburn.dev/user-windows: '10m,1d'
    tailburn.dev/min-user-events: '1'
    tailburn.dev/tenant-alerts: page
    tailburn.dev/alert-rules: '10m/2m/2/page, 1h/5m/1/ticket'
spec:
  service: cells
  description: answers that are no errors
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 2d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: cells, target: 0.95}]
";

/// Another SLO: its sets are of its own, and so may be their owner.
const OTHERS: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: speed-of-cells
  annotations: {tailburn.dev/group-by: cell, tailburn.dev/user-windows: 10m, tailburn.dev/min-user-events: '1'}
spec:
  service: cells
  description: answers in time
  indicator:
    metadata: {name: fast}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'latency_ms < 300.0'}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"operation != 'ghost'\"}}}
  timeWindow: [{duration: 1d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: speed, target: 0.9}]
";

const CELL_COUNT: u64 = 6;

fn settings(groups_max: usize, tenants_max: usize) -> UsersSettings {
    UsersSettings { out_of_orderness_ms: 5_000, groups_max, tenants_max, rollup_partitions: ROLLUPS }
}

/// An event in a cell. New cells appear all along, most of them first with events that say nothing.
fn outcome(event: &Event, share: u64, is_ghost: bool) -> Outcome<'static> {
    let cell = event.any % (1 + (CELL_COUNT - 1) * share / 100);
    let mut outcome = if is_ghost { event.ghost() } else { event.outcome() };
    // Names whose order is not that in which they come.
    outcome.attributes.push(("cell".into(), format!("c{}", (cell * 5 + 3) % CELL_COUNT).into()));
    if (event.any / 64).is_multiple_of(3) || cell % 2 == 1 && share < 50 {
        outcome.status = None;
    }
    outcome
}

/// Users tasks, rollup tasks and what is on its way between them.
struct Run {
    slos: Arc<Vec<Slo>>,
    users: Vec<UsersTask>,
    rollups: Vec<RollupTask>,
    /// By rollup task: its stream, and how far it is read.
    partials: Vec<Vec<Partial>>,
    read: Vec<usize>,
    /// By users task: decisions that it has not heard.
    unheard: Vec<VecDeque<Decision>>,
    decided: Vec<Decision>,
    stores: Vec<MemoryStore>,
    out: Vec<Vec<RecordOut>>,
}

impl Run {
    fn new(slos: &Arc<Vec<Slo>>, users_tasks: u32, of_users: UsersSettings, asks: bool) -> Run {
        let task = |_| UsersTask::new(Arc::clone(slos), 1, of_users);
        Run {
            slos: Arc::clone(slos),
            users: (0..users_tasks).map(task).map(|task| if asks { task.asking() } else { task }).collect(),
            rollups: (0..ROLLUPS).map(|partition| rollup(slos, partition, users_tasks)).collect(),
            partials: vec![Vec::new(); ROLLUPS as usize],
            read: vec![0; ROLLUPS as usize],
            unheard: vec![VecDeque::new(); users_tasks as usize],
            decided: Vec::new(),
            stores: (0..users_tasks + ROLLUPS).map(|_| MemoryStore::default()).collect(),
            out: vec![Vec::new(); ROLLUPS as usize],
        }
    }

    /// Closes what a users task can close, and says it.
    fn close(&mut self, at: usize, to_ms: Option<Ms>) {
        let task = &mut self.users[at];
        let from_ms = task.closed_ms();
        let Some(to_ms) = to_ms.filter(|to_ms| from_ms.is_none_or(|from_ms| from_ms < *to_ms)) else { return };
        let nothing = Partial {
            users_task: at as u32,
            from_ms,
            up_to_ms: Ms::MIN,
            slos: slo_ids(&self.slos),
            ..Partial::default()
        };
        let mut partials = vec![nothing; ROLLUPS as usize];
        task.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("closed");
        for (partial, stream) in partials.into_iter().zip(&mut self.partials) {
            if partial.up_to_ms > Ms::MIN || partial.candidates_up_to_ms.is_some() {
                stream.push(partial);
            }
        }
    }

    /// A rollup task hears one thing, and says what comes of it.
    fn roll_up(&mut self, at: usize) {
        let next = self.read[at];
        if let Some(partial) = self.partials[at].get(next) {
            self.rollups[at].apply(next as i64, partial.clone()).expect("in turn");
            self.read[at] += 1;
        }
        self.rollups[at].advance(&mut self.out[at]).expect("evaluated");
        for decision in self.rollups[at].take_decisions() {
            self.unheard.iter_mut().for_each(|unheard| unheard.push_back(decision.clone()));
            self.decided.push(decision);
        }
    }

    /// Hears what was decided in its order; now and then one is told ahead, and comes once more.
    fn receive(&mut self, at: usize, dice: &mut Dice) {
        let unheard = &mut self.unheard[at];
        if dice.one_in(4) && !unheard.is_empty() {
            let ahead = dice.below(unheard.len() as u64) as usize;
            self.users[at].learn(&unheard[ahead], true);
        } else if let Some(decision) = unheard.pop_front() {
            self.users[at].learn(&decision, true);
        }
    }

    fn is_idle(&self, to_ms: Ms) -> bool {
        self.users.iter().all(|task| task.closed_ms() == Some(to_ms))
            && self.partials.iter().zip(&self.read).all(|(all, read)| all.len() == *read)
    }

    /// Feeds all events, everything else happening at any time; `each` may do more.
    fn go(&mut self, events: &[Event], dice: &mut Dice, mut each: impl FnMut(&mut Run, usize, &mut Dice)) {
        let (count, tasks) = (events.len() as u64, self.users.len());
        for (number, event) in events.iter().enumerate() {
            let share = number as u64 * 100 / count;
            for (index, task) in self.users.iter_mut().enumerate() {
                let is_own = event.owner(tasks as u64) == index as u64;
                task.apply(0, number as i64, &outcome(event, share, !is_own));
            }
            let at = dice.below(tasks as u64) as usize;
            if dice.one_in(20) {
                let to_ms = self.users[at].aligned_ms();
                self.close(at, to_ms);
            }
            if dice.one_in(10) {
                self.roll_up(dice.below(u64::from(ROLLUPS)) as usize);
            }
            if dice.one_in(10) {
                self.receive(at, dice);
            }
            each(self, number, dice);
        }
        let end_ms = self.users[0].end_ms().expect("events");
        for _ in 0..100_000 {
            if self.is_idle(end_ms) {
                break;
            }
            let at = dice.below(tasks as u64) as usize;
            self.receive(at, dice);
            self.close(dice.below(tasks as u64) as usize, Some(end_ms));
            self.roll_up(dice.below(u64::from(ROLLUPS)) as usize);
        }
        (0..ROLLUPS as usize).for_each(|at| self.roll_up(at));
        assert!(self.is_idle(end_ms), "it comes to an end");
    }
}

fn events(seed: u64) -> (Vec<Event>, Dice) {
    let mut dice = Dice(seed);
    let traffic =
        Traffic { events: 3_000, users: 60, bad_percent: 8, longest_gap_ms: 20 * MINUTE_MS, odd_weights: false };
    (traffic.draw(&mut dice), dice)
}

fn keys_of(out: &[Vec<RecordOut>], slo: &str, scope: &str) -> BTreeSet<String> {
    let key = |record: &RecordOut| String::from_utf8(record.key.clone().unwrap_or_default()).expect("text");
    let keys = out.iter().flatten().filter(|record| record.topic == Topic::SloStatus).map(key);
    keys.filter(|key| key.starts_with(&format!("{slo}|{scope}|"))).collect()
}

fn alone(slos: &Arc<Vec<Slo>>, events: &[Event], of_users: UsersSettings) -> Vec<Vec<RecordOut>> {
    let mut run = Run::new(slos, 1, of_users, false);
    run.go(events, &mut Dice(1), |_, _, _| {});
    assert!(run.decided.is_empty());
    run.out
}

#[test]
fn the_same_groups_and_tenants_have_keys_however_many_users_tasks_there_are() {
    let slos = slos(&[CELLS, OTHERS]);
    for (seed, groups_max, tenants_max) in [(1, 3, 2), (2, 5, 3), (3, 3, 50), (4, 12, 1)] {
        let (events, mut dice) = events(seed);
        let want = alone(&slos, &events, settings(groups_max, tenants_max));
        let groups = keys_of(&want, "cells", "group");
        assert!(groups.len() == groups_max + 1 || groups_max == 12 && groups.len() > 5, "{groups:?}");
        assert_eq!(groups.contains("cells|group|__other__"), groups_max < 12, "{groups:?}");
        assert_eq!(keys_of(&want, "speed-of-cells", "tenant").len(), tenants_max.min(4));
        for users_tasks in [1, 2, 3] {
            let mut run = Run::new(&slos, users_tasks, settings(groups_max, tenants_max), true);
            run.go(&events, &mut dice, |_, _, _| {});
            assert!(!run.decided.is_empty());
            for (got, want) in run.out.iter().zip(&want) {
                assert_same(got, want, &format!("seed {seed}, {users_tasks} users tasks"));
            }
        }
    }
}

impl Run {
    /// A users task comes back from its checkpoint, with whatever was decided meanwhile.
    fn restart_users(&mut self, at: usize, of_users: UsersSettings, events: &[Event], number: usize) {
        let (task, store, mut batch) = (&mut self.users[at], &mut self.stores[at], Batch::default());
        (0..USER_GROUPS).for_each(|group| task.save_group(group, store, &mut batch).expect("saved"));
        store.write(&mut batch).expect("written");
        let (mark, again, at_ms) = (task.mark(), task.read_again(number as i64 + 1), task.closed_ms());
        let mut task = UsersTask::new(Arc::clone(&self.slos), 1, of_users).asking();
        self.decided.iter().for_each(|decision| task.learn(decision, true));
        self.unheard[at].clear();
        let group = GroupMark { at_ms, again, generation: 0, blocks: 0, image_bytes: 0, delta_bytes: 0 };
        task.load(&vec![group; usize::from(USER_GROUPS)], &mark, &self.stores[at], u64::MAX).expect("loaded");
        task.begin_replay(again.watermark);
        let tasks = self.users.len() as u64;
        for (offset, event) in events.iter().enumerate().take(number + 1).skip(again.offset as usize) {
            let is_own = event.owner(tasks) == at as u64;
            let share = offset as u64 * 100 / events.len() as u64;
            task.apply(0, offset as i64, &outcome(event, share, !is_own));
        }
        task.end_replay(Some(&mark));
        task.ask_again();
        self.users[at] = task;
    }

    /// A rollup task comes back from its checkpoint, reads what waited once more, and decides what it had decided.
    fn restart_rollup(&mut self, at: usize) {
        let (task, store) = (&mut self.rollups[at], &mut self.stores[self.users.len() + at]);
        let mut batch = Batch::default();
        (0..KEY_GROUPS).for_each(|group| task.save_group(group, &mut batch).expect("saved"));
        store.write(&mut batch).expect("written");
        let (mark, again) = (task.mark(), task.read_again(self.read[at] as i64));
        let mut task = rollup(&self.slos, at as u32, self.users.len() as u32);
        task.load(&vec![mark.at_ms; usize::from(KEY_GROUPS)], &mark, store).expect("loaded");
        assert!(task.take_forgotten().is_empty());
        for offset in again as usize..self.read[at] {
            task.apply(offset as i64, self.partials[at][offset].clone()).expect("in turn");
        }
        task.end_replay(&mark);
        let mut out = Vec::new();
        task.advance(&mut out).expect("evaluated");
        assert!(out.is_empty() && task.take_decisions().is_empty(), "all that could be decided was");
        self.rollups[at] = task;
    }
}

#[test]
fn tasks_that_come_back_from_their_checkpoints_decide_the_same() {
    let slos = slos(&[CELLS, OTHERS]);
    for (seed, groups_max, tenants_max) in [(11, 3, 2), (12, 4, 3)] {
        let (events, mut dice) = events(seed);
        let of_users = settings(groups_max, tenants_max);
        let want = alone(&slos, &events, of_users);
        let mut run = Run::new(&slos, 3, of_users, true);
        let mut restarts = 0;
        run.go(&events, &mut dice, |run, number, dice| {
            if dice.one_in(60) {
                run.restart_users(dice.below(3) as usize, of_users, &events, number);
                run.restart_rollup(dice.below(u64::from(ROLLUPS)) as usize);
                restarts += 1;
            }
        });
        assert!(restarts > 20, "{restarts}");
        for (got, want) in run.out.iter().zip(&want) {
            assert_same(got, want, &format!("seed {seed}"));
        }
    }
}

/// The limits hold for the definition: another `group-by` begins a set anew, and the old one leaves nothing.
#[test]
fn another_group_by_starts_a_new_set() {
    let before = slos(&[CELLS]);
    let after = slos(&[&CELLS.replace("group-by: tier,cell", "group-by: cell")]);
    let (events, mut dice) = events(21);
    let mut run = Run::new(&before, 2, settings(3, 2), true);
    run.go(&events, &mut dice, |_, _, _| {});
    let owner = run.rollups.iter().position(|task| task.admission.set_count() > 0).expect("one of them decides");
    let (task, store) = (&mut run.rollups[owner], &mut run.stores[2 + owner]);
    let mut batch = Batch::default();
    (0..KEY_GROUPS).for_each(|group| task.save_group(group, &mut batch).expect("saved"));
    store.write(&mut batch).expect("written");
    let mark = task.mark();
    let mut task = rollup(&after, owner as u32, 2);
    task.load(&vec![mark.at_ms; usize::from(KEY_GROUPS)], &mark, store).expect("loaded");
    task.end_replay(&mark);
    let forgotten = task.take_forgotten();
    let groups_before = forgotten.iter().filter(|of| of.set.admits == crate::operator::admission::Admits::Groups);
    assert_eq!((forgotten.len(), groups_before.count()), (1, 1), "tenants belong to the filters: they stay");
    assert!(!forgotten[0].boundaries.is_empty());
    (0..KEY_GROUPS).for_each(|group| task.save_group(group, &mut batch).expect("saved"));
    store.write(&mut batch).expect("written");
    let mut again = rollup(&before, owner as u32, 2);
    again.load(&vec![mark.at_ms; usize::from(KEY_GROUPS)], &task.mark(), store).expect("loaded");
    assert_eq!(again.take_forgotten(), [], "nothing is left of it");
    assert_eq!(again.admission.set_count(), 1, "back again, it begins anew");
}
