//! The combinations of attribute values that occur, each with the sum of its leaves.
//!
//! Bounded whatever the attributes are. Which combinations are left out depends on how many values there are, never on
//! what is bad, so that the number of tests stays honest.

use super::Leaf;
use crate::model::key::OTHER;
use crate::operator::cohort::lattice::{ATTRIBUTES_MAX, groups, ways};
use crate::operator::cohort::poisson::Count;
use crate::operator::partial::VALUES_PER_ATTRIBUTE_MAX;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// A group of attributes that would go over this is left out, and so are those after it.
const CELLS_MAX: usize = 50_000;
/// A table of at most so many cells is filled by index; a larger one is sorted.
const DENSE_MAX: usize = 1 << 16;
/// No cell: the leaf lacks one of the attributes.
const NONE: u32 = u32::MAX;

/// An attribute, and one of its values from 1; both ascending by name.
pub(super) type Pair = (usize, u16);

struct Cell {
    group: usize,
    pairs: SmallVec<[Pair; 3]>,
    count: Count,
}

/// All combinations of one table: one value before two before three, then in the order of names.
#[derive(Default)]
pub(super) struct Cells {
    names: Vec<String>,
    values: Vec<Vec<String>>,
    /// The values of each leaf, attribute by attribute; 0 where it has none.
    codes: Vec<Vec<u16>>,
    cells: Vec<Cell>,
    /// For each group of attributes, the cell of each leaf.
    cell_of: Vec<Vec<u32>>,
}

