//! The worst-served users of each SLO and tenant: those of the newest step.

use super::records::Page;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    at: String,
    rank: u64,
    sli: f64,
    bad: f64,
}

struct User {
    head: Head,
    json: Arc<[u8]>,
}

/// By key: `slo|tenant|user`, each part encoded.
#[derive(Default)]
pub(super) struct Users {
    by_key: BTreeMap<String, User>,
    /// The newest step of each `slo|tenant|`.
    newest: BTreeMap<String, String>,
    refused: BTreeSet<String>,
}

/// `slo|tenant|` of a key.
fn owner(key: &str) -> &str {
    let mut bars = key.match_indices('|');
    match (bars.next(), bars.next()) {
        (Some(_), Some((at, _))) => &key[..=at],
        _ => key,
    }
}

impl Users {
    pub fn put(&mut self, key: String, json: Vec<u8>, capacity: usize) {
        let head: Head = serde_json::from_slice(&json).unwrap_or_default();
        let of = owner(&key);
        let newest = self.newest.get(of);
        if newest.is_some_and(|newest| head.at < *newest) {
            return;
        }
        if newest.is_none_or(|newest| *newest < head.at) {
            // A file has no tombstones: who stands in an older step only is no longer among the worst.
            if let Some(before) = newest.cloned() {
                self.drop_before(of.to_owned(), &before);
            }
            self.newest.insert(of.to_owned(), head.at.clone());
        }
        if self.by_key.len() >= capacity && !self.by_key.contains_key(&key) {
            if self.refused.len() < capacity {
                self.refused.insert(key);
            }
            return;
        }
        self.by_key.insert(key, User { head, json: json.into() });
    }

    fn drop_before(&mut self, of: String, step: &str) {
        let old = |(_, user): &(&String, &User)| user.head.at.as_str() < step;
        let gone: Vec<String> = self.of_owner(&of).filter(old).map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.forget(key));
    }

    pub fn forget(&mut self, key: &str) {
        self.by_key.remove(key);
        self.refused.remove(key);
    }

    fn of_owner<'a>(&'a self, of: &'a str) -> impl Iterator<Item = (&'a String, &'a User)> {
        let from = (Bound::Included(of), Bound::Unbounded);
        self.by_key.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(of))
    }

    pub fn get(&self, key: &str) -> Option<Arc<[u8]>> {
        self.by_key.get(key).map(|user| Arc::clone(&user.json))
    }

    /// A page from the worst on. Both parts are encoded as in keys; `after`: how many to pass over.
    pub fn page(&self, slo: Option<&str>, tenant: Option<&str>, after: usize, limit: usize) -> Page {
        let is_wanted = |of: &str| {
            let mut parts = of.split('|');
            let (of_slo, of_tenant) = (parts.next(), parts.next());
            slo.is_none_or(|slo| of_slo == Some(slo)) && tenant.is_none_or(|tenant| of_tenant == Some(tenant))
        };
        let owners = self.newest.iter().filter(|(of, _)| is_wanted(of));
        let mut found: Vec<(&String, &User)> =
            owners.flat_map(|(of, at)| self.of_owner(of).filter(move |(_, user)| user.head.at == *at)).collect();
        let is_one = slo.is_some() && tenant.is_some();
        found.sort_by(|(a_key, a), (b_key, b)| {
            // Ranks compare the users of one tenant; between tenants there are only figures.
            let by_rank = if is_one { a.head.rank.cmp(&b.head.rank) } else { std::cmp::Ordering::Equal };
            let by_figures = || a.head.sli.total_cmp(&b.head.sli).then(b.head.bad.total_cmp(&a.head.bad));
            by_rank.then_with(by_figures).then_with(|| a_key.cmp(b_key))
        });
        let total = found.len();
        let items: Vec<_> = found.into_iter().skip(after).take(limit).map(|(_, user)| Arc::clone(&user.json)).collect();
        let reached = after.saturating_add(items.len());
        let next = (reached < total && !items.is_empty()).then(|| reached.to_string());
        Page { items, next, total, not_shown: self.refused.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(users: &mut Users, key: &str, at: &str, rank: u64) {
        users.put(key.to_owned(), format!(r#"{{"at":"{at}","rank":{rank},"sli":0.{rank},"n":"{key}"}}"#).into(), 10);
    }

    fn names(page: &Page) -> Vec<String> {
        let name = |json: &Arc<[u8]>| serde_json::from_slice::<serde_json::Value>(json).expect("JSON")["n"].to_string();
        page.items.iter().map(|json| name(json).trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn only_the_newest_step_counts_and_ranks_order_a_tenant() {
        let mut users = Users::default();
        put(&mut users, "s|t|old", "1", 1);
        put(&mut users, "s|t|u2", "2", 2);
        put(&mut users, "s|t|u1", "2", 1);
        put(&mut users, "s|other|u", "1", 3);
        put(&mut users, "s|t|late", "1", 1);
        assert_eq!(names(&users.page(Some("s"), Some("t"), 0, 10)), ["s|t|u1", "s|t|u2"]);
        let page = users.page(Some("s"), None, 1, 1);
        assert_eq!((names(&page), page.total, page.next.as_deref()), (vec!["s|t|u2".to_owned()], 3, Some("2")));
        put(&mut users, "s|t|u1", "3", 1);
        assert_eq!(names(&users.page(None, Some("t"), 0, 10)), ["s|t|u1"]);
        assert!(users.get("s|t|old").is_none());
        users.forget("s|t|u1");
        assert_eq!(users.page(None, Some("t"), 0, 10).total, 0);
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut users = Users::default();
        (0..12).for_each(|n| put(&mut users, &format!("s|t|{n}"), "1", n));
        assert_eq!(users.page(None, None, 0, 100).not_shown, 2);
    }
}
