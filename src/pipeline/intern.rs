//! Interning: texts become small integers, so that the hot path hashes each text once and then compares numbers.

use super::key_ref::KEY_GROUPS;
use crate::model::time::Ms;
use crate::state::keys;
use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64;

/// No index: no user, no group, no tuple.
pub const NONE: u32 = u32::MAX;

/// The tables hash ids from outside with a secret seed, so that nobody can choose ids that collide.
static SECRETS: OnceLock<RapidSecrets> = OnceLock::new();

/// Must be called once, with a random number, before the first table is created. No figure depends on the seed, because
/// no table is iterated.
pub fn seed_tables(seed: u64) {
    SECRETS.get_or_init(|| RapidSecrets::seed(seed));
}

/// Used if nobody called [`seed_tables`], as in tests.
static UNSEEDED: RapidSecrets = RapidSecrets::seed(0);

fn secrets() -> &'static RapidSecrets {
    SECRETS.get().unwrap_or(&UNSEEDED)
}

#[inline]
fn hash_of(text: &[u8]) -> u64 {
    rapidhash_v3_seeded(text, secrets())
}

/// Texts by number: tenants, groups, attribute tuples. A number is reused after its text was swept.
#[derive(Debug, Default)]
pub struct Dictionary {
    index: HashTable<u32>,
    texts: Vec<Box<[u8]>>,
    free: Vec<u32>,
    /// The number of texts after the last sweep.
    kept: usize,
    bytes: usize,
    /// By number: the place of the text among all texts by bytes, from 1. Outdated where a text was added since.
    ranks: Vec<u32>,
    is_ranked: bool,
}

/// Stores a value in a free place, or at the end; returns its index.
pub(super) fn put<T>(all: &mut Vec<T>, free: &mut Vec<u32>, new: T) -> u32 {
    match free.pop() {
        Some(at) => {
            all[at as usize] = new;
            at
        }
        None => {
            all.push(new);
            (all.len() - 1) as u32
        }
    }
}

/// A dictionary is swept once it has twice as many texts as after the last sweep, plus this many.
const SWEPT_FROM: usize = 4_096;

