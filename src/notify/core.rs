//! The decisions: what was published, what was answered and what time it is become what to send.

use super::backoff;
use super::grouped::{Draft, END_TRIES_MS, Effects, GroupKey, Grouped};
use super::items::{Context, Items};
use super::ledger::{Ledger, Position, Resume, Source};
use super::message::{Content, Message, What};
use super::news::{Kind, News};
use super::plan::Plan;
use super::receiver::{Channel, Receiver};
use super::silence::Silence;
use super::steady::{Batch, Sent, Steady};
use super::words::Notice;
use crate::model::time::Ms;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A partition is ours from now on; records before `done` were told before.
    Owned(Source, i64),
    /// A partition is another instance's now.
    Lost(Source),
    News {
        news: Box<News>,
        at: Position,
        /// When the record was written.
        written_ms: Ms,
    },
    /// A record without news.
    Passed(Position),
    Silence(Silence),
    SilenceGone(String),
    Answer {
        delivery: u64,
        outcome: Outcome,
    },
    /// Time went by.
    Tick,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// It will never be taken.
    Refused(String),
    /// It may be taken later; a receiver may say when.
    TryAgain {
        why: String,
        after_ms: Option<Ms>,
    },
}

#[derive(Clone, Debug)]
pub enum Action {
    Send { delivery: u64, receiver: usize, content: Arc<Content> },
    Say(Notice),
}

/// All that `notify` knows. `decide` is its only way in.
pub struct Core {
    plan: Arc<Plan>,
    /// For chance in waiting times.
    seed: u64,
    silences: BTreeMap<String, Silence>,
    items: Items,
    /// One a receiver.
    outboxes: Vec<Outbox>,
    ledger: Ledger,
    deliveries: BTreeMap<u64, Delivery>,
    next_delivery: u64,
    wake_ms: Option<Ms>,
}

enum Outbox {
    Grouped(Grouped),
    Steady(Steady),
}

/// What is on its way, or waits for another try.
struct Delivery {
    receiver: usize,
    content: Arc<Content>,
    of: Of,
    attempt: u32,
    retry_ms: Option<Ms>,
    expires_ms: Ms,
}

enum Of {
    Group(GroupKey, Vec<(String, Position)>),
    Batch(Vec<Sent>),
}

impl Core {
    pub fn new(plan: Arc<Plan>, seed: u64) -> Core {
        let outbox = |receiver: &Receiver| match receiver.channel {
            Channel::Alertmanager { resend_ms } => Outbox::Steady(Steady::new(resend_ms)),
            _ => Outbox::Grouped(Grouped::default()),
        };
        Core {
            outboxes: plan.receivers.iter().map(outbox).collect(),
            plan,
            seed,
            silences: BTreeMap::new(),
            items: Items::default(),
            ledger: Ledger::default(),
            deliveries: BTreeMap::new(),
            next_delivery: 0,
            wake_ms: None,
        }
    }

