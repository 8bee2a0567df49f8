//! Compact bytes for rows and partials: varints, zigzag, texts, ascending lists.
//!
//! [`Writer`] appends to a buffer and cannot fail. [`Reader`] trusts nothing: truncated or hostile bytes give a typed
//! error with the position, never a panic and never an allocation larger than the input. Every value has exactly one
//! encoding, so equal rows have equal bytes. Versions and checksums belong to the envelope around a row.

/// Why bytes cannot be read. `at` is the position in the reader's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("ends at byte {at} in the middle of {what}")]
    Truncated { at: usize, what: &'static str },
    #[error("{what} at byte {at} is not in its shortest form or too large")]
    BadVarint { at: usize, what: &'static str },
    #[error("a text at byte {at} is not UTF-8")]
    NotUtf8 { at: usize },
    #[error("{found} at byte {at} is no {what}")]
    BadTag { at: usize, found: u64, what: &'static str },
    #[error("a list at byte {at} runs over the largest number")]
    Overflow { at: usize },
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

    pub fn bool(&mut self, value: bool) {
        self.out.push(u8::from(value));
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

    /// The bits of a double, eight bytes.
    pub fn f64(&mut self, value: f64) {
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u64(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn option<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            some(self, value);
        }
    }

    /// A length, then each item as `item` writes it (at least one byte each: [`Reader::list`] relies on it).
    pub fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.u64(items.len() as u64);
        for value in items {
            item(self, value);
        }
    }

    /// The difference between two numbers of an ascending sequence. `previous` starts at any value that both sides
    /// agree on; a decreasing number is a bug of the caller and wraps (the reader refuses it).
    #[inline]
    pub fn step(&mut self, previous: &mut i64, next: i64) {
        self.u64(next.wrapping_sub(*previous) as u64);
        *previous = next;
    }

    /// Ascending numbers: the first one and the differences.
    pub fn ascending(&mut self, values: &[i64]) {
        debug_assert!(values.is_sorted(), "an ascending list must be sorted");
        self.u64(values.len() as u64);
        if let [first, rest @ ..] = values {
            self.i64(*first);
            let mut previous = *first;
            for &value in rest {
                self.step(&mut previous, value);
            }
        }
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

    pub const fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub const fn remaining(&self) -> usize {
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
    pub fn u8(&mut self) -> Result<u8, WireError> {
        let value = *self.bytes.get(self.at).ok_or(WireError::Truncated { at: self.at, what: "a byte" })?;
        self.at += 1;
        Ok(value)
    }

    pub fn bool(&mut self) -> Result<bool, WireError> {
        let at = self.at;
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(WireError::BadTag { at, found: u64::from(found), what: "boolean" }),
        }
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        if let Some(&byte @ 0..=0x7f) = self.bytes.get(self.at) {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let start = self.at;
        // 64 bits fit in 128, so an overflow can be distinguished from truncation.
        let value = self.varint(10)?;
        u64::try_from(value).map_err(|_| WireError::BadVarint { at: start, what: "a number" })
    }

    pub fn u128(&mut self) -> Result<u128, WireError> {
        self.varint(19)
    }

    fn varint(&mut self, longest: u32) -> Result<u128, WireError> {
        let start = self.at;
        let bad = WireError::BadVarint { at: start, what: "a number" };
        let mut value = 0u128;
        for i in 0..longest {
            let byte = *self.bytes.get(self.at).ok_or(WireError::Truncated { at: self.at, what: "a number" })?;
            self.at += 1;
            let bits = u128::from(byte & 0x7f);
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

    /// A [`Reader::u64`] that must fit a smaller type.
    pub fn narrow<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, WireError> {
        let at = self.at;
        T::try_from(self.u64()?).map_err(|_| WireError::BadVarint { at, what })
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, WireError> {
        let value = self.u64()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn f64(&mut self) -> Result<f64, WireError> {
        let (at, bytes) = (self.at, self.take(8, "a double")?);
        let bits = <[u8; 8]>::try_from(bytes).map_err(|_| WireError::Truncated { at, what: "a double" })?;
        Ok(f64::from_bits(u64::from_le_bytes(bits)))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let at = self.at;
        let len = self.u64()?;
        let len = usize::try_from(len).map_err(|_| WireError::Truncated { at, what: "bytes" })?;
        self.take(len, "bytes")
    }

    pub fn str(&mut self) -> Result<&'a str, WireError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::NotUtf8 { at })
    }

    pub fn option<T, E: From<WireError>>(
        &mut self,
        some: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        if self.bool()? { some(self).map(Some) } else { Ok(None) }
    }

    /// The length of a list whose items take at least `item_bytes_min` bytes each: a length that the remaining bytes
    /// cannot contain is refused before any allocation.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize, WireError> {
        let at = self.at;
        let count = self.u64()?;
        let fits = (self.remaining() / item_bytes_min.max(1)) as u64;
        if count > fits {
            return Err(WireError::Truncated { at, what: "a list" });
        }
        Ok(count as usize)
    }

    pub fn list<T, E: From<WireError>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let count = self.count(1)?;
        (0..count).map(|_| item(self)).collect()
    }

    /// See [`Writer::step`].
    #[inline]
    pub fn step(&mut self, previous: &mut i64) -> Result<i64, WireError> {
        let at = self.at;
        let next = previous.checked_add_unsigned(self.u64()?).ok_or(WireError::Overflow { at })?;
        *previous = next;
        Ok(next)
    }

    /// See [`Writer::ascending`].
    pub fn ascending(&mut self) -> Result<Vec<i64>, WireError> {
        let count = self.count(1)?;
        let mut values = Vec::with_capacity(count);
        if count > 0 {
            let mut previous = self.i64()?;
            values.push(previous);
            for _ in 1..count {
                values.push(self.step(&mut previous)?);
            }
        }
        Ok(values)
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
            w.bool(true);
            for n in [0, 127, 128, 300, u64::MAX] {
                w.u64(n);
            }
            for n in [0, -1, 1, -64, i64::MIN, i64::MAX] {
                w.i64(n);
            }
            w.u128(u128::MAX);
            w.f64(0.1);
            w.str("né");
            w.option(Some(5), Writer::u64);
            w.option(None, Writer::u64);
            w.list([3u64, 4].into_iter(), Writer::u64);
            w.ascending(&[-10, -10, 990]);
            w.ascending(&[]);
        });
        assert_eq!(
            hex::encode(&bytes),
            "0701\
             007f8001ac02ffffffffffffffffff01\
             0001027fffffffffffffffffff01feffffffffffffffff01\
             ffffffffffffffffffffffffffffffffffff03\
             9a9999999999b93f\
             036ec3a9\
             010500\
             020304\
             031300e807\
             00"
        );
    }

    #[test]
    fn a_number_has_one_encoding_only() {
        let bad = |bytes: &[u8]| matches!(Reader::new(bytes).u64(), Err(WireError::BadVarint { at: 0, .. }));
        assert!(bad(&[0x80, 0x00]), "a zero that is longer than needed");
        assert!(bad(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), "65 bits");
        assert!(bad(&[0x80; 11]), "without an end");
        let wide = [[0xff; 18].as_slice(), &[0x04]].concat();
        assert!(matches!(Reader::new(&wide).u128(), Err(WireError::BadVarint { .. })), "129 bits");
        assert_eq!(Reader::new(&[0x80]).u64(), Err(WireError::Truncated { at: 1, what: "a number" }));
    }

    #[test]
    fn lengths_beyond_the_input_are_refused_before_anything_is_allocated() {
        let huge = written(|w| w.u64(u64::MAX));
        assert!(Reader::new(&huge).bytes().is_err());
        assert!(Reader::new(&huge).count(1).is_err());
        assert!(Reader::new(&huge).ascending().is_err());
        assert!(Reader::new(&huge).list(Reader::u64).is_err());
        let two = written(|w| w.list([1u8, 2].into_iter(), Writer::u8));
        assert_eq!(Reader::new(&two).count(1), Ok(2));
        assert!(Reader::new(&two).count(2).is_err());
    }

    #[test]
    fn a_list_that_runs_over_the_largest_number_is_refused() {
        let over = written(|w| {
            w.u64(2);
            w.i64(i64::MAX);
            w.u64(1);
        });
        assert_eq!(Reader::new(&over).ascending(), Err(WireError::Overflow { at: 11 }));
    }

    #[test]
    fn tags_texts_narrow_numbers_and_left_over_bytes_are_checked() {
        assert_eq!(Reader::new(&[2]).bool(), Err(WireError::BadTag { at: 0, found: 2, what: "boolean" }));
        assert_eq!(Reader::new(&[1, 0xff]).str(), Err(WireError::NotUtf8 { at: 0 }));
        assert!(Reader::new(&[0x80, 0x02]).narrow::<u8>("a slot").is_err());
        assert_eq!(Reader::new(&[0x7f]).narrow::<u8>("a slot"), Ok(127));
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.finish(), Err(WireError::Trailing { at: 1, left: 2 }));
    }

    type Row = (u64, i64, u128, f64, String, Option<i64>, Vec<Vec<u8>>, Vec<i64>);

    fn write_row(w: &mut Writer<'_>, row: &Row) {
        w.u64(row.0);
        w.i64(row.1);
        w.u128(row.2);
        w.f64(row.3);
        w.str(&row.4);
        w.option(row.5, Writer::i64);
        w.list(row.6.iter(), |w, bytes| w.bytes(bytes));
        w.ascending(&row.7);
    }

    fn read_row(r: &mut Reader<'_>) -> Result<Row, WireError> {
        let row = (
            r.u64()?,
            r.i64()?,
            r.u128()?,
            r.f64()?,
            r.str()?.to_owned(),
            r.option(Reader::i64)?,
            r.list(|r| r.bytes().map(<[u8]>::to_vec))?,
            r.ascending()?,
        );
        r.finish()?;
        Ok(row)
    }

    fn a_row() -> impl Strategy<Value = Row> {
        let ascending = prop::collection::vec(any::<i64>(), 0..6).prop_map(|mut v| {
            v.sort_unstable();
            v
        });
        let items = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..4);
        (any::<u64>(), any::<i64>(), any::<u128>(), -1e300..1e300, ".{0,8}", any::<Option<i64>>(), items, ascending)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(row in a_row()) {
            let bytes = written(|w| write_row(w, &row));
            prop_assert_eq!(read_row(&mut Reader::new(&bytes)), Ok(row));
        }

        #[test]
        fn a_row_that_was_cut_off_is_an_error(row in a_row(), cut in any::<prop::sample::Index>()) {
            let bytes = written(|w| write_row(w, &row));
            let cut = cut.index(bytes.len());
            prop_assert!(read_row(&mut Reader::new(&bytes[..cut])).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_is_written_alike(
            bytes in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            if let Ok(row) = read_row(&mut Reader::new(&bytes)) {
                prop_assert_eq!(written(|w| write_row(w, &row)), bytes);
            }
        }
    }
}
