//! The stages: the configuration, then the SLOs it names, then both together.

use super::report::{Finding, Level, Report};
use super::seams::{Seams, SloStage};
use crate::command::{assemble, decoder, notify};
use crate::config::{ConfigErrors, Loaded, Origin, Problem, Settings, UserIds};
use crate::definition::{maintenance, tenants};
use crate::model::duration;
use crate::model::slo::Slo;
use std::path::Path;

/// What to check.
pub struct Asked {
    pub loaded: Loaded,
    /// Whether to check that `run` finds everything it needs.
    pub is_for_run: bool,
}

/// A stage with errors ends the check: later errors would only follow from them.
pub fn check(asked: Result<Asked, ConfigErrors>, seams: &Seams) -> Report {
    let Asked { loaded, is_for_run } = match asked {
        Ok(asked) => asked,
        Err(errors) => {
            let file = errors.file.as_deref();
            let configuration = errors.problems.iter().map(|p| finding(Level::Error, p, file)).collect();
            return Report { file: errors.file.clone(), configuration, ..Report::default() };
        }
    };
    if let Err(error) = decoder::of_records(&loaded.settings) {
        let placed = error.problems().into_iter().map(|problem| loaded.place(problem));
        let configuration = placed.map(|problem| finding(Level::Error, &problem, loaded.file.as_deref())).collect();
        return Report { file: loaded.file, configuration, ..Report::default() };
    }
    if let Err(errors) = notify::plan::check(&loaded) {
        let configuration =
            errors.problems.iter().map(|problem| finding(Level::Error, problem, loaded.file.as_deref())).collect();
        return Report { file: loaded.file, configuration, ..Report::default() };
    }
    let keys_set = loaded.entries.iter().filter(|e| e.origin != Origin::Default).count();
    let configuration = configuration_findings(&loaded, is_for_run);
    let (slos, ready) = match (seams.slos)(&loaded.settings.slos) {
        Ok(SloStage { mut slos, notices }) => {
            let mut findings = notices;
            findings.extend(add_tenants(&loaded, &mut slos));
            findings.extend(add_maintenance(&loaded, &mut slos));
            findings.extend(cross_findings(&loaded, &slos));
            let failed = findings.iter().any(|f| f.level == Level::Error);
            (findings, (!failed).then_some((loaded.settings, slos)))
        }
        Err(errors) => (errors, None),
    };
    Report { file: loaded.file, keys_set, configuration, slos: Some(slos), ready, ..Report::default() }
}

/// What the file of tenants says of the SLOs; `Some`: it cannot be used.
fn add_tenants(loaded: &Loaded, slos: &mut [Slo]) -> Option<Finding> {
    let file = loaded.settings.tenants.as_deref()?;
    let error = tenants::read(file).and_then(|tenants| tenants::apply(&tenants, slos)).err()?.to_string();
    let message = error.strip_prefix("tenants: ").unwrap_or(&error);
    let problem = loaded.place(Problem::new("tenants", message, "Correct the file, or write null."));
    Some(finding(Level::Error, &problem, loaded.file.as_deref()))
}

/// The maintenance of the configuration; `Some`: an entry cannot be used.
fn add_maintenance(loaded: &Loaded, slos: &mut [Slo]) -> Option<Finding> {
    let error = maintenance::apply(&loaded.settings.maintenance, slos).err()?;
    let problem = loaded.place(Problem::new(error.key, error.message, error.remedy));
    Some(finding(Level::Error, &problem, loaded.file.as_deref()))
}

fn finding(level: Level, problem: &Problem, file: Option<&Path>) -> Finding {
    Finding {
        level,
        place: problem.origin.describe(file),
        key: problem.key.clone(),
        message: problem.message.clone(),
        remedy: Some(problem.remedy.clone()).filter(|r| !r.is_empty()),
    }
}

fn configuration_findings(loaded: &Loaded, is_for_run: bool) -> Vec<Finding> {
    let placed = |level, problem| finding(level, &loaded.place(problem), loaded.file.as_deref());
    let mut findings = Vec::new();
    if is_for_run {
        findings.extend(key_file(&loaded.settings).map(|(level, problem)| placed(level, problem)));
        findings.extend(clients(&loaded.settings).map(|problem| placed(Level::Error, problem)));
    }
    let unbuilt = assemble::unbuilt(&loaded.settings);
    findings.extend(unbuilt.map(|(key, what, remedy)| placed(Level::Error, Problem::new(key, what, remedy))));
    findings.extend(loaded.settings.advice().into_iter().map(|problem| placed(Level::Advice, problem)));
    findings
}

/// Creates the Kafka clients as `run` does: finds properties that the client library refuses and files that cannot be
/// read.
#[cfg(feature = "kafka")]
fn clients(settings: &Settings) -> Option<Problem> {
    use crate::log::LogError;
    match crate::log::kafka::try_clients(&crate::command::topics::kafka_settings(settings)).err()? {
        LogError::Refused { what, message } => Some(Problem::new(what, message, "")),
        other => Some(Problem::new("kafka.properties", other.to_string(), "")),
    }
}

#[cfg(not(feature = "kafka"))]
fn clients(_settings: &Settings) -> Option<Problem> {
    None
}

/// Reads the key file as `run` does. A missing one is no error: secrets are often mounted later.
fn key_file(settings: &Settings) -> Option<(Level, Problem)> {
    let path = &settings.privacy.key_file;
    if settings.privacy.user_ids == Some(UserIds::Plain) {
        return None;
    }
    if !path.exists() {
        let message = format!("{} does not exist, and `run` needs it for user ids", path.display());
        return Some((Level::Warning, Problem::new("privacy.key_file", message, "`tailburn init` makes one.")));
    }
    let error = assemble::user_ids(settings, UserIds::Hmac).err()?.to_string();
    let message = error.strip_prefix("privacy.key_file ").unwrap_or(&error).to_owned();
    Some((Level::Error, Problem::new("privacy.key_file", message, "")))
}

/// Checks that need both the configuration and the SLOs.
fn cross_findings(loaded: &Loaded, slos: &[Slo]) -> Vec<Finding> {
    let Some(horizon_ms) = loaded.settings.input.dedup_horizon_ms else { return Vec::new() };
    let too_short = slos.iter().filter(|s| s.allowed_lateness_ms < horizon_ms).map(|slo| {
        let lateness = duration::print(slo.allowed_lateness_ms);
        let message = format!("is longer than the allowed lateness of {} ({lateness})", slo.name);
        let problem = Problem::new("input.dedup_horizon", message, format!("Write at most {lateness}."));
        finding(Level::Error, &loaded.place(problem), loaded.file.as_deref())
    });
    too_short.collect()
}
