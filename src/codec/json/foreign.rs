//! What a record looks like that is not a JSON object, and what to do about it. Only on the cold path.

use super::super::rejected::Rejected;
use super::cursor::Syntax;
use crate::model::outcome::Rejection;

const ARRAY: &str = "it looks like a JSON array; write its items one a line: `jq -c '.[]' FILE`";
const SPREAD: &str = "it looks like a line of a JSON object that is spread over several lines; write one object a line: \
                      `jq -c . FILE`";
const SEVERAL: &str = "several objects stand in one line; write one a line: `jq -c . FILE`";
const COMMA: &str = "a comma follows the object, as in a JSON array; write one object a line, without commas";

/// `at`: the byte at which reading stopped.
#[cold]
pub(super) fn reject(text: &str, error: Syntax, at: usize) -> Rejected {
    let looks = looks_like(text, at).map(|looks| format!("; {looks}")).unwrap_or_default();
    Rejected::new(Rejection::NotDecodable, format!("not a JSON object: {} at byte {at}{looks}", error.0))
}

fn looks_like(text: &str, at: usize) -> Option<&'static str> {
    let text = text.trim_start_matches('\u{feff}');
    of_bytes(text.as_bytes()).or_else(|| of_line(text.trim_ascii())).or_else(|| of_place(text, at))
}

/// Files of other kinds, read as lines or as records.
fn of_bytes(bytes: &[u8]) -> Option<&'static str> {
    const UTF_16: &str = "it looks like UTF-16; write it as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE`";
    match bytes {
        [b'O', b'b', b'j', 1, ..] => Some("it looks like an Avro container file; read it with format avro"),
        [b'P', b'A', b'R', b'1', ..] => Some("it looks like a Parquet file; write it as JSON, one object a line"),
        [b'{' | b'[', 0, ..] | [0, b'{' | b'[' | b' ' | b'\r' | b'\n', ..] => Some(UTF_16),
        // Its byte order mark is not UTF-8.
        _ if bytes.starts_with("\u{fffd}\u{fffd}".as_bytes()) && bytes.contains(&0) => Some(UTF_16),
        [0, _, _, _, _, b'{', ..] => Some(
            "the number of a schema (5 bytes) comes before the JSON; write it with a serializer without a registry",
        ),
        [0 | 1 | 3 | 0xC3, ..] => Some("it looks like Avro with its schema named in front; set input.format to avro"),
        _ => None,
    }
}

/// Text in another format.
fn of_line(line: &str) -> Option<&'static str> {
    let is_member = |line: &str| {
        let name = line.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        name.is_some_and(|(_, behind)| behind.trim_ascii_start().starts_with(':'))
    };
    match line {
        "{" | "}" | "}," | "}]" => Some(SPREAD),
        "[" | "]" => Some(ARRAY),
        _ if line.starts_with('[') => Some(ARRAY),
        _ if is_member(line) => Some(SPREAD),
        _ if line.starts_with("{'") => Some("it is Python's notation, not JSON; write it with `json.dumps`"),
        _ if line.starts_with('<') => Some("it looks like XML or HTML; write it as JSON, one object a line"),
        _ if line.contains(" [") && line.contains("] \"") => {
            Some("it looks like a line of an access log; read it with format clf")
        }
        _ => None,
    }
}

/// Advice by the text at which reading stopped.
fn of_place(text: &str, at: usize) -> Option<&'static str> {
    let rest = text.get(at..)?;
    let before = text.get(..at)?.trim_ascii_end();
    let is_behind = before.ends_with('}') && !before.ends_with("{}");
    match rest.trim_ascii() {
        "" => Some("it ends in the middle, as a record that was cut"),
        "," if is_behind => Some(COMMA),
        behind if is_behind && behind.starts_with('{') => Some(SEVERAL),
        value if ["NaN", "Infinity", "-Infinity"].iter().any(|word| value.starts_with(word)) => {
            Some("JSON has no such number; write null")
        }
        value if value.strip_prefix('-').is_some_and(|behind| !behind.starts_with(|c: char| c.is_ascii_digit())) => {
            Some("`-` is no JSON value; in nginx, put the variable of the log_format in quotes")
        }
        _ if before.ends_with("\\x") => Some("JSON has no escape `\\x`; in nginx, give the log_format `escape=json`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{Decoder, InputSettings};
    use crate::model::record::{NoHeaders, RecordIn};

    fn detail(value: &[u8]) -> String {
        let record = RecordIn { partition: 0, offset: 0, key: None, value, timestamp_ms: None, headers: &NoHeaders };
        let decoder = Decoder::new(InputSettings::default()).expect("a decoder");
        decoder.decode(&record).expect_err("no outcome").detail
    }

    #[test]
    fn what_is_no_json_object_is_named_with_its_remedy() {
        let utf_16: Vec<u8> = "{\"tenant\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf_16_with_mark = [b"\xff\xfe".as_slice(), &utf_16].concat();
        for (value, named) in [
            (b"[".as_slice(), "jq -c '.[]' FILE"),
            (b"[{\"tenant\":\"a\"}]", "jq -c '.[]' FILE"),
            (b"\xef\xbb\xbf[", "jq -c '.[]' FILE"),
            (b"]", "JSON array"),
            (b"{", "spread over several lines; write one object a line: `jq -c . FILE`"),
            (b"\xef\xbb\xbf{", "spread over several lines"),
            (b"  \"tenant\": \"a\",", "spread over several lines"),
            (b"  \"attributes\": {", "spread over several lines"),
            (b"}", "spread over several lines"),
            (b"  },", "spread over several lines"),
            (b"{\"tenant\":\"a\"},", "a comma follows the object"),
            (b"{\"tenant\":\"a\"}{\"tenant\":\"b\"}", "several objects stand in one line"),
            (b"{\"tenant\":\"a\",\"latency_ms\":NaN}", "no such number; write null"),
            (b"{\"tenant\":\"a\",\"x\":[-Infinity]}", "no such number; write null"),
            (b"{\"agent\":\"a \\x22b\\x22\"}", "`escape=json`"),
            (b"{\"tenant\":\"a\",\"user\":\"u", "it ends in the middle"),
            (b"{\"tenant\":\"a\",", "it ends in the middle"),
            (b"{\"tenant\":\"a\",\"upstream_response_time\":-}", "put the variable of the log_format in quotes"),
            (b"{\"tenant\":\"a\",\"latency_ms\":-,\"x\":1}", "put the variable of the log_format in quotes"),
            (b"{'tenant': 'a'}", "Python's notation"),
            (b"<html>", "XML or HTML"),
            (b"192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1", "format clf"),
            (b"Obj\x01\x04\x14avro.codec", "an Avro container file"),
            (b"\x00\x00\x00\x00\x07\x02a", "Avro with its schema named in front"),
            (b"\x00\x00\x00\x00\x07{\"tenant\":\"a\"}", "the number of a schema (5 bytes)"),
            (&utf_16, "UTF-16"),
            (&utf_16_with_mark, "UTF-16"),
            (b"\0{\0\"\0", "UTF-16"),
        ] {
            let detail = detail(value);
            assert!(detail.contains(named), "{:?}: {detail}", String::from_utf8_lossy(value));
        }
        assert_eq!(detail(b"nonsense"), "not a JSON object: expected `{` at byte 0");
        assert_eq!(detail(b"{\"a\":tru}"), "not a JSON object: expected a value at byte 5");
    }
}
