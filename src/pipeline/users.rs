//! The users task: verdicts of outcomes wait for their boundary; when it closes they are added to a
//! row per (tenant, user), and what changed leaves as partials.
//!
//! Because they wait, every figure is a function of the visible events alone, whatever the order in which
//! partitions were read, and the rows can be updated in one tight loop per pane.

use super::admitted::Admitted;
use super::arrival::Arrival;
use super::canary_tally::CanaryTally;
use super::cold_rows::ColdRows;
use super::delays::Delays;
use super::event_names::EventNames;
use super::event_tally::EventTally;
use super::example::Example;
use super::failing::FailingRows;
use super::failure_texts::FailureTexts;
use super::intern::{Dictionary, NONE, TupleCache, UserTable};
use super::journeys::{OpenAttempts, rows_of_attempts};
use super::key_ref::{KEY_GROUPS, KeyRef, LOCAL, OTHER_GROUPS};
use super::lateness::{Late, Lateness};
use super::sample::UserSample;
use super::stored::{filters_of, groups_of};
use super::tally::Tally;
use crate::model::calendar::Spans;
use crate::model::key::{ABSENT, Scope, key_text};
use crate::model::outcome::Outcome;
use crate::model::output::Exemplar;
use crate::model::record::partition_of;
use crate::model::slo::Slo;
use crate::model::time::{Moment, Ms, PANE_MS, boundary_behind, floor_to};
use crate::model::tuple;
use crate::operator::admission::{Admits, group_text};
use crate::operator::classify::{Extra, Verdict};
use crate::operator::exemplars;
use crate::operator::kind::gauge::GaugeSum;
use crate::operator::partial::{Counts, PaneDelta};
use crate::operator::sketch::{Sketch, SketchBuilder, ZERO_BIN, bin_of};
use crate::operator::user_row::UserRow;
use crate::operator::watermark::{Watermark, aligned_boundary};
use crate::state::keys::FiltersId;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// No latency on the event.
pub(super) const NO_LATENCY: i16 = i16::MAX;

/// What the configuration says about time and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsersSettings {
    pub out_of_orderness_ms: Ms,
    pub groups_max: usize,
    pub tenants_max: usize,
    pub rollup_partitions: u32,
}

/// A verdict that waits for its boundary.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingVerdict {
    pub time_ms: Ms,
    pub weight_micros: u64,
    pub user: u32,
    pub tenant: u32,
    pub tuple: u32,
    pub operation: u32,
    /// Of a bad event, its pair of dependency and type of error.
    pub failure: u32,
    pub group: u32,
    pub slo: u32,
    pub latency: i16,
    pub verdict: Verdict,
    pub is_late: bool,
    /// Its place among the extras of the pane; [`NONE`]: it has none.
    pub extra: u32,
}

/// SLO, tenant, group and pane of event time.
type ExemplarKey = (u32, u32, u32, Ms);

/// Everything that becomes visible at one boundary.
#[derive(Debug, Default)]
pub(super) struct Pane {
    pub verdicts: Vec<PendingVerdict>,
    /// What events say beyond their verdicts.
    pub extras: Vec<Extra>,
    /// The bad events with the smallest hash.
    pub exemplars: BTreeMap<ExemplarKey, Vec<(u64, Exemplar)>>,
    /// By SLO, groups that were not known when their events came; their codes have the bit [`LOCAL`].
    pub groups: BTreeMap<u32, Dictionary>,
    /// SLOs of which it has more groups than are remembered.
    pub overflowing: BTreeSet<u32>,
    /// By SLO: of what sets the boundary has to be decided before it can be closed.
    pub waits_for: BTreeSet<(u32, Admits)>,
}

/// What a key gathers while a boundary closes.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub panes: SmallVec<[PaneSum; 2]>,
    pub unclassified: SmallVec<[(Ms, u64); 2]>,
    pub late: u64,
    pub seen: Vec<(Ms, i64)>,
    pub bad_seen: Vec<(Ms, i64)>,
    /// Of an SLO that counts users.
    pub users: Vec<(Ms, i64)>,
    pub decided: Vec<(Ms, i64)>,
    /// Bad events: pair, pane of event time and micro-weight.
    pub failed: Vec<(u32, Ms, u128)>,
    /// Of an SLO that counts users by the periods of a calendar: those of the period before who came late, and are decided late.
    pub late_users: (i64, i64),
    /// Events that a maintenance excluded.
    pub maintenance: u64,
    /// Of the rows of attempts of a journey: by the pane in which they were decided.
    pub attempts: Vec<PaneDelta>,
}

