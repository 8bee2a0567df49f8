//! A backtest of recorded outcomes that writes no file: who runs it observes what is published.

use super::backtest::source_name;
use super::files::FileSource;
use super::{Failure, assemble};
use crate::codec::Decoder;
use crate::codec::files::InputFile;
use crate::codec::output::OutputFormat;
use crate::config::Settings;
use crate::log::embedded::{EmbeddedLog, Nowhere, Source};
use crate::model::slo::Slo;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::route::{DeadLetterForm, Route};
use crate::worker::direct::DirectWorker;
use std::path::PathBuf;
use std::sync::Arc;

/// The pipeline over files that were opened, each a partition.
pub fn worker(
    settings: &Settings,
    slos: &Arc<Vec<Slo>>,
    inputs: &[PathBuf],
    files: Vec<InputFile>,
    decoder: Decoder,
) -> Result<DirectWorker<EmbeddedLog<Nowhere>>, Failure> {
    let count = inputs.len() as u32;
    let tasks = assemble::tasks(settings, slos, count, UserIds::Plain, OutputFormat::Json)?;
    let source = |(i, file)| -> Box<dyn Source> { Box::new(FileSource::new(file, i)) };
    let sources = (0..).zip(files).map(source).collect();
    let names = (0..).zip(inputs).map(|(i, path)| source_name(path, i)).collect();
    let log = EmbeddedLog::new(sources, settings.partitions.rollup, Nowhere);
    let route = Route::new(decoder, names, DeadLetterForm::Line);
    Ok(DirectWorker::new(log, route, tasks.users, tasks.rollups, count))
}
