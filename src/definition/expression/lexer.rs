//! Text -> tokens, with CEL's rules for names, numbers and texts. Syntax of other languages (`=`, `&`, `#`, curly
//! quotes) is refused with the CEL syntax to use instead.

use super::{Compiled, ExpressionError, error};

/// A token and its position in characters, from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub at: u32,
    pub kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind {
    Name(String),
    /// A name in backquotes; allowed only for fields.
    Quoted(String),
    /// Unsigned: the sign is a separate token.
    Int(u64),
    Unsigned,
    Double(f64),
    Text(String),
    Bytes,
    /// An operator, a bracket or a mark.
    Sign(&'static str),
    End,
}

/// The longest first: `<=` before `<`.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "-", "+", "*", "/", "%",
    "<", ">", "=", "&",
];

/// Syntax of other languages, and the CEL syntax for it.
const FOREIGN: [(&str, &str); 14] = [
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("<>", "write `!=`"),
    ("=~", "write `operation.matches(r'...')`"),
    ("!~", "write `!operation.matches(r'...')`"),
    ("=>", "write `>=`"),
    ("=<", "write `<=`"),
    ("=", "write `==` to compare"),
    ("&", "write `&&`"),
    ("|", "write `||`"),
    ("#", "a comment begins with `//`"),
    (";", "write `&&` or `||` between two conditions"),
    ("\u{201c}", "write straight quotes: ' or \""),
    ("\u{2018}", "write straight quotes: ' or \""),
];

