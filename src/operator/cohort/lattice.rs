//! The combinations of attribute values that a search looks at, each with the leaves it covers.
//!
//! Bounded whatever the attributes are: which combinations are left out depends on how many users and
//! values there are, never on who is badly served, so that the number of tests stays honest.

use crate::model::key::OTHER;
use crate::operator::partial::{Leaf, VALUES_PER_ATTRIBUTE_MAX};
use hashbrown::HashMap;

/// Attribute values in a combination.
const VALUES_MAX: usize = 3;
/// Attributes looked at, in the order of their names.
pub(super) const ATTRIBUTES_MAX: usize = 12;
/// A group of attributes that would go over this is left out, and so are those after it.
const COMBINATIONS_MAX: usize = 20_000;
/// The values of a group of attributes are counted in a table where it has at most so many cells; otherwise the leaves are
/// sorted.
const CELLS_MAX: usize = 8_192;

/// An attribute and a value by their numbers.
type Pair = (u8, u16);

/// A combination of attribute values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Combination {
    /// Ascending by attribute; the first `arity` of them.
    pairs: [Pair; VALUES_MAX],
    arity: u8,
    from: u32,
    to: u32,
}

impl Combination {
    pub fn arity(&self) -> usize {
        usize::from(self.arity)
    }

    fn pairs(&self) -> &[Pair] {
        &self.pairs[..self.arity()]
    }

    /// Whether everybody in `self` is in `parent` by its definition, and `self` says more.
    pub fn is_child_of(&self, parent: &Combination) -> bool {
        self.arity() > parent.arity() && parent.pairs().iter().all(|pair| self.pairs().contains(pair))
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

/// A key runs through this search at every step of every user window: nothing is looked up by text more than once, and
/// groups of few values are counted in a table.
struct Builder<'a> {
    leaves: &'a [Leaf],
    /// A leaf after the other: per attribute the number of its value from 1; 0 where it has none that can be named.
    numbers: Vec<u16>,
    attributes: usize,
    users_min: u64,
    /// Per cell of a table its users, and where its leaves are to be written; `u32::MAX`: it is no combination.
    cells: Vec<(u64, u32, u32)>,
    cell_of: Vec<u32>,
    keyed: Vec<(u64, u32)>,
}

impl Lattice {
    /// Combinations of at least `users_min` users.
    pub fn of(leaves: &[Leaf], users_min: u64) -> Lattice {
        let (names, values, numbers) = attributes(leaves);
        let mut builder = Builder {
            leaves,
            numbers,
            attributes: names.len(),
            users_min,
            cells: Vec::new(),
            cell_of: Vec::new(),
            keyed: Vec::new(),
        };
        let mut lattice = Lattice { names, values, ..Lattice::default() };
        for group in groups(lattice.names.len()) {
            if !lattice.add_group(&group, &mut builder) {
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
        combination.pairs().iter().map(text).collect()
    }

    /// How many combinations of so many values there could be within `parent`, whether anybody is in
    /// them or not: what a child was chosen from.
    pub fn descriptions(&self, parent: &Combination, len: usize) -> usize {
        let others =
            (0..self.names.len()).filter(|name| parent.pairs().iter().all(|(of, _)| usize::from(*of) != *name));
        let values: Vec<usize> = others.map(|name| self.values[name].len()).collect();
        ways(&values, len.saturating_sub(parent.arity()))
    }

    /// Adds the combinations of one group of attributes; `false`: there would be too many.
    fn add_group(&mut self, group: &[usize], builder: &mut Builder<'_>) -> bool {
        let cells = group.iter().try_fold(1usize, |cells, name| cells.checked_mul(self.values[*name].len()));
        match cells {
            Some(cells) if cells <= CELLS_MAX => self.add_counted(group, cells, builder),
            _ => self.add_sorted(group, builder),
        }
    }

    /// The cells of the table are in the order of the names of their values.
    fn add_counted(&mut self, group: &[usize], cells: usize, builder: &mut Builder<'_>) -> bool {
        builder.count(group, &self.values, cells);
        let first = self.leaves.len() as u32;
        let mut at = first;
        for (cell, (users, leaves, write)) in builder.cells.iter_mut().enumerate() {
            let is_combination = *leaves > 0 && *users >= builder.users_min;
            if !is_combination {
                *write = u32::MAX;
                continue;
            }
            if self.combinations.len() == COMBINATIONS_MAX {
                return false;
            }
            *write = at;
            let to = at + *leaves;
            let mut rest = cell;
            let mut pairs = [(0, 0); VALUES_MAX];
            for (pair, name) in pairs[..group.len()].iter_mut().zip(group).rev() {
                let values = self.values[*name].len();
                *pair = (*name as u8, (rest % values + 1) as u16);
                rest /= values;
            }
            self.combinations.push(Combination { pairs, arity: group.len() as u8, from: at, to });
            at = to;
        }
        self.leaves.resize(at as usize, 0);
        for (leaf, cell) in builder.cell_of.iter().enumerate().filter(|(_, cell)| **cell != u32::MAX) {
            let (_, _, write) = &mut builder.cells[*cell as usize];
            if *write != u32::MAX {
                self.leaves[*write as usize] = leaf as u32;
                *write += 1;
            }
        }
        true
    }

    fn add_sorted(&mut self, group: &[usize], builder: &mut Builder<'_>) -> bool {
        builder.sort(group);
        for same in builder.keyed.chunk_by(|a, b| a.0 == b.0) {
            if same.iter().map(|(_, leaf)| builder.leaves[*leaf as usize].users).sum::<u64>() < builder.users_min {
                continue;
            }
            if self.combinations.len() == COMBINATIONS_MAX {
                return false;
            }
            let from = self.leaves.len() as u32;
            self.leaves.extend(same.iter().map(|(_, leaf)| leaf));
            let mut pairs = [(0, 0); VALUES_MAX];
            for (i, name) in group.iter().enumerate() {
                let shift = 16 * (group.len() - 1 - i);
                pairs[i] = (*name as u8, (same[0].0 >> shift & 0xffff) as u16);
            }
            let to = self.leaves.len() as u32;
            self.combinations.push(Combination { pairs, arity: group.len() as u8, from, to });
        }
        true
    }
}

impl Builder<'_> {
    /// The leaves that have a value of each attribute of the group, with its numbers.
    fn numbered<'a>(&'a self, group: &'a [usize]) -> impl Iterator<Item = (u32, impl Iterator<Item = u16> + 'a)> + 'a {
        let of_leaf = self.numbers.chunks(self.attributes).enumerate();
        of_leaf.map(move |(leaf, numbers)| (leaf as u32, group.iter().map(move |name| numbers[*name])))
    }

