//! One history, played to the model and to a broker at the same time.

use crate::broker::{Broker, Denied, Place};
use crate::dice::Dice;
use crate::group::{MemberId, Offset};
use crate::partition::{Partition, Record};
use crate::real::{Handle, PARTITIONS, Real, View};
use rdkafka::consumer::ConsumerGroupMetadata;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use tailburn::log::{NextOffset, Stream};
use tailburn::model::record::Topic;

const PRODUCERS: [&str; 3] = ["p0", "p1", "p2"];
/// The longest time that a broker may take to write the markers of a transaction.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
/// The transaction timeout of producers whose transaction must time out, and of all others.
const IMPATIENT_MS: u32 = 1_000;
const PATIENT_MS: u32 = 600_000;

/// How often each situation occurred, by name.
#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, u64>);

const TO_BE_SEEN: [&str; 14] = [
    "ids taken",
    "open transactions of predecessors",
    "records sent",
    "records of foreign producers",
    "offsets sent",
    "stale members",
    "stale generations",
    "fenced producers",
    "commits",
    "aborts",
    "transactions timed out",
    "records deleted",
    "unstable offsets",
    "looks",
];

impl Seen {
    fn count(&mut self, what: &'static str) {
        assert!(TO_BE_SEEN.contains(&what));
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Seen) {
        other.0.iter().for_each(|(what, count)| *self.0.entry(what).or_default() += count);
    }

    pub fn unseen(&self) -> impl Iterator<Item = &'static str> {
        TO_BE_SEEN.into_iter().filter(|what| !self.0.contains_key(what))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// A present or former holder of a transactional id, in the model and at the broker.
struct Holder {
    name: &'static str,
    epoch: u32,
    real: Handle,
}

/// A member's identity in one generation of the group.
struct Credential {
    member: MemberId,
    real: ConsumerGroupMetadata,
    /// Members joined or left since then.
    is_of_old_generation: bool,
}

pub struct History {
    dice: Dice,
    model: Broker,
    real: Real,
    holders: Vec<Holder>,
    credentials: Vec<Credential>,
    written: u64,
    steps: Vec<String>,
    seen: Seen,
}

fn record(value: &str) -> Record {
    Record { key: None, value: Some(value.into()), headers: Vec::new(), timestamp_ms: 0 }
}

fn places() -> impl Iterator<Item = Place> {
    let of = |partition| [Place::Input(partition), Place::Output(Topic::SloStatus, partition)];
    (0..PARTITIONS).flat_map(of)
}

impl History {
    pub fn play(seed: u64, length: usize, bootstrap: &str) -> Seen {
        let partitions = places().map(|place| (place, Partition::default())).collect();
        let mut history = History {
            dice: Dice::new(seed, "history"),
            model: Broker::new(partitions, (0..PARTITIONS).map(Stream::Input).collect()),
            real: Real::new(bootstrap, seed),
            holders: Vec::new(),
            credentials: Vec::new(),
            written: 0,
            steps: Vec::new(),
            seen: Seen::default(),
        };
        history.add_member();
        PRODUCERS.iter().for_each(|name| history.init(name));
        for _ in 0..length {
            history.step();
        }
        history.look();
        history.seen
    }

    /// Notes an operation, to be printed with a difference.
    fn note(&mut self, what: String) {
        self.steps.push(what);
    }

    fn differs(&self, what: &str) -> ! {
        panic!("{what}\nafter:\n  {}", self.steps.join("\n  "))
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=6 => {
                let name = self.dice.pick(&PRODUCERS);
                self.init(name);
            }
            7..=41 => self.send(),
            42..=49 => self.append(),
            50..=61 => self.send_offsets(),
            62..=76 => self.end(true),
            77..=83 => self.end(false),
            84..=87 => self.delete(),
            88..=91 => self.change_members(),
            92 => self.time_out(),
            _ => self.look(),
        }
    }

    fn value(&mut self) -> String {
        self.written += 1;
        format!("v{}", self.written)
    }

    fn place(&mut self) -> Place {
        let all: Vec<Place> = places().collect();
        self.dice.pick(&all)
    }

    fn init(&mut self, name: &'static str) {
        let is_open = self
            .holders
            .iter()
            .any(|h| self.model.epoch(name) == Some(h.epoch) && h.name == name && h.real.has_begun());
        self.init_with(name, false);
        self.seen.count("ids taken");
        if is_open {
            self.seen.count("open transactions of predecessors");
        }
    }

