//! Users and their requests, through the tasks of one process: what a verdict or an alert says here is what `run` would say.
//!
//! Activity follows a real access log: the median user sends 2 events an hour, one in ten 11, one in a hundred 46.

use crate::START_MS;
use crate::dice::Dice;
use std::borrow::Cow;
use std::sync::Arc;
use tailburn::codec::output::{Encoder, OutputFormat};
use tailburn::definition;
use tailburn::model::outcome::{Outcome, WEIGHT_ONE};
use tailburn::model::output::{BurnAlert, SloStatus};
use tailburn::model::record::{RecordOut, Topic};
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Ms, PANE_MS};
use tailburn::operator::partial::Partial;
use tailburn::pipeline::pseudonym::UserIds;
use tailburn::pipeline::rollup::{RollupSettings, RollupTask, rollup_tasks};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;

/// Values of the attribute `client`: each has so much of the users.
pub const CLIENTS: usize = 40;
const ACTIVITY_MEDIAN: f64 = 2.0;
const ACTIVITY_SPREAD: f64 = 1.35;
/// Nobody sends more an hour, who is not meant to.
const ACTIVITY_MAX: f64 = 60.0;
/// How a client sends a failed request again: how likely, and how likely the next one fails, too.
const RETRIES: u8 = 2;
const RETRY_SHARE: f64 = 0.8;
const RETRY_FAILS: f64 = 0.7;

