//! Finds expressions that were written as paths, and says how a mapping writes them.

use super::spec::Wrong;

/// Operators between two operands, and what to write instead.
const OPERATORS: [(&str, Instead); 12] = [
    (" || ", Instead::List),
    (" ?? ", Instead::List),
    (" or ", Instead::List),
    (" && ", Instead::Nothing),
    (" == ", Instead::Map),
    (" != ", Instead::Map),
    (" ? ", Instead::Map),
    (" - ", Instead::Difference),
    (" / ", Instead::Quotient),
    (" + ", Instead::Nothing),
    (" * ", Instead::Nothing),
    (" % ", Instead::Nothing),
];

#[derive(Clone, Copy)]
enum Instead {
    List,
    Map,
    Difference,
    Quotient,
    Nothing,
}

/// The mistake, if the text is an expression. A name with spaces or signs is a path still: only an operator between
/// spaces, or a call, makes an expression.
pub(super) fn refuse(text: &str) -> Result<(), Wrong> {
    let Some(remedy) = instead(&without_quoted(text), text) else { return Ok(()) };
    let problem = format!("`{text}` is an expression, and a mapping takes a path");
    Err((problem, Some(format!("{remedy}; a name with such a sign needs quotes, as in `'\"a - b\"'`"))))
}

fn instead(bare: &str, text: &str) -> Option<String> {
    let both = bare.contains(" - ") && bare.contains(" / ");
    let written = OPERATORS.iter().find_map(|(operator, instead)| {
        let at = bare.find(operator)?;
        let is_one = bare.matches(operator).count() == 1 && bare.matches([' ', '(']).count() == 2;
        let operands = is_one.then(|| (text[..at].trim(), text[at + operator.len()..].trim()));
        Some((*instead, operands))
    });
    let (instead, operands) = match written {
        Some(found) => found,
        None if is_call(bare) => (Instead::Nothing, None),
        None => return None,
    };
    let (a, b) = operands.unwrap_or(("END", "START"));
    Some(match instead {
        Instead::Difference | Instead::Quotient if both => {
            "write a difference and its divisor, as in `{from: START, to: END, unit: s, per: {path: COUNT, less: 1}}`"
                .to_owned()
        }
        Instead::Difference => format!("write the difference as `{{from: {b}, to: {a}, unit: s}}`"),
        Instead::Quotient => match operands {
            Some((a, b)) => format!("write the quotient as `{{path: {a}, per: {{path: {b}}}}}`"),
            None => "write the quotient as `{path: SUM, per: {path: COUNT}}`".to_owned(),
        },
        Instead::List => match operands {
            Some((a, b)) => format!("write a list, of which the first value counts: `[{a}, {b}]`"),
            None => "write a list, of which the first value counts: `[A, B]`".to_owned(),
        },
        Instead::Map => {
            "write the values and what they mean, as in `{path: PATH, map: {success: 200, failure: 500}}`".to_owned()
        }
        Instead::Nothing => {
            "a mapping can take a difference (`{from: START, to: END}`), a quotient (`per`), the first of \
                             a list, other values (`map`), leading `digits` and a `bucket`"
                .to_owned()
        }
    })
}

/// `NAME(`: a bracket right behind a name, as in `coalesce(a, b)`.
fn is_call(bare: &str) -> bool {
    bare.match_indices('(').any(|(at, _)| bare[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The text with quoted names blanked, byte for byte.
fn without_quoted(text: &str) -> String {
    let mut quote = None;
    let blanked = text.chars().map(|c| {
        let is_inside = quote.is_some();
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
        if is_inside { "x".repeat(c.len_utf8()) } else { c.to_string() }
    });
    blanked.collect()
}
