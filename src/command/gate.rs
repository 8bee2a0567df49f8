//! `gate`: whether a service may ship, for a pipeline that builds and deploys.

mod collected;
mod compare;
mod passes;

use super::records::each;
use super::{Exit, Failure, Global, Outcome, Printer};
use crate::config::Settings;
use crate::model::record::Topic;
use clap::{Args, ValueEnum};
use collected::Collected;
use compare::{Comparison, compared};
use passes::Passes;
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;

/// Say whether a service may ship: pass, fail, or no data
///
/// Asks every SLO of the service for the aggregate: a page that fires fails, and so does a spent budget; where the SLO has
/// a policy, `freeze` fails and any other word passes. With --release the verdict on that candidate counts, too (SLOs with
/// the annotation `canary`). Reads the output topics as they are now, or the files of a backtest.
///
/// With --compare last-pass it also says what got worse since the gate passed this service last: SLO by SLO the state, the
/// budget (by 1 % of it or more), burn rates above 1, users below the objective, alerts and tail causes that are new. That
/// does not change the verdict. The last pass is what the gate itself kept: each pass that was asked for with --compare is
/// written to the file of --passes, one entry a service. Let your pipeline keep that file from run to run (a cache, an
/// artefact); without it there is nothing to compare with, and the gate says so.
///
/// Exit codes: 0 pass, 1 fail (or the gate could not be read: see standard error), 3 no data.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn gate --service checkout                                 # in a pipeline, before it deploys
  tailburn gate --service checkout --release v42                   # after the canary ran
  tailburn gate --service checkout --compare last-pass             # and what got worse since the last pass
  tailburn gate --service checkout --from result --json            # over the files of a backtest")]
pub struct GateArgs {
    /// The service, as in the SLOs
    #[arg(long, value_name = "SERVICE")]
    pub service: String,

    /// The candidate, as the value of the canary's attribute
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,

    /// Read the files of `tailburn backtest --out DIR` instead of topics
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,

    /// Say what got worse since then
    #[arg(long, value_name = "WITH", value_enum)]
    pub compare: Option<With>,

    /// Where the passes are kept that --compare reads and writes
    #[arg(long, value_name = "FILE", requires = "compare", default_value = "tailburn-passes.json")]
    pub passes: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum With {
    /// The last time that the gate passed this service
    LastPass,
}

const TOPICS: [Topic; 4] = [Topic::SloStatus, Topic::BurnAlerts, Topic::TailCohorts, Topic::CanaryVerdicts];

/// What was found, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Pass,
    NoData,
    Fail,
}

impl Verdict {
    const fn in_words(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::NoData => "no data",
            Verdict::Fail => "fail",
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Verdict::Pass => Exit::Done,
            Verdict::NoData => Exit::NoData,
            Verdict::Fail => Exit::Findings,
        }
    }
}

/// One reason: an SLO, or the verdict of a canary of it.
#[derive(Debug, Serialize)]
struct Reason {
    slo: String,
    verdict: Verdict,
    reason: String,
}

pub fn run(global: &Global, args: &GateArgs) -> Outcome {
    let settings = global.load()?.settings;
    let mut collected = Collected::default();
    match &args.from {
        Some(dir) => drop(each(dir, &TOPICS, &mut |topic, key, json| collected.take(topic, key, Some(json)))?),
        None => from_topics(&settings, &mut collected)?,
    }
    let reasons = collected.reasons(&args.service, args.release.as_deref());
    let worst = reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::NoData);
    let comparison = args.compare.map(|With::LastPass| since_last_pass(args, &collected, worst)).transpose()?;
    let mut out = Printer::stdout();
    if args.json {
        let mut told = serde_json::json!({"service": args.service, "verdict": worst, "reasons": reasons});
        if let Some(comparison) = &comparison {
            told["compared"] = serde_json::to_value(comparison).map_err(anyhow::Error::from)?;
        }
        writeln!(out, "{told}")?;
    } else {
        writeln!(out, "{}: {}", args.service, worst.in_words())?;
        for Reason { slo, verdict, reason } in &reasons {
            let slo = if slo.is_empty() { String::new() } else { format!("{slo}: ") };
            writeln!(out, "  {:<8} {slo}{reason}", verdict.in_words())?;
        }
        if let Some(comparison) = &comparison {
            write!(out, "{comparison}")?;
        }
    }
    out.flush()?;
    Ok(worst.exit().into())
}

/// What got worse since the last pass; if this is a pass, it is the last one from now on.
fn since_last_pass(args: &GateArgs, collected: &Collected, verdict: Verdict) -> Result<Comparison, Failure> {
    let mut passes = Passes::read(&args.passes)?;
    let now = collected.pass(&args.service, args.release.as_deref());
    let comparison = compared(passes.of(&args.service), &now, &args.passes);
    if verdict == Verdict::Pass {
        passes.keep(&args.service, now, &args.passes)?;
    }
    Ok(comparison)
}

#[cfg(feature = "kafka")]
fn from_topics(settings: &Settings, collected: &mut Collected) -> Result<(), Failure> {
    super::follow::to_the_end(settings, &TOPICS, &mut |topic, key, json| collected.take(topic, key, json))
}

#[cfg(not(feature = "kafka"))]
fn from_topics(_: &Settings, _: &mut Collected) -> Result<(), Failure> {
    let message = "this build has no Kafka (feature `kafka`): read the files of a backtest with --from DIR";
    Err(Failure::Usage(message.to_owned()))
}
