//! `serve`: the API over what was published, from the output topics or from the files of a backtest.

use super::applied::Store;
use super::defined::defined;
use super::listen::Listeners;
use super::observe::metrics_text;
use super::records::each;
use super::signals::Signals;
use super::{Exit, Failure, Global, Outcome, Printer, assemble};
use crate::board::{Board, Phase, Reading, Update};
use crate::config::{self, Http, Settings};
use crate::http::Endpoints;
use crate::model::record::Topic;
use crate::pipeline::pseudonym::UserIds;
use crate::telemetry::{self, Inputs};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Updates that are published at once.
const BATCH: usize = 4_096;
/// How often it looks whether it shall stop.
const LOOK: Duration = Duration::from_millis(50);

/// Show what was published: the API, from the output topics or from the files of a backtest
///
/// Reads status, history, alerts, cohorts, canaries, worst users and dead letters, and answers on http.listen like every
/// instance of `run` does. It reads no input, evaluates nothing, joins no consumer group and publishes nothing, so that
/// any number of them may run beside `run`, also where `run` is not reachable. (Hourly points that find no room in memory
/// are kept below state.dir while it runs.) /readyz answers 200 once everything that was published before the start is
/// read.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn serve --config /etc/tailburn/tailburn.yaml
  tailburn serve --listen 127.0.0.1:8721
  tailburn backtest --slos slos --input past.jsonl --out result && tailburn serve --from result --slos slos
  curl -s 'http://127.0.0.1:8720/api/v1/overview'

Exit codes: 0 stopped by a signal, 1 the topics or files cannot be read, 2 wrong usage, 78 the configuration or an SLO \
has an error.")]
pub struct ServeArgs {
    /// Show the files of `tailburn backtest --out DIR` instead of topics
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,

    /// The SLOs whose documents are shown (owner, why, rules); may be repeated. Without it, the `slos` of the
    /// configuration, if they are there
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// The address to answer on, instead of http.listen; port 0 is any free port
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

pub fn run(global: &Global, args: &ServeArgs) -> Outcome {
    let settings = global.load()?.settings;
    let Some(listen) = args.listen.as_ref().or(settings.http.listen.as_ref()) else {
        return Err(Failure::Usage("http.listen is null: name an address with --listen, as in 127.0.0.1:8720".into()));
    };
    let board = Arc::new(Board::default());
    let paths = if args.slos.is_empty() { &settings.slos } else { &args.slos };
    if !args.slos.is_empty() || !is_default_and_absent(paths) {
        board.define(defined(&assemble::definitions_of(&settings, paths)?.slos));
    }
    board.name_tenants(assemble::tenants_of(&settings)?);
    let user_ids = user_ids(&settings, args.from.is_some())?;
    let signals = Signals::install()?;
    if settings.definitions.file.is_some() {
        show_changes(&settings, &board);
    }
    match &args.from {
        Some(dir) => {
            let read = read(dir, &board)?;
            board.set_reading(Reading::CaughtUp);
            board.set_phase(Phase::Live);
            let server = answer(&settings.http, listen, &board, user_ids, format!("the files in {}", dir.display()))?;
            say(&server, &format!("{read} records of {}", dir.display()))?;
            wait(&signals, || {});
            server.shutdown();
        }
        None => from_topics(&settings, listen, &board, user_ids, &signals)?,
    }
    Ok(Exit::Done.into())
}

/// Shows what was applied of the SLOs. Without it everything else is shown.
fn show_changes(settings: &Settings, board: &Board) {
    match Store::of(settings).ledger() {
        Ok(ledger) => ledger.show(board),
        Err(failure) => tracing::warn!("the changes of SLOs are not shown: {failure}"),
    }
}

/// Shows all records of a directory; returns their number.
fn read(dir: &Path, board: &Board) -> Result<u64, Failure> {
    let mut batch = Vec::new();
    let read = each(dir, &Topic::OUTPUTS, &mut |topic, key, json| {
        batch.extend(Update::of(topic, key.to_owned(), Some(json.to_vec())));
        if batch.len() >= BATCH {
            board.publish(batch.drain(..));
        }
        Ok(())
    })?;
    board.publish(batch);
    Ok(read)
}

fn is_default_and_absent(paths: &[PathBuf]) -> bool {
    matches!(paths, [only] if only.as_path() == Path::new("slos") && !only.exists())
}

/// As the records have them: a raw id that is asked for is published the same way. Without the key nobody can be looked
/// up by a raw id, and everything else works.
fn user_ids(settings: &Settings, is_from_files: bool) -> Result<Option<UserIds>, Failure> {
    let default = if is_from_files { config::UserIds::Plain } else { config::UserIds::Hmac };
    let is_hmac = settings.privacy.user_ids.unwrap_or(default) == config::UserIds::Hmac;
    if is_hmac && !settings.privacy.key_file.exists() {
        return Ok(None);
    }
    assemble::user_ids(settings, default).map(Some)
}

fn answer(
    http: &Http,
    listen: &str,
    board: &Arc<Board>,
    user_ids: Option<UserIds>,
    source: String,
) -> Result<Listeners, Failure> {
    let metrics = telemetry::install_metrics().map_err(anyhow::Error::from)?;
    let shown = Arc::clone(board);
    // Each figure of an SLO is in the metrics of the instance that evaluates it; here it would count twice.
    let text = move || metrics_text(&metrics, &shown, &Inputs::default(), |_| false);
    let endpoints = Endpoints::new(Arc::clone(board), text)
        .with_processor(move || json!({"role": "serve", "source": source, "partitions": [], "held_back_by": null}))
        .with_user_ids(move |tenant, user| user_ids.as_ref().map_or_else(String::new, |ids| ids.publish(tenant, user)));
    Listeners::start(http, listen, endpoints)
}

fn say(server: &Listeners, what: &str) -> Result<(), Failure> {
    Ok(Printer::stdout().line(&format!("http://{}/ shows {what}", server.api.address()))?)
}

/// Until a signal.
fn wait(signals: &Signals, mut each: impl FnMut()) {
    while !signals.is_told_to_stop() {
        each();
        #[expect(clippy::disallowed_methods, reason = "it waits for a signal; no figure depends on it")]
        std::thread::sleep(LOOK);
    }
}

#[cfg(feature = "kafka")]
fn from_topics(
    settings: &Settings,
    listen: &str,
    board: &Arc<Board>,
    user_ids: Option<UserIds>,
    signals: &Signals,
) -> Result<(), Failure> {
    use super::follow::Following;
    use super::history_store;
    let kafka = super::topics::kafka_settings(settings);
    if let Some(store) = history_store::open(settings, history_store::Of::Serve) {
        board.save_history_in(store);
    }
    let following = Following::start(kafka, assemble::output_format(settings), Arc::clone(board))?;
    if settings.definitions.file.is_none() {
        show_changes(settings, board);
    }
    let source = format!("the topics {}*", settings.output.prefix);
    let server = answer(&settings.http, listen, board, user_ids, source.clone())?;
    say(&server, &source)?;
    wait(signals, || match board.reading() {
        Reading::CaughtUp if board.phase() == Phase::Starting => board.set_phase(Phase::Live),
        _ => {}
    });
    board.set_phase(Phase::Stopping);
    server.shutdown();
    following.stop();
    Ok(())
}

#[cfg(not(feature = "kafka"))]
fn from_topics(_: &Settings, _: &str, _: &Arc<Board>, _: Option<UserIds>, _: &Signals) -> Result<(), Failure> {
    let message = "this build has no Kafka (feature `kafka`): show the files of a backtest with --from DIR";
    Err(Failure::Usage(message.to_owned()))
}
