//! The outbox of a receiver that is told in messages: news is grouped, waits for its like, and is capped.
//!
//! A group has one message on its way at most, so that a receiver hears the end after the beginning. Where the cap leaves
//! fewer messages than there are groups, the last one tells of all the others, which stay together from then on: nothing
//! waits in a queue until nobody cares.

use super::change::Member;
use super::field;
use super::items::Context;
use super::ledger::{Position, Source};
use super::message::{Change, Message, What};
use super::news::{News, Severity, short_hash};
use super::plan::Route;
use super::words::Notice;
use crate::model::time::{MINUTE_MS, Ms};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A message, the positions of what it tells, and until when it is worth telling.
type Drafted = (Message, Vec<(String, Position)>, Ms);

/// A group's route, and the values it is grouped by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    Of(usize, Vec<Option<String>>),
    /// What the cap left no messages of its own.
    Overflow,
}

const OVERFLOW_INTERVAL_MS: Ms = MINUTE_MS;

#[derive(Default)]
pub struct Grouped {
    groups: BTreeMap<GroupKey, Group>,
    /// The group of each item that came by a route.
    places: BTreeMap<(String, usize), GroupKey>,
    /// When the last messages were sent.
    sent: VecDeque<Ms>,
}

struct Group {
    dedup_key: String,
    labels: BTreeMap<String, String>,
    because: String,
    wait_ms: Ms,
    interval_ms: Ms,
    members: BTreeMap<String, Member>,
    last_sent_ms: Option<Ms>,
    in_flight: bool,
}

/// A message to send, and the records that it settles.
pub struct Draft {
    pub group: GroupKey,
    pub message: Message,
    /// With the items that they are about.
    pub positions: Vec<(String, Position)>,
    /// Until when it is worth trying.
    pub expires_ms: Ms,
}

/// What an outbox decided.
#[derive(Default)]
pub struct Effects {
    pub settled: Vec<Position>,
    pub notices: Vec<Notice>,
    /// When to look again.
    pub wake_ms: Option<Ms>,
}

impl Effects {
    pub fn wake(&mut self, at_ms: Ms) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |wake_ms| wake_ms.min(at_ms)));
    }
}

/// How long an end is tried.
pub const END_TRIES_MS: Ms = 24 * 60 * MINUTE_MS;

impl Grouped {
    /// Whether somebody still has to hear of this item.
    pub fn holds(&self, item: &str) -> bool {
        self.places.range((item.to_owned(), 0)..=(item.to_owned(), usize::MAX)).next().is_some()
    }

    /// News came by a route. `at`: the record that waits for it to be told, and whether it may have been before a restart.
    pub fn take(
        &mut self,
        place: usize,
        news: &Arc<News>,
        at: Option<(Position, bool)>,
        written_ms: Ms,
        context: &Context<'_>,
    ) {
        let (at, may_have_been_told) = at.unzip();
        let members = &mut self.group_of(place, news, context).members;
        let member = match members.entry(news.item.clone()) {
            Entry::Occupied(member) => {
                let member = member.into_mut();
                member.hear(Arc::clone(news), at, written_ms);
                member
            }
            Entry::Vacant(place) => place.insert(Member::new(Arc::clone(news), at, written_ms)),
        };
        member.may_have_been_told |= may_have_been_told.unwrap_or(false);
    }

    /// What was told before a restart.
    pub fn remember(&mut self, place: usize, news: &Arc<News>, source: Source, written_ms: Ms, context: &Context<'_>) {
        let maybe_not = context.may_have_been_held_back(news, written_ms);
        let group = self.group_of(place, news, context);
        let member = Member::remembered(Arc::clone(news), source, written_ms, maybe_not);
        group.members.insert(news.item.clone(), member);
    }

    /// It may not have been told before a restart.
    pub fn doubt(&mut self, item: &str) {
        let members = self.groups.values_mut().filter_map(|group| group.members.get_mut(item));
        members.for_each(Member::doubt);
    }

    /// It ended before a restart, and that was told.
    pub fn forget(&mut self, item: &str) {
        let range = (item.to_owned(), 0)..=(item.to_owned(), usize::MAX);
        let places: Vec<(String, usize)> = self.places.range(range).map(|(place, _)| place.clone()).collect();
        for place in places {
            if let Some(key) = self.places.remove(&place)
                && let Some(group) = self.groups.get_mut(&key)
            {
                group.members.remove(item);
            }
        }
    }

