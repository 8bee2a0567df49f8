//! How far our input partitions are, and which of them are passed over.

use super::Tasks;
use crate::fault::{self, Place};
use crate::log::{NextOffset, Stream};
use crate::model::time::{Ms, Now};
use crate::operator::watermark::Watermark;
use crate::worker::task_runner::AnyTask;

impl Tasks {
    pub fn at_end(&mut self, source: u32, end: NextOffset, steady_ms: Ms) {
        self.sources.at_end(source, end, steady_ms);
        self.caught_up(source);
    }

    fn caught_up(&mut self, source: u32) {
        match self.inputs.get_mut(&source) {
            Some(input) => input.source.watermark.caught_up(),
            None => {
                if let Some(runner) = self.users.get_mut(&source).filter(|_| self.setup.keyed_by_user) {
                    runner.task.task.caught_up();
                }
            }
        }
    }

    pub fn to_be_asked(&self, steady_ms: Ms) -> Vec<u32> {
        self.sources.to_be_asked(steady_ms)
    }

    pub fn answered(&mut self, source: u32, end: Option<NextOffset>, steady_ms: Ms) {
        self.sources.answered(source, end, steady_ms);
    }

    /// Our input partitions.
    pub(super) fn ours(&self) -> Vec<u32> {
        if self.setup.keyed_by_user {
            self.users.iter().filter(|(_, runner)| runner.is_live()).map(|(number, _)| *number).collect()
        } else {
            self.inputs.keys().copied().collect()
        }
    }

    pub(super) fn position(&self, source: u32) -> NextOffset {
        match self.inputs.get(&source) {
            Some(input) => input.position,
            None => self.users.get(&source).map_or(NextOffset(0), |runner| runner.position),
        }
    }

    fn watermark(&self, source: u32) -> Watermark {
        match self.inputs.get(&source) {
            Some(input) => input.source.watermark,
            None => self.users.get(&source).map(|runner| *runner.task.task.watermark(0)).unwrap_or_default(),
        }
    }

    /// Decides which of our partitions are passed over.
    pub fn decide(&mut self, paused: &[Stream], now: Now) {
        let ours = self.ours();
        for source in ours.iter().copied() {
            if self.sources.is_read_to(source, self.position(source), now.steady_ms) {
                self.caught_up(source);
            }
            self.note(source, paused.contains(&Stream::Input(source)), now.steady_ms);
        }
        for raise in self.sources.decide(&ours, now) {
            self.raise(raise.source, raise.to_ms, raise.is_incomplete);
            self.note(raise.source, false, now.steady_ms);
        }
    }

    fn note(&mut self, source: u32, is_held: bool, steady_ms: Ms) {
        let watermark = self.watermark(source);
        let watermark_ms = watermark.at_ms(self.setup.users.out_of_orderness_ms);
        self.sources.note(source, watermark_ms, watermark.largest_ms().is_some(), is_held, steady_ms);
    }

    fn raise(&mut self, source: u32, to_ms: Ms, is_incomplete: bool) {
        fault::point(Place::PassingOver);
        match self.inputs.get_mut(&source) {
            Some(input) => input.source.watermark.raise_to(to_ms, is_incomplete),
            None => {
                if let Some(runner) = self.users.get_mut(&source) {
                    runner.task.task.raise_to(0, to_ms, is_incomplete);
                    runner.decided(to_ms, is_incomplete);
                }
            }
        }
    }

    /// Input partitions that are far ahead of the slowest.
    pub fn far_ahead(&self) -> Vec<Stream> {
        let ours = self.ours().into_iter().map(|source| (source, self.watermark(source).largest_ms()));
        self.sources.far_ahead(ours).into_iter().map(Stream::Input).collect()
    }
}
