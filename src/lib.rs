//! tailburn is an SLO stream processor. It reads request outcomes from Kafka, keeps windowed state per
//! tenant and user, and publishes SLO status, burn-rate alerts and tail cohorts. One aggregate number
//! hides the few users who are served badly; tailburn computes the aggregate and the distribution over
//! users below it from the same events, and says who is in the tail.
//!
//! This page describes the architecture: how records flow, where things are, which invariants hold and what is left out
//! on purpose. The contract defines exactly what is computed; the code cites its sections.
//!
//! # Bird's eye
//!
//! ```text
//! input topics ──► route ───────► repartition ──► users ─────────► partials ──► rollup ─────► slo-status, slo-history,
//! (any key)        decode, map,   topic           row per user,    topic        merge,        burn-alerts, tail-cohorts,
//!                  verdict per    blocks of       close            slo|scope|.. evaluate,     user-status,
//!                  SLO            verdicts        boundaries                    encode        canary-verdicts
//!                    └──► dead-letters
//! ```
//!
//! - **Route** ([`pipeline::route`], [`pipeline::intake`]) turns a record's bytes into an
//!   [`Outcome`](model::outcome::Outcome), or into a dead letter with the first reason that applies. It classifies the
//!   outcome for every SLO and decides at which boundary the verdict becomes visible. Everything that depends on the
//!   order of an input partition is decided here. Verdicts are sent in blocks ([`pipeline::block`]), each with the
//!   watermark of its source. (If the input is keyed by user there are no blocks: route and users are one task.)
//! - **Users** ([`pipeline::users`]) holds verdicts back until their boundary. When the watermarks of all sources let a
//!   boundary close ([`pipeline::close`]), they are added to rows and keys, and only changes are sent on, as a
//!   [`Partial`](operator::partial::Partial). At each step of a user window ([`pipeline::step`]) the distribution over
//!   users, the leaf cube and the worst-served users are sent, too. In a short window, users without a bad event are
//!   counted as their events come and go (`pipeline::tally`); only the others' rows are read. A boundary with new
//!   groups or tenants waits until the rollup task of the SLO's aggregate key has decided, for all users tasks, which of
//!   them get keys ([`pipeline::admission`]).
//! - **Rollup** ([`pipeline::rollup`]) merges the partials of a boundary once all users tasks have closed it, evaluates
//!   every key (`operator::evaluation`) and encodes the output. A key belongs to one rollup task, which is the only
//!   writer of its output partition.
//! - **The worker** ([`worker`]) polls the log, runs the tasks that Kafka's group protocol assigned to it, and commits
//!   outputs, blocks, partials, changelog and consumed offsets in one transaction. State goes to the changelog, key
//!   group by key group, and then to a local [`Store`](state::Store). A newly assigned task is restored from there;
//!   then its stream is read again up to the committed offset, without producing output.
//!
//! The same tasks run on Kafka (`run`) and on a log inside the process (`backtest`, `demo`, tests); the latter has no
//! blocks and no changelog ([`worker::direct`]).
//!
//! # Code map
//!
//! From the bottom up; a module may import only modules above it in this list, and not all of them (the table is in
//! `tests/tidy.rs`).
//!
//! - [`model`]: the vocabulary: event time, outcomes, SLOs, keys, expressions, output records.
//! - [`definition`]: OpenSLO documents and annotations become [`Slo`](model::slo::Slo) values; every
//!   mistake is named with its line and a remedy.
//! - [`codec`]: bytes become outcomes (JSON, Avro, access logs, mappings), and records become bytes.
//! - [`operator`]: the decisions and the figures: windows, rules, alerts, distributions, cohorts.
//! - [`state`]: rows of bytes under frozen keys, in memory or in RocksDB.
//! - [`pipeline`]: route, users and rollup, and their checkpoints.
//! - [`log`]: the log interface; Kafka and the embedded log.
//! - [`config`]: typed settings, each with its origin.
//! - [`telemetry`]: log lines and metric names.
//! - [`board`]: what was published, read back from the output topics or from files.
//! - [`http`]: health, metrics, the API and the page, from the board.
//! - [`notify`]: who is told of alerts, when, and by which way.
//! - [`fault`]: places where a test harness can kill the process.
//! - [`traffic`]: seeded traffic with planted incidents; it knows nothing about the code that evaluates it.
//! - [`worker`]: the loop around the core: transactions, checkpoints, replay, idle partitions.
//! - [`command`]: the command line, one file a subcommand; assembles everything above.
//!
//! # Invariants
//!
//! 1. *An output is visible only together with the offsets that caused it.* [`log::Log::commit`] is the only way to
//!    write, and takes both; readers of our topics read committed records.
//! 2. *The store never holds uncommitted data.* Rows go to the changelog in a transaction, and to the store after it
//!    succeeded, with a mark that says up to where they are valid ([`pipeline::checkpoint`], [`worker`]).
//! 3. *A task receives its records without gap or repetition.* Blocks and partials name their predecessor
//!    ([`pipeline::sequence`]); a missing or repeated record stops the worker, because otherwise all later figures would be
//!    wrong and nothing would show it.
//! 4. *No figure depends on a clock, on chance or on the order of a hash map.* `model`, `definition`, `codec`,
//!    `operator` and `pipeline` are functions of their input; the worker gets both clocks, wall clock and monotonic, as
//!    a value ([`model::time::Now`]). `clippy.toml` forbids calls to a clock, and the modules that make them state the
//!    reason.
//! 5. *No figure depends on the machine.* Sums are integers (micro-weights, [`operator::partial`]), so
//!    they are exact in any order; logarithms and the like come from the `libm` crate.
//! 6. *No data makes a task panic.* A record that cannot be an outcome is a dead letter; fields are bounded on input
//!    ([`codec::FieldLimits`]), times are within the years 2000 to 9999. A bug aborts the process with a message
//!    ([`telemetry::abort_on_panic`]) before it can commit.
//! 7. *Memory is bounded by configuration.* Rows above the limit are only in the store (`pipeline::cold`); groups,
//!    leaves and cohorts have limits, and the rest counts in `__other__`. Attribute tuples are dropped when no user has
//!    them. Not bounded yet: the names of tenants, each kept once as long as a task runs.
//! 8. *Missing data is neither ok nor bad, and resolves nothing.* Empty windows have null figures
//!    ([`operator::status`]); a rule resolves only on evidence ([`operator::burn_rate`]).
//! 9. *One number, one code path.* Status and alerts use the same sums of a key; the API and the metrics show the bytes
//!    that were committed to the topics ([`board::Board`]).
//! 10. *No plain user id is published unless configured.* Every user id passes [`pipeline::pseudonym`] on its way to an
//!     output. A tenant's figures come only from its own events.
//! 11. *A page needs evidence from more than one user*, unless there is only one; the status always shows what the
//!     guards of [`operator::burn_rate`] hold back.
//! 12. *An input is its topic's id, not its name.* Ids are noted with the offsets and watched while `run` works
//!     ([`log::TopicId`]); if a topic was created again, or if offsets are gone while state exists, `run` ends before
//!     it reads anything.
//!
//! # The way of one record
//!
//! A checkout fails with status 503 and is written to the input topic. Input that is not keyed by user:
//!
//! 1. [`worker::Worker::poll`] asks the log for records. The Kafka log hands over a batch; the worker gives each record to
//!    the task whose stream it stands in.
//! 2. [`pipeline::route`] decodes it. If that fails, the record becomes a dead letter and nothing else happens to it.
//! 3. [`pipeline::intake`] moves the watermark of the input partition, computes the boundary at which the event becomes
//!    visible, asks each SLO for a verdict ([`operator::classify`]), and writes the verdicts to the block of a users task.
//! 4. The next commit sends the block, and with it the offset behind the record. Both become visible together or not at
//!    all.
//! 5. The worker that owns the users task reads the block ([`pipeline::block`]). The verdicts wait for their boundary.
//! 6. When all input partitions have passed the boundary, [`pipeline::close`] adds the verdicts to the user's row and to
//!    the keys: aggregate, tenant, group. Only what changed leaves, as a partial, in the next commit.
//! 7. The rollup task waits until every users task has closed the boundary, adds the partials to its keys, evaluates them
//!    and publishes the status.
//! 8. After the commit the worker writes the changed rows to the local store, and the board of each instance reads
//!    the same bytes from the output topics ([`board`]).
//!
//! # The way of one alert
//!
//! 1. At each boundary [`operator::burn_rate`] compares the error ratios of a rule's two windows with its threshold, in
//!    integers. Warm-up and guards may hold the rule back; the status says which.
//! 2. The rule fires. `operator::evaluation` then looks for cohorts ([`operator::cohort`]), so that the alert can name
//!    one, and [`operator::alert`] opens an episode for the severity and writes its first record.
//! 3. Later boundaries write a record only if something changed: another rule fires, twice as many users are affected, a
//!    cohort is known for the first time, or the data is stale.
//! 4. Good events bring the burn down. After `resolve_after` on evidence the rule ends, and the episode with it: its last
//!    record says `resolved` and why. Silence alone never resolves it, except after 24 hours with reason `no_data`.
//! 5. If the process is killed in between, the successor restores the key's state, reads the log again up to the last
//!    commit, and goes on with the same episode and the next number. Nothing is published twice.
//!
//! # Deliberately absent
//!
//! - No timers per user. Long windows have rare steps: one sequential pass over their rows is cheap enough.
//! - No locks and no sharing on an event's path: a worker is one thread with its own log and state.
//! - No write-ahead log: the changelog is one. Data that the store loses in a crash is read again.
//! - Tasks communicate only through the log, and only the owner decides: only the task that owns an input partition can
//!   pass over it, by raising its watermark.
//! - No query language over state: topics, an API, metrics and one page are the interfaces, and other tools do the rest
//!   better. (`/api/v1/query` gives single figures to those who speak Prometheus' API alone.)
//! - No mathematics of our own if a library has it, unless that library depends on the platform; then the code cites
//!   its source, and tests compare it with a library.
//!
//! # From a figure to its source
//!
//! | figure | contract | computed in |
//! |---|---|---|
//! | dead letters, weights | 1 | [`codec`] |
//! | good, bad, unclassified | 2 | [`operator::classify`], [`model::expr`] |
//! | keys and groups | 2 | [`model::key`], [`operator::admission`], [`pipeline::close`] |
//! | boundaries, late events, idle partitions | 3 | [`model::time`], [`operator::watermark`], [`pipeline::intake`], [`worker`] |
//! | windows, `sli`, `burn`, `coverage` | 4 | [`operator::window`], [`operator::status`] |
//! | `state`, `flags`, when a status is due | 5 | [`operator::status`], `operator::evaluation` |
//! | rules, guards, `held_back_by` | 6 | [`operator::burn_rate`], [`operator::significance`] |
//! | alerts, `affected_users`, exemplars | 6 | [`operator::alert`] |
//! | the rule `budget`, canary verdicts | 12 | [`operator::signal`] |
//! | `users[]`, quantiles, `below_expected` | 7 | [`operator::user_row`], [`operator::distribution`] |
//! | cohorts | 12 | [`operator::cohort`], [`operator::cohort_tracker`], [`operator::cohort_episode`] |
//! | events by attributes and operation | 12 | `pipeline::event_tally`, [`operator::event_table`], [`operator::cohort::causes`] |
//! | who fails more than the rest of its tenant | 12 | [`operator::failing_users`], `pipeline::failing` |
//! | worst users | 7 | [`pipeline::step`], [`pipeline::rollup`] |
//! | `latency_ms` | 8 | [`operator::sketch`] |
//! | records, topics, order | 8 | [`model::output`], [`model::record`], [`pipeline::rollup`] |
//!
//! `tests/oracle` computes all of them again by brute force, only from the contract, and compares.

pub mod board;
pub mod codec;
pub mod command;
pub mod config;
pub mod definition;
pub mod fault;
pub mod http;
pub mod log;
pub mod model;
pub mod notify;
pub mod operator;
pub mod pipeline;
pub mod state;
pub mod telemetry;
pub mod traffic;
pub mod worker;
