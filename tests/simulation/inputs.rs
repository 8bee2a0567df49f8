//! Follows every record of the input: none is lost or doubled between the input and the users tasks, whichever process
//! committed it.
//!
//! Watermarks are computed again from the records alone. If a record met a higher watermark, the partition was passed
//! over before it, and that decision is checked here.

use crate::broker::{Broker, Place};
use crate::log::hand_over;
use crate::reference::{decisions, route};
use crate::scenario::{OUT_OF_ORDERNESS_MS, Scenario};
use std::collections::{BTreeSet, VecDeque};
use tailburn::log::Stream;
use tailburn::model::outcome::Outcome;
use tailburn::model::record::Topic;
use tailburn::model::time::{Ms, PANE_MS, floor_to};
use tailburn::operator::classify::{Verdict, classify};
use tailburn::pipeline::block;

/// The fields that identify an event of a block.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    time_ms: Ms,
    tenant: String,
    user: Option<String>,
    weight_micros: u64,
    boundary_ms: Ms,
    /// It stands for an event that some SLO excludes because of a maintenance.
    is_in_maintenance: bool,
}

/// The results of the check.
#[derive(Default)]
pub struct Judged {
    /// The number of records that met a decision to pass over their partition.
    pub met: usize,
    /// Decisions about partitions that had not been silent for the idle timeout.
    pub wrong: Vec<String>,
    /// The same, with the partition, if the decision was that T no longer waits for a partition with unread records. That
    /// is right if records waited long enough.
    pub hasty: Vec<(u32, String)>,
    pub events: usize,
    pub late_dropped: usize,
}

impl Judged {
    fn judge(&mut self, wrong: Option<String>, source: u32, is_incomplete: bool) {
        match is_incomplete {
            true => self.hasty.extend(wrong.map(|what| (source, what))),
            false => self.wrong.extend(wrong),
        }
    }
}

/// One input partition, as its blocks show it.
struct Tracked {
    /// The events in the blocks of each repartition partition that were not yet matched with a record.
    sent: Vec<VecDeque<Sent>>,
    /// The watermarks to which it was raised because T no longer waited for it, silent or not.
    not_waited_for: BTreeSet<Ms>,
    /// The watermark in the blocks that end at an offset, by offset.
    watermarks: Vec<(i64, Ms)>,
}

pub fn judge(scenario: &Scenario, broker: &Broker) -> Result<Judged, String> {
    let mut judged = Judged::default();
    for source in 0..scenario.inputs {
        if scenario.is_keyed {
            judge_keyed(scenario, broker, source, &mut judged);
        } else {
            let tracked = tracked(scenario, broker, source).map_err(|why| format!("input {source}: {why}"))?;
            follow(scenario, broker, source, tracked, &mut judged).map_err(|why| format!("input {source}: {why}"))?;
        }
    }
    Ok(judged)
}