impl Dictionary {
    pub fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = hash_of(text);
        let texts = &self.texts;
        if let Some(found) = self.index.find(hash, |i| *texts[*i as usize] == *text) {
            return *found;
        }
        self.bytes += text.len();
        self.is_ranked = false;
        let new = put(&mut self.texts, &mut self.free, text.into());
        let texts = &self.texts;
        self.index.insert_unique(hash, new, |i| hash_of(&texts[*i as usize]));
        new
    }

    /// Orders the texts, for [`Dictionary::rank_of`]. Texts are rarely new: that is cheaper than to compare texts at each step.
    pub fn rank(&mut self) {
        if self.is_ranked {
            return;
        }
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        self.ranks.resize(order.len(), 0);
        order.iter().zip(1..).for_each(|(number, rank)| self.ranks[*number as usize] = rank);
        self.is_ranked = true;
    }

    /// The place of a text among all texts by bytes, as of [`Dictionary::rank`]; 0 for no text.
    pub fn rank_of(&self, number: u32) -> u32 {
        self.ranks.get(number as usize).copied().unwrap_or(0)
    }

    /// Whether it has grown enough that a sweep for unused texts is worth its cost.
    pub fn wants_sweep(&self) -> bool {
        self.len() >= 2 * self.kept + SWEPT_FROM
    }

    /// Forgets all texts except those for which `is_used`, by number, is true.
    pub fn sweep(&mut self, is_used: &[bool]) {
        let texts = &mut self.texts;
        let unused = (0..texts.len() as u32).filter(|i| !is_used.get(*i as usize).copied().unwrap_or(false));
        for number in unused.collect::<Vec<u32>>() {
            let hash = hash_of(&texts[number as usize]);
            if let Ok(found) = self.index.find_entry(hash, |i| *i == number) {
                found.remove();
                self.bytes -= texts[number as usize].len();
                texts[number as usize] = Box::default();
                self.free.push(number);
            }
        }
        self.kept = self.len();
    }

    /// An estimate of its memory: each text, its slot, and its entry in the index.
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.texts.len() * 36
    }

    /// All numbers are below this one.
    pub fn capacity(&self) -> usize {
        self.texts.len()
    }

    pub fn find(&self, text: &[u8]) -> Option<u32> {
        self.index.find(hash_of(text), |i| *self.texts[*i as usize] == *text).copied()
    }

    pub fn get(&self, index: u32) -> &[u8] {
        self.texts.get(index as usize).map_or(&[], |t| t)
    }

    pub fn text(&self, index: u32) -> &str {
        std::str::from_utf8(self.get(index)).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

/// A user that the task knows.
#[derive(Debug)]
pub struct UserEntry {
    hash: u64,
    pub tenant: u32,
    /// The range of key groups that the user is checkpointed with. It depends only on the name, so it is the same in
    /// every process.
    pub group: u16,
    /// Short ids are stored in the entry itself, which saves a cache miss per event.
    name: SmallVec<[u8; 16]>,
    /// The number of the user's rows. A user without rows and without pending events is forgotten.
    pub rows: u32,
    /// The last boundary at which one of the user's events becomes visible.
    pub pending_until_ms: Ms,
}

impl UserEntry {
    pub fn name(&self) -> &str {
        // Always valid, because it was created from a `str`.
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    pub fn name_bytes(&self) -> &[u8] {
        &self.name
    }
}

/// Users by (tenant, id). An index is reused after its user was forgotten.
#[derive(Debug, Default)]
pub struct UserTable {
    index: HashTable<u32>,
    entries: Vec<UserEntry>,
    free: Vec<u32>,
}

fn hash_user(tenant: u32, name: &str) -> u64 {
    hash_of(name.as_bytes()) ^ u64::from(tenant).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The virtual key group of a user. It uses the upper half of the hash, because the lower half chooses the users
/// partition.
pub fn virtual_group(name: &str) -> u16 {
    ((xxh3_64(name.as_bytes()) >> 32) % u64::from(keys::KEY_GROUPS)) as u16
}

/// The range of key groups that a user is checkpointed with.
pub fn user_checkpoint_range(name: &str) -> u16 {
    keys::range_of(virtual_group(name), KEY_GROUPS)
}

impl UserTable {
    pub fn find(&self, tenant: u32, name: &str) -> Option<u32> {
        let entries = &self.entries;
        let hash = hash_user(tenant, name);
        self.index.find(hash, |i| is_user(&entries[*i as usize], tenant, name)).copied()
    }

    pub fn intern(&mut self, tenant: u32, name: &str) -> u32 {
        let hash = hash_user(tenant, name);
        let entries = &self.entries;
        if let Some(found) = self.index.find(hash, |i| is_user(&entries[*i as usize], tenant, name)) {
            return *found;
        }
        let entry = UserEntry {
            hash,
            tenant,
            group: user_checkpoint_range(name),
            name: SmallVec::from_slice(name.as_bytes()),
            rows: 0,
            pending_until_ms: Ms::MIN,
        };
        let new = put(&mut self.entries, &mut self.free, entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, new, |i| entries[*i as usize].hash);
        new
    }

    pub fn get(&self, user: u32) -> &UserEntry {
        &self.entries[user as usize]
    }

    pub fn get_mut(&mut self, user: u32) -> &mut UserEntry {
        &mut self.entries[user as usize]
    }

    /// Forgets the user if it has no rows and no pending events; returns whether it did.
    pub fn forget_if_unused(&mut self, user: u32, closed_ms: Ms) -> bool {
        let entry = &self.entries[user as usize];
        if entry.rows > 0 || entry.pending_until_ms > closed_ms {
            return false;
        }
        if let Ok(found) = self.index.find_entry(entry.hash, |i| *i == user) {
            found.remove();
            self.free.push(user);
        }
        true
    }

    /// The number of known users.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// All indices are below this one.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }
}

fn is_user(entry: &UserEntry, tenant: u32, name: &str) -> bool {
    entry.tenant == tenant && entry.name[..] == *name.as_bytes()
}

/// Longer texts are not part of a known shape: an operation with an id in it would be another one each time.
const SHORT_MAX: usize = 48;
/// When this many shapes are known, all are forgotten.
const SHAPES_MAX: usize = 1 << 16;

/// A cache from attributes in the order of a record to their tuple, which saves sorting and copying the attributes of
/// every event. Attributes with a text of more than [`SHORT_MAX`] bytes are not cached.
#[derive(Debug, Default)]
pub struct TupleCache {
    index: HashTable<u32>,
    known: Vec<(Box<[u64]>, u32)>,
    words: Vec<u64>,
}

impl TupleCache {
    /// The tuple of these attributes; `otherwise` computes it if it is not cached.
    pub fn tuple<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        otherwise: impl FnOnce() -> u32,
    ) -> u32 {
        if !write_words(pairs, &mut self.words) {
            return otherwise();
        }
        let hash = hash_words(&self.words);
        let (known, words) = (&self.known, &self.words);
        if let Some(found) = self.index.find(hash, |i| *known[*i as usize].0 == **words) {
            return known[*found as usize].1;
        }
        if known.len() >= SHAPES_MAX {
            *self = TupleCache { words: std::mem::take(&mut self.words), ..TupleCache::default() };
        }
        let tuple = otherwise();
        let new = self.known.len() as u32;
        self.known.push((self.words.as_slice().into(), tuple));
        let known = &self.known;
        self.index.insert_unique(hash, new, |i| hash_words(&known[*i as usize].0));
        tuple
    }
}

/// Writes each pair as its lengths and the words of its texts, so that equal words mean equal texts. Returns false if a text
/// is too long.
fn write_words<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, words: &mut Vec<u64>) -> bool {
    words.clear();
    for (name, value) in pairs {
        words.push((name.len() as u64) << 32 | value.len() as u64);
        if !write_text(name.as_bytes(), words) || !write_text(value.as_bytes(), words) {
            return false;
        }
    }
    true
}

/// Writes the words of a text, of which the length says how many they are.
#[inline]
fn write_text(text: &[u8], words: &mut Vec<u64>) -> bool {
    if let Some((first, last)) = short(text) {
        words.extend_from_slice(&[first, last]);
        return true;
    }
    if text.len() > SHORT_MAX {
        return false;
    }
    // The last eight bytes overlap with those before.
    let eights = text.chunks_exact(8).filter_map(|eight| eight.first_chunk::<8>()).chain(text.last_chunk::<8>());
    words.extend(eights.map(|eight| u64::from_le_bytes(*eight)));
    true
}

/// Packs a text of at most 16 bytes into two words, which together with its length determine it.
#[inline]
fn short(text: &[u8]) -> Option<(u64, u64)> {
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return (text.len() <= 16).then(|| (u64::from_le_bytes(*first), u64::from_le_bytes(*last)));
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return Some((u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last))));
    }
    Some((text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0))
}

