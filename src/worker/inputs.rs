//! Our input partitions as operators want to see them: what was read, how far behind we are, and who is passed over.

use crate::log::{NextOffset, Stream};
use crate::model::time::Ms;

/// Records and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    pub records: u64,
    pub bytes: u64,
}

/// One input partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputFigures {
    pub source: u32,
    /// Records that are not read yet, as far as the log knows where the partition ends.
    pub lag: Option<u64>,
    pub watermark_ms: Option<Ms>,
    /// T does not wait for it.
    pub is_idle: bool,
}

/// The progress of one input partition, of this instance or of another one, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionFigures {
    pub source: u32,
    pub watermark_ms: Option<Ms>,
    /// At least one outcome was read from it.
    pub has_read: bool,
    pub is_at_end: bool,
    /// T does not wait for it.
    pub is_idle: bool,
    pub is_ours: bool,
    /// Of our own.
    pub lag: Option<u64>,
}

/// What was read since the last call of [`Volumes::take`], by stream.
pub struct Volumes {
    inputs: Vec<Volume>,
    repartition: Volume,
    partials: Volume,
}

impl Volumes {
    pub fn new(inputs: u32) -> Volumes {
        Volumes {
            inputs: vec![Volume::default(); inputs as usize],
            repartition: Volume::default(),
            partials: Volume::default(),
        }
    }

    #[inline]
    pub fn count(&mut self, stream: Stream, bytes: usize) {
        let volume = match stream {
            Stream::Input(source) => self.inputs.get_mut(source as usize),
            Stream::Repartition(_) => Some(&mut self.repartition),
            Stream::Partials(_) => Some(&mut self.partials),
            Stream::Sources => None,
        };
        if let Some(volume) = volume {
            volume.records += 1;
            volume.bytes += bytes as u64;
        }
    }

    /// By stream, one of each internal topic; what is zero is left out.
    pub fn take(&mut self) -> Vec<(Stream, Volume)> {
        let inputs = (0..).map(Stream::Input).zip(&mut self.inputs);
        let internal = [(Stream::Repartition(0), &mut self.repartition), (Stream::Partials(0), &mut self.partials)];
        let all = inputs.chain(internal).map(|(stream, volume)| (stream, std::mem::take(volume)));
        all.filter(|(_, volume)| volume.records > 0).collect()
    }
}

/// `end`: where the log saw the partition end. Behind the last record may stand marks of transactions, which are no
/// records: once the log has reported the end, nothing is missing up to there.
pub fn lag(position: NextOffset, reported_end: Option<NextOffset>, end: Option<NextOffset>) -> Option<u64> {
    let reached = reported_end.map_or(position, |reported| position.max(reported));
    end.map(|end| (end.0 - reached.0).max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_counted_once() {
        let mut volumes = Volumes::new(2);
        for (stream, bytes) in
            [(Stream::Input(1), 10), (Stream::Input(1), 5), (Stream::Partials(3), 7), (Stream::Sources, 9)]
        {
            volumes.count(stream, bytes);
        }
        let volume = |records, bytes| Volume { records, bytes };
        assert_eq!(volumes.take(), [(Stream::Input(1), volume(2, 15)), (Stream::Partials(0), volume(1, 7))]);
        assert_eq!(volumes.take(), []);
    }

    #[test]
    fn lag_counts_records_and_no_marks_of_transactions() {
        let next = |offset| NextOffset(offset);
        assert_eq!(lag(next(10), None, Some(next(25))), Some(15));
        assert_eq!(lag(next(10), Some(next(12)), Some(next(12))), Some(0), "two marks behind the last record");
        assert_eq!(lag(next(10), Some(next(12)), Some(next(15))), Some(3));
        assert_eq!(lag(next(30), Some(next(12)), Some(next(25))), Some(0), "the log saw the end earlier");
        assert_eq!(lag(next(10), None, None), None);
    }
}
