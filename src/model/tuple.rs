//! All attributes of one event as one value: canonical bytes, the same for the same attributes in any order. They are
//! compared, sent and stored in this form; names and values are decoded only when needed.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;
use std::borrow::Borrow;
use std::fmt;

/// Attributes, ascending by name.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple(Box<[u8]>);

impl Tuple {
    /// Bytes written by [`encode`].
    pub fn of_bytes(bytes: &[u8]) -> Tuple {
        Tuple(bytes.into())
    }

    /// Attributes in any order; of a repeated name the last value counts.
    pub fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Tuple {
        let mut bytes = Vec::new();
        encode(pairs, &mut bytes);
        Tuple(bytes.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What [`encode`] wrote.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Names and values, ascending by name.
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs(&self.0)
    }
}

/// So that a map of tuples can be asked for the bytes of one.
impl Borrow<[u8]> for Tuple {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.pairs()).finish()
    }
}

impl Serialize for Tuple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tuple {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tuple, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Tuple;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of attributes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Tuple, E> {
                Ok(Tuple(bytes.into()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Names and values in the bytes of a tuple.
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    /// What [`encode`] wrote.
    pub fn of(bytes: &'a [u8]) -> Pairs<'a> {
        Pairs(bytes)
    }

    /// As owned texts.
    pub fn to_vec(self) -> Vec<(String, String)> {
        self.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The same as bytes, where it only counts which are equal.
    pub fn as_bytes(mut self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        std::iter::from_fn(move || Some((self.bytes()?, self.bytes()?)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_first_chunk::<2>()?;
        let (text, after) = tail.split_at_checked(usize::from(u16::from_be_bytes(*head)))?;
        self.0 = after;
        Some(text)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        Some((self.text()?, self.text()?))
    }
}

/// Writes the canonical bytes of attributes in any order.
pub fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, into: &mut Vec<u8>) {
    let mut sorted: SmallVec<[(&str, &str); 8]> = SmallVec::new();
    for (name, value) in pairs {
        // A name that comes twice counts with its last value.
        match sorted.binary_search_by(|(n, _)| (*n).cmp(name)) {
            Ok(at) => sorted[at].1 = value,
            Err(at) => sorted.insert(at, (name, value)),
        }
    }
    into.clear();
    for (name, value) in sorted {
        for text in [name, value] {
            // Decoders refuse longer ones (`codec::FieldLimits`).
            debug_assert!(text.len() <= usize::from(u16::MAX));
            into.extend_from_slice(&(text.len() as u16).to_be_bytes());
            into.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_the_same_in_any_order_and_comes_back() {
        let (tier, region) = (("tier", "pro"), ("region", "eu"));
        let tuple = Tuple::of([tier, ("region", "us"), region].into_iter());
        assert_eq!(tuple, Tuple::of([region, tier].into_iter()));
        assert_eq!(tuple.pairs().collect::<Vec<_>>(), [region, tier]);
        let bytes = postcard::to_stdvec(&tuple).expect("bytes");
        assert_eq!(postcard::from_bytes::<Tuple>(&bytes).expect("a tuple"), tuple);
        assert!(Tuple::default().is_empty() && Tuple::default().pairs().next().is_none());
    }

    #[test]
    fn bytes_that_are_cut_off_end_the_pairs() {
        let mut bytes = Vec::new();
        encode([("region", "eu")].into_iter(), &mut bytes);
        bytes.pop();
        assert_eq!(Pairs::of(&bytes).count(), 0);
    }
}
