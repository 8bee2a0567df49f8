//! The traffic of a scenario: which records arrive when on which partition, with outages, invalid records, late events,
//! silences, and transactions of the producers, some of them aborted.

use crate::broker::{Broker, Place};
use crate::dice::Dice;
use crate::partition::Record;
use crate::scenario::EPOCH_MS;
use std::ops::Range;
use tailburn::model::time::{HOUR_MS, MINUTE_MS, Ms, SECOND_MS};

pub const REGIONS: [&str; 3] = ["eu", "us", "ap"];
pub const TIERS: [&str; 2] = ["free", "pro"];

/// The outage of [`Plan::plain`].
pub const OUTAGE_MS: Range<Ms> = EPOCH_MS + 20 * MINUTE_MS..EPOCH_MS + 45 * MINUTE_MS;

/// What a scenario decided about its traffic.
pub struct Plan {
    inputs: u32,
    is_keyed: bool,
    span_ms: Ms,
    records: u64,
    users: u64,
    tenants: u64,
    late_ms: Ms,
    /// A partition (or all), and the period in which nothing arrives on it.
    silences: Vec<(Option<u32>, Ms, Ms)>,
    outages: Vec<(Ms, Ms)>,
    late_one_in: u64,
    rubbish_one_in: u64,
    transactions_one_in: u64,
    /// The first record is more than a day older than the others: keys are warm for the rule `budget`, and the first
    /// release is no candidate any more.
    begins_old: bool,
    /// How many pairs of dependency and type of error events have; 0: none.
    pairs: u64,
}

/// Records that arrive on an input partition at one time.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at_ms: Ms,
    pub partition: u32,
    values: Vec<Vec<u8>>,
    /// If the producer writes them in a transaction: whether it commits it.
    transaction: Option<bool>,
    /// It is from before the traffic, see [`Plan::begins_old`].
    pub is_old: bool,
}

impl Plan {
    pub fn draw(dice: &mut Dice, inputs: u32, is_keyed: bool, span_ms: Ms) -> Plan {
        let mut spans = |count: i64, longest_ms: Ms| -> Vec<(Ms, Ms)> {
            let mut span = || {
                let from_ms = EPOCH_MS + dice.between(0, span_ms);
                (from_ms, from_ms + dice.between(longest_ms / 8, longest_ms))
            };
            (0..count).map(|_| span()).collect()
        };
        let outages = spans(2, span_ms / 6);
        let silences = spans(6, 8 * MINUTE_MS);
        let count = dice.pick(&[0, 2, 6]);
        let of = |dice: &mut Dice| (!dice.one_in(3)).then(|| dice.below(u64::from(inputs)) as u32);
        Plan {
            inputs,
            is_keyed,
            span_ms,
            records: dice.between(60, 700) as u64,
            users: dice.pick(&[3, 12, 40]),
            tenants: dice.pick(&[1, 2, 3]),
            late_ms: dice.pick(&[1, 30, 1_000]) * SECOND_MS,
            silences: silences.into_iter().take(count).map(|(from, to)| (of(dice), from, to)).collect(),
            outages,
            late_one_in: dice.pick(&[30, 5, 3]),
            rubbish_one_in: dice.pick(&[20, 100, 100_000]),
            transactions_one_in: dice.pick(&[6, 30, 100_000]),
            begins_old: false,
            pairs: 0,
        }
    }
}

impl Plan {
    /// An hour with an outage in the middle, and users on any partition; for tests that do by hand what happens.
    pub fn plain(inputs: u32) -> Plan {
        Plan {
            inputs,
            is_keyed: false,
            span_ms: HOUR_MS,
            records: 900,
            users: 40,
            tenants: 3,
            late_ms: 30 * SECOND_MS,
            silences: Vec::new(),
            outages: vec![(OUTAGE_MS.start, OUTAGE_MS.end)],
            late_one_in: 30,
            rubbish_one_in: 100,
            transactions_one_in: 100_000,
            begins_old: false,
            pairs: 0,
        }
    }

    pub fn with_signals(self, signals: &mut Dice) -> Plan {
        Plan { begins_old: signals.one_in(2), ..self }
    }

    pub fn with_failures(self, kinds: &mut Dice) -> Plan {
        Plan { pairs: kinds.pick(&[0, 3, 300, 300]), ..self }
    }
}

