use super::*;
use crate::operator::random::Random;

const NAMES: [(&str, usize); 4] = [("app", 3), ("plan", 4), ("region", 5), ("release", 6)];

/// All leaves of four attributes, of which the rates are a multiple of the usual one.
fn table(seed: u64, expected: f64, times: impl Fn(&[usize; 4]) -> f64) -> Vec<(Vec<(String, String)>, Count)> {
    let mut random = Random(seed);
    let mut rows = Vec::new();
    for at in 0..NAMES.iter().map(|(_, n)| *n).product::<usize>() {
        let mut rest = at;
        let values = NAMES.map(|(_, n)| {
            let value = rest % n;
            rest /= n;
            value
        });
        let attributes = NAMES.iter().zip(values).map(|((name, _), v)| ((*name).to_owned(), format!("v{v}"))).collect();
        rows.push((attributes, Count { bad: random.poisson(expected * times(&values)), expected }));
    }
    rows
}

fn found(rows: &[(Vec<(String, String)>, Count)]) -> Vec<String> {
    let leaves: Vec<Leaf<'_>> = rows
        .iter()
        .map(|(attributes, count)| Leaf {
            attributes: attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
            bad: count.bad,
            expected: count.expected,
        })
        .collect();
    let words = |cause: &Cause| cause.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
    scan(&leaves, f64::INFINITY, None).causes.iter().map(words).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for seed in 0..40 {
        assert_eq!(found(&table(seed, 1.0, |_| 1.0)), [] as [String; 0], "seed {seed}");
    }
    assert_eq!(found(&[]), [] as [String; 0]);
}

#[test]
fn causes_of_one_two_and_three_values_are_found_as_they_are() {
    for seed in 0..20 {
        assert_eq!(found(&table(seed, 2.0, |v| if v[2] == 1 { 6.0 } else { 1.0 })), ["region=v1"], "seed {seed}");
        let two = found(&table(seed, 2.0, |v| if v[1] == 3 && v[3] == 0 { 8.0 } else { 1.0 }));
        assert_eq!(two, ["plan=v3,release=v0"], "seed {seed}");
        let three = found(&table(seed, 4.0, |v| if (v[0], v[2], v[3]) == (2, 4, 5) { 15.0 } else { 1.0 }));
        assert_eq!(three, ["app=v2,region=v4,release=v5"], "seed {seed}");
    }
}

#[test]
fn several_causes_are_ranked_by_how_much_they_explain() {
    let times = |v: &[usize; 4]| match (v[0], v[1], v[3]) {
        (0, _, 2) => 10.0,
        (_, 1, _) => 4.0,
        _ => 1.0,
    };
    assert_eq!(found(&table(7, 4.0, times)), ["app=v0,release=v2", "plan=v1"]);
}

#[test]
fn a_value_that_only_has_more_of_a_bad_one_is_not_named() {
    // region=v0 has three times as much of release=v5, and only release=v5 is bad.
    let mut rows = table(11, 2.0, |v| if v[3] == 5 { 8.0 } else { 1.0 });
    for (attributes, count) in &mut rows {
        let is = |name: &str, value: &str| attributes.iter().any(|(n, v)| n == name && v == value);
        let more = if is("region", "v0") && is("release", "v5") { 3.0 } else { 1.0 };
        (count.bad, count.expected) = (count.bad * more, count.expected * more);
    }
    assert_eq!(found(&rows), ["release=v5"]);
}

#[test]
fn attributes_that_cannot_group_are_named() {
    let values: Vec<String> = (0..300).map(|i| format!("i{i}")).collect();
    fn leaf(id: &str) -> Leaf<'_> {
        Leaf { attributes: vec![("id", id), ("same", "1"), ("side", &id[..2])], bad: 1.0, expected: 1.0 }
    }
    let scanned = scan(&values.iter().map(|id| leaf(id)).collect::<Vec<_>>(), f64::INFINITY, None);
    assert_eq!(scanned.left_out, ["id", "same"]);
    assert_eq!(scanned.combinations, 10, "i0 to i9");
}
