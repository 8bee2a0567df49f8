//! Operators and functions: their argument types and what they compile to.

use super::ast::{Expr, Kind, Literal};
use super::names::compile_has;
use super::{Compiled, ExpressionError, Typed, as_double, compile, error, re2, time};
use crate::model::expr::{Arithmetic, Comparison, Condition, Double, Int, Text, TextTest};
use crate::model::suggest::{closest, one_of};

const FUNCTIONS: [&str; 20] = [
    "has",
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "double",
    "int",
    "string",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
];

pub(super) fn compile_call(target: Option<&Expr>, name: &str, args: &[Expr]) -> Compiled<Typed> {
    match (name, target, args) {
        ("has", None, [a]) => compile_has(a),
        ("size", None, [a]) | ("size", Some(a), []) => compile_size(a),
        ("double" | "int", None, [a]) => compile_conversion(name, a),
        ("string", None, [a]) => time::compile_string(a),
        ("timestamp", None, [a]) => time::compile_timestamp(a),
        ("duration", None, [a]) => time::compile_duration(a),
        ("matches", None, [a, pattern]) | ("matches", Some(a), [pattern]) => compile_matches(a, pattern),
        ("startsWith", Some(a), [b]) => compile_test(TextTest::StartsWith, a, b),
        ("endsWith", Some(a), [b]) => compile_test(TextTest::EndsWith, a, b),
        ("contains", Some(a), [b]) => compile_test(TextTest::Contains, a, b),
        (_, Some(a), [] | [_]) => match time::part(name) {
            Some(part) => time::compile_part(part, a, args.first()),
            None => Err(unknown_function(true, name, args.len())),
        },
        _ => Err(unknown_function(target.is_some(), name, args.len())),
    }
}

/// Functions of CEL or its extensions that are not supported, and what to write instead.
const NOT_HERE: [(&str, &str); 20] = [
    ("getMilliseconds", "implementations of CEL differ in it: write getSeconds(), or compare with duration('250ms')"),
    ("uint", "write int()"),
    ("bool", "an attribute is a text: write == 'true'"),
    ("bytes", "leave it out: texts are compared as they are"),
    ("dyn", "leave it out"),
    ("type", "the type of each field is fixed: leave it out"),
    ("all", "lists and maps cannot be walked through: name each attribute"),
    ("exists", "lists and maps cannot be walked through: write `in`, or name each attribute"),
    ("exists_one", "lists and maps cannot be walked through: name each attribute"),
    ("filter", "lists and maps cannot be walked through: name each attribute"),
    ("map", "lists and maps cannot be walked through: name each attribute"),
    ("lowerAscii", "write a pattern that ignores case, as in operation.matches(r'(?i)^get$')"),
    ("upperAscii", "write a pattern that ignores case, as in operation.matches(r'(?i)^get$')"),
    ("orValue", "ask first, as in `has(attributes.tier) ? attributes.tier == 'pro' : false`"),
    ("hasValue", "write has()"),
    ("not", "write `!`"),
    ("lower", "write a pattern that ignores case, as in operation.matches(r'(?i)^get$')"),
    ("includes", "write contains()"),
    ("regex", "write operation.matches(r'...')"),
    ("exist", "write has()"),
];

