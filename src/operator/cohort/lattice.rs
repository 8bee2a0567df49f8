//! The combinations of attribute values that a search looks at, each with the leaves it covers.
//!
//! Bounded whatever the attributes are: which combinations are left out depends on how many users and
//! values there are, never on who is badly served, so that the number of tests stays honest.

use crate::model::key::OTHER;
use crate::operator::partial::Leaf;
use std::collections::{BTreeMap, BTreeSet};

/// Attribute values in a combination.
const VALUES_MAX: usize = 3;
/// Attributes looked at, in the order of their names.
pub(super) const ATTRIBUTES_MAX: usize = 12;
/// An attribute with more values than this identifies rather than groups.
pub(super) const VALUES_PER_ATTRIBUTE_MAX: usize = 256;
/// A group of attributes that would go over this is left out, and so are those after it.
const COMBINATIONS_MAX: usize = 20_000;

/// An attribute and a value by their numbers.
type Pair = (u8, u16);

/// A combination of attribute values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// Ascending by attribute.
    pairs: Vec<Pair>,
    from: u32,
    to: u32,
}

impl Combination {
    pub fn arity(&self) -> usize {
        self.pairs.len()
    }

    /// Whether everybody in `self` is in `parent` by its definition, and `self` says more.
    pub fn is_child_of(&self, parent: &Combination) -> bool {
        self.arity() > parent.arity() && parent.pairs.iter().all(|pair| self.pairs.contains(pair))
    }
}

/// All combinations of one population, one value before two before three, then in the order of names.
#[derive(Debug, Default)]
pub struct Lattice {
    names: Vec<String>,
    values: Vec<Vec<String>>,
    pub combinations: Vec<Combination>,
    leaves: Vec<u32>,
}

impl Lattice {
    /// Combinations of at least `users_min` users.
    pub fn of(leaves: &[Leaf], users_min: u64) -> Lattice {
        let (names, values) = attributes(leaves);
        let mut lattice = Lattice { names, values, ..Lattice::default() };
        let numbered: Vec<Vec<u16>> = leaves.iter().map(|leaf| lattice.numbers(leaf)).collect();
        for group in groups(lattice.names.len()) {
            if !lattice.add_group(&group, &numbered, leaves, users_min) {
                break;
            }
        }
        lattice
    }

    /// The leaves that a combination covers.
    pub fn leaves_of(&self, combination: &Combination) -> &[u32] {
        self.leaves.get(combination.from as usize..combination.to as usize).unwrap_or_default()
    }

    pub fn named(&self, combination: &Combination) -> Vec<(String, String)> {
        let text = |(name, value): &Pair| {
            let name = usize::from(*name);
            (self.names[name].clone(), self.values[name][usize::from(*value) - 1].clone())
        };
        combination.pairs.iter().map(text).collect()
    }

    /// How many combinations of so many values there could be within `parent`, whether anybody is in
    /// them or not: what a child was chosen from.
    pub fn descriptions(&self, parent: &Combination, len: usize) -> usize {
        let others = (0..self.names.len()).filter(|name| parent.pairs.iter().all(|(of, _)| usize::from(*of) != *name));
        let values: Vec<usize> = others.map(|name| self.values[name].len()).collect();
        ways(&values, len.saturating_sub(parent.arity()))
    }

    /// Per attribute the number of the leaf's value from 1; 0 where it has none that can be named.
    fn numbers(&self, leaf: &Leaf) -> Vec<u16> {
        // Both are ascending by name.
        let mut pairs = leaf.tuple.pairs().peekable();
        let number = |(name, values): (&String, &Vec<String>)| {
            while pairs.next_if(|(n, _)| *n < name.as_str()).is_some() {}
            let (_, value) = pairs.next_if(|(n, _)| n == name)?;
            values.binary_search_by(|known| known.as_str().cmp(value)).ok().map(|at| at as u16 + 1)
        };
        self.names.iter().zip(&self.values).map(number).map(|number| number.unwrap_or(0)).collect()
    }

    /// Adds the combinations of one group of attributes; `false`: there would be too many.
    fn add_group(&mut self, group: &[usize], numbered: &[Vec<u16>], leaves: &[Leaf], users_min: u64) -> bool {
        let mut keyed: Vec<(u64, u32)> = Vec::with_capacity(leaves.len());
        for (leaf, numbers) in numbered.iter().enumerate() {
            let key = group.iter().try_fold(0u64, |key, name| match numbers[*name] {
                0 => None,
                number => Some(key << 16 | u64::from(number)),
            });
            keyed.extend(key.map(|key| (key, leaf as u32)));
        }
        keyed.sort_unstable();
        for same in keyed.chunk_by(|a, b| a.0 == b.0) {
            if same.iter().map(|(_, leaf)| leaves[*leaf as usize].users).sum::<u64>() < users_min {
                continue;
            }
            if self.combinations.len() == COMBINATIONS_MAX {
                return false;
            }
            let from = self.leaves.len() as u32;
            self.leaves.extend(same.iter().map(|(_, leaf)| leaf));
            let pair = |(i, name): (usize, &usize)| {
                let shift = 16 * (group.len() - 1 - i);
                (*name as u8, (same[0].0 >> shift & 0xffff) as u16)
            };
            let pairs = group.iter().enumerate().map(pair).collect();
            self.combinations.push(Combination { pairs, from, to: self.leaves.len() as u32 });
        }
        true
    }
}

