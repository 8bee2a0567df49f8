//! The outbox of an Alertmanager: it groups by itself, and is told again and again of what fires.
//!
//! What it is not told of again is over for it, so its memory may be lost on either side. An end is told several times,
//! too: the next message of a group may come before the first of them.

use super::change::Member;
use super::grouped::Effects;
use super::items::Context;
use super::ledger::{Position, Source};
use super::message::{Standing, StandingAlert, What};
use super::news::News;
use super::words::Notice;
use crate::model::time::{MINUTE_MS, Ms};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Alerts of one request.
const BATCH: usize = 200;
/// An alert lives for this many intervals without being told again.
const LIVES_INTERVALS: Ms = 4;
/// How long an end is told again.
const END_TOLD_MS: Ms = 15 * MINUTE_MS;

pub struct Steady {
    /// By episode: a new one is another alert there.
    entries: BTreeMap<String, Entry>,
    resend_ms: Ms,
    /// Tries that failed one after the other.
    pub failures: u32,
    blocked_until_ms: Ms,
}

struct Entry {
    member: Member,
    first_sent_ms: Option<Ms>,
    next_ms: Ms,
    end_told_until_ms: Option<Ms>,
    in_flight: bool,
    /// A batch that it was in was refused: it is sent alone.
    is_alone: bool,
    refused: Option<u64>,
}

/// An alert of a request.
pub struct Sent {
    pub episode: String,
    pub news: Arc<News>,
    pub positions: Vec<Position>,
}

pub struct Batch {
    pub standing: Standing,
    pub sent: Vec<Sent>,
}

impl Steady {
    pub fn new(resend_ms: Ms) -> Steady {
        Steady { entries: BTreeMap::new(), resend_ms, failures: 0, blocked_until_ms: Ms::MIN }
    }

    /// The items that it still has to be told of.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.entries.values().map(|entry| entry.member.news.item.as_str())
    }

    /// The keys of tickets that it is still to be told of.
    pub fn untold_tickets(&self) -> impl Iterator<Item = &str> {
        let members = self.entries.values().map(|entry| &entry.member);
        members.filter(|member| member.is_untold_ticket()).map(|member| member.news.key.as_str())
    }

    pub fn take(&mut self, news: &Arc<News>, at: Option<Position>, written_ms: Ms, now_ms: Ms) {
        match self.entries.get_mut(&news.id) {
            Some(entry) => {
                entry.member.hear(Arc::clone(news), at, written_ms);
                entry.next_ms = now_ms;
            }
            None => self.put(Member::new(Arc::clone(news), at, written_ms), now_ms),
        }
    }

    /// What was told before a restart. Ends of the last minutes are told again.
    pub fn remember(&mut self, news: &Arc<News>, source: Source, written_ms: Ms, context: &Context<'_>) {
        if news.is_over() && written_ms + END_TOLD_MS < context.now_ms {
            self.entries.remove(&news.id);
            return;
        }
        let maybe_not = !news.is_over() && context.may_have_been_held_back(news, written_ms);
        let mut member = Member::remembered(Arc::clone(news), source, written_ms, maybe_not);
        member.heard = !maybe_not;
        self.put(member, context.now_ms);
    }

    /// It may not have been told before a restart.
    pub fn doubt(&mut self, episode: &str) {
        self.entries.get_mut(episode).into_iter().for_each(|entry| entry.member.doubt());
    }

    fn put(&mut self, member: Member, now_ms: Ms) {
        let entry = Entry {
            first_sent_ms: None,
            next_ms: now_ms,
            end_told_until_ms: None,
            in_flight: false,
            is_alone: false,
            refused: None,
            member,
        };
        self.entries.insert(entry.member.news.id.clone(), entry);
    }

    /// Whether something was not told yet that nothing holds back.
    pub fn waits(&self) -> bool {
        let is_refused = |entry: &Entry| entry.refused == Some(entry.member.news.seq);
        let mut entries = self.entries.values().filter(|entry| !entry.member.is_held_back && !is_refused(entry));
        entries.any(|entry| entry.member.change().is_some())
    }

    pub fn lose(&mut self, source: Source) {
        self.entries.retain(|_, entry| entry.member.source != Some(source));
    }

    pub fn tick(&mut self, context: &Context<'_>, effects: &mut Effects) -> Vec<Batch> {
        let now_ms = context.now_ms;
        if now_ms < self.blocked_until_ms {
            if !self.entries.is_empty() {
                effects.wake(self.blocked_until_ms);
            }
            return Vec::new();
        }
        self.entries.retain(|_, entry| entry.in_flight || !entry.is_done(context, effects));
        let (mut together, mut batches) = (Vec::new(), Vec::new());
        for (episode, entry) in self.entries.iter_mut().filter(|(_, entry)| !entry.in_flight) {
            if !entry.can_be_told(context, effects) {
                continue;
            }
            if entry.next_ms > now_ms {
                effects.wake(entry.next_ms);
                continue;
            }
            let one = entry.alert(episode, now_ms, self.resend_ms);
            if entry.is_alone { batches.push(batch(vec![one], now_ms)) } else { together.push(one) }
        }
        while !together.is_empty() {
            let rest = together.split_off(together.len().min(BATCH));
            batches.push(batch(std::mem::replace(&mut together, rest), now_ms));
        }
        batches
    }

    pub fn delivered(&mut self, sent: &[Sent], now_ms: Ms) {
        self.failures = 0;
        for Sent { episode, news, .. } in sent {
            let Some(entry) = self.entries.get_mut(episode) else { continue };
            entry.in_flight = false;
            // It knows of an end, too: it is told again.
            entry.member.delivered(news, What::Fired);
            let is_newer = entry.member.change().is_some();
            entry.next_ms = if is_newer { now_ms } else { now_ms + self.resend_ms };
        }
    }

    /// Everything waits: what is wrong with one request is wrong with all.
    pub fn failed(&mut self, sent: Vec<Sent>, until_ms: Ms) {
        self.failures = self.failures.saturating_add(1);
        self.blocked_until_ms = until_ms;
        for Sent { episode, positions, .. } in sent {
            if let Some(entry) = self.entries.get_mut(&episode) {
                entry.in_flight = false;
                entry.member.pending.extend(positions);
            }
        }
    }

    /// One alert that cannot be read refuses its whole batch: each is sent alone, once. Returns what is settled.
    pub fn refused(&mut self, sent: Vec<Sent>, now_ms: Ms) -> Vec<Position> {
        let is_one = sent.len() == 1;
        let mut settled = Vec::new();
        for Sent { episode, news, positions } in sent {
            let Some(entry) = self.entries.get_mut(&episode) else { continue };
            (entry.in_flight, entry.is_alone, entry.next_ms) = (false, true, now_ms);
            if is_one {
                entry.refused = Some(news.seq);
                entry.member.tell_of(&news);
                settled.extend(positions);
            } else {
                entry.member.pending.extend(positions);
            }
        }
        settled
    }
}

