//! `tailburn generate`: seeded traffic with planted incidents, and the truth about it, to files.
//!
//! Data goes to standard output or to a directory, messages to standard error. It reads no clock, so the same options
//! write the same bytes.

#[cfg(feature = "kafka")]
mod live;
mod sink;
#[cfg(test)]
mod tests;

use super::{Exit, Failure, Global, Outcome, Voice};
use crate::model::duration;
use crate::model::time::{DAY_MS, Ms};
use crate::telemetry;
use crate::traffic::{
    self, Blemishes, DEFAULT_FROM_MS, Incident, IncidentError, Traffic, TrafficError, TrafficSettings,
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sink::Sinks;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  A week of clean traffic with planned incidents, its truth, and an SLO to try it on:
    tailburn generate --incident auto --out week --truth week/truth.json --slo week/slo.yaml
    tailburn backtest --slos week/slo.yaml --input week/p0.jsonl --out result

  A cohort that the aggregate hides, two days in, for 45 minutes:
    tailburn generate --users 3000 --rate 20 --duration 3d \\
      --incident cohort@2d+45m:integration=sdk,region=ap:rate=0.3 > traffic.jsonl

Kinds of incident: outage (everybody), cohort (users with 1 to 3 attribute values), user, tenant,
latency. Names after the colon: rate, factor (latency), tenant, user, tier, region, integration,
release, signup. START is an offset (2d, 1d6h) or a time (2026-01-06T06:00:00Z).";

/// Write seeded traffic with planted incidents, and the truth about it.
///
/// Some users are far more active than others, and some tenants far larger; traffic follows the time of
/// day; each user has fixed attributes and moves to release r2 at some time; the smallest tenant stops
/// sending. The same options write the same bytes on any machine.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct GenerateArgs {
    /// The seed: another number makes other users and other traffic
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// When the traffic starts
    #[arg(long, value_name = "TIME", default_value = "2026-01-05T00:00:00Z", value_parser = parse_time)]
    pub from: Ms,

    /// How long it lasts
    #[arg(long, default_value = "7d", value_parser = parse_length)]
    pub duration: Ms,

    /// Records a second on average [default: 1]
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate, conflicts_with = "events")]
    pub rate: Option<f64>,

    /// Records in all (--duplicates and --retries come on top)
    #[arg(long)]
    pub events: Option<u64>,

    /// Users of all tenants
    #[arg(long, default_value_t = 10_000)]
    pub users: u32,

    /// Tenants; the n-th has 1/n of the users of the first
    #[arg(long, default_value_t = 6)]
    pub tenants: u16,

    /// Partitions: files p0.jsonl, p1.jsonl, ... of the output directory
    #[arg(long, default_value_t = 1)]
    pub partitions: u32,

    /// Partition by `tenant|user` (as Kafka's Java client does) instead of round robin
    #[arg(long)]
    pub keyed: bool,

    /// Directory for the files; `-`: standard output, all partitions in one stream
    #[arg(long, default_value = "-", value_name = "DIR|-")]
    pub out: PathBuf,

    /// Produce to Kafka instead, starting now, in real time
    #[cfg(feature = "kafka")]
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["out", "from"], requires = "topic")]
    pub kafka: Option<String>,

    /// The topic to produce to; it must exist
    #[cfg(feature = "kafka")]
    #[arg(long, requires = "kafka")]
    pub topic: Option<String>,

    /// Compress the output
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub compress: Compression,

    /// File for what was planted (JSON)
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,

    /// File for an SLO that fits this traffic (OpenSLO)
    #[arg(long, value_name = "FILE")]
    pub slo: Option<PathBuf>,

    /// KIND@START+DURATION[:name=value,...], may be repeated; or `auto`: a plan from the seed
    #[arg(long = "incident", alias = "incidents", value_name = "INCIDENT", value_parser = parse_incident)]
    pub incidents: Vec<String>,

    /// Defaults for the blemishes below
    #[arg(long, value_enum, default_value_t = Profile::Clean)]
    pub profile: Profile,

    /// Let the smallest tenant send to the end; otherwise it stops after 70 % of the time
    #[arg(long)]
    pub no_silent_tenant: bool,

    #[command(flatten)]
    pub blemishes: BlemishArgs,
}

