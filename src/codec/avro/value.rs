//! Avro values with a logical meaning: uuids, decimals, maps written as entries.

use super::super::field::Scalar;
use super::super::tree::Node;
use std::borrow::Cow;

/// A uuid's text, from its 16 bytes.
#[cold]
pub(super) fn uuid<'a>(bytes: &[u8]) -> Scalar<'a> {
    match uuid::Uuid::from_slice(bytes) {
        Ok(uuid) => Scalar::Text(Cow::Owned(uuid.to_string())),
        Err(_) => Scalar::Other,
    }
}

/// A decimal number as text with all its digits; number fields take numeric text. It is stored as a whole number of
/// units of its last digit, big-endian, in two's complement. More than 38 digits are refused.
pub(super) fn decimal<'a>(unscaled: &[u8], scale: u32) -> Scalar<'a> {
    let is_negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let filler = if is_negative { 0xff } else { 0 };
    let surplus = unscaled.len().saturating_sub(16);
    let (filling, digits) = unscaled.split_at(surplus);
    let is_cut = digits.first().is_some_and(|byte| surplus > 0 && (byte & 0x80 != 0) != is_negative);
    if is_cut || filling.iter().any(|byte| *byte != filler) {
        return Scalar::Other;
    }
    let unscaled = digits.iter().fold(i128::from(filler as i8), |n, byte| (n << 8) | i128::from(*byte));
    let scale = scale as usize;
    if scale == 0 {
        return i64::try_from(unscaled).map_or_else(|_| Scalar::Text(Cow::Owned(unscaled.to_string())), Scalar::Long);
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    Scalar::Text(Cow::Owned(format!("{sign}{whole}.{fraction}")))
}

/// The name of an entry: text, or a whole number as text.
pub(super) fn name(key: Scalar<'_>) -> Cow<'_, str> {
    match key {
        Scalar::Text(text) => text,
        Scalar::Long(n) => Cow::Owned(n.to_string()),
        Scalar::Bool(b) => Cow::Borrowed(if b { "true" } else { "false" }),
        _ => Cow::Borrowed("(no name)"),
    }
}

/// A map from entries of `key` and `value`.
pub(super) fn map_of_entries<'a>(entries: Vec<Node<'a>>) -> Node<'a> {
    let member = |entry| {
        let (mut key, mut value) = (Scalar::Null, Node::Scalar(Scalar::Null));
        if let Node::Object(fields) = entry {
            for (name, node) in fields {
                if name == "key" {
                    key = node.scalar();
                } else {
                    value = node;
                }
            }
        }
        (name(key), value)
    };
    Node::Object(entries.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(unscaled: &[u8], scale: u32) -> Option<String> {
        match decimal(unscaled, scale) {
            Scalar::Text(text) => Some(text.into_owned()),
            Scalar::Long(n) => Some(n.to_string()),
            _ => None,
        }
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (unscaled, scale, text) in [
            (&[][..], 0, Some("0")),
            (&[], 2, Some("0.00")),
            (&[0x04, 0xd2], 2, Some("12.34")),
            (&[0xfb, 0x2e], 2, Some("-12.34")),
            (&[0xff], 3, Some("-0.001")),
            (&[0x80], 0, Some("-128")),
            (&[0x00, 0x80], 0, Some("128")),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0], 0, Some("18446744073709551616")),
            (&[0x7f; 16], 6, Some("169473963133173273960190490760135.540607")),
        ] {
            assert_eq!(text_of(unscaled, scale).as_deref(), text, "{unscaled:x?} {scale}");
        }
        let wide = |filler: u8, end: &[u8]| [vec![filler; 30], end.to_vec()].concat();
        assert_eq!(text_of(&wide(0, &[0x04, 0xd2]), 2).as_deref(), Some("12.34"));
        assert_eq!(text_of(&wide(0xff, &[0xfb, 0x2e]), 2).as_deref(), Some("-12.34"));
        // 2^127 and -2^127 - 1 are out of range.
        let one_more = [vec![0, 0x80], vec![0; 15]].concat();
        assert_eq!(text_of(&one_more, 0), None);
        let one_less = [vec![0xff, 0x7f], vec![0xff; 15]].concat();
        assert_eq!(text_of(&one_less, 0), None);
        assert_eq!(text_of(&[1; 20], 0), None);
    }
}
