//! `demo`: all of tailburn on generated traffic, in one process, without Kafka.
//!
//! It replays weeks of history first, so that the error budgets have a past; then traffic continues live, faster than
//! the clock, with an incident that the aggregate hides. Input is decoded from JSON, and everything shown is read from
//! the output topics.

#![expect(clippy::disallowed_methods, reason = "the shell paces the traffic by the clock; no figure comes from it")]

mod engine;
mod feed;
mod format;
mod ledger;
mod lines;
mod screen;
mod shared;
mod summary;
mod view;

use super::defined::defined;
use super::observe::metrics_text;
use super::processor::describe;
use super::{Exit, Failure, Global, Outcome, Printer, assemble};
use crate::http::{self, Endpoints, HttpError, Server};
use crate::model::duration;
use crate::model::time::{MINUTE_MS, Ms, floor_to};
use crate::telemetry::{self, Inputs, Metrics};
use crate::traffic::{self, HISTORY_MS, Story, Traffic};
use anyhow::Context as _;
use clap::Args;
use shared::Shared;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use summary::Summary;

const DEFAULT_LISTEN: &str = "127.0.0.1:8720";
/// The value that turns HTTP off.
const NONE: &str = "none";
const DEFAULT_SPEED: f64 = 60.0;

/// Watch an incident from beginning to end: generated traffic, no Kafka, no configuration
///
/// Replays 28 days quickly, so that the error budgets have a history, then continues live until Ctrl-C. Prints the
/// address of the page, the SLO in use and what to look at next. User ids are invented and shown in plain. With -q it
/// prints nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn demo
  tailburn demo --seed 7 --speed 20
  tailburn demo --write-slo slo.yaml             an SLO to edit; `tailburn demo --slo slo.yaml` runs it
  tailburn demo --seed 7 --for 20m --json        20 minutes of event time, then the summary as JSON")]
pub struct DemoArgs {
    /// The seed of the traffic: the same seed makes the same traffic and the same incident
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// How many times faster than the clock; `max`: as fast as possible [default: 60, with --json max]
    #[arg(long, value_name = "FACTOR|max")]
    pub speed: Option<Speed>,

    /// Traffic without the incident
    #[arg(long)]
    pub no_incident: bool,

    /// Use this SLO instead of the demo's own
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "write_slo")]
    pub slo: Option<PathBuf>,

    /// Write the demo's SLO to a file and stop
    #[arg(long, value_name = "FILE")]
    pub write_slo: Option<PathBuf>,

    /// The address of the API, or `none`; port 0 is any free port
    /// [default: 127.0.0.1:8720, or any free port if that one is taken]
    #[arg(long, value_name = "ADDR|none")]
    pub http: Option<String>,

    /// Stop after this much live event time, as in 2h [default: at Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration_ms)]
    pub for_ms: Option<Ms>,

    /// Print the summary as JSON, and nothing before it
    #[arg(long, requires = "for_ms")]
    pub json: bool,

    /// The time at which live traffic begins, for a run that can be repeated exactly [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<Ms>,

    /// How much history to replay first
    #[arg(long, value_name = "DURATION", default_value = "28d", value_parser = history_ms)]
    pub history: Ms,
}

/// The speed of event time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as it can be processed.
    Max,
    Times(f64),
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let factor: f64 = text.parse().map_err(|_| format!("`{text}` is not a number, nor `max`"))?;
        if factor.is_finite() && factor > 0.0 { Ok(Speed::Times(factor)) } else { Err("must be above 0".to_owned()) }
    }
}

fn duration_ms(text: &str) -> Result<Ms, String> {
    duration::parse(text).map_err(|e| e.to_string())
}

fn history_ms(text: &str) -> Result<Ms, String> {
    match duration_ms(text)? {
        ms if (MINUTE_MS..=HISTORY_MS).contains(&ms) => Ok(ms),
        _ => Err("write 1m to 28d".to_owned()),
    }
}

fn time(text: &str) -> Result<Ms, String> {
    let time: jiff::Timestamp = text.parse().map_err(|_| "not a time as in 2026-05-29T17:00:00Z".to_owned())?;
    Ok(time.as_millisecond())
}

pub fn run(global: &Global, args: &DemoArgs) -> Outcome {
    if let Some(path) = &args.write_slo {
        std::fs::write(path, traffic::EXAMPLE_SLO).with_context(|| format!("cannot write {}", path.display()))?;
        Printer::stdout().line(&format!("{0}: edit it, then `tailburn demo --slo {0}`", path.display()))?;
        return Ok(Exit::Done.into());
    }
    let definitions = match &args.slo {
        Some(path) => assemble::definitions(std::slice::from_ref(path))?,
        None => assemble::parsed(&[("demo.yaml".to_owned(), traffic::EXAMPLE_SLO.to_owned())])?,
    };
    let live_from_ms = args.at.unwrap_or_else(|| floor_to(jiff::Timestamp::now().as_millisecond(), MINUTE_MS));
    let story = if args.no_incident { Story::Quiet } else { Story::HiddenCohort };
    let settings = traffic::demo_settings(args.seed, live_from_ms, args.history, story);
    let traffic = Traffic::new(settings).map_err(|e| Failure::Usage(e.to_string()))?;
    let shared = Arc::new(Shared::new(&definitions.slos, live_from_ms, args.history));
    shared.board.define(defined(&definitions.slos));
    let server = server(args, &shared)?;
    shared::stop_on_signals(&shared).map_err(anyhow::Error::from)?;
    let face = face(args, global.quiet > 0);
    if face != Face::Silent {
        introduce(args, server.as_ref())?;
    }
    let summary = play(args, definitions.slos, traffic, &shared, face, server.as_ref())?;
    if args.json {
        Printer::stdout().json(&serde_json::to_value(&summary).map_err(anyhow::Error::from)?)?;
    } else if face != Face::Silent {
        Printer::stdout().line(&summary.to_string())?;
    }
    Ok(Exit::Done.into())
}

