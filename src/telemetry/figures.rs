//! The SLO metrics, computed for each scrape and each query from the last committed records.
//!
//! They are not gauges of the recorder, because a gauge keeps its last value for ever. Here a null figure, or a removed
//! key, has no sample.

use super::names;
use super::samples::Families;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fields of a status that metrics show.
#[derive(Deserialize)]
struct Status {
    slo: String,
    at: String,
    state: String,
    #[serde(default)]
    flags: Vec<String>,
    objective: f64,
    compliance_window: String,
    budget_remaining: Option<f64>,
    #[serde(default)]
    windows: Vec<Window>,
    #[serde(default)]
    users: Vec<Users>,
}

#[derive(Deserialize)]
struct Window {
    window: String,
    sli: Option<f64>,
    burn: Option<f64>,
    coverage: Option<f64>,
}

#[derive(Deserialize)]
struct Users {
    below_objective: Option<f64>,
}

#[derive(Deserialize)]
struct Alert {
    slo: String,
    severity: String,
}

/// What a canary's verdict says.
#[derive(Deserialize)]
struct Canary {
    slo: String,
    tenant: Option<String>,
    candidate: String,
    verdict: String,
    at: String,
    requests_candidate: Option<f64>,
    sli_candidate: Option<f64>,
    burn_candidate: Option<f64>,
}

const STATES: [&str; 4] = ["ok", "at_risk", "breached", "no_data"];
const SEVERITIES: [&str; 3] = ["page", "ticket", "info"];
const VERDICTS: [&str; 3] = ["pass", "fail", "inconclusive"];
/// Limits with the flag of a status that says that they are reached.
const LIMITS: [(&str, &str); 3] =
    [("groups", "groups_overflow"), ("tenants", "tenants_overflow"), ("canary_candidates", "canary_overflow")];

/// The last committed records.
pub struct Committed<'a> {
    /// The statuses of the aggregate keys, as JSON.
    pub aggregates: &'a [&'a [u8]],
    /// The firing alerts, as JSON.
    pub firing: &'a [&'a [u8]],
    /// Keys with a status, by SLO.
    pub keys: &'a BTreeMap<String, usize>,
    /// The latest verdicts on candidates, as JSON.
    pub canaries: &'a [&'a [u8]],
}

/// The SLO metrics. Unreadable records are left out, but we write none.
pub fn figures(committed: &Committed<'_>) -> Families {
    let mut families = Families::default();
    let mut firing: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut latest: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for status in committed.aggregates.iter().filter_map(|json| serde_json::from_slice::<Status>(json).ok()) {
        put_status(&mut families, &status);
        for severity in SEVERITIES {
            firing.insert((status.slo.clone(), severity.to_owned()), 0.0);
        }
        latest.insert(status.slo, seconds(&status.at));
    }
    for Alert { slo, severity } in committed.firing.iter().filter_map(|json| serde_json::from_slice(json).ok()) {
        *firing.entry((slo, severity)).or_default() += 1.0;
    }
    for ((slo, severity), count) in &firing {
        families.at(latest.get(slo).copied().flatten());
        families.put(names::ALERTS_FIRING, &[slo, severity], Some(*count));
    }
    for (slo, count) in committed.keys {
        families.at(latest.get(slo).copied().flatten());
        families.put(names::KEYS, &[slo], Some(*count as f64));
    }
    for canary in committed.canaries.iter().filter_map(|json| serde_json::from_slice::<Canary>(json).ok()) {
        // A tenant's figures are for holders of its token.
        if canary.tenant.is_none() {
            put_canary(&mut families, &canary);
        }
    }
    families
}

fn put_status(families: &mut Families, status: &Status) {
    let slo = status.slo.as_str();
    let compliance = status.windows.iter().find(|w| w.window == status.compliance_window);
    families.at(seconds(&status.at));
    families.put(names::OBJECTIVE, &[slo], Some(status.objective));
    families.put(names::SLI, &[slo], compliance.and_then(|w| w.sli));
    families.put(names::BUDGET_REMAINING, &[slo], status.budget_remaining);
    families.put(names::USERS_BELOW_OBJECTIVE, &[slo], status.users.last().and_then(|u| u.below_objective));
    families.put(names::STATUS_TIMESTAMP, &[slo], seconds(&status.at));
    for state in STATES {
        families.put(names::STATE, &[slo, state], Some(one_if(status.state == state)));
    }
    for (limit, flag) in LIMITS {
        families.put(names::OVERFLOW, &[slo, limit], Some(one_if(status.flags.iter().any(|set| set == flag))));
    }
    for window in &status.windows {
        let labels = [slo, window.window.as_str()];
        families.put(names::BURN_RATE, &labels, window.burn);
        families.put(names::COVERAGE, &labels, window.coverage);
    }
}

fn put_canary(families: &mut Families, canary: &Canary) {
    let labels = [canary.slo.as_str(), canary.candidate.as_str()];
    families.at(seconds(&canary.at));
    families.put(names::CANARY_REQUESTS, &labels, canary.requests_candidate);
    families.put(names::CANARY_SLI, &labels, canary.sli_candidate);
    families.put(names::CANARY_BURN_RATE, &labels, canary.burn_candidate);
    for verdict in VERDICTS {
        let is_it = one_if(canary.verdict == verdict);
        families.put(names::CANARY_VERDICT, &[&canary.slo, &canary.candidate, verdict], Some(is_it));
    }
}

