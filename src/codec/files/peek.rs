//! A buffered reader that can look ahead, because the kind of a stream must be known before it is read.

use std::io::{self, BufRead, Read};

pub(super) struct Peek<R> {
    input: R,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    /// An error met while looking ahead; the bytes before it are read first.
    failed: Option<io::Error>,
}

impl<R: Read> Peek<R> {
    pub fn new(input: R, capacity: usize) -> Peek<R> {
        Peek { input, buffer: vec![0; capacity].into_boxed_slice(), from: 0, to: 0, failed: None }
    }

    /// The next bytes without consuming them: at least this many, unless the stream ends. It does not wait for more,
    /// because a pipe may send nothing else for a while.
    pub fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        let least = least.min(self.buffer.len());
        if self.to - self.from < least {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        while self.to < self.from + least && self.failed.is_none() {
            match self.input.read(&mut self.buffer[self.to..]) {
                Ok(0) => break,
                Ok(read) => self.to += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if self.to == self.from => return Err(e),
                Err(e) => self.failed = Some(e),
            }
        }
        Ok(&self.buffer[self.from..self.to])
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.from == self.to {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            (self.from, self.to) = (0, self.input.read(&mut self.buffer)?);
        }
        Ok(&self.buffer[self.from..self.to])
    }

    fn consume(&mut self, bytes: usize) {
        self.from = (self.from + bytes).min(self.to);
    }
}
