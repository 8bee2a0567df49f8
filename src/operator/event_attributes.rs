//! The attributes of the leaves of a table of events, with their values: which one identifies rather than groups?

use super::partial::VALUES_PER_ATTRIBUTE_MAX;
use crate::model::key::OTHER;
use crate::model::tuple::Tuple;
use hashbrown::HashSet;

#[derive(Default)]
struct Attribute<'a> {
    name: &'a [u8],
    values: HashSet<&'a [u8]>,
    /// The value that was seen last: where leaves are in order, the next one is mostly the same.
    last: &'a [u8],
}

/// Attributes of leaves, in the order in which they were seen.
pub struct Attributes<'a>(Vec<Attribute<'a>>);

impl<'a> Attributes<'a> {
    pub fn of(leaves: impl Iterator<Item = &'a Tuple>) -> Attributes<'a> {
        let mut all = Attributes(Vec::new());
        for leaf in leaves {
            leaf.pairs().as_bytes().enumerate().for_each(|(place, (name, value))| all.add(place, name, value));
        }
        all
    }

    /// `place`: where it stands in its leaf, and mostly here, too.
    fn add(&mut self, place: usize, name: &'a [u8], value: &'a [u8]) {
        let is_there = self.0.get(place).is_some_and(|attribute| attribute.name == name);
        let place = if is_there { Some(place) } else { self.0.iter().position(|attribute| attribute.name == name) };
        let place = place.unwrap_or_else(|| {
            self.0.push(Attribute { name, ..Attribute::default() });
            self.0.len() - 1
        });
        let attribute = &mut self.0[place];
        if attribute.last != value || attribute.values.is_empty() {
            attribute.values.insert(value);
            attribute.last = value;
        }
    }

    /// The attribute with the most values, where they are too many; ties by name.
    pub fn of_most_values(&self) -> Option<String> {
        let many = self.0.iter().filter(|attribute| attribute.values.len() > VALUES_PER_ATTRIBUTE_MAX);
        let most = many.min_by(|a, b| b.values.len().cmp(&a.values.len()).then_with(|| a.name.cmp(b.name)))?;
        Some(text(most.name).to_owned())
    }

    /// What leaves are counted under that are not told apart.
    pub fn other(&self) -> Tuple {
        Tuple::of(self.0.iter().map(|attribute| (text(attribute.name), OTHER)))
    }
}

fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_with_the_most_values_is_named_if_they_are_too_many() {
        let leaf = |i: usize, values: usize| {
            let (b, c) = (format!("b{}", i % values), format!("c{}", i % (VALUES_PER_ATTRIBUTE_MAX + 1)));
            // Some leaves have one more.
            let more = i.is_multiple_of(3).then_some(("aa", "x"));
            Tuple::of([("a", ""), ("c", &*c), ("b", &*b)].into_iter().chain(more))
        };
        let named = |values: usize| {
            let leaves: Vec<Tuple> = (0..1_000).map(|i| leaf(i, values)).collect();
            let attributes = Attributes::of(leaves.iter());
            let other = Tuple::of(["a", "aa", "b", "c"].map(|name| (name, OTHER)).into_iter());
            assert_eq!(attributes.other(), other);
            attributes.of_most_values().expect("too many")
        };
        assert_eq!([1, VALUES_PER_ATTRIBUTE_MAX + 1, VALUES_PER_ATTRIBUTE_MAX + 2].map(named), ["c", "b", "b"]);
        let few: Vec<Tuple> = (0..VALUES_PER_ATTRIBUTE_MAX).map(|i| leaf(i, 500)).collect();
        assert_eq!(Attributes::of(few.iter()).of_most_values(), None);
    }
}
