//! Container files: every codec, damage, joined files, files of different schemas in one run.

use super::*;
use crate::codec::files::{FileError, InputFile};
use apache_avro::{Codec, DeflateSettings, Writer};
use std::io::{Cursor, Write as _};

const SYNC: [u8; 16] = *b"\x91\xe3\x07\x5c\x22\xb8\x4d\xf0\x1a\x66\xd9\x83\x3e\xa5\x78\xcc";

fn schema() -> String {
    of(
        r#"{"name":"tenant","type":"string"},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}}"#,
    )
}

fn datum(i: i64) -> Vec<u8> {
    [sized("acme"), long(T + i)].concat()
}

fn data(numbers: std::ops::Range<i64>) -> Vec<u8> {
    numbers.flat_map(datum).collect()
}

/// A file's header as the specification has it.
fn header(schema: &str, codec: &str) -> Vec<u8> {
    let entries = [sized("avro.codec"), sized(codec), sized("avro.schema"), sized(schema)].concat();
    [b"Obj\x01".to_vec(), long(2), entries, long(0), SYNC.to_vec()].concat()
}

fn block(count: i64, bytes: &[u8]) -> Vec<u8> {
    [long(count), sized(bytes), SYNC.to_vec()].concat()
}

fn file(codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let blocks = blocks.iter().flat_map(|(count, bytes)| block(*count, bytes));
    [header(&schema(), codec), blocks.collect()].concat()
}

/// The result of reading a file: times of its outcomes by number, and its damage.
#[derive(Debug, Default, PartialEq)]
struct Read {
    outcomes: Vec<(i64, i64)>,
    /// Number of the first record, block, records.
    damaged: Vec<(i64, u64, u64)>,
    details: Vec<String>,
    /// The damaged bytes that are passed on, after the file's fingerprint.
    rests: Vec<Vec<u8>>,
    notice: Option<String>,
    error: Option<String>,
}

impl Read {
    fn given(&self) -> u64 {
        self.outcomes.len() as u64 + self.damaged.iter().map(|(_, _, records)| records).sum::<u64>()
    }
}

fn open(bytes: Vec<u8>) -> Result<InputFile, FileError> {
    InputFile::from_reader("o.avro".to_owned(), Cursor::new(bytes), Format::Avro)
}

fn read(bytes: Vec<u8>) -> Read {
    let mut file = match open(bytes) {
        Ok(file) => file,
        Err(e) => return Read { error: Some(e.to_string()), ..Read::default() },
    };
    let mut schemas = AvroSchemas::of_record_schema().unwrap();
    schemas.add_file(0, file.schema().unwrap().clone());
    let decoder = decoder(schemas);
    let mut read = Read::default();
    loop {
        match file.next_record() {
            Ok(None) => break,
            Err(e) => {
                read.error = Some(e.to_string());
                break;
            }
            Ok(Some(next)) => match next.damage {
                None => {
                    read.outcomes.push((next.number, decoder.decode(&record(next.bytes)).unwrap().timestamp_ms - T))
                }
                Some(damage) => {
                    let rejected = decoder.decode(&RecordIn { headers: damage, ..record(next.bytes) }).unwrap_err();
                    assert_eq!((rejected.reason, &rejected.detail), (Rejection::NotDecodable, &damage.detail));
                    read.damaged.push((next.number, damage.block.unwrap(), damage.records));
                    read.details.push(damage.detail.clone());
                    read.rests.push(next.bytes[10..].to_vec());
                }
            },
        }
    }
    read.notice = file.notes().notice();
    read
}

fn numbered(numbers: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
    numbers.into_iter().map(|i| (i, i)).collect()
}

