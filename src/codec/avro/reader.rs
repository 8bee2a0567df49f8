//! The primitive values of Avro's binary encoding. No read goes past the bytes, and none allocates.

use std::borrow::Cow;

/// What is wrong with a datum at the reader's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

const CUT: Malformed = Malformed("the record ends too early");

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(CUT)?;
        let taken = self.bytes.get(self.at..end).ok_or(CUT)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(CUT)?;
        self.at += 1;
        Ok(byte)
    }

    /// A zigzag variable-length integer of at most 64 bits.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Malformed> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Ok((n >> 1) as i64 ^ -((n & 1) as i64));
            }
        }
        Err(Malformed("an integer of more than 64 bits"))
    }

    /// `None`: neither true nor false.
    #[inline]
    pub fn boolean(&mut self) -> Result<Option<bool>, Malformed> {
        Ok(match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    pub fn float(&mut self) -> Result<f32, Malformed> {
        let bytes = self.take(4)?.first_chunk().ok_or(CUT)?;
        Ok(f32::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn double(&mut self) -> Result<f64, Malformed> {
        let bytes = self.take(8)?.first_chunk().ok_or(CUT)?;
        Ok(f64::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.long()?).map_err(|_| Malformed("a negative length"))?;
        self.take(len)
    }

    /// A text; invalid UTF-8 becomes U+FFFD.
    #[inline]
    pub fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let bytes = self.bytes()?;
        Ok(std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed))
    }

    /// A symbol of an enum; `None` if there is none with this number.
    pub fn symbol<'s>(&mut self, symbols: &'s [String]) -> Result<Option<&'s str>, Malformed> {
        let at = usize::try_from(self.long()?).ok();
        Ok(at.and_then(|at| symbols.get(at)).map(String::as_str))
    }

    /// How many items the next block of an array or a map has; 0 ends it.
    pub fn block_count(&mut self) -> Result<usize, Malformed> {
        let count = self.long()?;
        if count < 0 {
            // The size in bytes follows; only a reader that skips the block needs it.
            self.long()?;
        }
        usize::try_from(count.unsigned_abs()).map_err(|_| Malformed("more items than bytes"))
    }
}
