//! Avro's object container files: the writer's schema, then blocks of data, compressed or not.
//!
//! Blocks are only cut into data along the writer's schema. A datum is passed on in Avro's single-object encoding,
//! which names its schema, so that it is decoded (or becomes a dead letter) like a record of any other source. After an
//! unreadable datum the start of the next one is unknown, so the rest of the block is passed on as one piece, with its
//! number of records. Concatenated files are read one after the other.

use super::compression::{BLOCK_BYTES_MAX, Compression};
use super::resync::{Marker, Rewind, SYNC_BYTES, is_marker};
use super::schemas::FileSchema;
use super::walk::datum_len;
use crate::model::record::Damage;
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

pub(in crate::codec) const MAGIC: [u8; 4] = *b"Obj\x01";
/// The most bytes of a damaged block that are passed on: more than a dead letter takes.
const DAMAGED_BYTES_MAX: usize = 16 << 20;
const CUT_OFF: &str = "; the file was cut off, or is still being written";
/// A header contains a schema; a longer one is not a header.
const HEADER_BYTES_MAX: u64 = 64 << 20;

/// A container file after its magic bytes.
pub(in crate::codec) struct Container {
    input: Rewind,
    header: Header,
    /// Number of blocks begun so far.
    blocks: u64,
    block: Block,
    /// The single-object header, and the datum that is passed on.
    record: Vec<u8>,
    damage: Option<Damage>,
    next_number: i64,
    joined: Joined,
}

struct Header {
    schema: FileSchema,
    compression: Compression,
    sync: Marker,
}

/// The block being read.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// Their full length, if only the first ones are kept.
    whole_bytes: u64,
    at: usize,
    data: u64,
    data_left: u64,
    /// Why its bytes cannot be read as data.
    broken: Option<String>,
}

/// Files found joined to the first one, and where the second begins. Shared, because the file is read elsewhere.
#[derive(Clone, Debug, Default)]
pub(in crate::codec) struct Joined(Arc<Mutex<(u64, String)>>);

impl Joined {
    fn note(&self, blocks: u64, records: i64) {
        let mut joined = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if joined.0 == 0 {
            joined.1 = format!("the second begins after block {blocks}, {records} records");
        }
        joined.0 += 1;
    }

    /// For people; `None` if no joined file was found so far.
    pub fn notice(&self) -> Option<String> {
        let joined = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (more, second) = &*joined;
        (*more > 0).then(|| format!("{} Avro files were joined ({second}), and all are read", more + 1))
    }
}

/// A record of a file.
pub(in crate::codec) type Next<'a> = (i64, &'a [u8], Option<&'a Damage>);

impl Container {
    /// Reads the header; the magic bytes are read already.
    pub fn open(input: Box<dyn BufRead + Send>) -> io::Result<Container> {
        let mut input = Rewind::new(input);
        let header = read_header(&mut input)?;
        let record = header.schema.header.to_vec();
        let (block, damage, joined) = (Block::default(), None, Joined::default());
        Ok(Container { input, header, blocks: 0, block, record, damage, next_number: 0, joined })
    }

    /// The writer's schema, for [`super::AvroSchemas`].
    pub fn schema(&self) -> &FileSchema {
        &self.header.schema
    }

    /// A shared view of the joined files, filled while this file is read.
    pub fn joined(&self) -> Joined {
        self.joined.clone()
    }

