//! The kinds of input, each with valid examples and its checks.

use super::chance::Chance;
use super::packed::{archives, containers, front_of};
use std::io::{Cursor, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tailburn::codec::files::InputFile;
use tailburn::codec::{AvroSchemas, Decoder, Format, InputSettings};
use tailburn::config::{self, Sources};
use tailburn::definition;
use tailburn::http::{Board, Endpoints, Server, serve};
use tailburn::model::record::{NoHeaders, RecordIn};
use tailburn::model::slo::Slo;
use tailburn::operator::partial::Partial;
use tailburn::pipeline::route::{DeadLetterForm, Route, SourceName};
use tailburn::pipeline::users::{UsersSettings, UsersTask};
use tailburn::state::MemoryStore;

pub const KINDS: [&str; 8] = ["slo", "config", "cel", "json", "avro", "access-log", "archive", "http"];

const SLO: &str = include_str!("../fixtures/availability.yaml");
const POLICIES: &str = include_str!("../oracle/slos/generated/c-policies.yaml");
const LATENCY: &str = include_str!("../oracle/slos/latency.yaml");
const CONFIG: &str = include_str!("../../src/command/init/tailburn.yaml");
const YAML_WORDS: [&str; 22] = [
    ":", "- ", "\n", "  ", "{", "}", "[", "]", "&a ", "*a", "<<: *a\n", "!!str ", "|\n", "null", "~", "1e999", "0x7f",
    "-1", "'", "\"", "---\n", "spec:",
];
const CEL: [&str; 8] = [
    "status < 500",
    "operation == 'checkout' && !(has(attributes.synthetic) && attributes.synthetic == 'true')",
    "status in [200, 201, 404] || latency_ms <= 250.0",
    "attributes.region.matches('^(eu|us)-[a-z]+[0-9]{1,2}$')",
    "size(attributes) > 0 ? measures.ttft_ms < 800.0 : status / 100 == 2",
    "operation.startsWith('a') || operation.endsWith('z') || operation.contains('x')",
    "double(status) * 1.5 - latency_ms % 7.0 >= weight",
    "!('tier' in attributes) && tenant != user",
];
const CEL_WORDS: [&str; 36] = [
    " && ",
    " || ",
    "!",
    "(",
    ")",
    "[",
    "]",
    ",",
    " + 1",
    " - ",
    " * ",
    " / 0",
    " % ",
    " ? ",
    " : ",
    ".a",
    ".startsWith('a')",
    ".matches('",
    "(?i)",
    "\\\\d",
    "{1,9}",
    "has(",
    "in ",
    "status",
    "attributes",
    "measures.x",
    "'",
    "\"",
    "1e308",
    "9223372036854775807",
    "== ",
    "!= ",
    "size(",
    "int(",
    "double(",
    "`a.b`",
];
const JSON: [&str; 4] = [
    r#"{"tenant":"acme","user":"u1","timestamp":1780000000000,"operation":"checkout","status":200,"latency_ms":12.5}"#,
    r#"{"tenant":"a","timestamp":"2026-05-28T20:26:40.123+02:00[Europe/Berlin]","status":"503","weight":10,"error_type":"timeout"}"#,
    r#"{"tenant":7,"user":42,"timestamp":1780000060000,"measures":{"ttft_ms":301.2,"tokens":"17"},"attributes":{"region":"eu","n":1,"b":true,"x":null}}"#,
    r#"{"resource":{"deep":[[[{"a":[1,2,{"b":"\ud83d\ude00"}]}]]]},"tenant":"t","timestamp":1780000120000,"latency_ms":"0.004"}"#,
];
const JSON_WORDS: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\ud83d",
    "\\u0000",
    "null",
    "true",
    "-",
    "1e400",
    "1e-400",
    "0.1",
    "99999999999999999999",
    "\"tenant\":",
    "\"user\":\"\"",
    "\"timestamp\":",
    "\"weight\":0",
    "\"attributes\":{",
    "\u{feff}",
    "\n",
    "T24:00",
    "Z",
    "+25:00",
    "1780000000000",
    "253402300799999",
    "-62135596800000",
];
const LOG: [&str; 4] = [
    "192.0.2.1 - frank [28/May/2026:20:26:40 +0000] \"GET /a/b?c=d HTTP/1.1\" 200 2326 \"http://example.com/\" \"Mozilla/5.0\"",
    "::ffff:192.0.2.7 - - [28/May/2026:22:26:41 +0200] \"POST http://example.com:8080/cart HTTP/2.0\" 503 - \"-\" \"-\" 0.301",
    "unix: - Smith [ext] [28/May/2026:20:26:42 +0000] \"\" 400 0",
    "example.com:443 203.0.113.9 - - [28/May/2026:20:26:43 +0000] \"GET / HTTP/1.1\" 499 0 \"-\" \"curl/8.5\"",
];
const LOG_WORDS: [&str; 24] = [
    " [",
    "] ",
    "\"",
    "\\\"",
    " ",
    "  ",
    "- ",
    "None",
    "-1",
    "0",
    "+0575",
    "+0000",
    "28/May/2026:20:26:40",
    "Mai",
    "::1",
    "[::1]:99",
    "unix:",
    ", ",
    "\t",
    "HTTP/1.1",
    "\\x00",
    "GET",
    "<134>",
    "\u{fffd}",
];
const HTTP: [&str; 4] = [
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/v1/status?slo=a&tenant=b&limit=10&after=x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "GET /metrics HTTP/1.0\r\n\r\n",
    "POST /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
];
const HTTP_WORDS: [&str; 20] = [
    "\r\n",
    "\r\n\r\n",
    "Host: a\r\n",
    "Host: localhost\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 99999999999\r\n",
    "%00",
    "%2e%2e/",
    "../",
    "?",
    "&",
    "=",
    "limit=-1",
    "/api/v1/alerts",
    "/readyz",
    "HTTP/9.9",
    "\u{0}",
    "Expect: 100-continue\r\n",
    "ffffffff\r\n",
    "GET ",
];