impl Cells {
    /// The combinations of these leaves, and the names of the attributes that are left out.
    pub fn of(leaves: &[Leaf<'_>]) -> (Cells, Vec<String>) {
        let (names, values, left_out) = attributes(leaves);
        let codes = codes(leaves, &names, &values);
        let mut cells = Cells { names, values, codes, ..Cells::default() };
        for group in groups(cells.names.len()) {
            if !cells.add_group(&group) {
                break;
            }
        }
        (cells, left_out)
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn count(&self, cell: usize) -> Count {
        self.cells[cell].count
    }

    pub fn pairs(&self, cell: usize) -> &[Pair] {
        &self.cells[cell].pairs
    }

    pub fn named(&self, cell: usize) -> Vec<(String, String)> {
        let text =
            |(name, value): &Pair| (self.names[*name].clone(), self.values[*name][usize::from(*value) - 1].clone());
        self.cells[cell].pairs.iter().map(text).collect()
    }

    /// The cells of one value, with its attribute.
    pub fn singles(&self) -> impl Iterator<Item = (usize, usize)> {
        self.cells.iter().take_while(|cell| cell.pairs.len() == 1).enumerate().map(|(at, cell)| (at, cell.pairs[0].0))
    }

    /// Whether `child` says everything that `parent` says, and more.
    pub fn is_child(&self, child: usize, parent: usize) -> bool {
        let (child, parent) = (&self.cells[child].pairs, &self.cells[parent].pairs);
        child.len() > parent.len() && parent.iter().all(|pair| child.contains(pair))
    }

    /// How many ways there are to say as much more than `parent` as `child` does: what a child was chosen from.
    pub fn descriptions(&self, parent: usize, child: usize) -> usize {
        let (parent, child) = (&self.cells[parent].pairs, &self.cells[child].pairs);
        let others = (0..self.names.len()).filter(|name| parent.iter().all(|(of, _)| of != name));
        let values: Vec<usize> = others.map(|name| self.values[name].len()).collect();
        ways(&values, child.len().saturating_sub(parent.len()))
    }

    /// The leaves that a cell covers, ascending.
    pub fn leaves(&self, cell: usize) -> Vec<usize> {
        let of_group = &self.cell_of[self.cells[cell].group];
        of_group.iter().enumerate().filter(|(_, of)| **of as usize == cell).map(|(leaf, _)| leaf).collect()
    }

    /// The other leaves, ascending.
    pub fn outside(&self, cell: usize) -> impl Iterator<Item = usize> {
        let of_group = &self.cell_of[self.cells[cell].group];
        of_group.iter().enumerate().filter(move |(_, of)| **of as usize != cell).map(|(leaf, _)| leaf)
    }

    /// Inside and outside a cell, for each value of another attribute, and for leaves without one.
    pub fn strata(&self, cell: usize, attribute: usize, counts: &[Count]) -> Vec<(Count, Count)> {
        let mut strata = vec![(Count::default(), Count::default()); self.values[attribute].len() + 1];
        let of_group = &self.cell_of[self.cells[cell].group];
        for ((code, of), count) in self.codes[attribute].iter().zip(of_group).zip(counts) {
            let (inside, outside) = &mut strata[usize::from(*code)];
            if *of as usize == cell { inside.add(*count) } else { outside.add(*count) }
        }
        strata
    }

    /// Adds a leaf's events to all its cells.
    pub fn add(&mut self, leaf: usize, count: Count) {
        for of_group in &self.cell_of {
            if let Some(cell) = self.cells.get_mut(of_group[leaf] as usize) {
                cell.count.add(count);
            }
        }
    }

    /// Takes a leaf's events out of all its cells.
    pub fn take_out(&mut self, leaf: usize, count: Count) {
        for of_group in &self.cell_of {
            if let Some(cell) = self.cells.get_mut(of_group[leaf] as usize) {
                cell.count = cell.count.without(count);
            }
        }
    }

    /// Adds the cells of one group of attributes; `false`: there would be too many.
    fn add_group(&mut self, group: &[usize]) -> bool {
        let sizes: SmallVec<[u64; 3]> = group.iter().map(|name| self.values[*name].len() as u64 + 1).collect();
        let leaves = self.codes.first().map_or(0, Vec::len);
        let key = |leaf: usize| {
            let mut codes = group.iter().zip(&sizes).map(|(name, size)| (u64::from(self.codes[*name][leaf]), size));
            // 0: an attribute is absent. The others differ, because each digit is below its size.
            codes.try_fold(0, |key: u64, (code, size)| (code > 0).then_some(key * size + code))
        };
        let keys: Vec<Option<u64>> = (0..leaves).map(key).collect();
        let distinct = distinct(&keys, sizes.iter().product());
        if self.cells.len() + distinct.len() > CELLS_MAX {
            return false;
        }
        let first = self.cells.len();
        let number = |key: &Option<u64>| {
            key.and_then(|key| distinct.binary_search(&key).ok()).map_or(NONE, |at| (first + at) as u32)
        };
        self.cell_of.push(match dense(&distinct, sizes.iter().product(), first) {
            Some(dense) => keys.iter().map(|key| key.map_or(NONE, |key| dense[key as usize])).collect(),
            None => keys.iter().map(number).collect(),
        });
        let group_number = self.cell_of.len() - 1;
        for key in distinct {
            let mut rest = key;
            let mut pairs: SmallVec<[Pair; 3]> = SmallVec::new();
            for (name, size) in group.iter().zip(&sizes).rev() {
                pairs.push((*name, (rest % size) as u16));
                rest /= size;
            }
            pairs.reverse();
            self.cells.push(Cell { group: group_number, pairs, count: Count::default() });
        }
        true
    }
}

/// The keys that occur, ascending.
fn distinct(keys: &[Option<u64>], size: u64) -> Vec<u64> {
    if size <= DENSE_MAX as u64 {
        let mut is_there = vec![false; size as usize];
        keys.iter().flatten().for_each(|key| is_there[*key as usize] = true);
        return is_there.iter().enumerate().filter(|(_, there)| **there).map(|(key, _)| key as u64).collect();
    }
    let mut distinct: Vec<u64> = keys.iter().flatten().copied().collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

/// The cell of each key, where a table of them is small.
fn dense(distinct: &[u64], size: u64, first: usize) -> Option<Vec<u32>> {
    if size > DENSE_MAX as u64 {
        return None;
    }
    let mut numbers = vec![NONE; size as usize];
    distinct.iter().enumerate().for_each(|(at, key)| numbers[*key as usize] = (first + at) as u32);
    Some(numbers)
}

/// Names and values of the attributes that tell leaves apart, and the names of the others.
fn attributes(leaves: &[Leaf<'_>]) -> (Vec<String>, Vec<Vec<String>>, Vec<String>) {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in leaves.iter().flat_map(|leaf| &leaf.attributes) {
        let values = all.entry(name).or_default();
        if *value != OTHER {
            values.insert(value);
        }
    }
    let (mut names, mut values, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for (name, of_name) in all {
        if (2..=VALUES_PER_ATTRIBUTE_MAX).contains(&of_name.len()) && names.len() < ATTRIBUTES_MAX {
            names.push(name.to_owned());
            values.push(of_name.into_iter().map(str::to_owned).collect());
        } else {
            left_out.push(name.to_owned());
        }
    }
    (names, values, left_out)
}

/// For each attribute the numbers of the leaves' values from 1; 0 where a leaf has none.
fn codes(leaves: &[Leaf<'_>], names: &[String], values: &[Vec<String>]) -> Vec<Vec<u16>> {
    let mut codes = vec![vec![0; leaves.len()]; names.len()];
    for (at, leaf) in leaves.iter().enumerate() {
        for (name, value) in &leaf.attributes {
            let Ok(attribute) = names.binary_search_by(|known| known.as_str().cmp(name)) else { continue };
            let number = values[attribute].binary_search_by(|known| known.as_str().cmp(value));
            codes[attribute][at] = number.map_or(0, |at| at as u16 + 1);
        }
    }
    codes
}