    /// What follows from an event. Messages are decided at ticks and answers.
    pub fn decide(&mut self, event: Event, now_ms: Ms) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Owned(source, done) => self.ledger.own(source, done, now_ms),
            Event::Lost(source) => self.lose(source),
            Event::Passed(at) => self.ledger.read(at),
            Event::News { news, at, written_ms } => self.hear(*news, at, written_ms, now_ms, &mut actions),
            Event::Silence(silence) => drop(self.silences.insert(silence.id.clone(), silence)),
            Event::SilenceGone(id) => drop(self.silences.remove(&id)),
            Event::Answer { delivery, outcome } => {
                self.answered(delivery, outcome, now_ms, &mut actions);
                self.tick(now_ms, &mut actions);
            }
            Event::Tick => self.tick(now_ms, &mut actions),
        }
        actions
    }

    /// When something is due, if nothing happens before: then it wants a tick.
    pub fn wake_ms(&self) -> Option<Ms> {
        self.wake_ms
    }

    /// Where a restart would begin, of each partition.
    pub fn resume(&self) -> Vec<(Source, Resume)> {
        let resume = |(source, done): (Source, i64)| {
            let state_from = self.items.state_from(source).map_or(done, |first| first.min(done));
            (source, Resume { done, state_from })
        };
        self.ledger.done().map(resume).collect()
    }

    /// Requests without an answer, and records that somebody still has to hear of.
    pub fn open(&self) -> (usize, usize) {
        (self.deliveries.len(), self.ledger.open())
    }

    /// Whether somebody is yet to be told of something, now or soon.
    pub fn has_to_tell(&self) -> bool {
        let waits = |outbox: &Outbox| match outbox {
            Outbox::Grouped(grouped) => grouped.waits(),
            Outbox::Steady(steady) => steady.waits(),
        };
        self.open() != (0, 0) || self.outboxes.iter().any(waits)
    }

    /// Items that fire.
    pub fn firing(&self) -> usize {
        self.items.firing()
    }

    fn hear(&mut self, mut news: News, at: Position, written_ms: Ms, now_ms: Ms, actions: &mut Vec<Action>) {
        let is_history = self.ledger.is_history(at);
        self.ledger.read(at);
        let known = self.items.get(&news.item);
        let is_open = known.is_some_and(|item| !item.news.is_over());
        if news.is_over() && !is_open && (news.kind != Kind::Alert || is_history) {
            return;
        }
        if let Some(item) = known.filter(|_| is_open) {
            if news.kind == Kind::Canary && news.is_over() {
                // What ends a failure may be of a new test.
                (news.id, news.seq) = (item.news.id.clone(), item.news.seq + 1);
            }
            if news.version() == item.news.version() {
                // New figures, which nobody is told of; but it goes on.
                self.items.put(Arc::new(news), Some(at), written_ms);
                return;
            }
        }
        let news = Arc::new(news);
        self.items.put(Arc::clone(&news), Some(at), written_ms);
        if is_history {
            self.remember(&news, at.source, written_ms, now_ms);
        } else {
            self.tell(&news, Some(at), written_ms, now_ms, actions);
        }
        let is_of_before = is_history || self.ledger.may_have_been_read(at, written_ms);
        if is_of_before && news.is_page() && !news.is_over() {
            self.doubt_tickets(&news, written_ms);
        }
    }

    /// Gives news to everybody whom a route leads to.
    fn tell(&mut self, news: &Arc<News>, at: Option<Position>, written_ms: Ms, now_ms: Ms, actions: &mut Vec<Action>) {
        let routes = self.plan.routes_of(news);
        if routes.is_empty() {
            actions.push(Action::Say(Notice::NoRoute { title: news.title.clone() }));
        }
        let grouped_at = at.map(|at| (at, self.ledger.may_have_been_told(at, written_ms)));
        let mut steady_done = Vec::new();
        for place in routes {
            let receiver = self.plan.routes[place].receiver;
            let context = context(&self.plan, &self.silences, &self.items, receiver, now_ms);
            match &mut self.outboxes[receiver] {
                Outbox::Grouped(grouped) => grouped.take(place, news, grouped_at, written_ms, &context),
                // It has one entry an episode, by whatever route.
                Outbox::Steady(_) if steady_done.contains(&receiver) => continue,
                Outbox::Steady(steady) => {
                    steady_done.push(receiver);
                    steady.take(news, at, written_ms, now_ms);
                }
            }
            at.into_iter().for_each(|at| self.ledger.hold(at));
        }
    }

    /// It was told before a restart.
    fn remember(&mut self, news: &Arc<News>, source: Source, written_ms: Ms, now_ms: Ms) {
        for place in self.plan.routes_of(news) {
            let receiver = self.plan.routes[place].receiver;
            let context = context(&self.plan, &self.silences, &self.items, receiver, now_ms);
            match &mut self.outboxes[receiver] {
                Outbox::Grouped(grouped) if news.is_over() => grouped.forget(&news.item),
                Outbox::Grouped(grouped) => grouped.remember(place, news, source, written_ms, &context),
                Outbox::Steady(steady) => steady.remember(news, source, written_ms, &context),
            }
        }
    }

    /// A page that came soon after its ticket, before a restart, may have kept the ticket from being told. So may a
    /// page that is still to be told of.
    fn doubt_tickets(&mut self, page: &News, written_ms: Ms) {
        for ticket in self.items.tickets_under(page, written_ms - self.plan.max_age_ms) {
            for outbox in &mut self.outboxes {
                match outbox {
                    Outbox::Grouped(grouped) => grouped.doubt(&ticket.item),
                    Outbox::Steady(steady) => steady.doubt(&ticket.id),
                }
            }
        }
    }

    fn lose(&mut self, source: Source) {
        self.ledger.forget(source);
        self.items.lose(source);
        for outbox in &mut self.outboxes {
            match outbox {
                Outbox::Grouped(grouped) => grouped.lose(source),
                Outbox::Steady(steady) => steady.lose(source),
            }
        }
    }

    fn tick(&mut self, now_ms: Ms, actions: &mut Vec<Action>) {
        for end in self.items.canaries_gone(now_ms) {
            let end = Arc::new(end);
            self.items.put(Arc::clone(&end), None, now_ms);
            self.tell(&end, None, now_ms, now_ms, actions);
        }
        let mut effects = Effects::default();
        self.items.next_gone_ms().into_iter().for_each(|at_ms| effects.wake(at_ms));
        self.retry(now_ms, &mut effects, actions);
        let mut new = Vec::new();
        for (receiver, outbox) in self.outboxes.iter_mut().enumerate() {
            let context = context(&self.plan, &self.silences, &self.items, receiver, now_ms);
            match outbox {
                Outbox::Grouped(grouped) => {
                    new.extend(grouped.tick(&context, &mut effects).into_iter().map(|draft| of_draft(receiver, draft)));
                }
                Outbox::Steady(steady) => {
                    let batches = steady.tick(&context, &mut effects).into_iter();
                    new.extend(batches.map(|batch| of_batch(receiver, batch)));
                }
            }
        }
        for delivery in new {
            self.next_delivery += 1;
            actions.push(send(self.next_delivery, &delivery));
            self.deliveries.insert(self.next_delivery, delivery);
        }
        effects.settled.into_iter().for_each(|at| self.ledger.settle(at));
        actions.extend(effects.notices.into_iter().map(Action::Say));
        self.wake_ms = effects.wake_ms;
        let outboxes = &self.outboxes;
        if self.items.has_ended() {
            let steady: BTreeSet<&str> = outboxes.iter().flat_map(Outbox::steady_items).collect();
            let untold: BTreeSet<&str> = outboxes.iter().flat_map(Outbox::untold_tickets).collect();
            self.items.sweep(|news| {
                let (item, hid) = (news.item.as_str(), news.is_page() && untold.contains(news.key.as_str()));
                hid || steady.contains(item) || outboxes.iter().any(|outbox| outbox.holds(item))
            });
        }
    }

    /// Sends again what has waited long enough.
    fn retry(&mut self, now_ms: Ms, effects: &mut Effects, actions: &mut Vec<Action>) {
        for (number, delivery) in &mut self.deliveries {
            match delivery.retry_ms {
                Some(at_ms) if at_ms <= now_ms => {
                    delivery.retry_ms = None;
                    actions.push(send(*number, delivery));
                }
                Some(at_ms) => effects.wake(at_ms),
                None => {}
            }
        }
    }

    fn answered(&mut self, number: u64, outcome: Outcome, now_ms: Ms, actions: &mut Vec<Action>) {
        let Some(delivery) = self.deliveries.remove(&number) else { return };
        match outcome {
            Outcome::Delivered => self.settle(delivery, now_ms, Done::Delivered),
            Outcome::Refused(why) => {
                let is_alone = !matches!(&delivery.of, Of::Batch(sent) if sent.len() > 1);
                if is_alone {
                    let receiver = &self.plan.receivers[delivery.receiver].name;
                    actions.push(Action::Say(Notice::refused(receiver, &delivery.content, &why)));
                }
                self.settle(delivery, now_ms, Done::Refused);
            }
            Outcome::TryAgain { why, after_ms } => self.wait(number, delivery, why, after_ms, now_ms, actions),
        }
    }

    fn wait(
        &mut self,
        number: u64,
        mut delivery: Delivery,
        why: String,
        after_ms: Option<Ms>,
        now_ms: Ms,
        actions: &mut Vec<Action>,
    ) {
        let receiver = self.plan.receivers[delivery.receiver].name.clone();
        let title = delivery.content.title();
        if let Of::Batch(sent) = delivery.of {
            if let Outbox::Steady(steady) = &mut self.outboxes[delivery.receiver] {
                let wait_ms = backoff::wait_ms(self.seed, number, steady.failures, after_ms);
                steady.failed(sent, now_ms + wait_ms);
                actions.push(Action::Say(Notice::Waits { receiver, title, why, wait_ms }));
            }
            return;
        }
        let wait_ms = backoff::wait_ms(self.seed, number, delivery.attempt, after_ms);
        if now_ms + wait_ms > delivery.expires_ms {
            actions.push(Action::Say(Notice::GivenUp { receiver, title, why }));
            self.settle(delivery, now_ms, Done::GivenUp);
            return;
        }
        actions.push(Action::Say(Notice::Waits { receiver, title, why, wait_ms }));
        delivery.attempt += 1;
        delivery.retry_ms = Some(now_ms + wait_ms);
        self.deliveries.insert(number, delivery);
    }

    /// A delivery is over, one way or another.
    fn settle(&mut self, delivery: Delivery, now_ms: Ms, done: Done) {
        let positions = match (delivery.of, &mut self.outboxes[delivery.receiver], &*delivery.content) {
            (Of::Group(key, positions), Outbox::Grouped(grouped), Content::Message(message)) => {
                // An end that was tried with news that grew too old is tried alone, and its record stays open.
                let ends_stay = done == Done::GivenUp && tells_news(message);
                match done {
                    Done::Delivered => grouped.delivered(&key, message),
                    Done::Refused | Done::GivenUp => grouped.dropped(&key, message, ends_stay),
                }
                let mut is_settled = |item: &str, at| !ends_stay || !grouped.reopen(&key, item, at);
                positions.into_iter().filter(|(item, at)| is_settled(item, *at)).map(|(_, at)| at).collect()
            }
            (Of::Batch(sent), Outbox::Steady(steady), _) if done == Done::Delivered => {
                steady.delivered(&sent, now_ms);
                sent.into_iter().flat_map(|one| one.positions).collect()
            }
            (Of::Batch(sent), Outbox::Steady(steady), _) => steady.refused(sent, now_ms),
            _ => Vec::new(),
        };
        positions.into_iter().for_each(|at| self.ledger.settle(at));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Delivered,
    Refused,
    GivenUp,
}

