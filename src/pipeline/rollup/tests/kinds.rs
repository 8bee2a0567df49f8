//! Composites and values whose events are counted in another way from a restart on (contract, sections 2 and 11): what was
//! counted stays, of each component for itself.

use super::changes::{Program, STOP_S, outage};
use super::*;

/// Answers that are no errors, and answers in time; `METHOD` and `SLICES` are written by [`counted_by`].
const COMPOSITE: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: both
  annotations: {tailburn.dev/user-windows: '1h', tailburn.dev/alert-rules: '1h/5m/1/ticket'}
spec:
  service: checkout
  timeWindow: [{duration: 2d, isRolling: true}]
  budgetingMethod: METHOD
  objectives:
    - displayName: answered
      target: 0.9
      compositeWeight: 2
SLICES
      indicator:
        metadata: {name: answered}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
            total: {metricSource: {type: tailburn, spec: {filter: \"attributes.region == 'eu'\"}}}
    - displayName: fast
      target: 0.8
SLICES
      indicator:
        metadata: {name: fast}
        spec:
          ratioMetric:
            counter: true
            good: {metricSource: {type: tailburn, spec: {filter: 'latency_ms < 300.0'}}}
            total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
";

const VALUE: &str = "
apiVersion: openslo/v1
kind: SLO
metadata: {name: figure}
spec:
  service: checkout
  indicator:
    metadata: {name: figure}
    spec:
      thresholdMetric: {metricSource: {type: tailburn, spec: {filter: 'true', value: latency_ms, aggregate: mean}}}
  timeWindow: [{duration: 2h, isRolling: true}]
  budgetingMethod: METHOD
  objectives:
    - displayName: standard
      op: lt
      value: 250
      target: 0.9
SLICES
";

/// Events by `Occurrences`, or slices of so many minutes.
fn counted_by(document: &str, method: &str, minutes: u32) -> Arc<Vec<Slo>> {
    let slices = match method {
        "Occurrences" => String::new(),
        "Timeslices" => format!("      timeSliceTarget: 0.8\n      timeSliceWindow: {minutes}m"),
        _ => format!("      timeSliceWindow: {minutes}m"),
    };
    slos(&[&document.replace("METHOD", method).replace("SLICES", &slices)])
}

/// Every fifth event of the outage, with latencies from 0 to 399 ms.
fn events(from: i64, seconds: i64) -> Vec<Event> {
    let slow = |event: Event| Event { latency_ms: (event.time_ms / SECOND_MS % 400) as f64, ..event };
    outage(from, seconds).into_iter().step_by(5).map(slow).collect()
}

/// Stops in an outage, goes on by the other method, and compares with a program that had it from the beginning.
fn assert_goes_on(from: &Arc<Vec<Slo>>, to: &Arc<Vec<Slo>>, what: &str) {
    let mut program = Program::new(Arc::clone(from));
    program.feed(&events(0, STOP_S));
    program.restart(to);
    program.feed(&events(STOP_S, 900));
    let mut fresh = Program::new(Arc::clone(to));
    fresh.feed(&program.input);
    let mut compared = 0;
    for (key, want) in &fresh.latest {
        let got = &program.latest[key];
        // Where an alert was written, a status is one boundary younger.
        if got.at == want.at {
            assert_eq!(got.windows, want.windows, "{what}: {key}");
            assert_eq!((&got.components, &got.gauge), (&want.components, &want.gauge), "{what}: {key}");
            compared += 1;
        }
    }
    assert!(compared > 2, "{what}: {compared} keys were compared");
}

#[test]
fn components_keep_their_counts_when_the_method_changes() {
    let of = |method, minutes| counted_by(COMPOSITE, method, minutes);
    let (whole, slices, shares) = (of("Occurrences", 1), of("Timeslices", 1), of("RatioTimeslices", 1));
    assert_goes_on(&whole, &slices, "events become slices");
    assert_goes_on(&slices, &shares, "slices become their shares");
    assert_goes_on(&shares, &whole, "shares become events");
    assert_goes_on(&slices, &of("Timeslices", 5), "slices become longer");
}

#[test]
fn values_stay_when_the_method_changes() {
    let of = |method, minutes| counted_by(VALUE, method, minutes);
    assert_goes_on(&of("Timeslices", 1), &of("Occurrences", 1), "slices become the value");
    assert_goes_on(&of("Timeslices", 1), &of("Timeslices", 5), "slices become longer");
}