/// Names and values of the attributes that tell users apart.
fn attributes(leaves: &[Leaf]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in leaves.iter().flat_map(|leaf| leaf.tuple.pairs()) {
        if value != OTHER {
            all.entry(name).or_default().insert(value);
        }
    }
    let groups = all.into_iter().filter(|(_, values)| (2..=VALUES_PER_ATTRIBUTE_MAX).contains(&values.len()));
    groups
        .take(ATTRIBUTES_MAX)
        .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
        .unzip()
}

/// How many ways there are to choose one or two more values, each of another attribute: the numbers of their values.
pub(super) fn ways(values: &[usize], more: usize) -> usize {
    let total: usize = values.iter().sum();
    match more {
        1 => total,
        // Two more values: each pair of attributes, once.
        _ => (total * total - values.iter().map(|v| v * v).sum::<usize>()) / 2,
    }
}

/// All groups of at most [`VALUES_MAX`] attributes, small ones first.
pub(super) fn groups(names: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut last: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..VALUES_MAX {
        let longer = |group: &Vec<usize>| {
            let group = group.clone();
            let first = group.last().map_or(0, |name| name + 1);
            (first..names).map(move |name| group.iter().copied().chain([name]).collect::<Vec<_>>())
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tuple::Tuple;

    fn leaf(attributes: &[(&str, &str)], users: u64) -> Leaf {
        let tuple = Tuple::of(attributes.iter().copied());
        Leaf { tuple, users, ..Leaf::default() }
    }

    fn texts(lattice: &Lattice) -> Vec<String> {
        let text =
            |c: &Combination| lattice.named(c).iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
        lattice.combinations.iter().map(text).collect()
    }

    #[test]
    fn every_combination_of_enough_users_is_there_once_and_small_ones_come_first() {
        let leaves = [
            leaf(&[("a", "1"), ("b", "x")], 5),
            leaf(&[("a", "1"), ("b", "y")], 4),
            leaf(&[("a", "2"), ("b", "x")], 6),
        ];
        let lattice = Lattice::of(&leaves, 5);
        assert_eq!(texts(&lattice), ["a=1", "a=2", "b=x", "a=1,b=x", "a=2,b=x"]);
        assert_eq!(lattice.leaves_of(&lattice.combinations[2]), [0, 2]);
        assert!(lattice.combinations[3].is_child_of(&lattice.combinations[0]));
        assert!(!lattice.combinations[3].is_child_of(&lattice.combinations[1]));
    }

    #[test]
    fn a_child_is_chosen_from_every_way_to_say_more() {
        let leaves = [
            leaf(&[("a", "1"), ("b", "x"), ("c", "k")], 5),
            leaf(&[("a", "2"), ("b", "y"), ("c", "l")], 5),
            leaf(&[("a", "3"), ("b", "y"), ("c", "m")], 5),
        ];
        let lattice = Lattice::of(&leaves, 5);
        let parent = &lattice.combinations[0];
        assert_eq!(lattice.named(parent), [("a".to_owned(), "1".to_owned())]);
        assert_eq!((lattice.descriptions(parent, 2), lattice.descriptions(parent, 3)), (2 + 3, 2 * 3));
    }

    #[test]
    fn attributes_that_tell_nobody_apart_or_everybody_are_left_out() {
        let named: Vec<String> = (0..300).map(|i| format!("u{i}")).collect();
        let leaves: Vec<Leaf> = named
            .iter()
            .map(|id| {
                leaf(&[("id", id), ("same", "1"), ("side", if id.len() > 2 { "l" } else { "r" }), ("x", OTHER)], 5)
            })
            .collect();
        assert_eq!(texts(&Lattice::of(&leaves, 5)), ["side=l", "side=r"]);
    }

    #[test]
    fn the_number_of_combinations_is_bounded() {
        let leaves: Vec<Leaf> = (0..1_000u64)
            .map(|i| {
                let value = |k: u64| (i.wrapping_mul(k * 2_654_435_761) >> 7 & 63).to_string();
                let names: Vec<(String, String)> = (1..9).map(|k| (format!("n{k}"), value(k))).collect();
                let mut leaf = leaf(&[], 5);
                leaf.tuple = Tuple::of(names.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                leaf
            })
            .collect();
        assert_eq!(Lattice::of(&leaves, 5).combinations.len(), COMBINATIONS_MAX);
    }
}