/// Overrides of the profile; shares of the records, from 0 to 1.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Blemishes of real input, as shares of all records (0 to 1)")]
pub struct BlemishArgs {
    /// Records with a server error outside of incidents [clean 0.0003, dirty 0.0004]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub base_errors: Option<f64>,

    /// Records arrive up to this long after their time [clean 2s, dirty 4500ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub disorder: Option<Ms>,

    /// Records that arrive 1 to 30 minutes late [dirty 0.01]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub late: Option<f64>,

    /// Records that arrive 2 to 6 hours late [dirty 0.001]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub too_late: Option<f64>,

    /// Records that become dead letters, for every reason that a file can give [dirty 0.001]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub malformed: Option<f64>,

    /// Records without a user [dirty 0.01]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub without_user: Option<f64>,

    /// Records without a status, which are unclassified [dirty 0.003]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub without_status: Option<f64>,

    /// Records without a latency [dirty 0.01]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub without_latency: Option<f64>,

    /// Records that lack one attribute [dirty 0.01]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub without_attribute: Option<f64>,

    /// Records with their time in RFC 3339 instead of epoch milliseconds [dirty 0.25]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub rfc3339: Option<f64>,

    /// Records with a sampling weight, 2.5 or 0.333333 [dirty 0.1]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub weighted: Option<f64>,

    /// Records that are sent a second time, with the same event_id
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub duplicates: Option<f64>,

    /// Failed requests that the client tries again, at most twice [dirty 0.3]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub retries: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// In order within 2 s, nothing missing
    Clean,
    /// A little of everything that goes wrong with input
    Dirty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    None,
    Gz,
    Zst,
}

/// Writes the traffic; a reader that stops early (`| head`) is not an error.
pub fn run(global: &Global, args: &GenerateArgs) -> Outcome {
    Ok(generate(args, global.voice())?.into())
}

fn generate(args: &GenerateArgs, voice: Voice) -> Result<Exit, Failure> {
    #[cfg(feature = "kafka")]
    if let (Some(servers), Some(topic)) = (&args.kafka, &args.topic) {
        return live::produce(args, servers, topic);
    }
    let mut traffic = settings(args).and_then(Traffic::new).map_err(|e| Failure::Usage(e.to_string()))?;
    if let Some(path) = &args.slo {
        write_file(path, traffic::EXAMPLE_SLO.as_bytes())?;
    }
    let mut sinks = Sinks::open(&args.out, args.partitions, args.compress)?;
    write_all(&mut traffic, &mut sinks, args, voice)
        .and_then(|()| sinks.finish())
        .with_context(|| format!("cannot write the traffic to {}", args.out.display()))?;
    let truth = traffic.truth();
    if let Some(path) = &args.truth {
        let mut json = serde_json::to_vec_pretty(&truth).context("cannot write the truth as JSON")?;
        json.push(b'\n');
        write_file(path, &json)?;
    }
    voice.say(&summary(&truth));
    Ok(Exit::Done)
}

fn settings(args: &GenerateArgs) -> Result<TrafficSettings, TrafficError> {
    let by_rate = |rate: f64| (rate * args.duration as f64 / 1_000.0).round() as u64;
    let events = args.events.unwrap_or_else(|| by_rate(args.rate.unwrap_or(1.0)));
    let mut settings = TrafficSettings::over(args.seed, args.from, args.duration, events);
    settings.users = args.users;
    settings.tenants = args.tenants;
    settings.partitions = args.partitions;
    settings.keyed = args.keyed;
    settings.blemishes = args.blemishes.over(args.profile);
    if args.no_silent_tenant {
        settings.silent_from_ms = None;
    }
    for text in &args.incidents {
        if text == AUTO {
            let planned = traffic::plan_incidents(&settings, args.from.saturating_add(args.duration))?;
            settings.incidents.extend(planned);
        } else {
            settings.incidents.push(Incident::parse(text, args.from)?);
        }
    }
    Ok(settings)
}

