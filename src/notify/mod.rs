//! Tells people and programs of alerts: Alertmanager, PagerDuty, chats and webhooks.
//!
//! [`Core`] decides and does no IO: it is told what was published, what was answered and what time it is, and returns what
//! to send. It holds what fires, groups it, holds back what is silenced or inhibited, tries again, and says up to which
//! offset everything has been told. Nothing is told twice without need, and nothing is lost: a record's offset is passed
//! only when everybody who had to hear of it has, or when it was decided (and said) that nobody will.
//!
//! ```text
//! record ──► news ──► routes ──► group of a receiver ──► message ──► sink: a request ──► answer
//!            (news)   (plan)     (grouped, steady)                  (sink)             back to the core
//! ```
//!
//! [`sink`] turns a message into one HTTP request, and [`deliver`] sends it. The core knows nothing of either.

mod backoff;
mod change;
mod core;
pub mod deliver;
mod field;
mod grouped;
mod items;
mod ledger;
mod matcher;
mod message;
mod news;
mod plan;
mod receiver;
mod silence;
pub mod sink;
mod steady;
mod template;
mod words;

pub use self::core::{Action, Core, Event, Outcome};
pub use ledger::{Position, Resume, Source};
pub use matcher::{Matcher, MatcherError};
pub use message::{Change, Content, Message, Standing, StandingAlert, What};
pub use news::{Kind, News, Phase, Severity, Unreadable};
pub use plan::{Plan, PlanError, Route};
pub use receiver::{Cap, Channel, Receiver, Secrets};
pub use silence::{Silence, SilenceError};
pub use words::Notice;

#[cfg(test)]
mod tests;
