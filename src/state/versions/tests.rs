use super::*;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Structs as version 6 wrote them.
mod then {
    use super::*;

    #[derive(Serialize)]
    pub struct Inner {
        pub count: u64,
        pub name: &'static str,
    }

    #[derive(Serialize)]
    pub enum Form {
        #[expect(dead_code, reason = "it holds the place of the first variant")]
        Nothing,
        One(Inner),
        Pair(u8, Inner),
    }

    #[derive(Serialize)]
    pub struct Outer {
        pub first: u8,
        pub one: Option<Box<Inner>>,
        pub many: Vec<Inner>,
        pub by_name: BTreeMap<String, Inner>,
        pub pair: (Inner, i16),
        pub forms: [Form; 2],
        pub text: &'static str,
        pub sum: u128,
        pub last: i64,
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    count: u64,
    /// In the middle.
    #[serde(default = "seven")]
    added: u32,
    name: String,
}

fn seven() -> u32 {
    7
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Form {
    Nothing,
    One(Inner),
    Pair(u8, Inner),
    Added,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Outer<'a> {
    #[serde(default)]
    before: Option<Inner>,
    first: u8,
    one: Option<Box<Inner>>,
    many: Vec<Inner>,
    by_name: BTreeMap<String, Inner>,
    pair: (Inner, i16),
    forms: [Form; 2],
    #[serde(borrow)]
    text: Cow<'a, str>,
    sum: u128,
    last: i64,
    #[serde(default)]
    behind: Vec<u64>,
}

const FIELDS: &[Added] = &[
    (7, "Inner", "added"),
    (7, "Outer", "before"),
    (7, "Outer", "behind"),
    (7, "Other", "count"),
    (6, "Outer", "sum"),
];

fn then(count: u64) -> then::Inner {
    then::Inner { count, name: "n" }
}

fn now(count: u64) -> Inner {
    Inner { count, added: 7, name: "n".to_owned() }
}

fn bytes_of_version_6() -> Vec<u8> {
    let outer = then::Outer {
        first: 200,
        one: Some(Box::new(then(1))),
        many: vec![then(2), then(300)],
        by_name: [("k".to_owned(), then(4))].into(),
        pair: (then(5), -6),
        forms: [then::Form::One(then(7)), then::Form::Pair(8, then(9))],
        text: "text",
        sum: u128::MAX,
        last: -1,
    };
    postcard::to_stdvec(&outer).expect("bytes")
}

#[test]
fn fields_that_an_earlier_version_lacks_get_their_default_wherever_they_are() {
    let bytes = bytes_of_version_6();
    let outer: Outer<'_> = decode_by(FIELDS, &bytes, 6).expect("read");
    let wanted = Outer {
        before: None,
        first: 200,
        one: Some(Box::new(now(1))),
        many: vec![now(2), now(300)],
        by_name: [("k".to_owned(), now(4))].into(),
        pair: (now(5), -6),
        forms: [Form::One(now(7)), Form::Pair(8, now(9))],
        text: Cow::Borrowed("text"),
        sum: u128::MAX,
        last: -1,
        behind: Vec::new(),
    };
    assert_eq!(outer, wanted);
}

#[test]
fn the_current_version_has_all_fields() {
    let outer = Outer {
        before: Some(Inner { count: 1, added: 2, name: "three".to_owned() }),
        first: 4,
        one: None,
        many: Vec::new(),
        by_name: BTreeMap::new(),
        pair: (now(5), 6),
        forms: [Form::Added, Form::Nothing],
        text: Cow::Borrowed(""),
        sum: 7,
        last: 8,
        behind: vec![9],
    };
    let bytes = postcard::to_stdvec(&outer).expect("bytes");
    assert_eq!(decode_by::<Outer<'_>>(FIELDS, &bytes, VERSION), Ok(outer));
}

#[test]
fn bytes_behind_the_value_are_refused_in_every_version() {
    for (version, mut bytes) in [(VERSION, vec![5]), (OLDEST, vec![5])] {
        assert_eq!(decode::<u8>(&bytes, version), Ok(5));
        bytes.extend_from_slice(&[0, 0]);
        assert_eq!(decode::<u8>(&bytes, version), Err(DecodeError::Trailing(2)));
    }
    let mut bytes = bytes_of_version_6();
    bytes.push(0);
    assert_eq!(decode_by::<Outer<'_>>(FIELDS, &bytes, 6), Err(DecodeError::Trailing(1)));
}

#[test]
fn bytes_that_end_early_are_refused() {
    let bytes = bytes_of_version_6();
    for end in 0..bytes.len() {
        let read = decode_by::<Outer<'_>>(FIELDS, &bytes[..end], 6);
        assert!(matches!(read, Err(DecodeError::Bytes(_))), "{end}: {read:?}");
    }
}

#[test]
fn a_field_that_is_not_declared_a_field_that_went_and_another_kind_are_differences() {
    let mut shape = shape::Shape::default();
    shape.add::<Inner>();
    shape.add::<Form>();
    let then = "Inner\n  count u64\n  added u32\n  name string\nenum Form\n  Nothing unit\n  One Inner\n";
    assert_eq!(shape.differences(6, then), Vec::<String>::new(), "variants may be added at the end");
    for (from, to) in [
        ("  added u32\n", ""),
        ("  name string\n", "  name string\n  gone u8\n"),
        ("count u64", "count u32"),
        ("  Nothing unit\n", ""),
        ("Inner\n", "Other\n"),
    ] {
        let changed = then.replacen(from, to, 1);
        assert_eq!(shape.differences(6, &changed).len(), 1, "{from:?} became {to:?}");
    }
}

#[test]
fn no_field_was_added_after_the_current_version_or_before_the_oldest() {
    for (since, name, field) in ADDED {
        assert!((OLDEST + 1..=VERSION).contains(since), "{name}.{field}");
    }
}
