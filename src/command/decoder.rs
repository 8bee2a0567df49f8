//! The codec's decoder as the configuration asks for it: the one place where the two meet.

use super::Failure;
use crate::codec::avro::SchemaError;
use crate::codec::files::InputFile;
use crate::codec::{
    AvroSchemas, ClfShape, CodecError, Decoder, FieldLimits, Format, InputSettings, Mapping, TimestampIs,
};
use crate::config::{self, Input, InputFormat};

/// Why the input's settings make no decoder, and the key to blame.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    #[error("input.mapping: {0}")]
    Mapping(serde_json::Error),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("input.avro_schema: {0}")]
    Schema(#[from] SchemaError),
}

impl DecoderError {
    /// The key of the configuration that the message is about.
    pub const fn key(&self) -> &'static str {
        match self {
            DecoderError::Mapping(_) | DecoderError::Codec(CodecError::MappingOfAccessLog) => "input.mapping",
            DecoderError::Schema(_) => "input.avro_schema",
            DecoderError::Codec(_) => "input.default_tenant",
        }
    }

    /// The message without the key at its beginning, where the key is told beside it.
    pub fn message(&self) -> String {
        let text = self.to_string();
        let bare = text.strip_prefix(self.key()).map(|rest| rest.trim_start_matches([':', ' ']).to_owned());
        bare.unwrap_or(text)
    }
}

impl From<DecoderError> for Failure {
    fn from(error: DecoderError) -> Failure {
        Failure::Definition(error.to_string())
    }
}

/// A decoder for records of Kafka.
pub fn of_records(input: &Input) -> Result<Decoder, DecoderError> {
    decoder(input, input.format, Some(input.max_future_skew_ms))
}

/// A decoder for records of files: none of them is in the future. Container files bring their schemas;
/// the n-th file is partition n.
pub fn of_files(input: &Input, format: InputFormat, files: &[InputFile]) -> Result<Decoder, DecoderError> {
    let mut settings = settings(input, format, None)?;
    for (partition, file) in (0..).zip(files) {
        let Some(schema) = file.schema() else { continue };
        let schemas = match &mut settings.avro_schemas {
            Some(schemas) => schemas,
            none => none.insert(AvroSchemas::of_record_schema()?),
        };
        schemas.add_file(partition, schema.clone());
    }
    Ok(Decoder::new(settings)?)
}

/// The codec's name of a format.
pub const fn codec_format(format: InputFormat) -> Format {
    match format {
        InputFormat::Json => Format::Json,
        InputFormat::Avro => Format::Avro,
        InputFormat::Clf => Format::Clf,
    }
}

fn decoder(input: &Input, format: InputFormat, max_future_skew_ms: Option<i64>) -> Result<Decoder, DecoderError> {
    Ok(Decoder::new(settings(input, format, max_future_skew_ms)?)?)
}

fn settings(
    input: &Input,
    format: InputFormat,
    max_future_skew_ms: Option<i64>,
) -> Result<InputSettings, DecoderError> {
    let mapping: Mapping = serde_json::from_value(input.mapping.clone()).map_err(DecoderError::Mapping)?;
    // A file is the schema of raw records; a directory holds the schemas that framed records name.
    let avro_schemas = input.avro_schema.as_deref().map(AvroSchemas::open).transpose()?;
    Ok(InputSettings {
        format: codec_format(format),
        clf_shape: match input.clf_shape {
            config::ClfShape::Combined => ClfShape::Combined,
            config::ClfShape::VhostCombined => ClfShape::VhostCombined,
        },
        avro_schemas,
        default_tenant: input.default_tenant.clone(),
        mapping,
        limits: FieldLimits::default(),
        max_future_skew_ms,
        timestamp_is: match input.timestamp_is {
            config::TimestampIs::End => TimestampIs::End,
            config::TimestampIs::Start => TimestampIs::Start,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use serde_json::json;

    fn error(change: impl Fn(&mut Input)) -> DecoderError {
        let mut input = Settings::default().input;
        change(&mut input);
        of_records(&input).expect_err("no decoder")
    }

    #[test]
    fn the_defaults_make_a_decoder() {
        assert!(of_records(&Settings::default().input).is_ok());
    }

    #[test]
    fn a_mapping_that_cannot_be_is_told_with_its_key() {
        let unknown = error(|i| i.mapping = json!({"tennant": "org"}));
        assert_eq!(unknown.key(), "input.mapping");
        assert!(unknown.to_string().contains("tennant"), "{unknown}");
        let useless = error(|i| (i.format, i.mapping) = (InputFormat::Clf, json!({"tenant": "org"})));
        assert_eq!(useless.key(), "input.mapping");
    }
}
