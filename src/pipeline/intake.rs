//! The intake: classifies outcomes and sends the verdicts to the users partitions, in blocks.
//!
//! This is the second half of route, used if the input is not keyed by user. Everything that depends on the order of
//! an input partition (watermark, lateness, visible boundary) is decided here, so that no later stage depends on it.

use super::arrival::Arrival;
use super::block::{Arriving, BlockError, BlockWriter, Codes, Extras, IN_MAINTENANCE, Sealing};
use super::example::Example;
use super::grouping;
use super::intern::{Dictionary, TupleCache};
use super::rollup::slo_ids;
use super::users::{UsersCounts, latency_bin, least_allowed_ms};
use crate::model::outcome::Outcome;
use crate::model::record::{RecordOut, Topic};
use crate::model::slo::Slo;
use crate::model::time::Ms;
use crate::model::tuple;
use crate::operator::classify::Verdict;
use crate::operator::watermark::Watermark;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A commit's metadata notes where the last block for each partition ended. A note takes up to 20 bytes, and brokers
/// accept 4,095 bytes in all. With more partitions than this, every partition gets a block at every commit, so that
/// nothing has to be noted.
pub const NOTED_MAX: u32 = 160;
/// Texts are remembered from block to block; above this number all are forgotten.
const TEXTS_MAX: usize = 1 << 16;

/// How users are spread over the users partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The number of users partitions.
    pub partitions: u32,
    /// The number of partitions that the users of one tenant are spread over.
    pub per_tenant: u32,
    /// Tenants whose users are spread over all partitions.
    pub large_tenants: Vec<String>,
}

impl Spread {
    /// The first of a tenant's partitions, and their number.
    fn of_tenant(&self, tenant: &str) -> (u32, u32) {
        let partitions = self.partitions.max(1);
        let is_large = self.large_tenants.iter().any(|large| large == tenant);
        let spread = if is_large { partitions } else { self.per_tenant.clamp(1, partitions) };
        ((xxh3_64(tenant.as_bytes()) % u64::from(partitions)) as u32, spread)
    }
}

/// One input partition.
#[derive(Debug)]
pub struct IntakeSource {
    pub watermark: Watermark,
    writers: Vec<BlockWriter>,
    /// Blocks that became full since the last commit.
    full: Vec<(u32, Vec<u8>)>,
    /// The smallest boundary at which one of its events becomes visible: T may begin there.
    first_ms: Option<Ms>,
}

/// The state that all input partitions of a worker share.
pub struct Intake {
    slos: Arc<Vec<Slo>>,
    filters: Vec<u64>,
    spread: Spread,
    out_of_orderness_ms: Ms,
    /// The largest allowed lateness of all SLOs: an event that is later counts for none.
    allowed_lateness_ms: Ms,
    least_allowed_ms: Ms,
    pub counts: UsersCounts,
    tenants: Dictionary,
    homes: Vec<(u32, u32)>,
    tuples: Dictionary,
    shapes: TupleCache,
    scratch: Vec<u8>,
    codes: Codes,
    /// The SLOs that exclude the outcome because of a maintenance.
    in_maintenance: Codes,
    extras: Extras,
    /// The fields that some SLO groups by, or looks for cohorts in.
    group_fields: Vec<&'static str>,
}

impl Intake {
    pub fn new(slos: Arc<Vec<Slo>>, spread: Spread, out_of_orderness_ms: Ms) -> Intake {
        Intake {
            filters: slo_ids(&slos),
            allowed_lateness_ms: slos.iter().map(|slo| slo.allowed_lateness_ms).max().unwrap_or(0),
            least_allowed_ms: least_allowed_ms(slos.iter()),
            group_fields: grouping::fields_asked_for(&slos),
            slos,
            spread,
            out_of_orderness_ms,
            counts: UsersCounts::default(),
            tenants: Dictionary::default(),
            homes: Vec::new(),
            tuples: Dictionary::default(),
            shapes: TupleCache::default(),
            scratch: Vec::new(),
            codes: Codes::default(),
            in_maintenance: Codes::default(),
            extras: Extras::default(),
        }
    }

