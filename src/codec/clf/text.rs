//! The texts of a line, and the quotes around them.

use std::borrow::Cow;

/// Borrowed if it is UTF-8; invalid bytes become U+FFFD.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// The positions of the unescaped quotes.
pub(super) fn quotes(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?;
            if bytes[at] == b'"' {
                from = at + 1;
                return Some(at);
            }
            from = at + 2;
        }
    })
}