/// All arrivals, in order of time.
pub fn arrivals(plan: &Plan, dice: &mut Dice) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for _ in 0..plan.records {
        let at_ms = EPOCH_MS + dice.between(0, plan.span_ms);
        let partition = dice.below(u64::from(plan.inputs)) as u32;
        let count = if dice.one_in(plan.transactions_one_in) { dice.between(1, 4) } else { 0 };
        let values = (0..count.max(1)).map(|_| line(plan, at_ms, partition, dice).into_bytes()).collect();
        let transaction = (count > 0).then(|| !dice.one_in(3));
        let is_silent = |(of, from_ms, to_ms): &(Option<u32>, Ms, Ms)| {
            of.is_none_or(|of| of == partition) && (*from_ms..*to_ms).contains(&at_ms)
        };
        if !plan.silences.iter().any(is_silent) {
            arrivals.push(Arrival { at_ms, partition, values, transaction, is_old: false });
        }
    }
    arrivals.sort_by_key(|arrival| arrival.at_ms);
    if plan.begins_old {
        let old = |partition| {
            let time_ms = EPOCH_MS - 25 * HOUR_MS;
            let line = format!(
                "{{\"tenant\":\"t0\",\"user\":\"u{partition}\",\"timestamp\":{time_ms},\"status\":200,\
                 \"operation\":\"pay\",\"latency_ms\":5,\"attributes\":{{\"region\":\"eu\",\"release\":\"v1\"}}}}"
            );
            Arrival { at_ms: EPOCH_MS, partition, values: vec![line.into_bytes()], transaction: None, is_old: true }
        };
        arrivals.splice(0..0, (0..plan.inputs).map(old));
    }
    arrivals
}

fn line(plan: &Plan, at_ms: Ms, partition: u32, dice: &mut Dice) -> String {
    if dice.one_in(plan.rubbish_one_in) {
        return dice.pick(&["{\"tenant\": 7}", "no JSON", "{\"tenant\":\"t0\"}"]).to_owned();
    }
    let delay_ms = match dice.below(50) {
        // A wrong clock: a little in the future, or so far that the record is a dead letter.
        0 => -dice.between(0, 40_000),
        _ if dice.one_in(plan.late_one_in) => dice.below(plan.late_ms as u64) as Ms,
        _ => dice.between(0, 3_000),
    };
    let mut user = dice.below(plan.users);
    if plan.is_keyed {
        user = user * u64::from(plan.inputs) + u64::from(partition);
    }
    let region = REGIONS[(user % 5 % 3) as usize];
    let is_down = plan.outages.iter().any(|(from_ms, to_ms)| (*from_ms..*to_ms).contains(&at_ms));
    let is_bad = if is_down && region == "eu" { !dice.one_in(8) } else { dice.one_in(60) };
    let latency = if dice.one_in(25) { String::new() } else { format!(",\"latency_ms\":{}", dice.below(1_000)) };
    let failure = match plan.pairs {
        0 => String::new(),
        pairs => format!(
            ",\"dependency\":\"d{}\",\"error_type\":\"{}\"",
            dice.below(pairs),
            dice.pick(&["timeout", "refused"])
        ),
    };
    let name = if dice.one_in(15) { String::new() } else { format!("\"user\":\"u{user}\",") };
    let release = match user % 7 {
        6 => "",
        1 | 4 => ",\"release\":\"v2\"",
        3 if at_ms > EPOCH_MS + plan.span_ms / 2 => ",\"release\":\"v3\"",
        _ => ",\"release\":\"v1\"",
    };
    format!(
        "{{\"tenant\":\"t{}\",{name}\"timestamp\":{},\"status\":{},\"operation\":\"{}\"{latency}{failure},\
         \"attributes\":{{\"region\":\"{}\",\"tier\":\"{}\"{release}}}}}",
        user % plan.tenants,
        at_ms - delay_ms,
        if is_bad { 503 } else { 200 },
        dice.pick(&["pay", "pay", "browse"]),
        if dice.one_in(12) { "ap" } else { region },
        TIERS[usize::from(user.is_multiple_of(2))],
    )
}

/// The last event of every partition, long after the others: what was before is closed by it.
pub fn last(partition: u32, at_ms: Ms) -> Arrival {
    let line =
        format!("{{\"tenant\":\"t0\",\"timestamp\":{at_ms},\"status\":200,\"operation\":\"pay\",\"latency_ms\":5}}");
    Arrival { at_ms, partition, values: vec![line.into_bytes()], transaction: None, is_old: false }
}

impl Arrival {
    /// The same records on another partition.
    pub fn on(&self, partition: u32) -> Arrival {
        Arrival { partition, ..self.clone() }
    }

    /// Appends the records to their partition.
    pub fn append_to(&self, broker: &mut Broker) {
        let record = |value: &Vec<u8>| {
            let headers = vec![("at".to_owned(), self.at_ms.to_string().into_bytes())];
            Record { key: None, value: Some(value.clone()), headers, timestamp_ms: self.at_ms }
        };
        let place = Place::Input(self.partition);
        match self.transaction {
            Some(is_commit) => {
                broker.append_transaction(place, self.values.iter().map(record).collect(), is_commit);
            }
            None => self.values.iter().for_each(|value| broker.append(place, record(value))),
        }
    }
}
