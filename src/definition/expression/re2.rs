//! Translates RE2's regular expressions, which CEL's `matches` uses, to the syntax of the `regex` crate.
//!
//! The two differ in details: in RE2 `\d`, `\w`, `\s` and `\b` are ASCII; a `{` that begins no repetition is a literal,
//! and so are `[`, `&&`, `--` and `~~` inside a class; `\Q..\E` and octal numbers exist. A pattern is parsed by RE2's
//! rules, as in Go's `regexp`, and written in forms that both read alike. What RE2 refuses is refused.

mod class;
mod escape;
#[cfg(test)]
mod tests;

use super::{Compiled, ExpressionError, error};
use crate::model::expr::Pattern;
use std::collections::BTreeSet;

/// The depth limit of groups.
const MAX_GROUPS: usize = 50;

/// The crate's nesting limit: it counts a group, its alternatives, a sequence and a repetition each.
const NEST_LIMIT: u32 = 5 * MAX_GROUPS as u32;

/// The largest repetition count, nested ones multiplied. RE2's own limit.
const MAX_REPEAT: u32 = 1_000;

/// The size limit of a compiled pattern.
const SIZE_LIMIT_BYTES: usize = 4 << 20;

pub(super) fn compile(source: &str) -> Compiled<Pattern> {
    let translated = translate(source)?;
    let regex = regex::RegexBuilder::new(&translated).size_limit(SIZE_LIMIT_BYTES).nest_limit(NEST_LIMIT).build();
    match regex {
        Ok(regex) => Ok(Pattern::new(source, regex)),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(error("the pattern is too large").with_remedy("repeat less often by number, or a smaller set"))
        }
        Err(_) => {
            Err(error("the pattern cannot be used").with_remedy("simplify it: repeat letters, sets or groups alone"))
        }
    }
}

/// The pattern as the `regex` crate reads it.
fn translate(source: &str) -> Compiled<String> {
    let mut translator = Translator {
        rest: source,
        at: 0,
        out: String::with_capacity(source.len() + 16),
        groups: Vec::new(),
        names: BTreeSet::new(),
        last: Last::Nothing,
        weight: 1,
    };
    translator.run().map_err(|mut e| {
        e.message = format!("in the pattern, at character {}: {}", translator.at + 1, e.message);
        e
    })?;
    Ok(translator.out)
}

/// The item that a repetition would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    /// An item that already has this repetition count.
    Atom(u32),
    Repeated,
}

