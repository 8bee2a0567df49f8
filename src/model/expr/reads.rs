//! Finds the optional fields that an expression reads without a `has()` check.

use super::{Condition, Double, Field, Filter, Int, NumberExpr, Reference, Span, Text, Time, Zone};
use std::collections::BTreeSet;

#[derive(Default)]
struct Reads {
    read: BTreeSet<Reference>,
    asked: BTreeSet<Reference>,
}

impl Filter {
    /// The optional fields whose absence may leave an event unclassified, in a fixed order. A field with a `has()`
    /// anywhere in the filter counts as guarded.
    pub fn unguarded_reads(&self) -> Vec<Reference> {
        let mut reads = Reads::default();
        reads.condition(&self.condition);
        reads.unguarded()
    }
}

impl NumberExpr {
    /// As for a filter.
    pub fn unguarded_reads(&self) -> Vec<Reference> {
        let mut reads = Reads::default();
        reads.double(&self.value);
        reads.unguarded()
    }
}

impl Reads {
    fn unguarded(self) -> Vec<Reference> {
        self.read.difference(&self.asked).cloned().collect()
    }

    fn field(&mut self, field: Field) {
        if !field.is_required() {
            self.read.insert(Reference::Field(field));
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Literal(_) => {}
            Condition::Has(reference) => {
                self.asked.insert(reference.clone());
            }
            Condition::Not(inner) => self.condition(inner),
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.condition(part)),
            Condition::If(c) => [&c.0, &c.1, &c.2].into_iter().for_each(|part| self.condition(part)),
            Condition::Same { sides, .. } => [&sides.0, &sides.1].into_iter().for_each(|part| self.condition(part)),
            Condition::CompareInt(_, a, b) => [a, b].into_iter().for_each(|part| self.int(part)),
            Condition::CompareDouble(_, a, b) => [a, b].into_iter().for_each(|part| self.double(part)),
            Condition::CompareText(_, a, b) | Condition::Test(_, a, b) => {
                [a, b].into_iter().for_each(|part| self.text(part));
            }
            Condition::CompareTime(_, a, b) => [a, b].into_iter().for_each(|part| self.time(part)),
            Condition::CompareSpan(_, a, b) => [a, b].into_iter().for_each(|part| self.span(part)),
            Condition::IntIn(a, _) => self.int(a),
            Condition::DoubleIn(a, _) => self.double(a),
            Condition::TextIn(a, _) | Condition::Matches(a, _) => self.text(a),
        }
    }

    fn int(&mut self, int: &Int) {
        match int {
            Int::Literal(_) | Int::SizeOfMap(_) => {}
            Int::Status => self.field(Field::Status),
            Int::Negate(a) => self.int(a),
            Int::Binary(_, sides) => [&sides.0, &sides.1].into_iter().for_each(|part| self.int(part)),
            Int::If(c) => {
                self.condition(&c.0);
                [&c.1, &c.2].into_iter().for_each(|part| self.int(part));
            }
            Int::SizeOfText(text) | Int::FromText(text) => self.text(text),
            Int::FromDouble(d) => self.double(d),
            Int::FromTime(time) => self.time(time),
            Int::PartOfTime(_, time, zone) => {
                self.time(time);
                if let Zone::Read(text) = zone {
                    self.text(text);
                }
            }
            Int::PartOfSpan(_, span) => self.span(span),
        }
    }

    fn double(&mut self, double: &Double) {
        match double {
            Double::Literal(_) | Double::Weight => {}
            Double::LatencyMs => self.field(Field::LatencyMs),
            Double::Measure(name) => {
                self.read.insert(Reference::Measure(name.clone()));
            }
            Double::Negate(a) => self.double(a),
            Double::Binary(_, sides) => [&sides.0, &sides.1].into_iter().for_each(|part| self.double(part)),
            Double::If(c) => {
                self.condition(&c.0);
                [&c.1, &c.2].into_iter().for_each(|part| self.double(part));
            }
            Double::FromInt { int, .. } => self.int(int),
            Double::FromText(text) => self.text(text),
        }
    }

    fn text(&mut self, text: &Text) {
        match text {
            Text::Literal(_) => {}
            Text::Field(field) => self.field(*field),
            Text::Attribute(name) => {
                self.read.insert(Reference::Attribute(name.clone()));
            }
            Text::If(c) => {
                self.condition(&c.0);
                [&c.1, &c.2].into_iter().for_each(|part| self.text(part));
            }
            Text::Join(sides) => [&sides.0, &sides.1].into_iter().for_each(|part| self.text(part)),
            Text::FromBool(condition) => self.condition(condition),
            Text::FromInt(int) => self.int(int),
            Text::FromTime(time) => self.time(time),
            Text::FromSpan(span) => self.span(span),
        }
    }

    fn time(&mut self, time: &Time) {
        match time {
            Time::Literal(_) | Time::Event => {}
            Time::Plus(sides) | Time::Minus(sides) => {
                self.time(&sides.0);
                self.span(&sides.1);
            }
            Time::If(c) => {
                self.condition(&c.0);
                [&c.1, &c.2].into_iter().for_each(|part| self.time(part));
            }
            Time::FromInt(int) => self.int(int),
            Time::FromText(text) => self.text(text),
        }
    }

    fn span(&mut self, span: &Span) {
        match span {
            Span::Literal(_) => {}
            Span::Between(sides) => [&sides.0, &sides.1].into_iter().for_each(|part| self.time(part)),
            Span::Binary(_, sides) => [&sides.0, &sides.1].into_iter().for_each(|part| self.span(part)),
            Span::If(c) => {
                self.condition(&c.0);
                [&c.1, &c.2].into_iter().for_each(|part| self.span(part));
            }
            Span::FromText(text) => self.text(text),
        }
    }
}