#[derive(Debug, Default)]
pub(super) struct PaneSum {
    pub start_ms: Ms,
    pub counts: Counts,
    pub latencies: SketchBuilder,
    /// Of a composite: of each component.
    pub parts: Vec<Counts>,
    /// Of a gauge: its values.
    pub gauge: Option<GaugeSum>,
}

impl PaneSum {
    #[inline]
    pub fn add_latency(&mut self, bin: i16, weight: u64) {
        self.latencies.add(bin, weight);
    }

    pub fn latency(&mut self) -> Sketch {
        std::mem::take(&mut self.latencies).into_sketch()
    }
}

/// The rows of one SLO.
#[derive(Debug)]
pub(super) struct SloRows {
    pub slo: Slo,
    pub filters: FiltersId,
    /// What its groups belong to.
    pub groups_of: u64,
    /// Users with bad events are counted in slices of this length.
    pub seen_slice_ms: Ms,
    /// Rows are kept at least that long after their last event.
    pub keep_ms: Ms,
    /// By user: the row of all its events.
    pub row_of: Vec<u32>,
    /// By (user, group).
    pub group_row_of: BTreeMap<(u32, u32), u32>,
    pub rows: Vec<UserRow>,
    pub free: Vec<u32>,
    /// Per user window that is walked at its steps: the rows that may have events in it.
    pub listed: Vec<Vec<u32>>,
    /// The other user windows.
    pub tallies: Vec<Tally>,
    /// Users who fail again and again.
    pub failing: FailingRows,
    /// Bit `i`: the i-th user window is walked.
    pub walked: u16,
    /// Groups that are remembered: the values of what `group-by` names, each length-prefixed.
    pub groups: Dictionary,
    /// Of these, those that were seen here; the others are known from rows, or were admitted.
    pub kept: Vec<u32>,
    /// Groups that have a key of their own.
    pub groups_with_keys: Admitted,
    /// Groups that have a key of their own and were not seen here, with the boundary.
    pub strangers: BTreeMap<Vec<u8>, Ms>,
    /// Candidates that were named and are not decided.
    pub asked: BTreeSet<(Admits, u32)>,
    /// More groups were seen than are remembered, and the rollup tasks were told.
    pub groups_overflow: bool,
    pub has_sent_overflow: bool,
    pub tenants_with_keys: Admitted,
    /// More tenants were seen than may have keys.
    pub tenants_overflow: bool,
    /// By tenant: where in `gathered` it is, while the boundary that closes has news of it.
    pub gathered_of: Vec<u32>,
    pub gathered: Vec<(u32, Gathered)>,
    pub group_sums: BTreeMap<u32, Gathered>,
    /// Users with bad events per pane and key, while late events may still come for the pane.
    pub bad: BTreeMap<(Ms, KeyRef), BTreeMap<u32, u64>>,
    /// Of these, what the boundary that closes adds to.
    pub touched_bad: BTreeSet<(KeyRef, Ms)>,
    /// Events by value of the attribute of `canary`, while a boundary closes.
    pub canary: Option<CanaryTally>,
    /// Events by attributes and operation, while a boundary closes.
    pub events: Option<EventTally>,
    /// The rollup partition of each key.
    pub partitions: BTreeMap<KeyRef, u32>,
    /// By key group: users whose rows changed since the group was written.
    pub dirty: Vec<Vec<u32>>,
    /// Users (key group, tenant, name) whose rows went since their group was written.
    pub gone: BTreeSet<(u16, String, String)>,
    /// Rows that are in the store alone.
    pub cold: ColdRows,
    /// Slots of rows just dropped from memory; free once no list names them.
    pub dropped: Vec<u32>,
    pub counts: VerdictCounts,
    /// Where users are counted by the periods of a calendar: those of the boundary that closes.
    pub spans: Option<Spans>,
    /// Of a journey: the attempts that are open.
    pub open: Option<Box<OpenAttempts>>,
    /// These are the rows of attempts of this SLO.
    pub attempts_of: Option<usize>,
}

