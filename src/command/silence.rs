//! `silence`: makes, lists and ends silences, in their topic or in the files of a directory.

mod store;

use super::notify::now_ms;
use super::{Exit, Failure, Global, Outcome, Printer};
use crate::model::duration;
use crate::model::time::{Moment, Ms};
use crate::notify::{Matcher, Silence};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use store::Store;

const EXAMPLES: &str = "\
Examples:
  tailburn silence add service=checkout severity=page --for 2h --by ann --why 'database moves'
  tailburn silence add tenant=acme --until 2026-12-24T18:00:00Z --by ann --why 'acme tests its failover'
  tailburn silence list
  tailburn silence end 3f0c61d2a8b94e77 --by ann";

/// Silence notifications: whom it means, until when, who made it and why
///
/// A silence holds back what `tailburn notify` has not told yet; what still fires when it ends is told then. What was told
/// before is told to be over also under a silence. Silences are records of the compacted topic `silences` behind
/// `output.prefix`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SilenceArgs {
    #[command(subcommand)]
    pub command: SilenceCommand,

    /// Keep them in DIR/silences.jsonl instead of the topic: for `tailburn notify --from DIR`
    #[arg(long, global = true, value_name = "DIR")]
    pub from: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum SilenceCommand {
    Add(AddArgs),
    List(ListArgs),
    End(EndArgs),
}

/// Make a silence
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A matcher is field=value, field!=value, field=~regex or field!~regex, of kind, severity, slo, service, scope, tenant, key,
dedup_key, owner, labels.NAME and group.NAME. All of them have to match, and what has no such field is matched by none:
tenant!=acme is about other tenants, and not about figures of all tenants together.")]
pub struct AddArgs {
    /// Whom it means, as in service=checkout
    #[arg(required = true, value_name = "MATCHER")]
    pub matchers: Vec<String>,

    /// How long, as in 2h
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until", conflicts_with = "until")]
    pub lasts: Option<String>,

    /// Until when, as in 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,

    /// From when on [default: now]
    #[arg(long, value_name = "TIME")]
    pub starts: Option<String>,

    /// Who makes it
    #[arg(long, value_name = "NAME")]
    pub by: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    pub why: String,
}

/// List the silences that hold, or will
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Those that have ended, too
    #[arg(long)]
    pub all: bool,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// End a silence before its time
#[derive(Clone, Debug, Args)]
pub struct EndArgs {
    /// Its id, or the beginning of it
    pub id: String,

    /// Who ends it
    #[arg(long, value_name = "NAME")]
    pub by: String,
}

pub fn run(global: &Global, args: &SilenceArgs) -> Outcome {
    let settings = global.load()?.settings;
    let store = Store::new(&settings, args.from.as_deref());
    match &args.command {
        SilenceCommand::Add(add_args) => add(&store, add_args),
        SilenceCommand::List(list_args) => list(&store, list_args),
        SilenceCommand::End(end_args) => end(&store, end_args),
    }
}

fn add(store: &Store<'_>, args: &AddArgs) -> Outcome {
    let now_ms = now_ms();
    let matchers = args.matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>();
    let matchers = matchers.map_err(|error| Failure::Usage(error.to_string()))?;
    let starts_ms = args.starts.as_deref().map_or(Ok(now_ms), |text| time("--starts", text))?;
    let ends_ms = match (&args.lasts, &args.until) {
        (Some(lasts), _) => {
            starts_ms + duration::parse(lasts).map_err(|error| Failure::Usage(format!("--for: {error}")))?
        }
        (None, Some(until)) => time("--until", until)?,
        (None, None) => return Err(Failure::Usage("until when? Write --for 2h, or --until TIME".to_owned())),
    };
    let silence = Silence {
        id: new_id(),
        matchers,
        starts_at: Moment(starts_ms),
        ends_at: Moment(ends_ms),
        created_by: args.by.clone(),
        comment: args.why.clone(),
        created_at: Moment(now_ms),
        ended_by: None,
    };
    silence.check().map_err(|error| Failure::Usage(error.to_string()))?;
    if ends_ms <= now_ms {
        return Err(Failure::Usage(format!("it would end at {}, which is over", silence.ends_at)));
    }
    store.put(&silence)?;
    let mut out = Printer::stdout();
    out.line(&in_words(&silence, now_ms))?;
    out.flush()?;
    Ok(Exit::Done.into())
}

fn list(store: &Store<'_>, args: &ListArgs) -> Outcome {
    let now_ms = now_ms();
    let mut silences = store.all()?;
    silences.retain(|silence| args.all || silence.state(now_ms) != "ended");
    silences.sort_by(|a, b| (a.ends_at, &a.id).cmp(&(b.ends_at, &b.id)));
    let mut out = Printer::stdout();
    if args.json {
        let of = |silence: &Silence| -> Result<serde_json::Value, serde_json::Error> {
            let mut json = serde_json::to_value(silence)?;
            json["state"] = json!(silence.state(now_ms));
            Ok(json)
        };
        let all = silences.iter().map(of).collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::from)?;
        out.json(&json!(all))?;
    } else if silences.is_empty() {
        out.line("Nothing is silenced.")?;
    } else {
        silences.iter().try_for_each(|silence| out.line(&in_words(silence, now_ms)))?;
    }
    out.flush()?;
    Ok(Exit::Done.into())
}

fn end(store: &Store<'_>, args: &EndArgs) -> Outcome {
    let now_ms = now_ms();
    let found: Vec<Silence> = store.all()?.into_iter().filter(|silence| silence.id.starts_with(&args.id)).collect();
    let [silence] = found.as_slice() else {
        let how_many = if found.is_empty() { "no silence has" } else { "more than one silence has" };
        return Err(Failure::Usage(format!("{how_many} an id that begins with `{}`", args.id)));
    };
    if silence.state(now_ms) == "ended" {
        return Err(Failure::Usage(format!("silence {} ended at {}", silence.id, silence.ends_at)));
    }
    // One that has not begun never holds: it ends as it begins.
    let ended = Silence {
        starts_at: silence.starts_at.min(Moment(now_ms)),
        ends_at: Moment(now_ms),
        ended_by: Some(args.by.clone()),
        ..silence.clone()
    };
    store.put(&ended)?;
    let mut out = Printer::stdout();
    out.line(&in_words(&ended, now_ms))?;
    out.flush()?;
    Ok(Exit::Done.into())
}

fn in_words(silence: &Silence, now_ms: Ms) -> String {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    let when = match silence.state(now_ms) {
        "active" => format!("until {}", silence.ends_at),
        "pending" => format!("from {} until {}", silence.starts_at, silence.ends_at),
        _ => format!("ended {}", silence.ends_at),
    };
    let ended_by = silence.ended_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let (id, by, why) = (&silence.id, &silence.created_by, &silence.comment);
    format!("{id}  {}  {when}{ended_by}  (made by {by}: {why})", matchers.join(" "))
}

fn time(option: &str, text: &str) -> Result<Ms, Failure> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.map(|time| time.as_millisecond()).map_err(|_| {
        Failure::Usage(format!("{option}: `{text}` is no time: write one as in 2026-12-24T18:00:00Z or ...+01:00"))
    })
}

#[expect(clippy::disallowed_methods, reason = "an id of our own, made in the shell; no figure depends on it")]
fn new_id() -> String {
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.truncate(16);
    id
}
