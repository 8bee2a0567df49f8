//! Tokens -> a tree, by precedence climbing. Length, depth and the number of nodes are limited while the tree grows, so
//! that no text can exhaust the stack, here or in code that walks the tree.

use super::ast::{Expr, Kind, Literal, MAX_DEPTH, MAX_PARTS};
use super::lexer::{self, Token, TokenKind};
use super::{Compiled, ExpressionError, error};
use crate::model::expr::{Arithmetic, Comparison};

/// In bytes. The longest filters in practice are lists of paths after `in`.
pub const MAX_LENGTH: usize = 64 << 10;

pub fn parse(source: &str) -> Compiled<Expr> {
    if source.trim().is_empty() {
        return Err(error("the expression is empty").with_remedy("leave the key out to count every event"));
    }
    if source.len() > MAX_LENGTH {
        return Err(error(format!("the expression has {} bytes; {MAX_LENGTH} are the most", source.len()))
            .with_remedy("count such a field in the record, as an attribute"));
    }
    let mut parser = Parser { tokens: lexer::tokens(source)?, next: 0, nesting: 0, parts: 0, open: Vec::new() };
    let expr = parser.expression()?;
    match parser.peek() {
        TokenKind::End => Ok(expr),
        _ => Err(parser.unexpected()),
    }
}

/// Reserved words of CEL: none can be a name.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// Words with a meaning in CEL: they cannot be fields either.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];

/// The binary operators by precedence, the loosest first.
const OR: u8 = 0;
const AND: u8 = 1;
const RELATION: u8 = 2;
const SUM: u8 = 3;
const PRODUCT: u8 = 4;

enum Infix {
    Or,
    And,
    In,
    Compare(Comparison),
    Calculate(Arithmetic),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The current depth of brackets and ternaries.
    nesting: u32,
    parts: usize,
    /// The open brackets, and their positions.
    open: Vec<(&'static str, u32)>,
}

impl Parser {
    fn token(&self) -> &Token {
        // The last token is the end marker; the parser never moves past it.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &TokenKind {
        &self.token().kind
    }

