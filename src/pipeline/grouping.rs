//! Carries the fields used by `group-by`, and the operation for cohorts, from route to users: they are written before the
//! attribute tuple, and only the fields that some SLO asks for.

use crate::model::outcome::Outcome;
use crate::model::slo::Slo;
use crate::operator::event_leaf;

/// The place of `operation` in [`Slo::GROUP_FIELDS`].
pub const OPERATION: usize = 2;

/// The fields that some SLO asks for, in the order of [`Slo::GROUP_FIELDS`].
pub fn fields_asked_for(slos: &[Slo]) -> Vec<&'static str> {
    let is_cohort = |slo: &Slo, field: &str| field == event_leaf::OPERATION && slo.cohorts;
    let is_group = |slo: &Slo, field: &str| slo.group_by.iter().any(|name| name == field);
    let is_asked_for = |field: &&str| slos.iter().any(|slo| is_group(slo, field) || is_cohort(slo, field));
    Slo::GROUP_FIELDS.into_iter().filter(is_asked_for).collect()
}

/// The fields of an outcome as pairs, so that equal pairs mean equal fields: an absent field differs from an empty
/// one.
pub fn pairs<'a>(fields: &'a [&'static str], outcome: &'a Outcome<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    fields.iter().map(|field| outcome.group_value(field).map_or(("", ""), |value| (*field, value)))
}

/// Inserts the fields before an attribute tuple: a mask of the fields present, then each with its length.
pub fn put_in_front(fields: &[&'static str], outcome: &Outcome<'_>, tuple: &mut Vec<u8>) {
    let mut front = vec![0u8];
    for field in fields {
        let Some(value) = outcome.group_value(field) else { continue };
        front[0] |= Slo::GROUP_FIELDS.iter().position(|known| known == field).map_or(0, |at| 1 << at);
        // The length fits into 16 bits, because decoders bound texts (`codec::FieldLimits`).
        front.extend_from_slice(&(value.len() as u16).to_be_bytes());
        front.extend_from_slice(value.as_bytes());
    }
    tuple.splice(0..0, front);
}

/// Splits the fields (in the order of [`Slo::GROUP_FIELDS`]) from the tuple after them.
pub fn taken_apart(bytes: &[u8]) -> ([Option<&str>; 3], &[u8]) {
    let mut fields = [None; 3];
    let Some((mask, mut rest)) = bytes.split_first() else { return (fields, bytes) };
    for (at, field) in fields.iter_mut().enumerate() {
        if mask & (1 << at) == 0 {
            continue;
        }
        let Some((length, behind)) = rest.split_first_chunk::<2>() else { break };
        let (text, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)).min(behind.len()));
        *field = std::str::from_utf8(text).ok();
        rest = behind;
    }
    (fields, rest)
}

/// The value of a `group-by` name; `None` if the name is no field (then it is an attribute).
pub fn field<'a>(fields: &[Option<&'a str>; 3], name: &str) -> Option<Option<&'a str>> {
    Slo::GROUP_FIELDS.iter().position(|known| *known == name).map(|at| fields[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operation_is_where_it_is_looked_for() {
        assert_eq!(Slo::GROUP_FIELDS[OPERATION], event_leaf::OPERATION);
    }

    #[test]
    fn fields_written_before_a_tuple_are_read_back() {
        let outcome = Outcome { operation: Some("pay".into()), error_type: Some("".into()), ..Outcome::default() };
        for (asked, found) in [
            (&["dependency", "error_type", "operation"][..], [None, Some(""), Some("pay")]),
            (&["operation"][..], [None, None, Some("pay")]),
            (&[][..], [None; 3]),
        ] {
            let mut bytes = b"tuple".to_vec();
            put_in_front(asked, &outcome, &mut bytes);
            assert_eq!(taken_apart(&bytes), (found, &b"tuple"[..]), "{asked:?}");
        }
        assert_eq!(field(&[None, None, Some("pay")], "operation"), Some(Some("pay")));
        assert_eq!(field(&[None; 3], "operation"), Some(None));
        assert_eq!(field(&[None; 3], "region"), None);
    }
}
