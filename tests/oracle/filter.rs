//! The few expressions of CEL that the tests' SLOs use, evaluated over a decoded outcome.
//!
//! It is an independent check of the product's expressions, not a CEL implementation: it refuses what it does not know.
//! Reading an absent field ends an expression, except in `&&` and `||`, where either side may decide.

use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub enum Filter {
    Literal(Value),
    Path(Vec<String>),
    Has(Vec<String>),
    List(Vec<Filter>),
    Not(Box<Filter>),
    Binary(&'static str, Box<Filter>, Box<Filter>),
    Method(Box<Filter>, String, Box<Filter>),
}

/// An expression read an absent field.
#[derive(Debug, PartialEq, Eq)]
pub struct Absent;

impl Filter {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokenize(text)?, at: 0 };
        let filter = parser.expression(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(filter),
            Some(token) => Err(format!("{text:?}: {token:?} is not expected here")),
        }
    }

    pub fn holds(&self, fields: &Map<String, Value>) -> Result<bool, Absent> {
        Ok(self.value(fields)? == Value::Bool(true))
    }

    pub fn value(&self, fields: &Map<String, Value>) -> Result<Value, Absent> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => lookup(fields, path).ok_or(Absent)?.clone(),
            Self::Has(path) => Value::Bool(lookup(fields, path).is_some()),
            Self::List(items) => Value::Array(items.iter().map(|i| i.value(fields)).collect::<Result<_, _>>()?),
            Self::Not(inner) => Value::Bool(!inner.holds(fields)?),
            Self::Binary("&&", left, right) => Value::Bool(either(left, right, fields, false)?),
            Self::Binary("||", left, right) => Value::Bool(either(left, right, fields, true)?),
            Self::Binary(op, left, right) => Value::Bool(compare(op, &left.value(fields)?, &right.value(fields)?)),
            Self::Method(of, name, with) => Value::Bool(call(&of.value(fields)?, name, &with.value(fields)?)),
        })
    }
}

/// If one side is `deciding`, so are both; otherwise no side may have read an absent field.
fn either(left: &Filter, right: &Filter, fields: &Map<String, Value>, deciding: bool) -> Result<bool, Absent> {
    match (left.holds(fields), right.holds(fields)) {
        (Ok(side), _) | (_, Ok(side)) if side == deciding => Ok(deciding),
        (Err(Absent), _) | (_, Err(Absent)) => Err(Absent),
        _ => Ok(!deciding),
    }
}

fn lookup<'a>(fields: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let mut value = fields.get(&path[0])?;
    for part in &path[1..] {
        value = value.as_object()?.get(part)?;
    }
    Some(value)
}

fn compare(op: &str, left: &Value, right: &Value) -> bool {
    use std::cmp::Ordering::*;
    if op == "in" {
        return match right {
            Value::Array(items) => items.iter().any(|i| compare("==", left, i)),
            Value::Object(map) => left.as_str().is_some_and(|k| map.contains_key(k)),
            _ => false,
        };
    }
    let order = match (left, right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        _ => None,
    };
    match op {
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<" => order == Some(Less),
        ">" => order == Some(Greater),
        "<=" => matches!(order, Some(Less | Equal)),
        ">=" => matches!(order, Some(Greater | Equal)),
        other => panic!("{other} is no comparison"),
    }
}

