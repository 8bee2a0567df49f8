//! Events in a maintenance (contract, section 11): excluded before any filter is read, counted for the keys that exist, and
//! the same whether a users task reads the input itself or gets blocks.

use super::changes::{Program, SETTINGS};
use super::*;
use crate::model::maintenance::{Maintenance, Maintenances};
use crate::operator::watermark::Watermark;
use crate::pipeline::intake::{Intake, Spread};

const HOUR_THREE: (Ms, Ms) = (START_MS + 3 * HOUR_MS, START_MS + 4 * HOUR_MS);

/// A name, the tenants that it is of, and its windows.
type Entry<'a> = (&'a str, &'a [&'a str], &'a [(Ms, Ms)]);

/// The SLOs, the first of them with maintenance.
fn maintained(documents: &[&str], entries: &[Entry<'_>]) -> Arc<Vec<Slo>> {
    let mut slos = slos(documents).to_vec();
    let entry = |(name, tenants, windows): &Entry<'_>| {
        let tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        Arc::new(Maintenance { name: (*name).to_owned(), tenants, windows_ms: windows.to_vec() })
    };
    slos[0].maintenance = Maintenances(entries.iter().map(entry).collect());
    Arc::new(slos)
}

fn of(time_ms: Ms, tenant: u64, status: Option<i64>) -> Event {
    Event { tenant, status, ..plain(time_ms, tenant, 0) }
}

#[test]
fn events_in_a_window_are_counted_for_the_keys_that_exist_and_for_nothing_else() {
    let windows = [("all", &[][..], &[HOUR_THREE][..]), ("of t1", &["t1"][..], &[HOUR_THREE][..])];
    let mut program = Program::new(maintained(&[CHECKOUT], &windows));
    let at = |minutes: i64| START_MS + 2 * HOUR_MS + minutes * MINUTE_MS;
    program.feed(&[of(at(0), 1, Some(200)), of(at(1), 1, Some(503))]);
    // In the window: bad, unclassified, a ghost that no filter sees, the only events of t3. Its end is out of it.
    let inside = [of(at(60), 1, Some(503)), of(at(70), 1, None), of(at(80), 3, Some(200)), of(at(119), 1, Some(200))];
    program.feed(&inside);
    // At the full hour in the window the statuses have its name.
    for key in ["checkout|aggregate", "checkout|tenant|t1", "checkout|group|region=eu"] {
        assert_eq!(program.latest[key].at.0 % HOUR_MS, 0, "{key}");
        assert_eq!(program.latest[key].maintenance.as_deref(), Some("all"), "{key}");
    }
    program.feed(&[of(at(120), 1, Some(503)), of(at(122), 1, Some(200)), of(at(124), 1, Some(200))]);
    let figures = |key: &str| {
        let counts = &program.latest[key].counts;
        (counts.maintenance, counts.accepted, counts.unclassified, counts.late)
    };
    assert_eq!(figures("checkout|aggregate"), (4, 4, 0, 0));
    assert_eq!(figures("checkout|tenant|t1"), (3, 4, 0, 0));
    assert!(!program.latest.contains_key("checkout|tenant|t3"), "it has no event");
    assert_eq!(program.latest["checkout|aggregate"].maintenance, None);
}

/// The partials of a task that reads the input, and of one that gets blocks.
#[test]
fn a_users_task_says_the_same_whether_it_reads_the_input_or_gets_blocks() {
    let mut dice = Dice(77);
    let events = Traffic { events: 3_000, users: 60, ..MANY }.draw(&mut dice);
    let end_ms = events.iter().map(|event| event.time_ms).max().expect("events");
    let windows = [(START_MS + (end_ms - START_MS) / 4, START_MS + (end_ms - START_MS) / 2)];
    let slos = maintained(&[CHECKOUT, SPEED], &[("own", &["t1", "t2"], &windows), ("late", &[], &windows)]);
    let mut direct = UsersTask::new(Arc::clone(&slos), 1, SETTINGS);
    let mut behind = UsersTask::new(Arc::clone(&slos), 1, SETTINGS);
    let spread = Spread { partitions: 1, per_tenant: 1, large_tenants: Vec::new() };
    let mut intake = Intake::new(Arc::clone(&slos), spread, SETTINGS.out_of_orderness_ms);
    let mut source = intake.source(Watermark::default(), &[None]);
    let (mut blocks, mut maintenance, mut failures) = (Vec::new(), 0, 0);
    for (offset, event) in (0..).zip(&events) {
        let outcome = event.outcome();
        direct.apply(0, offset, &outcome);
        intake.apply(0, &mut source, offset, &outcome).expect("taken");
        if dice.one_in(50) || offset as usize == events.len() - 1 {
            intake.flush(0, &mut source, offset + 1, &mut blocks).expect("flushed");
            for block in blocks.drain(..) {
                behind.apply_block(offset, &block.value.expect("a block")).expect("in turn");
            }
            let to_ms = direct.aligned_ms().expect("a watermark");
            assert_eq!(behind.aligned_ms(), Some(to_ms));
            let [said, told] = [&mut direct, &mut behind].map(|task| {
                let mut partials = [Partial::default()];
                task.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("closed");
                partials
            });
            assert_eq!(said, told);
            let deltas = said[0].boundaries.iter().flat_map(|boundary| &boundary.deltas);
            for delta in deltas.filter(|delta| delta.slo == 0 && delta.scope == Scope::Aggregate) {
                maintenance += delta.maintenance;
                failures += delta.failures.len();
            }
        }
    }
    assert!(maintenance > 100 && failures > 100, "{maintenance} excluded, {failures} failures");
    assert_eq!(intake.counts.excluded, direct.counts.excluded);
}