    fn init_with(&mut self, name: &'static str, is_impatient: bool) {
        self.note(format!("a producer takes {name}"));
        let epoch = self.model.init(name);
        let real = self.real.init(name, if is_impatient { IMPATIENT_MS } else { PATIENT_MS });
        self.holders.push(Holder { name, epoch, real });
        self.markers_are_written();
    }

    /// Usually the present holder of an id, sometimes a former one.
    fn holder(&mut self) -> usize {
        let name = self.dice.pick(&PRODUCERS);
        let of: Vec<usize> = (0..self.holders.len()).filter(|i| self.holders[*i].name == name).collect();
        if self.dice.one_in(8) { self.dice.pick(&of) } else { of[of.len() - 1] }
    }

    fn same(&mut self, what: String, model: Result<(), Denied>, real: Result<(), Denied>) -> Result<(), Denied> {
        self.note(format!("{what}: {model:?}"));
        if model != real {
            self.differs(&format!("{what}: the model says {model:?}, the broker {real:?}"));
        }
        if model == Err(Denied::Fenced) {
            self.seen.count("fenced producers");
        }
        model
    }

    fn send(&mut self) {
        let (at, place) = (self.holder(), self.place());
        if self.send_of(at, place).is_ok() {
            self.seen.count("records sent");
        }
    }

    fn send_of(&mut self, at: usize, place: Place) -> Result<(), Denied> {
        let (name, epoch, value) = (self.holders[at].name, self.holders[at].epoch, self.value());
        let model = self.model.send(name, epoch, place, record(&value));
        let real = self.real.send(&mut self.holders[at].real, place, &value);
        self.same(format!("{name} of epoch {epoch} sends {value} to {place:?}"), model, real)
    }

    fn append(&mut self) {
        let (place, value) = (self.place(), self.value());
        self.note(format!("a foreign producer appends {value} to {place:?}"));
        self.model.append(place, record(&value));
        self.real.append(place, &value);
        self.seen.count("records of foreign producers");
    }

    /// Usually of a member in the present generation; otherwise of an old generation, or of a member that has left.
    fn credential(&mut self) -> usize {
        let is_there = |c: &Credential| self.real.members.contains_key(&c.member);
        let of = |is_wanted: &dyn Fn(&Credential) -> bool| -> Vec<usize> {
            (0..self.credentials.len()).filter(|i| is_wanted(&self.credentials[*i])).collect()
        };
        let wanted = match self.dice.below(5) {
            0 => of(&|c| !is_there(c)),
            1 => of(&|c| c.is_of_old_generation && is_there(c)),
            _ => of(&|c| !c.is_of_old_generation),
        };
        if wanted.is_empty() { self.credentials.len() - 1 } else { self.dice.pick(&wanted) }
    }

    fn send_offsets(&mut self) {
        let at = self.holder();
        let (name, epoch) = (self.holders[at].name, self.holders[at].epoch);
        let pick = self.credential();
        let (member, is_old) = (self.credentials[pick].member, self.credentials[pick].is_of_old_generation);
        let is_there = self.real.members.contains_key(&member);
        let partitions: Vec<u32> = (0..PARTITIONS).filter(|_| self.dice.one_in(2)).collect();
        let partitions = if partitions.is_empty() { vec![0] } else { partitions };
        let offsets: Vec<Offset> = partitions
            .into_iter()
            .map(|partition| {
                let next = self.dice.between(0, 50);
                (Stream::Input(partition), NextOffset(next), format!("note {next}"))
            })
            .collect();
        if is_old {
            self.model.group.fall_behind(1);
        }
        let model = self.model.send_offsets(name, epoch, member, &offsets);
        self.real.members.keys().for_each(|member| self.model.group.catch_up(*member));
        let real = self.real.send_offsets(&mut self.holders[at].real, &self.credentials[pick].real, &offsets);
        let what =
            format!("{name} of epoch {epoch} sends {offsets:?} of member {member} (of an old generation: {is_old})");
        match self.same(what, model, real) {
            Ok(()) => self.seen.count("offsets sent"),
            Err(Denied::Stale) => {
                self.seen.count(if is_there { "stale generations" } else { "stale members" });
                // Such a transaction can only be aborted.
                self.end_of(at, false);
            }
            Err(Denied::Fenced) => {}
        }
    }

    fn end(&mut self, is_commit: bool) {
        let at = self.holder();
        // The client library refuses to end a transaction that was not begun.
        if self.holders[at].real.has_begun() {
            self.end_of(at, is_commit);
        }
    }

