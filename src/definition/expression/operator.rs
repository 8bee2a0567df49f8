//! Operators and functions: which types they take, and what they become.

use super::{Compiled, Compiler, ExpressionError, Typed, as_double, closest, error};
use crate::model::expr::{Arithmetic, Comparison, Condition, Double, Int, Text, TextTest};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

const FUNCTIONS: [&str; 8] = ["has", "size", "startsWith", "endsWith", "contains", "matches", "double", "int"];

impl Compiler<'_> {
    pub(super) fn compile_call(&self, call: &CallExpr) -> Compiled<Typed> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::CONDITIONAL, None, [c, yes, no]) => self.compile_ternary(c, yes, no),
            (operators::LOGICAL_AND, None, args) => self.compile_logic(args, operators::LOGICAL_AND),
            (operators::LOGICAL_OR, None, args) => self.compile_logic(args, operators::LOGICAL_OR),
            (operators::LOGICAL_NOT, None, [a]) => Ok(Typed::Bool(Condition::Not(Box::new(self.condition(a)?)))),
            (operators::NEGATE, None, [a]) => self.compile_negation(a),
            (operators::INDEX, None, [container, key]) => self.compile_index(container, key),
            (operators::IN, None, [item, container]) => self.compile_in(item, container),
            (_, None, [a, b]) if comparison(name).is_some() || arithmetic(name).is_some() => {
                self.compile_binary(name, a, b)
            }
            ("size", None, [a]) | ("size", Some(a), []) => self.compile_size(a),
            ("double" | "int", None, [a]) => self.compile_conversion(name, a),
            ("matches", None, [a, pattern]) | ("matches", Some(a), [pattern]) => self.compile_matches(a, pattern),
            ("startsWith", Some(a), [b]) => self.compile_test(TextTest::StartsWith, a, b),
            ("endsWith", Some(a), [b]) => self.compile_test(TextTest::EndsWith, a, b),
            ("contains", Some(a), [b]) => self.compile_test(TextTest::Contains, a, b),
            _ => Err(unknown_function(name)),
        }
    }

    fn condition(&self, expr: &IdedExpr) -> Compiled<Condition> {
        match self.compile(expr)? {
            Typed::Bool(condition) => Ok(condition),
            other => Err(self.at(expr, error(format!("a condition is wanted here, and this is {}", other.kind())))),
        }
    }

    fn text(&self, expr: &IdedExpr) -> Compiled<Text> {
        match self.compile(expr)? {
            Typed::Text(text) => Ok(text),
            other => Err(self.at(expr, error(format!("a text is wanted here, and this is {}", other.kind())))),
        }
    }

    fn at(&self, expr: &IdedExpr, mut e: ExpressionError) -> ExpressionError {
        e.character = self.info.offset_for(expr.id).map(|(start, _)| start + 1);
        e
    }

    /// Nested `&&` (or `||`) become one flat list: it is evaluated in a loop, and means the same.
    fn compile_logic(&self, args: &[IdedExpr], operator: &str) -> Compiled<Typed> {
        let is_and = operator == operators::LOGICAL_AND;
        let mut parts = Vec::with_capacity(args.len());
        for arg in args {
            match (self.condition(arg)?, is_and) {
                (Condition::All(inner), true) | (Condition::Any(inner), false) => parts.extend(inner),
                (part, _) => parts.push(part),
            }
        }
        Ok(Typed::Bool(if is_and { Condition::All(parts) } else { Condition::Any(parts) }))
    }

    fn compile_ternary(&self, c: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Compiled<Typed> {
        let c = self.condition(c)?;
        match (self.compile(yes)?, self.compile(no)?) {
            (Typed::Bool(a), Typed::Bool(b)) => Ok(Typed::Bool(Condition::If(Box::new((c, a, b))))),
            (Typed::Int(a), Typed::Int(b)) => Ok(Typed::Int(Int::If(Box::new((c, a, b))))),
            (Typed::Double(a), Typed::Double(b)) => Ok(Typed::Double(Double::If(Box::new((c, a, b))))),
            (Typed::Text(a), Typed::Text(b)) => Ok(Typed::Text(Text::If(Box::new((c, a, b))))),
            (a, b) => Err(error(format!("both sides of `? :` must be of one type: {} and {}", a.kind(), b.kind()))),
        }
    }

    fn compile_negation(&self, a: &IdedExpr) -> Compiled<Typed> {
        match self.compile(a)? {
            Typed::Int(int) => Ok(Typed::Int(Int::Negate(Box::new(int)))),
            Typed::Double(double) => Ok(Typed::Double(Double::Negate(Box::new(double)))),
            other => Err(error(format!("`-` wants a number, and this is {}", other.kind()))),
        }
    }

    fn compile_binary(&self, name: &str, a: &IdedExpr, b: &IdedExpr) -> Compiled<Typed> {
        let (a, b) = (self.compile(a)?, self.compile(b)?);
        match (comparison(name), arithmetic(name)) {
            (Some(op), _) => compare(op, a, b).map(Typed::Bool),
            (None, Some(op)) => calculate(op, a, b),
            (None, None) => Err(unknown_function(name)),
        }
    }

    fn compile_size(&self, a: &IdedExpr) -> Compiled<Typed> {
        match self.compile(a)? {
            Typed::Text(text) => Ok(Typed::Int(Int::SizeOfText(text))),
            Typed::Map(map) => Ok(Typed::Int(Int::SizeOfMap(map))),
            other => Err(error(format!("size() wants a text or a map, and this is {}", other.kind()))),
        }
    }

    fn compile_conversion(&self, name: &str, a: &IdedExpr) -> Compiled<Typed> {
        let typed = self.compile(a)?;
        Ok(match (name, typed) {
            (_, Typed::Int(int)) if name == "int" => Typed::Int(int),
            (_, Typed::Int(int)) => Typed::Double(Double::FromInt { int: Box::new(int), written: true }),
            ("int", Typed::Double(double)) => Typed::Int(Int::FromDouble(Box::new(double))),
            (_, Typed::Double(double)) => Typed::Double(double),
            ("int", Typed::Text(text)) => Typed::Int(Int::FromText(text)),
            (_, Typed::Text(text)) => Typed::Double(Double::FromText(text)),
            (_, other) => {
                return Err(error(format!("{name}() wants a number or a text, and this is {}", other.kind())));
            }
        })
    }

    fn compile_test(&self, test: TextTest, a: &IdedExpr, b: &IdedExpr) -> Compiled<Typed> {
        Ok(Typed::Bool(Condition::Test(test, self.text(a)?, self.text(b)?)))
    }

    fn compile_matches(&self, a: &IdedExpr, pattern: &IdedExpr) -> Compiled<Typed> {
        let Expr::Literal(LiteralValue::String(regex)) = &pattern.expr else {
            return Err(error("the regular expression of matches() must be a quoted text"));
        };
        let regex = regex::Regex::new(regex.inner())
            .map_err(|e| self.at(pattern, error(format!("this is no regular expression: {e}"))))?;
        Ok(Typed::Bool(Condition::Matches(self.text(a)?, regex)))
    }
}

