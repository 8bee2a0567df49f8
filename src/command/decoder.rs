//! Builds the codec's decoder from the configuration; no other place connects the two.

use super::Failure;
use crate::codec::avro::SchemaError;
use crate::codec::files::InputFile;
use crate::codec::mapping::{MappingError, MappingErrors};
use crate::codec::{
    AvroSchemas, ClfShape, CodecError, Decoder, FieldLimits, Format, InputSettings, Mapping, TimestampIs,
};
use crate::config::{self, ConfigErrors, Input, InputFormat, Loaded, Problem, Settings};
use crate::definition::tenants::{self, TenantsError};

/// Why the input settings give no decoder, and the key that causes it.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    #[error("input.mapping: {0}")]
    Mapping(#[from] MappingErrors),
    #[error("{0}")]
    Codec(#[from] CodecError),
    #[error("input.avro_schema: {0}")]
    Schema(#[from] SchemaError),
    #[error("{0}")]
    Tenants(#[from] TenantsError),
}

impl DecoderError {
    /// The mistakes, each with its key.
    pub fn problems(&self) -> Vec<Problem> {
        let one = |key: &str, text: String| {
            let bare = text.strip_prefix(key).map(|rest| rest.trim_start_matches([':', ' ']).to_owned());
            vec![Problem::new(key, bare.unwrap_or(text), "")]
        };
        match self {
            DecoderError::Mapping(MappingErrors(errors)) => errors.iter().map(of_entry).collect(),
            DecoderError::Codec(CodecError::MappingOfAccessLog) => one("input.mapping", self.to_string()),
            DecoderError::Schema(_) => one("input.avro_schema", self.to_string()),
            DecoderError::Tenants(_) => one("tenants", self.to_string()),
            DecoderError::Codec(_) => one("input.default_tenant", self.to_string()),
        }
    }
}

fn of_entry(error: &MappingError) -> Problem {
    let remedy = error.remedy.as_ref().map(|remedy| {
        let mut letters = remedy.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        let end = if remedy.ends_with('?') { "" } else { "." };
        format!("{first}{}{end}", letters.as_str())
    });
    Problem::new(format!("input.mapping.{}", error.target), error.problem.clone(), remedy.unwrap_or_default())
}

impl From<DecoderError> for Failure {
    fn from(error: DecoderError) -> Failure {
        Failure::Definition(error.to_string())
    }
}

/// A mistake in the mapping is a configuration error; every command reports it with file and line.
pub fn check_mapping(loaded: &Loaded) -> Result<(), ConfigErrors> {
    let Err(error) = mapping(&loaded.settings.input) else { return Ok(()) };
    let problems = error.problems().into_iter().map(|problem| loaded.place(problem)).collect();
    Err(ConfigErrors { file: loaded.file.clone(), problems })
}

fn mapping(input: &Input) -> Result<Mapping, DecoderError> {
    Ok(Mapping::try_from(input.mapping.as_object().cloned().unwrap_or_default())?)
}

/// A decoder for records of Kafka.
pub fn of_records(settings: &Settings) -> Result<Decoder, DecoderError> {
    let input = &settings.input;
    decoder(settings, input.format, Some(input.max_future_skew_ms))
}

/// A decoder for records of files, which are never in the future. Container files contain their schemas; the n-th file
/// is partition n.
pub fn of_files(settings: &Settings, format: InputFormat, files: &[InputFile]) -> Result<Decoder, DecoderError> {
    let mut settings = input_settings(settings, format, None)?;
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

fn decoder(settings: &Settings, format: InputFormat, max_future_skew_ms: Option<i64>) -> Result<Decoder, DecoderError> {
    Ok(Decoder::new(input_settings(settings, format, max_future_skew_ms)?)?)
}

fn input_settings(
    settings: &Settings,
    format: InputFormat,
    max_future_skew_ms: Option<i64>,
) -> Result<InputSettings, DecoderError> {
    let input = &settings.input;
    let mapping = mapping(input)?;
    let joined = settings.tenants.as_deref().map(tenants::read).transpose()?.unwrap_or_default().attributes();
    // A file is the schema of raw records; a directory holds the schemas that records name.
    let avro_schemas = input.avro_schema.as_deref().map(AvroSchemas::open).transpose()?;
    Ok(InputSettings {
        format: codec_format(format),
        clf_shape: match input.clf_shape {
            config::ClfShape::Combined => ClfShape::Combined,
            config::ClfShape::VhostCombined => ClfShape::VhostCombined,
        },
        avro_schemas,
        default_tenant: input.default_tenant.clone(),
        joined,
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
    use serde_json::json;

    fn error(change: impl Fn(&mut Input)) -> DecoderError {
        let mut settings = Settings::default();
        change(&mut settings.input);
        of_records(&settings).expect_err("no decoder")
    }

    #[test]
    fn the_defaults_make_a_decoder() {
        assert!(of_records(&Settings::default()).is_ok());
    }

    #[test]
    fn a_mapping_that_cannot_be_is_told_with_its_key() {
        let told = |error: DecoderError| -> Vec<(String, String, String)> {
            error.problems().into_iter().map(|p| (p.key, p.message, p.remedy)).collect()
        };
        let mistakes = error(|i| i.mapping = json!({"tennant": "org", "user": {"pth": "a"}}));
        let meant = |key: &str, message: &str, remedy: &str| (key.to_owned(), message.to_owned(), remedy.to_owned());
        let expected = [
            meant("input.mapping.tennant", "is not a field to map to", "Did you mean `tenant`?"),
            meant("input.mapping.user", "unknown key `pth`", "Did you mean `path`?"),
        ];
        assert_eq!(told(mistakes), expected);
        let useless = error(|i| (i.format, i.mapping) = (InputFormat::Clf, json!({"tenant": "org"})));
        assert_eq!(told(useless)[0].0, "input.mapping");
    }
}
