//! JSON lines as `backtest` writes them. Blank lines count and are skipped.

use super::printer::{Found, Place, Printer};
use anyhow::Context as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// Passes each line of a file (`-`: of standard input) to the printer.
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
            printer.explain()?;
            if printer.records() == 0 {
                printer.tell(&format!("{name} holds no record"))?;
            }
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

    /// A line of slo-status, with the fields that `tap` reads.
    fn status(slo: &str) -> String {
        format!(r#"{{"slo":"{slo}","windows":[],"compliance_window":"28d"}}"#)
    }

    fn tapped(topic: &str, flags: &[&str], input: &str) -> (String, String, u64) {
        ran(args(topic, flags), |printer| read_lines(input.as_bytes(), "f.jsonl", printer))
    }

    #[test]
    fn reads_lines_skips_blank_ones_and_names_the_line_that_is_broken() {
        let input = format!("{}\n\n  \n{{broken\r\n{}", status("a"), status("b"));
        let (out, messages, undecodable) = tapped("slo-status", &[], &input);
        assert_eq!(out, format!("{}\n{}\n", status("a"), status("b")));
        assert!(messages.starts_with("tap: slo-status at f.jsonl:4: no decoder reads this value"), "{messages}");
        assert_eq!((messages.lines().count(), undecodable), (1, 1));
    }

    #[test]
    fn stops_at_the_limit() {
        let input = ["a", "b", "c"].map(status).join("\n");
        let (out, messages, _) = tapped("slo-status", &["--limit", "2"], &input);
        assert_eq!((out, messages.as_str()), (format!("{}\n{}\n", status("a"), status("b")), ""));
        assert_eq!(tapped("slo-status", &["--limit", "0"], &input).0, "");
    }

    #[test]
    fn where_nothing_passes_it_says_what_there_is() {
        let input = ["checkout", "search"].map(status).join("\n");
        for (flags, told) in [
            (
                &["--slo", "chekout"][..],
                "none of the 2 records passes: no slo `chekout`: there are checkout, search. Did you mean `checkout`?",
            ),
            (&["--slo", "search", "--tenant", "acme"], "no tenant `acme`: no record names one"),
            (&["--state", "ok"], "no state `ok`: no record names one"),
        ] {
            let (out, messages, _) = tapped("slo-status", flags, &input);
            assert!(out.is_empty() && messages.contains(told), "{flags:?}: {messages}");
        }
        let alerts = [("a", "firing"), ("b", "resolved")]
            .map(|(slo, state)| format!(r#"{{"slo":"{slo}","state":"{state}","dedup_key":"d","rules":[]}}"#));
        let (_, messages, _) = tapped("burn-alerts", &["--slo", "a", "--state", "resolved"], &alerts.join("\n"));
        assert!(messages.contains("none of the 2 records meets all conditions at once"), "{messages}");
        assert!(tapped("slo-status", &[], "\n\n").1.contains("f.jsonl holds no record"));
    }

    #[test]
    fn a_file_of_another_topic_is_an_error_that_names_it_and_a_foreign_one_is_told() {
        let mut printed = Vec::new();
        let topic = super::super::topic_of("burn-alerts", "").expect("a topic");
        let mut printer =
            Printer::new(topic, &args("burn-alerts", &[]), &mut printed, std::io::sink()).expect("schemas");
        let error = read_lines(status("a").as_bytes(), "f.jsonl", &mut printer).expect_err("the wrong file");
        assert!(format!("{error:#}").contains("`tailburn tap slo-status --file f.jsonl`"), "{error:#}");
        let foreign = "{\"tenant\":\"acme\",\"timestamp\":1}\n".repeat(3);
        let (out, messages, _) = tapped("slo-status", &[], &foreign);
        assert_eq!((out.lines().count(), messages.lines().count()), (3, 1), "{messages}");
        assert!(messages.contains("f.jsonl:1 lacks fields that records of slo-status have"), "{messages}");
    }
}