/// A user.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub events_an_hour: f64,
    /// How likely a request fails while all is well.
    pub usual: f64,
    pub client: usize,
    attributes: [(&'static str, String); 3],
}

/// Users who differ in activity and attributes, each with the same usual error rate.
pub fn people(dice: &mut Dice, count: usize, usual: f64) -> Vec<Person> {
    let person = |at: usize| {
        let (client, region, tier) = (dice.below(CLIENTS), dice.below(4), dice.below(3));
        let attributes = [
            ("client", format!("c{client}")),
            ("region", ["eu", "us", "ap", "sa"][region].to_owned()),
            ("tier", ["free", "pro", "team"][tier].to_owned()),
        ];
        let activity = (ACTIVITY_MEDIAN * libm::exp(ACTIVITY_SPREAD * dice.normal())).clamp(0.1, ACTIVITY_MAX);
        Person { name: format!("u{at}"), events_an_hour: activity, usual, client, attributes }
    };
    (0..count).map(person).collect()
}

/// What was said of the aggregate.
pub enum Said {
    Alert(Box<BurnAlert>),
    Status(Box<SloStatus>),
}

/// The users and the tasks.
pub struct Stream {
    pub people: Vec<Person>,
    pub dice: Dice,
    pub now_ms: Ms,
    /// Failed requests are sent again.
    pub has_retries: bool,
    /// Traffic follows the time of day.
    pub is_diurnal: bool,
    /// Up to each user, events an hour.
    cumulative: Vec<f64>,
    waiting: Vec<Sent>,
    users: UsersTask,
    rollup: RollupTask,
    partials: Vec<Partial>,
    store: MemoryStore,
    outputs: Vec<RecordOut>,
    offset: i64,
}

/// A request.
#[derive(Clone, Copy)]
struct Sent {
    at_ms: Ms,
    person: usize,
    attempt: u8,
}

impl Stream {
    /// `objective` in percent.
    pub fn new(people: Vec<Person>, objective: f64, dice: Dice) -> Stream {
        let text = SLO.replace("TARGET", &format!("{:.5}", objective / 100.0));
        let parsed = definition::parse(&[("slo.yaml".to_owned(), text)]).expect("the SLO is well-formed");
        let slos = Arc::new(parsed.slos);
        let settings = RollupSettings {
            partition: 0,
            users_tasks: 1,
            status_interval_ms: HOUR_MS,
            tenant_status_interval_ms: HOUR_MS,
            user_ids: UserIds::Plain,
            encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("the schemas are well-formed")),
        };
        let rows =
            UsersSettings { out_of_orderness_ms: 0, groups_max: 1_000, tenants_max: 50_000, rollup_partitions: 1 };
        let mut sum = 0.0;
        let mut add = |person: &Person| {
            sum += person.events_an_hour;
            sum
        };
        Stream {
            cumulative: people.iter().map(&mut add).collect(),
            people,
            dice,
            now_ms: START_MS,
            has_retries: false,
            is_diurnal: false,
            waiting: Vec::new(),
            users: UsersTask::new(Arc::clone(&slos), 1, rows),
            rollup: rollup_tasks(&slos, 1, &settings).remove(0),
            partials: vec![Partial::default()],
            store: MemoryStore::default(),
            outputs: Vec::new(),
            offset: 0,
        }
    }

    pub fn events_an_hour(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Ten seconds of requests; `errors` says how likely one of a user fails.
    pub fn pane(&mut self, errors: &mut dyn FnMut(&Person, usize) -> f64) -> Vec<Said> {
        let end_ms = self.now_ms + PANE_MS;
        let (mut sent, later): (Vec<Sent>, Vec<Sent>) = self.waiting.drain(..).partition(|sent| sent.at_ms < end_ms);
        self.waiting = later;
        let hour = (self.now_ms % (24 * HOUR_MS)) as f64 / HOUR_MS as f64;
        let wave = if self.is_diurnal { 1.0 + 0.6 * libm::sin(hour / 24.0 * std::f64::consts::TAU) } else { 1.0 };
        let mean = self.events_an_hour() * wave * PANE_MS as f64 / HOUR_MS as f64;
        for _ in 0..self.dice.poisson(mean) {
            let at = self.dice.unit() * self.events_an_hour();
            let person = self.cumulative.partition_point(|up_to| *up_to < at);
            let at_ms = self.now_ms + self.dice.below(PANE_MS as usize) as Ms;
            sent.push(Sent { at_ms, person, attempt: 0 });
        }
        sent.sort_by_key(|sent| sent.at_ms);
        for one in sent {
            self.send(one, errors);
        }
        self.now_ms = end_ms;
        self.close()
    }

    fn send(&mut self, sent: Sent, errors: &mut dyn FnMut(&Person, usize) -> f64) {
        let usual = errors(&self.people[sent.person], sent.person);
        // What was sent again fails again more often than not.
        let is_bad = self.dice.unit() < if sent.attempt > 0 { usual.max(RETRY_FAILS) } else { usual };
        if is_bad && self.has_retries && sent.attempt < RETRIES && self.dice.unit() < RETRY_SHARE {
            let at_ms = sent.at_ms + PANE_MS + self.dice.below(20_000) as Ms;
            self.waiting.push(Sent { at_ms, attempt: sent.attempt + 1, ..sent });
        }
        let person = &self.people[sent.person];
        let attributes = person.attributes.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str())));
        let outcome = Outcome {
            tenant: Cow::from("t"),
            user: Some(Cow::from(person.name.as_str())),
            timestamp_ms: sent.at_ms,
            status: Some(if is_bad { 503 } else { 200 }),
            attributes: attributes.collect(),
            weight_micros: WEIGHT_ONE,
            ..Outcome::default()
        };
        self.users.apply(0, self.offset, &outcome);
        self.offset += 1;
    }

    /// Closes what can be closed, and returns what was said of the aggregate.
    fn close(&mut self) -> Vec<Said> {
        if let Some(to_ms) = self.users.aligned_ms() {
            self.users.close_until(to_ms, &mut self.partials, &self.store).expect("the store is read");
        }
        let next = Partial { from_ms: Some(self.partials[0].up_to_ms), ..Partial::default() };
        let partial = std::mem::replace(&mut self.partials[0], next);
        self.rollup.apply(0, partial).expect("a boundary is closed once");
        self.rollup.advance(&mut self.outputs).expect("outputs are written");
        self.outputs.drain(..).filter_map(said).collect()
    }
}

fn said(record: RecordOut) -> Option<Said> {
    let value = record.value?;
    let is_of = |scope: &str| scope == "aggregate";
    match record.topic {
        Topic::BurnAlerts => {
            let alert: BurnAlert = serde_json::from_slice(&value).expect("an alert");
            is_of(&alert.scope).then(|| Said::Alert(Box::new(alert)))
        }
        Topic::SloStatus => {
            let status: SloStatus = serde_json::from_slice(&value).expect("a status");
            is_of(&status.scope).then(|| Said::Status(Box::new(status)))
        }
        _ => None,
    }
}

/// Minutes of event time.
pub const fn minutes(count: i64) -> i64 {
    count * MINUTE_MS / PANE_MS
}

const SLO: &str = "
apiVersion: openslo/v1
kind: SLO
metadata:
  name: answered
  annotations: {tailburn.dev/user-windows: '1h, 1d', tailburn.dev/tenant-alerts: 'off'}
spec:
  service: web
  indicator:
    metadata: {name: answered}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: 'status < 500'}}}
        total: {metricSource: {type: tailburn, spec: {filter: 'true'}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: answered, target: TARGET}]
";