impl BlemishArgs {
    fn over(&self, profile: Profile) -> Blemishes {
        let base = match profile {
            Profile::Clean => Blemishes::clean(),
            Profile::Dirty => Blemishes::dirty(),
        };
        Blemishes {
            base_errors: self.base_errors.unwrap_or(base.base_errors),
            disorder_ms: self.disorder.unwrap_or(base.disorder_ms),
            late: self.late.unwrap_or(base.late),
            too_late: self.too_late.unwrap_or(base.too_late),
            malformed: self.malformed.unwrap_or(base.malformed),
            without_user: self.without_user.unwrap_or(base.without_user),
            without_status: self.without_status.unwrap_or(base.without_status),
            without_latency: self.without_latency.unwrap_or(base.without_latency),
            without_attribute: self.without_attribute.unwrap_or(base.without_attribute),
            rfc3339: self.rfc3339.unwrap_or(base.rfc3339),
            weighted: self.weighted.unwrap_or(base.weighted),
            duplicates: self.duplicates.unwrap_or(base.duplicates),
            retries: self.retries.unwrap_or(base.retries),
        }
    }
}

fn write_all(traffic: &mut Traffic, sinks: &mut Sinks, args: &GenerateArgs, voice: Voice) -> io::Result<()> {
    let bar = progress_bar(args, voice);
    let mut line = Vec::with_capacity(512);
    let mut written: u64 = 0;
    while let Some(event) = traffic.next_event() {
        line.clear();
        event.write_json(traffic.population(), &mut line);
        line.push(b'\n');
        sinks.write(event.partition, &line)?;
        written += 1;
        if written.is_multiple_of(PROGRESS_STEP) {
            bar.set_position((event.arrival_ms - args.from).unsigned_abs());
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Incidents planned from the seed.
const AUTO: &str = "auto";
const LONGEST_MS: Ms = 3_650 * DAY_MS;
const FASTEST_PER_S: f64 = 1e7;
const PROGRESS_STEP: u64 = 16_384;

/// Progress in traffic time, because its end is known; hidden without a terminal.
fn progress_bar(args: &GenerateArgs, voice: Voice) -> ProgressBar {
    if !voice.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(args.duration.unsigned_abs()), ProgressDrawTarget::stderr());
    let colour = telemetry::allows_colour();
    let template = if colour { "{bar:40.cyan} {percent} % {eta}" } else { "{bar:40} {percent} % {eta}" };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create the directory {}", parent.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// What was written, and the planted incidents.
fn summary(truth: &traffic::Truth) -> String {
    let totals = &truth.totals;
    let mut told = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        told,
        "{} records of {} users in {} tenants, {} of them bad for `status < 500`, {} malformed",
        totals.records,
        truth.users,
        truth.tenants.len(),
        totals.bad,
        totals.malformed.values().sum::<u64>(),
    );
    for incident in &truth.incidents {
        let subject: Vec<String> = (incident.tenant.iter().map(|t| format!("tenant={t}")))
            .chain(incident.user.iter().map(|u| format!("user={u}")))
            .chain(incident.attributes.iter().map(|(name, value)| format!("{name}={value}")))
            .collect();
        let _ = writeln!(
            told,
            "{} to {}  {:7}  {} of {} events, {} users  {}",
            incident.start,
            incident.end,
            incident.kind,
            incident.planted_events,
            incident.events,
            incident.users_affected,
            subject.join(","),
        );
    }
    told
}

fn parse_duration(text: &str) -> Result<Ms, duration::DurationError> {
    duration::parse(text)
}

fn parse_length(text: &str) -> Result<Ms, String> {
    let length_ms = duration::parse(text).map_err(|e| e.to_string())?;
    if length_ms > 0 && length_ms <= LONGEST_MS { Ok(length_ms) } else { Err("choose 1ms to ten years (3650d)".into()) }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if rate > 0.0 && rate <= FASTEST_PER_S { Ok(rate) } else { Err(format!("choose above 0 to {FASTEST_PER_S}")) }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".into()) }
}

/// Checks the syntax of an incident; its start time needs the other options.
fn parse_incident(text: &str) -> Result<String, IncidentError> {
    if text != AUTO {
        Incident::parse(text, DEFAULT_FROM_MS)?;
    }
    Ok(text.to_owned())
}

fn parse_time(text: &str) -> Result<Ms, String> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        format!("`{text}` is not a time: write it as in {}", crate::model::time::Moment(DEFAULT_FROM_MS))
    })?;
    Ok(time.as_millisecond())
}
