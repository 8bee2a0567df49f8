//! What was applied of the SLOs: changes in their topic or in a file, what is in force by them, and whether the files
//! say the same.
//!
//! Compaction keeps the last record of a key. So each change has a key of its own, which nothing ever replaces, beside
//! the SLO's name, whose record is what is in force.

pub mod control;
pub(super) mod file;
mod store;
#[cfg(feature = "kafka")]
mod topic;

pub use store::Store;

use super::diff::changes::{Change, FieldChange, Version, Versions, changes, field_changes, versions};
use super::{Failure, Voice, assemble};
use crate::board::Board;
use crate::config::Settings;
use crate::model::applied::AppliedDefinition;
use crate::model::key::encode_into;
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All that was applied for one application, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub changes: Vec<AppliedDefinition>,
}

/// Who applies a change, when and why.
#[derive(Clone, Debug)]
pub struct Signature {
    pub by: String,
    pub reason: String,
    pub now_ms: Ms,
}

impl Ledger {
    /// Takes records in the order of their log. A change stands there under two keys, and several that begin at once
    /// may have recorded the same: each counts once. Of two who changed an SLO at once, the second did not know of the
    /// first: what was before is told by the log.
    pub fn of(records: impl IntoIterator<Item = AppliedDefinition>, application_id: &str) -> Ledger {
        let mut ledger = Ledger::default();
        let (mut known, mut last) = (BTreeSet::new(), BTreeMap::new());
        for mut record in records.into_iter().filter(|record| record.application_id == application_id) {
            if !known.insert(key_of_change(&record)) || last.get(&record.slo) == Some(&record.definition_hash) {
                continue;
            }
            if let Some(before) = last.insert(record.slo.clone(), record.definition_hash.clone()) {
                record.previous_hash = before;
            }
            ledger.changes.push(record);
        }
        ledger
    }

    /// What is in force, by the names of SLOs.
    pub fn in_force(&self) -> BTreeMap<&str, &AppliedDefinition> {
        let last: BTreeMap<&str, &AppliedDefinition> =
            self.changes.iter().map(|change| (change.slo.as_str(), change)).collect();
        last.into_iter().filter(|(_, change)| !change.is_removal()).collect()
    }

    pub fn versions(&self) -> Versions {
        let of = |(name, record): (&str, &AppliedDefinition)| Some((name.to_owned(), Version::applied(record)?));
        self.in_force().into_iter().filter_map(of).collect()
    }

    /// The SLOs in force, read from their documents. Each document is that of its record: what it says of other SLOs was
    /// recorded with them.
    pub fn slos(&self, settings: &Settings, voice: Voice) -> Result<Vec<Slo>, Failure> {
        let mut all = Vec::new();
        for (name, record) in self.in_force() {
            let text = record.document.clone().unwrap_or_default();
            let slos = assemble::parsed(&[(format!("what was applied of {name}"), text)])?.slos;
            all.extend(slos.into_iter().filter(|slo| slo.name == *name));
        }
        if let Err(failure) = assemble::add_tenants(settings, &mut all) {
            voice.say(&format!("what was applied is evaluated without the file of tenants: {failure}"));
        }
        let in_force = self.in_force();
        let is_same = |slo: &&Slo| {
            in_force.get(slo.name.as_str()).and_then(|r| r.definition_hash.as_ref()) == Some(&slo.definition_hash)
        };
        for slo in all.iter().filter(|slo| !is_same(slo)) {
            voice.say(&format!(
                "{}: what was applied is evaluated as this build and the present file of tenants have it",
                slo.name
            ));
        }
        Ok(all)
    }

    /// What the SLOs of the files would change.
    pub fn changes_by(&self, slos: &[Slo]) -> Vec<Change> {
        changes(&self.versions(), &versions(slos))
    }