/// Reads the blocks of a source, and checks that none goes back or adds to a closed boundary.
fn tracked(scenario: &Scenario, broker: &Broker, source: u32) -> Result<Tracked, String> {
    let mut tracked = Tracked { sent: Vec::new(), not_waited_for: BTreeSet::new(), watermarks: Vec::new() };
    for partition in 0..scenario.spread.partitions {
        let (mut sent, mut next, mut watermark_ms) = (VecDeque::new(), i64::MIN, None);
        for (at, record) in broker.partition(Place::Output(Topic::Repartition, partition)).ever() {
            let (head, mut rest) =
                block::open(record.value.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
            if head.source != source {
                continue;
            }
            if head.first_offset < next || head.next_offset < head.first_offset || head.watermark_ms < watermark_ms {
                return Err(format!("the block at {at} of {partition} goes back: {head:?}"));
            }
            for _ in 0..head.events {
                let event = head.next_event(&mut rest).map_err(|error| error.to_string())?;
                if watermark_ms.is_some_and(|ms| event.boundary_ms <= floor_to(ms, PANE_MS)) {
                    return Err(format!("the block at {at} of {partition} adds to a closed boundary: {event:?}"));
                }
                sent.push_back(Sent {
                    time_ms: event.time_ms,
                    tenant: head.tenants[event.tenant as usize].to_owned(),
                    user: event.user.map(str::to_owned),
                    weight_micros: event.weight_micros,
                    boundary_ms: event.boundary_ms,
                    is_in_maintenance: event.is_in_maintenance(),
                });
            }
            tracked.not_waited_for.extend(head.watermark_ms.filter(|_| head.is_incomplete));
            (next, watermark_ms) = (head.next_offset, head.watermark_ms);
            tracked.watermarks.extend(head.watermark_ms.map(|ms| (head.next_offset, ms)));
        }
        tracked.sent.push(sent);
    }
    tracked.watermarks.sort_unstable();
    Ok(tracked)
}

impl Tracked {
    fn take(&mut self, outcome: &Outcome<'_>) -> Option<Sent> {
        let is_it = |sent: &Sent| {
            !sent.is_in_maintenance
                && sent.time_ms == outcome.timestamp_ms
                && sent.tenant == outcome.tenant
                && sent.user.as_deref() == outcome.user.as_deref()
                && sent.weight_micros == outcome.weight_micros
        };
        self.take_first(is_it)
    }

    /// What stands for an outcome that some SLO excludes because of a maintenance.
    fn take_maintenance(&mut self, outcome: &Outcome<'_>) -> Option<Sent> {
        self.take_first(|sent| {
            sent.is_in_maintenance && sent.time_ms == outcome.timestamp_ms && sent.tenant == outcome.tenant
        })
    }

    fn take_first(&mut self, is_it: impl Fn(&Sent) -> bool) -> Option<Sent> {
        self.sent.iter_mut().find(|queue| queue.front().is_some_and(&is_it))?.pop_front()
    }

    /// The watermark in the first block that ends after a record.
    fn behind(&self, offset: i64) -> Option<Ms> {
        let at = self.watermarks.partition_point(|(next, _)| *next <= offset);
        // Without a later block the watermark did not change after the last one.
        self.watermarks.get(at).or_else(|| self.watermarks.last()).map(|(_, ms)| *ms)
    }
}

fn follow(
    scenario: &Scenario,
    broker: &Broker,
    source: u32,
    mut tracked: Tracked,
    judged: &mut Judged,
) -> Result<(), String> {
    let mut route = route(scenario);
    let (mut largest_ms, mut raised_ms) = (None::<Ms>, Ms::MIN);
    let mut silence = Silence::new(scenario);
    judged.met += usize::from(!tracked.not_waited_for.is_empty());
    let batch = broker.partition(Place::Input(source)).ever();
    let mut failed = None;
    hand_over(Stream::Input(source), &batch, &mut |_, record| {
        silence.record(record.timestamp_ms.unwrap_or_default());
        let offset = record.offset;
        route.apply(source, record, |outcome: &Outcome<'_>| {
            let time_ms = outcome.timestamp_ms;
            let read_ms = largest_ms.map(|ms| ms - OUT_OF_ORDERNESS_MS);
            largest_ms = largest_ms.max(Some(time_ms));
            let verdicts = scenario.slos.iter().map(|slo| (slo.allowed_lateness_ms, classify(slo, outcome).0));
            let verdicts: Vec<(Ms, Verdict)> = verdicts.collect();
            let longest_ms = |is: &dyn Fn(Verdict) -> bool| {
                verdicts.iter().filter(|(_, verdict)| is(*verdict)).map(|(lateness_ms, _)| *lateness_ms).max()
            };
            let excluding_ms = longest_ms(&|verdict| verdict == Verdict::Maintenance);
            let excluded = excluding_ms.map(|ms| (ms, tracked.take_maintenance(outcome)));
            // Where no SLO counts it, the first such events are sent nevertheless, because T begins with any event.
            let sent = tracked.take(outcome);
            let counted = longest_ms(&|verdict| !verdict.is_excluded()).map(|ms| (ms, sent));
            for (lateness_ms, sent) in excluded.into_iter().chain(counted) {
                match sent {
                    Some(sent) => {
                        judged.events += usize::from(!sent.is_in_maintenance);
                        let least_ms = floor_to(read_ms.map_or(time_ms, |w| w.max(time_ms)), PANE_MS) + PANE_MS;
                        if sent.boundary_ms < least_ms {
                            failed.get_or_insert(format!("the record at {offset} is visible at {sent:?}, before {least_ms}"));
                        }
                        // It met a watermark that is higher than its records explain.
                        let met_ms = sent.boundary_ms - PANE_MS;
                        if sent.boundary_ms > least_ms && met_ms > raised_ms {
                            raised_ms = met_ms;
                            judged.met += 1;
                            let is_incomplete = tracked.not_waited_for.contains(&met_ms);
                            judged.judge(silence.judge(source, offset), source, is_incomplete);
                        }
                    }
                    None => {
                        judged.late_dropped += 1;
                        let is_late_by = |w: Option<Ms>| w.is_some_and(|w| w - time_ms > lateness_ms);
                        if !is_late_by(read_ms) && !is_late_by(tracked.behind(offset)) {
                            failed.get_or_insert(format!(
                                "the record at {offset} is in no block, but was not late: {time_ms}, read {read_ms:?}, sent {:?}",
                                tracked.behind(offset)
                            ));
                        }
                        judged.met += usize::from(!is_late_by(read_ms));
                    }
                }
            }
        });
    });
    if let Some(left) = tracked.sent.iter().flatten().next() {
        failed.get_or_insert(format!("{left:?} is in a block, but not in the input, or it is in two blocks"));
    }
    failed.map_or(Ok(()), Err)
}

