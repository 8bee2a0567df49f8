//! The latest records of one kind by their names, with a limit.

use super::facts::Facts;
use super::key_parts::KeyParts;
use super::query::{Known, Place, Query, Sort};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// Ended alerts and cohorts that are kept for looking back.
const ENDED_KEPT: usize = 2_000;

/// A page of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub items: Vec<Arc<[u8]>>,
    /// The start of the next page, if there is one.
    pub next: Option<String>,
    /// The number of records that match, on all pages.
    pub total: usize,
    /// Records that the board could not hold.
    pub not_shown: usize,
}

pub(super) struct Record {
    pub parts: KeyParts,
    /// Whether it is firing or open; a status always is.
    pub live: bool,
    pub facts: Facts,
    pub json: Arc<[u8]>,
}

impl Record {
    pub fn new(key: &str, live: bool, json: Vec<u8>) -> Record {
        Record { parts: KeyParts::of(key), live, facts: Facts::of(&json), json: json.into() }
    }
}

#[derive(Default)]
pub(super) struct Records {
    pub by_name: BTreeMap<String, Record>,
    /// Names of ended records, the oldest first.
    ended: VecDeque<String>,
    /// Names of records that found no room. Bounded, too: above the bound the count is a minimum.
    pub refused: BTreeSet<String>,
}

pub(super) type KnownSlos = BTreeMap<String, Known>;

impl Records {
    pub fn put(&mut self, name: String, record: Record, capacity: usize) {
        if !self.by_name.contains_key(&name) && self.by_name.len() >= capacity && !self.make_room() {
            if self.refused.len() < capacity {
                self.refused.insert(name);
            }
            return;
        }
        self.refused.remove(&name);
        if !record.live {
            self.ended.push_back(name.clone());
        }
        self.by_name.insert(name, record);
        if self.ended.len() > ENDED_KEPT {
            self.make_room();
        }
    }

    /// Drops the oldest ended record, if there is one.
    fn make_room(&mut self) -> bool {
        while let Some(name) = self.ended.pop_front() {
            // A name that is live again, or gone, is only a leftover in the queue.
            if self.by_name.get(&name).is_some_and(|r| !r.live) && !self.ended.contains(&name) {
                self.by_name.remove(&name);
                return true;
            }
        }
        false
    }

    pub fn forget(&mut self, name: &str) {
        self.by_name.remove(name);
        self.refused.remove(name);
    }

    /// The episodes of a key: their names are the key, `#` and an id.
    pub fn of_key<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Record> {
        let from = format!("{key}#");
        let is_of_key = move |name: &str| name.strip_prefix(key).is_some_and(|rest| rest.rfind('#') == Some(0));
        let named = self.by_name.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
        // A key that goes on after `#` stands between them.
        let with_prefix: Vec<_> = named.take_while(|(name, _)| name.starts_with(&from)).collect();
        with_prefix.into_iter().filter(move |(name, _)| is_of_key(name)).map(|(_, record)| record)
    }

    pub fn page(&self, query: &Query, slos: &KnownSlos) -> Page {
        self.page_of(query, slos, |_, record| Arc::clone(&record.json))
    }

    /// A page of what `item` makes of the records.
    pub fn page_of(&self, query: &Query, slos: &KnownSlos, item: impl Fn(&str, &Record) -> Arc<[u8]>) -> Page {
        let passes = |name: &str, record: &Record| {
            query.passes(name, &record.parts, &record.facts, record.live, slos.get(&record.parts.slo))
        };
        let found = self.by_name.iter().filter(|(name, record)| passes(name, record));
        let mut page = match query.sort {
            Sort::Key => by_key(found, query, item),
            Sort::Budget => by_budget(found, query, item),
        };
        page.not_shown = self.refused.len();
        page
    }
}

fn by_key<'a>(
    found: impl Iterator<Item = (&'a String, &'a Record)>,
    query: &Query,
    item: impl Fn(&str, &Record) -> Arc<[u8]>,
) -> Page {
    let mut page = Page::default();
    let mut last = None;
    for (name, record) in found {
        page.total += 1;
        if query.after.as_ref().is_some_and(|after| name <= after) {
            continue;
        }
        if page.items.len() < query.limit {
            page.items.push(item(name, record));
            last = Some(name);
        } else if page.next.is_none() {
            page.next = last.cloned();
        }
    }
    page
}

fn by_budget<'a>(
    found: impl Iterator<Item = (&'a String, &'a Record)>,
    query: &Query,
    item: impl Fn(&str, &Record) -> Arc<[u8]>,
) -> Page {
    let place = |(name, record): &(&'a String, &'a Record)| Place::new(record.facts.budget_remaining, (*name).as_str());
    let after = query.after.as_deref().and_then(Place::parse);
    let mut total = 0;
    let is_after = |found: &(&'a String, &'a Record)| after.is_none_or(|after| place(found).compare(&after).is_gt());
    let mut all: Vec<_> = found.inspect(|_| total += 1).filter(is_after).collect();
    let is_more = all.len() > query.limit;
    if is_more && query.limit > 0 {
        // Only a page has to be in order.
        all.select_nth_unstable_by(query.limit - 1, |a, b| place(a).compare(&place(b)));
        all.truncate(query.limit);
    }
    all.sort_unstable_by(|a, b| place(a).compare(&place(b)));
    let next = all.last().filter(|_| is_more).map(|last| place(last).text());
    let items = all.into_iter().map(|(name, record)| item(name, record)).collect();
    Page { items, next, total, not_shown: 0 }
}
