use super::*;
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    tap: TapArgs,
}

pub fn args(topic: &str, flags: &[&str]) -> TapArgs {
    Cli::try_parse_from(["tap", topic].iter().chain(flags)).expect("valid arguments").tap
}

/// Runs a reader with a printer and returns the output, the notes and how many values were not decodable.
pub fn ran(
    args: TapArgs,
    read: impl FnOnce(&mut Printer<&mut Vec<u8>, &mut Vec<u8>>) -> anyhow::Result<()>,
) -> (String, String, u64) {
    let topic = super::super::topic_of(&args.topic, "").expect("a topic of ours");
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    let mut printer = Printer::new(topic, &args, &mut out, &mut messages).expect("valid schemas");
    read(&mut printer).expect("is read");
    let undecodable = printer.finish().expect("is flushed");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("is text");
    (text(out), text(messages), undecodable)
}

fn in_kafka<'a>(key: &'a str, value: Option<&'a str>) -> Found<'a> {
    Found {
        place: Place::Kafka { partition: 2, offset: 118, timestamp_ms: Some(0) },
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: Vec::new(),
    }
}

fn taken(args: TapArgs, found: &[Found<'_>]) -> (String, String, u64) {
    ran(args, |printer| {
        for record in found {
            if printer.take(record)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

#[test]
fn prints_one_line_a_record_with_its_fields_in_order() {
    let records = [in_kafka("b", Some(r#"{"slo": "z", "at": 1.0}"#)), in_kafka("a", Some(r#"{"slo":"y"}"#))];
    let (out, messages, _) = taken(args("slo-status", &[]), &records);
    assert_eq!((out.as_str(), messages.as_str()), ("{\"slo\":\"z\",\"at\":1.0}\n{\"slo\":\"y\"}\n", ""));
    let (out, ..) = taken(args("slo-status", &["--pretty", "--slo", "y"]), &records);
    assert_eq!(out, "{\n  \"slo\": \"y\"\n}\n");
}

#[test]
fn tombstones_are_told_or_enveloped() {
    let (out, messages, _) = taken(args("slo-status", &[]), &[in_kafka("k", None)]);
    assert_eq!((out.as_str(), messages.as_str()), ("", "tap: tombstone of k at partition 2, offset 118\n"));
    let (out, messages, _) = taken(args("slo-status", &["--envelope"]), &[in_kafka("k", None)]);
    let expected = r#"{"key":"k","partition":2,"offset":118,"timestamp":"1970-01-01T00:00:00.000Z","value":null}"#;
    assert_eq!((out.trim_end(), messages.as_str()), (expected, ""));
}

#[test]
fn what_cannot_be_decoded_is_told_and_the_rest_goes_on() {
    let records = [in_kafka("k", Some("\u{1}x")), in_kafka("k", Some("{}"))];
    let (out, messages, undecodable) = taken(args("burn-alerts", &[]), &records);
    assert_eq!((out.as_str(), undecodable), ("{}\n", 1));
    assert!(messages.starts_with("tap: burn-alerts at partition 2, offset 118: no decoder reads"), "{messages}");
    assert!(messages.contains("json: ") && messages.contains("bare avro: "), "{messages}");
}

#[test]
fn a_dead_letter_of_the_topic_prints_as_in_a_file_with_its_text() {
    let headers: Vec<(&str, &[u8])> = vec![
        ("tailburn.reason", b"no_tenant"),
        ("trace", b"t-1"),
        ("tailburn.topic", b"outcomes"),
        ("tailburn.partition", b"3"),
        ("tailburn.offset", b"77"),
    ];
    let letter = Found { headers, ..in_kafka("k", Some("{oops")) };
    let (out, ..) = taken(args("dead-letters", &[]), &[letter]);
    let expected = r#"{"topic":"outcomes","partition":3,"offset":77,"key":"k","value_base64":"e29vcHM=","headers":{"trace":"t-1"},"reason":"no_tenant","value":"{oops"}"#;
    assert_eq!(out.trim_end(), expected);
}

#[test]
fn a_reader_that_has_gone_ends_it_without_an_error() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(ErrorKind::BrokenPipe.into())
        }
    }
    let mut printer =
        Printer::new(Topic::SloStatus, &args("slo-status", &[]), Gone, Vec::new()).expect("valid schemas");
    assert_eq!(printer.take(&in_kafka("k", Some("{}"))).expect("no error"), Flow::Break(()));
    assert_eq!(printer.finish().expect("no error"), 0);
}
