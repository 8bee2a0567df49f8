//! Hostile records at the limits of time, weights and sizes. Each is counted or becomes a dead letter, nothing panics
//! (overflow checks are on), and none costs more than its position in time requires.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]

use std::sync::Arc;
use tailburn::codec::output::{Encoder, OutputFormat};
use tailburn::codec::{Decoder, InputSettings};
use tailburn::model::record::{NoHeaders, RecordIn, RecordOut, Topic};
use tailburn::operator::partial::Partial;
use tailburn::pipeline::pseudonym::UserIds;
use tailburn::pipeline::rollup::{RollupSettings, RollupTask};
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;

const SLO: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations: {tailburn.dev/group-by: region}
spec:
  service: checkout
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 1d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: checkout, target: 0.99}]
";
const NOW_MS: i64 = 1_780_000_000_000;
/// In the year 9892.
const FAR_MS: i64 = 250_000_000_000_000;

struct Flow {
    route: Route,
    users: UsersTask,
    rollup: RollupTask,
    dead_letters: u64,
}

impl Flow {
    fn new() -> Flow {
        let slos = tailburn::definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("a definition").slos;
        let slos = Arc::new(slos);
        let decoder = Decoder::new(InputSettings::default()).expect("a decoder");
        let names = vec![SourceName { topic: "outcomes".to_owned(), partition: 0 }];
        let settings =
            UsersSettings { out_of_orderness_ms: 5_000, groups_max: 2, tenants_max: 50_000, rollup_partitions: 1 };
        let rollup = RollupSettings {
            partition: 0,
            users_tasks: 1,
            status_interval_ms: 60_000,
            tenant_status_interval_ms: 300_000,
            user_ids: UserIds::Plain,
            encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("an encoder")),
        };
        Flow {
            route: Route::new(decoder, names, DeadLetterForm::Line),
            users: UsersTask::new(Arc::clone(&slos), 1, settings),
            rollup: RollupTask::new(&slos, rollup),
            dead_letters: 0,
        }
    }

    fn read(&mut self, lines: &[String]) {
        for (offset, line) in (0..).zip(lines) {
            let value = line.as_bytes();
            let record = RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders };
            let users = &mut self.users;
            let dead_letter = self.route.apply(0, &record, |outcome| users.apply(0, record.offset, outcome));
            self.dead_letters += u64::from(dead_letter.is_some());
        }
    }

    /// Runs to the end, as with a bounded input.
    fn end(&mut self) -> Vec<RecordOut> {
        let mut partials = [Partial::default()];
        let end_ms = self.users.end_ms().expect("something was read");
        self.users.close_until(end_ms, &mut partials, &MemoryStore::default()).expect("closed");
        let mut out = Vec::new();
        for partial in partials {
            self.rollup.apply(0, partial).expect("a boundary is closed once");
        }
        self.rollup.advance(&mut out).expect("evaluated");
        out
    }
}

fn event(time_ms: i64, more: &str) -> String {
    format!("{{\"tenant\":\"t\",\"timestamp\":{time_ms},\"status\":200{more}}}")
}

/// The last status of the aggregate.
fn last_status(out: &[RecordOut]) -> serde_json::Value {
    let own = |r: &&RecordOut| r.topic == Topic::SloStatus && r.key.as_deref() == Some(b"checkout|aggregate");
    let last = out.iter().rfind(own).and_then(|r| r.value.as_deref()).expect("a status");
    serde_json::from_slice(last).expect("JSON")
}

#[test]
fn a_record_from_the_far_future_costs_no_step_for_each_boundary_until_then() {
    let mut flow = Flow::new();
    let mut lines = vec![event(NOW_MS, ",\"user\":\"u\""), event(NOW_MS + 1, "")];
    lines.extend((0..6).map(|i| event(FAR_MS + i, ",\"user\":\"u\"")));
    // Events from now on are later than any allowed lateness.
    lines.push(event(NOW_MS + 2, ""));
    flow.read(&lines);
    assert_eq!((flow.dead_letters, flow.users.counts.late_dropped), (0, 1));
    let out = flow.end();
    let gone = out.iter().filter(|r| r.topic == Topic::SloStatus && r.value.is_none()).count();
    assert_eq!(gone, 2, "the tenant and the group of the first day end with it; the aggregate stays");
    assert_eq!(flow.users.closed_ms(), Some(FAR_MS + 10_000));
}

