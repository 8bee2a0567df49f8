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
use passes::{Pass, Passes};
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
/// Exit codes: 0 pass; 1 fail, or the records could not be read (then there is no verdict, and standard error says why);
/// 2 wrong arguments, or no files in DIR; 3 no data; 78 a mistake in the configuration. Trouble with the file of passes is
/// told on standard error, and changes neither the verdict nor the exit code.
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

    /// Say what got worse since the gate last passed this service
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
    let now = args.compare.map(|With::LastPass| collected.pass(&args.service, args.release.as_deref()));
    let comparison = now.as_ref().map(|now| since_last_pass(args, now));
    print(args, worst, &reasons, comparison.as_ref())?;
    if let Some(trouble) = comparison.as_ref().and_then(Comparison::trouble) {
        global.voice().say(&format!("compared with nothing: {trouble}"));
    }
    if let Some(now) = now.filter(|_| worst == Verdict::Pass) {
        // If this is a pass, it is the last one from now on.
        if let Err(error) = passes::keep(&args.service, now, &args.passes) {
            global.voice().say(&format!("the pass was not kept: {error:#}"));
        }
    }
    Ok(worst.exit().into())
}

fn print(args: &GateArgs, worst: Verdict, reasons: &[Reason], comparison: Option<&Comparison>) -> Result<(), Failure> {
    let mut out = Printer::stdout();
    if args.json {
        let mut told = serde_json::json!({"service": args.service, "verdict": worst, "reasons": reasons});
        if let Some(comparison) = comparison {
            told["compared"] = serde_json::to_value(comparison).map_err(anyhow::Error::from)?;
        }
        writeln!(out, "{told}")?;
    } else {
        writeln!(out, "{}: {}", args.service, worst.in_words())?;
        for Reason { slo, verdict, reason } in reasons {
            let slo = if slo.is_empty() { String::new() } else { format!("{slo}: ") };
            writeln!(out, "  {:<8} {slo}{reason}", verdict.in_words())?;
        }
        if let Some(comparison) = comparison {
            write!(out, "{comparison}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What got worse since the last pass. A file that cannot be read is no reason to stop a release, or to let one pass.
fn since_last_pass(args: &GateArgs, now: &Pass) -> Comparison {
    match Passes::read(&args.passes) {
        Ok(passes) => compared(passes.of(&args.service), now, &args.passes),
        Err(error) => Comparison::with_nothing(&args.passes, format!("{error:#}")),
    }
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
