//! CEL text -> typed expression (`model::expr`). Types and names are resolved here, so that mistakes are found when the
//! SLO is loaded and not event by event.
//!
//! The parser is our own, because those of libraries recurse without bound and their errors speak of grammar rules.
//! cel-go defines what an expression means; `tests/cel` compares our results with its. Mistakes that CEL finds only at
//! run time (mixed arithmetic, comparing a text with a number, an invalid regular expression) are refused here. Not
//! supported: comprehensions, and what differs between implementations of CEL (`string()` of a double, `getMilliseconds()`,
//! `int()` of a duration). Time zones are those of the build. One form is added: `has(status)` with a bare field
//! name means `has(outcome.status)`; CEL's own `has()` requires a selection.

mod ast;
mod lexer;
mod names;
mod operator;
mod parser;
mod re2;
#[cfg(test)]
mod tests;
mod time;

use crate::model::expr::{Condition, Double, Filter, Int, Map, NumberExpr, Span, Text, Time};
use ast::{Expr, Kind, Literal};
use names::{compile_name, element, literal_key, presence_in_outcome, reference};

/// Why a text is not an expression over outcomes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    pub message: String,
    pub remedy: Option<String>,
    /// The position in the expression in characters, from 1.
    pub character: Option<u32>,
}

type Compiled<T> = Result<T, ExpressionError>;

/// Compiles a condition.
pub fn compile_filter(source: &str) -> Compiled<Filter> {
    match compile(&parser::parse(source)?)? {
        Typed::Bool(condition) => Ok(Filter::new(source.trim(), condition)),
        Typed::Text(_) => Err(error("a filter must be true or false, and this is a text")
            .with_remedy("compare it with something, as in attributes.flag == 'true'")
            .or_at(0)),
        other => Err(error(format!("a filter must be true or false, and this is {}", other.kind()))
            .with_remedy("compare it with something, as in `status < 500`")
            .or_at(0)),
    }
}

/// Compiles a number.
pub fn compile_number(source: &str) -> Compiled<NumberExpr> {
    match compile(&parser::parse(source)?)? {
        Typed::Double(value) => Ok(NumberExpr::new(source.trim(), value)),
        Typed::Int(int) => Ok(NumberExpr::new(source.trim(), as_double(int))),
        other => Err(error(format!("a value must be a number, and this is {}", other.kind()))
            .with_remedy("name a number, as in `latency_ms` or `measures.ttft_ms`")
            .or_at(0)),
    }
}

fn error(message: impl Into<String>) -> ExpressionError {
    ExpressionError { message: message.into(), remedy: None, character: None }
}

impl ExpressionError {
    fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// An expression whose type is known.
enum Typed {
    Bool(Condition),
    Int(Int),
    Double(Double),
    Text(Text),
    Time(Time),
    Span(Span),
    Map(Map),
    Outcome,
}

impl Typed {
    const fn kind(&self) -> &'static str {
        match self {
            Typed::Bool(_) => "a condition",
            Typed::Int(_) => "a whole number",
            Typed::Double(_) => "a double",
            Typed::Text(_) => "a text",
            Typed::Time(_) => "a time",
            Typed::Span(_) => "a length of time",
            Typed::Map(_) => "a map",
            Typed::Outcome => "the whole outcome",
        }
    }
}

fn as_double(int: Int) -> Double {
    Double::FromInt { int: Box::new(int), written: false }
}

/// Compiles; an error without a position gets this expression's.
fn compile(expr: &Expr) -> Compiled<Typed> {
    compile_inner(expr).map_err(|e| e.or_at(expr.at))
}

fn compile_inner(expr: &Expr) -> Compiled<Typed> {
    match &expr.kind {
        Kind::Literal(literal) => compile_literal(literal),
        Kind::Name(name) => compile_name(name),
        Kind::Select(operand, field) => compile_select(operand, field),
        Kind::Index(container, key) => compile_index(container, key),
        Kind::Call { target, name, args } => operator::compile_call(target.as_deref(), name, args),
        Kind::List(_) => {
            Err(error("a list can only follow `in`").with_remedy("as in `operation in ['checkout', 'pay']`"))
        }
        Kind::In(sides) => compile_in(&sides.0, &sides.1),
        Kind::Not(operand) => operator::compile_not(operand),
        Kind::Negate(operand) => operator::compile_negation(operand),
        Kind::Compare(op, sides) => operator::compile_comparison(*op, &sides.0, &sides.1),
        Kind::Calculate(op, sides) => operator::compile_arithmetic(*op, &sides.0, &sides.1),
        Kind::All(parts) => operator::compile_all(parts),
        Kind::Any(parts) => operator::compile_any(parts),
        Kind::If(parts) => operator::compile_ternary(&parts.0, &parts.1, &parts.2),
    }
}

