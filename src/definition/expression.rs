//! CEL text -> typed expression (`model::expr`). The grammar is the `cel` crate's; types and names
//! are settled here, so that a mistake is found when the SLO is loaded and not event by event.
//!
//! What CEL would only refuse while it runs (mixed arithmetic, comparing a text with a number, an
//! invalid regular expression) is refused here. Not taken over: comprehensions, conversions to
//! text, time arithmetic. One spelling is added: `has(status)` asks for a field by its bare name,
//! as `has(outcome.status)` does; CEL's own `has()` wants a selection.

mod operator;
#[cfg(test)]
mod tests;

use crate::model::expr::{Condition, Double, Field, Filter, Int, Map, Name, NumberExpr, Reference, Text};
use crate::model::suggest::{closest, one_of};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::{Macro, MacroExprHelper, ParseError};

/// Why a text is no expression over outcomes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    pub message: String,
    pub remedy: Option<String>,
    /// The character of the expression, from 1.
    pub character: Option<u32>,
}

type Compiled<T> = Result<T, ExpressionError>;

/// Compiles a condition.
pub fn compile_filter(source: &str) -> Compiled<Filter> {
    let (expr, info) = parse(source)?;
    match (Compiler { info: &info }).compile(&expr)? {
        Typed::Bool(condition) => Ok(Filter::new(source.trim(), condition)),
        other => Err(error(format!("a filter must be true or false, and this is {}", other.kind()))
            .with_remedy("compare it with something, as in `status < 500`")),
    }
}

/// Compiles a number.
pub fn compile_number(source: &str) -> Compiled<NumberExpr> {
    let (expr, info) = parse(source)?;
    match (Compiler { info: &info }).compile(&expr)? {
        Typed::Double(value) => Ok(NumberExpr::new(source.trim(), value)),
        Typed::Int(int) => Ok(NumberExpr::new(source.trim(), as_double(int))),
        other => Err(error(format!("a value must be a number, and this is {}", other.kind()))
            .with_remedy("name a number, as in `latency_ms` or `measures.ttft_ms`")),
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

/// The variable that stands for the whole outcome.
const OUTCOME: &str = "outcome";

/// The parser recurses: what is nested deeper than people write would overflow its stack.
const MAX_NESTING: usize = 24;

/// How deep brackets and `? :` go, at most. Those inside of texts count too: it is a bound.
fn nesting(source: &str) -> usize {
    let (mut open, mut deepest, mut ternaries) = (0usize, 0, 0);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '?' => ternaries += 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest + ternaries
}

fn parse(source: &str) -> Compiled<(IdedExpr, SourceInfo)> {
    if source.trim().is_empty() {
        return Err(error("the expression is empty").with_remedy("leave the key out to count every event"));
    }
    if nesting(source) > MAX_NESTING {
        return Err(error(format!("the expression is nested more than {MAX_NESTING} deep")).with_remedy(
            "`&&` and `||` need no parentheses among their own kind; `in` replaces a chain of comparisons",
        ));
    }
    // The parser's frames are large: on the stack of a small thread even a sound depth is too much.
    let parser = std::thread::Builder::new().stack_size(PARSER_STACK_BYTES);
    std::thread::scope(|scope| match parser.spawn_scoped(scope, || parse_bounded(source)).map(|thread| thread.join()) {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(_)) => Err(error("the parser of expressions failed on this one")),
        Err(e) => Err(error(format!("the parser of expressions could not be started: {e}"))),
    })
}

/// Touched only as far as it is needed.
const PARSER_STACK_BYTES: usize = 32 << 20;

fn parse_bounded(source: &str) -> Compiled<(IdedExpr, SourceInfo)> {
    let mut env = cel::Env::default().with_optional_support(false);
    env.add_macro(Macro::global(operators::HAS, 1, expand_has)).map_err(|e| error(e.to_string()))?;
    env.parser().parse_with_source_info(source).map_err(|errors| match errors.errors.into_iter().next() {
        Some(first) => ExpressionError {
            message: format!("this is no CEL expression: {}", first.msg.trim()),
            remedy: None,
            character: u32::try_from(first.pos.1).ok().filter(|c| *c > 0),
        },
        None => error("this is no CEL expression"),
    })
}

/// `has(x)` becomes a presence test of `outcome.x`, `has(m.x)` and `has(m['x'])` of `x` in `m`.
fn expand_has(
    helper: &mut MacroExprHelper<'_>,
    _target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
) -> Result<Option<IdedExpr>, ParseError> {
    let Some(arg) = args.pop() else { return Ok(None) };
    let select = match arg.expr {
        Expr::Select(select) => SelectExpr { test: true, ..select },
        Expr::Ident(field) => {
            let operand = Box::new(helper.next_expr(Expr::Ident(OUTCOME.to_owned())));
            SelectExpr { operand, field, test: true }
        }
        Expr::Call(CallExpr { func_name, target: None, mut args }) if func_name == operators::INDEX => {
            match (args.pop().map(|key| key.expr), args.pop()) {
                (Some(Expr::Literal(LiteralValue::String(key))), Some(map)) => {
                    SelectExpr { operand: Box::new(map), field: key.inner().to_owned(), test: true }
                }
                _ => return Err(helper.new_error(arg.id, "has() wants a name, as in has(attributes['tier'])")),
            }
        }
        _ => return Err(helper.new_error(arg.id, "has() wants a field, as in has(status) or has(attributes.tier)")),
    };
    Ok(Some(helper.next_expr(Expr::Select(select))))
}

/// An expression whose type is known.
enum Typed {
    Bool(Condition),
    Int(Int),
    Double(Double),
    Text(Text),
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
            Typed::Map(_) => "a map",
            Typed::Outcome => "the whole outcome",
        }
    }
}

