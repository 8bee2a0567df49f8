//! Notices: warnings about an input, with advice, shown after the counts of a summary.
//!
//! A count says what happened; a notice says what it means and what to do. `backtest` prints notices at the end of its
//! summary, in the order of the list below.
//!
//! # How to add one
//!
//! 1. Write `fn name(facts: &Facts<'_>) -> Vec<String>` in a file of its own under `src/command/notices/`. It reads
//!    [`Facts`] and returns one text for each finding, none if all is well. It does no IO and keeps no state.
//! 2. Add it to [`ALL`].
//! 3. Test it there with facts that must bring the notice, and with facts that must not.
//!
//! A text is one or two plain sentences: what was seen, with figures and names, then the remedy (a setting,
//! a filter, a command). It begins with a capital letter and ends with a full stop; the printer wraps it.
//!
//! If a notice needs a new count, add it where the records pass (statistics of [`Route`], or of [`UsersTask`]). Keep it
//! cheap and bounded: this is the hot path.

mod clients;
mod delays;
mod failing;
mod files;
mod guard;
mod late;
mod nothing;
mod sanity;
mod slos;
mod unread;

pub(super) use self::clients::told as of_clients;
pub(super) use self::sanity::first_chunk;
pub(super) use self::sanity::words as of_defect;

use crate::codec::files::FileNotes;
use crate::config::{InputFormat, Settings};
use crate::model::slo::Slo;
use crate::operator::sanity::Hours;
use crate::pipeline::clients::Clients;
use crate::pipeline::input_stats::Counted;
use crate::pipeline::route::Route;
use crate::pipeline::seen::Seen;
use crate::pipeline::users::UsersTask;
use std::collections::BTreeMap;

/// The facts about an input that has been read.
pub struct Facts<'a> {
    pub settings: &'a Settings,
    pub format: InputFormat,
    /// The inputs by partition, with their names on the command line.
    pub inputs: &'a [String],
    /// What the readers noted about the files.
    pub files: &'a [FileNotes],
    pub slos: &'a [Slo],
    /// Counts of the records on the way in.
    pub route: &'a Route,
    /// Counts of the outcomes.
    pub users: &'a UsersTask,
    /// The outcomes' names and values, and fields that SLOs missed.
    pub seen: &'a Seen,
    /// By SLO, the hours that tell its burn.
    pub hours: &'a BTreeMap<String, Hours>,
    /// Who sent them; for access logs only.
    pub clients: Option<&'a Clients>,
}

impl Facts<'_> {
    /// An input partition as the command line named it.
    fn input(&self, source: u32) -> &str {
        match self.inputs.get(source as usize).map_or("?", String::as_str) {
            "-" => "standard input",
            name => name,
        }
    }

    fn counted(&self) -> Counted {
        counted(self.format)
    }
}

/// How to find a record of a file in this format again.
pub(super) fn counted(format: InputFormat) -> Counted {
    if format == InputFormat::Avro { Counted::Records } else { Counted::Lines }
}

/// The place of a record, for people.
fn place(facts: &Facts<'_>, source: u32, offset: i64) -> String {
    format!("{} of {}", facts.counted().place(offset), facts.input(source))
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

type Notice = fn(&Facts<'_>) -> Vec<String>;

/// All notices, in their order of printing.
const ALL: &[Notice] = &[
    unread::notices,
    files::notices,
    nothing::notices,
    late::notices,
    delays::notices,
    slos::notices,
    failing::notices,
    sanity::notices,
    clients::notices,
];

/// The notices about an input.
pub fn about(facts: &Facts<'_>) -> Vec<String> {
    ALL.iter().flat_map(|notice| notice(facts)).collect()
}
