//! What events are counted under, as texts: attributes with the operation among them, by number, and the order of all.
//!
//! Kept from boundary to boundary only because making a text costs more than counting an event; a task that comes back makes
//! them anew, and says the same.

use super::intern::{Dictionary, NONE};
use crate::model::tuple::{Pairs, encode};
use crate::operator::event_leaf::OPERATION;
use hashbrown::HashMap;

/// When so many texts are known, all are forgotten.
const NAMES_MAX: usize = 1 << 15;

/// Texts of (attributes, operation).
#[derive(Debug, Default)]
pub struct EventNames {
    of: HashMap<(u32, u32), u32>,
    texts: Dictionary,
    /// The numbers, ascending by text; those behind `ranks.len()` are new and in no order.
    order: Vec<u32>,
    /// By number: its place in the order.
    ranks: Vec<u32>,
    scratch: Vec<u8>,
}

impl EventNames {
    /// The number of the text of attributes and an operation; [`NONE`]: without.
    pub fn number(&mut self, (tuple, operation): (u32, u32), tuples: &Dictionary, operations: &Dictionary) -> u32 {
        if let Some(known) = self.of.get(&(tuple, operation)) {
            return *known;
        }
        let attributes = if tuple == NONE { &[] } else { tuples.get(tuple) };
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        if operation == NONE {
            text.extend_from_slice(attributes);
        } else {
            encode(Pairs::of(attributes).chain([(OPERATION, operations.text(operation))]), &mut text);
        }
        let number = self.intern(&text);
        self.scratch = text;
        self.of.insert((tuple, operation), number);
        number
    }

    /// The number of a text.
    pub fn intern(&mut self, text: &[u8]) -> u32 {
        let number = self.texts.intern(text);
        if number as usize == self.order.len() {
            self.order.push(number);
        }
        number
    }

    pub fn text(&self, number: u32) -> &[u8] {
        self.texts.get(number)
    }

    /// How many there are; all numbers are below.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Puts texts that are new in their places among the others, for [`EventNames::rank`].
    pub fn sort(&mut self) {
        if self.ranks.len() == self.order.len() {
            return;
        }
        let new = self.ranks.len();
        self.order[new..].sort_unstable_by(|a, b| self.texts.get(*a).cmp(self.texts.get(*b)));
        let added = self.order.split_off(new);
        let known = std::mem::take(&mut self.order);
        let mut rest = &known[..];
        for number in added {
            // New ones are few: each finds its place, and what lies before it is not compared.
            let (before, behind) =
                rest.split_at(rest.partition_point(|known| self.texts.get(*known) < self.texts.get(number)));
            self.order.extend_from_slice(before);
            self.order.push(number);
            rest = behind;
        }
        self.order.extend_from_slice(rest);
        self.ranks.resize(self.order.len(), 0);
        (0..).zip(&self.order).for_each(|(rank, number)| self.ranks[*number as usize] = rank);
    }

    /// The place of a text among all, as of [`EventNames::sort`].
    pub fn rank(&self, number: u32) -> u32 {
        self.ranks.get(number as usize).copied().unwrap_or(0)
    }

    /// Called before a boundary: there is room for more.
    pub fn make_room(&mut self) {
        if self.len() >= NAMES_MAX {
            self.forget();
        }
    }

    /// Tuples or operations have new numbers.
    pub fn forget(&mut self) {
        *self = EventNames::default();
    }

    /// An estimate of its memory.
    pub fn memory_bytes(&self) -> usize {
        self.texts.memory_bytes() + self.of.len() * 16 + self.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tuple::{self, Tuple};

    #[test]
    fn a_text_has_the_operation_in_the_place_of_an_attribute_of_that_name() {
        let (mut names, mut tuples, mut operations) =
            (EventNames::default(), Dictionary::default(), Dictionary::default());
        let mut tuple = |pairs: &[(&str, &str)]| {
            let mut bytes = Vec::new();
            tuple::encode(pairs.iter().copied(), &mut bytes);
            tuples.intern(&bytes)
        };
        let (eu, named) = (tuple(&[("region", "eu")]), tuple(&[("region", "eu"), (OPERATION, "other")]));
        let pay = operations.intern(b"pay");
        let mut number = |of: (u32, u32)| names.number(of, &tuples, &operations);
        let all = [(eu, pay), (named, pay), (eu, NONE), (NONE, NONE), (eu, pay)].map(&mut number);
        assert_eq!(all, [0, 0, 1, 2, 0]);
        let text = |pairs: &[(&str, &str)]| Tuple::of(pairs.iter().copied());
        assert_eq!(Tuple::of_bytes(names.text(0)), text(&[(OPERATION, "pay"), ("region", "eu")]));
        assert_eq!(Tuple::of_bytes(names.text(1)), text(&[("region", "eu")]));
        assert_eq!(names.text(2), b"");
    }

    #[test]
    fn texts_have_their_places_whenever_they_came() {
        let mut names = EventNames::default();
        for round in [["m", "c", "x"], ["a", "m", "z"], ["b", "c", "d"]] {
            for text in round {
                names.intern(text.as_bytes());
            }
            names.sort();
        }
        let mut texts: Vec<(u32, &[u8])> = (0..names.len() as u32).map(|n| (names.rank(n), names.text(n))).collect();
        texts.sort_unstable();
        let expected: Vec<(u32, &[u8])> = (0..).zip([&b"a"[..], b"b", b"c", b"d", b"m", b"x", b"z"]).collect();
        assert_eq!(texts, expected);
    }
}