impl SloRows {
    pub(super) fn new(slo: Slo) -> SloRows {
        let longs = slo.all_rules().map(|(_, rule)| rule.long_ms);
        let seen_slice_ms = slo.seen_slice_ms();
        let tallies = Tally::all_of(&slo);
        let keep_ms = longs.chain(slo.user_windows_ms.iter().copied()).max().unwrap_or(0);
        SloRows {
            filters: filters_of(&slo),
            groups_of: groups_of(&slo),
            seen_slice_ms,
            keep_ms: keep_ms.max(slo.period.nominal_ms()),
            row_of: Vec::new(),
            group_row_of: BTreeMap::new(),
            rows: Vec::new(),
            free: Vec::new(),
            listed: vec![Vec::new(); slo.user_windows_ms.len()],
            walked: (0..slo.user_windows_ms.len())
                .filter(|window| tallies.iter().all(|tally| tally.window != *window))
                .fold(0, |all, window| all | 1 << window),
            tallies,
            failing: FailingRows::default(),
            groups: Dictionary::default(),
            kept: Vec::new(),
            groups_with_keys: Admitted::default(),
            strangers: BTreeMap::new(),
            asked: BTreeSet::new(),
            groups_overflow: false,
            has_sent_overflow: false,
            tenants_with_keys: Admitted::default(),
            tenants_overflow: false,
            gathered_of: Vec::new(),
            gathered: Vec::new(),
            group_sums: BTreeMap::new(),
            bad: BTreeMap::new(),
            touched_bad: BTreeSet::new(),
            canary: slo.canary.as_ref().map(CanaryTally::new),
            events: EventTally::of(&slo),
            partitions: BTreeMap::new(),
            dirty: vec![Vec::new(); KEY_GROUPS as usize],
            gone: BTreeSet::new(),
            cold: ColdRows::default(),
            dropped: Vec::new(),
            counts: VerdictCounts::default(),
            spans: None,
            open: None,
            attempts_of: None,
            slo,
        }
    }

    /// The rows of all definitions, then those of attempts of journeys.
    fn all_of(slos: &[Slo]) -> Vec<SloRows> {
        let mut all: Vec<SloRows> = slos.iter().cloned().map(SloRows::new).collect();
        for slo in 0..slos.len() {
            let Some(journey) = slos[slo].journey() else { continue };
            // An attempt may end so long after its last event.
            all[slo].keep_ms += journey.timeout_ms;
            let attempts = rows_of_attempts(&all[slo], slo);
            all[slo].open = Some(Box::new(OpenAttempts::new(journey, &all[slo], all.len())));
            // What is told of users is of attempts; the rows of events only have to go once no rule asks for them.
            all[slo].tallies.clear();
            all[slo].walked = 1 << (slos[slo].user_windows_ms.len().max(1) - 1);
            all.push(attempts);
        }
        all
    }
}

impl SloRows {
    /// The text of the group with these values of what `group-by` names.
    pub(super) fn group_text<'a>(&self, scratch: &mut Vec<u8>, value: impl Fn(&str) -> Option<&'a str>) {
        group_text(self.slo.group_by.iter().map(|name| value(name).unwrap_or(ABSENT)), scratch);
    }
}

/// Events by what became of them, since the task began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UsersCounts {
    pub outcomes: u64,
    /// Of these, the late ones that were not dropped, and those that at least one SLO dropped.
    pub late: u64,
    pub late_dropped: u64,
    /// These count pairs of event and SLO.
    pub good: u64,
    pub bad: u64,
    pub unclassified: u64,
    pub excluded: u64,
}

/// Events by what became of them for one SLO, since the task began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictCounts {
    pub good: u64,
    pub bad: u64,
    pub unclassified: u64,
    pub excluded: u64,
    /// Too late for the SLO.
    pub dropped: u64,
    /// Of the good, bad and unclassified events: those that look failed (status 500 and the like), and how many of these
    /// are unclassified.
    pub failing: u64,
    pub failing_unclassified: u64,
}

impl VerdictCounts {
    #[inline]
    fn note(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Excluded | Verdict::Maintenance => self.excluded += 1,
            Verdict::Good => self.good += 1,
            Verdict::Bad => self.bad += 1,
            Verdict::Unclassified => self.unclassified += 1,
        }
    }

    fn note_failing(&mut self, verdict: Verdict) {
        self.failing += u64::from(!verdict.is_excluded());
        self.failing_unclassified += u64::from(verdict == Verdict::Unclassified);
    }
}

/// The smallest lateness that an SLO allows: what is later is dropped by at least one.
pub(super) fn least_allowed_ms<'a>(slos: impl IntoIterator<Item = &'a Slo>) -> Ms {
    slos.into_iter().map(|slo| slo.allowed_lateness_ms).min().unwrap_or(Ms::MAX)
}

