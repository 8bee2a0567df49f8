//! OpenSLO objects by kind and name: the documents of all files, and the references between them.

use super::cursor::{Cursor, Fields};
use super::error::{NoticeLevel, Report};
use crate::model::suggest::{closest, one_of};
use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    Slo,
    Sli,
    AlertPolicy,
    AlertCondition,
    AlertNotificationTarget,
    DataSource,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Service,
        Kind::Slo,
        Kind::Sli,
        Kind::AlertPolicy,
        Kind::AlertCondition,
        Kind::AlertNotificationTarget,
        Kind::DataSource,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Service => "Service",
            Kind::Slo => "SLO",
            Kind::Sli => "SLI",
            Kind::AlertPolicy => "AlertPolicy",
            Kind::AlertCondition => "AlertCondition",
            Kind::AlertNotificationTarget => "AlertNotificationTarget",
            Kind::DataSource => "DataSource",
        }
    }
}

/// The prefix of tailburn's own annotations.
pub(super) const ANNOTATION_PREFIX: &str = "tailburn.dev/";

/// One object: its metadata is read, its `spec` not yet.
pub(super) struct Document<'d> {
    pub at: Cursor<'d>,
    pub name: &'d str,
    pub display_name: Option<&'d str>,
    pub labels: BTreeMap<String, String>,
    pub annotations: Vec<(&'d str, Cursor<'d>)>,
    pub spec: Option<Cursor<'d>>,
}

/// Every object of every file.
#[derive(Default)]
pub(super) struct Catalog<'d> {
    documents: BTreeMap<Kind, BTreeMap<&'d str, Document<'d>>>,
    /// Objects that an SLO refers to, directly or indirectly; noted while references are followed.
    used: RefCell<BTreeSet<(Kind, &'d str)>>,
}

impl<'d> Catalog<'d> {
    pub fn add(&mut self, root: Cursor<'d>, report: &mut Report) {
        let Some((kind, document)) = read_document(&root, report) else { return };
        match self.documents.entry(kind).or_default().entry(document.name) {
            Entry::Vacant(free) => {
                free.insert(document);
            }
            Entry::Occupied(first) => {
                let at = &first.get().at;
                let place = format!("{}:{}", at.file, at.place.line);
                let message =
                    format!("there are two objects {} `{}`; the first is at {place}", kind.as_str(), document.name);
                document.at.error(report, message, "give one of them another name");
            }
        }
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Document<'d>> {
        self.documents.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    pub fn find(&self, kind: Kind, name: &str) -> Option<&Document<'d>> {
        self.documents.get(&kind)?.get(name)
    }

    /// Whether a reference led to it.
    pub fn is_used(&self, kind: Kind, name: &str) -> bool {
        self.used.borrow().contains(&(kind, name))
    }

    /// Follows a reference by name; reports an unknown name at its place.
    pub fn resolve(&self, kind: Kind, reference: &Cursor<'d>, report: &mut Report) -> Option<&Document<'d>> {
        let name = reference.text(report)?;
        let found = self.find(kind, name);
        if let Some(document) = found {
            self.used.borrow_mut().insert((kind, document.name));
        } else {
            let known = || self.of_kind(kind).map(|document| document.name);
            let remedy = match closest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add a document of kind {} with this name to the files that are read", kind.as_str()),
            };
            reference.error(report, format!("there is no {} `{name}`", kind.as_str()), remedy);
        }
        found
    }
}

const API_VERSION: &str = "openslo/v1";

fn read_document<'d>(root: &Cursor<'d>, report: &mut Report) -> Option<(Kind, Document<'d>)> {
    check_api_version(root, report)?;
    let fields = root.fields(report, &["apiVersion", "kind", "metadata", "spec"])?;
    let kind = read_kind(&fields, report)?;
    let metadata = fields.require(report, "metadata", "write metadata: {name: ...}")?;
    let mut document = Document {
        at: root.clone(),
        name: "",
        display_name: None,
        labels: BTreeMap::new(),
        annotations: Vec::new(),
        spec: fields.get("spec"),
    };
    let named = read_metadata(&metadata, &mut document, report);
    if kind != Kind::Slo {
        refuse_annotations(&document, report);
    }
    document.name = named?;
    Some((kind, document))
}