fn call(of: &Value, name: &str, with: &Value) -> bool {
    let (Some(of), Some(with)) = (of.as_str(), with.as_str()) else { return false };
    match name {
        "startsWith" => of.starts_with(with),
        "endsWith" => of.ends_with(with),
        "contains" => of.contains(with),
        other => panic!("the oracle has no method {other}"),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(Value),
    Mark(&'static str),
}

const MARKS: [&str; 18] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "in", "true", "false"];

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or_else(|| format!("{text:?}: a string without its end"))?;
            tokens.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(match MARKS.iter().find(|m| **m == &rest[..end]) {
                Some(mark) => Token::Mark(mark),
                None => Token::Word(rest[..end].to_owned()),
            });
            end
        } else if first.is_ascii_digit() || first == '-' {
            let end = rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |e| e + 1);
            tokens.push(Token::Number(serde_json::from_str(&rest[..end]).map_err(|e| format!("{text:?}: {e}"))?));
            end
        } else {
            let mark = MARKS.iter().find(|m| rest.starts_with(**m)).ok_or_else(|| format!("{text:?}: at {rest:?}"))?;
            tokens.push(Token::Mark(mark));
            mark.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn eat(&mut self, mark: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Mark(m)) if *m == mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.eat(mark) { Ok(()) } else { Err(format!("{mark:?} is missing")) }
    }

    fn expression(&mut self, least: u8) -> Result<Filter, String> {
        let mut left = self.unary()?;
        while let Some(Token::Mark(op)) = self.tokens.get(self.at).cloned() {
            let strength = match op {
                "||" => 1,
                "&&" => 2,
                "==" | "!=" | "<" | ">" | "<=" | ">=" | "in" => 3,
                _ => break,
            };
            if strength <= least {
                break;
            }
            self.at += 1;
            left = Filter::Binary(op, Box::new(left), Box::new(self.expression(strength)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Filter, String> {
        if self.eat("!") {
            return Ok(Filter::Not(Box::new(self.unary()?)));
        }
        let token = self.tokens.get(self.at).cloned().ok_or("an operand is missing")?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Filter::Literal(Value::String(text))),
            Token::Number(number) => Ok(Filter::Literal(number)),
            Token::Mark("true") => Ok(Filter::Literal(Value::Bool(true))),
            Token::Mark("false") => Ok(Filter::Literal(Value::Bool(false))),
            Token::Mark("(") => self.expression(0).and_then(|inner| self.expect(")").map(|()| inner)),
            Token::Mark("[") => self.list(),
            Token::Word(word) if word == "has" => self.has(),
            Token::Word(word) => self.path(word),
            Token::Mark(mark) => Err(format!("{mark:?} is no operand")),
        }
    }

    fn list(&mut self) -> Result<Filter, String> {
        let mut items = Vec::new();
        while !self.eat("]") {
            items.push(self.expression(0)?);
            if !self.eat(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(Filter::List(items))
    }

    fn has(&mut self) -> Result<Filter, String> {
        self.expect("(")?;
        let Filter::Path(path) = self.unary()? else { return Err("has() needs a field".to_owned()) };
        self.expect(")")?;
        Ok(Filter::Has(path))
    }

    fn path(&mut self, first: String) -> Result<Filter, String> {
        let mut path = vec![first];
        loop {
            if self.eat("[") {
                let Some(Token::Text(key)) = self.tokens.get(self.at).cloned() else {
                    return Err("an index must be a string".to_owned());
                };
                self.at += 1;
                self.expect("]")?;
                path.push(key);
            } else if self.eat(".") {
                let Some(Token::Word(word)) = self.tokens.get(self.at).cloned() else {
                    return Err("a name must follow the dot".to_owned());
                };
                self.at += 1;
                if self.eat("(") {
                    let with = self.expression(0)?;
                    self.expect(")")?;
                    return Ok(Filter::Method(Box::new(Filter::Path(path)), word, Box::new(with)));
                }
                path.push(word);
            } else {
                return Ok(Filter::Path(path));
            }
        }
    }
}

#[test]
fn reads_of_absent_fields_end_an_expression_unless_the_other_side_decides() {
    let fields = serde_json::json!({"operation": "pay", "attributes": {"tier": "pro"}});
    let fields = fields.as_object().expect("an object");
    let verdict = |text: &str| Filter::parse(text).expect("parses").holds(fields);
    assert_eq!(verdict("status < 500"), Err(Absent));
    assert_eq!(verdict("operation == 'pay' || status < 500"), Ok(true));
    assert_eq!(verdict("status < 500 || operation == 'pay'"), Ok(true));
    assert_eq!(verdict("status < 500 && operation == 'read'"), Ok(false));
    assert_eq!(verdict("status < 500 && operation == 'pay'"), Err(Absent));
    assert_eq!(verdict("!has(status) || status < 500"), Ok(true));
    assert_eq!(verdict("'tier' in attributes && attributes.tier in ['pro', 'ent']"), Ok(true));
    assert_eq!(verdict("attributes['region'] == 'eu'"), Err(Absent));
    assert_eq!(verdict("operation != 'pay' && true"), Ok(false));
}
