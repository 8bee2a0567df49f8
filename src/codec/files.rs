//! Records of input files and of standard input: lines, or the data of Avro container files; packed
//! with gzip or zstd, or plain.
//!
//! A file is read as a stream, whatever its size. A line is held up to a limit and handed over cut
//! there: no format reads an outcome from the beginning of one, so it becomes a dead letter, not the
//! end of the memory. Which decompressor is needed is read from the first bytes, not from the name.

use super::Format;
use super::avro::{CONTAINER_MAGIC, Container};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The longest line that is read whole.
pub const LINE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// Why an input cannot be read (on).
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}: {source}")]
pub struct FileError {
    pub name: String,
    pub source: io::Error,
}

/// A record: its bytes (a line without its end), and its number from 0, blank lines counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRecord<'a> {
    pub number: i64,
    pub bytes: &'a [u8],
}

/// The records of one input of any format.
pub struct InputFile(Records);

enum Records {
    Lines(Lines),
    Container(String, Box<Container>),
}

impl InputFile {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path, format: Format) -> Result<InputFile, FileError> {
        let name = path.display().to_string();
        InputFile::from_stream(name.clone(), open(path).map_err(|source| FileError { name, source })?, format)
    }

    /// Reads records from any stream.
    pub fn from_reader(name: String, input: impl Read + Send + 'static, format: Format) -> Result<Self, FileError> {
        InputFile::from_stream(name, Box::new(input), format)
    }

    fn from_stream(name: String, input: Box<dyn Read + Send>, format: Format) -> Result<Self, FileError> {
        let named = |source| FileError { name: name.clone(), source };
        let mut input = decompress(input).map_err(named)?;
        if format != Format::Avro {
            return Ok(InputFile(Records::Lines(Lines::new(name, input))));
        }
        let mut magic = Vec::new();
        input.by_ref().take(CONTAINER_MAGIC.len() as u64).read_to_end(&mut magic).map_err(named)?;
        if magic != CONTAINER_MAGIC {
            return Err(named(io::Error::new(io::ErrorKind::InvalidData, "not an Avro container file")));
        }
        let container = Container::open(input).map_err(named)?;
        Ok(InputFile(Records::Container(name, Box::new(container))))
    }

    /// The schema that a container file brings along, for [`super::AvroSchemas::add_single_object`].
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            Records::Lines(_) => None,
            Records::Container(_, container) => Some(container.schema()),
        }
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<FileRecord<'_>>, FileError> {
        match &mut self.0 {
            Records::Lines(lines) => lines.next_line(),
            Records::Container(name, container) => match container.next_record() {
                Ok(next) => Ok(next.map(|(number, bytes)| FileRecord { number, bytes })),
                Err(source) => Err(FileError { name: name.clone(), source }),
            },
        }
    }
}

/// The lines of one input, blank ones skipped.
pub struct Lines {
    name: String,
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    next_number: i64,
    line_bytes_max: usize,
}

impl Lines {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Lines, FileError> {
        let name = path.display().to_string();
        match open(path).and_then(decompress) {
            Ok(input) => Ok(Lines::new(name, input)),
            Err(source) => Err(FileError { name, source }),
        }
    }

    fn new(name: String, input: Box<dyn BufRead + Send>) -> Lines {
        Lines { name, input, line: Vec::new(), next_number: 0, line_bytes_max: LINE_BYTES_MAX }
    }

    /// The next line that is not blank; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<FileRecord<'_>>, FileError> {
        while self.read_line().map_err(|source| FileError { name: self.name.clone(), source })? {
            let number = self.next_number;
            self.next_number += 1;
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(FileRecord { number, bytes: &self.line }));
            }
        }
        Ok(None)
    }

    /// Reads one line into `self.line`; false at the end of the input.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut any = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.line_bytes_max.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(any)
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    Ok(if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) })
}

/// The plain bytes of a stream. A gzip or zstd file may be several ones, one behind the other.
fn decompress(mut input: Box<dyn Read + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let (is_gzip, is_zstd) = (magic.starts_with(GZIP), magic.starts_with(ZSTD));
    let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(magic).chain(input));
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(whole)))
    } else if is_zstd {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::stream::read::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn records_of(bytes: &[u8]) -> Vec<(i64, String)> {
        let input = io::Cursor::new(bytes.to_vec());
        let mut file = InputFile::from_reader("input".to_owned(), input, Format::Json).unwrap();
        let mut records = Vec::new();
        while let Some(record) = file.next_record().unwrap() {
            records.push((record.number, String::from_utf8_lossy(record.bytes).into_owned()));
        }
        records
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn owned(records: &[(i64, &str)]) -> Vec<(i64, String)> {
        records.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn blank_lines_count_and_are_skipped() {
        let expected = owned(&[(1, "a"), (3, " b "), (5, "c")]);
        assert_eq!(records_of(b"\na\r\n \t\r\n b \n\nc"), expected);
        assert_eq!(records_of(b"\na\r\n \t\r\n b \n\nc\n\n"), expected);
        assert_eq!(records_of(b""), []);
        assert_eq!(records_of(b"a"), owned(&[(0, "a")]));
    }

    #[test]
    fn packed_input_is_read_as_it_is_whatever_its_name() {
        let expected = owned(&[(0, "a"), (1, "bc"), (2, "d")]);
        let members = [gzip(b"a\nb"), gzip(b"c\nd\n")].concat();
        assert_eq!(records_of(&members), expected);
        let zstd = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
        assert_eq!(records_of(&[zstd(b"a\nb"), zstd(b"c\nd\n")].concat()), expected);
        assert_eq!(records_of(&gzip(b"")), []);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        let text = format!("{}\nnext\n", "x".repeat(100));
        let input = Box::new(BufReader::with_capacity(7, io::Cursor::new(text.into_bytes())));
        let mut lines = Lines { line_bytes_max: 40, ..Lines::new("input".to_owned(), input) };
        let cut = "x".repeat(40);
        assert_eq!(lines.next_line().unwrap(), Some(FileRecord { number: 0, bytes: cut.as_bytes() }));
        assert_eq!(lines.next_line().unwrap(), Some(FileRecord { number: 1, bytes: b"next" }));
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_damaged_or_missing_file_is_named() {
        let mut packed = gzip(b"a\nb\nc\n");
        packed.truncate(packed.len() - 9);
        let mut file = InputFile::from_reader("damaged.gz".to_owned(), io::Cursor::new(packed), Format::Json).unwrap();
        let error = loop {
            match file.next_record() {
                Ok(record) => assert!(record.is_some(), "the damage went unseen"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().starts_with("cannot read damaged.gz: "), "{error}");
        let missing = InputFile::open(Path::new("no/such/file"), Format::Json).err().unwrap();
        assert!(missing.to_string().starts_with("cannot read no/such/file: "), "{missing}");
    }

    #[test]
    fn opens_files_by_path() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&gzip(b"a\n")).unwrap();
        let mut input = InputFile::open(file.path(), Format::Clf).unwrap();
        assert_eq!(input.next_record().unwrap(), Some(FileRecord { number: 0, bytes: b"a" }));
        assert_eq!(input.next_record().unwrap(), None);
    }
}
