//! Paths into a record: `resource.tenant.id`, `spans[0].name`, `attributes."http.route"`.

use super::super::tree::Node;
use std::fmt;

/// A parsed path; the steps from the record's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Item(usize),
}

impl Path {
    /// Names are separated by dots; `[0]` takes an item of an array; a name with a dot, a bracket or a quote needs
    /// double or single quotes.
    pub fn parse(text: &str) -> Result<Path, String> {
        let fail = |why: &str| Err(format!("`{text}` is not a path: {why}"));
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            rest = if let Some(inside) = rest.strip_prefix('[').filter(|_| !steps.is_empty()) {
                let Some((index, behind)) = inside.split_once(']') else { return fail("`[` without `]`") };
                let Ok(index) = index.parse() else { return fail("`[` and `]` must contain the number of an item") };
                steps.push(Step::Item(index));
                behind
            } else if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
                let Some((name, behind)) = rest[1..].split_once(quote) else { return fail("a quote without its end") };
                steps.push(Step::Member(name.to_owned()));
                behind
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return fail("a name is missing");
                }
                steps.push(Step::Member(rest[..end].to_owned()));
                &rest[end..]
            };
            match rest.as_bytes().first() {
                None => return Ok(Path(steps)),
                Some(b'.') => rest = &rest[1..],
                Some(b'[') => {}
                Some(_) => return fail("after a quoted name or an index comes a dot, a `[`, or nothing"),
            }
        }
    }

    /// The start of a path.
    pub(super) fn root() -> Path {
        Path(Vec::new())
    }

    pub(super) fn member(&self, name: &str) -> Path {
        Path([self.0.as_slice(), &[Step::Member(name.to_owned())]].concat())
    }

    pub(super) fn item(&self, index: usize) -> Path {
        Path([self.0.as_slice(), &[Step::Item(index)]].concat())
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The last name.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            Step::Item(_) => None,
        })
    }

    /// As printed, without quotes.
    pub(super) fn bare(&self) -> String {
        self.to_string().replace(['"', '\''], "")
    }

    pub(in crate::codec) fn find<'n, 'a>(&self, root: &'n Node<'a>) -> Option<&'n Node<'a>> {
        self.0.iter().try_fold(root, |node, step| match step {
            Step::Member(name) => node.member(name),
            Step::Item(index) => node.item(*index),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Member(name) => {
                    let dot = if i > 0 { "." } else { "" };
                    let quote = match name.find(['.', '[', '"', '\'']) {
                        None if !name.is_empty() => "",
                        _ if name.contains('"') => "'",
                        _ => "\"",
                    };
                    write!(f, "{dot}{quote}{name}{quote}")?;
                }
            }
        }
        Ok(())
    }
}
