//! Prints expressions as CEL, with parentheses only where they are needed.

use super::moment::Written;
use super::{
    Arithmetic, Comparison, Condition, Double, Fault, Field, Filter, Int, Map, Name, NumberExpr, Reference, Span, Text,
    TextTest, Time, Zone,
};
use std::fmt::{Display, Formatter, Result};

/// The precedence of an expression; a part with a lower precedence than its place needs gets parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Ternary,
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
    Atom,
}

trait Bound: Display {
    fn binding(&self) -> Binding;
}

fn part(f: &mut Formatter<'_>, e: &dyn Bound, least: Binding) -> Result {
    if e.binding() < least { write!(f, "({e})") } else { write!(f, "{e}") }
}

fn infix(f: &mut Formatter<'_>, a: &dyn Bound, op: &str, b: &dyn Bound, at: Binding, right: Binding) -> Result {
    part(f, a, at)?;
    write!(f, " {op} ")?;
    part(f, b, right)
}

fn ternary(f: &mut Formatter<'_>, c: &Condition, yes: &dyn Bound, no: &dyn Bound) -> Result {
    part(f, c, Binding::Or)?;
    f.write_str(" ? ")?;
    part(f, yes, Binding::Or)?;
    f.write_str(" : ")?;
    part(f, no, Binding::Ternary)
}

fn relation(f: &mut Formatter<'_>, op: Comparison, a: &dyn Bound, b: &dyn Bound) -> Result {
    infix(f, a, op.symbol(), b, Binding::Sum, Binding::Sum)
}

fn member(f: &mut Formatter<'_>, a: &dyn Bound, items: impl Iterator<Item = String>) -> Result {
    part(f, a, Binding::Sum)?;
    write!(f, " in [{}]", items.collect::<Vec<_>>().join(", "))
}

impl Bound for Condition {
    fn binding(&self) -> Binding {
        match self {
            Condition::If(_) => Binding::Ternary,
            Condition::Any(_) => Binding::Or,
            Condition::All(_) => Binding::And,
            Condition::Not(_) => Binding::Unary,
            Condition::Literal(_) | Condition::Test(..) | Condition::Matches(..) => Binding::Atom,
            Condition::Has(Reference::Field(_)) => Binding::Atom,
            _ => Binding::Relation,
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Condition::Literal(b) => write!(f, "{b}"),
            Condition::Has(reference) => reference.print_presence(f),
            Condition::Not(inner) => {
                f.write_str("!")?;
                part(f, inner.as_ref(), Binding::Atom)
            }
            Condition::All(parts) => joined(f, parts, " && ", Binding::Relation),
            Condition::Any(parts) => joined(f, parts, " || ", Binding::And),
            Condition::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Condition::Same { negated, sides } => {
                let op = if *negated { "!=" } else { "==" };
                infix(f, &sides.0, op, &sides.1, Binding::Sum, Binding::Sum)
            }
            Condition::CompareInt(op, a, b) => relation(f, *op, a, b),
            Condition::CompareDouble(op, a, b) => relation(f, *op, a, b),
            Condition::CompareText(op, a, b) => relation(f, *op, a, b),
            Condition::CompareTime(op, a, b) => relation(f, *op, a, b),
            Condition::CompareSpan(op, a, b) => relation(f, *op, a, b),
            Condition::IntIn(a, list) => member(f, a, list.iter().map(i64::to_string)),
            Condition::DoubleIn(a, list) => member(f, a, list.iter().map(|d| format!("{d:?}"))),
            Condition::TextIn(a, list) => member(f, a, list.iter().map(|t| quoted(t))),
            Condition::Test(test, a, b) => {
                part(f, a, Binding::Atom)?;
                write!(f, ".{}({b})", test.name())
            }
            Condition::Matches(a, regex) => {
                part(f, a, Binding::Atom)?;
                write!(f, ".matches({})", quoted(regex.source()))
            }
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Condition], separator: &str, least: Binding) -> Result {
    for (i, p) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        part(f, p, least)?;
    }
    Ok(())
}

