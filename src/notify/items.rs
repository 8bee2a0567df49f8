//! What goes on, and what holds it back: silences, and a page of the same key over its ticket.

use super::ledger::{Position, Source};
use super::news::{Kind, News};
use super::plan::Plan;
use super::receiver::Receiver;
use super::silence::Silence;
use crate::model::time::{HOUR_MS, Moment, Ms};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A canary has a record a minute while it has requests: after this long without one, the release is over.
const CANARY_GONE_MS: Ms = HOUR_MS;

pub struct Item {
    pub news: Arc<News>,
    /// The first record of its episode, or of an earlier one that a restart has to see.
    pub first: Option<Position>,
    pub written_ms: Ms,
}

#[derive(Default)]
pub struct Items {
    by_name: BTreeMap<String, Item>,
    /// The pages that fire, by key.
    pages: BTreeMap<String, BTreeSet<String>>,
    over: BTreeSet<String>,
}

impl Items {
    pub fn get(&self, name: &str) -> Option<&Item> {
        self.by_name.get(name)
    }

    /// The latest of an item.
    pub fn put(&mut self, news: Arc<News>, at: Option<Position>, written_ms: Ms) {
        let before = self.by_name.remove(&news.item);
        // What is over is here while its end, or a ticket that it hid, is untold: a restart has to see it, though it comes
        // again.
        let first = before.map_or(at, |item| item.first);
        if news.is_page() {
            let pages = self.pages.entry(news.key.clone()).or_default();
            if news.is_over() {
                pages.remove(&news.item)
            } else {
                pages.insert(news.item.clone())
            };
        }
        if news.is_over() {
            self.over.insert(news.item.clone())
        } else {
            self.over.remove(&news.item)
        };
        self.by_name.insert(news.item.clone(), Item { news, first, written_ms });
    }

    /// The tickets of a page's key that came since then and go on.
    pub fn tickets_under(&self, page: &News, since_ms: Ms) -> Vec<Arc<News>> {
        let is_under = |item: &&Item| {
            let news = &item.news;
            item.written_ms >= since_ms && news.key == page.key && !news.is_over() && news.is_ticket()
        };
        self.by_name.values().filter(is_under).map(|item| Arc::clone(&item.news)).collect()
    }

    pub fn has_ended(&self) -> bool {
        !self.over.is_empty()
    }

    /// Forgets what is over and nobody has to hear of any more.
    pub fn sweep(&mut self, is_held: impl Fn(&News) -> bool) {
        let is_gone = |name: &&String| self.by_name.get(*name).is_none_or(|item| !is_held(&item.news));
        let gone: Vec<String> = self.over.iter().filter(is_gone).cloned().collect();
        gone.iter().for_each(|name| self.forget(name));
    }

    fn forget(&mut self, name: &str) {
        self.over.remove(name);
        if let Some(item) = self.by_name.remove(name)
            && let Some(pages) = self.pages.get_mut(&item.news.key)
        {
            pages.remove(name);
            if pages.is_empty() {
                self.pages.remove(&item.news.key);
            }
        }
    }

    /// A partition is another instance's now.
    pub fn lose(&mut self, source: Source) {
        let of_it = |item: &Item| item.first.is_some_and(|first| first.source == source);
        let gone: Vec<String> = self.by_name.iter().filter(|(_, item)| of_it(item)).map(|(n, _)| n.clone()).collect();
        gone.iter().for_each(|name| self.forget(name));
    }

    /// Where what still goes on began, at the earliest.
    pub fn state_from(&self, source: Source) -> Option<i64> {
        let firsts = self.by_name.values().filter_map(|item| item.first);
        firsts.filter(|first| first.source == source).map(|first| first.offset).min()
    }

    /// The ends of canaries that nothing was heard of any more.
    pub fn canaries_gone(&self, now_ms: Ms) -> Vec<News> {
        let canaries = self.by_name.values().filter(|item| item.news.kind == Kind::Canary && !item.news.is_over());
        let gone = canaries.filter(|item| now_ms - item.written_ms > CANARY_GONE_MS);
        gone.map(|item| News {
            phase: super::news::Phase::Ended,
            seq: item.news.seq + 1,
            ended_at: Some(Moment(item.written_ms)),
            summary: "the candidate has no requests any more".to_owned(),
            ..News::clone(&item.news)
        })
        .collect()
    }

    /// When the next of them will be gone, if nothing is heard of it.
    pub fn next_gone_ms(&self) -> Option<Ms> {
        let canaries = self.by_name.values().filter(|item| item.news.kind == Kind::Canary && !item.news.is_over());
        canaries.map(|item| item.written_ms + CANARY_GONE_MS + 1).min()
    }

    pub fn firing(&self) -> usize {
        self.by_name.len() - self.over.len()
    }
}

/// What a receiver's outbox looks at.
pub struct Context<'a> {
    pub now_ms: Ms,
    pub plan: &'a Plan,
    pub receiver: &'a Receiver,
    pub silences: &'a BTreeMap<String, Silence>,
    pub items: &'a Items,
}

impl Context<'_> {
    /// Why nobody is told of this now, and until when, if that is known.
    pub fn held_back(&self, news: &News) -> Option<(String, Option<Ms>)> {
        let mut silences = self.silences.values().filter(|silence| silence.is_active(self.now_ms));
        if let Some(silence) = silences.find(|silence| silence.matches(news)) {
            let (by, why) = (&silence.created_by, &silence.comment);
            let text = format!("silenced until {} by {by} ({why}; silence {})", silence.ends_at, silence.id);
            return Some((text, Some(silence.ends_at.0)));
        }
        let page = self.items.pages.get(&news.key).and_then(|pages| pages.first()).filter(|_| news.is_ticket());
        page.map(|_| ("for the page of the same key says it".to_owned(), None))
    }

    /// Whether something may have kept this back before a restart, so that nobody may have been told.
    pub fn may_have_been_held_back(&self, news: &News, written_ms: Ms) -> bool {
        self.silences.values().any(|silence| silence.may_have_held(news, written_ms)) || self.held_back(news).is_some()
    }
}
