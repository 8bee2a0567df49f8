//! CEL as a tree, before names and types are resolved. Every node has the position of its first character.

use crate::model::expr::{Arithmetic, Comparison};

/// The depth limit of a tree. A chain of operators or members is as deep as it is long; only `&&` and `||` are flat.
/// All code that walks a tree recurses: with this depth, an unoptimized build needs less than half of a 2 MB stack, a
/// release build far less.
pub const MAX_DEPTH: u32 = 60;

/// The most nodes of a tree.
pub const MAX_PARTS: usize = 10_000;

#[derive(Debug)]
pub struct Expr {
    /// From 0.
    pub at: u32,
    /// Depth of the deepest node below it, from 1.
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