    /// Starts or resumes a source. `last_ends`: by users partition, where the source's last block ended; `None` if
    /// there was none yet.
    pub fn source(&self, watermark: Watermark, last_ends: &[Option<i64>]) -> IntakeSource {
        let last_end = |partition: u32| last_ends.get(partition as usize).copied().flatten();
        let writers = (0..self.spread.partitions).map(|partition| BlockWriter::after(last_end(partition))).collect();
        IntakeSource { watermark, writers, full: Vec::new(), first_ms: None }
    }

    /// Takes one outcome of a source.
    pub fn apply(
        &mut self,
        number: u32,
        source: &mut IntakeSource,
        offset: i64,
        outcome: &Outcome<'_>,
    ) -> Result<(), BlockError> {
        let arrival = Arrival::observe(&mut source.watermark, outcome.timestamp_ms, self.out_of_orderness_ms);
        self.counts.outcomes += 1;
        self.counts.note_late(arrival.late_by_ms, self.least_allowed_ms);
        let is_bad = self.classify(outcome, &arrival);
        // T begins with the first event, one that no SLO counts too: it travels without a verdict.
        let may_begin = source.first_ms.is_none_or(|first_ms| arrival.boundary_ms < first_ms);
        if may_begin && arrival.late_by_ms <= self.allowed_lateness_ms {
            source.first_ms = Some(arrival.boundary_ms);
        } else if is_bad.is_none() && self.in_maintenance.is_empty() {
            return Ok(());
        }
        let (tenant, tuple) = self.number(outcome);
        let (home, spread) = self.homes[tenant as usize];
        let user = outcome.user.as_deref();
        // Events without a user can be counted in any partition; the offset spreads them.
        let hash = user.map_or(offset.unsigned_abs(), |user| xxh3_64(user.as_bytes()));
        let partition = (home + (hash % u64::from(spread)) as u32) % self.spread.partitions;
        let arriving = Arriving {
            time_ms: arrival.time_ms,
            boundary_ms: arrival.boundary_ms,
            weight_micros: outcome.weight_micros,
            latency: latency_bin(outcome.latency_ms),
            is_late: arrival.is_late(),
            user,
            codes: &self.codes,
            extras: &self.extras,
            example: is_bad.unwrap_or(false).then(|| Example::of(outcome)),
        };
        let excluded = Arriving {
            weight_micros: IN_MAINTENANCE,
            user: None,
            codes: &self.in_maintenance,
            example: None,
            ..arriving
        };
        let writer = &mut source.writers[partition as usize];
        // Both before the block is closed: the next one begins behind the outcome.
        let mut is_full = false;
        if !self.in_maintenance.is_empty() {
            is_full |= writer.add(offset, tenant, tuple, &excluded)?;
        }
        if self.in_maintenance.is_empty() || !self.codes.is_empty() {
            is_full |= writer.add(offset, tenant, tuple, &arriving)?;
        }
        if is_full {
            // What comes later in this transaction may still be visible where this is.
            let block = self.seal(number, source, partition, offset + 1, arrival.watermark_ms)?;
            source.full.push((partition, block));
        }
        Ok(())
    }

    /// Writes the verdicts to `codes` and `in_maintenance`; `None`: no SLO counts the outcome. `true`: it is bad for one.
    fn classify(&mut self, outcome: &Outcome<'_>, arrival: &Arrival) -> Option<bool> {
        self.codes.clear();
        self.in_maintenance.clear();
        self.extras.clear();
        let mut is_bad = false;
        for (index, slo) in self.slos.iter().enumerate() {
            match arrival.judge(slo, outcome) {
                (Verdict::Excluded, ..) => self.counts.excluded += 1,
                (_, _, false) => {}
                (Verdict::Maintenance, _, true) => {
                    self.counts.note(Verdict::Maintenance);
                    self.in_maintenance.set(index, Verdict::Maintenance);
                }
                (verdict, extra, true) => {
                    self.counts.note(verdict);
                    is_bad |= verdict == Verdict::Bad;
                    self.codes.set(index, verdict);
                    self.extras.set(index, extra);
                }
            }
        }
        (!self.codes.is_empty()).then_some(is_bad)
    }

