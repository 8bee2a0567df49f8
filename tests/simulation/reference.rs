//! What should have been published: the same log, and the decisions that were committed with it,
//! through the core alone. No worker, no store, no transaction, and all boundaries closed at once
//! after everything was read.
//!
//! That a partition was passed over is decided by the wall clock, so such a run cannot be held
//! against a backtest. But each decision that a record met is committed with its offset; given the
//! decisions the result is a function of the log again, and compared byte for byte. Whether a
//! decision was right is asked apart ([`Reference::decided_wrongly`]).

use crate::broker::{Broker, Place};
use crate::log::hand_over;
use crate::partition::{Batch, Record};
use crate::scenario::Scenario;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tailburn::codec::output::{Encoder, OutputFormat};
use tailburn::codec::{Decoder, InputSettings, MAX_FUTURE_SKEW_MS};
use tailburn::log::Stream;
use tailburn::model::record::RecordOut;
use tailburn::model::time::{MINUTE_MS, Ms};
use tailburn::operator::partial::Partial;
use tailburn::pipeline::pseudonym::UserIds;
use tailburn::pipeline::rollup::{RollupSettings, RollupTask, rollup_tasks};
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;

/// The note beside a committed offset.
#[derive(Clone, Debug, Deserialize)]
pub struct Memo {
    pub start: i64,
    pub closed_ms: Option<Ms>,
    /// From which record on a source was raised, and how far.
    #[serde(default)]
    raised: Vec<(i64, Ms)>,
}

impl Memo {
    pub fn parse(text: &str) -> Option<Memo> {
        serde_json::from_str(text).ok()
    }
}

/// The tasks of a scenario.
pub struct Tasks {
    pub route: Route,
    pub users: UsersTask,
    pub rollups: Vec<RollupTask>,
}

pub fn tasks(scenario: &Scenario) -> Tasks {
    let settings = InputSettings { max_future_skew_ms: Some(MAX_FUTURE_SKEW_MS), ..InputSettings::default() };
    let decoder = Decoder::new(settings).expect("the default settings make a decoder");
    let name = |partition| SourceName { topic: "outcomes".to_owned(), partition };
    let form = DeadLetterForm::Record { partitions: scenario.inputs };
    let route = Route::new(decoder, (0..scenario.inputs).map(name).collect(), form);
    let users = UsersSettings {
        out_of_orderness_ms: crate::scenario::OUT_OF_ORDERNESS_MS,
        groups_max: scenario.groups_max,
        rollup_partitions: scenario.rollups,
    };
    let rollup = RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: MINUTE_MS,
        tenant_status_interval_ms: 5 * MINUTE_MS,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("the schemas are right")),
    };
    Tasks {
        route,
        users: UsersTask::new(Arc::clone(&scenario.slos), scenario.inputs as usize, users),
        rollups: rollup_tasks(&scenario.slos, scenario.rollups, &rollup),
    }
}

/// Records by the partition that they leave on, in order.
pub type Published = BTreeMap<Place, Vec<Record>>;

pub fn published(records: Vec<RecordOut>) -> Published {
    let mut published = Published::new();
    for RecordOut { topic, partition, key, value, headers, timestamp_ms } in records {
        let record = Record { key, value, headers, timestamp_ms };
        published.entry(Place::Output(topic, partition)).or_default().push(record);
    }
    published
}

pub struct Reference {
    pub published: Published,
    /// Decisions that moved a watermark, though their partition had not been silent for so long.
    pub decided_wrongly: Vec<String>,
    /// Decisions that moved a watermark at all: without any, a backtest says the same.
    pub decided: usize,
}

impl Reference {
    /// Reads everything that the brokers have, and closes every boundary up to `to_ms`.
    pub fn of(scenario: &Scenario, broker: &Broker, to_ms: Option<Ms>) -> Reference {
        let Tasks { mut route, mut users, mut rollups } = tasks(scenario);
        let mut reference = Reference { published: Published::new(), decided_wrongly: Vec::new(), decided: 0 };
        let mut out = Vec::new();
        for source in 0..scenario.inputs {
            let batch = broker.partition(Place::Input(source)).visible();
            let mut decisions = decisions(broker, source);
            reference.judge(scenario, source, &batch, &decisions);
            hand_over(Stream::Input(source), &batch, &mut |_, record| {
                while let Some((_, raised_ms)) = decisions.first().copied().filter(|(at, _)| *at <= record.offset) {
                    users.raise_source(source, raised_ms);
                    decisions.pop_first();
                }
                out.extend(route.apply(source, record, &mut users));
            });
        }
        if let Some(to_ms) = to_ms {
            let mut partials = vec![Partial::default(); rollups.len()];
            users.close_until(to_ms, &mut partials, &MemoryStore::default()).expect("no row is in a store");
            for (rollup, partial) in rollups.iter_mut().zip(partials) {
                rollup.apply(0, partial);
                rollup.advance(&mut out).expect("records are encoded");
            }
        }
        reference.published = published(out);
        reference
    }

    /// A partition is passed over only where nothing came for `input.idle_timeout`.
    fn judge(&mut self, scenario: &Scenario, source: u32, batch: &Batch, decisions: &BTreeSet<(i64, Ms)>) {
        if decisions.is_empty() {
            return;
        }
        let Tasks { mut route, mut users, .. } = tasks(scenario);
        let (mut raised_ms, mut before_ms) = (Ms::MIN, Ms::MIN);
        for single in batch.chunks(1) {
            let (offset, record) = &single[0];
            let read_ms = users.watermark(source).at_ms(crate::scenario::OUT_OF_ORDERNESS_MS);
            let last_ms = decisions.iter().filter(|(at, _)| at <= offset).map(|(_, ms)| *ms).max().unwrap_or(Ms::MIN);
            if last_ms > raised_ms && read_ms.is_none_or(|read_ms| last_ms > read_ms) {
                self.decided += 1;
                let silence_ms = record.timestamp_ms.saturating_sub(before_ms.max(scenario.begin_ms));
                if silence_ms < scenario.idle_ms {
                    self.decided_wrongly.push(format!(
                        "input {source}: the record at {offset} met {last_ms} instead of {read_ms:?} after {silence_ms} ms"
                    ));
                }
            }
            raised_ms = raised_ms.max(last_ms);
            before_ms = record.timestamp_ms;
            hand_over(Stream::Input(source), single, &mut |_, record| {
                route.apply(source, record, &mut users);
            });
        }
    }
}

/// Every decision about a source that was ever committed.
fn decisions(broker: &Broker, source: u32) -> BTreeSet<(i64, Ms)> {
    let of_source = broker.group.history.iter().filter(|(stream, ..)| *stream == Stream::Input(source));
    of_source.filter_map(|(.., metadata)| Memo::parse(metadata)).flat_map(|memo| memo.raised).collect()
}
