//! Compact bytes: varints, zigzag, texts, ascending numbers.
//!
//! [`Writer`] appends to a buffer and cannot fail. [`Reader`] reads the parts around a payload and trusts nothing:
//! truncated or hostile bytes give a typed error with the position, never a panic and never an allocation. Every value
//! has exactly one encoding, so equal values have equal bytes. Versions and checksums belong to the envelope around a
//! row.

/// Why bytes cannot be read. `at` is the position in the reader's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("ends at byte {at} in the middle of {what}")]
    Truncated { at: usize, what: &'static str },
    #[error("{what} at byte {at} is not in its shortest form or too large")]
    BadVarint { at: usize, what: &'static str },
    #[error("{left} bytes are left over at byte {at}")]
    Trailing { at: usize, left: usize },
}

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub const fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Seven bits a byte, the lowest first: small numbers take one byte.
    #[inline]
    pub fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub fn u128(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Zigzag: small numbers of either sign take one byte.
    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn option<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) {
        self.out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            some(self, value);
        }
    }

    /// The difference between two numbers of an ascending sequence. `previous` starts at any value that both sides
    /// agree on; a decreasing number is a bug of the caller and wraps.
    #[inline]
    pub fn step(&mut self, previous: &mut i64, next: i64) {
        self.u64(next.wrapping_sub(*previous) as u64);
        *previous = next;
    }
}

/// Takes values from the front of some bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error if bytes are left over: a row is read completely or not at all.
    pub const fn finish(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(WireError::Trailing { at: self.at, left }),
        }
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let bad = WireError::BadVarint { at: start, what: "a number" };
        let mut value = 0u64;
        for i in 0..10 {
            let byte = *self.bytes.get(self.at).ok_or(WireError::Truncated { at: self.at, what: "a number" })?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * i);
            if shifted >> (7 * i) != bits || (byte == 0 && i > 0) {
                return Err(bad);
            }
            value |= shifted;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(bad)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let at = self.at;
        let len = self.u64()?;
        let len = usize::try_from(len).map_err(|_| WireError::Truncated { at, what: "bytes" })?;
        self.take(len, "bytes")
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or(WireError::Truncated { at: self.bytes.len(), what })?;
        self.at += len;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hex;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out));
        out
    }

    /// Rows on disk use these encodings, so the bytes must never change.
    #[test]
    fn bytes_are_frozen() {
        let bytes = written(|w| {
            w.u8(7);
            for n in [0, 127, 128, 300, u64::MAX] {
                w.u64(n);
            }
            for n in [0, -1, 1, -64, i64::MIN, i64::MAX] {
                w.i64(n);
            }
            w.u128(u128::MAX);
            w.str("n\u{e9}");
            w.option(Some(5), Writer::u64);
            w.option(None, Writer::u64);
            let mut previous = -10;
            [-10, 990].into_iter().for_each(|next| w.step(&mut previous, next));
        });
        assert_eq!(
            hex::encode(&bytes),
            "07\
             007f8001ac02ffffffffffffffffff01\
             0001027fffffffffffffffffff01feffffffffffffffff01\
             ffffffffffffffffffffffffffffffffffff03\
             036ec3a9\
             010500\
             00e807"
        );
    }

    #[test]
    fn a_number_has_one_encoding_only() {
        let bad = |bytes: &[u8]| matches!(Reader::new(bytes).u64(), Err(WireError::BadVarint { at: 0, .. }));
        assert!(bad(&[0x80, 0x00]), "a zero that is longer than needed");
        assert!(bad(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), "65 bits");
        assert!(bad(&[0x80; 11]), "without an end");
        assert_eq!(Reader::new(&[0x80]).u64(), Err(WireError::Truncated { at: 1, what: "a number" }));
    }

    #[test]
    fn lengths_beyond_the_input_and_left_over_bytes_are_refused() {
        let huge = written(|w| w.u64(u64::MAX));
        assert!(matches!(Reader::new(&huge).bytes(), Err(WireError::Truncated { .. })));
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u64(), Ok(1));
        assert_eq!(reader.finish(), Err(WireError::Trailing { at: 1, left: 2 }));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(number in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let written = written(|w| {
                w.u64(number);
                w.bytes(&bytes);
            });
            let mut reader = Reader::new(&written);
            prop_assert_eq!((reader.u64(), reader.bytes(), reader.finish()), (Ok(number), Ok(&bytes[..]), Ok(())));
            for cut in 0..written.len() {
                let mut reader = Reader::new(&written[..cut]);
                prop_assert!(reader.u64().and_then(|_| reader.bytes().map(drop)).is_err());
            }
        }

        #[test]
        fn a_number_that_is_read_is_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(number) = reader.u64() {
                let read = bytes.len() - reader.remaining();
                prop_assert_eq!(&written(|w| w.u64(number))[..], &bytes[..read]);
            }
        }
    }
}