    pub fn lose(&mut self, source: Source) {
        let of_it = |member: &Member| member.source == Some(source);
        let members = self.groups.values().flat_map(|group| &group.members);
        let gone: Vec<String> = members.filter(|(_, member)| of_it(member)).map(|(name, _)| name.clone()).collect();
        gone.iter().for_each(|item| self.forget(item));
    }

    fn group_of(&mut self, place: usize, news: &News, context: &Context<'_>) -> &mut Group {
        let route = &context.plan.routes[place];
        let key = self.places.entry((news.item.clone(), place)).or_insert_with(|| {
            let values = route.group_by.iter().map(|name| field::of(news, name).map(str::to_owned));
            GroupKey::Of(place, values.collect())
        });
        self.groups.entry(key.clone()).or_insert_with(|| Group::of(context, place, route, news))
    }

    /// Whether something waits for its time.
    pub fn waits(&self) -> bool {
        self.groups.values().flat_map(|group| group.members.values()).any(|member| member.ready_ms.is_some())
    }

    /// The keys of tickets that it is still to be told of.
    pub fn untold_tickets(&self) -> impl Iterator<Item = &str> {
        let members = self.groups.values().flat_map(|group| group.members.values());
        members.filter(|member| member.is_untold_ticket()).map(|member| member.news.key.as_str())
    }

    /// Looks at every group, and returns what is to be sent now.
    pub fn tick(&mut self, context: &Context<'_>, effects: &mut Effects) -> Vec<Draft> {
        let mut due: Vec<(Severity, Ms, GroupKey)> = Vec::new();
        for (key, group) in self.groups.iter_mut().filter(|(_, group)| !group.in_flight) {
            let Some((severity, ready_ms)) = group.look(context, effects) else { continue };
            let due_ms = group.due_ms(ready_ms);
            if due_ms <= context.now_ms { due.push((severity, ready_ms, key.clone())) } else { effects.wake(due_ms) }
        }
        let drafts = if due.is_empty() { Vec::new() } else { self.send(due, context, effects) };
        self.clean();
        drafts
    }

