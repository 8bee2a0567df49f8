//! Definitions -> OpenSLO v1 YAML in one file: what runs, with every reference replaced by what it refers to.
//!
//! Services and notification targets keep their documents. Everything else that an SLO refers to stands in the SLO, so that
//! each can be read on its own. What was written is read back and compared by hash: a file that would mean something else
//! is never written.

use super::cursor::Cursor;
use super::document::{Catalog, Document, Kind};
use super::error::{DefinitionError, DefinitionErrors, Report};
use super::tree::Tree;
use super::{parse, yaml};
use std::collections::BTreeMap;

/// The documents of all files as one file.
pub fn export(sources: &[(String, String)]) -> Result<String, DefinitionErrors> {
    let before = parse(sources)?;
    let written = with_catalog(sources, write)?;
    let after = parse(&[(String::from("the file to write"), written.clone())])?;
    let (before, after) = (hashes(&before), hashes(&after));
    match before.iter().find(|(name, hash)| after.get(*name) != Some(hash)) {
        None if before.len() == after.len() => Ok(written),
        changed => Err(changed_error(changed.map_or("", |(name, _)| name))),
    }
}

/// The document of each SLO, by the SLO's name: it can be read on its own, and means the same.
pub fn documents(sources: &[(String, String)]) -> Result<BTreeMap<String, String>, DefinitionErrors> {
    let whole = hashes(&parse(sources)?);
    let (shared, each) = with_catalog(sources, |catalog| (shared(catalog), of_slos(catalog).collect::<Vec<_>>()))?;
    let read = |text: &str| parse(&[(String::from("a document"), text.to_owned())]);
    let mut all = BTreeMap::new();
    for alone in each {
        // Policies may name targets, which have documents of their own.
        let (text, read) = match read(&alone) {
            Ok(read) => (alone, read),
            Err(_) => {
                let text = format!("{shared}{alone}");
                let read = read(&text)?;
                (text, read)
            }
        };
        all.extend(hashes(&read).into_iter().map(|(name, hash)| (name, (hash, text.clone()))));
    }
    let same = |name: &String| all.get(name).map(|(hash, _)| hash) == whole.get(name);
    match whole.keys().find(|name| !same(name)) {
        None => Ok(all.into_iter().map(|(name, (_, text))| (name, text)).collect()),
        Some(name) => Err(changed_error(name)),
    }
}

fn hashes(definitions: &super::Definitions) -> BTreeMap<String, String> {
    definitions.slos.iter().map(|slo| (slo.name.clone(), slo.definition_hash.clone())).collect()
}

fn with_catalog<T>(sources: &[(String, String)], each: impl FnOnce(&Catalog<'_>) -> T) -> Result<T, DefinitionErrors> {
    let mut trees = Vec::with_capacity(sources.len());
    for (file, text) in sources {
        let documents = yaml::parse(file, text).map_err(|e| DefinitionErrors(vec![*e]))?;
        trees.push((file.as_str(), documents));
    }
    let mut silent = Report::default();
    let mut catalog = Catalog::default();
    for (file, documents) in &trees {
        for document in documents {
            catalog.add(Cursor::root(file, document), &mut silent);
        }
    }
    Ok(each(&catalog))
}

fn changed_error(name: &str) -> DefinitionErrors {
    DefinitionErrors(vec![DefinitionError {
        file: "the file to write".to_owned(),
        line: None,
        column: None,
        key: String::new(),
        message: format!("read back, the SLO `{name}` would not be the same: nothing is written"),
        remedy: Some("this is a mistake of tailburn: please report it with the definition".to_owned()),
    }])
}

fn write(catalog: &Catalog<'_>) -> String {
    let slos: String = of_slos(catalog).collect();
    shared(catalog) + &slos
}

/// The documents that SLOs refer to, and that are no part of them.
fn shared(catalog: &Catalog<'_>) -> String {
    let as_written = [Kind::Service, Kind::AlertNotificationTarget].into_iter().flat_map(|kind| catalog.of_kind(kind));
    as_written.map(|document| Tree::of(document.at.node).document()).collect()
}

fn of_slos(catalog: &Catalog<'_>) -> impl Iterator<Item = String> {
    catalog.of_kind(Kind::Slo).map(|document| {
        let mut tree = Tree::of(document.at.node);
        each_map(&mut tree, &mut |entries| replace(entries, catalog));
        tree.document()
    })
}

/// Every mapping but those whose keys are the user's, the outer ones first.
fn each_map(tree: &mut Tree, change: &mut impl FnMut(&mut Vec<(String, Tree)>)) {
    match tree {
        Tree::Map(entries) => {
            change(entries);
            for (key, value) in entries.iter_mut() {
                if key != "metadata" {
                    each_map(value, change);
                }
            }
        }
        Tree::List(items) => items.iter_mut().for_each(|item| each_map(item, change)),
        Tree::Null | Tree::Scalar(_) => {}
    }
}

/// The references of one mapping.
fn replace(entries: &mut Vec<(String, Tree)>, catalog: &Catalog<'_>) {
    for (key, value) in entries.iter_mut() {
        match key.as_str() {
            "indicatorRef" => {
                if let Some(document) = named(value, Kind::Sli, catalog) {
                    (*key, *value) = ("indicator".to_owned(), inline(document, None));
                }
            }
            "alertPolicies" => list(value, Kind::AlertPolicy, "alertPolicyRef", catalog),
            "conditions" => list(value, Kind::AlertCondition, "conditionRef", catalog),
            _ => {}
        }
    }
    let source = entries.iter().position(|(key, _)| key == "metricSourceRef");
    if let Some(at) = source {
        entries.remove(at);
        if !entries.iter().any(|(key, value)| key == "type" && *value != Tree::Null) {
            entries.retain(|(key, _)| key != "type");
            entries.insert(0, ("type".to_owned(), Tree::text("tailburn")));
        }
    }
}

/// The items that refer to an object, by a name or by `reference: name`.
fn list(value: &mut Tree, kind: Kind, reference: &str, catalog: &Catalog<'_>) {
    let Tree::List(items) = value else { return };
    for item in items {
        let name = match &*item {
            Tree::Map(entries) => entries.iter().find(|(key, _)| key == reference).map(|(_, name)| name),
            other => Some(other),
        };
        if let Some(document) = name.and_then(|name| named(name, kind, catalog)) {
            *item = inline(document, Some(kind));
        }
    }
}

fn named<'c, 'd>(name: &Tree, kind: Kind, catalog: &'c Catalog<'d>) -> Option<&'c Document<'d>> {
    catalog
        .of_kind(kind)
        .find(|document| Tree::text(document.name) == *name || Tree::Scalar(document.name.to_owned()) == *name)
}

/// An object inside another one; its own labels have no effect there.
fn inline(document: &Document<'_>, kind: Option<Kind>) -> Tree {
    let mut entries: Vec<(String, Tree)> = Vec::new();
    entries.extend(kind.map(|kind| ("kind".to_owned(), Tree::text(kind.as_str()))));
    let mut metadata = vec![("name".to_owned(), Tree::text(document.name))];
    metadata.extend(document.display_name.map(|name| ("displayName".to_owned(), Tree::text(name))));
    entries.push(("metadata".to_owned(), Tree::Map(metadata)));
    entries.extend(document.spec.as_ref().map(|spec| ("spec".to_owned(), Tree::of(spec.node))));
    Tree::Map(entries)
}