fn batch(all: Vec<(StandingAlert, Sent)>, at_ms: Ms) -> Batch {
    let (alerts, sent) = all.into_iter().unzip();
    Batch { standing: Standing { alerts, at_ms }, sent }
}

impl Entry {
    fn is_done(&mut self, context: &Context<'_>, effects: &mut Effects) -> bool {
        let member = &mut self.member;
        if !member.news.is_over() {
            return false;
        }
        let is_told = self.end_told_until_ms.is_some_and(|until_ms| until_ms <= context.now_ms);
        let is_unheard =
            !member.may_know() || !context.receiver.sends_resolved || self.refused == Some(member.news.seq);
        if is_unheard && !is_told && !member.may_know() {
            let (receiver, title) = (context.receiver.name.clone(), member.news.title.clone());
            effects.notices.push(Notice::EndedUntold { receiver, title });
        }
        if is_told || is_unheard {
            effects.settled.append(&mut member.pending);
        }
        is_told || is_unheard
    }

    /// Whether it may be told, now or later; what holds it back is said.
    fn can_be_told(&mut self, context: &Context<'_>, effects: &mut Effects) -> bool {
        let member = &mut self.member;
        if self.refused == Some(member.news.seq) {
            return false;
        }
        let knows = member.heard || (member.news.is_over() && member.may_know());
        if !knows && let Some((why, until_ms)) = context.held_back(&member.news) {
            if !std::mem::replace(&mut member.is_held_back, true) {
                effects.notices.push(Notice::held_back(&context.receiver.name, &member.news, &why));
            }
            until_ms.into_iter().for_each(|until_ms| effects.wake(until_ms));
            effects.settled.append(&mut member.pending);
            return false;
        }
        member.is_held_back = false;
        // It is told how things are: that is never too old. But a restart need not begin with it.
        if context.now_ms - member.fresh_ms > context.plan.max_age_ms && member.change() != Some(What::Ended) {
            effects.settled.append(&mut member.pending);
        }
        true
    }

    fn alert(&mut self, episode: &str, now_ms: Ms, resend_ms: Ms) -> (StandingAlert, Sent) {
        let news = Arc::clone(&self.member.news);
        // The time of the first sending: what began long ago would be notified at once, without waiting for its like.
        let first_ms = *self.first_sent_ms.get_or_insert(now_ms);
        let ends_ms = if news.is_over() {
            self.end_told_until_ms.get_or_insert(now_ms + END_TOLD_MS);
            news.ended_at.map_or(now_ms, |at| at.0).min(now_ms - 1)
        } else {
            now_ms + LIVES_INTERVALS * resend_ms
        };
        self.in_flight = true;
        let positions = std::mem::take(&mut self.member.pending);
        let alert = StandingAlert { news: Arc::clone(&news), starts_ms: first_ms.min(ends_ms), ends_ms };
        (alert, Sent { episode: episode.to_owned(), news, positions })
    }
}