fn unknown_function(has_target: bool, name: &str, given: usize) -> ExpressionError {
    if FUNCTIONS.contains(&name) {
        let (shape, remedy) = match name {
            "has" => ("has(field)", "as in has(status)"),
            "size" => ("size(text)", "as in size(operation) > 3"),
            "double" | "int" => ("double(text) or int(text)", "as in double(attributes.size) > 1.5"),
            "string" => ("string(value)", "as in string(status) == '500'"),
            "timestamp" => ("timestamp(text)", "as in timestamp < timestamp('2026-01-31T09:00:00Z')"),
            "duration" => ("duration(text)", "as in duration('1h30m')"),
            _ if time::part(name).is_some() => {
                ("time.getHours(zone), without a zone in UTC", "as in timestamp.getHours('Europe/Berlin') >= 9")
            }
            "matches" => ("text.matches(pattern)", "as in operation.matches(r'^/v\\d+/')"),
            _ => ("text.startsWith(text)", "as in operation.startsWith('/api/')"),
        };
        let on = if has_target { " after a dot" } else { "" };
        let values = if given == 1 { "value" } else { "values" };
        return error(format!("`{name}`{on} with {given} {values} is not how it is called: {shape}"))
            .with_remedy(remedy);
    }
    let e = error(format!("there is no function `{name}` over outcomes"));
    match (NOT_HERE.iter().find(|(known, _)| *known == name), closest(name, FUNCTIONS)) {
        (Some((_, remedy)), _) => e.with_remedy(*remedy),
        (None, Some(near)) => e.with_remedy(format!("did you mean `{near}`?")),
        (None, None) => e.with_remedy(format!("the functions are {}", one_of(FUNCTIONS))),
    }
}

fn condition(expr: &Expr) -> Compiled<Condition> {
    match compile(expr)? {
        Typed::Bool(condition) => Ok(condition),
        Typed::Text(Text::Attribute(_)) => Err(error("a condition is expected here, and this is a text")
            .with_remedy("compare it, as in attributes['x'] == 'true'")
            .or_at(expr.at)),
        other => Err(error(format!("a condition is expected here, and this is {}", other.kind()))
            .with_remedy("compare it with something, as in `status < 500`")
            .or_at(expr.at)),
    }
}

fn text(expr: &Expr) -> Compiled<Text> {
    match compile(expr)? {
        Typed::Text(text) => Ok(text),
        other => Err(error(format!("a text is expected here, and this is {}", other.kind()))
            .with_remedy("write a text in quotes, or name a field that is one, as in `operation`")
            .or_at(expr.at)),
    }
}

pub(super) fn compile_not(operand: &Expr) -> Compiled<Typed> {
    Ok(Typed::Bool(Condition::Not(Box::new(condition(operand)?))))
}

/// Nested `&&` become one flat list, which is evaluated in a loop with the same result.
pub(super) fn compile_all(parts: &[Expr]) -> Compiled<Typed> {
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        match condition(part)? {
            Condition::All(inner) => all.extend(inner),
            other => all.push(other),
        }
    }
    Ok(Typed::Bool(Condition::All(all)))
}

pub(super) fn compile_any(parts: &[Expr]) -> Compiled<Typed> {
    let mut any = Vec::with_capacity(parts.len());
    for part in parts {
        match condition(part)? {
            Condition::Any(inner) => any.extend(inner),
            other => any.push(other),
        }
    }
    Ok(Typed::Bool(Condition::Any(any)))
}

pub(super) fn compile_ternary(c: &Expr, yes: &Expr, no: &Expr) -> Compiled<Typed> {
    let c = condition(c)?;
    match (compile(yes)?, compile(no)?) {
        (Typed::Bool(a), Typed::Bool(b)) => Ok(Typed::Bool(Condition::If(Box::new((c, a, b))))),
        (Typed::Int(a), Typed::Int(b)) => Ok(Typed::Int(Int::If(Box::new((c, a, b))))),
        (Typed::Double(a), Typed::Double(b)) => Ok(Typed::Double(Double::If(Box::new((c, a, b))))),
        (Typed::Text(a), Typed::Text(b)) => Ok(Typed::Text(Text::If(Box::new((c, a, b))))),
        (a, b) => time::compile_choice(c, a, b),
    }
}

pub(super) fn compile_negation(operand: &Expr) -> Compiled<Typed> {
    match compile(operand)? {
        Typed::Int(int) => Ok(Typed::Int(Int::Negate(Box::new(int)))),
        Typed::Double(double) => Ok(Typed::Double(Double::Negate(Box::new(double)))),
        Typed::Span(_) => Err(error("`-` in front of a length of time is no CEL")
            .with_remedy("write it into the text, as in duration('-1h'), or subtract it")),
        other => Err(error(format!("`-` needs a number, and this is {}", other.kind()))
            .with_remedy("`!` makes the opposite of a condition")),
    }
}

