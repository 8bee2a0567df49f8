//! The plain bytes of a stream that may be compressed.
//!
//! gzip, zstd, bzip2, xz and framed snappy are recognized by their first bytes. Several archives may follow one
//! another; zero bytes after one (padding of tapes and block devices) are skipped.

use super::peek::Peek;
use super::sniff;
use std::io::{self, BufRead, ErrorKind, Read};

const BUFFER_BYTES: usize = 1 << 18;
/// The memory that unpacking an xz archive may use; `xz -9` takes 65 MiB.
const XZ_MEMORY_MAX_BYTES: u64 = 256 << 20;

type Packed = Peek<Box<dyn Read + Send>>;
/// A stream of plain bytes with look-ahead.
pub(super) type Plain = Peek<Box<dyn Read + Send>>;

/// The compression of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Snappy,
}

impl Packing {
    const ALL: [(Packing, &'static [u8]); 5] = [
        (Packing::Gzip, &[0x1f, 0x8b]),
        (Packing::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
        (Packing::Bzip2, b"BZh"),
        (Packing::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0]),
        (Packing::Snappy, b"\xff\x06\x00\x00sNaPpY"),
    ];

    fn of(begin: &[u8]) -> Option<Packing> {
        // A skippable zstd frame.
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] = begin {
            return Some(Packing::Zstd);
        }
        Packing::ALL.iter().find(|(_, magic)| begin.starts_with(magic)).map(|(packing, _)| *packing)
    }

    const fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Bzip2 => "bzip2",
            Packing::Xz => "xz",
            Packing::Snappy => "snappy",
        }
    }
}

/// The plain bytes of a stream. An unsupported compression is an error with a remedy.
pub(super) fn unpack(input: Box<dyn Read + Send>) -> io::Result<Plain> {
    let mut whole = Peek::new(input, BUFFER_BYTES);
    let begin = whole.peek(sniff::BYTES)?;
    let packing = Packing::of(begin);
    if let (None, Some(problem)) = (packing, sniff::not_read(begin)) {
        return Err(invalid(problem));
    }
    Ok(match packing {
        None => whole,
        Some(packing) => {
            let members = Members { member: Member::open(packing, whole)?, packing, unpacked: 0 };
            Peek::new(Box::new(members), BUFFER_BYTES)
        }
    })
}

/// Concatenated archives.
struct Members {
    member: Member,
    packing: Packing,
    unpacked: u64,
}

/// The archive being read.
enum Member {
    Gzip(Box<flate2::bufread::GzDecoder<Packed>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Packed>>),
    Bzip2(Box<bzip2::bufread::BzDecoder<Packed>>),
    Xz(Box<liblzma::bufread::XzDecoder<Packed>>),
    /// A decoder that reads concatenated archives by itself.
    Snappy(Box<snap::read::FrameDecoder<Packed>>),
    End,
}

impl Member {
    fn open(packing: Packing, input: Packed) -> io::Result<Member> {
        Ok(match packing {
            Packing::Gzip => Member::Gzip(Box::new(flate2::bufread::GzDecoder::new(input))),
            Packing::Zstd => Member::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame())),
            Packing::Bzip2 => Member::Bzip2(Box::new(bzip2::bufread::BzDecoder::new(input))),
            Packing::Xz => Member::Xz(Box::new(xz_decoder(input)?)),
            Packing::Snappy => Member::Snappy(Box::new(snap::read::FrameDecoder::new(input))),
        })
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Member::Gzip(decoder) => decoder.read(out),
            Member::Zstd(decoder) => decoder.read(out),
            Member::Bzip2(decoder) => decoder.read(out),
            Member::Xz(decoder) => decoder.read(out),
            Member::Snappy(decoder) => decoder.read(out),
            Member::End => Ok(0),
        }
    }

    /// What follows the archive; `None` after the last one.
    fn into_rest(self) -> Option<Packed> {
        match self {
            Member::Gzip(decoder) => Some(decoder.into_inner()),
            Member::Zstd(decoder) => Some(decoder.finish()),
            Member::Bzip2(decoder) => Some(decoder.into_inner()),
            Member::Xz(decoder) => Some(decoder.into_inner()),
            Member::Snappy(_) | Member::End => None,
        }
    }
}

impl Read for Members {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.member.read(out).map_err(|e| self.broken(&e))?;
            self.unpacked += read as u64;
            if read > 0 || out.is_empty() || !self.next_member()? {
                return Ok(read);
            }
        }
    }
}

impl Members {
    /// Continues with the next archive; false if there is none.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(mut rest) = std::mem::replace(&mut self.member, Member::End).into_rest() else { return Ok(false) };
        if !skip_zeros(&mut rest)? {
            return Ok(false);
        }
        let Some(packing) = Packing::of(rest.peek(sniff::BYTES)?) else {
            let Members { packing, unpacked, .. } = self;
            return Err(invalid(format!(
                "something that is not packed follows the {} archive of {unpacked} bytes (unpacked): two files were \
                 joined, or the file is damaged; unpack it by hand to see what is there",
                packing.name()
            )));
        };
        (self.member, self.packing) = (Member::open(packing, rest)?, packing);
        Ok(true)
    }

    #[cold]
    fn broken(&self, error: &io::Error) -> io::Error {
        if error.kind() == ErrorKind::Interrupted {
            return io::Error::from(ErrorKind::Interrupted);
        }
        let (name, unpacked) = (self.packing.name(), self.unpacked);
        let problem = if error.kind() == ErrorKind::UnexpectedEof {
            format!(
                "the {name} archive ends too early, after {unpacked} bytes (unpacked): it was cut off, or is still \
                     being written"
            )
        } else {
            format!("the {name} archive is damaged after {unpacked} bytes (unpacked): {error}")
        };
        invalid(problem)
    }
}

/// Skips zero bytes; false at the end.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(false);
        }
        match chunk.iter().position(|byte| *byte != 0) {
            Some(zeros) => {
                input.consume(zeros);
                return Ok(true);
            }
            None => {
                let zeros = chunk.len();
                input.consume(zeros);
            }
        }
    }
}

/// Reads one xz archive in bounded memory.
pub(in crate::codec) fn xz_decoder<R: BufRead>(input: R) -> io::Result<liblzma::bufread::XzDecoder<R>> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX_BYTES, 0)?;
    Ok(liblzma::bufread::XzDecoder::new_stream(input, stream))
}

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, problem.into())
}
