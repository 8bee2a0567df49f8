//! From settings to tasks: the same assembly for `run`, `backtest`, `demo` and `check`.

use super::Failure;
use crate::codec::output::{Encoder, OutputFormat};
use crate::config::{self, Settings};
use crate::definition::{self, Definitions, maintenance, tenants};
use crate::model::slo::Slo;
use crate::model::tenants::Tenants;
use crate::pipeline::intake::Spread;
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::rollup::{RollupSettings, RollupTask, rollup_tasks};
use crate::pipeline::users::{UsersSettings, UsersTask};
use crate::worker::{DELTAS_MIN_BYTES, IdlePolicy, Setup};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads the SLOs; the errors name files and lines.
pub fn definitions(paths: &[PathBuf]) -> Result<Definitions, Failure> {
    if let [only] = paths
        && only.as_os_str() == "slos"
        && !only.exists()
    {
        let message = "there is no `slos` directory here, and no configuration names another: `tailburn init` writes \
                       both, `--config FILE` takes them from elsewhere";
        return Err(Failure::Definition(message.to_owned()));
    }
    let definitions = definition::load(paths).map_err(|e| Failure::Definition(e.to_string()))?;
    if definitions.slos.is_empty() {
        let places: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Failure::Definition(format!("there is no SLO in {}", places.join(", "))));
    }
    Ok(definitions)
}

/// Reads the SLOs, with what the file of tenants and the configuration's maintenance say of them.
pub fn definitions_of(settings: &Settings, paths: &[PathBuf]) -> Result<Definitions, Failure> {
    let mut definitions = definitions(paths)?;
    add_tenants(settings, &mut definitions.slos)?;
    maintenance::apply(&settings.maintenance, &mut definitions.slos).map_err(|e| Failure::Definition(e.to_string()))?;
    Ok(definitions)
}

/// Adds what the file of tenants says of SLOs.
pub fn add_tenants(settings: &Settings, slos: &mut [Slo]) -> Result<(), Failure> {
    if settings.tenants.is_none() {
        return Ok(());
    }
    tenants::apply(&tenants_of(settings)?, slos).map_err(|e| Failure::Definition(e.to_string()))
}

/// What the file of tenants says; nothing where the configuration names none.
pub fn tenants_of(settings: &Settings) -> Result<Tenants, Failure> {
    let read = settings.tenants.as_deref().map(tenants::read).transpose();
    Ok(read.map_err(|e| Failure::Definition(e.to_string()))?.unwrap_or_default())
}

/// Reads SLOs given as (file name, text).
pub fn parsed(sources: &[(String, String)]) -> Result<Definitions, Failure> {
    definition::parse(sources).map_err(|e| Failure::Definition(e.to_string()))
}

/// How user ids are published; `or` is the default where the configuration is silent.
pub fn user_ids(settings: &Settings, or: config::UserIds) -> Result<UserIds, Failure> {
    match settings.privacy.user_ids.unwrap_or(or) {
        config::UserIds::Plain => Ok(UserIds::Plain),
        config::UserIds::Hmac => Ok(UserIds::hmac(read_key(&settings.privacy.key_file)?)),
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let remedy = "`tailburn init` makes one, or set privacy.user_ids: plain";
        Failure::Definition(format!("privacy.key_file {}: {e}; {remedy}", path.display()))
    })?;
    let text = text.trim();
    if text.len() < 32 {
        let path = path.display();
        return Err(Failure::Definition(format!(
            "privacy.key_file {path}: a key of at least 32 characters is needed; `tailburn init` makes one"
        )));
    }
    Ok(text.as_bytes().to_vec())
}

/// Settings that are not supported yet; refused, so that nobody thinks they work: key, message, remedy.
pub fn unbuilt(settings: &Settings) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> + use<> {
    let unbuilt = [
        (
            settings.input.dedup_horizon_ms.is_some(),
            ("input.dedup_horizon", "de-duplication is not supported yet", "set it to null"),
        ),
        (
            settings.schema_registry.url.is_some(),
            ("schema_registry.url", "the registry's framing is not supported yet", "set it to null"),
        ),
    ];
    unbuilt.into_iter().filter(|(is_set, _)| *is_set).map(|(_, said)| said)
}

fn refuse_unbuilt(settings: &Settings) -> Result<(), Failure> {
    match unbuilt(settings).next() {
        Some((key, what, remedy)) => Err(Failure::Definition(format!("{key}: {what}; {remedy}"))),
        None => Ok(()),
    }
}

/// The format of our topics.
#[cfg(feature = "kafka")]
pub fn output_format(settings: &Settings) -> OutputFormat {
    match settings.output.format {
        config::OutputFormat::Json => OutputFormat::Json,
        config::OutputFormat::Avro => OutputFormat::AvroRaw,
    }
}

/// The tasks of a direct worker.
pub struct Tasks {
    pub users: UsersTask,
    pub rollups: Vec<RollupTask>,
}

/// What a live worker needs to build its tasks.
pub fn setup(
    settings: &Settings,
    slos: &Arc<Vec<Slo>>,
    inputs: u32,
    user_ids: UserIds,
    format: OutputFormat,
    identity: String,
) -> Result<Setup, Failure> {
    refuse_unbuilt(settings)?;
    let partitions = &settings.partitions;
    Ok(Setup {
        slos: Arc::clone(slos),
        inputs,
        keyed_by_user: settings.input.keyed_by_user,
        spread: Spread {
            partitions: partitions.users,
            per_tenant: partitions.users_per_tenant,
            large_tenants: partitions.large_tenants.clone(),
        },
        rollups: partitions.rollup,
        users: users_settings(settings),
        rollup: rollup_settings(settings, user_ids, format)?,
        patience: IdlePolicy {
            idle_timeout_ms: settings.input.idle_timeout_ms,
            max_alignment_wait_ms: settings.input.max_alignment_wait_ms,
            out_of_orderness_ms: settings.input.out_of_orderness_ms,
        },
        identity,
        checkpoint_interval_ms: settings.state.checkpoint_interval_ms,
        deltas_min_bytes: DELTAS_MIN_BYTES,
        memory_limit_bytes: settings.state.memory_limit_bytes / u64::from(settings.workers.max(1)),
    })
}

fn users_settings(settings: &Settings) -> UsersSettings {
    UsersSettings {
        out_of_orderness_ms: settings.input.out_of_orderness_ms,
        groups_max: settings.limits.groups as usize,
        tenants_max: settings.limits.tenants as usize,
        rollup_partitions: settings.partitions.rollup,
    }
}

fn rollup_settings(settings: &Settings, user_ids: UserIds, format: OutputFormat) -> Result<RollupSettings, Failure> {
    Ok(RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: settings.output.status_interval_ms,
        tenant_status_interval_ms: settings.output.tenant_status_interval_ms,
        user_ids,
        encoder: Arc::new(Encoder::new(format).map_err(anyhow::Error::from)?),
    })
}

/// Builds the tasks for this number of input partitions.
pub fn tasks(
    settings: &Settings,
    slos: &Arc<Vec<Slo>>,
    inputs: u32,
    user_ids: UserIds,
    format: OutputFormat,
) -> Result<Tasks, Failure> {
    refuse_unbuilt(settings)?;
    let (users, rollup) = (users_settings(settings), rollup_settings(settings, user_ids, format)?);
    Ok(Tasks {
        users: UsersTask::new(Arc::clone(slos), inputs as usize, users).only(),
        rollups: rollup_tasks(slos, settings.partitions.rollup, &rollup),
    })
}
