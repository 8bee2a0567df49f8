//! Avro's object container files: the writer's schema, then blocks of data, compressed or not.
//!
//! Blocks are cut into data along the writer's schema, and nothing is built from them: a datum is
//! handed over in Avro's single-object encoding, which names its schema, so that it is decoded (or
//! becomes a dead letter) like a record of any other source. A datum that cannot be read hides where
//! the next one begins: the rest of its block is handed over as one record.

use super::plan::Plan;
use super::{datum_len, schemas};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::{Codec, DeflateSettings, Schema};
use std::io::{self, BufRead, Read};

pub(in crate::codec) const MAGIC: [u8; 4] = *b"Obj\x01";
/// The largest block, as it stands in the file and unpacked.
const BLOCK_BYTES_MAX: u64 = 256 << 20;
const SYNC_BYTES: usize = 16;

/// A container file behind its magic bytes.
pub(in crate::codec) struct Container {
    input: Box<dyn BufRead + Send>,
    schema: String,
    plan: Plan,
    compression: Compression,
    sync: [u8; SYNC_BYTES],
    block: Block,
    /// The single-object header, and the datum that is handed over.
    record: Vec<u8>,
    header_bytes: usize,
    next_number: i64,
}

#[derive(Clone, Copy)]
enum Compression {
    Null,
    Deflate,
    Zstandard,
}

/// The block being read.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    at: usize,
    data_left: i64,
}

impl Container {
    /// Reads the header; the magic bytes are read already.
    pub fn open(mut input: Box<dyn BufRead + Send>) -> io::Result<Container> {
        let (schema, compression) = read_metadata(&mut input)?;
        let mut sync = [0; SYNC_BYTES];
        input.read_exact(&mut sync)?;
        let parsed = schemas::parse(&schema).map_err(invalid)?;
        let plan = Plan::compile(&parsed).map_err(invalid)?;
        let record = schemas::single_object_header(&parsed).to_vec();
        let header_bytes = record.len();
        let block = Block::default();
        Ok(Container { input, schema, plan, compression, sync, block, record, header_bytes, next_number: 0 })
    }

    /// The writer's schema (JSON), which [`super::AvroSchemas`] has to know.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The next record and its number; `None` at the end of the file.
    pub fn next_record(&mut self) -> io::Result<Option<(i64, &[u8])>> {
        while self.block.data_left == 0 {
            if !self.read_block()? {
                return Ok(None);
            }
        }
        let rest = &self.block.bytes[self.block.at..];
        let number = self.next_number;
        let (len, data) = match datum_len(&self.plan, rest) {
            // A datum of no bytes could be repeated without end; no outcome is one.
            Some(len) if len > 0 => (len, 1),
            _ => (rest.len(), self.block.data_left),
        };
        self.record.truncate(self.header_bytes);
        self.record.extend_from_slice(&rest[..len]);
        self.block.at += len;
        self.block.data_left -= data;
        self.next_number += data;
        Ok(Some((number, &self.record)))
    }

    fn read_block(&mut self) -> io::Result<bool> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let (data_left, size) = (read_long(&mut self.input)?, read_long(&mut self.input)?);
        let size = u64::try_from(size).ok().filter(|size| *size <= BLOCK_BYTES_MAX && data_left >= 0);
        let size = size.ok_or_else(|| invalid("a block of an impossible size"))?;
        let mut bytes = Vec::new();
        self.input.by_ref().take(size).read_to_end(&mut bytes)?;
        let mut sync = [0; SYNC_BYTES];
        self.input.read_exact(&mut sync)?;
        if bytes.len() as u64 != size || sync != self.sync {
            return Err(invalid("a block does not end where it says"));
        }
        self.block = Block { bytes: self.compression.unpack(bytes)?, at: 0, data_left };
        Ok(true)
    }
}

impl Compression {
    fn unpack(self, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Compression::Null => Ok(bytes),
            Compression::Deflate => {
                Codec::Deflate(DeflateSettings::default()).decompress(&mut bytes).map_err(invalid)?;
                Ok(bytes)
            }
            Compression::Zstandard => {
                let mut unpacked = Vec::new();
                zstd::stream::read::Decoder::new(&*bytes)?.take(BLOCK_BYTES_MAX + 1).read_to_end(&mut unpacked)?;
                if unpacked.len() as u64 > BLOCK_BYTES_MAX {
                    return Err(invalid("a block unpacks to more than 256 MiB"));
                }
                Ok(unpacked)
            }
        }
    }
}

/// The writer's schema and the compression.
fn read_metadata(input: &mut impl Read) -> io::Result<(String, Compression)> {
    let Value::Map(mut metadata) = read_datum(&Schema::map(Schema::Bytes).build(), input)? else {
        return Err(invalid("the file's header is no map"));
    };
    let mut take = |name| match metadata.remove(name) {
        Some(Value::Bytes(bytes)) => String::from_utf8(bytes).map(Some).map_err(invalid),
        _ => Ok(None),
    };
    let schema = take("avro.schema")?.ok_or_else(|| invalid("the file's header has no schema"))?;
    let compression = match take("avro.codec")?.as_deref() {
        None | Some("null") => Compression::Null,
        Some("deflate") => Compression::Deflate,
        Some("zstandard") => Compression::Zstandard,
        Some(other) => {
            let problem = format!("the file is packed with `{other}`: write it with null, deflate or zstandard");
            return Err(invalid(problem));
        }
    };
    Ok((schema, compression))
}

fn read_long(input: &mut impl Read) -> io::Result<i64> {
    match read_datum(&Schema::Long, input)? {
        Value::Long(n) => Ok(n),
        _ => Err(invalid("a block without its size")),
    }
}

fn read_datum(schema: &Schema, input: &mut impl Read) -> io::Result<Value> {
    let reader = GenericDatumReader::builder(schema).build().map_err(invalid)?;
    reader.read_value(input).map_err(invalid)
}

fn invalid(problem: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_string())
}
