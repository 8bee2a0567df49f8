//! OpenSLO v1 documents and `tailburn.dev/` annotations -> `model::slo::Slo`.
//!
//! Every mistake of every file is collected, with its line, its key and a remedy. A key that is not
//! known is an error: what is silently ignored is what nobody finds. What OpenSLO knows and tailburn
//! does not do yet is refused by name. Reading files is one small function; the rest is pure.

mod annotations;
mod cursor;
mod document;
mod error;
pub mod expression;
mod hash;
mod indicator;
mod rules;
mod slo;
mod source;
#[cfg(test)]
mod tests;
mod window;
mod yaml;

pub use error::{DefinitionError, DefinitionErrors, Notice, NoticeLevel};
pub use source::load;

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

/// Checks every object, those that nothing refers to as well, and reads the SLOs.
fn read_catalog(catalog: &Catalog<'_>, report: &mut Report) -> Vec<Slo> {
    check_others(catalog, report);
    let indicators = catalog
        .of_kind(Kind::Sli)
        .map(|document| {
            let spec = document.spec.as_ref();
            (document.name, spec.and_then(|spec| indicator::read_indicator(document.name, spec, catalog, report)))
        })
        .collect();
    let mut slos: BTreeMap<String, Slo> = BTreeMap::new();
    for document in catalog.of_kind(Kind::Slo) {
        for (slo, at) in slo::read_slo(document, catalog, &indicators, report) {
            if slos.contains_key(&slo.name) {
                at.error(report, format!("there are two SLOs named `{}`", slo.name), "give one of them another name");
            }
            slos.insert(slo.name.clone(), slo);
        }
    }
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
    for spec in catalog.of_kind(Kind::AlertPolicy).filter_map(|document| document.spec.as_ref()) {
        rules::read_policy(spec, catalog, report);
    }
    for spec in catalog.of_kind(Kind::AlertCondition).filter_map(|document| document.spec.as_ref()) {
        rules::read_condition(spec, report);
    }
}

/// A shared object may have been read more than once: what it said is said once.
fn finish(slos: Vec<Slo>, report: Report) -> Result<Definitions, DefinitionErrors> {
    let Report { mut errors, mut notices } = report;
    if errors.is_empty() {
        notices.sort_by(|a, b| (&a.file, a.line, a.level, &a.message).cmp(&(&b.file, b.line, b.level, &b.message)));
        notices.dedup();
        return Ok(Definitions { slos, notices });
    }
    errors.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    errors.dedup();
    Err(DefinitionErrors(errors))
}
