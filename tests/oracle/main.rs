//! A brute force of the contract, written only from its text: it shares no code with the product.
//!
//! It reads the same files as `tailburn backtest`, computes statuses, alerts and dead letters figure by figure, and
//! compares them with what the program writes. It does not model the estimate, cohorts, exemplars,
//! forecasts, the budget spent since an alert started, names and texts, definition hashes, size limits, de-duplication or
//! Wilson's bound; these are not compared.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]
#![expect(clippy::disallowed_methods, reason = "what to run and to rewrite is chosen by environment variables")]

mod agreement;
mod alerts;
mod amended;
mod attempts;
mod budget;
mod budget_days;
mod by_hand;
mod calendar;
mod canary;
mod canary_days;
mod chance;
mod compare;
mod composites;
mod coverage;
mod dispersion;
mod failures;
mod filter;
mod gauge;
mod gauges;
mod golden;
mod input;
mod journeys;
mod latency;
mod metamorphic;
mod parts;
mod people;
mod promises;
mod ratio;
mod replay;
mod slices;
mod slo;
mod status;
mod sweep;
mod time;
mod traffic;
mod units;
mod users;
mod windows;