/// The result of an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Records of the input, accepted ones, and dead letters.
    pub given: u64,
    pub accepted: u64,
    pub dead: u64,
    /// Refused as a whole, in words.
    pub refused: bool,
}

/// The resources for inputs of a kind.
pub struct Bench {
    kind: &'static str,
    slos: Arc<Vec<Slo>>,
    file: PathBuf,
    server: Option<Server>,
    /// Valid examples: containers or archives.
    files: Vec<Vec<u8>>,
}

impl Bench {
    pub fn new(kind: &'static str, dir: &std::path::Path) -> Bench {
        let slos = definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("a definition").slos;
        let endpoints = || Endpoints::new(Arc::new(Board::new(100)), String::new);
        let files = match kind {
            "avro" => containers(),
            "archive" => archives(JSON.join("\n").repeat(4).as_bytes()),
            _ => Vec::new(),
        };
        Bench {
            kind,
            slos: Arc::new(slos),
            file: dir.join("tailburn.yaml"),
            server: (kind == "http").then(|| serve("127.0.0.1:0", endpoints()).expect("a free port")),
            files,
        }
    }

    /// A random input.
    pub fn input(&self, chance: &mut Chance) -> Vec<u8> {
        let (mut bytes, words): (Vec<u8>, &[&str]) = match self.kind {
            "slo" => (chance.pick(&[SLO, POLICIES, LATENCY]).into(), &YAML_WORDS),
            "config" => (CONFIG.into(), &YAML_WORDS),
            "cel" => (chance.pick(&CEL).into(), &CEL_WORDS),
            "json" => (lines(chance, &JSON), &JSON_WORDS),
            "access-log" => (lines(chance, &LOG), &LOG_WORDS),
            "avro" => (self.file(chance), &["\u{0}", "\u{1}", "\"", "{", "[", "long", "\u{7f}\u{7f}\u{7f}\u{7f}"]),
            "archive" => (self.file(chance), &["\u{0}", "\u{1f}", "PK\u{3}\u{4}", "BZh9", "\u{7f}\u{7f}\u{7f}"]),
            _ => (chance.pick(&HTTP).into(), &HTTP_WORDS),
        };
        // The first bytes of a compressed file decide whether anything is read at all.
        let front = if self.kind == "avro" { front_of(&bytes) } else { 12.min(bytes.len()) };
        let spares_front = matches!(self.kind, "avro" | "archive") && !chance.one_in(4);
        let mut back = bytes.split_off(if spares_front { front } else { 0 });
        if !chance.one_in(50) {
            chance.mutate(&mut back, words);
        }
        bytes.append(&mut back);
        bytes
    }

    fn file(&self, chance: &mut Chance) -> Vec<u8> {
        self.files[chance.below(self.files.len())].clone()
    }