    fn at(&self) -> u32 {
        self.token().at
    }

    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), TokenKind::Sign(found) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    /// A node; its depth is one more than that of its deepest child.
    fn part(&mut self, at: u32, below: u32, kind: Kind) -> Compiled<Expr> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(error(format!("the expression has more than {MAX_PARTS} parts"))
                .with_remedy("test a prefix or a pattern in place of a long list")
                .or_at(at));
        }
        if below >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        Ok(Expr { at, depth: below + 1, kind })
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Parser) -> Compiled<T>) -> Compiled<T> {
        if self.nesting >= MAX_DEPTH {
            return Err(too_deep(self.at()));
        }
        self.nesting += 1;
        let read = read(self);
        self.nesting -= 1;
        read
    }

    /// `a`, or `a ? b : c`.
    fn expression(&mut self) -> Compiled<Expr> {
        let condition = self.infix(OR)?;
        let at = self.at();
        if !self.take_sign("?") {
            return Ok(condition);
        }
        let yes = self.infix(OR)?;
        if self.is_sign("?") {
            return Err(error("a second `?` comes before the `:` of the first")
                .with_remedy("put the inner choice in parentheses: a ? (b ? c : d) : e")
                .or_at(self.at()));
        }
        if !self.take_sign(":") {
            let e = self.unexpected();
            return Err(error(format!("`?` needs a `:` after it: {}", e.message))
                .with_remedy("as in has(status) ? status < 500 : false")
                .or_at(at));
        }
        let no = self.nested(Parser::expression)?;
        let below = condition.depth.max(yes.depth).max(no.depth);
        self.part(at, below, Kind::If(Box::new((condition, yes, no))))
    }

    fn infix(&mut self, least: u8) -> Compiled<Expr> {
        let mut left = self.unary()?;
        while let Some((operator, binding)) = self.operator().filter(|(_, binding)| *binding >= least) {
            let at = self.at();
            self.advance();
            let right = self.infix(binding + 1)?;
            left = self.join(at, operator, left, right)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(Infix, u8)> {
        let sign = match self.peek() {
            TokenKind::Sign(sign) => *sign,
            TokenKind::Name(name) if name == "in" => return Some((Infix::In, RELATION)),
            _ => return None,
        };
        Some(match sign {
            "||" => (Infix::Or, OR),
            "&&" => (Infix::And, AND),
            "==" => (Infix::Compare(Comparison::Eq), RELATION),
            "!=" => (Infix::Compare(Comparison::Ne), RELATION),
            "<" => (Infix::Compare(Comparison::Lt), RELATION),
            "<=" => (Infix::Compare(Comparison::Le), RELATION),
            ">" => (Infix::Compare(Comparison::Gt), RELATION),
            ">=" => (Infix::Compare(Comparison::Ge), RELATION),
            "+" => (Infix::Calculate(Arithmetic::Add), SUM),
            "-" => (Infix::Calculate(Arithmetic::Sub), SUM),
            "*" => (Infix::Calculate(Arithmetic::Mul), PRODUCT),
            "/" => (Infix::Calculate(Arithmetic::Div), PRODUCT),
            "%" => (Infix::Calculate(Arithmetic::Rem), PRODUCT),
            _ => return None,
        })
    }

    /// Chains of `&&` or of `||` become one flat list: the meaning is the same, and no depth is added.
    fn join(&mut self, at: u32, operator: Infix, left: Expr, right: Expr) -> Compiled<Expr> {
        let below = left.depth.max(right.depth);
        let flat = (left.depth - 1).max(right.depth);
        let kind = match (operator, left.kind) {
            (Infix::And, Kind::All(mut parts)) => {
                parts.push(right);
                return self.part(left.at, flat, Kind::All(parts));
            }
            (Infix::Or, Kind::Any(mut parts)) => {
                parts.push(right);
                return self.part(left.at, flat, Kind::Any(parts));
            }
            (operator, kind) => {
                let left = Expr { kind, ..left };
                match operator {
                    Infix::And => Kind::All(vec![left, right]),
                    Infix::Or => Kind::Any(vec![left, right]),
                    Infix::In => Kind::In(Box::new((left, right))),
                    Infix::Compare(op) => Kind::Compare(op, Box::new((left, right))),
                    Infix::Calculate(op) => Kind::Calculate(op, Box::new((left, right))),
                }
            }
        };
        self.part(at, below, kind)
    }

    /// `!x`, `!!x`, `-x`, `--x`: an even number of them cancels out, as in CEL.
    fn unary(&mut self) -> Compiled<Expr> {
        let at = self.at();
        let sign = match self.peek() {
            TokenKind::Sign(sign @ ("!" | "-")) => *sign,
            _ => return self.member(),
        };
        let mut count = 0u32;
        while self.is_sign(sign) {
            // A minus before a number belongs to the number.
            if sign == "-" && count == 0 && self.number_follows() {
                return self.member();
            }
            self.advance();
            count += 1;
        }
        let operand = self.member()?;
        if count.is_multiple_of(2) {
            return Ok(operand);
        }
        let below = operand.depth;
        let operand = Box::new(operand);
        self.part(at, below, if sign == "!" { Kind::Not(operand) } else { Kind::Negate(operand) })
    }

    fn number_follows(&self) -> bool {
        matches!(
            self.tokens.get(self.next + 1).map(|token| &token.kind),
            Some(TokenKind::Int(_) | TokenKind::Double(_) | TokenKind::Unsigned)
        )
    }

    /// A value with its suffixes: `.field`, `.function(...)`, `[key]`.
    fn member(&mut self) -> Compiled<Expr> {
        let mut expr = self.primary()?;
        loop {
            let at = self.at();
            if self.take_sign(".") {
                expr = self.selection(expr)?;
            } else if self.take_sign("[") {
                if self.is_sign("?") {
                    return Err(no_optionals(self.at()));
                }
                let key = self.bracketed("[", "]", at, Parser::expression)?;
                let below = expr.depth.max(key.depth);
                expr = self.part(at, below, Kind::Index(Box::new(expr), Box::new(key)))?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// After the dot.
    fn selection(&mut self, operand: Expr) -> Compiled<Expr> {
        if self.is_sign("?") {
            return Err(no_optionals(self.at()));
        }
        let at = self.at();
        let (name, quoted) = match self.peek() {
            TokenKind::Name(name) => (name.clone(), false),
            TokenKind::Quoted(name) => (name.clone(), true),
            _ => {
                return Err(error("a name is expected after the dot")
                    .with_remedy("as in attributes.tier; any other name is written as attributes['...']")
                    .or_at(at));
            }
        };
        if !quoted && KEYWORDS.contains(&name.as_str()) {
            return Err(error(format!("`{name}` is a word of CEL, and cannot be a name after a dot"))
                .with_remedy(format!("write attributes['{name}']"))
                .or_at(at));
        }
        self.advance();
        let open = self.at();
        if quoted || !self.take_sign("(") {
            let below = operand.depth;
            return self.part(at, below, Kind::Select(Box::new(operand), name));
        }
        let args = self.arguments(open)?;
        let below = args.iter().map(|arg| arg.depth).fold(operand.depth, u32::max);
        self.part(at, below, Kind::Call { target: Some(Box::new(operand)), name, args })
    }

    fn primary(&mut self) -> Compiled<Expr> {
        let at = self.at();
        let token = self.peek().clone();
        let literal = match token {
            TokenKind::Name(name) => return self.name(at, &name),
            TokenKind::Sign("(") => {
                self.advance();
                return self.bracketed("(", ")", at, Parser::expression);
            }
            TokenKind::Sign("[") => {
                self.advance();
                let items = self.bracketed("[", "]", at, |parser| parser.items("]"))?;
                let below = items.iter().map(|item| item.depth).max().unwrap_or(0);
                return self.part(at, below, Kind::List(items));
            }
            // `.name` is the name in the outermost scope; there are no others.
            TokenKind::Sign(".")
                if matches!(self.tokens.get(self.next + 1), Some(Token { kind: TokenKind::Name(_), .. })) =>
            {
                self.advance();
                return self.primary();
            }
            TokenKind::Sign("-") => {
                self.advance();
                self.number(true)?
            }
            TokenKind::Int(_) | TokenKind::Double(_) | TokenKind::Unsigned => self.number(false)?,
            TokenKind::Text(text) => Literal::Text(text),
            TokenKind::Bytes => Literal::Bytes,
            TokenKind::Sign("{") => {
                return Err(error("maps and structures are not supported in an expression over outcomes")
                    .with_remedy("compare fields one by one, with `&&` between them")
                    .or_at(at));
            }
            _ => return Err(self.unexpected()),
        };
        self.advance();
        self.part(at, 0, Kind::Literal(literal))
    }

    /// The number at this position; not consumed yet.
    fn number(&self, negative: bool) -> Compiled<Literal> {
        let sign = if negative { -1.0 } else { 1.0 };
        Ok(match self.peek() {
            TokenKind::Int(number) => {
                let number = if negative { 0i64.checked_sub_unsigned(*number) } else { i64::try_from(*number).ok() };
                match number {
                    Some(number) => Literal::Int(number),
                    None => {
                        let e = error("this is larger than a whole number can be").with_remedy(lexer::LARGEST);
                        return Err(e.or_at(self.at()));
                    }
                }
            }
            TokenKind::Double(number) => Literal::Double(sign * number),
            _ => Literal::Unsigned,
        })
    }

    fn name(&mut self, at: u32, name: &str) -> Compiled<Expr> {
        let literal = match name {
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            "null" => Some(Literal::Null),
            _ => None,
        };
        if literal.is_none() && name == "in" {
            return Err(self.unexpected());
        }
        self.advance();
        if let Some(literal) = literal {
            return self.part(at, 0, Kind::Literal(literal));
        }
        if RESERVED.contains(&name) {
            return Err(error(format!("`{name}` is a reserved word of CEL"))
                .with_remedy("a choice is written as condition ? value : other")
                .or_at(at));
        }
        let open = self.at();
        if !self.take_sign("(") {
            return self.part(at, 0, Kind::Name(name.to_owned()));
        }
        let args = self.arguments(open)?;
        let below = args.iter().map(|arg| arg.depth).max().unwrap_or(0);
        self.part(at, below, Kind::Call { target: None, name: name.to_owned(), args })
    }

    /// After `name(`.
    fn arguments(&mut self, open: u32) -> Compiled<Vec<Expr>> {
        self.bracketed("(", ")", open, |parser| parser.items(")"))
    }

    fn items(&mut self, close: &str) -> Compiled<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.is_sign(close) {
            if self.is_sign("?") {
                return Err(no_optionals(self.at()));
            }
            items.push(self.expression()?);
            // A list may end in a comma, arguments may not.
            if !self.take_sign(",") || (close == ")" && self.is_sign(close)) {
                break;
            }
        }
        Ok(items)
    }

    /// Reads the items after an opening bracket, and the closing one.
    fn bracketed<T>(
        &mut self,
        opening: &'static str,
        close: &str,
        at: u32,
        read: impl FnOnce(&mut Parser) -> Compiled<T>,
    ) -> Compiled<T> {
        self.open.push((opening, at));
        let inside = self.nested(read)?;
        if !self.take_sign(close) {
            return Err(self.unexpected());
        }
        self.open.pop();
        Ok(inside)
    }

    /// The error for an unexpected token, with a guess at what was meant.
    fn unexpected(&self) -> ExpressionError {
        let at = self.at();
        let e = match self.peek() {
            TokenKind::End => match self.open.last() {
                Some((bracket, open)) => error(format!("the `{bracket}` at character {} is never closed", open + 1))
                    .with_remedy(format!(
                        "close it with `{}`",
                        match *bracket {
                            "(" => ")",
                            _ => "]",
                        }
                    )),
                None => error("the expression ends where a value is expected").with_remedy("as in `status < 500`"),
            },
            TokenKind::Name(word) => self.unexpected_word(word),
            TokenKind::Sign(sign @ (")" | "]")) if self.open.is_empty() => {
                error(format!("nothing is open that this `{sign}` would close")).with_remedy("take it out")
            }
            TokenKind::Sign("?") => error("a `?` is in place of a value or an operator")
                .with_remedy("a choice is written as condition ? value : other"),
            TokenKind::Sign(",") => error("a `,` is not allowed here")
                .with_remedy("a list is written in brackets, as in status in [500, 502]"),
            TokenKind::Sign("{") => error("maps and structures are not supported in an expression over outcomes")
                .with_remedy("compare fields one by one, with `&&` between them"),
            TokenKind::Sign(sign) => error(format!("a `{sign}` is not allowed here"))
                .with_remedy("values and operators alternate, as in `status < 500 && latency_ms < 300`"),
            _ if self.follows_value() => error("an operator is missing between these two values")
                .with_remedy("as in `&&`, `||`, `==`, `<`, `in`"),
            _ => error("this value is not allowed here").with_remedy("as in `status < 500`"),
        };
        e.or_at(at)
    }

    fn follows_value(&self) -> bool {
        let before = self.next.checked_sub(1).and_then(|before| self.tokens.get(before));
        before.is_some_and(|token| match &token.kind {
            TokenKind::Sign(sign) => matches!(*sign, ")" | "]"),
            TokenKind::Name(name) => name != "in",
            _ => true,
        })
    }

    fn unexpected_word(&self, word: &str) -> ExpressionError {
        let before = self.next.checked_sub(1).and_then(|before| self.tokens.get(before)).map(|token| &token.kind);
        if matches!(before, Some(TokenKind::Name(not)) if not.eq_ignore_ascii_case("not")) {
            return error("there is no `not` in CEL").with_remedy("write `!` in front of it, as in !(status < 500)");
        }
        let remedy = match word.to_ascii_lowercase().as_str() {
            "and" => "write `&&`",
            "or" => "write `||`",
            "not" => "write `!` and parentheses, as in !(operation in ['a', 'b'])",
            "is" => "write `==`; whether a field is there is asked with has(), as in has(status)",
            "eq" => "write `==`",
            "ne" => "write `!=`",
            "lt" => "write `<`",
            "le" | "lte" => "write `<=`",
            "gt" => "write `>`",
            "ge" | "gte" => "write `>=`",
            "like" => "write operation.contains('...'), or operation.matches(r'...')",
            "between" => "write two comparisons with `&&` between them",
            "contains" | "startswith" | "endswith" | "matches" => {
                "call it on the text, as in operation.contains('...')"
            }
            "in" => "it needs a value before it and a list or a map after it, as in status in [500, 502]",
            _ => {
                return error(format!("an operator is missing before `{word}`"))
                    .with_remedy("as in `&&`, `||`, `==`, `<`, `in`; texts need quotes");
            }
        };
        error(format!("`{word}` is not an operator here")).with_remedy(remedy)
    }
}

fn too_deep(at: u32) -> ExpressionError {
    error(format!("the expression is nested more than {MAX_DEPTH} deep, chains of operators and dots included"))
        .with_remedy("`&&` and `||` count once, however many; `in` replaces a chain of comparisons")
        .or_at(at)
}

fn no_optionals(at: u32) -> ExpressionError {
    error("optional fields (`.?x`, `[?x]`, `orValue`) are not supported")
        .with_remedy("ask first, as in `has(attributes.tier) ? attributes.tier == 'pro' : false`")
        .or_at(at)
}
