//! JSON lines as `backtest` writes them. Blank lines count and are skipped.

use super::printer::{Found, Place, Printer};
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// Hands each line of a file (`-`: of standard input) to the printer.
pub fn read(path: &Path, printer: &mut Printer<impl Write, impl Write>) -> anyhow::Result<()> {
    let name = path.display().to_string();
    if name == "-" {
        return read_lines(std::io::stdin().lock(), "-", printer);
    }
    let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
    read_lines(BufReader::with_capacity(1 << 18, file), &name, printer)
}

fn read_lines(
    mut input: impl BufRead,
    name: &str,
    printer: &mut Printer<impl Write, impl Write>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.read_until(b'\n', &mut line).with_context(|| format!("{name}:{number}"))? == 0 {
            break;
        }
        let value = line.trim_ascii();
        if value.is_empty() {
            continue;
        }
        let place = Place::Line { file: name.to_owned(), number };
        if printer.take(&Found { place, key: None, value: Some(value), headers: Vec::new() })?.is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::printer::tests::{args, ran};
    use super::*;

    #[test]
    fn reads_lines_skips_blank_ones_and_names_the_line_that_is_broken() {
        let input = b"{\"slo\":\"a\"}\n\n  \n{broken\r\n{\"slo\":\"b\"}";
        let (out, messages, undecodable) =
            ran(args("slo-status", &[]), |printer| read_lines(&input[..], "f.jsonl", printer));
        assert_eq!(out, "{\"slo\":\"a\"}\n{\"slo\":\"b\"}\n");
        assert!(messages.starts_with("tap: slo-status at f.jsonl:4: no decoder reads this value"), "{messages}");
        assert_eq!((messages.lines().count(), undecodable), (1, 1));
    }

    #[test]
    fn stops_at_the_limit() {
        let input = b"{\"slo\":\"a\"}\n{\"slo\":\"b\"}\n{\"slo\":\"c\"}\n";
        let (out, ..) = ran(args("slo-status", &["--limit", "2"]), |printer| read_lines(&input[..], "-", printer));
        assert_eq!(out, "{\"slo\":\"a\"}\n{\"slo\":\"b\"}\n");
        let (out, ..) = ran(args("slo-status", &["--limit", "0"]), |printer| read_lines(&input[..], "-", printer));
        assert_eq!(out, "");
    }
}