impl Outbox {
    fn holds(&self, item: &str) -> bool {
        matches!(self, Outbox::Grouped(grouped) if grouped.holds(item))
    }

    /// The keys of tickets that are still to be told of: who starts anew has to see the pages that hid them.
    fn untold_tickets(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Outbox::Grouped(grouped) => Box::new(grouped.untold_tickets()),
            Outbox::Steady(steady) => Box::new(steady.untold_tickets()),
        }
    }

    fn steady_items(&self) -> impl Iterator<Item = &str> {
        let steady = match self {
            Outbox::Steady(steady) => Some(steady),
            Outbox::Grouped(_) => None,
        };
        steady.into_iter().flat_map(Steady::items)
    }
}

fn tells_news(message: &Message) -> bool {
    message.changes.iter().any(|change| change.what != What::Ended)
}

fn context<'a>(
    plan: &'a Plan,
    silences: &'a BTreeMap<String, Silence>,
    items: &'a Items,
    receiver: usize,
    now_ms: Ms,
) -> Context<'a> {
    Context { now_ms, plan, receiver: &plan.receivers[receiver], silences, items }
}

fn of_draft(receiver: usize, draft: Draft) -> Delivery {
    let Draft { group, message, positions, expires_ms } = draft;
    let content = Arc::new(Content::Message(message));
    Delivery { receiver, content, of: Of::Group(group, positions), attempt: 0, retry_ms: None, expires_ms }
}

fn of_batch(receiver: usize, batch: Batch) -> Delivery {
    let expires_ms = batch.standing.at_ms + END_TRIES_MS;
    let content = Arc::new(Content::Standing(batch.standing));
    Delivery { receiver, content, of: Of::Batch(batch.sent), attempt: 0, retry_ms: None, expires_ms }
}

fn send(number: u64, delivery: &Delivery) -> Action {
    Action::Send { delivery: number, receiver: delivery.receiver, content: Arc::clone(&delivery.content) }
}