    /// The changes of the SLOs of this name: that of the SLO, or that of its document. Each with the fields that it
    /// changed.
    pub fn history<'l>(&'l self, name: &str) -> Vec<(&'l AppliedDefinition, Vec<FieldChange>)> {
        let is_it =
            |slo: &str| slo == name || slo.strip_prefix(name).is_some_and(|objective| objective.starts_with(':'));
        let mut before: BTreeMap<&str, Version> = BTreeMap::new();
        let told = self.changes.iter().filter(|change| is_it(&change.slo)).map(|change| {
            let now = Version::applied(change);
            let fields = match (before.get(change.slo.as_str()), &now) {
                (Some(before), Some(now)) => field_changes(before, now),
                _ => Vec::new(),
            };
            match now {
                Some(now) => before.insert(&change.slo, now),
                None => before.remove(change.slo.as_str()),
            };
            (change, fields)
        });
        told.collect()
    }

    /// Shows all changes on the API.
    pub fn show(&self, board: &Board) {
        let of = |slo: &str| -> Vec<(String, Vec<u8>)> {
            let history = self.history(slo).into_iter().filter(|(change, _)| change.slo == slo);
            history.map(|(change, fields)| (slo.to_owned(), told(change, &fields).to_string().into_bytes())).collect()
        };
        let names: BTreeSet<&str> = self.changes.iter().map(|change| change.slo.as_str()).collect();
        board.note_changes(names.into_iter().flat_map(of));
    }

    /// The records of these changes. `documents`: by name of the SLO.
    pub fn records(
        &self,
        changes: &[Change],
        slos: &[Slo],
        documents: &BTreeMap<String, String>,
        application_id: &str,
        signature: &Signature,
    ) -> Vec<AppliedDefinition> {
        let in_force = self.in_force();
        let record = |change: &Change| {
            let slo = slos.iter().find(|slo| slo.name == change.slo);
            AppliedDefinition {
                slo: change.slo.clone(),
                definition_hash: slo.map(|slo| slo.definition_hash.clone()),
                since: Moment(signature.now_ms),
                by: signature.by.clone(),
                reason: signature.reason.clone(),
                change: change.what.name().to_owned(),
                previous_hash: in_force.get(change.slo.as_str()).and_then(|before| before.definition_hash.clone()),
                filters_hash: slo.map(|slo| slo.filters_hash.clone()),
                application_id: application_id.to_owned(),
                document: slo.and_then(|slo| documents.get(&slo.name).cloned()),
                fields: slo.map(|slo| Version::of(slo).fields).unwrap_or_default(),
            }
        };
        changes.iter().map(record).collect()
    }
}

/// A change as JSON, without the document.
pub fn told(change: &AppliedDefinition, fields: &[FieldChange]) -> Value {
    json!({
        "slo": change.slo,
        "since": change.since,
        "by": change.by,
        "reason": change.reason,
        "change": change.change,
        "definition_hash": change.definition_hash,
        "previous_hash": change.previous_hash,
        "fields": fields,
    })
}

/// The message key of what is in force of an SLO.
pub fn key(slo: &str) -> String {
    let mut key = String::new();
    encode_into(&mut key, slo);
    key
}

