//! `explain`: which combinations of column values the bad events of a table have in common.

mod table;

use super::{Exit, Failure, Global, Outcome, Printer};
use crate::operator::cohort::scan::history::{Past, expected};
use crate::operator::cohort::scan::{Cause, Leaf, Scanned, scan};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use table::{Row, Table};

/// Find what the bad events of a table have in common
///
/// It compares all combinations of up to three column values, and prints those in which bad events are over-represented,
/// one JSON object a line, best first. Nothing found is no line.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  tailburn explain --input now.csv --value failed --total requests
  tailburn explain --input now.csv --history last-week.csv --value failed --total requests | jq .cohort
  zcat now.csv.gz | tailburn explain --input - --value failed --total requests

A table is CSV with a head: the columns of --value and --total, all others are attributes.
  region,release,failed,requests
  eu,1.4,31,900
  us,1.4,2,1100
With --history, each combination is compared with its own past instead of with the rest of the table.")]
pub struct ExplainArgs {
    /// The table: CSV (- is standard input)
    #[arg(long, value_name = "FILE|-")]
    pub input: PathBuf,

    /// A table with the same columns about an earlier time in which all was well
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,

    /// The column with the number of bad events
    #[arg(long, value_name = "COLUMN")]
    pub value: String,

    /// The column with the number of all events
    #[arg(long, value_name = "COLUMN")]
    pub total: String,
}

pub fn run(global: &Global, args: &ExplainArgs) -> Outcome {
    let table = Table::read(&args.input, &args.value, &args.total)?;
    let history = args.history.as_ref().map(|path| Table::read(path, &args.value, &args.total)).transpose()?;
    if let Some(history) = history.as_ref().filter(|history| history.attributes != table.attributes) {
        return Err(Failure::Usage(format!(
            "--history: its attributes are {}, those of --input are {}; both need the same columns",
            history.attributes.join(", "),
            table.attributes.join(", ")
        )));
    }
    let (leaves, history_times) = leaves(&table, history.as_ref());
    let scanned = scan(&leaves, history_times, None);
    let mut out = Printer::stdout();
    for (index, cause) in scanned.causes.iter().enumerate() {
        out.line(&line(index + 1, cause, &table).to_string())?;
    }
    out.flush()?;
    global.voice().say(&summary(&table, &scanned));
    Ok(Exit::Done.into())
}

/// The rows with what each lets expect, and how much longer the history is than the table.
fn leaves<'a>(table: &'a Table, history: Option<&Table>) -> (Vec<Leaf<'a>>, f64) {
    let Some(history) = history else {
        // Everybody is expected to fail alike.
        let leaf = |row: &'a Row| Leaf { attributes: named(table, row), bad: row.bad, expected: row.total };
        return (table.rows.iter().map(leaf).collect(), f64::INFINITY);
    };
    let past: BTreeMap<&[String], &Row> = history.rows.iter().map(|row| (row.values.as_slice(), row)).collect();
    let of_row = |row: &'a Row| {
        let (bad_history, n_history) =
            past.get(row.values.as_slice()).map_or((0.0, 0.0), |past| (past.bad, past.total));
        Past { attributes: named(table, row), n: row.total, bad_history, n_history }
    };
    let past: Vec<Past<'a>> = table.rows.iter().map(of_row).collect();
    let expected = expected(&past);
    let leaf =
        |((past, row), expected): ((Past<'a>, &Row), f64)| Leaf { attributes: past.attributes, bad: row.bad, expected };
    let leaves = past.into_iter().zip(&table.rows).zip(expected).map(leaf).collect();
    (leaves, history.sums().1 / table.sums().1.max(1.0))
}

/// The attributes of a row; an empty cell is none.
fn named<'a>(table: &'a Table, row: &'a Row) -> Vec<(&'a str, &'a str)> {
    let named = table.attributes.iter().zip(&row.values).filter(|(_, value)| !value.is_empty());
    named.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn line(rank: usize, cause: &Cause, table: &Table) -> serde_json::Value {
    let covers = |row: &&Row| {
        let has = |(name, value): &(String, String)| {
            table.attributes.iter().zip(&row.values).any(|(n, v)| n == name && v == value)
        };
        cause.attributes.iter().all(has)
    };
    let total: f64 = table.rows.iter().filter(covers).map(|row| row.total).sum();
    let pair = |(attribute, value): &(String, String)| json!({"attribute": attribute, "value": value});
    json!({
        "rank": rank,
        "cohort": cause.attributes.iter().map(pair).collect::<Vec<_>>(),
        "bad": cause.bad,
        "total": total,
        "expected": cause.expected,
        "excess_share": cause.excess_share,
        "risk_ratio": cause.risk.ratio,
        "risk_ratio_low": cause.risk.low,
        "risk_ratio_high": cause.risk.high,
        "log_likelihood_ratio": cause.log_likelihood_ratio,
        "p_adjusted": cause.p_adjusted,
    })
}

fn summary(table: &Table, scanned: &Scanned) -> String {
    let (bad, total) = table.sums();
    let found = match scanned.causes.len() {
        0 => "nothing stands out".to_owned(),
        1 => "1 combination stands out".to_owned(),
        n => format!("{n} combinations stand out"),
    };
    let left_out = if scanned.left_out.is_empty() {
        String::new()
    } else {
        // One value, or so many that they identify a single event.
        format!("; not looked at: {} (one value, or more than 256)", scanned.left_out.join(", "))
    };
    format!(
        "{} rows, {bad} of {total} events bad, {} combinations compared: {found}{left_out}",
        table.rows.len(),
        scanned.combinations
    )
}
