//! Deletes records that nobody will read again, on a thread of its own: it may take long, and nothing waits for it.

use super::settings::KafkaSettings;
use super::topics::admin::TopicAdmin;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A partition, and the first offset that stays.
type Cut = ((String, i32), i64);

/// Owned by the log. The thread starts with the first request and stops when this is dropped.
#[derive(Default)]
pub struct Purger {
    requests: Option<Sender<Vec<Cut>>>,
}

impl Purger {
    pub fn request(&mut self, settings: &KafkaSettings, cuts: Vec<Cut>) {
        let requests = self.requests.get_or_insert_with(|| start(settings.clone()));
        // If the thread has stopped, it has already logged why.
        drop(requests.send(cuts));
    }
}

fn start(settings: KafkaSettings) -> Sender<Vec<Cut>> {
    let (sender, requests) = channel();
    let thread = thread::Builder::new().name("tailburn-purge".to_owned());
    if let Err(error) = thread.spawn(move || serve(&settings, &requests)) {
        tracing::warn!(target: "tailburn::kafka", %error, "no thread to purge with: topics keep their retention");
    }
    sender
}

fn serve(settings: &KafkaSettings, requests: &Receiver<Vec<Cut>>) {
    let admin = match TopicAdmin::open(settings) {
        Ok(admin) => admin,
        Err(error) => {
            tracing::warn!(target: "tailburn::kafka", %error, "nothing is purged: topics keep their retention");
            return;
        }
    };
    let (mut done, mut has_warned) = (BTreeMap::new(), false);
    while let Ok(first) = requests.recv() {
        // Takes all waiting requests at once: only the latest cut of a partition counts.
        let cuts = std::iter::once(first).chain(requests.try_iter()).flatten().collect();
        let cuts = fresh(&done, cuts);
        if cuts.is_empty() {
            continue;
        }
        match purge(&admin, &cuts) {
            Ok(()) => {}
            Err(error) if has_warned => tracing::debug!(target: "tailburn::kafka", error, "not purged"),
            Err(error) => {
                has_warned = true;
                tracing::warn!(target: "tailburn::kafka", error, "not purged: the records stay until their retention ends");
            }
        }
        // Even if it failed: the next cut of the partition includes this one.
        done.extend(cuts);
    }
}

/// The cuts that delete more than was deleted before.
fn fresh(done: &BTreeMap<(String, i32), i64>, cuts: Vec<Cut>) -> BTreeMap<(String, i32), i64> {
    let mut latest: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for (partition, before) in cuts {
        if before > done.get(&partition).copied().unwrap_or(0) {
            let cut = latest.entry(partition).or_insert(before);
            *cut = before.max(*cut);
        }
    }
    latest
}

fn purge(admin: &TopicAdmin, cuts: &BTreeMap<(String, i32), i64>) -> Result<(), String> {
    let mut list = TopicPartitionList::with_capacity(cuts.len());
    for ((topic, partition), before) in cuts {
        list.add_partition_offset(topic, *partition, Offset::Offset(*before)).map_err(|e| e.to_string())?;
    }
    let failed = admin.delete_before(&list).map_err(|e| e.to_string())?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_cut_of_a_partition_is_made_and_only_once() {
        let at = |partition, before| (("t".to_owned(), partition), before);
        let done = BTreeMap::from([at(0, 5)]);
        let cuts = fresh(&done, vec![at(0, 5), at(1, 7), at(1, 9), at(1, 8), at(2, 0)]);
        assert_eq!(cuts, BTreeMap::from([at(1, 9)]));
    }
}