/// The message key of a change, which no other change has.
pub fn key_of_change(record: &AppliedDefinition) -> String {
    let hash = record.definition_hash.as_deref().unwrap_or(AppliedDefinition::REMOVED);
    format!("{}|{}|{}", key(&record.slo), record.since, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(slo: &str, hash: Option<&str>, at: Ms) -> AppliedDefinition {
        AppliedDefinition {
            slo: slo.to_owned(),
            definition_hash: hash.map(str::to_owned),
            since: Moment(at),
            by: "ann".to_owned(),
            reason: "why".to_owned(),
            change: "changed".to_owned(),
            previous_hash: None,
            filters_hash: hash.map(|_| "f".to_owned()),
            application_id: "app".to_owned(),
            document: None,
            fields: hash.map(|hash| BTreeMap::from([("objective".to_owned(), hash.to_owned())])).unwrap_or_default(),
        }
    }

    fn in_force(ledger: &Ledger) -> Vec<(&str, Option<&str>)> {
        ledger.in_force().into_iter().map(|(name, record)| (name, record.definition_hash.as_deref())).collect()
    }

    #[test]
    fn the_last_change_of_a_name_is_in_force_until_the_slo_is_removed() {
        let all =
            [change("a", Some("1"), 10), change("b", Some("1"), 10), change("a", Some("2"), 20), change("b", None, 30)];
        assert_eq!(in_force(&Ledger::of(all.clone(), "app")), [("a", Some("2"))]);
        let again = all.into_iter().chain([change("b", Some("1"), 40)]);
        assert_eq!(in_force(&Ledger::of(again, "app")), [("a", Some("2")), ("b", Some("1"))]);
    }

    #[test]
    fn a_change_counts_once_under_its_two_keys_and_from_two_who_began_at_once() {
        let (first, second) = (change("a", Some("1"), 10), change("a", Some("2"), 20));
        // The record of the name was compacted to the last one; the changes keep theirs.
        let beside = AppliedDefinition { since: Moment(11), ..first.clone() };
        let ledger = Ledger::of([first.clone(), beside, second.clone(), second.clone()], "app");
        assert_eq!(ledger.changes, [first, AppliedDefinition { previous_hash: Some("1".to_owned()), ..second }]);
        let other = AppliedDefinition { application_id: "other".to_owned(), ..change("a", Some("3"), 30) };
        assert_eq!(in_force(&Ledger::of([change("a", Some("1"), 10), other], "app")), [("a", Some("1"))]);
    }

    #[test]
    fn of_two_who_changed_an_slo_at_once_the_second_follows_the_first() {
        let after = |hash: Option<&str>, at: Ms, previous: Option<&str>| AppliedDefinition {
            previous_hash: previous.map(str::to_owned),
            ..change("a", hash, at)
        };
        // Both of 20 and 21 saw "1" in force. What is before the first record that is left is as it was recorded.
        let all = [
            after(Some("1"), 10, Some("0")),
            after(Some("2"), 20, Some("1")),
            after(Some("3"), 21, Some("1")),
            after(None, 30, Some("3")),
            after(Some("3"), 40, None),
        ];
        let ledger = Ledger::of(all, "app");
        let told: Vec<Option<&str>> = ledger.changes.iter().map(|change| change.previous_hash.as_deref()).collect();
        assert_eq!(told, [Some("0"), Some("1"), Some("2"), Some("3"), None]);
    }

    #[test]
    fn a_document_with_several_objectives_has_one_history() {
        let all = [
            change("a:gold", Some("1"), 10),
            change("ab", Some("9"), 10),
            change("a:basic", Some("5"), 10),
            change("a:gold", Some("2"), 20),
            change("a:gold", None, 30),
            change("a:gold", Some("2"), 40),
        ];
        let ledger = Ledger::of(all, "app");
        let told: Vec<(&str, Ms, Vec<String>)> = ledger
            .history("a")
            .into_iter()
            .map(|(change, fields)| {
                (change.slo.as_str(), change.since.0, fields.iter().map(FieldChange::in_words).collect())
            })
            .collect();
        let expected = [
            ("a:gold", 10, vec![]),
            ("a:basic", 10, vec![]),
            ("a:gold", 20, vec!["objective: 1 -> 2".to_owned()]),
            ("a:gold", 30, vec![]),
            ("a:gold", 40, vec![]),
        ];
        assert_eq!(told, expected);
        assert_eq!(ledger.history("a:basic").len(), 1);
        assert_eq!(ledger.history("b"), []);
    }

    #[test]
    fn keys_of_changes_are_never_those_of_names() {
        let record = change("a|b", Some("1"), 0);
        assert_eq!(key("a|b"), "a%7Cb");
        assert_eq!(key_of_change(&record), "a%7Cb|1970-01-01T00:00:00.000Z|1");
        assert_eq!(key_of_change(&change("a", None, 0)), "a|1970-01-01T00:00:00.000Z|removed");
    }
}
