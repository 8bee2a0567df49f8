//! The setting of a scenario: a broker, a directory with the configuration, the traffic, its backtest, and the topics.

use crate::answers::{OUTPUTS, ROLLUPS, answers};
use crate::broker::Broker;
use crate::compare::{Record, Verdict, compare};
use crate::outsider::{Outsider, Reader};
use crate::traffic::{INPUTS, Kind, Traffic};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// Special settings of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub idle_timeout: &'static str,
    pub session_timeout_ms: u32,
    pub max_poll_interval_ms: u32,
    pub checkpoint_interval: &'static str,
}

impl Settings {
    /// Nothing becomes idle, and a killed member is noticed soon.
    pub const USUAL: Settings = Settings {
        idle_timeout: "1h",
        session_timeout_ms: 3_000,
        max_poll_interval_ms: 300_000,
        checkpoint_interval: "1s",
    };
}

pub struct Stage {
    dir: TempDir,
    pub broker: Arc<Broker>,
    pub name: String,
    pub traffic: Traffic,
    pub outsider: Outsider,
    expected: Vec<Record>,
}

/// A copy of the program, so that a build in the meantime does not affect this run.
pub fn program() -> &'static Path {
    static COPY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let copy = || {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("tailburn");
        let built = std::env::var_os("TAILBURN_FAULTS_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_tailburn").into());
        fs::copy(built, &path).expect("a copy of the program");
        (dir, path)
    };
    &COPY.get_or_init(copy).1
}

impl Stage {
    pub fn set(broker: Arc<Broker>, name: &str, settings: Settings, kind: Kind, seed: u64, hours: u64) -> Stage {
        let dir = TempDir::new().expect("a directory");
        let traffic = Traffic::generate(dir.path(), kind, seed, hours);
        let outsider = Outsider::new(broker.bootstrap());
        let mut stage = Stage { dir, broker, name: name.to_owned(), traffic, outsider, expected: Vec::new() };
        stage.write_configuration(name, settings);
        stage.expected = stage.backtest();
        stage.outsider.create_topic(&stage.input(), INPUTS, &[("max.message.bytes", "16000000")]);
        stage
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn input(&self) -> String {
        format!("{}-outcomes", self.name)
    }

    /// The internal topics.
    pub fn internal(&self, topic: &str) -> String {
        format!("{0}.internal.{0}.{topic}", self.name)
    }

    /// `application`: the id, and the prefix of the topics. Several may read the same input.
    pub fn write_configuration(&self, application: &str, settings: Settings) {
        fs::write(self.path().join("kinds.yaml"), include_str!("kinds.yaml")).expect("definitions");
        let Settings { idle_timeout, session_timeout_ms, max_poll_interval_ms, checkpoint_interval } = settings;
        let heartbeat_ms = session_timeout_ms / 6;
        let config = format!(
            "application_id: {application}\n\
             slos: [slo.yaml, kinds.yaml]\n\
             kafka:\n  properties:\n    bootstrap.servers: \"{bootstrap}\"\n    \
             session.timeout.ms: \"{session_timeout_ms}\"\n    heartbeat.interval.ms: \"{heartbeat_ms}\"\n    \
             max.poll.interval.ms: \"{max_poll_interval_ms}\"\n\
             input: {{topics: [{input}], idle_timeout: {idle_timeout}, max_alignment_wait: 24h}}\n\
             output: {{prefix: \"{application}.\"}}\n\
             partitions: {{users: 4, rollup: {ROLLUPS}}}\n\
             state: {{commit_interval: 100ms, checkpoint_interval: {checkpoint_interval}}}\n\
             http: {{listen: null}}\n\
             privacy: {{user_ids: plain}}\n",
            bootstrap = self.broker.bootstrap(),
            input = self.input(),
        );
        fs::write(self.configuration(application), config).expect("a configuration");
    }

    pub fn configuration(&self, application: &str) -> PathBuf {
        self.path().join(format!("{application}.yaml"))
    }

    fn backtest(&self) -> Vec<Record> {
        self.traffic.write(self.path());
        let mut command = Command::new(program());
        command.args(["backtest", "--out", "result", "--config"]).arg(self.configuration(&self.name));
        for n in 0..INPUTS {
            command.arg("--input").arg(format!("p{n}.jsonl"));
        }
        let output = command.current_dir(self.path()).env_clear().stdin(Stdio::null()).output().expect("it starts");
        assert!(output.status.success(), "backtest: {}", String::from_utf8_lossy(&output.stderr));
        answers(&self.path().join("result"), &self.traffic, &self.input())
    }

    pub fn expected_of(&self, topic: &str) -> impl Iterator<Item = &Record> {
        self.expected.iter().filter(move |record| record.topic == topic)
    }

    /// The expected number of records, by topic.
    pub fn expected_counts(&self) -> String {
        let counts = OUTPUTS.map(|topic| format!("{} {topic}", self.expected_of(topic).count()));
        counts.join(", ")
    }

    pub fn reader(&self, application: &str) -> Reader {
        self.outsider.reader(&format!("{application}."), &OUTPUTS)
    }

    /// Whether there are as many records as in the backtest; their content is not compared.
    pub fn is_told(&self, reader: &Reader) -> bool {
        self.count(&reader.records) >= self.expected.len()
    }

    fn count(&self, records: &[Record]) -> usize {
        records.iter().filter(|record| record.at_ms <= self.traffic.told_to_ms).count()
    }

    /// Whether the broker has the backtest's input: every line, in order.
    pub fn input_differs(&self) -> Option<String> {
        let found = self.outsider.values(&self.input(), self.traffic.records());
        let all = self.traffic.lines.iter().zip(&found).enumerate();
        for (partition, (lines, found)) in all {
            let differs = lines.iter().zip(found).position(|(line, value)| line.bytes != *value);
            if differs.is_some() || lines.len() != found.len() {
                return Some(format!("partition {partition} differs from line {differs:?} on"));
            }
        }
        None
    }

    /// Compares everything visible, up to the T that the traffic reaches, with the backtest.
    pub fn verdict(&self, application: &str) -> Verdict {
        let mut reader = self.reader(application);
        let is_read = reader.read_to_the_ends(Duration::from_secs(60));
        let mut found = reader.records;
        found.retain(|record| record.at_ms <= self.traffic.told_to_ms);
        let mut verdict = compare(&self.expected, &found);
        if !is_read {
            verdict.told.insert(0, "the topics could not be read to their ends: is a transaction open?".to_owned());
        }
        verdict
    }
}