impl UsersCounts {
    /// An event that is late by so much.
    #[inline]
    pub(super) fn note_late(&mut self, late_by_ms: Ms, least_allowed_ms: Ms) {
        self.late += u64::from(late_by_ms > 0 && late_by_ms <= least_allowed_ms);
        self.late_dropped += u64::from(late_by_ms > least_allowed_ms);
    }

    #[inline]
    pub(super) fn note(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Excluded | Verdict::Maintenance => self.excluded += 1,
            Verdict::Good => self.good += 1,
            Verdict::Bad => self.bad += 1,
            Verdict::Unclassified => self.unclassified += 1,
        }
    }

    /// The counts of another task.
    pub fn add(&mut self, other: &UsersCounts) {
        self.outcomes += other.outcomes;
        self.good += other.good;
        self.bad += other.bad;
        self.unclassified += other.unclassified;
        self.excluded += other.excluded;
        self.late += other.late;
        self.late_dropped += other.late_dropped;
    }
}

/// What the task knows of one input partition.
#[derive(Clone, Debug, Default)]
pub(super) struct InputSource {
    pub watermark: Watermark,
    /// Where the last block of it ended.
    pub next_offset: Option<i64>,
    /// The boundaries behind the first and up to the second are incomplete on its account.
    pub incomplete: VecDeque<(Ms, Ms)>,
    /// Of records that the task read itself.
    pub lateness: Lateness,
}

/// For each open boundary: the first record of the task's stream that contributes to it, and the watermark before that
/// record. Reading again from the earliest of them restores everything that waits. (A task that reads several streams
/// itself is never restored.)
#[derive(Clone, Debug, Default)]
pub(super) struct Beginnings(VecDeque<Beginning>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub boundary_ms: Ms,
    pub offset: i64,
    pub watermark: Watermark,
}

impl Beginnings {
    #[inline]
    pub(super) fn note(&mut self, boundary_ms: Ms, offset: i64, watermark: Watermark) {
        let known = |b: &Beginning| b.boundary_ms == boundary_ms;
        if !self.0.back().is_some_and(known) && !self.0.iter().any(known) {
            self.0.push_back(Beginning { boundary_ms, offset, watermark });
        }
    }

    fn forget_closed(&mut self, closed_ms: Ms) {
        self.0.retain(|b| b.boundary_ms > closed_ms);
    }

    /// The first record that has to be read again.
    pub(super) fn first(&self) -> Option<Beginning> {
        self.0.iter().min_by_key(|b| b.offset).copied()
    }
}

/// One users task.
pub struct UsersTask {
    pub(super) settings: UsersSettings,
    /// How many of `slos` are of definitions; the others are rows of attempts.
    pub(super) defined: usize,
    pub(super) slos: Vec<SloRows>,
    pub(super) users: UserTable,
    pub(super) tenants: Dictionary,
    pub(super) tuples: Dictionary,
    pub(super) operations: Dictionary,
    pub(super) failures: FailureTexts,
    pub(super) event_names: EventNames,
    shapes: TupleCache,
    pub(super) pending: BTreeMap<Ms, Pane>,
    /// The pane that the last event went to, taken out of `pending`.
    hot: Option<(Ms, Pane)>,
    /// The room of the pane that was closed last, for the next one.
    pub(super) spare: Vec<PendingVerdict>,
    /// It decides by itself which groups and tenants have keys, because there is no other users task.
    pub(super) decides_alone: bool,
    /// There is no other users task, so what it knows of a key is all: see [`UsersTask::only`].
    pub(super) is_only: bool,
    /// Candidates are named up to here.
    pub(super) looked_ms: Option<Ms>,
    /// All rollup tasks know this boundary as closed.
    pub(super) sent_ms: Option<Ms>,
    pub(super) sources: Vec<InputSource>,
    pub(super) beginnings: Beginnings,
    pub(super) closed_ms: Option<Ms>,
    /// An event was visible, whatever its verdict: T has begun, and the aggregate keys exist.
    pub(super) has_begun: bool,
    /// Until then: the smallest boundary at which an event becomes visible.
    first_ms: Option<Ms>,
    /// The most lateness that some SLO allows: what is later is no event for any.
    allowed_lateness_ms: Ms,
    /// The stream is read from its beginning, so a source without a block has sent none. (While it is read again from the
    /// middle, that does not follow.)
    pub(super) has_received_all: bool,
    /// By key group: the store has rows of filters, or groups, that no definition has any more.
    pub(super) has_strays: Vec<bool>,
    /// Up to this boundary the rows already contain what is read again.
    pub(super) loaded_ms: Option<Ms>,
    /// While the log is read again: the boundary that the rows of each key group are true of.
    pub(super) groups_at: Option<Vec<Option<Ms>>>,
    least_allowed_ms: Ms,
    /// An SLO counts events by attributes and operation.
    counts_events: bool,
    pub counts: UsersCounts,
    /// How long after their time good and bad events came.
    pub delays: Delays,
    sample: UserSample,
    pub(super) scratch: Vec<u8>,
}

