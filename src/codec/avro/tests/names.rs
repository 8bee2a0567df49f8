//! Names that writers use and Java reads, also where the specification forbids them.

use super::*;

/// Decodes a record of these two fields and of what comes between them.
fn decoded(schema: &str, between: &[u8]) -> (String, i64) {
    let datum = [sized("acme"), between.to_vec(), long(T)].concat();
    let decoder = decoder(AvroSchemas::raw(schema).unwrap_or_else(|e| panic!("{e}: {schema}")));
    let record = record(&datum);
    let outcome = decoder.decode(&record).unwrap_or_else(|e| panic!("{}: {schema}", e.detail));
    (outcome.tenant.into_owned(), outcome.timestamp_ms)
}

fn with_field(field: &str) -> String {
    of(&format!(
        r#"{{"name":"tenant","type":"string"}},{field},{{"name":"timestamp","type":{{"type":"long","logicalType":"timestamp-millis"}}}}"#
    ))
}

#[test]
fn any_name_of_a_field_a_type_or_a_symbol_is_taken() {
    for name in ["http.status", "status-code", "5xx", "größe", "a b", "$x", "", "a..b", ".", "🙂"] {
        let expected = ("acme".to_owned(), T);
        assert_eq!(decoded(&with_field(&format!(r#"{{"name":"{name}","type":"string"}}"#)), &sized("x")), expected);
        let symbols = format!(r#"{{"name":"e","type":{{"type":"enum","name":"{name}","symbols":["{name}","b"]}}}}"#);
        assert_eq!(decoded(&with_field(&symbols), &long(1)), expected);
        let fixed = format!(r#"{{"name":"f","type":{{"type":"fixed","name":"{name}","namespace":"a-b.1","size":2}}}}"#);
        assert_eq!(decoded(&with_field(&fixed), b"xx"), expected);
        let record =
            with_field(r#"{"name":"f","type":"int"}"#).replace(r#""name":"r""#, &format!(r#""name":"{name}""#));
        assert_eq!(decoded(&record, &long(1)), expected);
    }
}

#[test]
fn the_value_of_an_enum_with_an_odd_symbol_is_its_text() {
    let schema = with_field(r#"{"name":"operation","type":{"type":"enum","name":"e","symbols":["a","check-out.v2"]}}"#);
    let datum = [sized("acme"), long(1), long(T)].concat();
    let decoder = decoder(AvroSchemas::raw(&schema).unwrap());
    assert_eq!(decoder.decode(&record(&datum)).unwrap().operation.as_deref(), Some("check-out.v2"));
}

#[test]
fn references_are_found_in_their_namespace_and_without_one() {
    let inner = r#"{"type":"record","name":"Inner","NS"fields":[{"name":"n","type":"int"}]}"#;
    for (namespace, defined, referred) in [
        ("", r#""namespace":"","#, "Inner"),
        ("", r#""namespace":"a.b","#, "a.b.Inner"),
        (r#""namespace":"x.y","#, "", "Inner"),
        (r#""namespace":"x.y","#, "", "x.y.Inner"),
        // How Java prints a type without namespace inside one.
        (r#""namespace":"x.y","#, r#""namespace":"","#, "Inner"),
        // How avro-protobuf does it.
        (r#""namespace":"x.Outer$","#, "", "Inner"),
    ] {
        let define = format!(r#"{{"name":"one","type":{}}}"#, inner.replace(r#""NS""#, &format!("{defined}\"")));
        let refer = format!(r#"{{"name":"two","type":["null","{referred}"]}}"#);
        for (fields, between) in [
            (format!("{define},{refer}"), [long(7), long(1), long(8)].concat()),
            // A name before its definition.
            (format!("{refer},{define}"), [long(1), long(8), long(7)].concat()),
        ] {
            let schema = with_field(&fields).replace(r#""name":"r","#, &format!(r#""name":"r",{namespace}"#));
            assert_eq!(decoded(&schema, &between), ("acme".to_owned(), T), "{schema}");
        }
    }
}

#[test]
fn a_type_that_holds_one_that_comes_later_holds_itself_through_it() {
    let a = r#"{"name":"a","type":{"type":"record","name":"A","fields":[{"name":"b","type":["null","B"]}]}}"#;
    let b = r#"{"name":"b","type":{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]}}"#;
    let between = [long(1), long(1), long(1), long(0), long(1), long(0)].concat();
    assert_eq!(decoded(&with_field(&format!("{a},{b}")), &between), ("acme".to_owned(), T));
}
