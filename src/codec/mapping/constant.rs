//! Constants of a mapping.

use super::super::field::Scalar;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Constant {
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            Constant::Bool(b) => Scalar::Bool(*b),
            Constant::Integer(n) => Scalar::Long(*n),
            Constant::Number(n) => Scalar::Double(*n),
            Constant::Text(text) => Scalar::Text(Cow::Borrowed(text)),
        }
    }
}
