//! OpenSLO v1 documents and `tailburn.dev/` annotations -> `model::slo::Slo`.
//!
//! All mistakes of all files are collected, each with line, key and remedy. An unknown key is an error, because nobody
//! would notice that it is ignored. OpenSLO features that tailburn does not support yet are refused by name. One small
//! function reads files; the rest is pure.

mod agreement;
mod annotations;
mod composite;
mod cursor;
mod distinct;
mod document;
mod error;
mod export;
pub mod expression;
mod gauge;
mod hash;
mod indicator;
mod journey;
pub mod maintenance;
mod method;
mod period;
mod rules;
mod slo;
mod source;
pub mod tenants;
#[cfg(test)]
mod tests;
mod tree;
mod window;
mod yaml;

pub use error::{DefinitionError, DefinitionErrors, Notice, NoticeLevel};
pub use export::{documents, export};
pub use source::{load, texts};

use crate::model::ratio::Ratio;
use crate::model::slo::Slo;
use cursor::Cursor;
use document::{Catalog, Kind};
use error::Report;
use std::collections::BTreeMap;

/// The SLOs of all files, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// By name, ascending.
    pub slos: Vec<Slo>,
    /// In the order of files and lines.
    pub notices: Vec<Notice>,
}

/// The same SLO with another objective: default rules are chosen anew, others stay as far as they can fire.
pub fn with_objective(slo: &Slo, objective: Ratio) -> Slo {
    let rules = rules::rules_for(&slo.rules, slo.period.nominal_ms(), &slo.method, slo.objective, objective);
    Slo { objective, rules, ..slo.clone() }
}

/// Parses documents given as (file name, text).
pub fn parse(sources: &[(String, String)]) -> Result<Definitions, DefinitionErrors> {
    let mut report = Report::default();
    let mut trees = Vec::with_capacity(sources.len());
    for (file, text) in sources {
        match yaml::parse(file, text) {
            Ok(documents) => trees.push((file.as_str(), documents)),
            Err(e) => report.errors.push(*e),
        }
    }
    let mut catalog = Catalog::default();
    for (file, documents) in &trees {
        for document in documents {
            catalog.add(Cursor::root(file, document), &mut report);
        }
    }
    let slos = read_catalog(&catalog, &mut report);
    finish(slos, report)
}

/// The most SLOs of one configuration, because each has its own windows, users and rules.
const SLOS_MAX: usize = 2_000;

fn too_many_slos(at: &Cursor<'_>, report: &mut Report) {
    let message = format!("with this document there are more than {SLOS_MAX} SLOs, one for each objective");
    at.error(report, message, "run several instances, each with an application_id and SLOs of its own");
}

/// Reads the SLOs, and checks all other objects, also unused ones.
fn read_catalog(catalog: &Catalog<'_>, report: &mut Report) -> Vec<Slo> {
    let indicators = catalog
        .of_kind(Kind::Sli)
        .map(|document| {
            let spec = document.spec.as_ref();
            (document.name, spec.and_then(|spec| indicator::read_indicator(document.name, spec, catalog, report)))
        })
        .collect();
    let mut slos: BTreeMap<String, Slo> = BTreeMap::new();
    for document in catalog.of_kind(Kind::Slo) {
        let read = slo::read_slo(document, catalog, &indicators, report);
        if slos.len() + read.len() > SLOS_MAX {
            too_many_slos(&document.at, report);
            break;
        }
        for (slo, at) in read {
            if slos.contains_key(&slo.name) {
                at.error(report, format!("there are two SLOs named `{}`", slo.name), "give one of them another name");
            }
            slos.insert(slo.name.clone(), slo);
        }
    }
    check_others(catalog, report);
    slos.into_values().collect()
}

fn check_others(catalog: &Catalog<'_>, report: &mut Report) {
    for kind in [Kind::Service, Kind::AlertNotificationTarget, Kind::DataSource] {
        let keys: &[&str] = match kind {
            Kind::Service => &["description"],
            Kind::AlertNotificationTarget => &["description", "target"],
            _ => &["description", "type", "connectionDetails"],
        };
        for spec in catalog.of_kind(kind).filter_map(|document| document.spec.as_ref()) {
            spec.fields(report, keys);
        }
    }
    check_unused(catalog, report);
}

/// Mistakes in objects that no SLO uses are reported, but do not stop anything.
fn check_unused(catalog: &Catalog<'_>, report: &mut Report) {
    let unused = |kind| {
        let named = move |document: &&document::Document<'_>| !catalog.is_used(kind, document.name);
        catalog.of_kind(kind).filter(named)
    };
    for document in unused(Kind::AlertPolicy) {
        let mut found = Report::default();
        document.spec.as_ref().map(|spec| rules::read_policy(spec, catalog, &mut found));
        report.take_as_warnings(found);
        document.at.notice(report, NoticeLevel::Warning, "no SLO refers to this AlertPolicy: it has no effect");
    }
    for document in unused(Kind::AlertCondition) {
        let mut found = Report::default();
        document.spec.as_ref().map(|spec| rules::read_condition(spec, &mut found));
        report.take_as_warnings(found);
        document.at.notice(report, NoticeLevel::Warning, "no SLO refers to this AlertCondition: it has no effect");
    }
    for document in unused(Kind::Sli) {
        document.at.notice(report, NoticeLevel::Warning, "no SLO refers to this SLI: it has no effect");
    }
}

/// How many mistakes are reported.
const ERRORS_MAX: usize = 500;

/// A shared object may be read more than once, but its findings are reported once.
fn finish(slos: Vec<Slo>, report: Report) -> Result<Definitions, DefinitionErrors> {
    let Report { mut errors, mut notices } = report;
    if errors.is_empty() {
        notices.sort_by(|a, b| (&a.file, a.line, a.level, &a.message).cmp(&(&b.file, b.line, b.level, &b.message)));
        notices.dedup();
        return Ok(Definitions { slos, notices });
    }
    errors.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    errors.dedup();
    if let Some(last) = errors.get(ERRORS_MAX - 1).cloned() {
        let more = errors.len() - ERRORS_MAX;
        errors.truncate(ERRORS_MAX);
        if more > 0 {
            let message = format!("{more} more mistakes follow");
            errors.push(DefinitionError {
                key: String::new(),
                message,
                remedy: Some("mend these first".to_owned()),
                ..last
            });
        }
    }
    Err(DefinitionErrors(errors))
}
