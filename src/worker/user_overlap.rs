//! Checks `input.keyed_by_user`: if it is set, each user must be in one input partition only.
//!
//! Each users task keeps a sample of its users ([`UserSample`]), and the instances send each other their samples. If two
//! samples contain the same user, its events are in two input partitions: its figures are split between two tasks, and
//! wrong in both.

use super::WorkerError;
use crate::model::record::{RecordOut, Topic};
use crate::pipeline::sample::UserSample;
use std::collections::BTreeMap;

/// The last byte of a record's key, after the partition. Other records of the topic have other last bytes.
const SAMPLE: u8 = 1;

/// The samples of all input partitions.
#[derive(Default)]
pub struct Samples {
    all: BTreeMap<u32, UserSample>,
    /// Of our partitions: the samples last sent.
    sent: BTreeMap<u32, UserSample>,
    /// A sample changed since the last check.
    is_new: bool,
}

impl Samples {
    /// Takes the sample of one of our users tasks.
    pub fn note(&mut self, source: u32, sample: &UserSample) {
        self.merge(source, sample.hashes());
    }

    /// Merges, because over time several instances may have owned the partition.
    fn merge(&mut self, source: u32, hashes: &[u64]) {
        self.is_new |= self.all.entry(source).or_default().merge(hashes);
    }

    /// Takes a record of the sources topic; `false`: it is not a sample.
    pub fn receive(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some((&SAMPLE, source)) = key.split_last() else { return false };
        let Ok(source) = source.try_into().map(u32::from_be_bytes) else { return false };
        if let Ok(hashes) = postcard::from_bytes::<Vec<u64>>(value) {
            self.merge(source, &hashes);
        }
        true
    }

    /// Appends the samples of our partitions that changed since they were last sent.
    pub fn news(&mut self, ours: &[u32], out: &mut Vec<RecordOut>) -> Result<(), WorkerError> {
        for source in ours {
            let Some(sample) = self.all.get(source).filter(|sample| self.sent.get(source) != Some(*sample)) else {
                continue;
            };
            let value = postcard::to_stdvec(sample.hashes()).map_err(WorkerError::Write)?;
            out.push(RecordOut {
                topic: Topic::Sources,
                partition: 0,
                key: Some([&source.to_be_bytes()[..], &[SAMPLE]].concat()),
                value: Some(value),
                headers: Vec::new(),
                timestamp_ms: 0,
            });
            self.sent.insert(*source, sample.clone());
        }
        Ok(())
    }

    /// Returns an error if a user is in two partitions.
    pub fn check(&mut self) -> Result<(), WorkerError> {
        if !std::mem::take(&mut self.is_new) {
            return Ok(());
        }
        let mut all: Vec<(u64, u32)> =
            self.all.iter().flat_map(|(source, sample)| sample.hashes().iter().map(|hash| (*hash, *source))).collect();
        all.sort_unstable();
        match all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(split(pair[0].1, pair[1].1)),
            None => Ok(()),
        }
    }
}

fn split(one: u32, other: u32) -> WorkerError {
    WorkerError::Refused(format!(
        "input.keyed_by_user: a user's events are on input partitions {one} and {other}, so its figures would be split. Let \
         the producers use the user as the key of their records, all with the same partitioner, or set \
         input.keyed_by_user to false; either way choose another application_id, because the counts so far are wrong"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(users: std::ops::Range<u32>) -> UserSample {
        let mut sample = UserSample::default();
        users.for_each(|user| sample.offer("t", &user.to_string()));
        sample
    }

    /// One instance sends a sample, another one receives it.
    fn send(source: u32, sample: &UserSample, other: &mut Samples) {
        let (mut own, mut out) = (Samples::default(), Vec::new());
        own.note(source, sample);
        own.news(&[source], &mut out).expect("written");
        own.news(&[source], &mut out).expect("written");
        assert_eq!(out.len(), 1, "a sample is sent once");
        assert!(other.receive(out[0].key.as_deref().unwrap_or_default(), out[0].value.as_deref().unwrap_or_default()));
    }

    #[test]
    fn a_user_on_two_partitions_is_an_error_that_says_what_to_do() {
        let mut samples = Samples::default();
        samples.note(0, &sample(0..10));
        send(1, &sample(10..20), &mut samples);
        samples.check().expect("no user is in both");
        send(3, &sample(19..25), &mut samples);
        let error = samples.check().expect_err("user 19 is in both").to_string();
        assert!(error.contains("partitions 1 and 3") && error.contains("keyed_by_user to false"), "{error}");
    }

    #[test]
    fn records_about_the_progress_of_a_partition_are_ignored() {
        assert!(!Samples::default().receive(&7u32.to_be_bytes(), b""));
    }

    #[test]
    fn a_moved_partition_is_not_taken_for_a_second_one() {
        let mut samples = Samples::default();
        send(1, &sample(0..10), &mut samples);
        samples.note(1, &sample(5..200));
        samples.check().expect("it is the same partition");
    }
}
