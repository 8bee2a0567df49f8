//! Many tuples in one piece of memory, so that a partial with a thousand of them is read without a thousand allocations.
//!
//! As bytes each tuple is what it shares with the one before (a number of bytes) and the rest: tuples in order share most.

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use std::fmt;

/// Bytes of tuples, by number from 0.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TupleList {
    bytes: Vec<u8>,
    /// Where each tuple ends.
    ends: Vec<usize>,
}

impl TupleList {
    pub fn push(&mut self, tuple: &[u8]) {
        self.bytes.extend_from_slice(tuple);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of a tuple; of one that does not exist none.
    pub fn get(&self, number: usize) -> &[u8] {
        let from = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(number).and_then(|end| self.bytes.get(from..*end)).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|number| self.get(number))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl<'a> FromIterator<&'a [u8]> for TupleList {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(tuples: I) -> TupleList {
        let mut list = TupleList::default();
        tuples.into_iter().for_each(|tuple| list.push(tuple));
        list
    }
}

impl fmt::Debug for TupleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(crate::model::tuple::Tuple::of_bytes)).finish()
    }
}

struct Rest<'a>(&'a [u8]);

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Serialize for TupleList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut all, mut before) = (serializer.serialize_seq(Some(self.len()))?, &[][..]);
        for tuple in self.iter() {
            let shared = before.iter().zip(tuple).take_while(|(a, b)| a == b).count();
            all.serialize_element(&(shared, Rest(&tuple[shared..])))?;
            before = tuple;
        }
        all.end()
    }
}

impl<'de> Deserialize<'de> for TupleList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TupleList, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = TupleList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tuples, each with how much it shares with the one before")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<TupleList, A::Error> {
                let mut list = TupleList::default();
                let mut before = 0;
                while let Some((shared, rest)) = all.next_element::<(usize, &[u8])>()? {
                    let from = list.bytes.len();
                    // No more than there is.
                    list.bytes.extend_from_within(before..(before + shared).min(from));
                    list.bytes.extend_from_slice(rest);
                    list.ends.push(list.bytes.len());
                    before = from;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tuples_come_back_from_their_bytes(tuples in prop::collection::vec("[ab]{0,6}", 0..20)) {
            let list: TupleList = tuples.iter().map(|text| text.as_bytes()).collect();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), tuples.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
            let bytes = postcard::to_stdvec(&list).expect("bytes");
            prop_assert_eq!(postcard::from_bytes::<TupleList>(&bytes).expect("a list"), list);
        }
    }

    #[test]
    fn what_tuples_share_is_written_once() {
        let list: TupleList = [&b"region=eu,tier=free"[..], b"region=eu,tier=pro"].into_iter().collect();
        assert_eq!(postcard::to_stdvec(&list).expect("bytes").len(), 1 + 2 + 19 + 2 + 3);
        // More than there is to share.
        let list: TupleList = postcard::from_bytes(&[2, 9, 1, b'a', 9, 1, b'b']).expect("a list");
        assert_eq!(list.iter().collect::<Vec<_>>(), [&b"a"[..], b"ab"]);
        assert_eq!((list.get(2), list.is_empty()), (&b""[..], false));
    }
}