fn as_double(int: Int) -> Double {
    Double::FromInt { int: Box::new(int), written: false }
}

struct Compiler<'s> {
    info: &'s SourceInfo,
}

impl Compiler<'_> {
    /// Compiles, and places an error that has no place yet at this expression.
    fn compile(&self, expr: &IdedExpr) -> Compiled<Typed> {
        self.compile_inner(expr).map_err(|mut e| {
            e.character = e.character.or_else(|| self.info.offset_for(expr.id).map(|(start, _)| start + 1));
            e
        })
    }

    fn compile_inner(&self, expr: &IdedExpr) -> Compiled<Typed> {
        match &expr.expr {
            Expr::Literal(literal) => compile_literal(literal),
            Expr::Ident(name) => compile_name(name),
            Expr::Select(select) => self.compile_select(select),
            Expr::Call(call) => self.compile_call(call),
            Expr::List(_) => {
                Err(error("a list can only stand behind `in`").with_remedy("as in `operation in ['checkout', 'pay']`"))
            }
            _ => Err(error("maps, structures and comprehensions are not supported in an expression over outcomes")),
        }
    }

    fn compile_select(&self, select: &SelectExpr) -> Compiled<Typed> {
        match self.compile(&select.operand)? {
            Typed::Outcome if select.test => presence_in_outcome(&select.field),
            Typed::Outcome => compile_name(&select.field),
            Typed::Map(map) if select.test => Ok(Typed::Bool(Condition::Has(reference(map, &select.field)))),
            Typed::Map(map) => Ok(element(map, &select.field)),
            other => Err(error(format!("{} has no field `{}`", other.kind(), select.field))
                .with_remedy("a name with a dot is written as attributes['a.b']")),
        }
    }

    fn compile_index(&self, container: &IdedExpr, key: &IdedExpr) -> Compiled<Typed> {
        let Typed::Map(map) = self.compile(container)? else {
            return Err(error("only `measures` and `attributes` can be indexed"));
        };
        Ok(element(map, literal_key(key)?))
    }

    fn compile_in(&self, item: &IdedExpr, container: &IdedExpr) -> Compiled<Typed> {
        if let Expr::List(list) = &container.expr {
            return self.compile_in_list(item, &list.elements);
        }
        match self.compile(container)? {
            Typed::Map(map) => Ok(Typed::Bool(Condition::Has(reference(map, literal_key(item)?)))),
            Typed::Outcome => presence_in_outcome(literal_key(item)?),
            other => Err(error(format!("`in` wants a list or a map behind it, not {}", other.kind()))
                .with_remedy("as in `operation in ['checkout', 'pay']` or `'tier' in attributes`")),
        }
    }

    fn compile_in_list(&self, item: &IdedExpr, elements: &[IdedExpr]) -> Compiled<Typed> {
        let mixed = || error("the list behind `in` must hold literals of the one type that is looked for");
        let literals = elements.iter().map(|e| match &e.expr {
            Expr::Literal(literal) => Ok(literal),
            _ => Err(mixed()),
        });
        let literals = literals.collect::<Compiled<Vec<_>>>()?;
        let item = self.compile(item)?;
        let ints = || literals.iter().map(|l| if let LiteralValue::Int(i) = l { Some(*i.inner()) } else { None });
        let doubles = || {
            literals.iter().map(|l| match l {
                LiteralValue::Double(d) => Some(*d.inner()),
                LiteralValue::Int(i) => Some(*i.inner() as f64),
                _ => None,
            })
        };
        let texts = || {
            literals.iter().map(|l| match l {
                LiteralValue::String(s) => Some(Box::from(s.inner())),
                _ => None,
            })
        };
        let is_double = |l: &&LiteralValue| matches!(l, LiteralValue::Double(_));
        let condition = match item {
            Typed::Text(text) => texts().collect::<Option<Vec<_>>>().map(|list| Condition::TextIn(text, list)),
            Typed::Double(d) => doubles().collect::<Option<Vec<_>>>().map(|list| Condition::DoubleIn(d, list)),
            Typed::Int(int) if !literals.is_empty() && literals.iter().all(is_double) => {
                doubles().collect::<Option<Vec<_>>>().map(|list| Condition::DoubleIn(as_double(int), list))
            }
            Typed::Int(int) => ints().collect::<Option<Vec<_>>>().map(|list| Condition::IntIn(int, list)),
            other => return Err(error(format!("{} cannot be looked for in a list", other.kind()))),
        };
        condition.map(Typed::Bool).ok_or_else(mixed)
    }
}

