//! Where generated lines go: one file a partition or standard output, compressed if asked for.
//!
//! It does not look into the lines.

use super::Compression;
use anyhow::Context as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// One writer per partition, or one for all.
pub struct Sinks {
    sinks: Vec<Sink>,
}

impl Sinks {
    /// Opens `p0.jsonl`, `p1.jsonl`, ... in a directory, or standard output for `-`.
    pub fn open(out: &Path, partitions: u32, compression: Compression) -> anyhow::Result<Sinks> {
        if out.as_os_str() == "-" {
            let sink = Sink::new(Box::new(io::stdout().lock()), compression)?;
            return Ok(Sinks { sinks: vec![sink] });
        }
        std::fs::create_dir_all(out).with_context(|| format!("cannot create the directory {}", out.display()))?;
        let open = |partition| {
            let name = format!("p{partition}.jsonl{}", compression.suffix());
            let path = out.join(name);
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Sink::new(Box::new(file), compression)?)
        };
        Ok(Sinks { sinks: (0..partitions).map(open).collect::<anyhow::Result<_>>()? })
    }

    pub fn write(&mut self, partition: u32, line: &[u8]) -> io::Result<()> {
        let at = if self.sinks.len() == 1 { 0 } else { partition as usize };
        self.sinks[at].write_all(line)
    }

    pub fn finish(self) -> io::Result<()> {
        self.sinks.into_iter().try_for_each(Sink::finish)
    }
}

enum Sink {
    Plain(BufWriter<Box<dyn Write>>),
    Gz(flate2::write::GzEncoder<BufWriter<Box<dyn Write>>>),
    Zst(zstd::Encoder<'static, BufWriter<Box<dyn Write>>>),
}

impl Sink {
    fn new(out: Box<dyn Write>, compression: Compression) -> io::Result<Sink> {
        let out = BufWriter::with_capacity(1 << 17, out);
        Ok(match compression {
            Compression::None => Sink::Plain(out),
            Compression::Gz => Sink::Gz(flate2::write::GzEncoder::new(out, flate2::Compression::fast())),
            Compression::Zst => Sink::Zst(zstd::Encoder::new(out, 3)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Plain(out) => out.write_all(bytes),
            Sink::Gz(out) => out.write_all(bytes),
            Sink::Zst(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Sink::Plain(mut out) => out.flush(),
            Sink::Gz(out) => out.finish()?.flush(),
            Sink::Zst(out) => out.finish()?.flush(),
        }
    }
}

impl Compression {
    const fn suffix(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gz => ".gz",
            Compression::Zst => ".zst",
        }
    }
}
