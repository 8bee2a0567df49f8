//! Records that name their schema: read if it is configured, else reported with the setting to use.

use super::*;
use crate::model::record::Headers;

struct OneHeader(&'static str, Vec<u8>);

impl Headers for OneHeader {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        each("traceparent", b"00-1");
        each(self.0, &self.1);
    }
}

const TENANT: &str = r#"{"name":"tenant","type":"string"}"#;
const TIME: &str = r#"{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
const GUID: [u8; 16] = [0x93, 0x6d, 0xa0, 0x1f, 0x9a, 0xbd, 0x4d, 0x9d, 0x80, 0xc7, 0x02, 0xaf, 0x85, 0xc8, 0x22, 0xa8];
const GUID_TEXT: &str = "936da01f-9abd-4d9d-80c7-02af85c822a8";

fn datum() -> Vec<u8> {
    [long(T), sized("acme")].concat()
}

fn schema() -> String {
    of(&format!("{TIME},{TENANT}"))
}

fn fingerprint_of(schema: &str) -> [u8; 8] {
    compile::parse(schema).unwrap().fingerprints[0]
}

/// Every way to name the schema of number 7, or of the GUID, or of the fingerprint.
fn framed() -> Vec<(Vec<u8>, Option<OneHeader>, String)> {
    let front = |front: &[u8]| [front.to_vec(), datum()].concat();
    let header = |name, bytes: &[u8]| Some(OneHeader(name, bytes.to_vec()));
    let (seven, guid) = ("number 7", &format!("GUID {GUID_TEXT}"));
    let fingerprint = fingerprint_of(&schema());
    let print = format!("fingerprint {:016x}", u64::from_le_bytes(fingerprint));
    vec![
        (front(&[0, 0, 0, 0, 7]), None, seven.to_owned()),
        (front(&[0, 0, 0, 0, 0, 0, 0, 0, 7]), None, seven.to_owned()),
        (front(&[&[1][..], &GUID].concat()), None, guid.clone()),
        (front(&[&[3, 0][..], &GUID].concat()), None, guid.clone()),
        (front(&[&[0xc3, 1][..], &fingerprint].concat()), None, print),
        (datum(), header("__value_schema_id", &[&[1][..], &GUID].concat()), guid.clone()),
        (datum(), header("__value_schema_id", &[0, 0, 0, 0, 7]), seven.to_owned()),
        (datum(), header("apicurio.value.globalId", &7u64.to_be_bytes()), seven.to_owned()),
        (datum(), header("apicurio.value.contentId", &7u64.to_be_bytes()), seven.to_owned()),
    ]
}

fn decoded(decoder: &Decoder, value: &[u8], header: &Option<OneHeader>) -> Result<i64, String> {
    let headers: &dyn Headers = match header {
        Some(header) => header,
        None => &NoHeaders,
    };
    let record = RecordIn { headers, ..record(value) };
    decoder.decode(&record).map(|outcome| outcome.timestamp_ms).map_err(|rejected| rejected.detail)
}

fn directory(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(directory.path().join(name), schema()).unwrap();
    }
    directory
}

#[test]
fn a_directory_of_schemas_reads_every_framing() {
    let directory = directory(&["7.avsc", &format!("{GUID_TEXT}.avsc"), "notes.txt"]);
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    for (value, header, what) in framed() {
        assert_eq!(decoded(&decoder, &value, &header), Ok(T), "{what}");
    }
}

#[test]
fn a_schema_of_any_name_is_known_by_its_fingerprint_whoever_computed_it() {
    let directory = directory(&["outcome v2.avsc"]);
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    let all = compile::parse(&schema()).unwrap().fingerprints;
    assert_eq!(all.len(), 3);
    for fingerprint in all {
        let value = [&[0xc3, 1][..], &fingerprint, &datum()].concat();
        assert_eq!(decoded(&decoder, &value, &None), Ok(T));
    }
}

#[test]
fn schemas_of_one_fingerprint_that_read_differently_are_not_guessed_between() {
    let directory = directory(&["a.avsc", "again.avsc"]);
    std::fs::write(directory.path().join("b.avsc"), schema().replace("millis", "micros")).unwrap();
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    let value = [&[0xc3, 1][..], &fingerprint_of(&schema()), &datum()].concat();
    let problem = decoded(&decoder, &value, &None).unwrap_err();
    assert!(problem.contains("a.avsc and b.avsc have it"), "{problem}");
}

#[test]
fn what_is_not_in_the_directory_is_named() {
    let directory = directory(&["8.avsc"]);
    std::fs::write(directory.path().join("8.avsc"), of(TENANT)).unwrap();
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    for (value, header, what) in framed() {
        let problem = decoded(&decoder, &value, &header).unwrap_err();
        assert!(problem.contains(&what) && problem.contains("input.avro_schema"), "{problem}");
    }
}

#[test]
fn where_no_directory_is_configured_the_framing_is_named_with_the_setting() {
    // Tenant first, as in our own schema, so that no framing reads as a record of it by chance.
    let decoder = decoder(AvroSchemas::raw(&of(&format!("{TENANT},{TIME}"))).unwrap());
    for (value, header, what) in framed() {
        let problem = decoded(&decoder, &value, &header).unwrap_err();
        assert!(problem.contains(&what), "{what}: {problem}");
        assert!(problem.contains("set input.avro_schema to the directory"), "{problem}");
    }
}

#[test]
fn a_header_wins_over_what_stands_in_front() {
    let directory = directory(&["7.avsc"]);
    std::fs::write(
        directory.path().join("8.avsc"),
        of(&format!(r#"{{"name":"f","type":{{"type":"fixed","name":"f","size":5}}}},{TIME},{TENANT}"#)),
    )
    .unwrap();
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    let value = [vec![0, 0, 0, 0, 7], datum()].concat();
    assert_eq!(decoded(&decoder, &value, &None), Ok(T));
    let header = Some(OneHeader("__value_schema_id", vec![0, 0, 0, 0, 8]));
    assert_eq!(decoded(&decoder, &value, &header), Ok(T));
    assert!(decoded(&decoder, &datum(), &header).is_err());
}

#[test]
fn what_cannot_be_read_whatever_its_schema_says_so() {
    let directory = directory(&["7.avsc", &format!("{GUID_TEXT}.avsc")]);
    let decoder = decoder(AvroSchemas::open(directory.path()).unwrap());
    let packed = [&[3, 5][..], &GUID, &[0x78, 0x9c, 1, 2]].concat();
    let problem = decoded(&decoder, &packed, &None).unwrap_err();
    assert!(problem.contains(GUID_TEXT) && problem.contains("packed with zlib"), "{problem}");
    let short = Some(OneHeader("apicurio.value.globalId", vec![0, 7]));
    let problem = decoded(&decoder, &datum(), &short).unwrap_err();
    assert!(problem.contains("apicurio.value.globalId") && problem.contains("2 bytes"), "{problem}");
    let plain = decoded(&decoder, br#"{"tenant":"a"}"#, &None).unwrap_err();
    assert!(plain.contains("input.format: json"), "{plain}");
}
