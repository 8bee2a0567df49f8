//! One generated record and how it reads as a line of JSON.
//!
//! An event is small (indexes into the population); its text is written last and by hand, because a generator slower
//! than its consumer would only measure itself.

use super::population::Population;
use super::random::mix;
use super::traits::{Attribute, Values};
use crate::model::time::{Moment, Ms};
use std::io::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Search,
    Checkout,
    Login,
    Pay,
    /// Excluded by the example SLO; no incident touches it.
    Heartbeat,
}

impl Operation {
    pub const ALL: [Operation; 7] = [
        Operation::Read,
        Operation::Write,
        Operation::Search,
        Operation::Checkout,
        Operation::Login,
        Operation::Pay,
        Operation::Heartbeat,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Search => "search",
            Operation::Checkout => "checkout",
            Operation::Login => "login",
            Operation::Pay => "pay",
            Operation::Heartbeat => "heartbeat",
        }
    }

    pub const fn dependency(self) -> Option<&'static str> {
        match self {
            Operation::Read | Operation::Write => Some("orders-db"),
            Operation::Search => Some("search-index"),
            Operation::Checkout | Operation::Pay => Some("card-gateway"),
            Operation::Login => Some("identity"),
            Operation::Heartbeat => None,
        }
    }
}

/// The sampling weights that records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    One,
    TwoAndAHalf,
    AThird,
    /// One record for this many requests, two or more.
    Sampled(u32),
}

/// Ways in which a record is malformed; each becomes a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    CutOff,
    UnreadableTime,
    StatusIsNoNumber,
    NotAnObject,
    NoTenant,
    EmptyTenant,
    NoTimestamp,
    TimeZero,
    NegativeWeight,
    HugeWeight,
}

impl Defect {
    pub const ALL: [Defect; 10] = [
        Defect::CutOff,
        Defect::UnreadableTime,
        Defect::StatusIsNoNumber,
        Defect::NotAnObject,
        Defect::NoTenant,
        Defect::EmptyTenant,
        Defect::NoTimestamp,
        Defect::TimeZero,
        Defect::NegativeWeight,
        Defect::HugeWeight,
    ];

    /// The expected reason of the dead letter.
    pub const fn reason(self) -> &'static str {
        use crate::model::outcome::Rejection;
        match self {
            Defect::CutOff | Defect::UnreadableTime | Defect::StatusIsNoNumber | Defect::NotAnObject => {
                Rejection::NotDecodable.as_str()
            }
            Defect::NoTenant | Defect::EmptyTenant => Rejection::NoTenant.as_str(),
            Defect::NoTimestamp => Rejection::NoTimestamp.as_str(),
            Defect::TimeZero => Rejection::Before2000.as_str(),
            Defect::NegativeWeight | Defect::HugeWeight => Rejection::WeightOutOfRange.as_str(),
        }
    }
}

/// How a record is written, apart from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub rfc3339: bool,
    pub with_event_id: bool,
    pub without: Option<Attribute>,
    pub defect: Option<Defect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts records from 0; a duplicate has the number of its first copy.
    pub sequence: u64,
    /// When it is sent: records leave in this order.
    pub arrival_ms: Ms,
    /// When it happened.
    pub time_ms: Ms,
    pub partition: u32,
    /// Index into the population.
    pub user: u32,
    pub tenant: u16,
    pub anonymous: bool,
    pub operation: Operation,
    pub status: Option<u16>,
    pub error_type: Option<&'static str>,
    pub latency_us: Option<u32>,
    pub weight: Weight,
    pub values: Values,
    pub trace: Option<u64>,
    pub form: Form,
}

impl Event {
    /// Whether an SLO over `status < 500` without heartbeats counts it.
    pub fn is_classified(&self) -> bool {
        self.form.defect.is_none() && self.status.is_some() && self.operation != Operation::Heartbeat
    }

    pub fn is_error(&self) -> bool {
        self.status.is_some_and(|s| s >= 500)
    }

    /// Appends the key `tenant|user` (`tenant` if the user is missing).
    pub fn write_key(&self, population: &Population, out: &mut Vec<u8>) {
        out.extend_from_slice(population.tenants[usize::from(self.tenant)].as_bytes());
        if !self.anonymous {
            out.extend_from_slice(b"|u");
            push_number(out, u64::from(population.users[self.user as usize].number));
        }
    }