    fn end_of(&mut self, at: usize, is_commit: bool) {
        let (name, epoch) = (self.holders[at].name, self.holders[at].epoch);
        let model = self.model.end(name, epoch, is_commit, 0);
        let real = self.holders[at].real.end(is_commit);
        let word = if is_commit { "commits" } else { "aborts" };
        if self.same(format!("{name} of epoch {epoch} {word}"), model, real).is_ok() {
            self.seen.count(word);
            self.markers_are_written();
        }
    }

    /// Deletes stable records only. A broker would also delete unstable ones, but the model keeps them.
    fn delete(&mut self) {
        let place = self.place();
        let partition = self.model.partition(place);
        let (start, end) = (partition.start(), partition.stable_end());
        let offset = self.dice.between(start, end);
        self.settled();
        self.note(format!("records of {place:?} before {offset} are deleted"));
        self.model.delete_before(place, offset, 0);
        self.real.delete_before(place, offset);
        self.seen.count("records deleted");
    }

    fn add_member(&mut self) {
        let member = self.model.group.join(0);
        self.note(format!("member {member} joins"));
        self.real.join(member);
        self.regroup();
    }

    fn change_members(&mut self) {
        let all: Vec<MemberId> = self.real.members.keys().copied().collect();
        if all.len() > 1 || all.len() == 1 && self.dice.one_in(3) {
            let member = self.dice.pick(&all);
            self.note(format!("member {member} leaves"));
            self.model.group.expel(member);
            self.real.leave(member);
            self.regroup();
        }
        if self.real.members.len() < 2 {
            self.add_member();
        }
    }

    /// Takes the broker's new generation and assignment into the model.
    fn regroup(&mut self) {
        self.credentials.iter_mut().for_each(|credential| credential.is_of_old_generation = true);
        for (member, owned) in self.real.owned() {
            let all: Vec<Stream> = (0..PARTITIONS).map(Stream::Input).collect();
            self.model.group.release(member, &all);
            self.model.group.take(member, &owned);
            let real = self.real.metadata(member);
            self.credentials.push(Credential { member, real, is_of_old_generation: false });
        }
    }

    /// A transaction stays open until it times out.
    fn time_out(&mut self) {
        let (name, place) = (self.dice.pick(&PRODUCERS), self.place());
        self.init_with(name, true);
        if self.send_of(self.holders.len() - 1, place).is_err() {
            return;
        }
        self.note(format!("the transaction of {name} times out"));
        self.model.time_out(name);
        self.settled();
        self.seen.count("transactions timed out");
        if self.dice.one_in(2) {
            self.init(name);
        }
    }

    fn view(&self, place: Place) -> View {
        let partition = self.model.partition(place);
        let records = partition.read(partition.start(), usize::MAX).0.into_iter();
        let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        View {
            start: partition.start(),
            stable_end: partition.stable_end(),
            end: partition.end(),
            records: records.map(|(offset, record)| (offset, text(&record))).collect(),
        }
    }

    /// Waits until a value of the broker equals that of the model.
    fn until_same<T: PartialEq + fmt::Debug>(&self, what: &str, model: &T, real: impl Fn(&Real) -> T) {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let real = real(&self.real);
            if real == *model {
                return;
            }
            if Instant::now() > deadline {
                self.differs(&format!("{what}: the model shows {model:?}, the broker {real:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the markers of a transaction. A broker answers before it has written them, so a record sent at once may
    /// come before them. The model does not cover that.
    fn markers_are_written(&self) {
        for place in places() {
            let end = self.model.partition(place).end();
            self.until_same(&format!("the end of {place:?}"), &end, |real| real.end(place));
        }
    }

    fn settled(&self) {
        for place in places() {
            self.until_same(&format!("{place:?}"), &self.view(place), |real| real.view(place));
        }
    }

    /// Checks that all visible records and committed offsets are equal.
    fn look(&mut self) {
        self.settled();
        for partition in 0..PARTITIONS {
            let stream = Stream::Input(partition);
            let is_stable = self.model.is_stable(&[stream]);
            let committed = self.model.group.committed(stream).map(|c| (c.next.0, c.metadata.clone()));
            let model = is_stable.then_some(committed);
            self.until_same(&format!("committed of {stream:?}"), &model, |real| real.committed_of(partition));
            if !is_stable {
                self.seen.count("unstable offsets");
            }
        }
        self.seen.count("looks");
    }
}
