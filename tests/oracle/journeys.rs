//! A day and a half of journeys: sessions that succeed, fail, try again, begin again, stop, or never began.

use serde_json::{Value, json};

use crate::agreement::{assert_agree, backtest};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::replay;
use crate::slo;
use crate::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use crate::traffic::{self, Dice, delay_ms};
use crate::units::assert_reached;

const SLOS: [(&str, &str); 2] =
    [("a.yaml", include_str!("slos/journey/checkout.yaml")), ("b.yaml", include_str!("slos/journey/long.yaml"))];

const HOURS: i64 = 34;
const STEPS: [&str; 3] = ["browse", "cart", "pay"];

/// How often a step fails, by the minute of the run.
fn share(minute: i64, step: usize, user: i64) -> f64 {
    match (minute, step) {
        (300..345, 1) | (1_300..1_390, 2) => 0.9,
        (600..720, _) if user % 3 == 0 => 0.5,
        (900..1_000, 0) => 0.08,
        (1_600..1_660, _) if user == 1 => 1.0,
        _ => 0.002,
    }
}

struct Sessions {
    dice: Dice,
    partitions: Vec<Vec<(i64, String)>>,
}

impl Sessions {
    fn event(&mut self, user: i64, time_ms: i64, step: usize) -> bool {
        let minute = (time_ms - traffic::START_MS) / MINUTE_MS;
        let is_bad = self.dice.chance(share(minute, step, user));
        let tenant = ["acme", "beta", "acme", "solo"][user as usize % 4];
        let region = ["eu", "us", "ap"][self.dice.below(50) as usize % 3];
        let mut event = json!({"tenant": tenant, "user": format!("u{user}"), "timestamp": time_ms,
                               "operation": STEPS[step], "status": if is_bad { 503 } else { 200 },
                               "latency_ms": 20 + self.dice.below(300),
                               "attributes": {"region": region}});
        match self.dice.below(60) {
            0 => drop(event.as_object_mut().and_then(|event| event.remove("user"))),
            1 => drop(event.as_object_mut().and_then(|event| event.remove("status"))),
            2 => drop(event.as_object_mut().and_then(|event| event.remove("attributes"))),
            3 => event["weight"] = json!(0.333333),
            4 => event["weight"] = json!(7),
            5 => event["operation"] = json!("other"),
            _ => {}
        }
        let place = if self.dice.chance(0.8) { user as usize % 2 } else { 1 };
        let arrival_ms = time_ms + delay_ms(&mut self.dice);
        self.partitions[place].push((arrival_ms, event.to_string()));
        is_bad
    }

    fn session(&mut self, user: i64, mut time_ms: i64) {
        let mut step = if self.dice.chance(0.06) { 1 + self.dice.below(2) as usize } else { 0 };
        while step < STEPS.len() {
            let is_bad = self.event(user, time_ms, step);
            time_ms += match self.dice.below(12) {
                0 => 6 * MINUTE_MS + self.dice.below(20 * MINUTE_MS),
                1..=3 => 0,
                _ => self.dice.below(90 * SECOND_MS),
            };
            match self.dice.below(40) {
                0..=3 => return,
                4 => step = 0,
                5 => step = 2,
                _ if is_bad => {}
                _ => step += 1,
            }
        }
    }
}

fn lines(seed: u64) -> Vec<Vec<String>> {
    let mut sessions = Sessions { dice: Dice::new(seed), partitions: vec![Vec::new(); 2] };
    for minute in 0..HOURS * 60 {
        // Nobody comes for an hour and a half.
        if (1_750..1_840).contains(&minute) {
            continue;
        }
        for _ in 0..sessions.dice.below(3) {
            let user = sessions.dice.below(12) * sessions.dice.below(12);
            let time_ms = traffic::START_MS + minute * MINUTE_MS + sessions.dice.below(MINUTE_MS);
            sessions.session(user, time_ms);
        }
    }
    let end_ms = traffic::START_MS + HOURS * HOUR_MS;
    let sorted = |mut lines: Vec<(i64, String)>| {
        lines.retain(|(arrival_ms, _)| *arrival_ms < end_ms);
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect()
    };
    sessions.partitions.into_iter().map(sorted).collect()
}

#[test]
fn the_program_agrees_on_journeys() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let slos = traffic::write_slos(directory.path(), &SLOS);
    let inputs = traffic::write_lines(directory.path(), &lines(71));
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    assert_reached(&[
        "a time-out of long ago",
        "a journey that begins again",
        "an event before its attempt",
        "a step that is ignored",
        "a failure that may be tried again",
    ]);
    let some = |slo: &str, has: &dyn Fn(&Value) -> bool| {
        oracle.statuses.iter().any(|status| status["slo"] == slo && has(&status["journey"]))
    };
    for (slo, steps) in [("checkout", 3), ("long", 2)] {
        for step in 0..steps {
            assert!(some(slo, &|journey| journey["steps"][step]["failed"].as_i64() > Some(0)), "{slo}: {step}");
            // Who is still at the first step has failed, for nobody begins otherwise.
            let is_left = some(slo, &|journey| journey["steps"][step]["abandoned"].as_i64() > Some(0));
            assert_eq!(is_left, step > 0, "{slo}: {step}");
        }
        assert!(some(slo, &|journey| journey["stray"].as_i64() > Some(0)), "{slo}");
        assert!(some(slo, &|journey| journey["compound"].is_null()), "{slo}");
    }
    Coverage::of(&oracle).assert_journeys();
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