impl Bound for Int {
    fn binding(&self) -> Binding {
        match self {
            Int::If(_) => Binding::Ternary,
            Int::Binary(op, _) => op.binding(),
            Int::Negate(_) => Binding::Unary,
            Int::Literal(i) if *i < 0 => Binding::Unary,
            _ => Binding::Atom,
        }
    }
}

impl Display for Int {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Int::Literal(i) => write!(f, "{i}"),
            Int::Status => f.write_str(Field::Status.as_str()),
            Int::Negate(a) if matches!(**a, Int::Literal(_)) => write!(f, "-({a})"),
            Int::Negate(a) => {
                f.write_str("-")?;
                part(f, a.as_ref(), Binding::Atom)
            }
            Int::Binary(op, sides) => op.print(f, &sides.0, &sides.1),
            Int::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Int::SizeOfText(text) => write!(f, "size({text})"),
            Int::SizeOfMap(map) => write!(f, "size({map})"),
            Int::FromDouble(d) => write!(f, "int({d})"),
            Int::FromText(text) => write!(f, "int({text})"),
            Int::FromTime(time) => write!(f, "int({time})"),
            Int::PartOfTime(asked, time, zone) => {
                part(f, time.as_ref(), Binding::Atom)?;
                write!(f, ".{}({zone})", asked.name())
            }
            Int::PartOfSpan(asked, span) => {
                part(f, span.as_ref(), Binding::Atom)?;
                write!(f, ".{}()", asked.name())
            }
        }
    }
}

impl Bound for Double {
    fn binding(&self) -> Binding {
        match self {
            Double::If(_) => Binding::Ternary,
            Double::Binary(op, _) => op.binding(),
            Double::Negate(_) => Binding::Unary,
            Double::Literal(d) if d.is_sign_negative() => Binding::Unary,
            Double::FromInt { int, written: false } => int.binding(),
            _ => Binding::Atom,
        }
    }
}

impl Display for Double {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Double::Literal(d) => write!(f, "{d:?}"),
            Double::LatencyMs => f.write_str(Field::LatencyMs.as_str()),
            Double::Weight => f.write_str(Field::Weight.as_str()),
            Double::Measure(name) => name.print_read(f, Map::Measures),
            Double::Negate(a) if matches!(**a, Double::Literal(_)) => write!(f, "-({a})"),
            Double::Negate(a) => {
                f.write_str("-")?;
                part(f, a.as_ref(), Binding::Atom)
            }
            Double::Binary(op, sides) => op.print(f, &sides.0, &sides.1),
            Double::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Double::FromInt { int, written: true } => write!(f, "double({int})"),
            Double::FromInt { int, written: false } => write!(f, "{int}"),
            Double::FromText(text) => write!(f, "double({text})"),
        }
    }
}

impl Bound for Text {
    fn binding(&self) -> Binding {
        match self {
            Text::If(_) => Binding::Ternary,
            Text::Join(_) => Binding::Sum,
            _ => Binding::Atom,
        }
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Text::Literal(text) => f.write_str(&quoted(text)),
            Text::Field(field) => f.write_str(field.as_str()),
            Text::Attribute(name) => name.print_read(f, Map::Attributes),
            Text::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Text::Join(sides) => Arithmetic::Add.print(f, &sides.0, &sides.1),
            Text::FromBool(condition) => write!(f, "string({condition})"),
            Text::FromInt(int) => write!(f, "string({int})"),
            Text::FromTime(time) => write!(f, "string({time})"),
            Text::FromSpan(span) => write!(f, "string({span})"),
        }
    }
}

impl Bound for Time {
    fn binding(&self) -> Binding {
        match self {
            Time::If(_) => Binding::Ternary,
            Time::Plus(_) | Time::Minus(_) => Binding::Sum,
            _ => Binding::Atom,
        }
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Time::Literal(moment) => write!(f, "timestamp('{moment}')"),
            Time::Event => f.write_str(Field::Timestamp.as_str()),
            Time::Plus(sides) => Arithmetic::Add.print(f, &sides.0, &sides.1),
            Time::Minus(sides) => Arithmetic::Sub.print(f, &sides.0, &sides.1),
            Time::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Time::FromInt(int) => write!(f, "timestamp({int})"),
            Time::FromText(text) => write!(f, "timestamp({text})"),
        }
    }
}