fn compile_literal(literal: &Literal) -> Compiled<Typed> {
    match literal {
        Literal::Bool(b) => Ok(Typed::Bool(Condition::Literal(*b))),
        Literal::Int(i) => Ok(Typed::Int(Int::Literal(*i))),
        Literal::Double(d) => Ok(Typed::Double(Double::Literal(*d))),
        Literal::Text(s) => Ok(Typed::Text(Text::Literal(s.as_str().into()))),
        Literal::Null => Err(error("`null` is no value of an outcome: an absent field is absent")
            .with_remedy("ask whether it is there with has(), as in `has(status)`")),
        Literal::Unsigned => Err(error("unsigned numbers are not supported").with_remedy("leave the `u` out")),
        Literal::Bytes => Err(error("bytes are not supported").with_remedy("write a text: leave the `b` out")),
    }
}

fn compile_select(operand: &Expr, field: &str) -> Compiled<Typed> {
    match compile(operand)? {
        Typed::Outcome => compile_name(field),
        Typed::Map(map) => Ok(element(map, field)),
        other => Err(error(format!("{} has no field `{field}`", other.kind()))
            .with_remedy("a name with a dot is written as attributes['a.b']")),
    }
}

fn compile_index(container: &Expr, key: &Expr) -> Compiled<Typed> {
    match compile(container)? {
        Typed::Map(map) => Ok(element(map, literal_key(key)?)),
        Typed::Outcome => compile_name(literal_key(key)?),
        _ => Err(error("only `measures`, `attributes` and `outcome` can be indexed")),
    }
}

/// `item in container`.
fn compile_in(item: &Expr, container: &Expr) -> Compiled<Typed> {
    if operator::negates_a_value(item) {
        return Err(error("`!` applies to the next value only, not to the whole test")
            .with_remedy("write parentheses: !('tier' in attributes)")
            .or_at(item.at));
    }
    if let Kind::List(items) = &container.kind {
        return compile_in_list(item, items);
    }
    match compile(container)? {
        Typed::Map(map) => Ok(Typed::Bool(Condition::Has(reference(map, literal_key(item)?)))),
        Typed::Outcome => presence_in_outcome(literal_key(item)?),
        other => Err(error(format!("`in` must be followed by a list or a map, not {}", other.kind()))
            .with_remedy("as in `operation in ['checkout', 'pay']` or `'tier' in attributes`")),
    }
}

fn compile_in_list(item: &Expr, items: &[Expr]) -> Compiled<Typed> {
    let literals = items.iter().map(|item| match &item.kind {
        Kind::Literal(literal) => {
            // Parts that are no values have their own error.
            compile(item)?;
            Ok(literal)
        }
        _ => Err(error("the list after `in` must contain only literals")
            .with_remedy("write `==` and `||` for anything else, as in status == 500 || status == int(attributes.code)")
            .or_at(item.at)),
    });
    let literals = literals.collect::<Compiled<Vec<_>>>()?;
    let condition = match compile(item)? {
        Typed::Text(text) => texts(items, &literals).map(|list| Condition::TextIn(text, list))?,
        Typed::Double(double) => {
            let (ints, mut list) = numbers(items, &literals)?;
            list.extend(ints.iter().map(|i| *i as f64));
            Condition::DoubleIn(double, list)
        }
        Typed::Int(int) => match numbers(items, &literals)? {
            (ints, doubles) if doubles.is_empty() => Condition::IntIn(int, ints),
            (ints, doubles) if ints.is_empty() => Condition::DoubleIn(as_double(int), doubles),
            (ints, doubles) => {
                Condition::Any(vec![Condition::IntIn(int.clone(), ints), Condition::DoubleIn(as_double(int), doubles)])
            }
        },
        other => {
            return Err(
                error(format!("{} cannot be looked for in a list", other.kind())).with_remedy("write `==` and `||`")
            );
        }
    };
    Ok(Typed::Bool(condition))
}

fn texts(items: &[Expr], literals: &[&Literal]) -> Compiled<Vec<Box<str>>> {
    let text = |(item, literal): (&Expr, &&Literal)| match literal {
        Literal::Text(text) => Ok(Box::from(text.as_str())),
        _ => Err(error("a text is looked for in this list, and this is none")
            .with_remedy("write it in quotes")
            .or_at(item.at)),
    };
    items.iter().zip(literals).map(text).collect()
}

/// The whole numbers and the doubles of a list.
fn numbers(items: &[Expr], literals: &[&Literal]) -> Compiled<(Vec<i64>, Vec<f64>)> {
    let (mut ints, mut doubles) = (Vec::new(), Vec::new());
    for (item, literal) in items.iter().zip(literals) {
        match literal {
            Literal::Int(i) => ints.push(*i),
            Literal::Double(d) => doubles.push(*d),
            _ => {
                return Err(error("a number is looked for in this list, and this is none")
                    .with_remedy("write it without quotes")
                    .or_at(item.at));
            }
        }
    }
    Ok((ints, doubles))
}
