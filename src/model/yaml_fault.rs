//! Describes mistakes in YAML in our own words, because the parser's messages speak of events, nodes and budgets.

use serde_saphyr::{Error, Options, budget::BudgetBreach};

/// A mistake in a YAML text: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlFault {
    /// From 1; `None` for the text as a whole.
    pub line: Option<u64>,
    pub column: Option<u64>,
    pub message: String,
    pub remedy: &'static str,
}

/// Limits of a text: far more than people write, but still read quickly.
const DOCUMENTS_MAX: usize = 20_000;
const NODES_MAX: usize = 2_000_000;
const BYTES_MAX: usize = 64 << 20;

/// YAML 1.2: `y`, `no` and `on` are texts (a tenant may be called `no`, for Norway).
pub fn options() -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_total_scalar_bytes: BYTES_MAX,
        },
    }
}

impl YamlFault {
    pub fn of(error: &Error) -> YamlFault {
        let error = error.without_snippet();
        let at = error.location().filter(|location| location.line() > 0);
        let (message, remedy) = told(error);
        YamlFault { line: at.map(|l| l.line()), column: at.map(|l| l.column()), message, remedy }
    }
}

fn told(error: &Error) -> (String, &'static str) {
    let (message, remedy) = match error {
        Error::Budget { breach, .. } => return too_much(breach),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            return (format!("the key `{key}` appears twice"), "take one of them out");
        }
        Error::DuplicateMappingKey { key: None, .. } => ("a key appears twice", "take one of them out"),
        Error::MultipleDocuments { .. } => {
            ("a second document begins here, and there can be one", "take the line `---` and what follows it out")
        }
        Error::NonFiniteFloat { value, .. } => {
            return (format!("`{value}` is not a finite number"), "write digits");
        }
        Error::UnknownAnchor { .. } => {
            ("nothing has the name that `*` refers to", "give it one with `&`, or quote the text")
        }
        Error::Eof { .. } => ("the text ends in the middle of a value", "close what is open"),
        Error::InvalidUtf8Input => ("the text is not UTF-8", "save the file as UTF-8"),
        Error::MergeKeyNotAllowed { .. } | Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            ("`<<` takes a mapping, or a list of them", "write the keys out")
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            ("`*` repeats more than a file can hold", "write the values out")
        }
        Error::IOError { .. } => ("the text is not UTF-8", "save the file as UTF-8"),
        other => return scanned(&other.to_string()),
    };
    (message.to_owned(), remedy)
}

fn too_much(breach: &BudgetBreach) -> (String, &'static str) {
    let message = match breach {
        BudgetBreach::Documents { .. } => format!("the file holds more than {DOCUMENTS_MAX} documents"),
        BudgetBreach::Depth { .. } => "lists and mappings are nested too deep".to_owned(),
        BudgetBreach::ScalarBytes { .. } | BudgetBreach::InputBytes { .. } => {
            format!("the file holds more than {} MiB of text", BYTES_MAX >> 20)
        }
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } | BudgetBreach::AliasAnchorRatio { .. } => {
            "the file repeats too much with `&` and `*`".to_owned()
        }
        _ => format!("the file holds more than {NODES_MAX} values"),
    };
    (message, "split it into several files, or write less of it")
}

/// What the parser's most frequent errors mean, by a part of their text.
const COMPLAINTS: [(&str, &str, &str); 13] = [
    ("tab", "a tab is used for indentation", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a `:` is not allowed here",
        "quote a text that holds `: `, and indent keys of one mapping alike",
    ),
    ("unclosed bracket", "a bracket is never closed", "close it"),
    ("flow", "a list in `[ ]` or a mapping in `{ }` is broken here", "write commas between its parts, and close it"),
    ("quoted scalar", "a text in quotes is never closed", "close it"),
    ("eof", "the text ends before something is closed", "close the quote or the bracket"),
    ("unexpected end", "the text ends before something is closed", "close the quote or the bracket"),
    ("unexpected character", "a text cannot begin with this character", "put the text in quotes"),
    ("cannot start any token", "a text cannot begin with this character", "put the text in quotes"),
    ("simple key", "a `:` is missing after this key", "write key: value, and quote a text with special characters"),
    ("invalid indentation", INDENTATION, "look at the indentation, and at the line before"),
    ("block", INDENTATION, "look at the indentation, and at the line before"),
    ("expected key", INDENTATION, "look at the indentation, and at the line before"),
];

const INDENTATION: &str = "a key is expected here, indented like its neighbours";

fn scanned(text: &str) -> (String, &'static str) {
    let line = text.lines().next().unwrap_or(text);
    let line = line.rsplit_once(" at line ").map_or(line, |(message, _)| message);
    let lower = line.to_lowercase();
    match COMPLAINTS.iter().find(|(part, ..)| lower.contains(part)) {
        Some((_, message, remedy)) => ((*message).to_owned(), remedy),
        None => (format!("it cannot be read on from here: {line}"), "look at quotes, brackets and indentation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> YamlFault {
        let read: Result<serde_json::Value, Error> = serde_saphyr::from_str_with_options(text, options());
        YamlFault::of(&read.expect_err(text))
    }

    #[test]
    fn says_it_in_our_own_words_with_a_place_and_a_remedy() {
        for (text, line, message) in [
            ("a: 1\na: 2\n", 2, "the key `a` appears twice"),
            ("a: 1\n---\na: 2\n", 3, "a second document begins here"),
            ("a: [1, 2\n", 0, "bracket"),
            ("a: b: c\n", 1, "a `:` is not allowed here"),
            ("a: .nan\n", 1, "`.nan` is not a finite number"),
            ("a: *b\n", 1, "nothing has the name"),
            ("a: 'x\n", 0, "closed"),
            ("a: @x\n", 1, "a text cannot begin with this character"),
            ("a:\n\t- b\n", 2, "a tab is used for indentation"),
            ("a:\n  b: 1\n c: 2\n", 3, "a key is expected here"),
        ] {
            let fault = fault(text);
            assert!(fault.message.contains(message), "{text}: {fault:?}");
            assert!(line == 0 || fault.line == Some(line), "{text}: {fault:?}");
            assert!(!fault.remedy.is_empty(), "{text}: {fault:?}");
            for word in ["budget", "breach", "DuplicateKeyPolicy", "from_", "token recognition", "serde"] {
                assert!(!fault.message.contains(word), "{text}: {fault:?}");
            }
        }
    }

    #[test]
    fn a_file_of_too_many_documents_names_the_limit() {
        let read: Result<Vec<serde_json::Value>, Error> =
            serde_saphyr::from_multiple_with_options(&"---\na: 1\n".repeat(DOCUMENTS_MAX + 1), options());
        assert!(YamlFault::of(&read.expect_err("too many")).message.contains("more than 20000 documents"));
    }
}