impl Bound for Span {
    fn binding(&self) -> Binding {
        match self {
            Span::If(_) => Binding::Ternary,
            Span::Between(_) | Span::Binary(..) => Binding::Sum,
            _ => Binding::Atom,
        }
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Span::Literal(length) => write!(f, "duration('{}')", Written(*length)),
            Span::Between(sides) => Arithmetic::Sub.print(f, &sides.0, &sides.1),
            Span::Binary(op, sides) => op.print(f, &sides.0, &sides.1),
            Span::If(c) => ternary(f, &c.0, &c.1, &c.2),
            Span::FromText(text) => write!(f, "duration({text})"),
        }
    }
}

/// As the argument of a function.
impl Display for Zone {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Zone::Utc => Ok(()),
            Zone::Known { written, .. } => f.write_str(&quoted(written)),
            Zone::Read(text) => write!(f, "{text}"),
        }
    }
}

impl Reference {
    fn print_presence(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Reference::Field(field) => write!(f, "has({})", field.as_str()),
            Reference::Measure(Name(name)) => write!(f, "{} in {}", quoted(name), Map::Measures),
            Reference::Attribute(Name(name)) => write!(f, "{} in {}", quoted(name), Map::Attributes),
        }
    }
}

impl Display for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Reference::Field(field) => f.write_str(field.as_str()),
            Reference::Measure(name) => name.print_read(f, Map::Measures),
            Reference::Attribute(name) => name.print_read(f, Map::Attributes),
        }
    }
}

impl Name {
    fn print_read(&self, f: &mut Formatter<'_>, map: Map) -> Result {
        write!(f, "{map}[{}]", quoted(&self.0))
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Map::Measures => "measures",
            Map::Attributes => "attributes",
        })
    }
}

impl Comparison {
    pub const fn symbol(self) -> &'static str {
        match self {
            Comparison::Eq => "==",
            Comparison::Ne => "!=",
            Comparison::Lt => "<",
            Comparison::Le => "<=",
            Comparison::Gt => ">",
            Comparison::Ge => ">=",
        }
    }
}

impl Arithmetic {
    pub const fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Sub => "-",
            Arithmetic::Mul => "*",
            Arithmetic::Div => "/",
            Arithmetic::Rem => "%",
        }
    }

    const fn binding(self) -> Binding {
        match self {
            Arithmetic::Add | Arithmetic::Sub => Binding::Sum,
            _ => Binding::Product,
        }
    }

    fn print(self, f: &mut Formatter<'_>, a: &dyn Bound, b: &dyn Bound) -> Result {
        let right = if self.binding() == Binding::Sum { Binding::Product } else { Binding::Unary };
        infix(f, a, self.symbol(), b, self.binding(), right)
    }
}

impl TextTest {
    pub const fn name(self) -> &'static str {
        match self {
            TextTest::StartsWith => "startsWith",
            TextTest::EndsWith => "endsWith",
            TextTest::Contains => "contains",
        }
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.condition.fmt(f)
    }
}

impl Display for NumberExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.value.fmt(f)
    }
}

impl Display for Fault<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Fault::AbsentField(field) => write!(f, "{} is absent", field.as_str()),
            Fault::AbsentMeasure(name) => {
                name.print_read(f, Map::Measures)?;
                f.write_str(" is absent")
            }
            Fault::AbsentAttribute(name) => {
                name.print_read(f, Map::Attributes)?;
                f.write_str(" is absent")
            }
            Fault::DivisionByZero => f.write_str("it divides by zero"),
            Fault::Overflow => f.write_str("a whole number is out of range"),
            Fault::NotANumber => f.write_str("a text is not a number"),
            Fault::NotATime => f.write_str("a text is not a time as RFC 3339 has it"),
            Fault::NotALength => f.write_str("a text is not a length of time such as 1h30m"),
            Fault::NotAZone => f.write_str("a text is not the name of a time zone"),
            Fault::TimeOutOfRange => f.write_str("a time or a length of time is out of range"),
            Fault::NotComparable => f.write_str("the result of a calculation is not a number, and cannot be compared"),
        }
    }
}

/// A CEL string literal.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}