    /// Adds up the users of each cell.
    fn count(&mut self, group: &[usize], values: &[Vec<String>], cells: usize) {
        let (mut table, mut cell_of) = (std::mem::take(&mut self.cells), std::mem::take(&mut self.cell_of));
        table.clear();
        table.resize(cells, (0, 0, 0));
        cell_of.clear();
        for (leaf, mut numbers) in self.numbered(group) {
            let sizes = group.iter().map(|name| values[*name].len());
            let cell = sizes.zip(&mut numbers).try_fold(0, |cell, (size, number)| match usize::from(number) {
                0 => None,
                number => Some(cell * size + number - 1),
            });
            if let Some((users, leaves, _)) = cell.and_then(|cell| table.get_mut(cell)) {
                *users += self.leaves[leaf as usize].users;
                *leaves += 1;
            }
            cell_of.push(cell.map_or(u32::MAX, |cell| cell as u32));
        }
        (self.cells, self.cell_of) = (table, cell_of);
    }

    fn sort(&mut self, group: &[usize]) {
        let mut keyed = std::mem::take(&mut self.keyed);
        keyed.clear();
        for (leaf, mut numbers) in self.numbered(group) {
            let key = numbers.try_fold(0u64, |key, number| match number {
                0 => None,
                number => Some(key << 16 | u64::from(number)),
            });
            keyed.extend(key.map(|key| (key, leaf)));
        }
        keyed.sort_unstable();
        self.keyed = keyed;
    }
}

/// An attribute, and its values in the order in which they are met.
struct Met<'a> {
    name: &'a str,
    number_of: HashMap<&'a str, u32>,
    texts: Vec<&'a str>,
}

