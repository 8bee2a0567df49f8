//! A character after a backslash.

use super::super::{Compiled, error};

/// The character of an escape, and its length in bytes.
pub fn character(rest: &str) -> Compiled<(char, usize)> {
    let behind = &rest[1..];
    let c = behind
        .chars()
        .next()
        .ok_or_else(|| error("the pattern ends in a backslash").with_remedy("write `\\\\` for the character"))?;
    let simple = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => return hexadecimal(behind).map(|(c, length)| (c, length + 1)),
        '0' => return octal(behind),
        '1'..='7' if behind[1..].starts_with(|next: char| ('0'..='7').contains(&next)) => return octal(behind),
        '1'..='9' => {
            return Err(error(format!("RE2 knows no reference back to a group, as `\\{c}` would be"))
                .with_remedy("write the group once more"));
        }
        // Anything but a letter or digit means itself.
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(unknown(c)),
    };
    Ok((simple, 1 + c.len_utf8()))
}

fn unknown(c: char) -> super::super::ExpressionError {
    let remedy = match c {
        'Z' => "the end is `\\z` or `$`",
        'C' => "one character is `.`",
        'h' | 'H' => "a blank is `[ \\t]`",
        'R' => "an end of line is `\\r?\\n`",
        'u' | 'U' => "a character by its number is `\\x{1F600}`",
        _ => "leave the backslash out; `\\d`, `\\w`, `\\s`, `\\b` and `\\.` are known",
    };
    error(format!("RE2 knows no escape `\\{c}`")).with_remedy(remedy)
}

/// Up to three digits.
fn octal(behind: &str) -> Compiled<(char, usize)> {
    let digits = behind.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
    let value = u32::from_str_radix(&behind[..digits], 8).ok().and_then(char::from_u32);
    value
        .map(|c| (c, 1 + digits))
        .ok_or_else(|| error("this octal number names no character").with_remedy("as in \\101"))
}

/// `x41`, `x{1F600}`.
fn hexadecimal(behind: &str) -> Compiled<(char, usize)> {
    let wrong = || error("this number names no character").with_remedy("as in \\x41 or \\x{1F600}");
    let digits = match behind[1..].strip_prefix('{') {
        Some(inside) => &inside[..inside.find('}').ok_or_else(wrong)?],
        None => behind.get(1..3).ok_or_else(wrong)?,
    };
    let is_braced = behind[1..].starts_with('{');
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = is_number.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten();
    value.map(|c| (c, 1 + digits.len() + if is_braced { 2 } else { 0 })).ok_or_else(wrong)
}
