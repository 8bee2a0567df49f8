//! A T at which many keys are due leaves in pieces, and the pieces are in order.

use super::*;
use crate::codec::output::{Encoder, OutputFormat};
use crate::codec::{Decoder, InputSettings};
use crate::log::LogError;
use crate::log::embedded::{EmbeddedLog, Sink, Source, SourceState};
use crate::model::record::{NoHeaders, RecordIn, Topic};
use crate::pipeline::pseudonym::UserIds;
use crate::pipeline::rollup::{RollupSettings, rollup_tasks};
use crate::pipeline::route::{DeadLetterForm, SourceName};
use crate::pipeline::users::UsersSettings;
use crate::worker::Nobody;

const TENANTS: u32 = 2_500;
const ROLLUPS: u32 = 3;
const SLO: &str = include_str!("../../../tests/fixtures/availability.yaml");

/// A failed request of each tenant, all of one pane.
struct Tenants(u32);

impl Source for Tenants {
    fn read(&mut self, max: usize, each: &mut dyn FnMut(&RecordIn<'_>)) -> Result<SourceState, LogError> {
        for _ in 0..max {
            if self.0 == TENANTS {
                return Ok(SourceState::Finished);
            }
            let tenant = self.0;
            let line = format!(
                r#"{{"tenant":"t{tenant}","user":"u","timestamp":1780000000000,"operation":"checkout","status":500}}"#
            );
            let (offset, value) = (i64::from(tenant), line.as_bytes());
            each(&RecordIn { partition: 0, offset, key: None, value, timestamp_ms: None, headers: &NoHeaders });
            self.0 += 1;
        }
        Ok(SourceState::More)
    }
}

#[derive(Default)]
struct Commits(Vec<Vec<RecordOut>>);

impl Sink for Commits {
    fn commit(&mut self, records: Vec<RecordOut>) -> Result<(), LogError> {
        self.0.push(records);
        Ok(())
    }
}

fn worker() -> DirectWorker<EmbeddedLog<Commits>> {
    let slos = Arc::new(crate::definition::parse(&[("slo.yaml".to_owned(), SLO.to_owned())]).expect("an SLO").slos);
    let settings = RollupSettings {
        partition: 0,
        users_tasks: 1,
        status_interval_ms: 60_000,
        tenant_status_interval_ms: 300_000,
        user_ids: UserIds::Plain,
        encoder: Arc::new(Encoder::new(OutputFormat::Json).expect("schemas")),
    };
    let of_users = UsersSettings {
        out_of_orderness_ms: 5_000,
        groups_max: 1_000,
        tenants_max: 50_000,
        rollup_partitions: ROLLUPS,
    };
    let log = EmbeddedLog::new(vec![Box::new(Tenants(0))], ROLLUPS, Commits::default());
    let names = vec![SourceName { topic: "input".to_owned(), partition: 0 }];
    let route = Route::new(Decoder::new(InputSettings::default()).expect("a decoder"), names, DeadLetterForm::Line);
    let users = UsersTask::new(Arc::clone(&slos), 1, of_users);
    DirectWorker::new(log, route, users, rollup_tasks(&slos, ROLLUPS, &settings), 1)
}

#[test]
fn the_statuses_of_one_t_leave_in_pieces_in_the_order_of_their_keys() {
    let mut worker = worker();
    loop {
        let turn = worker.poll(Duration::ZERO).expect("polled");
        worker.commit(&mut Nobody).expect("committed");
        if turn.is_finished && turn.records == 0 {
            break;
        }
    }
    let commits = worker.log.into_sink().0;
    let bytes = |records: &Vec<RecordOut>| records.iter().filter_map(|r| r.value.as_ref()).map(Vec::len).sum::<usize>();
    assert!(commits.iter().map(bytes).max() < Some(OUTPUT_BYTES_MAX + (1 << 16)), "no piece is larger");
    assert!(commits.iter().filter(|records| !records.is_empty()).count() > 1, "there are several");
    let statuses = commits.iter().flatten().filter(|record| record.topic == Topic::SloStatus);
    let order: Vec<_> = statuses.map(|record| (record.timestamp_ms, record.key.clone())).collect();
    assert_eq!(order.len(), TENANTS as usize + 1, "one of each tenant, and the aggregate's");
    assert!(order.is_sorted(), "by T and key, over all tasks");
}
