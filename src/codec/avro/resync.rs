//! Finds the next marker after a damaged block of a container file, where reading can continue.
//!
//! Each block ends with the 16 random bytes of the file's header (Avro specification, "Object Container Files": they
//! let readers find the next block after damage).

use memchr::memmem::Finder;
use std::io::{self, BufRead, Read};

pub(super) const SYNC_BYTES: usize = 16;
pub(super) type Marker = [u8; SYNC_BYTES];

/// Bits in which a damaged marker may differ. Random ones differ in about 64 (+-6) of 128 bits.
const DAMAGED_BITS_MAX: u32 = 16;

/// Whether this is the marker, perhaps with a few flipped bits: then the block before it is complete.
pub(super) fn is_marker(found: &Marker, marker: &Marker) -> bool {
    let differing: u32 = found.iter().zip(marker).map(|(a, b)| (a ^ b).count_ones()).sum();
    differing <= DAMAGED_BITS_MAX
}

/// A file to which bytes can be returned, to be read again.
pub(super) struct Rewind {
    again: Vec<u8>,
    at: usize,
    rest: Box<dyn BufRead + Send>,
}

impl Rewind {
    pub fn new(rest: Box<dyn BufRead + Send>) -> Rewind {
        Rewind { again: Vec::new(), at: 0, rest }
    }

    fn give_back(&mut self, bytes: &[u8]) {
        self.again.splice(..self.at, bytes.iter().copied());
        self.at = 0;
    }

    /// Continues after the next marker. `begun` has been read already; it receives the bytes before the marker, up to
    /// `kept_max`, and their full length is returned. `None` if no marker follows.
    pub fn skip_behind(&mut self, marker: &Marker, begun: &mut Vec<u8>, kept_max: usize) -> io::Result<Option<u64>> {
        let finder = Finder::new(marker);
        // Offset of the searched bytes from the start of the block.
        let (mut window, mut skipped) = (std::mem::take(begun), 0u64);
        loop {
            if let Some(at) = finder.find(&window) {
                self.give_back(&window[at + SYNC_BYTES..]);
                keep(begun, &window[..at], kept_max);
                return Ok(Some(skipped + at as u64));
            }
            // A marker may have begun in the last bytes.
            let searched = window.len().saturating_sub(SYNC_BYTES - 1);
            keep(begun, &window[..searched], kept_max);
            skipped += searched as u64;
            window.drain(..searched);
            let more = self.fill_buf()?;
            if more.is_empty() {
                return Ok(None);
            }
            window.extend_from_slice(more);
            let len = more.len();
            self.consume(len);
        }
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], max: usize) {
    kept.extend_from_slice(&bytes[..bytes.len().min(max.saturating_sub(kept.len()))]);
}

impl Read for Rewind {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.again.len() {
            return self.rest.read(into);
        }
        let read = (&self.again[self.at..]).read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Rewind {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.again.len() { self.rest.fill_buf() } else { Ok(&self.again[self.at..]) }
    }

    fn consume(&mut self, len: usize) {
        if self.at == self.again.len() {
            return self.rest.consume(len);
        }
        self.at += len;
        if self.at == self.again.len() {
            // Its size is not needed any more.
            (self.again, self.at) = (Vec::new(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    const MARKER: Marker = *b"0123456789abcdef";

    /// The bytes before the marker, their length, and what is read after it.
    fn skipped(bytes: &[u8], read_before: usize, buffer: usize, kept_max: usize) -> (Vec<u8>, Option<u64>, Vec<u8>) {
        let rest: Box<dyn BufRead + Send> =
            Box::new(BufReader::with_capacity(buffer, io::Cursor::new(bytes[read_before..].to_vec())));
        let mut rewind = Rewind::new(rest);
        let mut begun = bytes[..read_before].to_vec();
        let found = rewind.skip_behind(&MARKER, &mut begun, kept_max).expect("no IO");
        let mut behind = Vec::new();
        rewind.read_to_end(&mut behind).expect("no IO");
        (begun, found, behind)
    }

    #[test]
    fn the_next_marker_is_found_wherever_it_was_cut() {
        let bytes = [b"damage 0123456789".as_slice(), &MARKER, b"the next block"].concat();
        for read_before in 0..bytes.len() {
            for buffer in [1, 3, 16, 64] {
                let (begun, found, behind) = skipped(&bytes, read_before, buffer, 100);
                assert_eq!((begun.as_slice(), found), (&bytes[..17], Some(17)), "{read_before} {buffer}");
                assert_eq!(behind, b"the next block", "{read_before} {buffer}");
            }
        }
        let (begun, found, behind) = skipped(&bytes, 20, 3, 5);
        assert_eq!((begun.as_slice(), found, behind.as_slice()), (&bytes[..5], Some(17), &bytes[33..]));
        assert_eq!(skipped(b"no marker is here at all", 4, 3, 100).1, None);
    }

    #[test]
    fn a_marker_with_some_flipped_bits_is_one_and_another_is_not() {
        let mut damaged = MARKER;
        damaged[3] ^= 0xff;
        damaged[9] ^= 0x11;
        assert!(is_marker(&damaged, &MARKER));
        assert!(!is_marker(b"fedcba9876543210", &MARKER));
    }
}
