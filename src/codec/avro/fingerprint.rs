//! The CRC-64-AVRO fingerprints of a schema.
//!
//! Single-object encoding names a schema by the fingerprint of its canonical form. The specification leaves logical
//! types out of that form, but some libraries do not. For a schema with logical types every variant is kept, the right
//! one first, so that records of all these libraries are recognized.

use super::naming::{full_name, inner_namespace};
use serde_json::{Map, Value as Json};

pub(super) type Fingerprint = [u8; 8];

/// The right one, then those of other libraries that differ.
pub(super) type Fingerprints = Vec<Fingerprint>;

/// How a library writes a primitive type that is an object.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Only its name.
    Specification,
    /// `{"type":"long"}` if there was a logical type (PyPI avro, apache-avro).
    ObjectIfLogical,
    /// `{"type":"long"}` if there was any other property (goavro).
    ObjectIfAnything,
    /// The logical type stays (hamba).
    Logical,
}

/// `is_defined`: whether a full name is one of the schema's own types.
pub(super) fn of(schema: &Json, is_defined: &dyn Fn(&str) -> bool) -> Fingerprints {
    let mut all = Fingerprints::new();
    for form in [Form::Specification, Form::ObjectIfLogical, Form::ObjectIfAnything, Form::Logical] {
        let mut writer = Writer { form, is_defined, out: String::new() };
        writer.schema(schema, "");
        let fingerprint = crc_64(writer.out.as_bytes());
        if !all.contains(&fingerprint) {
            all.push(fingerprint);
        }
    }
    all
}

/// Writes the canonical form. The schema compiled before, so nothing can be missing.
struct Writer<'a> {
    form: Form,
    is_defined: &'a dyn Fn(&str) -> bool,
    out: String,
}