fn one_if(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn seconds(time: &str) -> Option<f64> {
    Some(time.parse::<jiff::Timestamp>().ok()?.as_millisecond() as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(slo: &str, state: &str, sli: Option<f64>, burn: Option<f64>) -> String {
        let window = |name: &str| json!({"window": name, "sli": sli, "burn": burn, "coverage": 0.5, "good": 1.0});
        json!({
            "slo": slo, "at": "2026-01-05T10:00:30.000Z", "state": state, "objective": 0.999,
            "compliance_window": "28d", "flags": ["groups_overflow"], "budget_remaining": sli, "users": [{"below_objective": 3}],
            "windows": [window("5m"), window("28d")],
        })
        .to_string()
    }

    fn text(aggregates: &[String], firing: &[String]) -> String {
        let bytes = |texts: &[String]| texts.iter().map(|t| t.clone().into_bytes()).collect::<Vec<_>>();
        let (aggregates, firing) = (bytes(aggregates), bytes(firing));
        let keys = BTreeMap::from([("a".to_owned(), 7)]);
        figures(&Committed {
            aggregates: &aggregates.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            firing: &firing.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            keys: &keys,
            canaries: &[],
        })
        .text()
    }

    #[test]
    fn every_figure_has_its_line_its_help_and_its_type() {
        let alert = |severity: &str| json!({"slo": "a", "severity": severity}).to_string();
        let text = text(&[status("a", "at_risk", Some(0.25), Some(750.0))], &[alert("page"), alert("page")]);
        for line in [
            "# HELP tailburn_slo_burn_rate The burn rate of the aggregate, by window.",
            "# TYPE tailburn_slo_burn_rate gauge",
            "tailburn_slo_burn_rate{slo=\"a\",window=\"5m\"} 750",
            "tailburn_slo_coverage_ratio{slo=\"a\",window=\"28d\"} 0.5",
            "tailburn_slo_sli_ratio{slo=\"a\"} 0.25",
            "tailburn_slo_budget_remaining_ratio{slo=\"a\"} 0.25",
            "tailburn_slo_objective_ratio{slo=\"a\"} 0.999",
            "tailburn_slo_state{slo=\"a\",state=\"at_risk\"} 1",
            "tailburn_slo_state{slo=\"a\",state=\"ok\"} 0",
            "tailburn_slo_status_timestamp_seconds{slo=\"a\"} 1767607230",
            "tailburn_slo_users_below_objective{slo=\"a\"} 3",
            "tailburn_slo_overflow{slo=\"a\",limit=\"groups\"} 1",
            "tailburn_slo_overflow{slo=\"a\",limit=\"tenants\"} 0",
            "tailburn_alerts_firing{slo=\"a\",severity=\"page\"} 2",
            "tailburn_alerts_firing{slo=\"a\",severity=\"ticket\"} 0",
            "tailburn_keys{slo=\"a\"} 7",
        ] {
            assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
        }
        assert_eq!(text.matches("# TYPE tailburn_slo_state gauge").count(), 1, "{text}");
    }

    #[test]
    fn a_figure_that_is_null_is_not_there_and_the_state_still_is() {
        let text = text(&[status("a", "no_data", None, None)], &[]);
        for gone in ["tailburn_slo_burn_rate", "tailburn_slo_sli_ratio", "tailburn_slo_budget_remaining_ratio"] {
            assert!(!text.contains(gone), "{gone} in\n{text}");
        }
        assert!(text.contains("tailburn_slo_state{slo=\"a\",state=\"no_data\"} 1"), "{text}");
        assert!(text.contains("tailburn_slo_coverage_ratio{slo=\"a\",window=\"5m\"} 0.5"), "{text}");
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        let text = text(&[status("a\"b\\c\nd", "ok", Some(1.0), Some(0.0))], &[]);
        assert!(text.contains(r#"tailburn_slo_sli_ratio{slo="a\"b\\c\nd"} 1"#), "{text}");
    }

    #[test]
    fn a_candidate_has_its_verdict_and_a_tenants_one_is_not_shown() {
        let verdict = |tenant: Option<&str>, verdict: &str| {
            json!({
                "slo": "a", "tenant": tenant, "candidate": "v2", "verdict": verdict, "at": "2026-01-05T10:01:00.000Z",
                "requests_candidate": 40, "sli_candidate": null, "burn_candidate": 2.5,
            })
            .to_string()
            .into_bytes()
        };
        let canaries = [verdict(None, "fail"), verdict(Some("acme"), "pass")];
        let canaries: Vec<&[u8]> = canaries.iter().map(Vec::as_slice).collect();
        let keys = BTreeMap::new();
        let text = figures(&Committed { aggregates: &[], firing: &[], keys: &keys, canaries: &canaries }).text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let expected = [
            r#"tailburn_canary_burn_rate{slo="a",candidate="v2"} 2.5"#,
            r#"tailburn_canary_requests{slo="a",candidate="v2"} 40"#,
            r#"tailburn_canary_verdict{slo="a",candidate="v2",verdict="pass"} 0"#,
            r#"tailburn_canary_verdict{slo="a",candidate="v2",verdict="fail"} 1"#,
            r#"tailburn_canary_verdict{slo="a",candidate="v2",verdict="inconclusive"} 0"#,
        ];
        assert_eq!(samples, expected);
    }
}
