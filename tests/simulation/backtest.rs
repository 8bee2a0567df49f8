//! A second reference: a worker over the embedded log, driven as `tailburn backtest` does. If no decision depended on
//! the wall clock, its output must be a prefix of the published records.

use crate::broker::{Broker, Place};
use crate::compare::{apart, text};
use crate::log::hand_over;
use crate::partition::Batch;
use crate::reference::{self, published};
use crate::scenario::Scenario;
use std::sync::Arc;
use std::time::Duration;
use tailburn::log::embedded::{EmbeddedLog, Sink, Source, SourceState};
use tailburn::log::{LogError, Stream};
use tailburn::model::record::{RecordIn, RecordOut, Topic};
use tailburn::model::slo::Slo;
use tailburn::pipeline::rollup::rollup_tasks;
use tailburn::worker::direct::DirectWorker;
use tailburn::worker::{Nobody, WorkerError};

/// An input partition, read to its end.
struct Recorded {
    partition: u32,
    batch: Batch,
    read: usize,
}

impl Source for Recorded {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        let end = self.batch.len().min(self.read + max);
        let stream = Stream::Input(self.partition);
        hand_over(stream, &self.batch[self.read..end], &mut |_, record| each(record));
        self.read = end;
        Ok(if end == self.batch.len() { SourceState::Finished } else { SourceState::More })
    }
}

#[derive(Default)]
struct Collected(Vec<RecordOut>);

impl Sink for Collected {
    fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError> {
        self.0.extend(records);
        Ok(())
    }
}

pub fn is_a_prefix(scenario: &Scenario, broker: &Broker) -> Result<(), String> {
    let published = published(backtest(scenario, &scenario.slos, broker).map_err(|error| error.to_string())?);
    // At its last T a backtest publishes a status of every key; a live run does not know that it is the last.
    let statuses = published.iter().filter(|(place, _)| matches!(place, Place::Output(Topic::SloStatus, _)));
    let last_ms = statuses.flat_map(|(_, records)| records).map(|record| record.timestamp_ms).max();
    for (place, mut written) in published {
        let mut live = broker.partition(place).ever();
        if matches!(place, Place::Output(Topic::SloStatus, _)) {
            written.retain(|record| Some(record.timestamp_ms) != last_ms);
            live.retain(|(_, record)| Some(record.timestamp_ms) != last_ms);
        }
        let same = live.iter().zip(&written).take_while(|((_, live), written)| **live == **written).count();
        if same < written.len() {
            let live = live.get(same).map_or_else(|| "nothing".to_owned(), |(_, live)| text(live));
            return Err(format!(
                "{place:?}: record {same} of {} differs from a backtest\n{}",
                written.len(),
                apart(&live, &text(&written[same]))
            ));
        }
    }
    Ok(())
}

/// The output of a backtest over all input, with the given definitions.
pub fn backtest(scenario: &Scenario, slos: &Arc<Vec<Slo>>, broker: &Broker) -> Result<Vec<RecordOut>, WorkerError> {
    let source = |partition| -> Box<dyn Source> {
        let batch = broker.partition(Place::Input(partition)).ever();
        Box::new(Recorded { partition, batch, read: 0 })
    };
    let sources = (0..scenario.inputs).map(source).collect();
    let log = EmbeddedLog::new(sources, scenario.rollups, Collected::default());
    let users = reference::users_task(scenario, slos, scenario.inputs as usize);
    let rollups = rollup_tasks(slos, scenario.rollups, &reference::rollup_settings());
    let mut worker = DirectWorker::new(log, reference::route(scenario), users, rollups, scenario.inputs);
    loop {
        let turn = worker.poll(Duration::ZERO)?;
        worker.commit(&mut Nobody)?;
        if turn.is_finished && turn.records == 0 {
            return Ok(worker.log.into_sink().0);
        }
    }
}
