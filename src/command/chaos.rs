//! `chaos`: lays faults over recorded traffic, and says whether the SLOs would see them.

mod fault;
mod judge;
mod named;
mod overlay;
mod plan;
mod print;
mod replay;
mod timeline;

use super::backtest::{FileFormat, progress};
use super::{Exit, Failure, Global, Outcome, Printer, assemble, files};
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use clap::Args;
use fault::{Fault, FaultSpec, Kind};
use judge::{Case, Judged};
use overlay::{Damage, FaultOverlay, Lot};
use plan::Plan;
use replay::{Progress, Published, Recording};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

const AFTER_HELP: &str = "\
Examples:
  tailburn chaos --slos slos --input past.jsonl \\
      --fault \"tenant=acme; attributes.region=eu; share=0.3; from=+2h; for=15m\"
  tailburn chaos --slos slos --input past.jsonl --fault \"from=+2h; for=15m; kind=slow\" --json
  tailburn chaos --slos slos --input past.jsonl --fault \"tenant=acme; from=+2h\" \\
      --matrix shares=0.01,0.1,0.5,1 for=5m,15m,1h

A fault is a list of FIELD=VALUE with `;` between them:
  tenant, user, operation, dependency, error_type, journey, step, status, attributes.NAME
                   the events that it hits: all must hold; none is every event
  from=+2h         when it begins: so long after the first event, or at a time as in
                   2026-05-29T17:00:00Z
  for=15m          how long it lasts
  share=0.3        the share of these events that fail [default: 1]
  kind=error|slow  how they fail [default: for each SLO, what turns more of its good events bad]
  set.FIELD=VALUE  how they fail in the words of a filter: status, error_type, latency_ms,
                   measures.NAME, attributes.NAME; alone, or on top of a kind
  name=TEXT        a name for the report

An error has status 500 and error_type `fault`. A slow answer takes ten times as long, at least
a minute, in latency_ms and in each measure that ends in _ms. An event is changed where that
turns it from good to bad for an SLO. Which events a share hits depends on them and on --seed
alone: a larger share hits the same ones, and more.

Each fault is judged alone, by two runs of what `backtest` runs, with it and without it. Only
what is new counts: alerts that begin, cohorts that open, users that rise. An alert that the recording
raises anyway, at most 15 minutes later, is not new. Alerts for information (tenant-alerts:
info) tell nobody: a fault that raises only these is not seen.

Exit codes: 0 every fault is seen by an SLO (in a matrix: in every cell), 1 one is not, 78 a
fault cannot be as it is written, or turns nothing bad; or the input cannot be read.";

/// Lay faults over recorded traffic, and see which alerts would have seen them
///
/// For each fault and SLO it says whether it would be seen, when and by which rule, when that resolves, who is named and
/// whether that is the fault exactly, which users stand in user-status, and how much of it fell before the first alert.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ChaosArgs {
    /// A file or a directory of SLOs; may be repeated. Without it, the `slos` of the configuration
    #[arg(long, value_name = "FILE|DIR")]
    pub slos: Vec<PathBuf>,

    /// A file with recorded traffic; may be repeated, each is a partition. It is read several times
    #[arg(long = "input", value_name = "FILE", required = true)]
    pub inputs: Vec<PathBuf>,

    /// The format of the input; without it, `input.format` of the configuration
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,

    /// A fault, as below; may be repeated
    #[arg(long = "fault", value_name = "FAULT", required = true)]
    pub faults: Vec<String>,

    /// A table of each fault with these shares and lengths in place of its own, as in shares=0.01,0.1 for=5m,1h
    #[arg(long, value_name = "shares=..|for=..", num_args = 1..=2)]
    pub matrix: Vec<String>,

    /// Another number hits other events
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A fault as it was tried, and what each SLO says.
pub struct Report {
    fault: Fault,
    slos: Vec<Judged>,
}

/// One field of a matrix.
pub struct Cell {
    share: f64,
    report: Report,
}

impl Report {
    fn is_seen(&self) -> bool {
        self.slos.iter().any(|judged| judged.seen)
    }

    fn json(&self) -> Value {
        let mut fault = self.fault.json();
        fault["seen"] = json!(self.is_seen());
        fault["slos"] = json!(self.slos);
        fault
    }
}

pub fn run(global: &Global, args: &ChaosArgs) -> Outcome {
    let settings = global.load()?.settings;
    let mut specs = Vec::new();
    let matrix = Matrix::parse(&args.matrix).map_err(Failure::Definition)?;
    for text in &args.faults {
        specs.push(FaultSpec::parse(&matrix.completed(text)).map_err(Failure::Definition)?);
    }
    files::refuse_streams(&args.inputs, "the recording is read several times; write it to a file")?;
    let paths = if args.slos.is_empty() { &settings.slos } else { &args.slos };
    let slos = Arc::new(assemble::definitions_of(&settings, paths)?.slos);
    let format = args.format.map_or(settings.input.format, FileFormat::input_format);
    let recording = Recording { settings: &settings, inputs: &args.inputs, format };
    let mut progress = Progress::new(progress(&global.voice()));
    progress.bar.set_message("the first look");
    let span = plan::span(&recording)?;
    let longest_ms = matrix.lengths_ms.iter().max().copied();
    let plans = plan::plans(&recording, &slos, &specs, span, longest_ms)?;
    progress.runs +=
        plans.iter().zip(&specs).map(|(plan, spec)| plan.groups.len() * matrix.cells(spec).len()).sum::<usize>();
    let before = recording.replay(&slos, None, &progress)?;
    let trial = Trial { recording: &recording, slos: &slos, before: &before, seed: args.seed, progress: &progress };
    let mut tried: Vec<Vec<Cell>> = Vec::new();
    for (plan, spec) in plans.iter().zip(&specs) {
        let cells = matrix.cells(spec).into_iter().map(|(share, length_ms)| {
            let report = trial.of(plan, &plan.fault.with(share, length_ms))?;
            Ok(Cell { share, report })
        });
        tried.push(cells.collect::<Result<_, Failure>>()?);
    }
    progress.bar.finish_and_clear();
    print_all(args, &tried, span)?;
    let all_seen = tried.iter().flatten().all(|cell| cell.report.is_seen());
    Ok(if all_seen { Exit::Done } else { Exit::Findings }.into())
}

