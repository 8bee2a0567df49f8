//! Access logs from the user's view: what the summary of a backtest and `check` say about them.

use crate::program::Program;

/// All requests of clients count.
const SLO: &str = "\
apiVersion: openslo/v1
kind: SLO
metadata: {name: web}
spec:
  service: web
  indicator:
    metadata: {name: web}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: \"status < 500\"}}}
        total: {metricSource: {type: tailburn, spec: {filter: \"TOTAL\"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
";

/// A line with a time this many seconds after 10:00.
fn line(seconds: u32, client: &str, status: &str) -> String {
    let (hours, minutes, seconds) = (10 + seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!(
        "{client} - - [27/Nov/2026:{hours}:{minutes:02}:{seconds:02} +0000] \"GET /a HTTP/1.1\" {status} 5 \"-\" \"x\""
    )
}

fn program(total: &str, log: &[String]) -> Program {
    let log = log.join("\n") + "\n";
    Program::new().with_file("slo.yaml", &SLO.replace("TOTAL", total)).with_file("access.log", &log)
}

/// The summary of a backtest, its lines joined.
fn summary(program: &Program, more: &[&str]) -> String {
    let format: &[&str] = if more.contains(&"--format") { &[] } else { &["--format", "clf"] };
    let args = ["backtest", "--slos", "slo.yaml", "--input", "access.log", "--out", "out"];
    let more = [format, more].concat();
    let ran = program.run(&[&args[..], &more[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Distinct clients, so that none of them looks like a proxy.
fn clients(events: u32) -> Vec<String> {
    (0..events).map(|i| line(i * 2, &format!("192.0.2.{}", i % 200), "200")).collect()
}

#[test]
fn no_status_is_told_of() {
    let mut log = clients(100);
    for (i, status) in (100..).zip(["-1", "0", "None"]) {
        log.push(line(i * 2, "192.0.2.7", status));
    }
    let said = summary(&program("true", &log), &[]);
    assert!(said.contains("`status` could not be read in 3 records"), "{said}");
    assert!(said.contains("\"-1\", which no server sends: there was no answer"), "{said}");
    assert!(said.contains("3 of 103 events (2.9 %) are unclassified"), "{said}");
    assert!(!summary(&program("true", &clients(100)), &[]).contains("could not be read"));
}

#[test]
fn a_proxy_and_nobody_are_told_of_by_backtest_and_check() {
    let direct = clients(20);
    assert!(!summary(&program("true", &direct), &[]).contains("proxy"));
    for (client, said) in [
        ("10.0.0.1:47256", "The client 10.0.0.1 sent at least 30 of 50 events (60.0 %): it looks like a proxy"),
        ("unix:", "30 of 50 events (60.0 %) name no client"),
    ] {
        let proxied = (20..50).map(|i| line(i * 2, client, "200"));
        let program = program("true", &direct.iter().cloned().chain(proxied).collect::<Vec<_>>());
        let summary = summary(&program, &[]);
        assert!(summary.contains(said), "{summary}");
        let args = ["check", "--slos", "slo.yaml", "--input", "access.log", "--format", "clf", "--limit", "100"];
        let check = program.run(&args).stdout;
        let check = check.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(check.contains(said), "{check}");
    }
}

/// Apache, HAProxy, Varnish and others: the line of a request that timed out has the time of its start.
#[test]
fn failures_that_alone_come_late_are_told_of_until_their_latency_is_added() {
    let log: Vec<String> = (0..600)
        .map(|i| match i % 100 {
            99 => line(i * 2 - 100, "192.0.2.250", "504") + " 100.000",
            _ => line(i * 2, &format!("192.0.2.{}", i % 200), "200") + " 0.010",
        })
        .collect();
    let program = program("true", &log);
    let said = summary(&program, &[]);
    assert!(
        said.contains("Failures come late: 6 of 6 bad events (100.0 %) came 16 s or more after their time"),
        "{said}"
    );
    assert!(said.contains("`input.timestamp_is: start`"), "{said}");
    let added = summary(&program, &["--set", "input.timestamp_is=start"]);
    assert!(!added.contains("Failures come late"), "{added}");
    assert!(!added.contains("came late"), "{added}");
}

#[test]
fn the_shapes_of_lines_that_do_not_fit_are_told_of() {
    let mut log = clients(10);
    log.extend((0..3).map(|i| line(i, "www.example.com:443 192.0.2.9", "500")));
    log.extend((0..2).map(|i| line(i, "192.0.2.9, 198.51.100.7", "500")));
    log.push("Jan 11 00:00:00 web1 nginx: ".to_owned() + &line(0, "192.0.2.9", "500"));
    let said = summary(&program("true", &log), &[]);
    assert!(said.contains("6 dead letters with the reason `not_decodable`"), "{said}");
    for shape in [
        "3 of the dead letters look like a line with a virtual host in front (vhost_combined)",
        "2 of the dead letters look like a line that begins with several addresses (X-Forwarded-For)",
        "1 of the dead letters looks like a line with a syslog prefix",
    ] {
        assert!(said.contains(shape), "{said}");
    }
}

#[test]
fn a_virtual_host_in_front_is_read_where_the_shape_is_set() {
    let log: Vec<String> = (0..40).map(|i| line(i, &format!("www.example.com:443 192.0.2.{i}"), "200")).collect();
    let program = program("attributes.vhost == 'www.example.com'", &log);
    let said = summary(&program, &["--set", "input.clf_shape=vhost_combined"]);
    assert!(said.contains("40 good") && !said.contains("dead letters"), "{said}");
}

/// A user agent that is only logged for answered requests, not for failures.
#[test]
fn failures_that_alone_are_unclassified_are_told_of_with_a_guarded_filter() {
    let event = |i: u32, more: &str| {
        let at_ms = 1_780_000_000_000u64 + u64::from(i) * 2_000;
        format!("{{\"tenant\":\"a\",\"user\":\"u{}\",\"timestamp\":{at_ms}{more}}}", i % 50)
    };
    let log: Vec<String> = (0..300)
        .map(|i| match i % 30 {
            29 => event(i, ",\"status\":500"),
            _ => event(i, ",\"status\":200,\"attributes\":{\"agent\":\"x\"}"),
        })
        .collect();
    let total = "!attributes.agent.startsWith('probe')";
    let said = summary(&program(total, &log), &["--format", "jsonl"]);
    assert!(said.contains("SLO `web` misses failures: 10 of 10 events that failed"), "{said}");
    assert!(said.contains("(100.0 %), of the others 0.0 %"), "{said}");
    assert!(!said.contains("are unclassified, neither good nor bad"), "said once: {said}");
    assert!(said.contains("reads `attributes.agent`, which they do not have"), "{said}");
    assert!(said.contains("`!has(attributes.agent) || !attributes['agent'].startsWith('probe')`"), "{said}");
    let guarded = format!("!has(attributes.agent) || {total}");
    assert!(!summary(&program(&guarded, &log), &["--format", "jsonl"]).contains("misses failures"));
}
