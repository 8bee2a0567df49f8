//! Filters in words: what a condition asks, without CEL's signs. Values stay as they are written.

use crate::model::expr::{Comparison, Condition, Int, Part, Reference, TextTest, Zone};

/// `operation is 'checkout' and status is below 500`.
pub fn of(condition: &Condition) -> String {
    match condition {
        Condition::Literal(true) => "always".to_owned(),
        Condition::Literal(false) => "never".to_owned(),
        Condition::Has(reference) => format!("{} is there", name(reference)),
        Condition::Not(inner) => match &**inner {
            Condition::Has(reference) => format!("{} is not there", name(reference)),
            Condition::TextIn(text, items) => format!("{text} is none of {}", items.join(", ")),
            Condition::IntIn(a, items) => format!("{} is none of {}", int(a), list(items)),
            other => format!("not ({})", of(other)),
        },
        Condition::All(parts) => joined(parts, " and "),
        Condition::Any(parts) => joined(parts, " or "),
        Condition::If(c) => format!("where {}: {}; elsewhere: {}", of(&c.0), of(&c.1), of(&c.2)),
        Condition::CompareInt(op, a, b) => format!("{} {} {}", int(a), is(*op), int(b)),
        Condition::CompareDouble(op, a, b) => format!("{a} {} {b}", is(*op)),
        Condition::CompareText(op, a, b) => format!("{a} {} {b}", is(*op)),
        Condition::CompareTime(op, a, b) => format!("{a} {} {b}", is(*op)),
        Condition::CompareSpan(op, a, b) => format!("{a} {} {b}", is(*op)),
        Condition::IntIn(a, items) => format!("{} is one of {}", int(a), list(items)),
        Condition::DoubleIn(double, items) => format!("{double} is one of {}", list(items)),
        Condition::TextIn(text, items) => format!("{text} is one of {}", items.join(", ")),
        Condition::Test(test, a, b) => format!("{a} {} {b}", tested(*test)),
        Condition::Matches(text, pattern) => format!("{text} matches the pattern {}", pattern.source()),
        Condition::Same { .. } => condition.to_string(),
    }
}

fn int(int: &Int) -> String {
    let Int::PartOfTime(part, time, zone) = int else { return int.to_string() };
    let part = match part {
        Part::FullYear => "the year",
        Part::Month => "the month (January is 0)",
        Part::Date => "the day of the month",
        Part::DayOfMonth => "the day of the month (the first is 0)",
        Part::DayOfWeek => "the day of the week (Sunday is 0)",
        Part::DayOfYear => "the day of the year (the first is 0)",
        Part::Hours => "the hour",
        Part::Minutes => "the minute",
        Part::Seconds => "the second",
    };
    let zone = match zone {
        Zone::Known { written, .. } if !written.is_empty() => written.to_string(),
        Zone::Utc | Zone::Known { .. } => "UTC".to_owned(),
        Zone::Read(text) => format!("the zone {text}"),
    };
    format!("{part} of {time} in {zone}")
}

fn joined(parts: &[Condition], word: &str) -> String {
    let part = |part: &Condition| match part {
        Condition::All(_) | Condition::Any(_) | Condition::If(_) => format!("({})", of(part)),
        other => of(other),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(word)
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn name(reference: &Reference) -> String {
    match reference {
        Reference::Field(field) => field.as_str().to_owned(),
        Reference::Measure(name) => format!("the measure {}", name.0),
        Reference::Attribute(name) => format!("the attribute {}", name.0),
    }
}

const fn is(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq => "is",
        Comparison::Ne => "is not",
        Comparison::Lt => "is below",
        Comparison::Le => "is at most",
        Comparison::Gt => "is above",
        Comparison::Ge => "is at least",
    }
}

const fn tested(test: TextTest) -> &'static str {
    match test {
        TextTest::StartsWith => "begins with",
        TextTest::EndsWith => "ends with",
        TextTest::Contains => "contains",
    }
}

#[cfg(test)]
mod tests {
    use crate::definition::expression::compile_filter;

    #[test]
    fn a_filter_reads_as_a_sentence() {
        for (source, words) in [
            ("operation == 'pay' && status < 500", "operation is 'pay' and status is below 500"),
            (
                "has(status) && (status < 500 || user == 'u')",
                "status is there and (status is below 500 or user is 'u')",
            ),
            ("!has(attributes.tier)", "the attribute tier is not there"),
            (
                "timestamp.getHours('Europe/Berlin') >= 8 && timestamp.getDayOfWeek() != 0",
                "the hour of timestamp in Europe/Berlin is at least 8 and the day of the week (Sunday is 0) of timestamp \
                 in UTC is not 0",
            ),
            ("!(operation in ['a', 'b'])", "operation is none of a, b"),
            ("operation.startsWith('/v1')", "operation begins with '/v1'"),
        ] {
            let filter = compile_filter(source).unwrap_or_else(|e| panic!("{source}: {e}"));
            assert_eq!(super::of(filter.condition()), words, "{source}");
        }
    }
}
