//! Guesses by the first bytes what a file is that cannot be read.

use super::super::Format;
use super::super::avro::CONTAINER_MAGIC;

/// This many first bytes show the compression of a stream; more are examined if they are there.
pub(super) const BYTES: usize = 10;

/// Archive formats that are not supported, and how to unpack them.
pub(super) fn not_read(begin: &[u8]) -> Option<String> {
    const KINDS: [(&[u8], &str, &str); 6] = [
        (b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
        (&[0x04, 0x22, 0x4d, 0x18], "packed with lz4", "lz4 -dc FILE"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so FILE"),
        (b"Rar!", "a rar archive", "unrar p -inul FILE"),
        (&[0x1f, 0x9d], "packed with compress", "zcat FILE"),
        (&[0x5d, 0, 0], "packed with lzma", "xz -dc --format=lzma FILE"),
    ];
    let packed = KINDS.iter().find(|(magic, ..)| begin.starts_with(magic));
    let tar = begin.get(257..262) == Some(b"ustar");
    let (what, command) = match packed {
        Some((_, what, command)) => (*what, *command),
        None if tar => ("a tar archive", "tar -xOf FILE"),
        None => return None,
    };
    Some(format!("it is {what}, which is not read as it is: {command} | tailburn .. --input -"))
}

/// Why a file is not of the format, and which format it looks like.
pub(super) fn mistaken(begin: &[u8], format: Format) -> Option<String> {
    let is_container = begin.starts_with(&CONTAINER_MAGIC);
    let other = if begin.get(257..262) == Some(b"ustar") {
        "a tar archive: unpack it, and name the files in it one by one (tar -xOf FILE | tailburn .. --input - joins them)"
    } else if begin.starts_with(b"PAR1") {
        "a Parquet file: write it as JSON lines or Avro"
    } else if begin.starts_with(b"ORC") && format == Format::Avro {
        "an ORC file: write it as JSON lines or Avro"
    } else if begin.starts_with(&[0xff, 0xfe]) || begin.starts_with(&[0xfe, 0xff]) {
        "UTF-16 text: iconv -f UTF-16 -t UTF-8 FILE | tailburn .. --input -"
    } else if is_container && format != Format::Avro {
        "an Avro container file: read it with --format avro (input.format: avro)"
    } else if is_container || format != Format::Avro {
        return None;
    } else {
        return Some(no_container(begin));
    };
    Some(format!("it is {other}"))
}

fn no_container(begin: &[u8]) -> String {
    let text = begin.strip_prefix("\u{feff}".as_bytes()).unwrap_or(begin).trim_ascii_start();
    let looks = match text.first() {
        None if begin.is_empty() => ": it is empty",
        Some(b'{') => ": it looks like JSON; read it with --format jsonl (input.format: json)",
        _ if begin.starts_with(b"Obj") => ": it is of another version of Avro than 1",
        _ => ": it does not begin with `Obj` and 1; records without their schema can only be read from topics",
    };
    format!("not an Avro container file{looks}")
}