/// The longest silence of a partition since the last checked decision.
struct Silence {
    last_ms: Ms,
    longest_ms: Ms,
    idle_ms: Ms,
}

impl Silence {
    fn new(scenario: &Scenario) -> Silence {
        Silence { last_ms: scenario.begin_ms, longest_ms: 0, idle_ms: scenario.idle_ms }
    }

    fn record(&mut self, at_ms: Ms) {
        self.longest_ms = self.longest_ms.max(at_ms - self.last_ms);
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Checks that nothing arrived for `input.idle_timeout` before the partition was passed over.
    fn judge(&mut self, source: u32, offset: i64) -> Option<String> {
        let silence_ms = std::mem::take(&mut self.longest_ms);
        let what = || format!("input {source}: the record at {offset} met a decision after {silence_ms} ms");
        (silence_ms < self.idle_ms).then(what)
    }
}

/// Checks the decisions of a users task that reads the input itself: they are in the marks of its changelog.
fn judge_keyed(scenario: &Scenario, broker: &Broker, source: u32, judged: &mut Judged) {
    let mut route = route(scenario);
    let mut decisions = decisions(scenario, broker, source);
    judged.met += decisions.iter().filter(|(.., is_incomplete)| *is_incomplete).count();
    let (mut largest_ms, mut raised_ms) = (Ms::MIN, Ms::MIN);
    let mut silence = Silence::new(scenario);
    let batch = broker.partition(Place::Input(source)).ever();
    hand_over(Stream::Input(source), &batch, &mut |_, record| {
        silence.record(record.timestamp_ms.unwrap_or_default());
        let (mut has_met, mut is_incomplete_now) = (false, false);
        while let Some((_, to_ms, is_incomplete)) = decisions.first().copied().filter(|(at, ..)| *at <= record.offset) {
            decisions.pop_first();
            if to_ms > largest_ms.saturating_sub(OUT_OF_ORDERNESS_MS).max(raised_ms) {
                raised_ms = to_ms;
                is_incomplete_now |= is_incomplete;
                has_met = true;
            }
        }
        if has_met {
            judged.met += 1;
            judged.judge(silence.judge(source, record.offset), source, is_incomplete_now);
        }
        route.apply(source, record, |outcome: &Outcome<'_>| {
            largest_ms = largest_ms.max(outcome.timestamp_ms);
            judged.events += 1;
        });
    });
}