    /// The next record and its number; `None` at the end of the file.
    pub fn next_record(&mut self) -> io::Result<Option<Next<'_>>> {
        while self.block.data_left == 0 {
            if !self.read_block()? {
                return Ok(None);
            }
        }
        let block = &mut self.block;
        let rest = &block.bytes[block.at..];
        let (len, data) = match cut(&self.header.schema, block, rest) {
            Ok(len) => {
                self.damage = None;
                (len, 1)
            }
            Err(problem) => {
                self.damage = Some(damage(block, self.blocks, &problem));
                (rest.len(), block.data_left)
            }
        };
        let kept = if self.damage.is_some() { len.min(DAMAGED_BYTES_MAX) } else { len };
        self.record.truncate(self.header.schema.header.len());
        self.record.extend_from_slice(&rest[..kept]);
        block.at += len;
        block.data_left -= data;
        let number = self.next_number;
        self.next_number = number.saturating_add(i64::try_from(data).unwrap_or(i64::MAX));
        Ok(Some((number, &self.record, self.damage.as_ref())))
    }

    /// Reads the next block; false at the end of the file.
    fn read_block(&mut self) -> io::Result<bool> {
        let mut begun = Vec::new();
        loop {
            match self.input.fill_buf()?.first().copied() {
                None => return Ok(false),
                // A block cannot begin like this: its number of records would be negative.
                Some(b'O') if self.read_joined_file(&mut begun)? => begun.clear(),
                _ => break,
            }
        }
        self.blocks += 1;
        let whole = if begun.is_empty() {
            self.read_whole(&mut begun)?
        } else {
            Err(NoBlock { data: 0, problem: "this is not a block".to_owned() })
        };
        self.block = match whole {
            Ok(data) => unpacked(&self.header, data, begun),
            Err(problem) => self.skip(begun, problem)?,
        };
        Ok(true)
    }

    /// Reads a block up to its marker: its number of records and its bytes, or why it is not a block. In the latter
    /// case `begun` has all bytes read.
    fn read_whole(&mut self, begun: &mut Vec<u8>) -> io::Result<Result<i64, NoBlock>> {
        let none = |data, problem: String| Ok(Err(NoBlock { data, problem }));
        let mut long = || read_long_into(&mut self.input, begun);
        let head = long().and_then(|data| Ok((data, long()?)));
        let (data, size) = match head {
            Ok(head) => head,
            Err(e) => {
                let is_end = e.kind() == io::ErrorKind::UnexpectedEof;
                let problem = if is_end {
                    format!("the file ends in its first bytes{CUT_OFF}")
                } else {
                    format!("it is not a block: {e}")
                };
                return none(0, problem);
            }
        };
        let fits = u64::try_from(size).ok().filter(|size| data >= 0 && *size <= BLOCK_BYTES_MAX);
        let Some(size) = fits else {
            return none(data, format!("it says that it has {data} records in {size} bytes"));
        };
        let head = begun.len();
        let read = self.input.by_ref().take(size + SYNC_BYTES as u64).read_to_end(begun)?;
        let (size, read) = (size as usize, read.min(size as usize));
        let marker = begun.get(head + size..).and_then(|behind| Marker::try_from(behind).ok());
        let Some(marker) = marker else {
            return none(
                data,
                format!(
                    "the file ends in the middle of it: of {data} records in {size} bytes {read} bytes are there{CUT_OFF}"
                ),
            );
        };
        if !is_marker(&marker, &self.header.sync) {
            return none(data, "it does not end with the file's own marker".to_owned());
        }
        begun.truncate(head + size);
        begun.drain(..head);
        Ok(Ok(data))
    }

    /// Continues after the next marker. Everything before it is one piece of damage.
    fn skip(&mut self, mut begun: Vec<u8>, NoBlock { data, problem }: NoBlock) -> io::Result<Block> {
        let Some(whole_bytes) = self.input.skip_behind(&self.header.sync, &mut begun, DAMAGED_BYTES_MAX)? else {
            return Err(self.broken(&problem));
        };
        let is_said = u64::try_from(data).is_ok_and(|data| (1..=whole_bytes).contains(&data));
        let unknown = if is_said { "" } else { "; how many records it had is not known, so it counts as one" };
        let broken = Some(format!("{problem}{unknown}; reading continues after the next marker"));
        let data = if is_said { data as u64 } else { 1 };
        Ok(Block { bytes: begun, whole_bytes, at: 0, data, data_left: data, broken })
    }

    /// Reads the header of a joined file after the last block; false, with the bytes read, if no file begins there.
    fn read_joined_file(&mut self, begun: &mut Vec<u8>) -> io::Result<bool> {
        self.input.by_ref().take(MAGIC.len() as u64).read_to_end(begun)?;
        if *begun != MAGIC {
            return Ok(false);
        }
        let joined = read_header(&mut self.input)
            .map_err(|e| self.broken(&format!("another file was joined to this one, and cannot be read: {e}")))?;
        let (blocks, records) = (self.blocks, self.next_number);
        if !joined.schema.is_same_as(&self.header.schema) {
            return Err(invalid(format!(
                "two files were joined after block {blocks} ({records} records), and the second has another schema: \
                 give each as a separate --input"
            )));
        }
        self.header = joined;
        self.joined.note(blocks, records);
        Ok(true)
    }

    fn broken(&self, problem: &str) -> io::Error {
        invalid(format!("block {}: {problem}", self.blocks.max(1)))
    }
}

