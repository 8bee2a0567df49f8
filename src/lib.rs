//! tailburn is an SLO stream processor. It reads request outcomes from Kafka, keeps windowed state per
//! tenant and user, and publishes SLO status, burn-rate alerts and tail cohorts. One aggregate number
//! hides the few users who are served badly; tailburn computes the aggregate and the distribution over
//! users below it from the same events, and says who is in the tail.
//!
//! This page is the architecture: how records flow, where what stands, what always holds and what is
//! left out on purpose. What is computed, to the letter, is the contract; code cites its sections.
//!
//! # Bird's eye
//!
//! ```text
//! input topics ──► route ───────► repartition ──► users ─────────► partials ──► rollup ─────► slo-status, slo-history,
//! (any key)        decode, map,   topic           row per user,    topic        merge,        burn-alerts, tail-cohorts,
//!                  verdict per    blocks of       close            slo|scope|.. evaluate,     user-status
//!                  SLO            verdicts        boundaries                    encode
//!                    └──► dead-letters
//! ```
//!
//! - **Route** ([`pipeline::route`], [`pipeline::intake`]) makes an [`Outcome`](model::outcome::Outcome) of
//!   a record's bytes, or a dead letter with the first reason that holds; it classifies the outcome for
//!   every SLO and decides at which boundary the verdict is visible. Everything that depends on the order
//!   of an input partition is decided here. Verdicts leave in blocks ([`pipeline::block`]), each with the
//!   watermark of its source. (Where the input is keyed by user there are no blocks: route and users are
//!   one task.)
//! - **Users** ([`pipeline::users`]) lets verdicts wait for their boundary. When the watermarks of all
//!   sources let a boundary close ([`pipeline::close`]), what waited is added to rows and keys, and only
//!   what changed leaves, as a [`Partial`](operator::partial::Partial). At each step of a user window
//!   ([`pipeline::step`]) the distribution over users, the leaf cube and the worst served leave too. In a
//!   short window, users without a bad event are counted as their events come and go (`pipeline::tally`);
//!   only the others' rows are read.
//! - **Rollup** ([`pipeline::rollup`]) merges the partials of a boundary once all users tasks have
//!   closed it, lets every key take its step ([`operator::key_state`]) and encodes what leaves. A key
//!   belongs to one rollup task, which is the only writer of its output partition.
//! - **The worker** ([`worker`]) polls the log, feeds the tasks that Kafka's group protocol gave it, and
//!   commits outputs, blocks, partials, changelog and consumed offsets in one transaction. State goes to
//!   the changelog key group by key group and to a local [`Store`](state::Store) behind it; a task that
//!   is taken up is restored from there, and its stream is read again to the committed offset with all
//!   effects dropped.
//!
//! The same tasks run on Kafka (`run`) and on a log inside the process (`backtest`, `demo`, tests), there
//! without blocks and without a changelog ([`worker::direct`]).
//!
//! # Code map
//!
//! From the bottom up; a module imports only what stands above it in this list, and not all of that
//! (`tests/tidy.rs` holds the table).
//!
//! - [`model`]: the vocabulary: event time, outcomes, SLOs, keys, expressions, the records that leave.
//! - [`definition`]: OpenSLO documents and annotations become [`Slo`](model::slo::Slo) values; every
//!   mistake is named with its line and a remedy.
//! - [`codec`]: bytes become outcomes (JSON, Avro, access logs, mappings), and records become bytes.
//! - [`operator`]: the decisions and the figures: windows, rules, alerts, distributions, cohorts.
//! - [`state`]: rows of bytes under frozen keys, in memory or in RocksDB.
//! - [`pipeline`]: route, users and rollup, and what of them is checkpointed.
//! - [`log`]: the log as we need it; Kafka and the embedded one.
//! - [`config`]: typed settings, each with its origin.
//! - [`telemetry`]: log lines and metric names.
//! - [`http`]: health, metrics and the API, from what was committed.
//! - [`fault`]: the places where a harness may make the process die.
//! - [`traffic`]: seeded traffic with planted incidents; it knows nothing of what judges it.
//! - [`worker`]: the loop around the core: transactions, checkpoints, replay, idle partitions.
//! - [`command`]: the command line, one file a subcommand; assembles everything above.
//!
//! # Invariants
//!
//! 1. *An output is visible only together with the offsets that caused it.* [`log::Log::commit`] is the
//!    only way out, and takes both; readers of our topics read committed records.
//! 2. *The store never holds what is not committed.* Rows go to the changelog in a transaction, and to
//!    the store once it succeeded, with the mark that says what they are true of
//!    ([`pipeline::checkpoint`], [`worker`]).
//! 3. *What a task hears follows from what it heard before.* Blocks and partials say what they go on
//!    from ([`pipeline::turn`]); a record that is missing or comes again stops the worker, because every
//!    figure from then on would be wrong and nothing would show it.
//! 4. *No figure depends on a clock, on chance or on the order of a hash map.* `model`, `definition`,
//!    `codec`, `operator` and `pipeline` are functions of their input; the worker is told the time, that of
//!    the day and that which measures ([`model::time::Now`]). `clippy.toml` forbids the calls, and the
//!    modules of the shell that make them say why.
//! 5. *No figure depends on the machine.* Sums are integers (micro-weights, [`operator::partial`]), so
//!    they are exact in any order; logarithms and the like come from the `libm` crate.
//! 6. *No data makes a task panic.* What cannot be an outcome is a dead letter; fields are bounded at
//!    the door ([`codec::FieldLimits`]), times lie within the years 2000 and 9999. A bug aborts the
//!    process with a message ([`telemetry::abort_on_panic`]) before it can commit.
//! 7. *Memory is bounded by configuration.* Rows above the limit live in the store alone
//!    (`pipeline::cold`); groups, leaves and cohorts have caps, and what is over goes to `__other__`.
//!    Attribute tuples go when no user has them. Not bounded yet: the names of tenants, each kept once
//!    while a task lives.
//! 8. *No data is neither ok nor bad, and resolves nothing.* Empty windows have null figures
//!    ([`operator::status`]); a rule resolves on evidence alone ([`operator::burn_rate`]).
//! 9. *One number, one code path.* Status and alerts read the same sums of a key; the API and the
//!    metrics show the bytes that were committed to the topics ([`http::Board`]).
//! 10. *No plain user id leaves unless somebody asked for it.* [`pipeline::pseudonym`] stands between
//!     every user and every output. A tenant's figures are made of its own events only.
//! 11. *A page needs evidence of more than one user*, unless there is only one; what the guards of
//!     [`operator::burn_rate`] hold back is always seen in the status.
//! 12. *An input is its topic's id, not its name.* Ids are noted with the offsets and watched while `run` works
//!     ([`log::TopicId`]); offsets of a topic that was made anew, and offsets that are gone while state is there,
//!     end it before anything is read.
//!
//! # Deliberately absent
//!
//! - No timers per user. Long windows have rare steps: one sequential pass over their rows is cheap enough.
//! - No locks and no sharing on the way of an event: a worker is one thread with its own log and state.
//! - No write-ahead log: the changelog is one. What a crash takes from the store is read again.
//! - No hand-over between tasks but through the log, and no decision that is not its owner's: whoever
//!   owns an input partition alone decides that it is passed over, by raising its watermark.
//! - No query language over state, no dashboards, no notifications: topics, an API and metrics are the
//!   interfaces, and others are better at the rest.
//! - No own mathematics where a library has it, unless that library asks the platform; then the source
//!   is cited and a library is the oracle of the tests.
//!
//! # From a figure to its source
//!
//! | figure | contract | computed in |
//! |---|---|---|
//! | dead letters, weights | 1 | [`codec`] |
//! | good, bad, unclassified | 2 | [`operator::classify`], [`model::expr`] |
//! | keys and groups | 2 | [`model::key`], [`pipeline::close`] |
//! | boundaries, late events, idle partitions | 3 | [`model::time`], [`operator::watermark`], [`pipeline::intake`], [`worker`] |
//! | windows, `sli`, `burn`, `coverage` | 4 | [`operator::window`], [`operator::status`] |
//! | `state`, `flags`, when a status is due | 5 | [`operator::status`], [`operator::key_state`] |
//! | rules, guards, `held_back_by` | 6 | [`operator::burn_rate`], [`operator::significance`] |
//! | alerts, `affected_users`, exemplars | 6 | [`operator::alert`] |
//! | `users[]`, quantiles, `below_expected` | 7 | [`operator::user_row`], [`operator::distribution`] |
//! | cohorts | 7 | [`operator::cohort`], [`operator::cohort_episode`] |
//! | worst users | 7 | [`pipeline::step`], [`pipeline::rollup`] |
//! | `latency_ms` | 8 | [`operator::sketch`] |
//! | records, topics, order | 8 | [`model::output`], [`model::record`], [`pipeline::rollup`] |
//!
//! `tests/oracle` computes them once more, by brute force from the contract alone, and compares.

pub mod codec;
pub mod command;
pub mod config;
pub mod definition;
pub mod fault;
pub mod http;
pub mod log;
pub mod model;
pub mod operator;
pub mod pipeline;
pub mod state;
pub mod telemetry;
pub mod traffic;
pub mod worker;