pub fn tokens(source: &str) -> Compiled<Vec<Token>> {
    let mut lexer = Lexer { rest: source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let at = lexer.at;
        let kind = lexer.token().map_err(|e| e.or_at(at))?;
        let ended = kind == TokenKind::End;
        tokens.push(Token { at, kind });
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    rest: &'s str,
    /// In characters.
    at: u32,
}

impl<'s> Lexer<'s> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.at += 1;
        Some(c)
    }

    /// Consumes a prefix that is known to be here.
    fn advance(&mut self, text: &str) {
        self.rest = self.rest.strip_prefix(text).unwrap_or(self.rest);
        self.at += text.chars().count() as u32;
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'s str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.advance(text);
        text
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.rest.starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Compiled<TokenKind> {
        let Some(first) = self.peek() else { return Ok(TokenKind::End) };
        if let Some(prefix) = self.text_prefix() {
            return self.text(prefix);
        }
        if first == '_' || first.is_ascii_alphabetic() {
            return Ok(TokenKind::Name(self.take_while(is_name).to_owned()));
        }
        let second_is_digit = self.rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || (first == '.' && second_is_digit) {
            return self.number();
        }
        if first == '`' {
            return self.quoted_name();
        }
        self.sign(first)
    }

    fn sign(&mut self, first: char) -> Compiled<TokenKind> {
        let sign = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign));
        let foreign = FOREIGN.iter().filter(|(written, _)| self.rest.starts_with(written));
        // `!==` is not `!=`, and `<=` is not `=`: the longer one was meant.
        if let Some((written, remedy)) = foreign.max_by_key(|(written, _)| written.len())
            && sign.is_none_or(|sign| sign.len() <= written.len())
        {
            return Err(error(format!("there is no `{written}` in CEL")).with_remedy(*remedy));
        }
        match sign {
            Some(sign) => {
                self.advance(sign);
                Ok(TokenKind::Sign(sign))
            }
            None if first.is_alphabetic() => Err(error(format!("a name cannot hold `{first}`"))
                .with_remedy("an attribute with such a name is written as attributes['...']")),
            None => Err(error(format!("`{}` has no meaning here", first.escape_debug()))),
        }
    }

    fn quoted_name(&mut self) -> Compiled<TokenKind> {
        self.take();
        let name = self.take_while(|c| c != '`' && c != '\n');
        if self.take() != Some('`') {
            return Err(error("the name that begins here with a backquote has no end"));
        }
        if name.is_empty() || !name.chars().all(|c| is_name(c) || matches!(c, '.' | '-' | '/' | ' ')) {
            return Err(error("a name in backquotes holds letters, digits, `_`, `.`, `-`, `/` and blanks")
                .with_remedy("write any other name as attributes['...']"));
        }
        Ok(TokenKind::Quoted(name.to_owned()))
    }

    fn number(&mut self) -> Compiled<TokenKind> {
        if self.rest.starts_with("0x") || self.rest.starts_with("0X") {
            let (prefix, _) = self.rest.split_at(2);
            self.advance(prefix);
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            return self.whole(digits, 16);
        }
        let start = self.rest;
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut is_double = false;
        if self.rest.starts_with('.') && self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            self.take();
            self.take_while(|c| c.is_ascii_digit());
            is_double = true;
        }
        is_double |= self.exponent();
        if !is_double {
            return self.whole(whole, 10);
        }
        let text = &start[..start.len() - self.rest.len()];
        self.no_unit(text)?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(TokenKind::Double(number)),
            _ => Err(error(format!("`{text}` is larger than a number can be")).with_remedy(LARGEST)),
        }
    }

    /// `e5`, `E+5`, `e-5`; consumes nothing if there is no exponent.
    fn exponent(&mut self) -> bool {
        let unsigned = self.rest.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        let Some(digits) = unsigned.filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) else {
            return false;
        };
        let (sign, _) = self.rest.split_at(self.rest.len() - digits.len());
        self.advance(sign);
        self.take_while(|c| c.is_ascii_digit());
        true
    }

    fn whole(&mut self, digits: &str, radix: u32) -> Compiled<TokenKind> {
        if self.rest.starts_with(['u', 'U']) && !self.rest[1..].starts_with(is_name) {
            self.take();
            return Ok(TokenKind::Unsigned);
        }
        self.no_unit(digits)?;
        match u64::from_str_radix(digits, radix) {
            Ok(number) if number <= 1 << 63 => Ok(TokenKind::Int(number)),
            _ if digits.is_empty() => Err(error("digits are missing after `0x`")),
            _ => Err(error(format!("`{digits}` is larger than a whole number can be")).with_remedy(LARGEST)),
        }
    }

    /// `300ms`, `1_000`, `5%`: a number ends with its last digit.
    fn no_unit(&self, digits: &str) -> Compiled<()> {
        if !self.rest.starts_with(is_name) {
            return Ok(());
        }
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        Err(error(format!("`{digits}{}` is not a number", &self.rest[..end]))
            .with_remedy("write only digits, without a unit: latencies are in milliseconds, as in `latency_ms < 300`"))
    }

    /// The prefix letters of a text, as in `r'...'`.
    fn text_prefix(&self) -> Option<&'s str> {
        let end = self.rest.find(|c: char| !matches!(c, 'r' | 'R' | 'b' | 'B'))?;
        let prefix = &self.rest[..end];
        let letter = |upper: char| prefix.chars().filter(|c| c.eq_ignore_ascii_case(&upper)).count();
        let is_prefix = letter('r') <= 1 && letter('b') <= 1;
        (is_prefix && self.rest[end..].starts_with(['\'', '"'])).then_some(prefix)
    }

    fn text(&mut self, prefix: &str) -> Compiled<TokenKind> {
        let start = self.at;
        self.advance(prefix);
        let is_raw = prefix.contains(['r', 'R']);
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let close = if self.rest.starts_with(&triple) { triple } else { quote.to_string() };
        self.advance(&close);
        let mut text = String::new();
        loop {
            if self.rest.starts_with(&close) {
                self.advance(&close);
                break;
            }
            let at = self.at;
            match self.take() {
                Some('\n' | '\r') if close.len() == 1 => {
                    return Err(error("the text that begins here has no end in its line")
                        .with_remedy(format!("close it with {quote}"))
                        .or_at(start));
                }
                // Line ends become `\n`, whatever the file uses.
                Some('\r') => {
                    if self.peek() == Some('\n') {
                        self.take();
                    }
                    text.push('\n');
                }
                Some('\\') if !is_raw => text.push(self.escape().map_err(|e| e.or_at(at))?),
                Some(c) => text.push(c),
                None => {
                    return Err(error("the text that begins here has no end")
                        .with_remedy(format!("close it with {close}"))
                        .or_at(start));
                }
            }
        }
        Ok(if prefix.contains(['b', 'B']) { TokenKind::Bytes } else { TokenKind::Text(text) })
    }

    /// The escape after a backslash.
    fn escape(&mut self) -> Compiled<char> {
        let Some(c) = self.take() else { return Err(error("the text ends after a backslash")) };
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '?' | '"' | '\'' | '`' => c,
            'x' | 'X' => self.code_point(2, 16)?,
            'u' => self.code_point(4, 16)?,
            'U' => self.code_point(8, 16)?,
            '0'..='3' => {
                let digits: String = std::iter::once(c).chain(self.rest.chars().take(2)).collect();
                self.take();
                self.take();
                code_point(&digits, 3, 8)?
            }
            _ => {
                return Err(error(format!("a text knows no escape `\\{c}`"))
                    .with_remedy(format!("write a raw text, as in r'\\{c}', or double the backslash: '\\\\{c}'")));
            }
        })
    }

    fn code_point(&mut self, digits: usize, radix: u32) -> Compiled<char> {
        let text: String = self.rest.chars().take(digits).collect();
        let found = code_point(&text, digits, radix)?;
        self.advance(&text);
        Ok(found)
    }
}

fn code_point(digits: &str, wanted: usize, radix: u32) -> Compiled<char> {
    let value = (digits.len() == wanted && digits.chars().all(|c| c.is_digit(radix)))
        .then(|| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32));
    value.flatten().ok_or_else(|| {
        error("this escape names no character")
            .with_remedy("as in \\x41, \\u00e9, \\U0001F600 or \\101, each with all its digits")
    })
}

pub const LARGEST: &str = "whole numbers go to 9223372036854775807, doubles to 1.7e308";

pub fn is_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

impl ExpressionError {
    /// Gives a position to an error without one.
    pub(super) fn or_at(mut self, at: u32) -> Self {
        self.character = self.character.or(Some(at + 1));
        self
    }
}
