//! Reads an instant query: a number, `vector(1)`, or `METRIC{label="value"}`. It is no query language: sums, rates and
//! ranges are for the Prometheus that scrapes `/metrics`.

use regex::{Regex, RegexBuilder};

/// Patterns that compile to more than this are refused.
const PATTERN_BYTES: usize = 1 << 20;
const NAME: &str = "__name__";
const WHAT_IS_READ: &str = "write METRIC{label=\"value\"}, vector(1) or a number; for sums, rates and ranges ask the Prometheus that scrapes /metrics";

#[derive(Debug)]
pub enum Query {
    Scalar(f64),
    Vector(f64),
    Select(Selector),
}

/// Which samples.
#[derive(Debug, Default)]
pub struct Selector {
    matchers: Vec<(String, Test)>,
}

#[derive(Debug)]
enum Test {
    Is(String),
    IsNot(String),
    Like(Regex),
    Unlike(Regex),
}

impl Test {
    /// An absent label is an empty one.
    fn passes(&self, value: &str) -> bool {
        match self {
            Test::Is(wanted) => value == wanted,
            Test::IsNot(unwanted) => value != unwanted,
            Test::Like(pattern) => pattern.is_match(value),
            Test::Unlike(pattern) => !pattern.is_match(value),
        }
    }
}

impl Selector {
    pub fn passes(&self, metric: &str, labels: &[(&'static str, String)]) -> bool {
        let value = |label: &str| match label {
            NAME => metric,
            _ => labels.iter().find(|(name, _)| *name == label).map_or("", |(_, value)| value.as_str()),
        };
        self.matchers.iter().all(|(label, test)| test.passes(value(label)))
    }

    /// The value that a label must have.
    fn fixed(&self, label: &str) -> Option<&str> {
        self.matchers.iter().find_map(|(name, test)| match test {
            Test::Is(value) if name == label => Some(value.as_str()),
            _ => None,
        })
    }

    pub fn metric(&self) -> Option<&str> {
        self.fixed(NAME)
    }

    pub fn slo(&self) -> Option<&str> {
        self.fixed("slo")
    }
}

/// Reads a query; the error says what is understood.
pub fn parse(text: &str) -> Result<Query, String> {
    let mut scan = Scan { rest: text.trim() };
    let query = scan.query().and_then(|query| if scan.rest.is_empty() { Ok(query) } else { Err(None) });
    query.map_err(|why| match why {
        Some(why) => why,
        None if scan.rest.is_empty() => format!("`{text}` is not a query: {WHAT_IS_READ}"),
        None => format!("`{text}`: `{}` is not understood here: {WHAT_IS_READ}", scan.rest),
    })
}

/// `None`: the rest is not understood.
type Read<T> = Result<T, Option<String>>;

struct Scan<'a> {
    rest: &'a str,
}

impl<'a> Scan<'a> {
    fn query(&mut self) -> Read<Query> {
        if let Some(number) = self.number() {
            return self.sum(number).map(Query::Scalar);
        }
        let name = self.word();
        if name == "vector" && self.takes("(") {
            let number = self.number().ok_or(None)?;
            return if self.takes(")") { Ok(Query::Vector(number)) } else { Err(None) };
        }
        let mut selector = Selector::default();
        if !name.is_empty() {
            selector.matchers.push((NAME.to_owned(), Test::Is(name.to_owned())));
        }
        if self.takes("{") {
            self.matchers(&mut selector)?;
        }
        // Everything at once is nobody's question.
        if selector.matchers.is_empty() { Err(None) } else { Ok(Query::Select(selector)) }
    }

    /// What clients ask to see whether somebody answers: `1+1`.
    fn sum(&mut self, first: f64) -> Read<f64> {
        let mut sum = first;
        while self.takes("+") {
            sum += self.number().ok_or(None)?;
        }
        Ok(sum)
    }