struct Translator<'p> {
    rest: &'p str,
    /// The current position, in characters.
    at: usize,
    out: String,
    /// For each open group, the largest repetition count before it in the enclosing group.
    groups: Vec<u32>,
    names: BTreeSet<&'p str>,
    last: Last,
    /// The largest repetition count in the current group.
    weight: u32,
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Compiled<()> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.copy(1);
                    self.last = Last::Nothing;
                }
                '^' | '$' | '.' => {
                    self.copy(1);
                    self.last = Last::Atom(1);
                }
                '[' => {
                    let (written, length) = class::bracketed(self.rest)?;
                    self.atom(&written, length);
                }
                '*' | '+' | '?' => self.repeat(1, 1)?,
                '{' => self.braces()?,
                '\\' => self.backslash()?,
                _ => self.letter(c),
            }
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        Err(error("a `(` is never closed").with_remedy("close it with `)`, or write `\\(` for the character"))
    }

    /// Advances by this many bytes.
    fn skip(&mut self, bytes: usize) -> &'p str {
        let (read, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.at += read.chars().count();
        read
    }

    /// Copies bytes that both dialects read alike.
    fn copy(&mut self, bytes: usize) {
        let read = self.skip(bytes);
        self.out.push_str(read);
    }

    fn atom(&mut self, written: &str, bytes: usize) {
        self.skip(bytes);
        self.out.push_str(written);
        self.last = Last::Atom(1);
    }

    fn letter(&mut self, c: char) {
        self.atom(&regex::escape(c.encode_utf8(&mut [0; 4])), c.len_utf8());
    }

    fn open(&mut self) -> Compiled<()> {
        if self.groups.len() >= MAX_GROUPS {
            return Err(error(format!("groups are nested more than {MAX_GROUPS} deep"))
                .with_remedy("take out parentheses that change nothing"));
        }
        let Some(behind) = self.rest.strip_prefix("(?") else {
            self.skip(1);
            self.begin("(?:");
            return Ok(());
        };
        if let Some(named) =
            behind.strip_prefix("P<").or_else(|| behind.strip_prefix('<')).filter(|n| !n.starts_with(['=', '!']))
        {
            return self.named(named);
        }
        self.flags(behind)
    }

    fn begin(&mut self, written: &str) {
        self.out.push_str(written);
        self.groups.push(self.weight);
        self.weight = 1;
        self.last = Last::Nothing;
    }

    /// Group matches are never read, so the name is dropped.
    fn named(&mut self, behind: &'p str) -> Compiled<()> {
        let end = behind.find('>').unwrap_or(behind.len());
        let name = &behind[..end];
        let is_name = !name.is_empty() && name.chars().all(super::lexer::is_name);
        if !is_name || end == behind.len() {
            return Err(
                error("a group's name is made of letters, digits and `_`").with_remedy("as in (?P<version>\\d+)")
            );
        }
        if !self.names.insert(name) {
            return Err(error(format!("two groups are named `{name}`")).with_remedy("leave the names out"));
        }
        self.skip(self.rest.len() - behind.len() + end + 1);
        self.begin("(?:");
        Ok(())
    }

    /// `(?i)`, `(?i:`, `(?s-i)`.
    fn flags(&mut self, behind: &'p str) -> Compiled<()> {
        let end = behind.find([')', ':']).unwrap_or(behind.len());
        let written = &behind[..end];
        let (on, off) = written.split_once('-').unwrap_or((written, ""));
        let all_known = [on, off].iter().all(|flags| flags.chars().all(|flag| "imsU".contains(flag)));
        if !all_known || end == behind.len() || (written.contains('-') && off.is_empty()) {
            return Err(unknown_group(behind));
        }
        let is_group = behind[end..].starts_with(':');
        self.skip(2 + end + 1);
        let written = normal_flags(on, off);
        if is_group {
            self.begin(&format!("(?{written}:"));
        } else if !written.is_empty() {
            self.out.push_str(&format!("(?{written})"));
            self.last = Last::Nothing;
        }
        Ok(())
    }

    fn close(&mut self) -> Compiled<()> {
        let Some(before) = self.groups.pop() else {
            return Err(error("a `)` closes nothing").with_remedy("take it out, or write `\\)` for the character"));
        };
        self.copy(1);
        self.last = Last::Atom(self.weight);
        self.weight = self.weight.max(before);
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`; any other brace is a literal.
    fn braces(&mut self) -> Compiled<()> {
        let Some((length, least, most)) = counted(self.rest) else {
            self.letter('{');
            return Ok(());
        };
        let too_many = || {
            error(format!("a repetition by number goes to {MAX_REPEAT}, nested ones multiplied"))
                .with_remedy("write {2,5}, the smaller number first, or `*` and `+` without a number")
        };
        let (Some(least), most) = (least, most) else { return Err(too_many()) };
        let most = match most {
            None => least,
            Some(Some(most)) if most >= least => most,
            Some(_) => return Err(too_many()),
        };
        if let Last::Atom(weight) = self.last
            && most.saturating_mul(weight) > MAX_REPEAT
        {
            return Err(too_many());
        }
        self.repeat(length, most.max(1))
    }

    fn repeat(&mut self, bytes: usize, times: u32) -> Compiled<()> {
        let weight = match self.last {
            Last::Atom(weight) => weight,
            Last::Nothing => {
                return Err(error("there is nothing before this that could be repeated")
                    .with_remedy("write a backslash before it to mean the character itself"));
            }
            Last::Repeated => {
                return Err(error("what is repeated already cannot be repeated again")
                    .with_remedy("put the inner repetition in parentheses"));
            }
        };
        let lazy = self.rest[bytes..].starts_with('?');
        self.copy(bytes + usize::from(lazy));
        self.weight = self.weight.max(weight.saturating_mul(times));
        self.last = Last::Repeated;
        Ok(())
    }

    fn backslash(&mut self) -> Compiled<()> {
        let Some(c) = self.rest[1..].chars().next() else {
            return Err(error("the pattern ends in a backslash").with_remedy("write `\\\\` for the character"));
        };
        match c {
            'A' | 'z' => self.atom(if c == 'A' { "\\A" } else { "\\z" }, 2),
            'b' => self.atom("(?-u:\\b)", 2),
            'B' => self.atom("(?-u:\\B)", 2),
            'Q' => self.quoted(),
            _ => {
                if let Some((written, length)) = class::escaped(self.rest)? {
                    self.atom(&format!("[{written}]"), length);
                } else {
                    let (c, length) = escape::character(self.rest)?;
                    self.atom(&regex::escape(c.encode_utf8(&mut [0; 4])), length);
                }
            }
        }
        Ok(())
    }

    /// `\Q...\E`: literal text; without an end, to the end of the pattern.
    fn quoted(&mut self) {
        self.skip(2);
        let end = self.rest.find("\\E").unwrap_or(self.rest.len());
        for c in self.rest[..end].chars() {
            self.letter(c);
        }
        self.skip(self.rest.len().min(2));
    }
}

/// The last setting of a flag counts.
fn normal_flags(on: &str, off: &str) -> String {
    let known = |set: &dyn Fn(char) -> bool| "imsU".chars().filter(|flag| set(*flag)).collect::<String>();
    let off_flags = known(&|flag| off.contains(flag));
    let on_flags = known(&|flag| on.contains(flag) && !off.contains(flag));
    if off_flags.is_empty() { on_flags } else { format!("{on_flags}-{off_flags}") }
}

fn unknown_group(behind: &str) -> ExpressionError {
    if behind.starts_with(['=', '!']) || behind.starts_with("<=") || behind.starts_with("<!") {
        return error("RE2 does not look ahead or behind")
            .with_remedy("write a second condition, as in operation.matches('a') && !operation.matches('b')");
    }
    error("this is no group of RE2").with_remedy("a group begins with `(`, `(?:`, `(?P<name>` or flags, as in `(?i)`")
}

/// The length of a repetition `{..}` and its numbers; an inner `None` is a number that is too large.
fn counted(rest: &str) -> Option<(usize, Option<u32>, Option<Option<u32>>)> {
    let inside = rest.strip_prefix('{')?;
    let end = inside.find('}')?;
    let (least, most) = match inside[..end].split_once(',') {
        Some((least, most)) => (least, Some(most)),
        None => (&inside[..end], None),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_REPEAT);
    // RE2 does not accept a number with a leading zero.
    let is_count = |text: &str| is_number(text) && (text.len() == 1 || !text.starts_with('0'));
    if !is_count(least) {
        return None;
    }
    let most = match most {
        None | Some("") => None,
        Some(most) if is_count(most) => Some(value(most)),
        Some(_) => return None,
    };
    Some((end + 2, value(least), most))
}
