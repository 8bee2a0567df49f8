//! Which schema a record was written with.
//!
//! A header that names a schema decides; otherwise the bytes in front of the datum ([`framing`]), if a directory of
//! schemas is configured or the fingerprint is known. Everything else is a raw datum of the configured schema, or of
//! our own. Records of a container file carry the fingerprint of the file's schema, which is looked up per file: two
//! files may have schemas of one fingerprint that differ in the unit of a time.

use super::super::rejected::Rejected;
use super::compile::{self, Compiled};
use super::fingerprint::Fingerprint;
use super::framing::{self, Named, SINGLE_OBJECT, SchemaId};
use super::plan::Plan;
use super::schema_error::SchemaError;
use super::walk::datum_len;
use crate::model::outcome::Rejection;
use crate::model::record::RecordIn;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// tailburn's own schema of an outcome: raw records are read with it unless another one is configured.
pub const SCHEMA_OF_RECORD: &str = include_str!("../../../schemas/request-outcome.avsc");

/// The schema of a container file, and its fingerprint.
#[derive(Clone, Debug)]
pub struct FileSchema {
    pub(super) plan: Arc<Plan>,
    pub(super) header: [u8; 10],
}

impl FileSchema {
    pub(super) fn parse(schema: &str) -> Result<FileSchema, SchemaError> {
        let Compiled { plan, fingerprints } = compile::parse(schema)?;
        let mut header = [0; 10];
        header[..2].copy_from_slice(&SINGLE_OBJECT);
        if let Some(fingerprint) = fingerprints.first() {
            header[2..].copy_from_slice(fingerprint);
        }
        Ok(FileSchema { plan: Arc::new(plan), header })
    }

    pub(super) fn is_same_as(&self, other: &FileSchema) -> bool {
        self.header == other.header && self.plan.reads_alike(&other.plan)
    }
}

/// The writers' schemas of an input.
#[derive(Debug)]
pub struct AvroSchemas {
    /// The schema of records that name none.
    raw: Known,
    /// By number or GUID; `None` if no directory of schemas is configured.
    by_id: Option<BTreeMap<SchemaId, Known>>,
    /// Several schemas may share a fingerprint and still read differently.
    by_fingerprint: BTreeMap<Fingerprint, Vec<Known>>,
    /// The schemas of container files, by partition.
    files: Vec<Option<FileSchema>>,
}

/// A schema and its origin.
#[derive(Clone, Debug)]
struct Known {
    from: String,
    plan: Arc<Plan>,
}

impl AvroSchemas {
    /// Raw records of our own schema.
    pub fn of_record_schema() -> Result<Self, SchemaError> {
        AvroSchemas::of_raw(SCHEMA_OF_RECORD, "request-outcome.avsc".to_owned())
    }

    /// Raw records of this schema (JSON).
    pub fn raw(schema: &str) -> Result<Self, SchemaError> {
        AvroSchemas::of_raw(schema, "the configured schema".to_owned())
    }

    fn of_raw(schema: &str, from: String) -> Result<Self, SchemaError> {
        let Compiled { plan, fingerprints } = compile::parse(schema)?;
        let raw = Known { from, plan: Arc::new(plan) };
        let mut schemas =
            AvroSchemas { raw: raw.clone(), by_id: None, by_fingerprint: BTreeMap::new(), files: Vec::new() };
        schemas.know(&fingerprints, &raw);
        Ok(schemas)
    }

    /// From a file: the schema of raw records. From a directory: the schemas that records name, by number or GUID if a
    /// file is named like that (`7.avsc`), and always by fingerprint.
    pub fn open(path: &Path) -> Result<Self, SchemaError> {
        if !path.is_dir() {
            return in_file(path, |schema| AvroSchemas::of_raw(schema, path.display().to_string()));
        }
        let mut schemas = AvroSchemas::of_record_schema()?;
        schemas.by_id = Some(BTreeMap::new());
        let mut is_empty = true;
        for path in avsc_files(path)? {
            in_file(&path, |schema| schemas.add(&path, schema))?;
            is_empty = false;
        }
        if is_empty { Err(SchemaError::Empty { path: path.to_owned() }) } else { Ok(schemas) }
    }

    fn add(&mut self, path: &Path, schema: &str) -> Result<(), SchemaError> {
        let Compiled { plan, fingerprints } = compile::parse(schema)?;
        let from = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let known = Known { from, plan: Arc::new(plan) };
        self.know(&fingerprints, &known);
        if let Some(id) = path.file_stem().and_then(|stem| stem.to_str()).and_then(SchemaId::of_file) {
            self.by_id.get_or_insert_default().insert(id, known);
        }
        Ok(())
    }

    fn know(&mut self, fingerprints: &[Fingerprint], known: &Known) {
        for fingerprint in fingerprints {
            let all = self.by_fingerprint.entry(*fingerprint).or_default();
            if !all.iter().any(|other| other.plan.reads_alike(&known.plan)) {
                all.push(known.clone());
            }
        }
    }