fn compile_size(a: &Expr) -> Compiled<Typed> {
    match compile(a)? {
        Typed::Text(text) => Ok(Typed::Int(Int::SizeOfText(text))),
        Typed::Map(map) => Ok(Typed::Int(Int::SizeOfMap(map))),
        other => Err(error(format!("size() needs a text or a map, and this is {}", other.kind()))
            .with_remedy("as in size(operation) > 3")),
    }
}

fn compile_conversion(name: &str, a: &Expr) -> Compiled<Typed> {
    Ok(match (name, compile(a)?) {
        ("int", Typed::Int(int)) => Typed::Int(int),
        (_, Typed::Int(int)) => Typed::Double(Double::FromInt { int: Box::new(int), written: true }),
        ("int", Typed::Double(double)) => Typed::Int(Int::FromDouble(Box::new(double))),
        (_, Typed::Double(double)) => Typed::Double(double),
        ("int", Typed::Text(text)) => Typed::Int(Int::FromText(text)),
        (_, Typed::Text(text)) => Typed::Double(Double::FromText(text)),
        ("int", Typed::Time(time)) => Typed::Int(Int::FromTime(Box::new(time))),
        (_, Typed::Time(_)) => {
            return Err(
                error("a time is no double").with_remedy("write double(int(timestamp)): whole seconds since 1970")
            );
        }
        (_, Typed::Span(_)) => {
            return Err(error("implementations of CEL differ in what a length of time is as a number")
                .with_remedy("write .getSeconds(), as in (timestamp - timestamp(attributes.started)).getSeconds()"));
        }
        (_, other) => {
            return Err(error(format!("{name}() needs a number or a text, and this is {}", other.kind()))
                .with_remedy("as in double(attributes.size) > 1.5"));
        }
    })
}

fn compile_test(test: TextTest, a: &Expr, b: &Expr) -> Compiled<Typed> {
    Ok(Typed::Bool(Condition::Test(test, text(a)?, text(b)?)))
}

fn compile_matches(a: &Expr, pattern: &Expr) -> Compiled<Typed> {
    let Kind::Literal(Literal::Text(source)) = &pattern.kind else {
        return Err(error("the pattern of matches() must be a quoted text")
            .with_remedy("as in operation.matches(r'^/v\\d+/')")
            .or_at(pattern.at));
    };
    let compiled = re2::compile(source).map_err(|e| e.or_at(pattern.at))?;
    Ok(Typed::Bool(Condition::Matches(text(a)?, compiled)))
}

pub(super) fn compile_comparison(op: Comparison, a: &Expr, b: &Expr) -> Compiled<Typed> {
    if negates_a_value(a) && compile(b).is_ok() {
        return Err(error("`!` applies to the next value only, not to the comparison")
            .with_remedy("write parentheses, as in !(status == 500), or the opposite comparison")
            .or_at(a.at));
    }
    let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
    let condition = match (compile(a)?, compile(b)?) {
        (Typed::Int(a), Typed::Int(b)) => Condition::CompareInt(op, a, b),
        (Typed::Int(a), Typed::Double(b)) => Condition::CompareDouble(op, as_double(a), b),
        (Typed::Double(a), Typed::Int(b)) => Condition::CompareDouble(op, a, as_double(b)),
        (Typed::Double(a), Typed::Double(b)) => Condition::CompareDouble(op, a, b),
        (Typed::Text(a), Typed::Text(b)) => Condition::CompareText(op, a, b),
        (Typed::Time(a), Typed::Time(b)) => Condition::CompareTime(op, a, b),
        (Typed::Span(a), Typed::Span(b)) => Condition::CompareSpan(op, a, b),
        (Typed::Bool(a), Typed::Bool(b)) if is_equality => {
            Condition::Same { negated: op == Comparison::Ne, sides: Box::new((a, b)) }
        }
        (a, b) => return Err(incomparable(op, &a, &b)),
    };
    Ok(Typed::Bool(condition))
}