    fn number(&mut self, outcome: &Outcome<'_>) -> (u32, u32) {
        let tenant = self.tenants.intern(outcome.tenant.as_bytes());
        if tenant as usize >= self.homes.len() {
            self.homes.push(self.spread.of_tenant(&outcome.tenant));
        }
        let pairs = || outcome.attributes.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
        let (scratch, tuples, fields) = (&mut self.scratch, &mut self.tuples, &self.group_fields);
        let tuple = self.shapes.tuple(grouping::pairs(fields, outcome).chain(pairs()), || {
            tuple::encode(pairs(), scratch);
            grouping::put_in_front(fields, outcome, scratch);
            tuples.intern(scratch)
        });
        (tenant, tuple)
    }

    fn seal(
        &self,
        number: u32,
        source: &mut IntakeSource,
        partition: u32,
        next_offset: i64,
        watermark_ms: Option<Ms>,
    ) -> Result<Vec<u8>, BlockError> {
        let sealing = Sealing {
            source: number,
            next_offset,
            watermark_ms,
            is_incomplete: source.watermark.is_incomplete(),
            slos: &self.filters,
        };
        let (tenants, tuples) = (&self.tenants, &self.tuples);
        source.writers[partition as usize].seal(&sealing, |t| tenants.text(t), |t| tuples.get(t))
    }

    /// Appends the blocks of a source that the next commit sends. `next_offset`: the source is read up to there.
    pub fn flush(
        &mut self,
        number: u32,
        source: &mut IntakeSource,
        next_offset: i64,
        out: &mut Vec<RecordOut>,
    ) -> Result<(), BlockError> {
        let watermark_ms = source.watermark.at_ms(self.out_of_orderness_ms);
        out.extend(std::mem::take(&mut source.full).into_iter().map(|(partition, block)| record(partition, block)));
        let needs_all = self.spread.partitions > NOTED_MAX;
        for partition in 0..self.spread.partitions {
            let writer = &source.writers[partition as usize];
            if writer.has_news(watermark_ms) || needs_all && writer.last_end() != Some(next_offset) {
                out.push(record(partition, self.seal(number, source, partition, next_offset, watermark_ms)?));
            }
        }
        Ok(())
    }

    /// Forgets the texts if there are too many. Only right after [`Intake::flush`] of all sources, when no open block
    /// refers to them.
    pub fn forget_texts(&mut self) {
        if self.tenants.len() > TEXTS_MAX || self.tuples.len() > TEXTS_MAX {
            (self.tenants, self.tuples, self.shapes) = Default::default();
            self.homes.clear();
        }
    }
}

impl IntakeSource {
    /// By users partition, where the last block ended.
    pub fn block_ends(&self) -> impl Iterator<Item = Option<i64>> {
        self.writers.iter().map(BlockWriter::last_end)
    }

    /// Whether there is something to send to the users tasks.
    pub fn has_news(&self, out_of_orderness_ms: Ms) -> bool {
        let watermark_ms = self.watermark.at_ms(out_of_orderness_ms);
        !self.full.is_empty() || self.writers.iter().any(|writer| writer.has_news(watermark_ms))
    }
}

fn record(partition: u32, block: Vec<u8>) -> RecordOut {
    RecordOut {
        topic: Topic::Repartition,
        partition,
        key: None,
        value: Some(block),
        headers: Vec::new(),
        // The brokers stamp the records of this topic, because it is deleted by age.
        timestamp_ms: 0,
    }
}