/// How the demo shows its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// A board that is redrawn in place.
    Board,
    /// One line for each notable event.
    Lines,
    Silent,
}

fn face(args: &DemoArgs, quiet: bool) -> Face {
    match () {
        () if args.json || quiet => Face::Silent,
        () if io::stdout().is_terminal() && !console::is_dumb() => Face::Board,
        () => Face::Lines,
    }
}

/// Starts the API. If the default port is taken, for example by another demo, any free port is used.
fn server(args: &DemoArgs, shared: &Arc<Shared>) -> Result<Option<Server>, Failure> {
    let metrics: Option<Metrics> = match args.http.as_deref() {
        Some(NONE) => return Ok(None),
        _ => telemetry::install_metrics().ok(),
    };
    let board = Arc::clone(&shared.board);
    let render = move || {
        metrics.as_ref().map_or_else(String::new, |metrics| metrics_text(metrics, &board, &Inputs::default(), |_| true))
    };
    let told = Arc::clone(shared);
    let endpoints = Endpoints::new(Arc::clone(&shared.board), render)
        .with_processor(move || describe(&told.told(), "demo", "demo", "demo"));
    let served = match &args.http {
        Some(listen) => http::serve(listen, endpoints),
        None => match http::serve(DEFAULT_LISTEN, endpoints.clone()) {
            Err(HttpError::Bind { .. }) => http::serve("127.0.0.1:0", endpoints),
            served => served,
        },
    };
    Ok(Some(served.map_err(|e| Failure::Other(anyhow::anyhow!("{e}")))?))
}

/// What a new user should know before the demo starts.
fn introduce(args: &DemoArgs, server: Option<&Server>) -> io::Result<()> {
    let mut out = Printer::stdout();
    if let Some(server) = server {
        let address = server.address();
        if args.http.is_none() && !DEFAULT_LISTEN.ends_with(&format!(":{}", address.port())) {
            out.notice(&format!("{DEFAULT_LISTEN} is taken: the page is at {address}"))?;
        }
        out.line(&format!("Open {} in a browser: the incident shows there, with who is hit\n", page(server)))?;
    }
    match &args.slo {
        Some(path) => out.line(&format!("The SLO in use: {}\n", path.display()))?,
        None => {
            out.heading("The SLO in use")?;
            let mut bare = traffic::EXAMPLE_SLO.lines().filter(|l| !l.trim_start().starts_with('#'));
            bare.try_for_each(|line| out.line(&format!("  {line}")))?;
            out.line("  (`tailburn demo --write-slo slo.yaml` writes it, with comments)\n")?;
        }
    }
    if let Some(server) = server {
        out.line(&format!("Ask it:  {}", curl(server)))?;
    }
    out.line(&format!("Next:    {NEXT}"))?;
    out.line("User ids are invented, and shown plain; `tailburn run` publishes pseudonyms.\n")
}

/// The next command for a new user.
const NEXT: &str = "tailburn init    (a configuration, an SLO and a key of your own)";

fn page(server: &Server) -> String {
    format!("http://{}/", server.address())
}

fn curl(server: &Server) -> String {
    format!("curl -s 'http://{}/api/v1/status?scope=aggregate'", server.address())
}

/// Runs the demo: one thread generates traffic, this one processes it, a third shows the results.
fn play(
    args: &DemoArgs,
    slos: Vec<crate::model::slo::Slo>,
    traffic: Traffic,
    shared: &Arc<Shared>,
    face: Face,
    server: Option<&Server>,
) -> Result<Summary, Failure> {
    let speed = match args.speed {
        Some(Speed::Max) => None,
        Some(Speed::Times(factor)) => Some(factor),
        None => (!args.json).then_some(DEFAULT_SPEED),
    };
    let (feed, sources) = feed::new(traffic, shared.live_from_ms, args.for_ms, speed);
    let about = view::About { seed: args.seed, speed, page: server.map(page) };
    std::thread::scope(|scope| {
        let fed = scope.spawn(|| feed.run(shared));
        let shown = scope.spawn(|| match face {
            Face::Board => screen::show(shared, &about),
            Face::Lines => lines::show(shared),
            Face::Silent => Ok(()),
        });
        let processed = engine::process(slos, sources, shared);
        shared.end();
        let truth = fed.join().map_err(|_| anyhow::anyhow!("the traffic's thread panicked"))?;
        shown.join().map_err(|_| anyhow::anyhow!("the screen's thread panicked"))??;
        processed?;
        Ok(Summary::new(args.seed, &truth, shared))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_factor_or_max() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for wrong in ["0", "-1", "nan", "inf", "fast"] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }
}