#[inline]
fn hash_words(words: &[u64]) -> u64 {
    let fold = |hash: u64, a: u64, b: u64| {
        let product = u128::from(hash ^ a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xbf58_476d_1ce4_e5b9);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut chunks = words.chunks_exact(2);
    let hash = chunks
        .by_ref()
        .fold(words.len() as u64 ^ secrets().seed, |hash, chunk| fold(hash, chunk[0], chunk[1]).rotate_left(29));
    chunks.remainder().iter().fold(hash, |hash, word| fold(hash, *word, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_tenant_and_a_name_and_indices_are_reused() {
        let mut users = UserTable::default();
        let (a, b) = (users.intern(0, "u"), users.intern(1, "u"));
        assert_ne!(a, b);
        assert_eq!((users.intern(0, "u"), users.find(1, "u"), users.find(2, "u")), (a, Some(b), None));
        assert!(users.forget_if_unused(a, 0));
        assert_eq!((users.find(0, "u"), users.intern(7, "v"), users.len()), (None, a, 2));
    }

    #[test]
    fn a_sweep_forgets_unused_texts_and_their_numbers_are_reused() {
        let mut texts = Dictionary::default();
        let number = |texts: &mut Dictionary, i: usize| texts.intern(format!("text {i}").as_bytes());
        for i in 0..SWEPT_FROM {
            assert!(!texts.wants_sweep());
            number(&mut texts, i);
        }
        assert!(texts.wants_sweep());
        let before = texts.memory_bytes();
        let used: Vec<bool> = (0..texts.capacity()).map(|i| i % 8 == 3).collect();
        texts.sweep(&used);
        assert_eq!((texts.len(), texts.wants_sweep()), (SWEPT_FROM / 8, false));
        assert_eq!((texts.find(b"text 3"), texts.find(b"text 4"), texts.get(4)), (Some(3), None, &b""[..]));
        let again: Vec<u32> = (0..10).map(|i| number(&mut texts, SWEPT_FROM + i)).collect();
        assert!(again.iter().all(|i| (*i as usize) < SWEPT_FROM && !used[*i as usize]));
        assert_eq!(texts.text(again[9]), format!("text {}", SWEPT_FROM + 9));
        assert!(texts.memory_bytes() < before && texts.capacity() == SWEPT_FROM);
    }

    #[test]
    fn a_user_with_pending_events_is_kept() {
        let mut users = UserTable::default();
        let a = users.intern(0, "u");
        users.get_mut(a).pending_until_ms = 20_000;
        assert!(!users.forget_if_unused(a, 10_000));
        assert!(users.forget_if_unused(a, 20_000));
    }

    /// Texts of all lengths around those at which the packing changes; each differs from another in one byte.
    #[test]
    fn texts_that_differ_in_one_byte_have_different_shapes() {
        let texts: Vec<String> = (0..=50usize)
            .flat_map(|len| {
                let plain = "abcdefghijklmnopqrst".repeat(3)[..len].to_owned();
                let changed = (0..len).map({
                    let plain = plain.clone();
                    move |at| format!("{}\0{}", &plain[..at], &plain[at + 1..])
                });
                std::iter::once(plain.clone()).chain(changed).collect::<Vec<_>>()
            })
            .collect();
        let mut shapes = TupleCache::default();
        for _ in 0..2 {
            for (i, text) in texts.iter().enumerate() {
                let i = i as u32;
                assert_eq!(shapes.tuple([("name", text.as_str())].into_iter(), || 2 * i), 2 * i, "{text:?}");
                assert_eq!(shapes.tuple([(text.as_str(), "name")].into_iter(), || 2 * i + 1), 2 * i + 1, "{text:?}");
            }
        }
        assert_eq!(shapes.tuple(std::iter::empty(), || 7), 7);
    }

    #[test]
    fn shapes_are_forgotten_at_the_limit() {
        let mut shapes = TupleCache::default();
        for i in 0..SHAPES_MAX as u32 + 9 {
            assert_eq!(shapes.tuple([("n", i.to_string().as_str())].into_iter(), || i), i);
        }
        assert_eq!(shapes.known.len(), 9);
        assert_eq!(shapes.tuple([("n", "1")].into_iter(), || 1), 1);
    }
}
