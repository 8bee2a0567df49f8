//! `gate`: whether a service may ship, for a pipeline that builds and deploys.

use super::records::each;
use super::{Exit, Failure, Global, Outcome, Printer};
use crate::board::gate::{Action, Policy, action_of};
use crate::config::Settings;
use crate::model::record::Topic;
use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

/// Say whether a service may ship: pass, fail, or no data
///
/// Asks every SLO of the service for the aggregate: a page that fires fails, and so does a spent budget; where the SLO has
/// a policy, `freeze` fails and any other word passes. With --release the verdict on that candidate counts, too (SLOs with
/// the annotation `canary`). Reads the output topics as they are now, or the files of a backtest.
///
/// Exit codes: 0 pass, 1 fail (or the gate could not be read: see standard error), 3 no data.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn gate --service checkout                                 # in a pipeline, before it deploys
  tailburn gate --service checkout --release v42                   # after the canary ran
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

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const TOPICS: [Topic; 3] = [Topic::SloStatus, Topic::BurnAlerts, Topic::CanaryVerdicts];

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

#[derive(Deserialize)]
struct Status {
    slo: String,
    service: String,
    scope: String,
    state: String,
    policy: Option<Policy>,
}

#[derive(Deserialize)]
struct Alert {
    id: String,
    slo: String,
    scope: String,
    severity: String,
    state: String,
    title: String,
}

#[derive(Deserialize)]
struct Canary {
    slo: String,
    tenant: Option<String>,
    candidate: String,
    verdict: String,
    reason: String,
}

/// The latest records, as far as a gate asks for them.
#[derive(Default)]
struct Collected {
    statuses: BTreeMap<String, Status>,
    /// Pages that fire, by id.
    pages: BTreeMap<String, Alert>,
    canaries: BTreeMap<String, Canary>,
}

impl Collected {
    fn take(&mut self, topic: Topic, key: &str, json: Option<&[u8]>) -> anyhow::Result<()> {
        let Some(json) = json else {
            if topic == Topic::SloStatus {
                self.statuses.remove(key);
            }
            return Ok(());
        };
        let context = || format!("{key}: this is no record of {}", topic.name());
        match topic {
            Topic::SloStatus => {
                let status: Status = serde_json::from_slice(json).with_context(context)?;
                if status.scope == "aggregate" {
                    self.statuses.insert(key.to_owned(), status);
                }
            }
            Topic::BurnAlerts => {
                let alert: Alert = serde_json::from_slice(json).with_context(context)?;
                if alert.state == "resolved" {
                    self.pages.remove(&alert.id);
                } else if alert.scope == "aggregate" && alert.severity == "page" {
                    self.pages.insert(alert.id.clone(), alert);
                }
            }
            Topic::CanaryVerdicts => {
                let canary: Canary = serde_json::from_slice(json).with_context(context)?;
                self.canaries.insert(key.to_owned(), canary);
            }
            _ => {}
        }
        Ok(())
    }

    fn reasons(&self, args: &GateArgs) -> Vec<Reason> {
        let statuses = self.statuses.values().filter(|status| status.service == args.service);
        let mut reasons: Vec<Reason> = statuses.clone().map(|status| self.of_slo(status)).collect();
        if let Some(release) = &args.release {
            let is_ours = |canary: &&Canary| statuses.clone().any(|status| status.slo == canary.slo);
            let verdicts: Vec<Reason> = self
                .canaries
                .values()
                .filter(|canary| canary.candidate == *release && canary.tenant.is_none())
                .filter(is_ours)
                .map(of_canary)
                .collect();
            if verdicts.is_empty() {
                let reason = format!("no SLO of the service has a verdict on the candidate `{release}`");
                reasons.push(Reason { slo: String::new(), verdict: Verdict::NoData, reason });
            }
            reasons.extend(verdicts);
        }
        if reasons.is_empty() {
            let reason = format!("no SLO of the service `{}` has a status", args.service);
            reasons.push(Reason { slo: String::new(), verdict: Verdict::NoData, reason });
        }
        reasons
    }

    fn of_slo(&self, status: &Status) -> Reason {
        let page = self.pages.values().find(|alert| alert.slo == status.slo).map(|alert| alert.title.as_str());
        let (action, reason) = action_of(&status.state, page, status.policy.as_ref());
        let verdict = match action {
            Action::Freeze => Verdict::Fail,
            _ if status.state == "no_data" => Verdict::NoData,
            Action::Ship | Action::Caution => Verdict::Pass,
        };
        Reason { slo: status.slo.clone(), verdict, reason }
    }
}

fn of_canary(canary: &Canary) -> Reason {
    let verdict = match canary.verdict.as_str() {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail,
        _ => Verdict::NoData,
    };
    let reason = format!("canary {}: {} ({})", canary.candidate, canary.verdict, canary.reason);
    Reason { slo: canary.slo.clone(), verdict, reason }
}

pub fn run(global: &Global, args: &GateArgs) -> Outcome {
    let settings = global.load()?.settings;
    let mut collected = Collected::default();
    match &args.from {
        Some(dir) => drop(each(dir, &TOPICS, &mut |topic, key, json| collected.take(topic, key, Some(json)))?),
        None => from_topics(&settings, &mut collected)?,
    }
    let reasons = collected.reasons(args);
    let worst = reasons.iter().map(|reason| reason.verdict).max().unwrap_or(Verdict::NoData);
    let mut out = Printer::stdout();
    if args.json {
        let text = serde_json::json!({"service": args.service, "verdict": worst, "reasons": reasons});
        writeln!(out, "{text}")?;
    } else {
        writeln!(out, "{}: {}", args.service, worst.in_words())?;
        for Reason { slo, verdict, reason } in &reasons {
            let slo = if slo.is_empty() { String::new() } else { format!("{slo}: ") };
            writeln!(out, "  {:<8} {slo}{reason}", verdict.in_words())?;
        }
    }
    out.flush()?;
    Ok(worst.exit().into())
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