    /// Appends the record as JSON, without a line end.
    pub fn write_json(&self, population: &Population, out: &mut Vec<u8>) {
        if self.form.defect == Some(Defect::NotAnObject) {
            out.extend_from_slice(b"\"GET /health HTTP/1.1\"");
            return;
        }
        let begin = out.len();
        out.push(b'{');
        self.write_subject(population, out);
        self.write_time(out);
        self.write_result(out);
        self.write_attributes(population, out);
        self.write_rest(out);
        out.push(b'}');
        if self.form.defect == Some(Defect::CutOff) {
            out.truncate(begin + (out.len() - begin) * 2 / 3);
        }
    }

    fn write_subject(&self, population: &Population, out: &mut Vec<u8>) {
        match self.form.defect {
            Some(Defect::NoTenant) => {}
            Some(Defect::EmptyTenant) => out.extend_from_slice(b"\"tenant\":\"\","),
            _ => push_text(out, "tenant", &population.tenants[usize::from(self.tenant)]),
        }
        if !self.anonymous {
            out.extend_from_slice(b"\"user\":\"u");
            push_number(out, u64::from(population.users[self.user as usize].number));
            out.extend_from_slice(b"\",");
        }
        if self.form.with_event_id {
            out.extend_from_slice(b"\"event_id\":\"e");
            push_number(out, self.sequence);
            out.extend_from_slice(b"\",");
        }
    }

    fn write_time(&self, out: &mut Vec<u8>) {
        match self.form.defect {
            Some(Defect::NoTimestamp) => {}
            Some(Defect::UnreadableTime) => out.extend_from_slice(b"\"timestamp\":\"yesterday\","),
            Some(Defect::TimeZero) => out.extend_from_slice(b"\"timestamp\":0,"),
            _ if self.form.rfc3339 => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "\"timestamp\":\"{}\",", Moment(self.time_ms));
            }
            _ => {
                out.extend_from_slice(b"\"timestamp\":");
                if self.time_ms < 0 {
                    out.push(b'-');
                }
                push_number(out, self.time_ms.unsigned_abs());
                out.push(b',');
            }
        }
    }

    fn write_result(&self, out: &mut Vec<u8>) {
        push_text(out, "operation", self.operation.as_str());
        if self.form.defect == Some(Defect::StatusIsNoNumber) {
            out.extend_from_slice(b"\"status\":\"teapot\",");
        } else if let Some(status) = self.status {
            out.extend_from_slice(b"\"status\":");
            push_number(out, u64::from(status));
            out.push(b',');
        }
        if let Some(latency_us) = self.latency_us {
            out.extend_from_slice(b"\"latency_ms\":");
            push_thousandths(out, u64::from(latency_us));
            out.push(b',');
        }
        if let Some(dependency) = self.operation.dependency() {
            push_text(out, "dependency", dependency);
        }
        if let Some(error_type) = self.error_type {
            push_text(out, "error_type", error_type);
        }
        if let Some(trace) = self.trace {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\"trace_id\":\"{trace:016x}{:016x}\",", mix(trace));
        }
    }

    fn write_attributes(&self, population: &Population, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"attributes\":{");
        for attribute in Attribute::ALL {
            if self.form.without != Some(attribute) {
                let value = self.values[attribute as usize];
                push_text(out, attribute.name(), population.vocabulary.text(attribute, value));
            }
        }
        // At most one of five attributes is left out, so there is always a last comma to remove.
        out.pop();
        out.push(b'}');
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        let weight: &[u8] = match (self.form.defect, self.weight) {
            (Some(Defect::NegativeWeight), _) => b",\"weight\":-1",
            (Some(Defect::HugeWeight), _) => b",\"weight\":1e9",
            (_, Weight::One) => b"",
            (_, Weight::TwoAndAHalf) => b",\"weight\":2.5",
            (_, Weight::AThird) => b",\"weight\":0.333333",
            (_, Weight::Sampled(requests)) => {
                out.extend_from_slice(b",\"weight\":");
                push_number(out, u64::from(requests));
                return;
            }
        };
        out.extend_from_slice(weight);
    }
}

/// Names and values are the generator's own: none needs escaping.
fn push_text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\",");
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// 15567 is written as 15.567; trailing zeros do not matter in a double.
fn push_thousandths(out: &mut Vec<u8>, thousandths: u64) {
    push_number(out, thousandths / 1_000);
    let rest = thousandths % 1_000;
    out.extend_from_slice(&[b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8]);
}