fn compare(op: Comparison, a: Typed, b: Typed) -> Compiled<Condition> {
    let is_equality = matches!(op, Comparison::Eq | Comparison::Ne);
    match (a, b) {
        (Typed::Int(a), Typed::Int(b)) => Ok(Condition::CompareInt(op, a, b)),
        (Typed::Int(a), Typed::Double(b)) => Ok(Condition::CompareDouble(op, as_double(a), b)),
        (Typed::Double(a), Typed::Int(b)) => Ok(Condition::CompareDouble(op, a, as_double(b))),
        (Typed::Double(a), Typed::Double(b)) => Ok(Condition::CompareDouble(op, a, b)),
        (Typed::Text(a), Typed::Text(b)) => Ok(Condition::CompareText(op, a, b)),
        (Typed::Bool(a), Typed::Bool(b)) if is_equality => {
            Ok(Condition::Same { negated: op == Comparison::Ne, sides: Box::new((a, b)) })
        }
        (a, b) => Err(incomparable(op, &a, &b)),
    }
}

fn incomparable(op: Comparison, a: &Typed, b: &Typed) -> ExpressionError {
    let e = error(format!("`{}` cannot compare {} with {}", op.symbol(), a.kind(), b.kind()));
    match (a, b) {
        (Typed::Text(_), Typed::Int(_) | Typed::Double(_)) | (Typed::Int(_) | Typed::Double(_), Typed::Text(_)) => {
            e.with_remedy("quote both or none; an attribute is a text: double(attributes['x']) reads it as a number")
        }
        (Typed::Text(_), Typed::Bool(_)) | (Typed::Bool(_), Typed::Text(_)) => {
            e.with_remedy("an attribute is a text: write 'true' or 'false' in quotes")
        }
        _ => e,
    }
}

fn calculate(op: Arithmetic, a: Typed, b: Typed) -> Compiled<Typed> {
    match (a, b) {
        (Typed::Int(a), Typed::Int(b)) => Ok(Typed::Int(Int::Binary(op, Box::new((a, b))))),
        (Typed::Double(_), Typed::Double(_)) if op == Arithmetic::Rem => {
            Err(error("`%` is for whole numbers only").with_remedy("write int(...) around both sides"))
        }
        (Typed::Double(a), Typed::Double(b)) => Ok(Typed::Double(Double::Binary(op, Box::new((a, b))))),
        (Typed::Int(_), Typed::Double(_)) | (Typed::Double(_), Typed::Int(_)) => {
            Err(error(format!("`{}` wants two whole numbers or two doubles", op.symbol()))
                .with_remedy("write the whole number as a double: 2.0, or double(status)"))
        }
        (a, b) => Err(error(format!("`{}` wants two numbers, not {} and {}", op.symbol(), a.kind(), b.kind()))),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Eq,
        operators::NOT_EQUALS => Comparison::Ne,
        operators::LESS => Comparison::Lt,
        operators::LESS_EQUALS => Comparison::Le,
        operators::GREATER => Comparison::Gt,
        operators::GREATER_EQUALS => Comparison::Ge,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Sub,
        operators::MULTIPLY => Arithmetic::Mul,
        operators::DIVIDE => Arithmetic::Div,
        operators::MODULO => Arithmetic::Rem,
        _ => return None,
    })
}

fn unknown_function(name: &str) -> ExpressionError {
    let e = error(format!("there is no function `{name}` over outcomes, or not with these arguments"));
    match closest(name, FUNCTIONS) {
        Some(near) => e.with_remedy(format!("did you mean `{near}`?")),
        None => e.with_remedy(format!("the functions are {}", super::one_of(FUNCTIONS))),
    }
}
