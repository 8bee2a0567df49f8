//! The program from the view of people and scripts: exit codes, messages, output files.
#![expect(clippy::expect_used, reason = "a test that cannot go on has to fail")]

mod access_log;
mod applied;
mod backtest;
mod causes;
mod chaos;
mod check;
mod configuration;
mod definitions;
mod demo;
mod diff;
mod documents;
mod examples;
mod gate;
mod init;
mod inputs;
mod llm;
mod metrics;
mod notify;
mod program;
mod report;
mod requests;
mod serve;
mod suggest;
mod tails;
mod tap;
mod usage;
mod voice;
