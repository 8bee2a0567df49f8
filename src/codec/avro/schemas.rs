//! Which schema a record was written with.
//!
//! A record that begins with the marker and a known fingerprint of Avro's single-object encoding has
//! that schema (records of container files are handed over so). Where a directory of writers' schemas
//! is configured, `0x00` and four bytes are the number of a schema (Confluent's framing) and `7.avsc`
//! is number 7. Everything else is a raw datum of the configured schema, or of the schema of record.

use super::super::Rejected;
use super::SCHEMA_OF_RECORD;
use super::plan::Plan;
use crate::model::outcome::Rejection;
use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];
const FRAMED: u8 = 0x00;

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("not an Avro schema: {0}")]
    Parse(String),
    #[error("the schema is no record: an outcome's schema is a record, or a union with one")]
    NoRecord,
    #[error("the schema refers to `{0}`, which it does not define")]
    UnknownName(String),
    #[error(
        "two inputs have schemas that differ in their logical types alone, so their records cannot be told apart: \
         read them one by one"
    )]
    Ambiguous,
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: the name must be the schema's number, as in 7.avsc")]
    FileName { path: PathBuf },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: Box<SchemaError> },
}

/// The schemas that an input's records may be written with.
#[derive(Debug)]
pub struct AvroSchemas {
    raw: Plan,
    /// By their number; `None` where records are not framed.
    framed: Option<BTreeMap<u32, Plan>>,
    by_fingerprint: BTreeMap<[u8; 8], Plan>,
}

impl AvroSchemas {
    /// Raw records of the schema of record.
    pub fn of_record_schema() -> Result<Self, SchemaError> {
        AvroSchemas::raw(SCHEMA_OF_RECORD)
    }

    /// Raw records of this schema (JSON).
    pub fn raw(schema: &str) -> Result<Self, SchemaError> {
        let raw = Plan::compile(&parse(schema)?)?;
        Ok(AvroSchemas { raw, framed: None, by_fingerprint: BTreeMap::new() })
    }

    /// Raw records of the schema in a file, or framed ones of the schemas `<number>.avsc` in a directory.
    pub fn open(raw: Option<&Path>, writers: Option<&Path>) -> Result<Self, SchemaError> {
        let mut schemas = match raw {
            Some(path) => in_file(path, AvroSchemas::raw)?,
            None => AvroSchemas::of_record_schema()?,
        };
        if let Some(directory) = writers {
            schemas.framed = Some(BTreeMap::new());
            let read = |source| SchemaError::Read { path: directory.to_owned(), source };
            for entry in std::fs::read_dir(directory).map_err(read)? {
                let path = entry.map_err(read)?.path();
                if path.extension().is_some_and(|extension| extension == "avsc") {
                    let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
                    let number = number.ok_or_else(|| SchemaError::FileName { path: path.clone() })?;
                    in_file(&path, |schema| schemas.add_framed(number, schema))?;
                }
            }
        }
        Ok(schemas)
    }

    /// Adds the schema that framed records name by this number. From now on records may be framed.
    pub fn add_framed(&mut self, number: u32, schema: &str) -> Result<(), SchemaError> {
        let plan = Plan::compile(&parse(schema)?)?;
        self.framed.get_or_insert_default().insert(number, plan);
        Ok(())
    }

    /// Adds the schema of a container file.
    pub fn add_single_object(&mut self, schema: &str) -> Result<(), SchemaError> {
        let schema = parse(schema)?;
        let plan = Plan::compile(&schema)?;
        // The fingerprint leaves logical types out, and a time's unit is one.
        match self.by_fingerprint.get(&fingerprint(&schema)) {
            Some(known) if !known.reads_alike(&plan) => Err(SchemaError::Ambiguous),
            _ => {
                self.by_fingerprint.insert(fingerprint(&schema), plan);
                Ok(())
            }
        }
    }

    /// The schema of a record, and its datum.
    #[inline]
    pub(super) fn of_record<'a>(&'a self, value: &'a [u8]) -> Result<(&'a Plan, &'a [u8]), Rejected> {
        if let Some((fingerprint, datum)) = value.strip_prefix(&SINGLE_OBJECT).and_then(<[u8]>::split_first_chunk)
            && let Some(plan) = self.by_fingerprint.get(fingerprint)
        {
            return Ok((plan, datum));
        }
        match (&self.framed, value) {
            (Some(by_number), [FRAMED, n1, n2, n3, n4, datum @ ..]) => {
                let number = u32::from_be_bytes([*n1, *n2, *n3, *n4]);
                by_number.get(&number).map(|plan| (plan, datum)).ok_or_else(|| {
                    let detail = format!("the record's schema has number {number}, and there is no {number}.avsc");
                    Rejected::new(Rejection::NotDecodable, detail)
                })
            }
            _ => Ok((&self.raw, value)),
        }
    }
}

/// What stands before a datum whose schema is known by its fingerprint.
pub(in crate::codec) fn single_object_header(schema: &Schema) -> [u8; 10] {
    let mut header = [0; 10];
    header[..2].copy_from_slice(&SINGLE_OBJECT);
    header[2..].copy_from_slice(&fingerprint(schema));
    header
}

pub(in crate::codec) fn parse(schema: &str) -> Result<Schema, SchemaError> {
    Schema::parse_str(schema).map_err(|e| SchemaError::Parse(e.to_string()))
}

fn fingerprint(schema: &Schema) -> [u8; 8] {
    let digest = schema.fingerprint::<Rabin>();
    digest.bytes.first_chunk().copied().unwrap_or_default()
}

fn in_file<T>(path: &Path, read: impl FnOnce(&str) -> Result<T, SchemaError>) -> Result<T, SchemaError> {
    let schema = std::fs::read_to_string(path).map_err(|source| SchemaError::Read { path: path.to_owned(), source })?;
    read(&schema).map_err(|source| SchemaError::File { path: path.to_owned(), source: Box::new(source) })
}