/// Why no block follows.
struct NoBlock {
    /// The number of records in its header.
    data: i64,
    problem: String,
}

fn unpacked(header: &Header, data: i64, bytes: Vec<u8>) -> Block {
    let data = data.unsigned_abs();
    let block = |bytes: Vec<u8>, data, broken| Block {
        whole_bytes: bytes.len() as u64,
        bytes,
        at: 0,
        data,
        data_left: data,
        broken,
    };
    match header.compression.unpack(bytes) {
        Ok(bytes) if data == 0 && !bytes.is_empty() => {
            let broken = Some(format!("it says that it has no records, and has {} bytes", bytes.len()));
            block(bytes, 1, broken)
        }
        Ok(bytes) => block(bytes, data, None),
        Err((bytes, problem)) => block(bytes, data, Some(problem)),
    }
}

/// The length of the next datum of a block, or why the rest of the block cannot be read.
fn cut(schema: &FileSchema, block: &Block, rest: &[u8]) -> Result<usize, String> {
    if let Some(problem) = &block.broken {
        return Err(problem.clone());
    }
    match datum_len(&schema.plan, rest) {
        // An empty datum could be repeated without end, and no outcome is empty.
        Ok(0) => Err("its records have no bytes".to_owned()),
        // The writer's count is right, so if bytes are left, a length before was wrong.
        Ok(len) if block.data_left == 1 && len < rest.len() => {
            Err(format!("{} bytes are left after its last record", rest.len() - len))
        }
        Ok(len) => Ok(len),
        Err((malformed, at)) => {
            Err(format!("in the next one {} at byte {} of the unpacked block", malformed.0, block.at + at))
        }
    }
}

fn damage(block: &Block, number: u64, problem: &str) -> Damage {
    let Block { data, data_left, .. } = *block;
    let read = data - data_left;
    let detail =
        format!("block {number} of the file: {read} of its {data} records were read, {data_left} are lost: {problem}");
    let left = block.whole_bytes - block.at as u64;
    let cut_from_bytes = (left > DAMAGED_BYTES_MAX as u64).then_some(left);
    Damage { detail, records: data_left, block: Some(number), cut_from_bytes }
}

/// The writer's schema, the compression and the marker between blocks.
fn read_header(input: &mut impl BufRead) -> io::Result<Header> {
    let mut limited = input.take(HEADER_BYTES_MAX);
    let (mut schema, mut codec) = (None, None);
    let ends = |_| invalid("its header is not whole");
    loop {
        let count = read_long(&mut limited).map_err(ends)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            read_long(&mut limited).map_err(ends)?;
        }
        for _ in 0..count.unsigned_abs() {
            let name = read_bytes(&mut limited).map_err(ends)?;
            let value = read_bytes(&mut limited).map_err(ends)?;
            match name.as_slice() {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => codec = Some(value),
                _ => {}
            }
        }
    }
    let mut sync = [0; SYNC_BYTES];
    limited.read_exact(&mut sync).map_err(ends)?;
    let schema = schema.ok_or_else(|| invalid("its header has no schema (avro.schema)"))?;
    let schema = FileSchema::parse(&String::from_utf8_lossy(&schema)).map_err(|e| invalid(e.to_string()))?;
    let codec = codec.map_or_else(|| "null".to_owned(), |codec| String::from_utf8_lossy(&codec).into_owned());
    let compression = Compression::by_name(&codec).ok_or_else(|| {
        invalid(format!(
            "its blocks are packed with `{codec}`: write it with null, deflate, snappy, zstandard, bzip2 or xz"
        ))
    })?;
    Ok(Header { schema, compression, sync })
}

/// A zigzag variable-length integer of at most 64 bits.
fn read_long(input: &mut impl Read) -> io::Result<i64> {
    read_long_into(input, &mut Vec::new())
}

/// The same; appends its bytes to those read before.
fn read_long_into(input: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<i64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        n |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok((n >> 1) as i64 ^ -((n & 1) as i64));
        }
    }
    Err(invalid("a number of more than 64 bits"))
}

fn read_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = u64::try_from(read_long(input)?).map_err(|_| invalid("a negative length"))?;
    let mut bytes = Vec::new();
    let read = input.take(len).read_to_end(&mut bytes)?;
    if read as u64 == len { Ok(bytes) } else { Err(invalid("a text ends too early")) }
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}