#[test]
fn files_that_another_library_wrote_are_read_block_by_block() {
    let schema = Schema::parse_str(&schema()).unwrap();
    for codec in [Codec::Null, Codec::Deflate(DeflateSettings::default())] {
        let mut writer = Writer::with_codec(&schema, Vec::new(), codec).unwrap();
        for i in 0..5 {
            let time = Value::TimestampMillis(T + i);
            writer.append_value(value_record(&[("tenant", text("a")), ("timestamp", time)])).unwrap();
            if i % 2 == 1 {
                writer.flush().unwrap();
            }
        }
        let bytes = writer.into_inner().unwrap();
        let whole = read(bytes.clone());
        assert_eq!((whole.outcomes, whole.error), (numbered(0..5), None));
        let cut = read(bytes[..bytes.len() - 3].to_vec());
        assert_eq!(cut.outcomes, numbered(0..4));
        let error = cut.error.unwrap();
        assert!(
            error.starts_with("cannot read o.avro: block 3: the file ends in the middle of it: of 1 records"),
            "{error}"
        );
        assert!(error.ends_with("(4 records were read before this)"), "{error}");
    }
}

fn zstd_frame(bytes: &[u8], has_size: bool, has_checksum: bool) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_contentsize(has_size).unwrap();
    encoder.include_checksum(has_checksum).unwrap();
    if has_size {
        encoder.set_pledged_src_size(Some(bytes.len() as u64)).unwrap();
    }
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    [snap::raw::Encoder::new().compress_vec(bytes).unwrap(), crc.sum().to_be_bytes().to_vec()].concat()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Pack = fn(&[u8]) -> Vec<u8>;
const PACKINGS: [(&str, Pack); 8] = [
    ("null", |bytes| bytes.to_vec()),
    ("deflate", deflate),
    ("snappy", snappy),
    ("bzip2", bzip2),
    ("xz", xz),
    ("zstandard", |bytes| zstd_frame(bytes, true, false)),
    ("zstandard", |bytes| zstd_frame(bytes, false, true)),
    ("zstandard", |bytes| zstd_frame(bytes, false, false)),
];

#[test]
fn blocks_packed_in_every_way_are_read_and_empty_ones_are_gone_on_from() {
    for (codec, pack) in PACKINGS {
        let bytes = file(
            codec,
            &[(3, pack(&data(0..3))), (0, pack(b"")), (0, Vec::new()), (200, pack(&data(3..203))), (0, pack(b""))],
        );
        let read = read(bytes);
        assert_eq!(read, Read { outcomes: numbered(0..203), ..Read::default() }, "{codec}");
    }
    let error = read(file("lz4", &[])).error.unwrap();
    assert!(error.contains("packed with `lz4`: write it with null, deflate"), "{error}");
}

#[test]
fn a_datum_that_cannot_be_read_says_how_many_records_are_lost_with_it() {
    // The second of three: its text is longer than the block.
    let broken = [datum(0), long(4_000), b"acme".to_vec(), long(T + 1), datum(2)].concat();
    let bytes = file("null", &[(3, broken), (1, datum(3)), (2, [datum(4), vec![0xff; 11]].concat()), (1, datum(6))]);
    let read = read(bytes);
    assert_eq!(read.outcomes, numbered([0, 3, 4, 6]));
    assert_eq!(read.damaged, [(1, 1, 2), (5, 3, 1)]);
    let detail =
        "block 1 of the file: 1 of its 3 records were read, 2 are lost: in the next one the record ends too early";
    assert!(read.details[0].starts_with(detail), "{:?}", read.details);
    assert_eq!((read.given(), read.error), (7, None));
}

