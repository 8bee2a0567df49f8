//! The typed settings. Field names are the keys of the file, plus the unit if there is one.

use super::preset::Preset;
use crate::model::time::Ms;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that can be configured (contract, section 9).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The consumer group, and the prefix of transactional ids and of internal topics.
    pub application_id: String,
    /// Files and directories.
    pub slos: Vec<PathBuf>,
    /// What is known of tenants beside their events.
    pub tenants: Option<PathBuf>,
    /// Windows whose events are excluded, as written: `definition` parses them.
    pub maintenance: serde_json::Value,
    pub definitions: Definitions,
    pub kafka: Kafka,
    pub input: Input,
    pub output: Output,
    pub partitions: Partitions,
    pub topics: Topics,
    pub state: State,
    pub workers: u32,
    pub http: Http,
    pub privacy: Privacy,
    pub limits: Limits,
    pub schema_registry: SchemaRegistry,
    pub notify: Notify,
}

/// Change control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    /// Whether SLOs that were not applied are refused. `None` if not configured: then `run` refuses them, `backtest` does
    /// not.
    pub control: Option<bool>,
    /// JSON lines with what was applied; `None`: the topic `definitions`.
    pub file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Any property of librdkafka, secrets resolved. Not to be logged.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    Json,
    Avro,
    Clf,
}

/// The fields before the time in a line of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClfShape {
    Combined,
    VhostCombined,
}

/// Whether a record's time is that of the request's start or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampIs {
    End,
    Start,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub topics: Vec<String>,
    pub format: InputFormat,
    /// For access logs.
    pub clf_shape: ClfShape,
    /// For raw Avro; `None`: our own schema.
    pub avro_schema: Option<PathBuf>,
    pub keyed_by_user: bool,
    pub default_tenant: Option<String>,
    /// Where the mapping has entries of a preset.
    pub preset: Option<Preset>,
    /// An object: field -> path, list, `{from: .., to: ..}`, `{const: ..}`, `{bucket: ..}`; parsed by the codec. With a
    /// preset its entries, where there is none of the user's own.
    pub mapping: serde_json::Value,
    pub out_of_orderness_ms: Ms,
    pub max_future_skew_ms: Ms,
    pub timestamp_is: TimestampIs,
    pub idle_timeout_ms: Ms,
    pub max_alignment_wait_ms: Ms,
    /// `None`: no de-duplication.
    pub dedup_horizon_ms: Option<Ms>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Json,
    Avro,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub prefix: String,
    /// As configured, else Avro if there is a schema registry, else JSON.
    pub format: OutputFormat,
    pub status_interval_ms: Ms,
    pub tenant_status_interval_ms: Ms,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions {
    pub users: u32,
    pub rollup: u32,
    /// The number of users partitions over which a tenant's users are spread; large tenants use all.
    pub users_per_tenant: u32,
    pub large_tenants: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics {
    pub create: bool,
    /// -1: the broker's default.
    pub replication_factor: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub dir: PathBuf,
    pub memory_limit_bytes: u64,
    pub commit_interval_ms: Ms,
    pub checkpoint_interval_ms: Ms,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `host:port`; `None`: no HTTP.
    pub listen: Option<String>,
    /// Hashes of tokens; `None`: only this machine may ask.
    pub tokens: Option<PathBuf>,
    /// `host:port` for probes and metrics alone.
    pub probe_listen: Option<String>,
}

/// How user ids are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIds {
    Hmac,
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// `None` if not configured: then `run` uses hmac; `demo` and `backtest` use plain and say so.
    pub user_ids: Option<UserIds>,
    pub key_file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub groups: u32,
    /// Tenants of an SLO that have keys.
    pub tenants: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRegistry {
    /// May contain credentials. Not to be logged.
    pub url: Option<String>,
}

/// Who is told of alerts. `notify` parses receivers and routes, and resolves their `${ENV}` references: other commands
/// need none of its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    /// Nothing older is sent, except that something is over.
    pub max_age_ms: Ms,
    /// An object: a receiver by name. Not to be logged.
    pub receivers: serde_json::Value,
    /// A list; the first that matches decides.
    pub routes: serde_json::Value,
}

impl InputFormat {
    pub const ALL: [(&'static str, InputFormat); 3] =
        [("json", InputFormat::Json), ("avro", InputFormat::Avro), ("clf", InputFormat::Clf)];
}

impl ClfShape {
    pub const ALL: [(&'static str, ClfShape); 2] =
        [("combined", ClfShape::Combined), ("vhost_combined", ClfShape::VhostCombined)];
}

impl TimestampIs {
    pub const ALL: [(&'static str, TimestampIs); 2] = [("end", TimestampIs::End), ("start", TimestampIs::Start)];
}

impl OutputFormat {
    pub const ALL: [(&'static str, OutputFormat); 2] = [("json", OutputFormat::Json), ("avro", OutputFormat::Avro)];
}

impl UserIds {
    pub const ALL: [(&'static str, UserIds); 2] = [("hmac", UserIds::Hmac), ("plain", UserIds::Plain)];
}
