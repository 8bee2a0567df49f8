//! Compressed files: archives of lines, and Avro containers with each codec.

use apache_avro::writer::datum::GenericDatumWriter;
use std::io::Write;

type Pack = fn(&[u8]) -> Vec<u8>;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("packed")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut packed = liblzma::write::XzEncoder::new(Vec::new(), 1);
    packed.write_all(bytes).expect("packed");
    packed.finish().expect("packed")
}

fn snappy_frames(bytes: &[u8]) -> Vec<u8> {
    let mut packed = snap::write::FrameEncoder::new(Vec::new());
    packed.write_all(bytes).expect("packed");
    packed.into_inner().expect("packed")
}

/// Avro's snappy: no frames, and a checksum after the data.
fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    let mut packed = snap::raw::Encoder::new().compress_vec(bytes).expect("packed");
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    packed.extend_from_slice(&sum.sum().to_be_bytes());
    packed
}

/// A zip archive of one stored file.
fn zip(bytes: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    about.extend_from_slice(&sum.sum().to_le_bytes());
    (0..2).for_each(|_| about.extend_from_slice(&(bytes.len() as u32).to_le_bytes()));
    about.extend_from_slice(&[1, 0, 0, 0]);
    let mut archive = [b"PK\x03\x04", &about[..], b"x", bytes].concat();
    let directory_at = archive.len() as u32;
    archive.extend_from_slice(&[b"PK\x01\x02\x14\x00", &about[..], &[0; 14], b"x"].concat());
    let size = archive.len() as u32 - directory_at;
    archive.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    archive.extend_from_slice(&[size.to_le_bytes(), directory_at.to_le_bytes()].concat());
    archive.extend_from_slice(&[0, 0]);
    archive
}

/// The lines in every usual compression, complete or with only the right first bytes.
pub fn archives(lines: &[u8]) -> Vec<Vec<u8>> {
    let ways: [Pack; 6] = [gzip, zstd, bzip2, xz, snappy_frames, zip];
    let mut archives: Vec<Vec<u8>> = ways.iter().map(|pack| pack(lines)).collect();
    archives.extend(ways.iter().map(|pack| [&pack(lines)[..12], lines].concat()));
    // Several members, streams and frames in sequence.
    archives.extend(ways[..5].iter().map(|pack| pack(lines).repeat(2)));
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    archives.push([&skippable[..], &zstd(lines)].concat());
    archives
}

/// Avro containers of a few blocks, one for each codec.
pub fn containers() -> Vec<Vec<u8>> {
    let codecs: [(&str, Pack); 6] = [
        ("null", <[u8]>::to_vec),
        ("deflate", deflate),
        ("snappy", snappy_block),
        ("zstandard", zstd),
        ("bzip2", bzip2),
        ("xz", xz),
    ];
    codecs.iter().map(|(codec, pack)| container(codec, *pack)).collect()
}

const SCHEMA: &str = r#"{"type":"record","name":"Outcome","fields":[{"name":"tenant","type":"string"},
    {"name":"user","type":["null","string"]},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"status","type":["null","int"]},{"name":"latency_ms","type":["null","double"]},
    {"name":"attributes","type":{"type":"map","values":"string"}},
    {"name":"cause","type":["null",{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}}]}]}"#;

fn container(codec: &str, pack: Pack) -> Vec<u8> {
    let mark = [0x5a; 16];
    let mut bytes = b"Obj\x01".to_vec();
    long(2, &mut bytes);
    for (name, value) in [("avro.schema", SCHEMA), ("avro.codec", codec)] {
        block(name.as_bytes(), &mut bytes);
        block(value.as_bytes(), &mut bytes);
    }
    long(0, &mut bytes);
    bytes.extend_from_slice(&mark);
    let schema = apache_avro::Schema::parse_str(SCHEMA).expect("a schema");
    for first in [0, 5, 10] {
        let data: Vec<u8> = (first..first + 5).flat_map(|i| record(&schema, i)).collect();
        long(5, &mut bytes);
        block(&pack(&data), &mut bytes);
        bytes.extend_from_slice(&mark);
    }
    bytes
}

fn record(schema: &apache_avro::Schema, i: i64) -> Vec<u8> {
    let mut record = apache_avro::types::Record::new(schema).expect("a record");
    record.put("tenant", format!("t{}", i % 3));
    record.put("user", Some(format!("u{i}")));
    record.put("timestamp", apache_avro::types::Value::TimestampMillis(1_780_000_000_000 + i * 1_000));
    record.put("status", Some(200));
    record.put("latency_ms", Some(1.5));
    record.put("attributes", std::collections::HashMap::from([("region".to_owned(), "eu".to_owned())]));
    record.put("cause", None::<String>);
    GenericDatumWriter::builder(schema).build().expect("a writer").write_value_to_vec(record).expect("encoded")
}

fn long(value: usize, to: &mut Vec<u8>) {
    let mut rest = (value as u64) << 1;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn block(bytes: &[u8], to: &mut Vec<u8>) {
    long(bytes.len(), to);
    to.extend_from_slice(bytes);
}

/// A container's header ends with the first marker, which also ends the file.
pub fn front_of(container: &[u8]) -> usize {
    let mark = &container[container.len().saturating_sub(16)..];
    container.windows(16).position(|window| window == mark).map_or(0, |at| at + 16)
}
