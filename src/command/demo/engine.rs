//! The demo's worker: the same pipeline as in `run`, on the embedded log.

use super::shared::Shared;
use crate::codec::output::OutputFormat;
use crate::command::observe::Published;
use crate::command::{Failure, assemble, decoder};
use crate::config::{InputFormat, Settings};
use crate::log::embedded::{EmbeddedLog, Nowhere, QueueSource, Source};
use crate::model::record::RecordOut;
use crate::model::slo::Slo;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::route::{DeadLetterForm, Route, SourceName};
use crate::worker::Observer;
use crate::worker::direct::DirectWorker;
use std::sync::Arc;
use std::time::Duration;

/// How long a turn waits for traffic.
const WAIT: Duration = Duration::from_millis(20);

/// Processes the partitions' records until they are closed.
pub fn process(slos: Vec<Slo>, sources: Vec<QueueSource>, shared: &Shared) -> Result<(), Failure> {
    let settings = Settings::default();
    let slos = Arc::new(slos);
    let inputs = sources.len() as u32;
    let tasks = assemble::tasks(&settings, &slos, inputs, UserIds::Plain, OutputFormat::Json)?;
    let decoder = decoder::of_files(&settings, InputFormat::Json, &[])?;
    let names = (0..inputs).map(|partition| SourceName { topic: "demo".to_owned(), partition }).collect();
    let sources = sources.into_iter().map(|s| -> Box<dyn Source> { Box::new(s) }).collect();
    let log = EmbeddedLog::new(sources, settings.partitions.rollup, Nowhere);
    let route = Route::new(decoder, names, DeadLetterForm::Line);
    let mut worker = DirectWorker::new(log, route, tasks.users, tasks.rollups, inputs);
    let published = Published::to_board(Arc::clone(&shared.board))?;
    let mut watcher = Watcher { shared, published };
    loop {
        let turn = worker.poll(WAIT).map_err(anyhow::Error::from)?;
        worker.commit(&mut watcher).map_err(anyhow::Error::from)?;
        if turn.records > 0 {
            let figures = worker.figures();
            watcher.published.tell(&figures, None);
            shared.told().figures = Some(figures);
            shared.ledger().progress(&worker.users, &worker.route.stats.dead_letter_counts());
        }
        if turn.is_finished && turn.records == 0 {
            return Ok(());
        }
    }
}

/// Records what was published, for the API, the metrics and the screen.
struct Watcher<'a> {
    shared: &'a Shared,
    published: Published,
}

impl Observer for Watcher<'_> {
    fn committed(&mut self, records: &[RecordOut]) {
        self.published.committed(records);
        let mut ledger = self.shared.ledger();
        records.iter().for_each(|record| ledger.take(record));
    }
}
