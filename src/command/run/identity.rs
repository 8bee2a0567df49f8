//! What the published figures depend on beside the input: the build, the definitions, and the settings that
//! change a figure. Checkpoints name it, so that nobody goes on with half of a boundary by other rules.

use crate::command::Failure;
use crate::config::{Settings, UserIds};
use crate::model::hex;
use crate::model::slo::Slo;
use crate::state::versions::VERSION;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// The number of hexadecimal digits of a digest: enough to distinguish two configurations of one application.
const DIGITS: usize = 16;

/// The identity as in checkpoints: the build (its version, and that of its state), definitions, settings.
pub fn identity(slos: &[Slo], settings: &Settings) -> Result<String, Failure> {
    let hashes: Vec<&str> = slos.iter().map(|slo| slo.definition_hash.as_str()).collect();
    let definitions = digest(&[hashes.concat().as_bytes()]);
    let mut parts = vec![figures(settings).to_string().into_bytes()];
    for path in settings.input.avro_schema.iter().chain(&settings.tenants).chain(key_file(settings)) {
        contents(path, &mut parts).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(format!("{}/{VERSION} {definitions} {}", env!("CARGO_PKG_VERSION"), digest(&parts)))
}

/// The settings that change published figures. Settings of place, speed and access do not.
fn figures(settings: &Settings) -> Value {
    let (input, output, partitions) = (&settings.input, &settings.output, &settings.partitions);
    json!({
        "format": format!("{:?}", input.format),
        "clf_shape": format!("{:?}", input.clf_shape),
        "keyed_by_user": input.keyed_by_user,
        "default_tenant": input.default_tenant,
        "mapping": input.mapping,
        "out_of_orderness_ms": input.out_of_orderness_ms,
        "max_future_skew_ms": input.max_future_skew_ms,
        "timestamp_is": format!("{:?}", input.timestamp_is),
        "dedup_horizon_ms": input.dedup_horizon_ms,
        "output_format": format!("{:?}", output.format),
        "status_interval_ms": output.status_interval_ms,
        "tenant_status_interval_ms": output.tenant_status_interval_ms,
        "users": partitions.users,
        "rollup": partitions.rollup,
        "users_per_tenant": partitions.users_per_tenant,
        "large_tenants": partitions.large_tenants,
        "user_ids": format!("{:?}", settings.privacy.user_ids),
        "groups": settings.limits.groups,
        "tenants": settings.limits.tenants,
    })
}

/// The file with the key for pseudonyms, if they are used.
fn key_file(settings: &Settings) -> Option<&std::path::PathBuf> {
    (settings.privacy.user_ids != Some(UserIds::Plain)).then_some(&settings.privacy.key_file)
}

/// The content of a file, or of every file of a directory in the order of their names.
fn contents(path: &Path, into: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    if !path.is_dir() {
        into.push(fs::read(path)?);
        return Ok(());
    }
    let mut files = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    files.iter().try_for_each(|file| contents(file, into))
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize())[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::InputFormat;

    fn of(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        settings.privacy.user_ids = Some(UserIds::Plain);
        change(&mut settings);
        identity(&[], &settings).expect("an identity")
    }

    #[test]
    fn a_setting_that_changes_a_figure_is_another_identity_and_one_that_does_not_is_the_same() {
        let usual = of(|_| {});
        let changes: [fn(&mut Settings); 7] = [
            |s| s.input.format = InputFormat::Clf,
            |s| s.input.default_tenant = Some("acme".to_owned()),
            |s| s.input.mapping = json!({"user": "client.id"}),
            |s| s.input.out_of_orderness_ms += 1,
            |s| s.output.status_interval_ms += 1,
            |s| s.partitions.users_per_tenant += 1,
            |s| s.limits.groups += 1,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            assert_ne!(of(change), usual, "change {i}");
        }
        assert_eq!(of(|s| s.workers += 1), usual);
        assert_eq!(of(|s| s.state.memory_limit_bytes += 1), usual);
        assert_eq!(of(|s| s.input.idle_timeout_ms += 1), usual, "such decisions are recorded");
    }

    #[test]
    fn another_key_or_schema_is_another_identity() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let file = dir.path().join("file");
        let with = |text: &str, change: fn(&mut Settings, &Path)| {
            fs::write(&file, text).expect("written");
            of(|settings| change(settings, &file))
        };
        let key: fn(&mut Settings, &Path) = |s, path| {
            (s.privacy.user_ids, s.privacy.key_file) = (None, path.to_owned());
        };
        let schema: fn(&mut Settings, &Path) = |s, path| s.input.avro_schema = path.parent().map(Path::to_owned);
        let tenants: fn(&mut Settings, &Path) = |s, path| s.tenants = Some(path.to_owned());
        for change in [key, schema, tenants] {
            assert_ne!(with("one", change), with("other", change));
            assert_eq!(with("one", change), with("one", change));
        }
    }
}
