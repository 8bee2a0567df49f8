//! A log record, as every implementation of the log returns it.

use super::time::Ms;

/// Headers of a record, read only if needed (dead letters, schema ids).
pub trait Headers {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8]));

    /// Why the value is not a record at all, if the file reader knows.
    fn damage(&self) -> Option<&Damage> {
        None
    }
}

/// No headers: files have none.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn for_each(&self, _each: &mut dyn FnMut(&str, &[u8])) {}
}

/// Damage found by a file reader: the value is the remains of one or more records.
///
/// It is passed like headers, so that the dead letter shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// For people: what is wrong, and where.
    pub detail: String,
    /// The number of records that the value represents.
    pub records: u64,
    /// The block of a container file, from 1.
    pub block: Option<u64>,
    /// The full length, if the value is only the beginning.
    pub cut_from_bytes: Option<u64>,
}

impl Damage {
    pub const DETAIL: &str = "tailburn.detail";
    pub const RECORDS: &str = "tailburn.records";
    pub const BLOCK: &str = "tailburn.block";
    pub const CUT_FROM_BYTES: &str = "tailburn.cut_from_bytes";
}

impl Headers for Damage {
    fn for_each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        each(Damage::DETAIL, self.detail.as_bytes());
        each(Damage::RECORDS, self.records.to_string().as_bytes());
        for (name, number) in [(Damage::BLOCK, self.block), (Damage::CUT_FROM_BYTES, self.cut_from_bytes)] {
            if let Some(number) = number {
                each(name, number.to_string().as_bytes());
            }
        }
    }

    fn damage(&self) -> Option<&Damage> {
        Some(self)
    }
}

/// A record read: borrowed bytes, partition, offset and the log's own timestamp.
#[derive(Clone, Copy)]
pub struct RecordIn<'a> {
    pub partition: u32,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    /// The Kafka record's own timestamp; `None` for files, where no record can be in the future.
    pub timestamp_ms: Option<Ms>,
    pub headers: &'a dyn Headers,
}

/// tailburn's own topics. The prefix comes from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    SloStatus,
    SloHistory,
    BurnAlerts,
    TailCohorts,
    UserStatus,
    CanaryVerdicts,
    DeadLetters,
    Repartition,
    Partials,
    Changelog,
    Sources,
    /// Who is not notified of what, and until when: written by people.
    Silences,
    /// What was applied of the SLOs, by whom and why: written by `apply`, and by the first `run`.
    Definitions,
}

impl Topic {
    /// The topics for consumers, in the order of the contract.
    pub const OUTPUTS: [Topic; 7] = [
        Topic::SloStatus,
        Topic::SloHistory,
        Topic::BurnAlerts,
        Topic::TailCohorts,
        Topic::UserStatus,
        Topic::CanaryVerdicts,
        Topic::DeadLetters,
    ];

    /// The topics between our own tasks.
    pub const INTERNAL: [Topic; 4] = [Topic::Repartition, Topic::Partials, Topic::Changelog, Topic::Sources];

    /// The name after the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::SloStatus => "slo-status",
            Topic::SloHistory => "slo-history",
            Topic::BurnAlerts => "burn-alerts",
            Topic::TailCohorts => "tail-cohorts",
            Topic::UserStatus => "user-status",
            Topic::CanaryVerdicts => "canary-verdicts",
            Topic::DeadLetters => "dead-letters",
            Topic::Repartition => "internal.repartition",
            Topic::Partials => "internal.partials",
            Topic::Changelog => "internal.changelog",
            Topic::Sources => "internal.sources",
            Topic::Silences => "silences",
            Topic::Definitions => "definitions",
        }
    }
}

/// An output record: the core decides it, the worker writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOut {
    pub topic: Topic,
    pub partition: u32,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Ms,
}

/// The partition that Kafka's Java client gives a key: murmur2, the sign bit cleared, modulo.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The rollup task of a key, from its text: an SLO's groups and canaries are in the task of its aggregate.
pub fn rollup_partition(key: &str, partitions: u32) -> u32 {
    match key.split_once('|') {
        Some((slo, rest)) if rest.starts_with("group|") || rest.starts_with("*|") => {
            partition_of(format!("{slo}|aggregate").as_bytes(), partitions)
        }
        _ => partition_of(key.as_bytes(), partitions),
    }
}

/// Murmur2 as in `org.apache.kafka.common.utils.Utils` (seed `0x9747b28c`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h: u32 = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (i, &b) in rest.iter().enumerate().rev() {
            h ^= u32::from(b) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn groups_are_with_their_aggregate() {
        for slo in ["checkout", "a%7Cb", "x:y"] {
            let aggregate = partition_of(format!("{slo}|aggregate").as_bytes(), 7);
            assert_eq!(rollup_partition(&format!("{slo}|group|region=eu"), 7), aggregate);
            assert_eq!(rollup_partition(&format!("{slo}|aggregate"), 7), aggregate);
            assert_eq!(rollup_partition(&format!("{slo}|*|v2"), 7), aggregate);
            let tenant = format!("{slo}|tenant|group|x");
            assert_eq!(rollup_partition(&tenant, 7), partition_of(tenant.as_bytes(), 7));
        }
    }

    #[test]
    fn murmur2_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }
}