/// The place of an attribute among those that were met. Most leaves have the same ones in the same order, so the one after
/// the last is looked at first.
fn place_of<'a>(met: &mut Vec<Met<'a>>, name: &'a str, last: usize) -> usize {
    let next = if last + 1 < met.len() { last + 1 } else { 0 };
    if met.get(next).is_some_and(|next| next.name == name) {
        return next;
    }
    met.iter().position(|known| known.name == name).unwrap_or_else(|| {
        met.push(Met { name, number_of: HashMap::new(), texts: Vec::new() });
        met.len() - 1
    })
}

/// Names and values of the attributes that tell users apart, both ascending, and per leaf and attribute the number of its
/// value from 1; 0: it has none, or one that cannot be named.
fn attributes(leaves: &[Leaf]) -> (Vec<String>, Vec<Vec<String>>, Vec<u16>) {
    let (mut met, mut last) = (Vec::new(), 0);
    let mut values_of: Vec<(u32, u32, u32)> = Vec::with_capacity(leaves.len() * 6);
    for (leaf, of) in (0..).zip(leaves) {
        for (name, value) in of.tuple.pairs().filter(|(_, value)| *value != OTHER) {
            last = place_of(&mut met, name, last);
            let Met { number_of, texts, .. } = &mut met[last];
            // What identifies rather than groups is not remembered further.
            if texts.len() <= VALUES_PER_ATTRIBUTE_MAX {
                let number = *number_of.entry(value).or_insert_with(|| {
                    texts.push(value);
                    texts.len() as u32 - 1
                });
                values_of.push((leaf, last as u32, number));
            }
        }
    }
    let mut chosen: Vec<usize> =
        (0..met.len()).filter(|at| (2..=VALUES_PER_ATTRIBUTE_MAX).contains(&met[*at].texts.len())).collect();
    chosen.sort_unstable_by_key(|at| met[*at].name);
    chosen.truncate(ATTRIBUTES_MAX);
    // Of each attribute that was met: its column, and the rank of each of its values.
    let mut columns: Vec<Option<(usize, Vec<u16>)>> = met.iter().map(|_| None).collect();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (column, at) in chosen.iter().enumerate() {
        let texts = &met[*at].texts;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_unstable_by_key(|at| texts[*at]);
        let mut ranks = vec![0; order.len()];
        order.iter().zip(1..).for_each(|(at, rank)| ranks[*at] = rank);
        columns[*at] = Some((column, ranks));
        names.push(met[*at].name.to_owned());
        values.push(order.into_iter().map(|at| texts[at].to_owned()).collect());
    }
    let mut numbers = vec![0; leaves.len() * names.len()];
    for (leaf, at, number) in values_of {
        if let Some((column, ranks)) = &columns[at as usize] {
            numbers[leaf as usize * names.len() + column] = ranks[number as usize];
        }
    }
    (names, values, numbers)
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
    fn counted_and_sorted_groups_give_the_same() {
        let leaves: Vec<Leaf> = (0..400u64)
            .map(|i| {
                let value = |k: u64| (i.wrapping_mul(k * 2_654_435_761) >> 9 & 7).to_string();
                let names: Vec<(String, String)> =
                    (1..5).filter(|k| (i + k) % 7 > 0).map(|k| (format!("n{k}"), value(k))).collect();
                let mut leaf = leaf(&[], i % 4);
                leaf.tuple = Tuple::of(names.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                leaf
            })
            .collect();
        let counted = Lattice::of(&leaves, 5);
        let (names, values, numbers) = attributes(&leaves);
        let mut sorted = Lattice { names, values, ..Lattice::default() };
        let mut builder = Builder {
            leaves: &leaves,
            numbers,
            attributes: 4,
            users_min: 5,
            cells: Vec::new(),
            cell_of: Vec::new(),
            keyed: Vec::new(),
        };
        assert!(groups(4).iter().all(|group| sorted.add_sorted(group, &mut builder)));
        assert_eq!((&counted.combinations, &counted.leaves), (&sorted.combinations, &sorted.leaves));
        assert!(counted.combinations.len() > 200, "{}", counted.combinations.len());
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