/// `!status`, `!'tier'`: the user means the comparison that follows. Only names are checked, so that nothing deep is
/// compiled twice.
pub(super) fn negates_a_value(expr: &Expr) -> bool {
    let Kind::Not(negated) = &expr.kind else { return false };
    matches!(&negated.kind, Kind::Literal(_) | Kind::Name(_) | Kind::Select(..) | Kind::Index(..))
        && compile(negated).is_ok_and(|typed| !matches!(typed, Typed::Bool(_)))
}

fn incomparable(op: Comparison, a: &Typed, b: &Typed) -> ExpressionError {
    let e = error(format!("`{}` cannot compare {} with {}", op.symbol(), a.kind(), b.kind()));
    match (a, b) {
        (Typed::Time(_) | Typed::Span(_), _) | (_, Typed::Time(_) | Typed::Span(_)) => time::incomparable(e, a, b),
        (Typed::Text(_), Typed::Int(_) | Typed::Double(_)) | (Typed::Int(_) | Typed::Double(_), Typed::Text(_)) => {
            e.with_remedy("quote both or none; an attribute is a text: double(attributes['x']) reads it as a number")
        }
        (Typed::Text(_), Typed::Bool(_)) | (Typed::Bool(_), Typed::Text(_)) => {
            e.with_remedy("an attribute is a text: write 'true' or 'false' in quotes")
        }
        (Typed::Bool(_), Typed::Int(_) | Typed::Double(_)) => {
            e.with_remedy("a comparison has two sides: write 200 <= status && status < 300")
        }
        (Typed::Bool(_), Typed::Bool(_)) => e.with_remedy("conditions can only be compared with `==` and `!=`"),
        (Typed::Map(_), _) | (_, Typed::Map(_)) => e.with_remedy("name what is in it, as in attributes['tier']"),
        _ => e.with_remedy("name a field, as in `status < 500`"),
    }
}

pub(super) fn compile_arithmetic(op: Arithmetic, a: &Expr, b: &Expr) -> Compiled<Typed> {
    let left = compile(a)?;
    if let (Arithmetic::Sub, Typed::Text(Text::Attribute(_)) | Typed::Double(Double::Measure(_)), Kind::Name(rest)) =
        (op, &left, &b.kind)
        && compile(b).is_err()
    {
        return Err(error(format!("`-{rest}` is read as a subtraction"))
            .with_remedy("a name with a dash is written as attributes['a-b'], or in backquotes: attributes.`a-b`"));
    }
    match (left, compile(b)?) {
        (Typed::Int(a), Typed::Int(b)) => Ok(Typed::Int(Int::Binary(op, Box::new((a, b))))),
        (Typed::Double(_), Typed::Double(_)) if op == Arithmetic::Rem => {
            Err(error("`%` is for whole numbers only").with_remedy("write int(...) around both sides"))
        }
        (Typed::Double(a), Typed::Double(b)) => Ok(Typed::Double(Double::Binary(op, Box::new((a, b))))),
        (Typed::Int(_), Typed::Double(_)) | (Typed::Double(_), Typed::Int(_)) => {
            Err(error(format!("`{}` needs two whole numbers or two doubles", op.symbol()))
                .with_remedy("write the whole number as a double: 2.0, or double(status)"))
        }
        (Typed::Text(a), Typed::Text(b)) if op == Arithmetic::Add => Ok(Typed::Text(Text::Join(Box::new((a, b))))),
        (a @ (Typed::Time(_) | Typed::Span(_)), b) | (a, b @ (Typed::Time(_) | Typed::Span(_))) => {
            time::compile_sum(op, a, b)
        }
        (a, b) => Err(error(format!("`{}` needs two numbers, not {} and {}", op.symbol(), a.kind(), b.kind()))
            .with_remedy("an attribute is a text: double(attributes['x']) reads it as a number")),
    }
}