/// Checked first: the keys of another kind of file cannot be judged.
fn check_api_version(root: &Cursor<'_>, report: &mut Report) -> Option<()> {
    let remedy = "tailburn reads OpenSLO v1: write `apiVersion: openslo/v1`";
    let Some(at) = root.child_named("apiVersion") else {
        let known = ["apiVersion", "kind", "metadata", "spec"];
        root.fields(report, &known)?.require(report, "apiVersion", remedy)?;
        return None;
    };
    match at.text(report)? {
        API_VERSION => Some(()),
        other => {
            let elsewhere = "; move files that are not OpenSLO out of this directory";
            at.error(report, format!("`{other}` is not a version that tailburn reads"), format!("{remedy}{elsewhere}"));
            None
        }
    }
}

fn read_kind(fields: &Fields<'_>, report: &mut Report) -> Option<Kind> {
    let names = || Kind::ALL.iter().map(|kind| kind.as_str());
    let at = fields.require(report, "kind", &format!("the kinds are {}", one_of(names())))?;
    let written = at.text(report)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == written);
    if kind.is_none() {
        let remedy = match closest(written, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the kinds are {}", one_of(names())),
        };
        at.error(report, format!("there is no kind `{written}`"), remedy);
    }
    kind
}

fn read_metadata<'d>(at: &Cursor<'d>, document: &mut Document<'d>, report: &mut Report) -> Option<&'d str> {
    let fields = at.fields(report, &["name", "displayName", "labels", "annotations"])?;
    document.display_name = fields.get("displayName").and_then(|at| at.text(report));
    if let Some(labels) = fields.get("labels") {
        document.labels = read_labels(&labels, report);
    }
    if let Some(annotations) = fields.get("annotations") {
        document.annotations = annotations.entries(report);
    }
    fields.require(report, "name", "every object has a name")?.name(report)
}

/// A label with several values becomes one text, as the outputs carry texts.
fn read_labels(at: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, value) in at.entries(report) {
        let text = if matches!(value.node.value, super::yaml::Value::List(_)) {
            value.list(report).iter().map(|item| item.text(report)).collect::<Option<Vec<_>>>().map(|all| all.join(","))
        } else {
            value.text(report).map(str::to_owned)
        };
        labels.extend(text.map(|text| (name.to_owned(), text)));
    }
    labels
}

fn refuse_annotations(document: &Document<'_>, report: &mut Report) {
    for (_, at) in document.annotations.iter().filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)) {
        at.error(report, "this annotation has no effect here", "tailburn reads annotations only of SLO documents");
    }
}

/// An object inside another one: its name (if any) and its `spec`.
pub(super) fn read_inline<'d>(
    at: &Cursor<'d>,
    kind: Kind,
    report: &mut Report,
) -> Option<(Option<&'d str>, Cursor<'d>)> {
    let keys = ["apiVersion", "kind", "metadata", "spec", "operator"];
    let known = if kind == Kind::AlertCondition { &keys[..] } else { &keys[..4] };
    let fields = at.fields(report, known)?;
    if let Some(operator) = fields.get("operator") {
        operator.notice(report, NoticeLevel::Warning, "`operator` has no effect: there is one condition");
    }
    if let Some(kind_at) = fields.get("kind")
        && kind_at.text(report)? != kind.as_str()
    {
        kind_at.error(report, format!("an object of kind {} is expected here", kind.as_str()), "");
        return None;
    }
    let name = match fields.get("metadata") {
        Some(metadata) => {
            let metadata = metadata.fields(report, &["name", "displayName", "labels", "annotations"])?;
            metadata.get("name").and_then(|name| name.name(report))
        }
        None => None,
    };
    Some((name, fields.require(report, "spec", "an object without a `spec` says nothing")?))
}
