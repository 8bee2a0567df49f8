//! The fields of a key as bytes that sort like the fields.

use super::{KeyError, PeriodKind, ScopeKind};
use std::borrow::Cow;

/// A zero byte within a text is followed by 0xff; a text ends with a zero byte and 0x01. So a text sorts before all
/// longer texts that start with it, and its bytes are never a prefix of another text's bytes.
const ESCAPED: u8 = 0xff;
const END: u8 = 0x01;
const SIGN: u64 = 1 << 63;

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(zero) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..=zero]);
        out.push(ESCAPED);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, END]);
}

pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&(value as u64 ^ SIGN).to_be_bytes());
}

/// Reads the fields of a key from its start.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes, at: 0 }
    }

    pub(super) const fn finish(&self) -> Result<(), KeyError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(KeyError::Trailing { left }),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], KeyError> {
        let truncated = KeyError::Truncated { at: self.bytes.len(), what };
        let taken = *self.bytes[self.at..].first_chunk::<N>().ok_or(truncated)?;
        self.at += N;
        Ok(taken)
    }

    /// A byte with a meaning; an error names `what` was expected.
    pub(super) fn byte<T>(&mut self, what: &'static str, meaning: impl FnOnce(u8) -> Option<T>) -> Result<T, KeyError> {
        let at = self.at;
        let [found] = self.array(what)?;
        meaning(found).ok_or(KeyError::Unknown { at, what, found })
    }

    pub(super) fn u8(&mut self) -> Result<u8, KeyError> {
        Ok(self.array::<1>("part")?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, KeyError> {
        self.array("key group").map(u16::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, KeyError> {
        self.array("id").map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, KeyError> {
        Ok((u64::from_be_bytes(self.array("time")?) ^ SIGN) as i64)
    }

    pub(super) fn scope(&mut self) -> Result<ScopeKind, KeyError> {
        let all = [ScopeKind::Aggregate, ScopeKind::Tenant, ScopeKind::Group];
        self.byte("scope", |b| all.into_iter().find(|k| *k as u8 == b))
    }

    pub(super) fn period(&mut self) -> Result<PeriodKind, KeyError> {
        let all = [PeriodKind::Rolling, PeriodKind::Calendar, PeriodKind::Timeslice, PeriodKind::Journey];
        self.byte("period", |b| all.into_iter().find(|k| *k as u8 == b))
    }

    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, KeyError> {
        let start = self.at;
        let not_utf8 = |_| KeyError::NotUtf8 { at: start };
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let rest = &self.bytes[self.at..];
            let truncated = KeyError::Truncated { at: self.bytes.len(), what: "text" };
            let zero = memchr::memchr(0, rest).ok_or(truncated)?;
            let run = &rest[..zero];
            self.at += zero + 1;
            match (self.byte("text", |b| (b == ESCAPED || b == END).then_some(b))?, unescaped.as_mut()) {
                (ESCAPED, _) => unescaped.get_or_insert_default().extend_from_slice(&rest[..=zero]),
                (_, None) => return std::str::from_utf8(run).map(Cow::Borrowed).map_err(not_utf8),
                (_, Some(text)) => {
                    text.extend_from_slice(run);
                    let text = std::mem::take(text);
                    return String::from_utf8(text).map(Cow::Owned).map_err(|e| not_utf8(e.utf8_error()));
                }
            }
        }
    }
}