    /// Adds the schema of the container file that is read as this partition.
    pub fn add_file(&mut self, partition: u32, schema: FileSchema) {
        let at = partition as usize;
        if self.files.len() <= at {
            self.files.resize(at + 1, None);
        }
        self.files[at] = Some(schema);
    }

    /// The schema of a record, and its datum.
    #[inline]
    pub(super) fn of_record<'a>(&'a self, record: &RecordIn<'a>) -> Result<(&'a Plan, &'a [u8]), Rejected> {
        let value = record.value;
        if let Some(Some(file)) = self.files.get(record.partition as usize)
            && let Some(datum) = value.strip_prefix(&file.header)
        {
            return Ok((&file.plan, datum));
        }
        match framing::in_headers(record.headers, value) {
            Ok(None) => {}
            Ok(Some(named)) => return self.of_named(&named),
            Err(problem) => return Err(not_decodable(problem)),
        }
        if self.by_id.is_some() || value.starts_with(&SINGLE_OBJECT) {
            let mut named = framing::in_front(value).peekable();
            let first = named.peek().copied();
            let is_known = |named: &Named<'_>| self.find(named.id).is_some();
            match (named.find(is_known), first) {
                (Some(named), _) => return self.of_named(&named),
                (None, Some(named)) if self.by_id.is_some() => return self.of_named(&named),
                _ => {}
            }
        }
        Ok((&self.raw.plan, value))
    }

    fn find(&self, id: SchemaId) -> Option<&[Known]> {
        match id {
            SchemaId::Fingerprint(fingerprint) => self.by_fingerprint.get(&fingerprint).map(Vec::as_slice),
            id => self.by_id.as_ref()?.get(&id).map(std::slice::from_ref),
        }
    }

    fn of_named<'a>(&'a self, named: &Named<'a>) -> Result<(&'a Plan, &'a [u8]), Rejected> {
        match (self.find(named.id), named.unreadable) {
            (Some([known]), None) => Ok((&known.plan, named.datum)),
            (Some(several), None) => Err(not_decodable(format!(
                "the record's schema has fingerprint {}, and {} have it and differ only in a logical type: keep the one \
                 that the record was written with",
                named.id,
                several.iter().map(|known| known.from.as_str()).collect::<Vec<_>>().join(" and "),
            ))),
            (_, Some(problem)) => {
                let Named { id, place, .. } = named;
                Err(not_decodable(format!("{place} names the schema with {} {id}, but {problem}", id.kind())))
            }
            (None, None) => Err(not_decodable(self.unknown(named))),
        }
    }

    #[cold]
    fn unknown(&self, named: &Named<'_>) -> String {
        let Named { id, place, .. } = named;
        let kind = id.kind();
        match (&self.by_id, id) {
            (Some(_), SchemaId::Fingerprint(_)) => {
                format!("{place} names the schema with {kind} {id}, and none in input.avro_schema has it")
            }
            (Some(_), _) => {
                format!("{place} names the schema with {kind} {id}, and there is no {id}.avsc in input.avro_schema")
            }
            (None, _) => {
                format!("{place} names the schema with {kind} {id}, which is not configured: {}", id.remedy())
            }
        }
    }

    /// What an unreadable record looks like that was taken for a raw one: it may begin with the name of a schema that
    /// is not configured.
    #[cold]
    pub(super) fn hint(&self, record: &RecordIn<'_>) -> Option<String> {
        let is_of_file = self.files.get(record.partition as usize).is_some_and(Option::is_some);
        let (plan, datum) = self.of_record(record).ok()?;
        // A record that reads to its last byte was a raw one; something else is wrong with it.
        let is_whole = datum_len(plan, datum) == Ok(datum.len());
        if is_of_file || is_whole || datum.len() != record.value.len() {
            return None;
        }
        if let Some(named) = framing::in_front(record.value).find(Named::is_likely) {
            return Some(self.unknown(&named));
        }
        let what = match (record.value.first(), &self.by_id) {
            (Some(b'{' | b'['), _) => "it looks like JSON (input.format: json)".to_owned(),
            (_, Some(_)) => "nothing in it names a schema, so it was read with tailburn's own".to_owned(),
            (_, None) => return None,
        };
        Some(what)
    }
}

/// In the order of their names.
fn avsc_files(directory: &Path) -> Result<Vec<PathBuf>, SchemaError> {
    let read = |e: std::io::Error| SchemaError::Read { path: directory.to_owned(), problem: e.to_string() };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "avsc") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cold]
fn not_decodable(detail: String) -> Rejected {
    Rejected::new(Rejection::NotDecodable, detail)
}

fn in_file<T>(path: &Path, read: impl FnOnce(&str) -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    let schema = std::fs::read_to_string(path)
        .map_err(|e| SchemaError::Read { path: path.to_owned(), problem: e.to_string() })?;
    read(&schema).map_err(|problem| SchemaError::File { path: path.to_owned(), problem: Box::new(problem) })
}
