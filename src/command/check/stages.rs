//! The stages: the configuration, then the SLOs it names, then both together.

use super::report::{Finding, Level, Report};
use super::seams::{Seams, SloStage};
use crate::command::decoder;
use crate::config::{ConfigErrors, Loaded, Origin, Problem, Settings, UserIds};
use crate::model::duration;
use crate::model::slo::Slo;
use std::path::Path;

/// Later stages are not looked at where an earlier one has errors: what follows from a mistake is not another.
pub fn check(loaded: Result<Loaded, ConfigErrors>, seams: &Seams) -> Report {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => {
            let file = errors.file.as_deref();
            let configuration = errors.problems.iter().map(|p| finding(Level::Error, p, file)).collect();
            return Report { file: errors.file.clone(), configuration, ..Report::default() };
        }
    };
    if let Err(error) = decoder::of_records(&loaded.settings.input) {
        let problem = loaded.place(Problem::new(error.key(), error.message(), ""));
        let configuration = vec![finding(Level::Error, &problem, loaded.file.as_deref())];
        return Report { file: loaded.file, configuration, ..Report::default() };
    }
    let keys_set = loaded.entries.iter().filter(|e| e.origin != Origin::Default).count();
    let configuration = configuration_findings(&loaded);
    let (slos, ready) = match (seams.slos)(&loaded.settings.slos) {
        Ok(SloStage { slos, notices }) => {
            let mut findings = notices;
            findings.extend(cross_findings(&loaded, &slos));
            let failed = findings.iter().any(|f| f.level == Level::Error);
            (findings, (!failed).then_some((loaded.settings, slos)))
        }
        Err(errors) => (errors, None),
    };
    Report { file: loaded.file, keys_set, configuration, slos: Some(slos), ready, records: None }
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

fn configuration_findings(loaded: &Loaded) -> Vec<Finding> {
    let mut findings: Vec<Finding> = missing_files(&loaded.settings)
        .into_iter()
        .map(|p| finding(Level::Warning, &loaded.place(p), loaded.file.as_deref()))
        .collect();
    let unbuilt = crate::command::assemble::unbuilt(&loaded.settings);
    let unbuilt = unbuilt.map(|(key, what, remedy)| Problem::new(key, what, remedy));
    findings.extend(unbuilt.map(|p| finding(Level::Error, &loaded.place(p), loaded.file.as_deref())));
    let advice = loaded.settings.advice().into_iter();
    findings.extend(advice.map(|p| finding(Level::Advice, &loaded.place(p), loaded.file.as_deref())));
    findings
}

/// Files that `run` will want.
fn missing_files(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let key_file = &settings.privacy.key_file;
    if settings.privacy.user_ids != Some(UserIds::Plain) && !key_file.is_file() {
        let message = format!("{} is not there, and `run` needs it for user ids", key_file.display());
        problems.push(Problem::new("privacy.key_file", message, "`tailburn init` makes one."));
    }
    if let Some(schema) = settings.input.avro_schema.as_ref().filter(|s| !s.is_file()) {
        problems.push(Problem::new("input.avro_schema", format!("{} is not there", schema.display()), ""));
    }
    problems
}

/// What neither the configuration nor an SLO can know alone.
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