    pub fn judge(&self, bytes: &[u8], closes: bool) -> Came {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        match self.kind {
            "slo" => refused(definition::parse(&[("slo.yaml".to_owned(), text())]).is_err()),
            "cel" => self.cel(&text()),
            "config" => {
                std::fs::write(&self.file, bytes).expect("a file");
                let sources = Sources { file: Some(self.file.clone()), environment: Vec::new(), sets: Vec::new() };
                refused(config::load(&sources).is_err())
            }
            "json" => self.records(bytes, Format::Json, closes),
            "avro" => self.records(bytes, Format::Avro, closes),
            "access-log" => self.records(bytes, Format::Clf, closes),
            "archive" => self.records(bytes, Format::Json, closes),
            _ => self.http(bytes),
        }
    }

    /// An expression in a document; valid ones are evaluated.
    fn cel(&self, expression: &str) -> Came {
        let quoted = serde_json::to_string(expression).expect("a text");
        let slo = SLO.replace("\"status < 500\"", &quoted);
        let Ok(definitions) = definition::parse(&[("slo.yaml".to_owned(), slo)]) else { return refused(true) };
        let mut came = self.records_for(JSON.join("\n").as_bytes(), Format::Json, &Arc::new(definitions.slos), false);
        came.refused = false;
        came
    }

    fn records(&self, bytes: &[u8], format: Format, closes: bool) -> Came {
        self.records_for(bytes, format, &self.slos, closes)
    }

    /// Every record that a file gives is accepted or a dead letter.
    fn records_for(&self, bytes: &[u8], format: Format, slos: &Arc<Vec<Slo>>, closes: bool) -> Came {
        let mut came = Came::default();
        let Ok(mut file) = InputFile::from_reader("input".to_owned(), Cursor::new(bytes.to_vec()), format) else {
            return refused(true);
        };
        let mut settings = InputSettings { format, ..InputSettings::default() };
        if let Some(schema) = file.schema() {
            let mut schemas = AvroSchemas::of_record_schema().expect("the schema of record");
            schemas.add_file(0, schema.clone());
            settings.avro_schemas = Some(schemas);
        }
        let Ok(decoder) = Decoder::new(settings) else { return refused(true) };
        let names = vec![SourceName { topic: "input".to_owned(), partition: 0 }];
        let mut route = Route::new(decoder, names, DeadLetterForm::Line);
        let of_users =
            UsersSettings { out_of_orderness_ms: 5_000, groups_max: 2, tenants_max: 50_000, rollup_partitions: 1 };
        let mut users = UsersTask::new(Arc::clone(slos), 1, of_users);
        loop {
            match file.next_record() {
                Ok(Some(line)) => {
                    came.given += 1;
                    let record = tailburn_record(&line);
                    let dead = route.apply(0, &record, |outcome| users.apply(0, record.offset, outcome));
                    came.dead += u64::from(dead.is_some());
                }
                Ok(None) => break,
                Err(_) => {
                    came.refused = true;
                    break;
                }
            }
        }
        came.accepted = users.counts.outcomes;
        if let (true, Some(end_ms)) = (closes, users.end_ms()) {
            users.close_until(end_ms, &mut [Partial::default()], &MemoryStore::default()).expect("closed");
        }
        came
    }

    fn http(&self, bytes: &[u8]) -> Came {
        let address = self.server.as_ref().expect("a server").address();
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        // The server may answer and close before it received everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        match stream.take(1 << 22).read_to_end(&mut answer) {
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("no answer and no end of the connection within 20 s");
            }
            _ => refused(!answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.0 200")),
        }
    }
}

fn refused(refused: bool) -> Came {
    Came { refused, ..Came::default() }
}

fn tailburn_record<'a>(line: &tailburn::codec::files::FileRecord<'a>) -> RecordIn<'a> {
    let headers: &dyn tailburn::model::record::Headers = match line.damage {
        Some(damage) => damage,
        None => &NoHeaders,
    };
    RecordIn { partition: 0, offset: line.number, key: None, value: line.bytes, timestamp_ms: None, headers }
}

fn lines(chance: &mut Chance, examples: &[&str]) -> Vec<u8> {
    let lines: Vec<&str> = (0..=chance.below(4)).map(|_| chance.pick(examples)).collect();
    lines.join("\n").into_bytes()
}
