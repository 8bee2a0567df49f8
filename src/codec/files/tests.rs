//! Lines, archives, and files of another kind than expected.

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
    let input = Box::new(io::BufReader::with_capacity(7, io::Cursor::new(text.into_bytes())));
    let mut lines = Lines::new("input".to_owned(), input).with_limit(40);
    let line = lines.next_line().unwrap().unwrap();
    assert_eq!((line.number, line.bytes), (0, "x".repeat(40).as_bytes()));
    let damage = line.damage.unwrap();
    assert_eq!((damage.records, damage.cut_from_bytes, damage.block), (1, Some(100), None));
    assert!(damage.detail.contains("100 bytes, and 40 is the longest"), "{}", damage.detail);
    assert_eq!(lines.next_line().unwrap(), Some(FileRecord { number: 1, bytes: b"next", damage: None }));
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
    assert_eq!(input.next_record().unwrap(), Some(FileRecord { number: 0, bytes: b"a", damage: None }));
    assert_eq!(input.next_record().unwrap(), None);
}

fn pack(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name {
        "gzip" => gzip(bytes),
        "zstd" => zstd::stream::encode_all(bytes, 1).unwrap(),
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.into_inner().unwrap()
        }
    }
}

const PACKINGS: [&str; 5] = ["gzip", "zstd", "bzip2", "xz", "snappy"];

#[test]
fn archives_of_every_kind_are_read_joined_and_padded() {
    let expected = owned(&[(0, "a"), (1, "bc"), (2, "d")]);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
    for name in PACKINGS {
        let (one, other) = (pack(name, b"a\nb"), pack(name, b"c\nd\n"));
        assert_eq!(records_of(&[one.clone(), other.clone()].concat()), expected, "{name}");
        assert_eq!(records_of(&[one.clone(), pack(name, b""), other.clone()].concat()), expected, "{name}");
        if name != "snappy" {
            assert_eq!(
                records_of(&[one.clone(), vec![0; 12], other.clone(), vec![0; 10_240]].concat()),
                expected,
                "{name}"
            );
        }
        if name == "zstd" {
            let framed = [skippable.clone(), one, skippable.clone(), skippable.clone(), other, skippable.clone()];
            assert_eq!(records_of(&framed.concat()), expected);
        }
    }
    assert_eq!(records_of(&[pack("gzip", b"a\nb"), pack("xz", b"c\nd\n")].concat()), expected);
}

#[test]
fn ten_thousand_joined_archives_are_no_deeper_than_one() {
    let records = records_of(&gzip(b"a\n").repeat(10_000));
    assert_eq!((records.len(), records.last()), (10_000, Some(&(9_999, "a".to_owned()))));
}

/// The records of a file, and how it ended.
fn ends_of(bytes: Vec<u8>, format: Format) -> (usize, String) {
    let mut file = match InputFile::from_reader("input".to_owned(), io::Cursor::new(bytes), format) {
        Ok(file) => file,
        Err(e) => return (0, e.to_string()),
    };
    for records in 0.. {
        match file.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => return (records, String::new()),
            Err(e) => return (records, e.to_string()),
        }
    }
    unreachable!("a file ends")
}

#[test]
fn an_archive_that_was_cut_off_says_what_was_read_of_it() {
    // Long and varied enough that something is unpacked before the missing end is noticed.
    let lines: String = (0..200_000u64).map(|i| format!("{:x}\n", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for name in PACKINGS {
        let mut packed = pack(name, lines.as_bytes());
        packed.truncate(packed.len() - packed.len() / 4);
        let (records, error) = ends_of(packed, Format::Json);
        assert!(records > 10_000, "{name}: {records} {error}");
        assert!(error.contains(&format!("the {name} archive ")), "{error}");
        assert!(error.contains("it was cut off, or is still being written"), "{error}");
        assert!(error.ends_with(&format!("({records} lines were read before this)")), "{error}");
    }
}

#[test]
fn what_follows_an_archive_and_is_none_is_named() {
    let (records, error) = ends_of([gzip(b"a\nb\n"), b"{\"plain\":1}\n".to_vec()].concat(), Format::Json);
    assert_eq!(records, 2);
    assert!(error.contains("something that is not packed follows the gzip archive of 4 bytes"), "{error}");
}

#[test]
fn what_is_not_read_is_named_with_what_to_do() {
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, format, problem) in [
        (
            b"PK\x03\x04 and so on".to_vec(),
            Format::Json,
            "it is a zip archive, which is not read as it is: unzip -p FILE |",
        ),
        (vec![0x04, 0x22, 0x4d, 0x18, 0], Format::Json, "packed with lz4"),
        (b"7z\xbc\xaf\x27\x1c".to_vec(), Format::Clf, "a 7z archive"),
        (tar.clone(), Format::Json, "a tar archive"),
        (gzip(&tar), Format::Json, "a tar archive"),
        (b"Obj\x01".to_vec(), Format::Json, "an Avro container file: read it with --format avro"),
        (gzip(b"Obj\x01"), Format::Clf, "an Avro container file"),
        (b"PAR1".to_vec(), Format::Json, "a Parquet file"),
        (b"\xff\xfe{\0".to_vec(), Format::Json, "UTF-16 text: iconv"),
    ] {
        let (records, error) = ends_of(bytes, format);
        assert!(records == 0 && error.contains(problem), "{error}");
    }
    let (_, error) = {
        let directory = tempfile::tempdir().unwrap();
        (0, InputFile::open(directory.path(), Format::Json).err().unwrap().to_string())
    };
    assert!(error.contains("it is a directory"), "{error}");
    assert_eq!(error.matches("directory").count(), 1, "{error}");
}

#[test]
fn a_byte_order_mark_in_front_of_a_line_is_no_part_of_it() {
    let bytes = "\u{feff}a\n\u{feff}\n\u{feff}b\r\nc\u{feff}\n".as_bytes();
    assert_eq!(records_of(bytes), owned(&[(0, "a"), (2, "b"), (3, "c\u{feff}")]));
}

/// A pipe with one line and then nothing: reading more would block for ever.
struct OneLine(Option<&'static [u8]>);

impl Read for OneLine {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let line = self.0.take().expect("no more is asked for than there is");
        out[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }
}

#[test]
fn a_pipe_is_opened_without_waiting_for_more_than_its_first_bytes() {
    let mut file =
        InputFile::from_reader("-".to_owned(), OneLine(Some(b"{\"tenant\":\"a\"}\n")), Format::Json).unwrap();
    assert_eq!(file.next_record().unwrap().map(|record| record.bytes), Some(&br#"{"tenant":"a"}"#[..]));
}