impl UsersTask {
    pub fn new(slos: Arc<Vec<Slo>>, sources: usize, settings: UsersSettings) -> UsersTask {
        UsersTask {
            settings,
            defined: slos.len(),
            slos: SloRows::all_of(&slos),
            users: UserTable::default(),
            tenants: Dictionary::default(),
            tuples: Dictionary::default(),
            operations: Dictionary::default(),
            failures: FailureTexts::default(),
            event_names: EventNames::default(),
            shapes: TupleCache::default(),
            spare: Vec::new(),
            pending: BTreeMap::new(),
            hot: None,
            decides_alone: true,
            is_only: false,
            looked_ms: None,
            sent_ms: None,
            sources: vec![InputSource::default(); sources],
            beginnings: Beginnings::default(),
            closed_ms: None,
            has_begun: false,
            first_ms: None,
            allowed_lateness_ms: slos.iter().map(|slo| slo.allowed_lateness_ms).max().unwrap_or(0),
            has_received_all: true,
            has_strays: vec![false; usize::from(KEY_GROUPS)],
            loaded_ms: None,
            groups_at: None,
            least_allowed_ms: least_allowed_ms(slos.iter()),
            counts_events: slos.iter().any(|slo| EventTally::of(slo).is_some()),
            counts: UsersCounts::default(),
            delays: Delays::default(),
            sample: UserSample::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes one outcome of a source (an input partition).
    pub fn apply(&mut self, source: u32, offset: i64, outcome: &Outcome<'_>) {
        let watermark = &mut self.sources[source as usize].watermark;
        let arrival = Arrival::observe(watermark, outcome.timestamp_ms, self.settings.out_of_orderness_ms);
        let boundary_ms = arrival.boundary_ms;
        self.counts.outcomes += 1;
        // A record that is read once more after a restart, and that was visible before: its
        // boundary is closed, and all of it is in the rows already.
        if self.closed_ms.is_some_and(|closed| boundary_ms <= closed) {
            return;
        }
        self.beginnings.note(boundary_ms, offset, arrival.met);
        if !self.has_begun && arrival.late_by_ms <= self.allowed_lateness_ms {
            self.begin_by(boundary_ms);
        }
        self.note_lateness(source, offset, &arrival);
        let mut ids: Option<Ids> = None;
        let (has_failed, mut is_good, mut is_bad) = (outcome.has_failed(), false, false);
        for slo in 0..self.defined {
            let (verdict, extra, is_in_time) = arrival.judge(&self.slos[slo].slo, outcome);
            is_good |= verdict == Verdict::Good;
            is_bad |= verdict == Verdict::Bad;
            if has_failed {
                self.slos[slo].counts.note_failing(verdict);
            }
            match verdict {
                Verdict::Excluded => self.note(slo, verdict),
                _ if !is_in_time => self.slos[slo].counts.dropped += 1,
                _ => {
                    let ids = *ids.get_or_insert_with(|| self.intern(outcome, boundary_ms));
                    self.enqueue(slo, outcome, &arrival, ids, (verdict, extra));
                }
            }
        }
        if is_good || is_bad {
            self.delays.note(arrival.behind_ms(), is_bad);
        }
    }

    /// T begins at the first boundary at which an event is visible, excluded ones too: it gets a pane.
    pub(super) fn begin_by(&mut self, boundary_ms: Ms) {
        if self.first_ms.is_none_or(|first_ms| boundary_ms < first_ms) {
            self.first_ms = Some(boundary_ms);
            self.pane(boundary_ms);
        }
    }

    #[inline]
    fn note_lateness(&mut self, source: u32, offset: i64, arrival: &Arrival) {
        let lateness = &mut self.sources[source as usize].lateness;
        let (time_ms, largest_ms, by_ms) = (arrival.time_ms, arrival.met.largest_ms(), arrival.late_by_ms);
        if by_ms == 0 {
            return lateness.in_time(offset, time_ms, largest_ms);
        }
        let (out_of_orderness_ms, allowed_ms) = (self.settings.out_of_orderness_ms, self.least_allowed_ms);
        lateness.late(time_ms, largest_ms, Late { by_ms, out_of_orderness_ms, allowed_ms });
        self.counts.note_late(by_ms, allowed_ms);
    }

    #[inline]
    fn note(&mut self, slo: usize, verdict: Verdict) {
        self.counts.note(verdict);
        self.slos[slo].counts.note(verdict);
    }

    /// The SLOs, and what became of the events for each, where the task classified them itself.
    pub fn slos(&self) -> impl Iterator<Item = (&Slo, &VerdictCounts)> {
        self.slos[..self.defined].iter().map(|rows| (&rows.slo, &rows.counts))
    }

    /// How late the records of each source were, where the task read them itself.
    pub fn lateness(&self) -> impl Iterator<Item = &Lateness> {
        self.sources.iter().map(|source| &source.lateness)
    }

    fn intern(&mut self, outcome: &Outcome<'_>, boundary_ms: Ms) -> Ids {
        let latency = latency_bin(outcome.latency_ms);
        let tenant = self.tenants.intern(outcome.tenant.as_bytes());
        let user = match outcome.user.as_deref() {
            Some(name) => self.pending_user(tenant, name, boundary_ms),
            None if !self.asks_for_attributes() => {
                return Ids { tenant, user: NONE, tuple: NONE, operation: NONE, latency };
            }
            None => NONE,
        };
        let pairs = || outcome.attributes.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
        let (scratch, tuples) = (&mut self.scratch, &mut self.tuples);
        let tuple = self.shapes.tuple(pairs(), || {
            tuple::encode(pairs(), scratch);
            tuples.intern(scratch)
        });
        let operation = self.operation_of(outcome.operation.as_deref());
        Ids { tenant, user, tuple, operation, latency }
    }

    /// The number of an operation, where somebody asks.
    pub(super) fn operation_of(&mut self, operation: Option<&str>) -> u32 {
        match operation {
            Some(operation) if self.counts_events => self.operations.intern(operation.as_bytes()),
            _ => NONE,
        }
    }

    /// Whether the attributes of an event count, whoever it is of.
    pub(super) fn asks_for_attributes(&self) -> bool {
        self.counts_events || self.slos.iter().any(|rows| rows.canary.is_some())
    }

    /// A user with an event that waits for a boundary.
    #[inline]
    pub(super) fn pending_user(&mut self, tenant: u32, name: &str, boundary_ms: Ms) -> u32 {
        let user = self.user(tenant, name);
        let entry = self.users.get_mut(user);
        entry.pending_until_ms = entry.pending_until_ms.max(boundary_ms);
        user
    }

    pub(super) fn user(&mut self, tenant: u32, name: &str) -> u32 {
        let known = self.users.len();
        let user = self.users.intern(tenant, name);
        if self.users.len() > known {
            self.sample.offer(self.tenants.text(tenant), name);
        }
        user
    }

    /// Some of the users that it has seen.
    pub fn sample(&self) -> &UserSample {
        &self.sample
    }

    fn enqueue(
        &mut self,
        slo: usize,
        outcome: &Outcome<'_>,
        arrival: &Arrival,
        ids: Ids,
        (verdict, extra): (Verdict, Extra),
    ) {
        self.note(slo, verdict);
        let group = self.group_of(slo, outcome, arrival.boundary_ms);
        let example = (verdict == Verdict::Bad).then(|| Example::of(outcome));
        let waiting = PendingVerdict {
            time_ms: arrival.time_ms,
            weight_micros: outcome.weight_micros,
            user: if verdict == Verdict::Maintenance { NONE } else { ids.user },
            tenant: ids.tenant,
            tuple: ids.tuple,
            operation: ids.operation,
            failure: example.as_ref().map_or(NONE, |example| self.failures.number(example)),
            group,
            slo: slo as u32,
            latency: ids.latency,
            verdict,
            is_late: arrival.is_late(),
            extra: NONE,
        };
        self.hold_back(arrival.boundary_ms, waiting, extra, example.as_ref());
    }

    /// A verdict waits for its boundary; of a bad one with its example.
    #[inline]
    pub(super) fn hold_back(
        &mut self,
        boundary_ms: Ms,
        mut waiting: PendingVerdict,
        extra: Extra,
        example: Option<&Example<'_>>,
    ) {
        let pane = self.pane(boundary_ms);
        if extra != 0 {
            waiting.extra = pane.extras.len() as u32;
            pane.extras.push(extra);
        }
        pane.verdicts.push(waiting);
        if let (Verdict::Bad, Some(example)) = (waiting.verdict, example) {
            keep_example(pane, &waiting, example);
        }
    }

    /// The pane of a boundary; mostly the one of the event before.
    pub(super) fn pane(&mut self, at_ms: Ms) -> &mut Pane {
        let is_hot = self.hot.as_ref().is_some_and(|(ms, _)| *ms == at_ms);
        if !is_hot {
            self.cool_down();
            let spare = &mut self.spare;
            let new = || Pane { verdicts: std::mem::take(spare), ..Pane::default() };
            let pane = self.pending.remove(&at_ms).unwrap_or_else(new);
            self.hot = Some((at_ms, pane));
        }
        &mut self.hot.get_or_insert_with(|| (at_ms, Pane::default())).1
    }

    pub(super) fn cool_down(&mut self) {
        if let Some((ms, pane)) = self.hot.take() {
            self.pending.insert(ms, pane);
        }
    }

    fn group_of(&mut self, slo: usize, outcome: &Outcome<'_>, at_ms: Ms) -> u32 {
        if self.slos[slo].slo.group_by.is_empty() {
            return NONE;
        }
        self.slos[slo].group_text(&mut self.scratch, |name| outcome.group_value(name));
        self.code_of_text(slo, at_ms)
    }

    /// The code of the group whose text was written last; one of the pane's own where it is not known.
    pub(super) fn code_of_text(&mut self, slo: usize, at_ms: Ms) -> u32 {
        if let Some(known) = self.slos[slo].groups.find(&self.scratch) {
            return known;
        }
        let text = std::mem::take(&mut self.scratch);
        let code = LOCAL | self.pane(at_ms).groups.entry(slo as u32).or_default().intern(&text);
        self.scratch = text;
        code
    }

    /// A bounded source ended, or an idle one is passed over.
    pub fn pass_over(&mut self, source: u32) {
        self.sources[source as usize].watermark.pass_over();
    }

    /// T waits for a source again, even before its next record.
    pub fn take_up(&mut self, source: u32) {
        self.sources[source as usize].watermark.take_up();
    }

    pub fn watermark(&self, source: u32) -> &Watermark {
        &self.sources[source as usize].watermark
    }

    pub(super) fn raise_sources(&mut self, at_ms: Ms) {
        for source in &mut self.sources {
            source.watermark.raise(at_ms);
            while source.incomplete.front().is_some_and(|(_, to_ms)| *to_ms <= at_ms) {
                source.incomplete.pop_front();
            }
        }
        self.beginnings.forget_closed(at_ms);
    }

    /// How far T may go: the smallest watermark of the sources that are not passed over.
    pub fn aligned_ms(&self) -> Option<Ms> {
        let watermarks = self.sources.iter().map(|s| s.watermark);
        aligned_boundary(watermarks, self.settings.out_of_orderness_ms)
    }

    /// Where T ends when every source is bounded and ended.
    pub fn end_ms(&self) -> Option<Ms> {
        let largest = self.sources.iter().filter_map(|s| s.watermark.largest_ms()).max()?;
        Some(boundary_behind(largest))
    }

    pub fn closed_ms(&self) -> Option<Ms> {
        self.closed_ms
    }

    /// Forgets the attribute tuples that no user has any more.
    pub(super) fn sweep_tuples(&mut self) {
        let mut is_used = vec![false; self.tuples.capacity()];
        let of_rows = self.slos.iter().flat_map(|s| &s.rows).map(|row| row.tuple);
        let pending = self.pending.values().chain(self.hot.iter().map(|(_, pane)| pane));
        let of_events = pending.flat_map(|pane| &pane.verdicts).map(|waiting| waiting.tuple);
        let of_attempts = self.slos.iter().filter_map(|s| s.open.as_deref()).flat_map(OpenAttempts::tuples);
        for tuple in of_rows.chain(of_events).chain(of_attempts) {
            if let Some(is_used) = is_used.get_mut(tuple as usize) {
                *is_used = true;
            }
        }
        self.tuples.sweep(&is_used);
        self.event_names.forget();
        self.shapes = TupleCache::default();
        self.slos.iter_mut().filter_map(|rows| rows.canary.as_mut()).for_each(CanaryTally::forget_tuples);
    }

    /// Forgets the operations of which no event waits.
    pub(super) fn sweep_operations(&mut self) {
        let mut is_used = vec![false; self.operations.capacity()];
        let panes = self.pending.values().chain(self.hot.iter().map(|(_, pane)| pane));
        for waiting in panes.flat_map(|pane| &pane.verdicts) {
            if let Some(is_used) = is_used.get_mut(waiting.operation as usize) {
                *is_used = true;
            }
        }
        self.operations.sweep(&is_used);
        self.event_names.forget();
    }

    /// Forgets the pairs of which no bad event waits.
    pub(super) fn sweep_failures(&mut self) {
        let panes = self.pending.values().chain(self.hot.iter().map(|(_, pane)| pane));
        self.failures.sweep(panes.flat_map(|pane| &pane.verdicts).map(|waiting| waiting.failure));
    }

    /// Bytes of what waits for its boundary, of names, and of users with bad events by pane.
    pub(super) fn waiting_bytes(&self) -> usize {
        let panes = self.pending.values().chain(self.hot.iter().map(|(_, pane)| pane));
        let verdicts: usize = panes.map(|pane| pane.verdicts.capacity() * size_of::<PendingVerdict>()).sum();
        let names =
            [&self.tenants, &self.tuples, &self.operations].into_iter().chain(self.slos.iter().map(|s| &s.groups));
        // A user in a map of few: its entry and its part of the node.
        let bad = self.slos.iter().flat_map(|s| s.bad.values()).map(|users| 64 + users.len() * 24);
        let names = names.map(Dictionary::memory_bytes).sum::<usize>()
            + self.failures.memory_bytes()
            + self.event_names.memory_bytes();
        let attempts = self.slos.iter().filter_map(|s| s.open.as_deref()).map(OpenAttempts::memory_bytes);
        verdicts + names + bad.sum::<usize>() + attempts.sum::<usize>()
    }

    /// Verdicts that wait for their boundary.
    pub fn waiting(&self) -> usize {
        let hot = self.hot.as_ref().map_or(0, |(_, p)| p.verdicts.len());
        hot + self.pending.values().map(|p| p.verdicts.len()).sum::<usize>()
    }

    pub fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Rows in memory.
    pub fn rows(&self) -> usize {
        self.slos.iter().map(|s| s.rows.len() - s.free.len()).sum()
    }

    pub fn users_known(&self) -> usize {
        self.users.len()
    }

    /// The scope that a key reference stands for.
    pub(super) fn scope_of(&self, slo: usize, key: KeyRef) -> Scope {
        match key {
            KeyRef::Aggregate => Scope::Aggregate,
            KeyRef::Tenant(tenant) => Scope::Tenant(self.tenants.text(tenant).to_owned()),
            KeyRef::Group(OTHER_GROUPS) => Scope::OtherGroups,
            KeyRef::Group(group) => self.slos[slo].group_scope(self.slos[slo].groups.get(group)),
        }
    }

    /// The rollup partition of a key, worked out once.
    pub(super) fn partition(&mut self, slo: usize, key: KeyRef) -> u32 {
        if let Some(known) = self.slos[slo].partitions.get(&key) {
            return *known;
        }
        // An SLO's groups are with its aggregate, whose task decides which of them have keys.
        let scope = if matches!(key, KeyRef::Group(_)) { Scope::Aggregate } else { self.scope_of(slo, key) };
        let text = key_text(&self.slos[slo].slo.name, &scope);
        let partition = partition_of(text.as_bytes(), self.settings.rollup_partitions);
        self.slos[slo].partitions.insert(key, partition);
        partition
    }
}

/// What all SLOs ask of an event, found once.
#[derive(Clone, Copy)]
struct Ids {
    tenant: u32,
    user: u32,
    tuple: u32,
    operation: u32,
    latency: i16,
}

pub(super) fn latency_bin(latency_ms: Option<f64>) -> i16 {
    match latency_ms {
        Some(ms) if ms > 0.0 => bin_of(ms),
        Some(_) => ZERO_BIN,
        None => NO_LATENCY,
    }
}

pub(super) fn keep_example(pane: &mut Pane, waiting: &PendingVerdict, example: &Example<'_>) {
    let start_ms = floor_to(waiting.time_ms, PANE_MS);
    let kept = pane.exemplars.entry((waiting.slo, waiting.tenant, waiting.group, start_ms)).or_default();
    exemplars::keep(kept, example.hash, || Exemplar {
        trace_id: example.trace_id.map(str::to_owned),
        at: Moment(waiting.time_ms),
        operation: example.operation.map(str::to_owned),
        status: example.status,
        dependency: example.dependency.map(str::to_owned),
    });
}
