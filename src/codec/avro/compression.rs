//! The compression of a container file's blocks.

use std::io::{self, Read};

/// The largest block, both compressed and uncompressed.
pub(super) const BLOCK_BYTES_MAX: u64 = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
    Xz,
}

impl Compression {
    /// By the name in a file's header.
    pub fn by_name(name: &str) -> Option<Compression> {
        Some(match name {
            "null" => Compression::Null,
            "deflate" => Compression::Deflate,
            "snappy" => Compression::Snappy,
            "zstandard" => Compression::Zstandard,
            "bzip2" => Compression::Bzip2,
            "xz" => Compression::Xz,
            _ => return None,
        })
    }

    /// The data of a block; if it cannot be decompressed, the raw block and the reason.
    pub fn unpack(self, packed: Vec<u8>) -> Result<Vec<u8>, (Vec<u8>, String)> {
        let bytes = packed.as_slice();
        let unpacked = match self {
            Compression::Null => return Ok(packed),
            Compression::Deflate => read_all(Ok(flate2::bufread::DeflateDecoder::new(bytes))),
            Compression::Snappy => snappy(bytes),
            Compression::Zstandard => read_all(zstd::stream::read::Decoder::with_buffer(bytes)),
            Compression::Bzip2 => read_all(Ok(bzip2::bufread::MultiBzDecoder::new(bytes))),
            Compression::Xz => read_all(super::super::files::xz_decoder(bytes)),
        };
        unpacked.map_err(|problem| (packed, problem))
    }
}

fn read_all(decoder: io::Result<impl Read>) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = decoder.and_then(|decoder| decoder.take(BLOCK_BYTES_MAX + 1).read_to_end(&mut unpacked));
    match read {
        Err(_) => Err("it does not unpack".to_owned()),
        Ok(_) if unpacked.len() as u64 > BLOCK_BYTES_MAX => Err(too_large()),
        Ok(_) => Ok(unpacked),
    }
}

/// Snappy without frames, followed by the CRC-32 of the data.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let broken = || "it does not unpack".to_owned();
    let (packed, crc) = bytes.split_last_chunk::<4>().ok_or_else(broken)?;
    let len = snap::raw::decompress_len(packed).map_err(|_| broken())?;
    if len as u64 > BLOCK_BYTES_MAX {
        return Err(too_large());
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(packed).map_err(|_| broken())?;
    let mut sum = flate2::Crc::new();
    sum.update(&unpacked);
    if sum.sum() == u32::from_be_bytes(*crc) { Ok(unpacked) } else { Err("its checksum is wrong".to_owned()) }
}

fn too_large() -> String {
    format!("it unpacks to more than {} MiB", BLOCK_BYTES_MAX >> 20)
}
