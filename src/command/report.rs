//! `report`: one tenant's month, or that of all tenants, from what was published.

mod agreement;
mod month;
mod write;

use super::records::each;
use super::{Exit, Failure, Global, Outcome, Printer, assemble};
use crate::config::Settings;
use anyhow::Context as _;
use clap::Args;
use month::{Collector, Month, Report};
use std::io::Write as _;
use std::path::{Path, PathBuf};
pub(super) use write::escaped;
use write::{Form, write};

/// Write one tenant's month in plain words and numbers, or that of all tenants
///
/// Reads hourly points, alerts, cohorts and worst-served users from the output topics, or from the files of a backtest,
/// and says for each SLO of the tenant: the result against the objective, the worst days, incidents with who was hit,
/// users who were served badly, and when the definition changed; where there is an agreement (SLA), the result against it,
/// and which months missed it. Months are in UTC. Names and owners are those of the file of tenants (setting `tenants`).
/// The same records make the same bytes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn report --tenant acme --period 2026-11
  tailburn report --tenant acme --period 2026-11 --out acme-2026-11.html      to print, or to send
  tailburn report --all --period 2026-11 --out reports                        a page for each tenant
  tailburn report --tenant acme --period 2026-11 --from result --out acme.csv")]
pub struct ReportArgs {
    /// The tenant, as in the outcomes
    #[arg(long, value_name = "TENANT", required_unless_present = "all")]
    pub tenant: Option<String>,

    /// Every tenant that has something in the month; --out is a directory, with a page each
    #[arg(long, conflicts_with = "tenant", requires = "out")]
    pub all: bool,

    /// The month, as in 2026-11
    #[arg(long, value_name = "YYYY-MM", value_parser = Month::parse)]
    pub period: Month,

    /// What to write to: a page (.html), a table (.csv) or JSON (.json) [default: a text on standard output]
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,

    /// Read the files of `tailburn backtest --out DIR` instead of topics
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
}

pub fn run(global: &Global, args: &ReportArgs) -> Outcome {
    let settings = global.load()?.settings;
    let form = match &args.out {
        Some(file) if !args.all => Form::of_file(&file.display().to_string()).map_err(Failure::Usage)?,
        _ => Form::Html,
    };
    let mut collector = Collector::new(args.period.clone(), args.tenant.clone());
    match &args.from {
        Some(dir) => from_files(dir, &mut collector)?,
        None => from_topics(&settings, &mut collector)?,
    }
    let mut reports = collector.reports();
    let tenants = assemble::tenants_of(&settings)?;
    for report in &mut reports {
        if let Some(tenant) = tenants.0.get(&report.tenant) {
            (report.display_name, report.owner) = (tenant.display_name.clone(), tenant.owner.clone());
        }
    }
    match (&args.out, reports.as_slice()) {
        (Some(dir), reports) if args.all => all(dir, reports, global)?,
        (_, []) => {
            let tenant = args.tenant.clone().unwrap_or_default();
            let period = &args.period.name;
            return Err(anyhow::anyhow!(
                "nothing was published of tenant `{tenant}` in {period}: its name is as in the outcomes, and hourly \
                 points are kept for 400 days"
            )
            .into());
        }
        (Some(file), [report, ..]) => put(file, &text(report, form)?)?,
        (None, [report, ..]) => {
            let mut out = Printer::stdout();
            write!(out, "{}", text(report, Form::Text)?)?;
            out.flush()?;
        }
    }
    Ok(Exit::Done.into())
}

fn text(report: &Report, form: Form) -> Result<String, Failure> {
    Ok(write(report, form).map_err(anyhow::Error::from)?)
}

fn put(file: &Path, text: &str) -> Result<(), Failure> {
    Ok(std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?)
}

fn all(dir: &Path, reports: &[Report], global: &Global) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    for report in reports {
        put(&dir.join(format!("{}.html", file_name(&report.tenant))), &text(report, Form::Html)?)?;
    }
    global.voice().say(&format!("{} reports in {}", reports.len(), dir.display()));
    Ok(())
}

/// A name for a file that no tenant's name can lead out of the directory, and that two tenants never share.
fn file_name(tenant: &str) -> String {
    let mut name = String::with_capacity(tenant.len());
    for byte in tenant.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            // Upper case, too: some file systems do not tell it from lower case.
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

fn from_files(dir: &Path, collector: &mut Collector) -> Result<(), Failure> {
    each(dir, &Collector::TOPICS, &mut |topic, key, json| {
        collector.take(topic, key, Some(json)).with_context(|| format!("{key}: this is no record of {}", topic.name()))
    })?;
    Ok(())
}

#[cfg(feature = "kafka")]
fn from_topics(settings: &Settings, collector: &mut Collector) -> Result<(), Failure> {
    super::follow::to_the_end(settings, &Collector::TOPICS, &mut |topic, key, json| {
        collector.take(topic, key, json).with_context(|| format!("{key}: this is no record of {}", topic.name()))
    })
}

#[cfg(not(feature = "kafka"))]
fn from_topics(_: &Settings, _: &mut Collector) -> Result<(), Failure> {
    let message = "this build has no Kafka (feature `kafka`): read the files of a backtest with --from DIR";
    Err(Failure::Usage(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tenants_stay_in_the_directory_and_apart() {
        for (tenant, name) in [("acme-1", "acme-1"), ("../etc", "%2e%2e%2fetc"), ("Acme", "%41cme"), ("é", "%c3%a9")] {
            assert_eq!(file_name(tenant), name);
        }
    }
}
