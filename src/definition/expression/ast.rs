//! CEL as a tree, before names and types are settled. Every part knows the character it begins at.

use crate::model::expr::{Arithmetic, Comparison};

/// How deep a tree may go. A chain of operators or of members is as deep as it is long; only `&&` and
/// `||` are flat. Everything that walks a tree recurses: on a thread of 2 MB, an unoptimized build needs
/// less than half of the stack for this depth, and the program a part of that.
pub const MAX_DEPTH: u32 = 60;

/// How many parts a tree may have.
pub const MAX_PARTS: usize = 10_000;

#[derive(Debug)]
pub struct Expr {
    /// From 0.
    pub at: u32,
    /// Of the deepest part below it, from 1.
    pub depth: u32,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Literal(Literal),
    Name(String),
    /// `operand.field`
    Select(Box<Expr>, String),
    /// `operand[key]`
    Index(Box<Expr>, Box<Expr>),
    /// `name(args)`, or `target.name(args)`
    Call {
        target: Option<Box<Expr>>,
        name: String,
        args: Vec<Expr>,
    },
    List(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Compare(Comparison, Box<(Expr, Expr)>),
    In(Box<(Expr, Expr)>),
    Calculate(Arithmetic, Box<(Expr, Expr)>),
    /// `a && b && ...`, flat.
    All(Vec<Expr>),
    /// `a || b || ...`, flat.
    Any(Vec<Expr>),
    If(Box<(Expr, Expr, Expr)>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Null,
    Unsigned,
    Bytes,
}