fn compile_literal(literal: &LiteralValue) -> Compiled<Typed> {
    match literal {
        LiteralValue::Boolean(b) => Ok(Typed::Bool(Condition::Literal(*b.inner()))),
        LiteralValue::Int(i) => Ok(Typed::Int(Int::Literal(*i.inner()))),
        LiteralValue::Double(d) => Ok(Typed::Double(Double::Literal(*d.inner()))),
        LiteralValue::String(s) => Ok(Typed::Text(Text::Literal(Box::from(s.inner())))),
        LiteralValue::Null => Err(error("`null` is no value of an outcome: an absent field is absent")
            .with_remedy("ask whether it is there with has(), as in `has(status)`")),
        LiteralValue::UInt(_) => Err(error("unsigned numbers are not supported").with_remedy("leave the `u` out")),
        LiteralValue::Bytes(_) => Err(error("bytes are not supported").with_remedy("write a text: leave the `b` out")),
    }
}

fn compile_name(name: &str) -> Compiled<Typed> {
    match name {
        OUTCOME => return Ok(Typed::Outcome),
        "measures" => return Ok(Typed::Map(Map::Measures)),
        "attributes" => return Ok(Typed::Map(Map::Attributes)),
        _ => {}
    }
    Ok(match Field::parse(name).ok_or_else(|| unknown_name(name))? {
        Field::Status => Typed::Int(Int::Status),
        Field::Timestamp => Typed::Int(Int::Timestamp),
        Field::LatencyMs => Typed::Double(Double::LatencyMs),
        Field::Weight => Typed::Double(Double::Weight),
        text => Typed::Text(Text::Field(text)),
    })
}

fn unknown_name(name: &str) -> ExpressionError {
    let known = || Field::ALL.iter().map(|f| f.as_str()).chain(["measures", "attributes"]);
    let remedy = match closest(name, known()) {
        Some(near) => format!("did you mean `{near}`? An attribute is written as attributes['{name}']"),
        None => format!("an attribute is written as attributes['{name}']; the fields are {}", one_of(known())),
    };
    error(format!("an outcome has no field `{name}`")).with_remedy(remedy)
}

fn presence_in_outcome(name: &str) -> Compiled<Typed> {
    let field = Field::parse(name).ok_or_else(|| unknown_name(name))?;
    Ok(Typed::Bool(Condition::Has(Reference::Field(field))))
}

fn reference(map: Map, name: &str) -> Reference {
    match map {
        Map::Measures => Reference::Measure(Name(name.into())),
        Map::Attributes => Reference::Attribute(Name(name.into())),
    }
}

fn element(map: Map, name: &str) -> Typed {
    match map {
        Map::Measures => Typed::Double(Double::Measure(Name(name.into()))),
        Map::Attributes => Typed::Text(Text::Attribute(Name(name.into()))),
    }
}

fn literal_key(key: &IdedExpr) -> Compiled<&str> {
    match &key.expr {
        Expr::Literal(LiteralValue::String(name)) => Ok(name.inner()),
        _ => Err(error("the name of a measure or an attribute must be a quoted text")
            .with_remedy("as in attributes['tier'] or 'tier' in attributes")),
    }
}
