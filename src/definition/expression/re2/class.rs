//! Sets of characters: `[...]`, `\d`, `\pL`, `[:alpha:]`.

use super::super::{Compiled, error};
use super::escape;
use std::fmt::Write as _;

/// RE2's own sets, as ranges.
const DIGIT: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
/// No vertical tab, unlike `[:space:]`.
const BLANK: &str = "\\x{9}\\x{A}\\x{C}\\x{D}\\x{20}";

const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", "\\x{0}-\\x{7F}"),
    ("blank", "\\x{9}\\x{20}"),
    ("cntrl", "\\x{0}-\\x{1F}\\x{7F}"),
    ("digit", DIGIT),
    ("graph", "\\x{21}-\\x{7E}"),
    ("lower", "a-z"),
    ("print", "\\x{20}-\\x{7E}"),
    ("punct", "\\x{21}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{7E}"),
    ("space", "\\x{9}-\\x{D}\\x{20}"),
    ("upper", "A-Z"),
    ("word", WORD),
    ("xdigit", "0-9A-Fa-f"),
];

/// The content of the brackets in a form that both dialects read alike, and the number of bytes read.
pub fn bracketed(source: &str) -> Compiled<(String, usize)> {
    let never_closed =
        || error("a `[` is never closed").with_remedy("close it with `]`, or write `\\[` for the character");
    let mut out = String::from("[");
    let mut rest = &source[1..];
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((written, length)) = named(rest)? {
            out.push_str(&written);
            rest = &rest[length..];
        } else if let Some((written, length)) = escaped(rest)? {
            out.push_str(&written);
            rest = &rest[length..];
        } else {
            let (low, length) = single(rest)?.ok_or_else(never_closed)?;
            rest = &rest[length..];
            let ranged = rest.strip_prefix('-').filter(|behind| !behind.is_empty() && !behind.starts_with(']'));
            let high = match ranged {
                Some(behind) => {
                    let (high, length) = single(behind)?.ok_or_else(never_closed)?;
                    rest = &behind[length..];
                    high
                }
                None => low,
            };
            if high < low {
                return Err(
                    error(format!("the range `{low}-{high}` goes backwards")).with_remedy("write the smaller first")
                );
            }
            push(&mut out, low);
            if high != low {
                out.push('-');
                push(&mut out, high);
            }
        }
    }
    out.push(']');
    Ok((out, source.len() - rest.len() + 1))
}

/// As numbers, so that no character has a special meaning.
fn push(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{{{:X}}}", c as u32);
    }
}

/// One character, escaped or not.
fn single(rest: &str) -> Compiled<Option<(char, usize)>> {
    match rest.chars().next() {
        Some('\\') => escape::character(rest).map(Some),
        Some(c) => Ok(Some((c, c.len_utf8()))),
        None => Ok(None),
    }
}

/// `[:alpha:]`, `[:^alpha:]`.
fn named(rest: &str) -> Compiled<Option<(String, usize)>> {
    let Some((name, _)) = rest.strip_prefix("[:").and_then(|behind| behind.split_once(":]")) else { return Ok(None) };
    let positive = name.strip_prefix('^').unwrap_or(name);
    let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == positive) else {
        let known = crate::model::suggest::one_of(POSIX.iter().map(|(known, _)| *known));
        return Err(error(format!("there is no set `[:{name}:]`")).with_remedy(format!("the sets are {known}")));
    };
    Ok(Some((negatable(ranges, positive.len() != name.len()), name.len() + 4)))
}

fn negatable(ranges: &str, negated: bool) -> String {
    if negated { format!("[^{ranges}]") } else { ranges.to_owned() }
}

/// `\d`, `\W`, `\pL`, `\p{Greek}`: their form inside brackets.
pub fn escaped(rest: &str) -> Compiled<Option<(String, usize)>> {
    let Some(c) = rest.strip_prefix('\\').and_then(|behind| behind.chars().next()) else { return Ok(None) };
    let ranges = match c.to_ascii_lowercase() {
        'd' => DIGIT,
        'w' => WORD,
        's' => BLANK,
        'p' => return unicode(rest, c == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((negatable(ranges, c.is_ascii_uppercase()), 2)))
}

/// `\pL`, `\p{Lu}`, `\p{^Greek}`: categories and scripts.
fn unicode(rest: &str, negated: bool) -> Compiled<(String, usize)> {
    let behind = &rest[2..];
    let (name, length) = match behind.strip_prefix('{') {
        Some(inside) => {
            let end = inside.find('}').ok_or_else(|| error("the name after `\\p{` has no end"))?;
            (&inside[..end], end + 4)
        }
        None => {
            let c = behind.chars().next().ok_or_else(|| error("a name is missing after `\\p`, as in `\\pL`"))?;
            (&behind[..c.len_utf8()], 2 + c.len_utf8())
        }
    };
    let positive = name.strip_prefix('^').unwrap_or(name);
    let negated = negated != (positive.len() != name.len());
    let is_name =
        !positive.is_empty() && positive.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
    let known = |kind: &str| regex::Regex::new(&format!("\\p{{{kind}{positive}}}")).is_ok();
    let special = ["any", "ascii", "assigned"].contains(&positive.to_ascii_lowercase().as_str());
    if !is_name || !(special || known("gc=") || known("sc=")) {
        return Err(error(format!("there is no kind of character named `{name}`"))
            .with_remedy("categories and scripts are known, as in \\pL, \\p{Lu}, \\p{Greek}"));
    }
    Ok((format!("\\{}{{{positive}}}", if negated { 'P' } else { 'p' }), length))
}