fn print_all(args: &ChaosArgs, tried: &[Vec<Cell>], (first, last): plan::Span) -> Result<(), Failure> {
    let mut out = Printer::stdout();
    if args.json {
        let faults: Vec<Value> = tried.iter().flatten().map(|cell| cell.report.json()).collect();
        let recording = json!({"from": Moment(first).to_string(), "to": Moment(last).to_string()});
        out.json(&json!({"seed": args.seed, "recording": recording, "faults": faults}))?;
    } else if args.matrix.is_empty() {
        tried.iter().flatten().try_for_each(|cell| print::report(&mut out, &cell.report))?;
    } else {
        print::matrix(&mut out, tried)?;
    }
    out.flush()?;
    Ok(())
}

/// The shares and lengths that are tried; none: the fault's own.
#[derive(Debug, Default)]
struct Matrix {
    shares: Vec<f64>,
    lengths_ms: Vec<Ms>,
}

impl Matrix {
    fn parse(parts: &[String]) -> Result<Matrix, String> {
        let mut matrix = Matrix::default();
        for part in parts.iter().flat_map(|part| part.split_whitespace()) {
            let told = |why: String| format!("--matrix {part}: {why}");
            match part.split_once('=') {
                Some(("shares", list)) => {
                    let shares = list.split(',').map(fault::parse_share).collect::<Result<_, _>>();
                    matrix.shares = shares.map_err(told)?;
                }
                Some(("for", list)) => {
                    let lengths = list.split(',').map(fault::parse_length).collect::<Result<_, _>>();
                    matrix.lengths_ms = lengths.map_err(told)?;
                }
                _ => return Err(told("write shares=0.01,0.1,1 and for=5m,1h".to_owned())),
            }
        }
        Ok(matrix)
    }

    /// A fault needs no length of its own where the matrix has them.
    fn completed(&self, text: &str) -> String {
        let has_for = text.split(';').any(|part| part.split('=').next().is_some_and(|key| key.trim() == "for"));
        match self.lengths_ms.first() {
            Some(length_ms) if !has_for => format!("{text}; for={length_ms}ms"),
            _ => text.to_owned(),
        }
    }

    /// Share by share, and in each length by length.
    fn cells(&self, spec: &FaultSpec) -> Vec<(f64, Ms)> {
        let shares = if self.shares.is_empty() { vec![spec.share] } else { self.shares.clone() };
        let lengths = if self.lengths_ms.is_empty() { vec![spec.length_ms] } else { self.lengths_ms.clone() };
        shares.iter().flat_map(|share| lengths.iter().map(move |length_ms| (*share, *length_ms))).collect()
    }
}

/// What all faults are tried with.
struct Trial<'a> {
    recording: &'a Recording<'a>,
    slos: &'a Arc<Vec<Slo>>,
    /// Without any fault.
    before: &'a Published,
    seed: u64,
    progress: &'a Progress,
}

impl Trial<'_> {
    /// One run for each kind of failure, with the SLOs that notice it.
    fn of(&self, plan: &Plan, fault: &Fault) -> Result<Report, Failure> {
        let mut judged: Vec<(usize, Judged)> =
            plan.untouched.iter().map(|index| (*index, Judged::untouched(&self.slos[*index]))).collect();
        for (kind, indexes) in &plan.groups {
            let of_group: Vec<Slo> = indexes.iter().map(|index| self.slos[*index].clone()).collect();
            let told = self.with(fault, *kind, of_group)?;
            judged.extend(indexes.iter().copied().zip(told));
        }
        judged.sort_by_key(|(index, _)| *index);
        Ok(Report { fault: fault.clone(), slos: judged.into_iter().map(|(_, judged)| judged).collect() })
    }

    fn with(&self, fault: &Fault, kind: Kind, slos: Vec<Slo>) -> Result<Vec<Judged>, Failure> {
        let slos = Arc::new(slos);
        let damage = Rc::new(RefCell::new(vec![Damage::default(); slos.len()]));
        let overlay = FaultOverlay {
            fault: fault.clone(),
            kind,
            slos: Arc::clone(&slos),
            lot: Lot::new(self.seed),
            damage: Rc::clone(&damage),
        };
        let after = self.recording.replay(&slos, Some(overlay), self.progress)?;
        let damage = damage.borrow();
        let judge =
            |(slo, damage)| Case { slo, fault, kind: kind.name(), damage, before: self.before, after: &after }.judge();
        Ok(slos.iter().zip(damage.iter()).map(judge).collect())
    }
}