    /// Pages first, then who waited longest.
    fn send(
        &mut self,
        mut due: Vec<(Severity, Ms, GroupKey)>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Vec<Draft> {
        due.sort();
        let cap = context.receiver.cap;
        while self.sent.front().is_some_and(|at_ms| at_ms + cap.per_ms <= context.now_ms) {
            self.sent.pop_front();
        }
        let free = cap.messages.saturating_sub(self.sent.len());
        if free == 0 {
            effects.wake(self.sent.front().map_or(context.now_ms, |first_ms| first_ms + cap.per_ms));
            return Vec::new();
        }
        let mut keys: Vec<GroupKey> = due.into_iter().map(|(.., key)| key).collect();
        let is_overflow_busy = self.groups.get(&GroupKey::Overflow).is_some_and(|group| group.in_flight);
        if keys.len() > free && !is_overflow_busy {
            let mut rest = keys.split_off(free - 1);
            let is_due = keys.contains(&GroupKey::Overflow) || rest.contains(&GroupKey::Overflow);
            keys.retain(|key| *key != GroupKey::Overflow);
            if self.gather(&rest, context, effects) || is_due {
                rest = vec![GroupKey::Overflow];
            }
            keys.extend(rest);
        }
        // What is left waits for the next free message; nothing of it is new to the receiver, or an answer comes first.
        keys.truncate(free);
        let drafts: Vec<Draft> = keys.into_iter().filter_map(|key| self.draft(key, context)).collect();
        self.sent.extend(drafts.iter().map(|_| context.now_ms));
        self.sent.front().into_iter().for_each(|first_ms| effects.wake(first_ms + cap.per_ms));
        drafts
    }

    /// Puts what begins in these groups into the one that tells of all of them; whether there was any. What a group told
    /// of before stays in it: who knows the group waits for its end.
    fn gather(&mut self, keys: &[GroupKey], context: &Context<'_>, effects: &mut Effects) -> bool {
        let mut moved = Vec::new();
        for key in keys.iter().filter(|key| **key != GroupKey::Overflow) {
            let Some(group) = self.groups.get_mut(key) else { continue };
            let ready: Vec<String> =
                group.members.iter().filter(|(_, m)| m.begins()).map(|(name, _)| name.clone()).collect();
            moved.extend(ready.into_iter().filter_map(|name| Some((key.clone(), group.members.remove_entry(&name)?))));
        }
        if moved.is_empty() {
            return false;
        }
        let receiver = context.receiver.name.clone();
        effects.notices.push(Notice::Capped { receiver, groups: keys.len(), items: moved.len() });
        let overflow = self.groups.entry(GroupKey::Overflow).or_insert_with(|| Group::overflow(context));
        for (from, (name, mut member)) in moved {
            let range = (name.clone(), 0)..=(name.clone(), usize::MAX);
            for (_, key) in self.places.range_mut(range).filter(|(_, key)| **key == from) {
                *key = GroupKey::Overflow;
            }
            // The same item may have come by two routes.
            if let Some(other) = overflow.members.remove(&name) {
                member.pending.extend(other.pending);
                member.heard |= other.heard;
            }
            overflow.members.insert(name, member);
        }
        true
    }

    fn draft(&mut self, key: GroupKey, context: &Context<'_>) -> Option<Draft> {
        let group = self.groups.get_mut(&key)?;
        let (message, positions, expires_ms) = group.message(key == GroupKey::Overflow, context)?;
        Some(Draft { group: key, message, positions, expires_ms })
    }

    /// The receiver has taken a message.
    pub fn delivered(&mut self, key: &GroupKey, message: &Message) {
        self.answered(key, message, |member, change| member.delivered(&change.news, change.what));
    }

    /// It will never be taken. `ends_stay`: that something is over is tried again.
    pub fn dropped(&mut self, key: &GroupKey, message: &Message, ends_stay: bool) {
        self.answered(key, message, |member, change| {
            if change.what != What::Ended || !ends_stay {
                member.tell_of(&change.news);
            }
        });
    }

    /// A record stays open, because it has to be told again. `false`: nobody waits for it any more.
    pub fn reopen(&mut self, key: &GroupKey, item: &str, at: Position) -> bool {
        let member = self.groups.get_mut(key).and_then(|group| group.members.get_mut(item));
        let Some(member) = member.filter(|member| member.owes_end()) else { return false };
        member.pending.push(at);
        true
    }

    fn answered(&mut self, key: &GroupKey, message: &Message, tell: impl Fn(&mut Member, &Change)) {
        let Some(group) = self.groups.get_mut(key) else { return };
        group.in_flight = false;
        for change in &message.changes {
            if let Some(member) = group.members.get_mut(&change.news.item) {
                tell(member, change);
            }
        }
        self.clean();
    }

    /// Forgets members that are over and told, and groups without members.
    fn clean(&mut self) {
        for (key, group) in self.groups.iter_mut().filter(|(_, group)| !group.in_flight) {
            let done = group.members.iter().filter(|(_, member)| member.is_done()).map(|(name, _)| name.clone());
            for name in done.collect::<Vec<_>>() {
                group.members.remove(&name);
                let range = (name.clone(), 0)..=(name.clone(), usize::MAX);
                let places: Vec<(String, usize)> =
                    self.places.range(range).filter(|(_, of)| *of == key).map(|(place, _)| place.clone()).collect();
                places.iter().for_each(|place| drop(self.places.remove(place)));
            }
        }
        self.groups.retain(|_, group| group.in_flight || !group.members.is_empty());
    }
}

impl Group {
    fn of(context: &Context<'_>, place: usize, route: &Route, news: &News) -> Group {
        let value = |name: &String| Some((name.clone(), field::of(news, name)?.to_owned()));
        let labels: BTreeMap<String, String> = route.group_by.iter().filter_map(value).collect();
        let dedup_key = match route.group_by.as_slice() {
            // Each alert alone: its own key.
            [only] if only == "dedup_key" => news.item.clone(),
            _ => {
                let matchers: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
                short_hash(&format!("{}|{matchers:?}|{labels:?}", context.receiver.name))
            }
        };
        Group {
            dedup_key,
            labels,
            because: route.describe(place),
            wait_ms: route.group_wait_ms,
            interval_ms: route.group_interval_ms,
            members: BTreeMap::new(),
            last_sent_ms: None,
            in_flight: false,
        }
    }

    fn overflow(context: &Context<'_>) -> Group {
        let cap = context.receiver.cap;
        let per = crate::model::duration::print(cap.per_ms);
        Group {
            dedup_key: short_hash(&format!("{}|overflow", context.receiver.name)),
            labels: BTreeMap::new(),
            because: format!("more than {} messages per {per}", cap.messages),
            wait_ms: 0,
            interval_ms: OVERFLOW_INTERVAL_MS,
            members: BTreeMap::new(),
            last_sent_ms: None,
            in_flight: false,
        }
    }

