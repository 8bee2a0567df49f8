//! The board during an outage in which the program is killed, restarted, and its keys move: every instance shows all
//! that was published, and so does `serve`; each key is in the metrics of the one that evaluates it.

use crate::broker_or_skip;
use crate::created_again::Admin;
use crate::definitions::CHECKOUT;
use crate::life::{BEHIND_S, Life, SOON, STOP_S, identity};
use crate::recovery::{Place, Running};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// At this second every key has a status, because it is a full hour.
const SEEN_S: i64 = STOP_S + BEHIND_S;

type Names = BTreeSet<String>;

impl Running {
    fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["items"].as_array().expect("items").clone()
    }

    /// The ids of the firing alerts on the board.
    fn firing(&self) -> Names {
        self.items("/api/v1/alerts?limit=1000").iter().map(|alert| name(&alert["id"])).collect()
    }

    fn keys(&self) -> Names {
        self.items("/api/v1/status?limit=1000").iter().map(identity).collect()
    }

    /// The number of firing alerts in the metrics.
    fn firing_metric(&self) -> usize {
        self.metric("tailburn_alerts_firing") as usize
    }
}

fn name(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

impl Life {
    fn firing(&self) -> Names {
        self.open().into_keys().collect()
    }

    fn keys(&self) -> Names {
        self.latest("slo-status").values().flatten().map(identity).collect()
    }

    /// Feeds the outage, and waits until all of it is published.
    fn fail(&mut self, running: &mut Running) {
        self.feed(SEEN_S);
        let at = self.at(STOP_S);
        let keys = 3 + self.tenants as usize;
        let is_told = |life: &Life| {
            let latest = life.latest("slo-status");
            latest.len() == keys && latest.values().flatten().all(|status| status["at"] == at)
        };
        self.wait(running, "status of all keys", is_told);
        self.wait(running, "committed offset", Life::is_read);
        let pages = self.open().values().filter(|alert| alert["severity"] == "page").count();
        assert!(pages > 0, "{:?}", self.open());
    }
}

fn until(what: &str, life: &Life, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}: {}", life.place.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The program is killed in an outage and started again, and a worker is restarted: the page is visible all the time, and
/// counters continue.
#[test]
fn a_page_that_fires_is_seen_after_a_kill_and_counters_go_on() {
    let mut life = Life::new(broker_or_skip!(), "page-seen", [2, 2], 3);
    life.define(CHECKOUT);
    let (mut running, _) = life.place.start();
    life.fail(&mut running);
    let (firing, keys) = (life.firing(), life.keys());
    until("what fires is seen", &life, || {
        (running.firing(), running.firing_metric()) == (firing.clone(), firing.len())
    });
    assert_eq!(running.metric("tailburn_events_total"), SEEN_S as f64);
    running.kill();

    let (mut running, _) = life.place.start();
    assert_eq!((running.firing(), running.firing_metric()), (firing.clone(), firing.len()), "{}", life.place.log());
    assert_eq!(running.keys(), keys);
    let more_s = 120;
    life.feed(SEEN_S + more_s);
    life.wait(&mut running, "committed offset", Life::is_read);
    until("new events are counted", &life, || running.metric("tailburn_events_total") == more_s as f64);
    until("new records are counted", &life, || running.metric("tailburn_records_written_total") > 0.0);
    until("what fires is seen", &life, || running.firing() == life.firing());

    // One more partition makes the worker restart. (Nothing comes in it, so T waits for it.)
    Admin::new(&life.world).grow(&life.world.input, 2);
    let mut counted = 0.0;
    until("it opens it again", &life, || life.place.log().contains("opening it again"));
    life.feed(SEEN_S + 2 * more_s);
    let deadline = Instant::now() + SOON;
    while counted < 2.0 * more_s as f64 {
        let now = running.metric("tailburn_events_total");
        assert!(now >= counted, "{now} events after {counted}");
        assert!(running.is_alive() && Instant::now() < deadline, "{counted} events: {}", life.place.log());
        counted = now;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(counted, 2.0 * more_s as f64);
    until("what fires is seen", &life, || running.firing() == life.firing());
    until("it is counted", &life, || running.firing_metric() == life.firing().len());
    assert_eq!(running.stop(), Some(0), "{}", life.place.log());
}

/// Two instances and a `serve` answer alike, also when keys move between the two and one of them is killed.
#[test]
fn every_instance_and_serve_show_the_whole_during_a_kill_and_a_rebalance() {
    let mut life = Life::new(broker_or_skip!(), "moved", [1, 4], 12);
    life.define(CHECKOUT);
    let (mut first, _) = life.place.start();
    life.fail(&mut first);
    let (firing, keys) = (life.firing(), life.keys());
    let shows_all = |one: &Running| one.keys() == keys && one.firing() == firing;
    until("the first shows all", &life, || shows_all(&first));

    let beside = Place::with(&life.world, life.id, &life.more);
    std::fs::write(beside.dir.path().join("slo.yaml"), CHECKOUT).expect("an SLO");
    let (second, _) = beside.start_beside();
    assert!(shows_all(&second), "once it is ready: {}", beside.log());
    let serving = Place::with(&life.world, life.id, &life.more);
    std::fs::write(serving.dir.path().join("slo.yaml"), CHECKOUT).expect("an SLO");
    let viewer = serving.serve();
    assert!(shows_all(&viewer), "once it is ready: {}", serving.log());
    until("each key is in the metrics of one instance", &life, || {
        shows_all(&first)
            && first.firing_metric() + second.firing_metric() == firing.len()
            && second.firing_metric() > 0
    });
    assert_eq!(viewer.firing_metric(), 0, "nothing is counted twice");
    for path in
        ["/api/v1/overview?scope=all&limit=1000", "/api/v1/alerts?state=all&limit=1000", "/api/v1/users?limit=1000"]
    {
        let body = |of: &Running| of.get(path).split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        assert!(body(&first).is_some() && body(&first) == body(&second) && body(&second) == body(&viewer), "{path}");
    }

    first.kill();
    until("the second has what the first had", &life, || shows_all(&second) && second.firing_metric() == firing.len());
    assert!(shows_all(&viewer));
    assert_eq!(second.stop(), Some(0), "{}", beside.log());
    assert!(shows_all(&viewer), "nobody runs, and what was published is still shown");
    assert_eq!(viewer.stop(), Some(0), "{}", serving.log());
}
