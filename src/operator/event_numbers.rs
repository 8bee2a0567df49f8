//! The numbers of the leaves of a table of events, by their attributes.

use crate::model::tuple::Tuple;
use hashbrown::{DefaultHashBuilder, HashTable};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// Each tuple with its number, from 0 without gaps.
#[derive(Clone, Debug, Default)]
pub struct EventNumbers {
    /// By number.
    tuples: Vec<Tuple>,
    /// Looked up by hash, and never iterated.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl EventNumbers {
    pub fn get(&self, tuple: &[u8]) -> Option<u32> {
        self.index.find(self.hasher.hash_one(tuple), |number| self.tuple(*number).as_bytes() == tuple).copied()
    }

    /// The number of a tuple; a new one gets the next.
    pub fn number(&mut self, tuple: Tuple) -> u32 {
        if let Some(known) = self.get(tuple.as_bytes()) {
            return known;
        }
        let (new, hash) = (self.tuples.len() as u32, self.hasher.hash_one(tuple.as_bytes()));
        self.tuples.push(tuple);
        let (tuples, hasher) = (&self.tuples, &self.hasher);
        self.index.insert_unique(hash, new, |number| hasher.hash_one(tuples[*number as usize].as_bytes()));
        new
    }

    pub fn len(&self) -> usize {
        self.tuples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tuples.is_empty()
    }

    pub fn tuple(&self, number: u32) -> &Tuple {
        &self.tuples[number as usize]
    }

    /// By number.
    pub fn tuples(&self) -> &[Tuple] {
        &self.tuples
    }

    pub fn into_tuples(self) -> Vec<Tuple> {
        self.tuples
    }

    /// The numbers in the order of the tuples' bytes.
    pub fn by_bytes(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        // Numbers are given in runs that are in order: a stable sort merges them.
        order.sort_by(|a, b| self.tuple(*a).cmp(self.tuple(*b)));
        order
    }
}

impl PartialEq for EventNumbers {
    fn eq(&self, other: &EventNumbers) -> bool {
        self.tuples == other.tuples
    }
}

/// A map in the order of the bytes, as version 9 has it.
impl Serialize for EventNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.by_bytes().into_iter().map(|number| (self.tuple(number), number)))
    }
}

impl<'de> Deserialize<'de> for EventNumbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventNumbers, D::Error> {
        let mut stored: Vec<(u32, Tuple)> =
            BTreeMap::<Tuple, u32>::deserialize(deserializer)?.into_iter().map(|(tuple, n)| (n, tuple)).collect();
        stored.sort_unstable();
        let mut numbers = EventNumbers::default();
        for (_, tuple) in stored {
            numbers.number(tuple);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State of version 9 has a `BTreeMap`.
    #[test]
    fn numbers_are_stored_in_the_order_of_the_bytes() {
        let tuple = |value: &str| Tuple::of([("region", value)].into_iter());
        let mut numbers = EventNumbers::default();
        assert_eq!(["us", "ap", "us", "eu"].map(|value| numbers.number(tuple(value))), [0, 1, 0, 2]);
        assert_eq!((numbers.tuples(), numbers.len()), (&["us", "ap", "eu"].map(tuple)[..], 3));
        assert_eq!((numbers.by_bytes(), numbers.get(tuple("xx").as_bytes())), (vec![1, 2, 0], None));
        let bytes = postcard::to_stdvec(&numbers).expect("bytes");
        let sorted = BTreeMap::from([(tuple("us"), 0u32), (tuple("ap"), 1), (tuple("eu"), 2)]);
        assert_eq!(bytes, postcard::to_stdvec(&sorted).expect("bytes"));
        assert_eq!(postcard::from_bytes::<EventNumbers>(&bytes).expect("numbers"), numbers);
    }
}
