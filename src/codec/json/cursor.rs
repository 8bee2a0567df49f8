//! A position in a JSON text and the steps from there: the grammar only, without the outcome.
//!
//! The text is valid UTF-8, and every stop is at an ASCII byte, so slices of it are valid texts.

use super::super::number::Number;
use smallvec::SmallVec;
use std::borrow::Cow;

/// What is wrong with the text at the cursor's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax(pub &'static str);

pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Cursor { text, bytes: text.as_bytes(), at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub fn skip_space(&mut self) {
        // Most records are written without any space.
        if self.peek().is_none_or(|b| b > b' ') {
            return;
        }
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Syntax> {
        if self.peek() != Some(byte) {
            return Err(Syntax(otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// Goes to the start of the record: after spaces and a byte order mark.
    #[inline]
    pub fn begin(&mut self) {
        self.skip_space();
        if self.peek() == Some(0xEF) && self.text[self.at..].starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
            self.skip_space();
        }
    }

    /// Checks that only spaces follow the record.
    pub fn end(&mut self) -> Result<(), Syntax> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Syntax("something follows the record")) }
    }

    /// After a `{`: whether a member follows.
    #[inline]
    pub fn object_opened(&mut self) -> Result<bool, Syntax> {
        self.skip_space();
        Ok(!self.take(b'}'))
    }

    /// After a member: whether another one follows.
    #[inline]
    pub fn object_goes_on(&mut self) -> Result<bool, Syntax> {
        self.goes_on(b'}', "expected `,` or `}`")
    }

    /// After a `[`: whether an item follows.
    pub fn array_opened(&mut self) -> Result<bool, Syntax> {
        self.skip_space();
        Ok(!self.take(b']'))
    }

    /// After an item: whether another one follows.
    pub fn array_goes_on(&mut self) -> Result<bool, Syntax> {
        self.goes_on(b']', "expected `,` or `]`")
    }

    #[inline]
    fn goes_on(&mut self, close: u8, otherwise: &'static str) -> Result<bool, Syntax> {
        self.skip_space();
        if self.take(b',') {
            self.skip_space();
            return Ok(true);
        }
        self.expect(close, otherwise).map(|()| false)
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// A member's name, its colon and the space up to its value.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, str>, Syntax> {
        let name = self.text()?;
        self.skip_space();
        self.expect(b':', "expected `:`")?;
        self.skip_space();
        Ok(name)
    }

    #[inline]
    pub fn literal(&mut self, word: &'static str) -> Result<(), Syntax> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Syntax("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Syntax> {
        let number = Number::scan(&self.text[self.at..]).ok_or(Syntax("not a number"))?;
        self.at += number.text.len();
        Ok(number)
    }

    /// A text; borrowed unless it holds an escape.
    #[inline]
    pub fn text(&mut self) -> Result<Cow<'a, str>, Syntax> {
        self.expect(b'"', "expected `\"`")?;
        let from = self.at;
        self.at = special(self.bytes, from);
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Cow::Borrowed(&self.text[from..self.at - 1]))
            }
            Some(b'\\') => self.escaped_text(from).map(Cow::Owned),
            _ => Err(Syntax("a text that does not end")),
        }
    }

    /// The rest of a text whose first escape is at the cursor.
    #[cold]
    fn escaped_text(&mut self, from: usize) -> Result<String, Syntax> {
        let mut out = self.text[from..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(Syntax("a text that does not end")),
            }
            let from = self.at;
            self.at = special(self.bytes, from);
            out.push_str(&self.text[from..self.at]);
        }
    }

    /// The character of an escape, after its backslash.
    fn escape(&mut self) -> Result<char, Syntax> {
        let byte = self.peek().ok_or(Syntax("a text that does not end"))?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Syntax("an unknown escape")),
        })
    }

    /// Half of a surrogate pair alone becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Syntax> {
        let unit = self.hex4()?;
        if let Some(char) = char::from_u32(unit) {
            return Ok(char);
        }
        let behind = self.at;
        if unit < 0xDC00 && self.take(b'\\') && self.take(b'u') {
            let low = self.hex4()?;
            if (0xDC00..0xE000).contains(&low) {
                let char = char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                return Ok(char.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        // The next escape is a separate character.
        self.at = behind;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Syntax> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Syntax("an unknown escape"))?;
        let mut n = 0;
        for &d in digits {
            n = n * 16 + char::from(d).to_digit(16).ok_or(Syntax("an unknown escape"))?;
        }
        self.at += 4;
        Ok(n)
    }

    /// Checks any value and skips it.
    #[inline]
    pub fn skip_value(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.skip_plain(),
        }
    }

    fn skip_plain(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(Syntax("expected a value")),
        }
    }

    /// Skips an object or array of any depth, without recursion. Memory is bounded by the length of the record.
    fn skip_nested(&mut self) -> Result<(), Syntax> {
        // The open containers: true for an object, false for an array.
        let mut open: SmallVec<[bool; 32]> = SmallVec::new();
        loop {
            let is_inside = match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    self.at += 1;
                    open.push(byte == b'{');
                    if byte == b'{' { self.object_opened()? } else { self.array_opened()? }
                }
                _ => {
                    self.skip_plain()?;
                    self.inside_goes_on(&open)?
                }
            };
            if !is_inside && !self.close(&mut open)? {
                return Ok(());
            }
            if open.last() == Some(&true) {
                self.key()?;
            }
        }
    }

    /// After a value: whether another one follows in the open container.
    fn inside_goes_on(&mut self, open: &[bool]) -> Result<bool, Syntax> {
        match open.last() {
            Some(true) => self.object_goes_on(),
            Some(false) => self.array_goes_on(),
            None => Ok(false),
        }
    }

    /// After a `}` or `]`: leaves all containers that end here. False if none is open any more.
    fn close(&mut self, open: &mut SmallVec<[bool; 32]>) -> Result<bool, Syntax> {
        loop {
            open.pop();
            if open.is_empty() {
                return Ok(false);
            }
            if self.inside_goes_on(open)? {
                return Ok(true);
            }
        }
    }
}

/// The position of the next quote, backslash or control character, or the end of the text. Reads eight bytes at a time,
/// because most of a record is text.
#[inline]
fn special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let found = specials(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&b| b != b'"' && b != b'\\' && b >= 0x20) {
        at += 1;
    }
    at
}

/// The high bit of each byte that is special. A borrow may mark bytes above the first special one,
/// never below it, and only the lowest mark is used.
#[inline]
fn specials(word: u64) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = LOW << 7;
    let zero_bytes = |w: u64| w.wrapping_sub(LOW) & !w;
    let quote = zero_bytes(word ^ (LOW * 0x22));
    let backslash = zero_bytes(word ^ (LOW * 0x5c));
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (quote | backslash | control) & HIGH
}
