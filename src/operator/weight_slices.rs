//! Weights by slice, packed: two or three bytes for a slice with a few events of weight 1.
//!
//! Slices ascend. Each is how many slices it is after the one before (the first: its number), and its weight: a whole number
//! of events of weight 1, doubled, or micro-weights, doubled and 1 more.

use crate::model::wire::Writer;
use serde::{Deserialize, Serialize};

/// One event of weight 1, in micro-weights.
const ONE: u128 = 1_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightSlices {
    bytes: Box<[u8]>,
}

impl WeightSlices {
    /// Number and micro-weights of each slice, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u128)> {
        let (mut rest, mut number) = (&*self.bytes, 0);
        std::iter::from_fn(move || {
            let (step, weight) = (varint(&mut rest)?, varint(&mut rest)?);
            number += step as i64;
            Some((number, if weight & 1 == 0 { (weight >> 1) * ONE } else { weight >> 1 }))
        })
    }

    /// The weight of the slices from a number on.
    pub fn sum_from(&self, number: i64) -> u128 {
        self.iter().filter(|(own, _)| *own >= number).map(|(_, weight)| weight).sum()
    }

    /// Drops the slices before a number, and adds weights to others.
    pub fn update(&mut self, drop_before: i64, more: &[(i64, u128)]) {
        let mut slices: Vec<(i64, u128)> = self.iter().filter(|(number, _)| *number >= drop_before).collect();
        for (number, weight) in more.iter().filter(|(number, _)| *number >= drop_before) {
            match slices.binary_search_by_key(number, |(own, _)| *own) {
                Err(at) => slices.insert(at, (*number, *weight)),
                Ok(at) => slices[at].1 += weight,
            }
        }
        let (mut bytes, mut before) = (Vec::with_capacity(3 * slices.len() + 4), 0);
        let mut out = Writer::new(&mut bytes);
        for (number, weight) in slices {
            out.u64((number - before) as u64);
            before = number;
            out.u128(if weight % ONE == 0 { (weight / ONE) << 1 } else { weight << 1 | 1 });
        }
        self.bytes = bytes.into_boxed_slice();
    }
}

/// The next number, seven bits a byte, the lowest first; `None`: there is none.
fn varint(rest: &mut &[u8]) -> Option<u128> {
    let (mut value, mut shift) = (0u128, 0);
    loop {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u128::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn they_are_what_a_map_would_have(
            updates in prop::collection::vec((0i64..60, prop::collection::vec((0i64..80, 1u128..5_000_000), 0..6)), 0..20)
        ) {
            let (mut slices, mut map) = (WeightSlices::default(), BTreeMap::<i64, u128>::new());
            for (drop_before, more) in updates {
                slices.update(drop_before, &more);
                map.retain(|number, _| *number >= drop_before);
                for (number, weight) in more.into_iter().filter(|(number, _)| *number >= drop_before) {
                    *map.entry(number).or_default() += weight;
                }
                prop_assert_eq!(slices.iter().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(slices.sum_from(40), map.range(40..).map(|(_, weight)| weight).sum::<u128>());
            }
        }
    }

    #[test]
    fn a_slice_with_a_few_events_takes_two_bytes_and_large_weights_stay_exact() {
        let mut slices = WeightSlices::default();
        slices.update(0, &[(4, ONE), (6, 60 * ONE), (9, u128::from(u64::MAX) * 3 + 1)]);
        assert_eq!(slices.iter().collect::<Vec<_>>(), [(4, ONE), (6, 60 * ONE), (9, u128::from(u64::MAX) * 3 + 1)]);
        slices.update(5, &[]);
        slices.update(0, &[(6, 3 * ONE)]);
        slices.update(0, &[(7, ONE)]);
        slices.update(8, &[(10, ONE), (12, 2 * ONE)]);
        slices.update(10, &[]);
        assert_eq!((slices.bytes.len(), slices.sum_from(0)), (4, 3 * ONE));
    }
}
