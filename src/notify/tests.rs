//! The core as its shell sees it: events and times in, requests out.

mod decisions;
mod properties;
mod requests;
mod restarts;
mod story;

pub use story::{Story, alert, plan};