#[test]
fn users_of_a_late_millennium_have_figures_and_leave_their_windows() {
    let mut flow = Flow::new();
    let hour_ms = 3_600_000;
    let mut lines: Vec<String> = (0..6).map(|i| event(FAR_MS + i, ",\"user\":\"u\"")).collect();
    lines.push(event(FAR_MS + hour_ms / 2, ""));
    lines.push(event(FAR_MS + 2 * hour_ms, ""));
    flow.read(&lines);
    let out = flow.end();
    let statuses = out.iter().filter(|r| r.topic == Topic::SloStatus && r.value.is_some());
    let users: Vec<u64> = statuses
        .filter_map(|r| serde_json::from_slice::<serde_json::Value>(r.value.as_deref()?).ok())
        .filter(|s| s["scope"] == "aggregate")
        .filter_map(|s| s["users"].as_array()?.iter().find(|w| w["window"] == "1h")?["users"].as_u64())
        .collect();
    assert!(users.contains(&1), "{users:?}");
    assert_eq!(users.last(), Some(&0), "{users:?}");
}

#[test]
fn every_record_is_counted_or_a_dead_letter() {
    let mut flow = Flow::new();
    let long = |bytes: usize| "x".repeat(bytes);
    let times = [i64::MIN, -1, 0, 946_684_799_999, 946_684_800_000, 253_402_300_800_000, i64::MAX];
    let mut lines: Vec<String> = times.iter().map(|t| event(*t, "")).collect();
    lines.extend(
        ["1e-7", "1e-6", "1e6", "1000000.1", "-1", "1e400"].map(|w| event(NOW_MS, &format!(",\"weight\":{w}"))),
    );
    lines.extend(["-1", "0", "1e-320", "1.7e308"].map(|l| event(NOW_MS, &format!(",\"latency_ms\":{l}"))));
    lines.extend([1_024, 1_025, 70_000].map(|n| event(NOW_MS, &format!(",\"user\":\"{}\"", long(n)))));
    lines.extend(
        [1_024, 1_025, 70_000].map(|n| event(NOW_MS, &format!(",\"attributes\":{{\"region\":\"{}\"}}", long(n)))),
    );
    lines.extend([256, 257].map(|n| event(NOW_MS, &format!(",\"attributes\":{{\"{}\":\"\"}}", long(n)))));
    lines.push(event(NOW_MS, ",\"user\":\"\",\"attributes\":{\"\":\"\",\"region\":\"\\u0000|,=%\"}"));
    lines.push(event(NOW_MS, ",\"status\":9223372036854775807"));
    lines.push(event(NOW_MS + 60_000, ""));
    flow.read(&lines);
    let out = flow.end();
    assert_eq!(flow.users.counts.outcomes + flow.dead_letters, lines.len() as u64);
    // Attributes that are too long are absent, and the event stays; a user cannot be cut, as it would become another
    // one.
    assert_eq!(flow.dead_letters, 6 + 4 + 2);
    let unreadable: Vec<(&str, u64)> = flow.route.stats.unreadable_fields().map(|(f, t)| (f.name(), t.count)).collect();
    assert_eq!(unreadable, [("attributes", 3)]);
    let status = last_status(&out);
    assert_eq!(status["counts"]["accepted"], flow.users.counts.outcomes - 1, "the last one comes after it");
}

#[test]
fn sums_of_the_largest_weights_stay_exact() {
    let mut flow = Flow::new();
    let bad = |i: i64| {
        format!(
            "{{\"tenant\":\"t\",\"user\":\"u\",\"timestamp\":{},\"status\":503,\"weight\":1e6,\"latency_ms\":1}}",
            NOW_MS + i % 9_000
        )
    };
    let mut lines: Vec<String> = (0..20_000).map(bad).collect();
    lines.push(event(NOW_MS + 60_000, ""));
    flow.read(&lines);
    let status = last_status(&flow.end());
    assert_eq!(status["budget"]["spent_bad"], 20_000.0 * 1e6);
}