    fn matchers(&mut self, selector: &mut Selector) -> Read<()> {
        while !self.takes("}") {
            let label = self.word().to_owned();
            if label.is_empty() {
                return Err(None);
            }
            let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.takes(operator)).ok_or(None)?;
            let value = self.text()?;
            let test = match operator {
                "=" => Test::Is(value),
                "!=" => Test::IsNot(value),
                "=~" => Test::Like(pattern(&value)?),
                _ => Test::Unlike(pattern(&value)?),
            };
            selector.matchers.push((label, test));
            if !self.takes(",") && !self.rest.starts_with('}') {
                return Err(None);
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest.trim_start();
        taken
    }

    fn takes(&mut self, token: &str) -> bool {
        let is_there = self.rest.starts_with(token);
        if is_there {
            self.skip(token.len());
        }
        is_there
    }

    fn word(&mut self) -> &'a str {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        self.skip(end)
    }

    fn number(&mut self) -> Option<f64> {
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse().ok()?;
        self.skip(end);
        Some(number)
    }

    /// A text in double, single or back quotes.
    fn text(&mut self) -> Read<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or(None)?;
        let (mut text, mut is_escaped) = (String::new(), false);
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                'n' if is_escaped => text.push('\n'),
                't' if is_escaped => text.push('\t'),
                _ if is_escaped => text.push(c),
                '\\' if quote != '`' => {
                    is_escaped = true;
                    continue;
                }
                _ if c == quote => {
                    self.skip(at + c.len_utf8());
                    return Ok(text);
                }
                _ => text.push(c),
            }
            is_escaped = false;
        }
        Err(None)
    }
}

/// Prometheus' patterns match the whole value.
fn pattern(text: &str) -> Read<Regex> {
    let whole = RegexBuilder::new(&format!("^(?s:{text})$")).size_limit(PATTERN_BYTES).build();
    whole.map_err(|error| Some(format!("`{text}` is not a pattern: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(query: &str, metric: &str, labels: &[(&'static str, &str)]) -> bool {
        let labels: Vec<(&'static str, String)> = labels.iter().map(|(name, v)| (*name, (*v).to_owned())).collect();
        match parse(query) {
            Ok(Query::Select(selector)) => selector.passes(metric, &labels),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn constants_are_what_clients_ask_first() {
        assert!(matches!(parse("vector(1)"), Ok(Query::Vector(n)) if n == 1.0));
        assert!(matches!(parse(" vector( 1.5 ) "), Ok(Query::Vector(n)) if n == 1.5));
        assert!(matches!(parse("1+1"), Ok(Query::Scalar(n)) if n == 2.0));
        assert!(matches!(parse("1 + 1 + 0.5"), Ok(Query::Scalar(n)) if n == 2.5));
    }

    #[test]
    fn labels_are_compared_as_prometheus_does() {
        let labels = [("slo", "a\"b"), ("window", "5m")];
        for (query, expected) in [
            ("m", true),
            ("n", false),
            ("m{}", true),
            (r#"m{slo="a\"b", window='5m',}"#, true),
            (r#"{__name__="m",window=~"5m|1h"}"#, true),
            (r#"m{window=~"5"}"#, false),
            (r#"m{window!~"1.*", window!="1h"}"#, true),
            (r#"m{tenant=""}"#, true),
            (r#"m{tenant!=""}"#, false),
            ("m{window=`5m`}", true),
        ] {
            assert_eq!(selects(query, "m", &labels), expected, "{query}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_is_understood() {
        for query in
            ["", "{}", "m{", "m{a}", r#"m{a="b" c="d"}"#, "rate(m[5m])", "sum(m)", "m + 1", "m[5m]", "m offset 5m"]
        {
            let refused = parse(query).expect_err(query);
            assert!(refused.contains("METRIC{label="), "{query}: {refused}");
        }
        assert!(parse(r#"m{a=~"("}"#).expect_err("a pattern").contains("is not a pattern"));
    }
}
