//! A table of counts: CSV as in RFC 4180, with a head.

use crate::command::Failure;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// Rows with the same values are one row.
pub struct Table {
    /// The columns that are no counts, in the table's order.
    pub attributes: Vec<String>,
    /// Ascending by values.
    pub rows: Vec<Row>,
}

pub struct Row {
    pub values: Vec<String>,
    pub bad: f64,
    pub total: f64,
}

impl Table {
    pub fn read(path: &Path, bad: &str, total: &str) -> Result<Table, Failure> {
        let is_stdin = path.as_os_str() == "-";
        let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
        let mut bytes = Vec::new();
        let read = match is_stdin {
            true => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
            false => std::fs::read(path).map(|read| bytes = read),
        };
        read.map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
        Table::parse(&String::from_utf8_lossy(&bytes), bad, total).map_err(|e| Failure::Usage(format!("{name}: {e}")))
    }

    /// An error says where and what to do.
    fn parse(text: &str, bad: &str, total: &str) -> Result<Table, String> {
        let mut lines = records(text.strip_prefix('\u{feff}').unwrap_or(text)).into_iter();
        let (_, head) = lines.next().ok_or("the table is empty; it needs a head that names its columns")?;
        let column = |name: &str, option: &str| {
            let at = head.iter().position(|known| known == name);
            at.ok_or_else(|| format!("there is no column `{name}` ({option}); the columns are {}", head.join(", ")))
        };
        let (bad_at, total_at) = (column(bad, "--value")?, column(total, "--total")?);
        let is_attribute = |at: &usize| *at != bad_at && *at != total_at;
        let mut rows: BTreeMap<Vec<String>, (f64, f64)> = BTreeMap::new();
        for (line, cells) in lines {
            if cells.len() != head.len() {
                return Err(format!("line {line} has {} cells, the head has {}", cells.len(), head.len()));
            }
            let count = |at: usize| {
                let value = cells[at].trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
                value.ok_or_else(|| format!("line {line}: `{}` in `{}` is not a count", cells[at], head[at]))
            };
            let (bad, total) = (count(bad_at)?, count(total_at)?);
            if bad > total {
                return Err(format!("line {line}: {bad} of {total} events are bad; are --value and --total swapped?"));
            }
            let values = (0..head.len()).filter(is_attribute).map(|at| cells[at].clone()).collect();
            let sums = rows.entry(values).or_default();
            *sums = (sums.0 + bad, sums.1 + total);
        }
        let rows = rows.into_iter().map(|(values, (bad, total))| Row { values, bad, total }).collect();
        let attributes = (0..head.len()).filter(is_attribute).map(|at| head[at].clone()).collect();
        Ok(Table { attributes, rows })
    }

    /// Bad events and all events.
    pub fn sums(&self) -> (f64, f64) {
        self.rows.iter().fold((0.0, 0.0), |(bad, total), row| (bad + row.bad, total + row.total))
    }
}

/// The records with the lines on which they begin, from 1; blank lines are skipped.
fn records(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut records = Vec::new();
    let (mut record, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let (mut line, mut begun) = (1, 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if is_quoted => is_quoted = false,
            _ if is_quoted => cell.push(c),
            '"' if cell.is_empty() => is_quoted = true,
            ',' => record.push(std::mem::take(&mut cell)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                end_record(&mut records, &mut record, &mut cell, begun);
                begun = line;
            }
            _ => cell.push(c),
        }
    }
    end_record(&mut records, &mut record, &mut cell, begun);
    records
}

fn end_record(records: &mut Vec<(usize, Vec<String>)>, record: &mut Vec<String>, cell: &mut String, begun: usize) {
    if !record.is_empty() || !cell.is_empty() {
        record.push(std::mem::take(cell));
        records.push((begun, std::mem::take(record)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Table, String> {
        Table::parse(text, "bad", "n")
    }

    #[test]
    fn columns_that_are_no_counts_are_attributes_and_equal_rows_are_one() {
        let table =
            parse("\u{feff}region,bad,release,n\r\neu,1,\"1,4\"\"x\",10\r\n\r\neu,2,\"1,4\"\"x\",20\r\nus,0,,5")
                .expect("a table");
        assert_eq!(table.attributes, ["region", "release"]);
        let rows: Vec<_> = table.rows.iter().map(|r| (r.values.join("|"), r.bad, r.total)).collect();
        assert_eq!(rows, [("eu|1,4\"x".to_owned(), 3.0, 30.0), ("us|".to_owned(), 0.0, 5.0)]);
        assert_eq!(table.sums(), (3.0, 35.0));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = |text: &str| parse(text).err().unwrap_or_default();
        assert!(error("").contains("a head"));
        assert!(error("a,n\n").contains("no column `bad` (--value); the columns are a, n"), "{}", error("a,n\n"));
        assert!(error("a,bad,n\n\"x\ny\",1,2\nz,1\n").contains("line 4 has 2 cells, the head has 3"));
        assert!(error("a,bad,n\nx,one,2\n").contains("line 2: `one` in `bad` is not a count"));
        assert!(error("a,bad,n\nx,1,2\ny,-1,2\n").contains("line 3"));
        assert!(error("a,bad,n\nx,3,2\n").contains("swapped"));
    }
}
