//! A tree of definitions that is written as YAML: keys in order, every text safe to read back as the same text.

use super::yaml::{Node, Value};
use std::fmt::Write as _;

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    /// As it stands in the file: a number, `true`, or a text in quotes where it needs them.
    Scalar(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    pub fn of(node: &Node) -> Tree {
        match &node.value {
            Value::Null => Tree::Null,
            Value::Bool(b, _) if !is_plain_bool(node) => Tree::Scalar(b.to_string()),
            Value::Bool(_, text) => Tree::Scalar(text.clone()),
            // As written: a label `1.10` stays what it is.
            Value::Number(_, text) if is_plain_number(text) => Tree::Scalar(text.clone()),
            Value::Number(number, _) => Tree::Scalar(number.to_string()),
            Value::Text(text) => Tree::text(text),
            Value::List(items) => Tree::List(items.iter().map(Tree::of).collect()),
            Value::Map(entries) => Tree::Map(entries.iter().map(|e| (e.key.clone(), Tree::of(&e.node))).collect()),
        }
    }

    pub fn text(text: &str) -> Tree {
        Tree::Scalar(if is_plain(text) { text.to_owned() } else { quoted(text) })
    }

    /// As a document of a file.
    pub fn document(&self) -> String {
        let mut out = String::from("---\n");
        self.write(&mut out, 0);
        out
    }

    /// Behind what introduces it: on the same line, or on lines of its own.
    fn write_behind(&self, out: &mut String, depth: usize) {
        match self {
            Tree::Null => out.push_str(" null\n"),
            Tree::Scalar(text) => {
                let _ = writeln!(out, " {text}");
            }
            Tree::List(items) if items.is_empty() => out.push_str(" []\n"),
            Tree::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            _ => {
                out.push('\n');
                self.write(out, depth);
            }
        }
    }

    /// Behind a dash; a mapping begins on its line.
    fn write_as_item(&self, out: &mut String, depth: usize) {
        match self {
            Tree::Map(entries) if !entries.is_empty() => {
                let mut lines = String::new();
                self.write(&mut lines, depth);
                let _ = write!(out, " {}", lines.trim_start());
            }
            _ => self.write_behind(out, depth),
        }
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        match self {
            Tree::Map(entries) => {
                for (key, value) in entries {
                    let key = if is_plain(key) { key.clone() } else { quoted(key) };
                    let _ = write!(out, "{indent}{key}:");
                    value.write_behind(out, depth + 1);
                }
            }
            Tree::List(items) => {
                for item in items {
                    let _ = write!(out, "{indent}-");
                    item.write_as_item(out, depth + 1);
                }
            }
            Tree::Null | Tree::Scalar(_) => self.write_behind(out, depth),
        }
    }
}

fn is_plain_bool(node: &Node) -> bool {
    matches!(&node.value, Value::Bool(_, text) if text == "true" || text == "false")
}

fn is_plain_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'))
}

/// Letters first, and nothing that YAML could read as something else.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'@'))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// In double quotes, with JSON's escapes: YAML has the same.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line ends of Unicode and the byte order mark mean something to YAML.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let texts = [
            "off",
            "1.10",
            "a: b",
            "- x",
            "",
            " ",
            "é\"\\\n\r\t\u{85}\u{2028}\u{feff}\u{1F600}",
            "#",
            "0x10",
            "~",
            "2026-01-01",
        ];
        let map = |value: Tree| Tree::Map(vec![("a b".to_owned(), value.clone()), ("key".to_owned(), value)]);
        for text in texts {
            let tree =
                map(Tree::List(vec![Tree::text(text), map(Tree::text(text)), Tree::List(vec![Tree::text(text)])]));
            let written = tree.document();
            let read = yaml::parse("f", &written).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(read.iter().map(Tree::of).collect::<Vec<_>>(), [tree], "{written}");
        }
        let source = "a: {b: [1.10, 0.999, yes, true, ~, [], {}], 'on': off, c: |\n    two\n    lines\n}\n"
            .replace("|\n    two\n    lines\n", "'two\n\n lines'");
        let once: Vec<Tree> = yaml::parse("f", &source).expect("valid").iter().map(Tree::of).collect();
        let again: Vec<Tree> = yaml::parse("f", &once[0].document()).expect("valid").iter().map(Tree::of).collect();
        assert_eq!(once, again);
    }
}
