//! Notices: what a person must hear about an input, behind the counts of a summary.
//!
//! A count says what happened; a notice says what it means and what to do. `backtest` prints them at the
//! end of its summary, in the order of the list below.
//!
//! # How to add one
//!
//! 1. Write `fn name(facts: &Facts<'_>) -> Vec<String>` in a file of its own under `src/command/notices/`.
//!    It reads [`Facts`] and returns one text for each thing to be said, none where all is well. It does
//!    no IO and keeps nothing.
//! 2. Add it to [`ALL`].
//! 3. Test it there with facts that must bring the notice, and with facts that must not.
//!
//! A text is one or two plain sentences: what was seen, with figures and names, then the remedy (a setting,
//! a filter, a command). It begins with a capital letter and ends with a full stop; the printer wraps it.
//!
//! What a notice needs to know and nobody counts yet is counted where the records pass (statistics of
//! [`Route`], or of [`UsersTask`]), cheaply and within bounds: this is the hot path.

mod clients;
mod delays;
mod failing;
mod files;
mod late;
mod nothing;
mod slos;
mod unread;

pub(super) use self::clients::told as of_clients;

use crate::codec::files::FileNotes;
use crate::config::{InputFormat, Settings};
use crate::model::slo::Slo;
use crate::pipeline::clients::Clients;
use crate::pipeline::input_stats::Counted;
use crate::pipeline::route::Route;
use crate::pipeline::seen::Seen;
use crate::pipeline::users::UsersTask;

/// What is known of an input once it was read.
pub struct Facts<'a> {
    pub settings: &'a Settings,
    pub format: InputFormat,
    /// What was read, by input partition, as the command line named it.
    pub inputs: &'a [String],
    /// What was noted of the files while they were read.
    pub files: &'a [FileNotes],
    pub slos: &'a [Slo],
    /// What became of the records on the way in.
    pub route: &'a Route,
    /// What became of the outcomes.
    pub users: &'a UsersTask,
    /// What the outcomes look like: names, values, and what SLOs missed in them.
    pub seen: &'a Seen,
    /// Who sent them; of access logs alone.
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

/// How records of files in this format are found again.
pub(super) fn counted(format: InputFormat) -> Counted {
    if format == InputFormat::Avro { Counted::Records } else { Counted::Lines }
}

/// Where a record stands, for people.
fn place(facts: &Facts<'_>, source: u32, offset: i64) -> String {
    format!("{} of {}", facts.counted().place(offset), facts.input(source))
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

type Notice = fn(&Facts<'_>) -> Vec<String>;

/// All of them, in the order in which they are said.
const ALL: &[Notice] = &[
    unread::notices,
    files::notices,
    nothing::notices,
    late::notices,
    delays::notices,
    slos::notices,
    failing::notices,
    clients::notices,
];

/// What is to be said of an input.
pub fn about(facts: &Facts<'_>) -> Vec<String> {
    ALL.iter().flat_map(|notice| notice(facts)).collect()
}
