//! The reference: every key, its type and its default, in the order of the contract.

use super::preset::Preset;
use super::reader::Reader;
use super::settings::{
    ClfShape, Definitions, Http, Input, InputFormat, Kafka, Limits, Notify, Output, OutputFormat, Partitions, Privacy,
    SchemaRegistry, Settings, State, TimestampIs, Topics, UserIds,
};
use crate::model::time::{MINUTE_MS, SECOND_MS};
use serde_json::json;
use std::path::PathBuf;

pub fn settings(r: &mut Reader<'_>) -> Settings {
    Settings {
        application_id: r.text("application_id", "tailburn"),
        slos: r.paths("slos", &["slos"]),
        tenants: r.nullable_path("tenants"),
        maintenance: r.structure("maintenance", json!([])),
        definitions: Definitions {
            control: r.optional_flag("definitions.control", true),
            file: r.nullable_path("definitions.file"),
        },
        kafka: Kafka { properties: r.properties("kafka.properties", &[("bootstrap.servers", "localhost:9092")]) },
        input: input(r),
        output: output(r),
        partitions: Partitions {
            users: r.number("partitions.users", 8),
            rollup: r.number("partitions.rollup", 4),
            users_per_tenant: r.number("partitions.users_per_tenant", 4),
            large_tenants: r.texts("partitions.large_tenants", &[]),
        },
        topics: Topics {
            create: r.flag("topics.create", true),
            replication_factor: r.number("topics.replication_factor", -1),
        },
        state: State {
            dir: r.path("state.dir", "tailburn-state"),
            memory_limit_bytes: r.size("state.memory_limit", 512 << 20),
            commit_interval_ms: r.duration("state.commit_interval", 200),
            checkpoint_interval_ms: r.duration("state.checkpoint_interval", 30 * SECOND_MS),
        },
        workers: r.number("workers", 1),
        http: Http {
            listen: r.nullable_text("http.listen", Some("127.0.0.1:8720")),
            tokens: r.nullable_path("http.tokens"),
            probe_listen: r.nullable_text("http.probe_listen", None),
        },
        privacy: Privacy {
            user_ids: r.optional_choice("privacy.user_ids", &UserIds::ALL, UserIds::Hmac),
            key_file: r.path("privacy.key_file", "tailburn.key"),
        },
        limits: Limits { groups: r.number("limits.groups", 1_000), tenants: r.number("limits.tenants", 50_000) },
        schema_registry: SchemaRegistry { url: r.nullable_secret("schema_registry.url") },
        notify: Notify {
            max_age_ms: r.duration("notify.max_age", 10 * MINUTE_MS),
            receivers: r.structure("notify.receivers", json!({})),
            routes: r.structure("notify.routes", json!([])),
        },
    }
}

fn input(r: &mut Reader<'_>) -> Input {
    let preset = r.nullable_choice("input.preset", &Preset::ALL);
    Input {
        topics: r.texts("input.topics", &["request-outcomes"]),
        format: r.choice("input.format", &InputFormat::ALL, InputFormat::Json),
        clf_shape: r.choice("input.clf_shape", &ClfShape::ALL, ClfShape::Combined),
        avro_schema: r.nullable_path("input.avro_schema"),
        keyed_by_user: r.flag("input.keyed_by_user", false),
        default_tenant: r.preset_text("input.default_tenant", preset, |content| content.default_tenant.clone()),
        preset,
        mapping: r.preset_map("input.mapping", preset),
        out_of_orderness_ms: r.duration("input.out_of_orderness", 5 * SECOND_MS),
        max_future_skew_ms: r.duration("input.max_future_skew", 30 * SECOND_MS),
        timestamp_is: r.choice("input.timestamp_is", &TimestampIs::ALL, TimestampIs::End),
        idle_timeout_ms: r.duration("input.idle_timeout", 30 * SECOND_MS),
        max_alignment_wait_ms: r.duration("input.max_alignment_wait", 10 * MINUTE_MS),
        dedup_horizon_ms: r.nullable_duration("input.dedup_horizon"),
    }
}

fn output(r: &mut Reader<'_>) -> Output {
    // Avro if there is a schema registry, unless the format is configured.
    let format = if r.is_set("schema_registry.url") { OutputFormat::Avro } else { OutputFormat::Json };
    Output {
        prefix: r.text("output.prefix", "tailburn."),
        format: r.choice("output.format", &OutputFormat::ALL, format),
        status_interval_ms: r.duration("output.status_interval", 60 * SECOND_MS),
        tenant_status_interval_ms: r.duration("output.tenant_status_interval", 5 * MINUTE_MS),
    }
}

impl Default for Settings {
    /// The settings of an empty file, with paths relative to the working directory.
    fn default() -> Settings {
        settings(&mut Reader::new(Ok(config::Map::new()), PathBuf::new(), &[], Vec::new()))
    }
}