impl Writer<'_> {
    fn schema(&mut self, schema: &Json, namespace: &str) {
        match schema {
            Json::String(name) => self.name(name, namespace),
            Json::Array(branches) => self.list(branches, |writer, branch| writer.schema(branch, namespace)),
            Json::Object(object) => match object.get("type") {
                Some(Json::String(of)) => self.object(of, object, namespace),
                Some(inner) => self.schema(inner, namespace),
                None => {}
            },
            _ => {}
        }
    }

    fn object(&mut self, of: &str, object: &Map<String, Json>, namespace: &str) {
        if matches!(of, "array" | "map") {
            let inside = if of == "array" { "items" } else { "values" };
            self.out.push_str(&format!(r#"{{"type":"{of}","{inside}":"#));
            self.schema(&object[inside], namespace);
            self.out.push('}');
        } else if matches!(of, "record" | "error" | "enum" | "fixed") {
            self.named(of, object, namespace);
        } else {
            self.primitive(of, object, namespace);
        }
    }

    fn named(&mut self, of: &str, object: &Map<String, Json>, namespace: &str) {
        let namespace = inner_namespace(object, namespace);
        self.out.push_str(r#"{"name":"#);
        self.text(&full_name(object.get("name").and_then(Json::as_str).unwrap_or_default(), &namespace));
        self.out.push_str(&format!(r#","type":"{of}""#));
        let list = |name: &str| object.get(name).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        match of {
            "enum" => {
                self.out.push_str(r#","symbols":"#);
                self.list(list("symbols"), |writer, symbol| writer.text(symbol.as_str().unwrap_or_default()));
            }
            "fixed" => {
                self.out.push_str(&format!(r#","size":{}"#, object["size"]));
                if self.form == Form::Logical {
                    self.logical(object);
                }
            }
            _ => {
                self.out.push_str(r#","fields":"#);
                self.list(list("fields"), |writer, field| writer.field(field, &namespace));
            }
        }
        self.out.push('}');
    }

    fn field(&mut self, field: &Json, namespace: &str) {
        self.out.push_str(r#"{"name":"#);
        self.text(field["name"].as_str().unwrap_or_default());
        self.out.push_str(r#","type":"#);
        match (&field["type"], field) {
            (Json::String(of), Json::Object(all)) if all.contains_key("items") || all.contains_key("values") => {
                self.object(of, all, namespace);
            }
            (of, _) => self.schema(of, namespace),
        }
        self.out.push('}');
    }

    fn primitive(&mut self, of: &str, object: &Map<String, Json>, namespace: &str) {
        let is_logical = object.contains_key("logicalType");
        match self.form {
            Form::Logical if is_logical => {
                self.out.push_str(r#"{"type":"#);
                self.name(of, namespace);
                self.logical(object);
                self.out.push('}');
            }
            Form::ObjectIfLogical if is_logical => self.plain_object(of, namespace),
            Form::ObjectIfAnything if object.len() > 1 => self.plain_object(of, namespace),
            _ => self.name(of, namespace),
        }
    }

    fn plain_object(&mut self, of: &str, namespace: &str) {
        self.out.push_str(r#"{"type":"#);
        self.name(of, namespace);
        self.out.push('}');
    }

    fn logical(&mut self, object: &Map<String, Json>) {
        let Some(logical) = object.get("logicalType").and_then(Json::as_str) else { return };
        self.out.push_str(r#","logicalType":"#);
        self.text(logical);
        if logical == "decimal" {
            for name in ["precision", "scale"] {
                if let Some(number) = object.get(name).and_then(Json::as_u64).filter(|n| *n > 0) {
                    self.out.push_str(&format!(r#","{name}":{number}"#));
                }
            }
        }
    }

    fn name(&mut self, name: &str, namespace: &str) {
        const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
        let full = full_name(name, namespace);
        let is_full = !PRIMITIVES.contains(&name) && (self.is_defined)(&full);
        self.text(if is_full { &full } else { name });
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(&Json::from(text).to_string());
    }

    fn list(&mut self, items: &[Json], mut each: impl FnMut(&mut Self, &Json)) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            each(self, item);
        }
        self.out.push(']');
    }
}

/// CRC-64-AVRO of the specification, in the byte order of a record.
fn crc_64(bytes: &[u8]) -> Fingerprint {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let step = |crc: u64| (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg());
    let of_byte = |byte: u64| (0..8).fold(byte, |crc, _| step(crc));
    let crc = bytes.iter().fold(EMPTY, |crc, byte| (crc >> 8) ^ of_byte((crc ^ u64::from(*byte)) & 0xff));
    crc.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::Schema;
    use apache_avro::rabin::Rabin;

    fn all(schema: &str) -> Fingerprints {
        super::super::compile::parse(schema).unwrap().fingerprints
    }

    fn of_apache(schema: &str) -> Vec<u8> {
        Schema::parse_str(schema).unwrap().fingerprint::<Rabin>().bytes.to_vec()
    }

    #[test]
    fn agrees_with_apache_avro_where_there_are_no_logical_types() {
        for schema in [
            r#"{"type":"record","name":"r","fields":[]}"#,
            r#"{"type":"record","name":"a.b.r","doc":"d","namespace":"x","fields":[
                {"name":"f","type":{"type":"string"},"default":""},
                {"name":"g","type":["null","r",{"type":"enum","name":"e","symbols":["a","b"]}]},
                {"name":"h","type":{"type":"map","values":{"type":"array","items":"e"}}},
                {"name":"i","type":{"type":"fixed","name":"y.f","size":3,"aliases":["q"]}}]}"#,
            r#"["null",{"type":"record","name":"r","namespace":"n","fields":[{"name":"next","type":["null","r"]}]}]"#,
        ] {
            let own = all(schema);
            assert_eq!(own.len(), 1, "{schema}");
            assert_eq!(own[0].to_vec(), of_apache(schema), "{schema}");
        }
    }

    /// The first is what Java, fastavro and twmb compute; the second what apache-avro 0.22 does.
    #[test]
    fn with_logical_types_the_right_form_comes_first_and_the_others_are_known() {
        let time = r#"{"type":"record","name":"r","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
        let plain = r#"{"type":"record","name":"r","fields":[{"name":"t","type":"long"}]}"#;
        let own = all(time);
        assert_eq!(own[0].to_vec(), of_apache(plain));
        assert_eq!(own[1].to_vec(), of_apache(time));
        let hamba = r#"{"name":"r","type":"record","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
        assert_eq!(own[2], crc_64(hamba.as_bytes()));
        assert_eq!(own.len(), 3);
        let java = r#"{"type":"record","name":"r","fields":[{"name":"t","type":{"type":"string","avro.java.string":"String"}}]}"#;
        let goavro = r#"{"name":"r","type":"record","fields":[{"name":"t","type":{"type":"string"}}]}"#;
        assert_eq!(
            all(java),
            [of_apache(&plain.replace("long", "string")).try_into().unwrap(), crc_64(goavro.as_bytes())]
        );
    }

    /// What the libraries themselves print for this schema: fastavro 1.13.1, then PyPI avro 1.12.2.
    #[test]
    fn the_fingerprints_are_those_that_other_writers_compute() {
        let own = all(r#"{"type":"record","name":"r","namespace":"n","fields":[
                {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
                {"name":"u","type":{"type":"string","logicalType":"uuid"}},
                {"name":"f","type":{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}},
                {"name":"x","type":{"type":"fixed","name":"D","size":8,"logicalType":"decimal","precision":9,"scale":2}}]}"#);
        let printed: Vec<String> = own.iter().map(|print| format!("{:016x}", u64::from_be_bytes(*print))).collect();
        assert_eq!(printed[..2], ["2f40850e51472c07", "3de80237ce5a3fd9"]);
    }

    /// The specification's own example.
    #[test]
    fn the_crc_is_avros() {
        assert_eq!(u64::from_le_bytes(crc_64(br#""int""#)), 0x7275_d51a_3f39_5c8f);
    }
}
