//! `notify`: tells people and programs of alerts, cohorts and failing canaries, from the topics or from files.

mod courier;
mod from_dir;
#[cfg(feature = "kafka")]
mod live;
pub(super) mod plan;
#[cfg(feature = "kafka")]
pub(super) mod silences_topic;

pub(super) use from_dir::{SILENCES, now_ms, silences as silences_of_dir};

#[cfg(feature = "kafka")]
use super::signals::Signals;
use super::{Exit, Failure, Global, Outcome};
use crate::config::Settings;
use crate::notify::Plan;
use clap::Args;
use courier::Courier;
use std::path::PathBuf;
use std::sync::Arc;

/// Tell people and programs of alerts: Alertmanager, PagerDuty, Slack, webhooks
///
/// Reads the topics of alerts, cohorts and canary verdicts in a consumer group of its own (`application_id` and
/// `-notify`), and sends what `notify.routes` say to `notify.receivers`. It delivers at least once: an offset is
/// committed only when everybody who had to hear of the record has, or when it was said why not. Several may run; each
/// takes some partitions. A ticket is not told under the page of the same key; silences are made with `tailburn silence`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn notify --from result --dry-run     what would have been sent, of the files of a backtest
  tailburn notify --dry-run                   what would be sent now; sends and commits nothing
  tailburn notify                             send it
  tailburn notify --listen 127.0.0.1:8722     with /metrics, /livez and /readyz

A configuration:
  notify:
    receivers:
      oncall: {type: pagerduty, routing_key: \"${PAGERDUTY_KEY}\"}
      chat: {type: slack, webhook_url_file: slack-url}
      am: {type: alertmanager, url: \"http://localhost:9093\"}
      hook: {type: webhook, url: \"https://hooks.example.com/slo\", token: \"${HOOK_TOKEN}\"}
    routes:                                 # the first that matches decides, unless it says `continue: true`
      - {match: [severity=page], receiver: oncall, continue: true}
      - {match: [kind=alert, tenant!=test], receiver: chat, group_by: [service, severity], group_wait: 30s}

A matcher is field=value, field!=value, field=~regex or field!~regex, of kind (alert, cohort, canary), severity (page,
ticket, info), slo, service, scope, tenant, key, dedup_key, owner, labels.NAME and group.NAME.

Exit codes: 0 stopped by a signal or all told, 1 topics or files cannot be read, 2 wrong usage, 78 the configuration has \
an error.")]
pub struct NotifyArgs {
    /// Tell what the files of `tailburn backtest --out DIR` say, as if it ended now, and stop
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,

    /// Print what would be sent where, and why, one JSON object a line; nothing is sent, nothing committed
    #[arg(long)]
    pub dry_run: bool,

    /// Answer /metrics, /livez and /readyz on this address; port 0 is any free port
    #[arg(long, value_name = "ADDR", conflicts_with = "from")]
    pub listen: Option<String>,
}

pub fn run(global: &Global, args: &NotifyArgs) -> Outcome {
    let loaded = global.load()?;
    let plan = Arc::new(plan::of(&loaded)?);
    if plan.receivers.is_empty() {
        let message = "notify.receivers: names nobody. `tailburn notify --help` has an example, ops/examples/notify a \
                       whole one";
        return Err(Failure::Definition(message.to_owned()));
    }
    let source = format!("/tailburn/{}", loaded.settings.application_id);
    let courier = Courier::new(&plan, source, args.dry_run)?;
    match &args.from {
        Some(dir) => from_dir::run(dir, plan, courier, global.voice())?,
        None => from_topics(&loaded.settings, args, plan, courier)?,
    }
    Ok(Exit::Done.into())
}

#[cfg(feature = "kafka")]
fn from_topics(settings: &Settings, args: &NotifyArgs, plan: Arc<Plan>, courier: Courier) -> Result<(), Failure> {
    live::run(settings, args, plan, courier, &Signals::install()?)
}

#[cfg(not(feature = "kafka"))]
fn from_topics(_: &Settings, _: &NotifyArgs, _: Arc<Plan>, _: Courier) -> Result<(), Failure> {
    let message = "this build has no Kafka (feature `kafka`): tell what files say with --from DIR";
    Err(Failure::Usage(message.to_owned()))
}