    fn due_ms(&self, ready_ms: Ms) -> Ms {
        let waited_ms = ready_ms + self.wait_ms;
        self.last_sent_ms.map_or(waited_ms, |last_ms| waited_ms.max(last_ms + self.interval_ms))
    }

    /// What can be told: the worst severity, and since when. What cannot is put aside, with the reason.
    fn look(&mut self, context: &Context<'_>, effects: &mut Effects) -> Option<(Severity, Ms)> {
        let mut ready: Option<(Severity, Ms)> = None;
        for member in self.members.values_mut() {
            if let Some(ready_ms) = look_at(member, context, effects) {
                let (severity, since_ms) = ready.unwrap_or((member.news.severity, ready_ms));
                ready = Some((severity.min(member.news.severity), since_ms.min(ready_ms)));
            }
        }
        ready
    }

    fn message(&mut self, is_overflow: bool, context: &Context<'_>) -> Option<Drafted> {
        let (mut changes, mut positions, mut fresh_ms) = (Vec::new(), Vec::new(), None::<Ms>);
        let mut firing = 0;
        for (name, member) in &mut self.members {
            let change = member.change().filter(|_| member.ready_ms.is_some());
            let fires = change.map_or(member.heard, |what| what != What::Ended);
            firing += usize::from(fires);
            let Some(what) = change else { continue };
            member.ready_ms = None;
            positions.extend(member.pending.drain(..).map(|at| (name.clone(), at)));
            if what != What::Ended {
                fresh_ms = fresh_ms.max(Some(member.fresh_ms));
            }
            changes.push(Change { what, news: Arc::clone(member.news_to_tell()) });
        }
        if changes.is_empty() {
            return None;
        }
        changes.sort_by(|a, b| {
            let order = |change: &Change| (change.what == What::Ended, change.news.severity, change.news.started_at);
            order(a).cmp(&order(b)).then_with(|| a.news.item.cmp(&b.news.item))
        });
        self.in_flight = true;
        self.last_sent_ms = Some(context.now_ms);
        let message = Message {
            id: Message::id_of(&self.dedup_key, &changes, firing, context.now_ms),
            dedup_key: self.dedup_key.clone(),
            group: self.labels.clone(),
            because: self.because.clone(),
            changes,
            firing,
            is_overflow,
            at_ms: context.now_ms,
        };
        let expires_ms = fresh_ms.map_or(context.now_ms + END_TRIES_MS, |fresh_ms| fresh_ms + context.plan.max_age_ms);
        Some((message, positions, expires_ms))
    }
}

/// Since when this can be told; `None`: it cannot, or there is nothing to tell.
fn look_at(member: &mut Member, context: &Context<'_>, effects: &mut Effects) -> Option<Ms> {
    member.look_again();
    let what = member.change()?;
    let receiver = &context.receiver.name;
    let is_news_to_them = what != What::Ended || !member.waits_for_end();
    if is_news_to_them && let Some((why, until_ms)) = context.held_back(&member.news) {
        if !std::mem::replace(&mut member.is_held_back, true) {
            effects.notices.push(Notice::held_back(receiver, &member.news, &why));
        }
        until_ms.into_iter().for_each(|until_ms| effects.wake(until_ms));
        if context.receiver.sends_resolved && member.tell_missed_end() {
            return Some(*member.ready_ms.get_or_insert(context.now_ms));
        }
        effects.settled.append(&mut member.pending);
        member.ready_ms = None;
        if what != What::Fired {
            member.tell();
        }
        return None;
    }
    if std::mem::take(&mut member.is_held_back) {
        member.fresh_ms = context.now_ms;
    }
    let age_ms = context.now_ms - member.fresh_ms;
    let is_too_old = what != What::Ended && age_ms > context.plan.max_age_ms;
    if is_too_old && context.receiver.sends_resolved && member.tell_missed_end() {
        return Some(*member.ready_ms.get_or_insert(context.now_ms));
    }
    if is_too_old {
        effects.notices.push(Notice::too_old(receiver, &member.news, age_ms));
        effects.settled.append(&mut member.pending);
        member.tell();
        return None;
    }
    if what == What::Ended && !context.receiver.sends_resolved {
        effects.settled.append(&mut member.pending);
        member.tell();
        return None;
    }
    Some(*member.ready_ms.get_or_insert(context.now_ms))
}