#[test]
fn a_block_that_does_not_unpack_is_one_dead_letter() {
    for (codec, pack) in
        [("deflate", deflate as fn(&[u8]) -> Vec<u8>), ("snappy", snappy), ("bzip2", bzip2), ("xz", xz)]
    {
        let mut packed = pack(&data(2..9));
        let middle = packed.len() / 2;
        packed[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
        let read = read(file(codec, &[(2, pack(&data(0..2))), (7, packed.clone()), (1, pack(&datum(9)))]));
        assert_eq!(read.rests, [packed], "{codec}: what does not unpack is kept as it is");
        assert_eq!((read.outcomes.as_slice(), read.error.as_ref()), (&numbered([0, 1, 9])[..], None), "{codec}");
        assert_eq!(read.damaged, [(2, 2, 7)], "{codec}");
        assert!(read.details[0].contains("0 of its 7 records were read, 7 are lost"), "{:?}", read.details);
    }
}

#[test]
fn bytes_behind_the_last_record_of_a_block_are_seen() {
    let read = read(file("null", &[(2, data(0..3)), (0, data(0..1)), (1, datum(3))]));
    assert_eq!((read.outcomes, read.damaged), (vec![(0, 0), (3, 3)], vec![(1, 1, 1), (2, 2, 1)]));
    assert!(read.details[0].contains("bytes are left after its last record"), "{:?}", read.details);
    assert!(read.details[1].contains("it says that it has no records"), "{:?}", read.details);
}

#[test]
fn whatever_bit_flips_in_the_data_of_a_block_no_record_goes_uncounted() {
    let bytes = data(0..12);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let mut file = open(file("null", &[(12, flipped), (3, data(12..15))])).unwrap();
            let mut given = 0;
            while let Some(next) = file.next_record().unwrap() {
                given += next.damage.map_or(1, |damage| damage.records);
            }
            assert_eq!(given, 15, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn whatever_bit_flips_in_the_frame_of_a_block_the_others_are_read() {
    let (before, bytes) = (file("null", &[(2, data(0..2))]), data(2..9));
    let whole = [before.clone(), block(7, &bytes), block(70, &data(9..79))].concat();
    let head = before.len()..before.len() + long(7).len() + long(bytes.len() as i64).len();
    let marker = head.end + bytes.len()..head.end + bytes.len() + SYNC.len();
    assert_eq!(whole[marker.clone()], SYNC);
    for at in head.clone().chain(marker.clone()) {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            let read = read(flipped);
            assert_eq!(read.error, None, "bit {bit} of byte {at}");
            let last: Vec<i64> = read.outcomes.iter().rev().take(70).rev().map(|(_, time)| *time).collect();
            assert_eq!(last, (9..79).collect::<Vec<i64>>(), "bit {bit} of byte {at}: what follows is read");
            if marker.contains(&at) {
                assert_eq!((read.outcomes.len(), read.damaged.len()), (79, 0), "the block itself is whole");
            } else {
                assert_eq!(read.damaged.len(), 1, "bit {bit} of byte {at}: {:?}", read.details);
            }
        }
    }
}

#[test]
fn damage_over_several_blocks_is_one_dead_letter_and_reading_goes_on_behind_it() {
    let mut bytes = file("null", &[(2, data(0..2)), (3, data(2..5)), (2, data(5..7)), (4, data(7..11))]);
    let start = file("null", &[(2, data(0..2))]).len();
    let end = bytes.len() - block(4, &data(7..11)).len() - SYNC.len();
    bytes[start..end].fill(0xff);
    let read = read(bytes);
    assert_eq!(read.error, None);
    let times: Vec<i64> = read.outcomes.iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [0, 1, 7, 8, 9, 10]);
    assert_eq!(read.damaged, [(2, 2, 1)]);
    let detail = "it is not a block: a number of more than 64 bits; how many records it had is not known, so it counts as \
                  one; reading continues after the next marker";
    assert!(read.details[0].contains(detail), "{:?}", read.details);
}

#[test]
fn files_that_were_joined_are_read_and_it_is_said() {
    let one = file("null", &[(2, data(0..2))]);
    let other = [header(&schema(), "deflate"), block(2, &deflate(&data(2..4)))].concat();
    let joined = read([one.clone(), other, file("null", &[])].concat());
    assert_eq!((joined.outcomes.as_slice(), joined.error.as_ref()), (&numbered(0..4)[..], None));
    let notice = "o.avro: 3 Avro files were joined (the second begins after block 1, 2 records), and all are read";
    assert_eq!(joined.notice.as_deref(), Some(notice));
    let micros = header(&schema().replace("millis", "micros"), "null");
    let different = read([one, micros, block(1, &datum(2))].concat());
    assert_eq!(different.outcomes, numbered(0..2));
    let error = different.error.unwrap();
    assert!(
        error.contains("two files were joined after block 1 (2 records), and the second has another schema"),
        "{error}"
    );
    assert!(error.contains("a separate --input"), "{error}");
}

#[test]
fn broken_ends_say_the_block_and_what_was_read() {
    let whole = file("null", &[(2, data(0..2)), (3, data(2..5))]);
    let with = |more: &[u8]| read([whole.clone(), more.to_vec()].concat());
    for (more, problem) in [
        (vec![0, 0, 0, 0], "block 3: the file ends in the middle of it"),
        (long(4), "block 3: the file ends in its first bytes; the file was cut off"),
        (vec![0xff; 12], "block 3: it is not a block: a number of more than 64 bits"),
        ([long(-4), long(3)].concat(), "block 3: it says that it has -4 records in 3 bytes"),
        (b"Obj\x01".to_vec(), "block 2: another file was joined to this one, and cannot be read"),
        (b"Oh".to_vec(), "block 3: this is not a block"),
        ([long(1), sized(datum(9)), vec![8; 16]].concat(), "block 3: it does not end with the file's own marker"),
    ] {
        let read = with(&more);
        assert_eq!(read.outcomes, numbered(0..5), "{problem}");
        let error = read.error.unwrap();
        assert!(error.contains(problem), "{error}");
        assert!(error.contains("(5 records were read before this)"), "{error}");
    }
}

#[test]
fn a_file_in_millis_and_one_in_micros_are_read_in_one_run() {
    let file_of = |unit: &str, time: i64| {
        let schema = schema().replace("millis", unit);
        open([header(&schema, "null"), block(1, &[sized("acme"), long(time)].concat())].concat()).unwrap()
    };
    let mut files =
        [file_of("millis", T), file_of("micros", T * 1_000 + 7), file_of("nanos", T * 1_000_000), file_of("millis", T)];
    let mut schemas = AvroSchemas::of_record_schema().unwrap();
    for (partition, file) in (0..).zip(&files) {
        schemas.add_file(partition, file.schema().unwrap().clone());
    }
    let decoder = decoder(schemas);
    for (partition, file) in (0..).zip(&mut files) {
        let next = file.next_record().unwrap().unwrap();
        let record = RecordIn { partition, ..record(next.bytes) };
        assert_eq!(decoder.decode(&record).map(|o| o.timestamp_ms), Ok(T), "{partition}");
    }
}

#[test]
fn what_is_no_container_file_is_named() {
    for (bytes, problem) in [
        (&b"{}"[..], "it looks like JSON; read it with --format jsonl"),
        (b"\xef\xbb\xbf {\"a\":1}\n", "it looks like JSON"),
        (b"", "not an Avro container file: it is empty"),
        (b"Obj\x02....", "of another version of Avro"),
        (b"PAR1", "a Parquet file"),
        (b"\x02a", "it does not begin with `Obj`"),
    ] {
        let error = read(bytes.to_vec()).error.unwrap();
        assert!(error.contains(problem), "{error}");
    }
}

proptest! {
    /// Whatever happens to a file's bytes, reading ends, and every record that a block announces is passed on or
    /// counted.
    #[test]
    fn damaged_files_come_to_an_end(
        packing in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (codec, pack) = PACKINGS[packing];
        let blocks = [(40, pack(&data(0..40))), (0, pack(b"")), (40, pack(&data(40..80)))];
        let mut bytes = file(codec, &blocks);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len())));
        if let Ok(mut file) = open(bytes) {
            let mut next_number = 0;
            while let Ok(Some(next)) = file.next_record() {
                prop_assert_eq!(next.number, next_number);
                next_number = next_number.saturating_add(next.damage.map_or(1, |d| i64::try_from(d.records).unwrap_or(i64::MAX)));
                prop_assert!(next.bytes.len() < 4_096);
            }
        }
    }
}
