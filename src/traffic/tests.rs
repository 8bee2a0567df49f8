//! Behaviour of the whole generator: determinism, truth, calibration.

use super::target::Target;
use super::*;
use crate::model::hex;
use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use sha2::{Digest, Sha256};

fn lines(settings: TrafficSettings) -> (Vec<u8>, Truth) {
    let mut traffic = Traffic::new(settings).expect("settings are sound");
    let mut bytes = Vec::new();
    while let Some(event) = traffic.next_event() {
        event.write_json(traffic.population(), &mut bytes);
        bytes.push(b'\n');
    }
    (bytes, traffic.truth())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}

fn dirty(seed: u64, events: u64) -> TrafficSettings {
    let mut settings = TrafficSettings::over(seed, DEFAULT_FROM_MS, 2 * DAY_MS, events);
    settings.users = 800;
    settings.partitions = 3;
    settings.blemishes = Blemishes { duplicates: 0.002, ..Blemishes::dirty() };
    settings.incidents = plan_incidents(&settings, DEFAULT_FROM_MS + 2 * DAY_MS).expect("settings are sound");
    settings
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let (first, truth) = lines(dirty(7, 8_000));
    let (second, truth_again) = lines(dirty(7, 8_000));
    assert_eq!(sha256(&first), sha256(&second));
    assert_eq!(truth, truth_again);
    assert_ne!(sha256(&first), sha256(&lines(dirty(8, 8_000)).0));
}

#[test]
fn the_bytes_are_those_of_every_other_machine() {
    // A new digest means that all seeded files change: only on purpose, and with a note in the release.
    let digest = sha256(&lines(dirty(1, 2_000)).0);
    assert_eq!(digest, "6ac92e78b1641cf90526a2017c0f49c56b40c8cf149ab9ad19add2cb9ff3a620");
}

#[test]
fn how_often_somebody_asks_changes_nothing() {
    let settings = demo_settings(3, DEFAULT_FROM_MS, HISTORY_MS, Story::HiddenCohort);
    let collect = |step_ms: Ms| {
        let mut traffic = Traffic::new(settings.clone()).expect("the demo's settings are sound");
        let mut events = Vec::new();
        let mut t = DEFAULT_FROM_MS - HISTORY_MS;
        while t < DEFAULT_FROM_MS - HISTORY_MS + 6 * HOUR_MS {
            t += step_ms;
            traffic.next_until(t, &mut events);
        }
        events
    };
    assert_eq!(collect(6 * HOUR_MS), collect(1_000));
}

/// A record as a reader sees it.
#[derive(Debug, serde::Deserialize)]
struct Line {
    tenant: String,
    user: Option<String>,
    timestamp: Ms,
    operation: String,
    status: Option<i64>,
    latency_ms: Option<f64>,
    attributes: std::collections::BTreeMap<String, String>,
}

fn parsed(bytes: &[u8]) -> Vec<Line> {
    let lines = bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    lines.map(|l| serde_json::from_slice(l).expect("clean traffic is JSON with all required fields")).collect()
}

fn clean(seed: u64, incidents: &[&str]) -> TrafficSettings {
    let mut settings = TrafficSettings::over(seed, DEFAULT_FROM_MS, DAY_MS, 60_000);
    settings.users = 2_000;
    settings.incidents = incidents
        .iter()
        .map(|text| Incident::parse(text, DEFAULT_FROM_MS).expect("an incident as the help writes it"))
        .collect();
    settings
}

/// Lines that an incident covers, by their own content.
fn in_scope<'a>(lines: &'a [Line], incident: &'a PlantedIncident) -> impl Iterator<Item = &'a Line> {
    lines.iter().filter(move |l| {
        (incident.start.0..incident.end.0).contains(&l.timestamp)
            && l.operation != "heartbeat"
            && incident.tenant.as_ref().is_none_or(|t| *t == l.tenant)
            && incident.user.as_ref().is_none_or(|u| Some(u) == l.user.as_ref())
            && incident.attributes.iter().all(|(name, value)| l.attributes.get(*name) == Some(value))
    })
}

#[test]
fn the_truth_counts_what_the_lines_say() {
    let (bytes, truth) = lines(clean(
        5,
        &[
            "outage@2h+20m:rate=0.8",
            "cohort@4h+3h:integration=sdk,region=ap:rate=0.5",
            "user@10h+4h",
            "tenant@15h+1h:rate=0.6",
            "cohort@18h+2h:release=r2,tier=pro,region=us",
        ],
    ));
    let lines = parsed(&bytes);
    assert_eq!(truth.totals.records, lines.len() as u64);
    for incident in &truth.incidents {
        let events = in_scope(&lines, incident).count() as u64;
        let bad: Vec<&Line> = in_scope(&lines, incident).filter(|l| l.status.is_some_and(|s| s >= 500)).collect();
        let users: std::collections::BTreeSet<_> =
            in_scope(&lines, incident).map(|l| (l.tenant.as_str(), l.user.as_deref())).collect();
        assert_eq!(incident.events, events, "{incident:?}");
        assert_eq!(incident.bad_events, bad.len() as u64, "{incident:?}");
        assert_eq!(incident.users_in_scope, users.len() as u64, "{incident:?}");
        assert!(incident.planted_events > 0 && incident.planted_events <= incident.bad_events, "{incident:?}");
        let share = incident.planted_events as f64 / incident.events as f64;
        let tolerance = 4.0 * (incident.rate * (1.0 - incident.rate) / incident.events as f64).sqrt();
        assert!((share - incident.rate).abs() <= tolerance.max(0.02), "{share} for {incident:?}");
    }
    let bad = lines.iter().filter(|l| l.status.is_some_and(|s| s >= 500)).count() as u64;
    assert_eq!(truth.totals.bad, bad);
}

#[test]
fn errors_outside_incidents_stay_at_the_base_rate() {
    let (bytes, truth) = lines(clean(6, &["cohort@4h+3h:integration=sdk,region=ap:rate=0.5"]));
    let incident = &truth.incidents[0];
    let lines = parsed(&bytes);
    let inside: std::collections::BTreeSet<*const Line> = in_scope(&lines, incident).map(std::ptr::from_ref).collect();
    let outside: Vec<&Line> = lines.iter().filter(|l| !inside.contains(&std::ptr::from_ref(*l))).collect();
    let bad = outside.iter().filter(|l| l.status.is_some_and(|s| s >= 500)).count() as f64;
    let expected = outside.len() as f64 * Blemishes::clean().base_errors;
    assert!((bad - expected).abs() < 4.0 * expected.sqrt() + 1.0, "{bad} bad, {expected} expected");
    assert!(outside.iter().all(|l| l.operation != "heartbeat" || l.status == Some(204)));
}

#[test]
fn a_latency_incident_slows_and_spoils_nothing() {
    let (bytes, truth) = lines(clean(7, &["latency@4h+4h:rate=1:factor=50"]));
    let lines = parsed(&bytes);
    let incident = &truth.incidents[0];
    let mean = |lines: &[&Line]| lines.iter().filter_map(|l| l.latency_ms).sum::<f64>() / lines.len() as f64;
    let slow: Vec<&Line> = in_scope(&lines, incident).collect();
    let rest: Vec<&Line> = lines.iter().filter(|l| l.timestamp >= incident.end.0).collect();
    assert!(mean(&slow) > 20.0 * mean(&rest), "{} and {}", mean(&slow), mean(&rest));
    assert_eq!(incident.planted_events, incident.events);
    assert!(incident.bad_events < incident.events / 100);
}

/// The quantile of an ascending list, computed like the calibration's source.
fn quantile(sorted: &[u64], q: f64) -> u64 {
    sorted[((sorted.len() as f64 * q) as usize).min(sorted.len() - 1)]
}

#[test]
fn users_are_as_active_as_in_a_real_access_log() {
    // Median 2, p90 8, p99 46 events, the top 1 % send 25 %: at 5.7 events for each user who
    // came at all, as measured there.
    let users = 10_000u64;
    let mut settings = TrafficSettings::over(11, DEFAULT_FROM_MS, 7 * DAY_MS, users * 47 / 10);
    settings.silent_from_ms = None;
    let mut traffic = Traffic::new(settings).expect("settings are sound");
    let mut counts = vec![0u64; users as usize];
    while let Some(event) = traffic.next_event() {
        counts[event.user as usize] += 1;
    }
    // The log contains only users with requests.
    counts.retain(|c| *c > 0);
    counts.sort_unstable();
    let top: u64 = counts[counts.len() - counts.len() / 100..].iter().sum();
    let share = top as f64 / counts.iter().sum::<u64>() as f64;
    let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    assert!((5.2..=6.2).contains(&mean), "{mean} events a user");
    let found = (quantile(&counts, 0.5), quantile(&counts, 0.9), quantile(&counts, 0.99));
    assert!((2..=3).contains(&found.0), "p50 {found:?}");
    assert!((7..=10).contains(&found.1), "p90 {found:?}");
    assert!((40..=55).contains(&found.2), "p99 {found:?}");
    assert!((0.22..=0.28).contains(&share), "the top 1 % send {share}");
}

#[test]
fn blemishes_come_at_their_rates_and_dead_letters_for_each_reason() {
    let mut settings = dirty(9, 40_000);
    settings.incidents.clear();
    settings.blemishes.malformed = 0.02;
    let (bytes, truth) = lines(settings);
    let totals = &truth.totals;
    let n = 40_000.0;
    for (name, found, share) in [
        ("late", totals.late, 0.01),
        ("too late", totals.too_late, 0.001),
        ("without user", totals.without_user, 0.01),
        ("without status", totals.without_status, 0.003 * 0.96),
        ("duplicates", totals.duplicates, 0.002),
        ("malformed", totals.malformed.values().sum(), 0.02),
        ("heartbeats", totals.heartbeats, 0.04),
    ] {
        let expected = n * share;
        assert!((found as f64 - expected).abs() < 5.0 * expected.sqrt(), "{name}: {found}, {expected} expected");
    }
    let reasons: Vec<&str> = totals.malformed.keys().copied().collect();
    assert_eq!(reasons, ["before_2000", "no_tenant", "no_timestamp", "not_decodable", "weight_out_of_range"]);
    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count() as u64, totals.records);
    let text = String::from_utf8(bytes).expect("traffic is UTF-8");
    for part in ["\"timestamp\":\"2026-01-0", "\"weight\":2.5", "\"weight\":0.333333", "\"event_id\":\"e"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn records_leave_in_order_and_times_are_out_of_order_within_the_disorder() {
    let mut traffic = Traffic::new(clean(12, &[])).expect("settings are sound");
    let (mut last_ms, mut newest_ms, mut behind) = (Ms::MIN, Ms::MIN, 0);
    while let Some(event) = traffic.next_event() {
        assert!(event.arrival_ms >= last_ms);
        assert!((0..=2_000).contains(&(event.arrival_ms - event.time_ms)));
        behind += u32::from(event.time_ms < newest_ms);
        (last_ms, newest_ms) = (event.arrival_ms, newest_ms.max(event.time_ms));
    }
    assert!(behind > 1_000, "{behind} out of order");
}

#[test]
fn retries_follow_failures_of_the_same_user() {
    let mut settings = clean(13, &["outage@6h+1h:rate=1"]);
    settings.blemishes.retries = 1.0;
    let (bytes, truth) = lines(settings);
    let records = parsed(&bytes).len() as u64;
    assert_eq!(records, 60_000 + truth.totals.retries);
    // In a total outage every request is tried three times: two in three are retries.
    let planted = truth.incidents[0].planted_events;
    assert!(truth.totals.retries > planted / 2 && truth.totals.retries < planted, "{:?}", truth.totals);
}

#[test]
fn not_even_a_retry_comes_from_a_silent_tenant() {
    let mut settings = TrafficSettings::over(19, DEFAULT_FROM_MS, 10 * MINUTE_MS, 20_000);
    settings.incidents.push(Incident { rate: 1.0, ..Incident::new(IncidentKind::Outage, DEFAULT_FROM_MS, Ms::MAX) });
    settings.blemishes.retries = 1.0;
    let (bytes, truth) = lines(settings);
    let silent = truth.silent_tenant.expect("a tenant falls silent by default");
    let times = parsed(&bytes).into_iter().filter(|l| l.tenant == silent.tenant).map(|l| l.timestamp);
    let last_ms = times.max().expect("it was not silent before");
    assert!((silent.from.0 - 3_000..silent.from.0).contains(&last_ms), "{last_ms}");
}

#[test]
fn the_smallest_tenant_falls_silent_and_the_others_do_not() {
    let (bytes, truth) = lines(clean(14, &[]));
    let silent = truth.silent_tenant.expect("a tenant falls silent by default");
    let lines = parsed(&bytes);
    let after = |tenant: &str| lines.iter().filter(|l| l.tenant == tenant && l.timestamp >= silent.from.0).count();
    assert_eq!(after(&silent.tenant), 0);
    assert!(lines.iter().any(|l| l.tenant == silent.tenant));
    assert!(truth.tenants.iter().filter(|t| **t != silent.tenant).all(|t| after(t) > 100));
}

#[test]
fn keyed_records_go_where_kafka_would_put_their_key() {
    let mut settings = clean(15, &[]);
    (settings.partitions, settings.keyed, settings.blemishes.without_user) = (8, true, 0.1);
    let mut traffic = Traffic::new(settings).expect("settings are sound");
    let mut events = Vec::new();
    traffic.next_until(DEFAULT_FROM_MS + HOUR_MS, &mut events);
    assert!(events.len() > 500);
    let mut key = Vec::new();
    for event in &events {
        key.clear();
        event.write_key(traffic.population(), &mut key);
        assert_eq!(event.partition, crate::model::record::partition_of(&key, 8));
    }
    assert!((0..8).all(|p| events.iter().any(|e| e.partition == p)));
}

#[test]
fn users_keep_their_attributes_and_upgrade_once() {
    let (bytes, _) = lines(clean(16, &[]));
    let mut lines = parsed(&bytes);
    lines.sort_by_key(|l| l.timestamp);
    let mut known: std::collections::BTreeMap<_, _> = std::collections::BTreeMap::new();
    let mut upgrades = 0;
    for line in &lines {
        let mut fixed = line.attributes.clone();
        let release = fixed.remove("release").expect("clean traffic has every attribute");
        assert_eq!(fixed.keys().collect::<Vec<_>>(), ["integration", "region", "signup", "tier"]);
        let entry = known.entry((&line.tenant, &line.user)).or_insert((fixed.clone(), release.clone()));
        assert_eq!(entry.0, fixed);
        assert!(entry.1 <= release, "release sank from {} to {release}", entry.1);
        upgrades += u32::from(entry.1 < release);
        entry.1 = release;
    }
    assert!(upgrades > 100, "{upgrades} upgrades");
}

#[test]
fn days_have_a_rhythm() {
    let (bytes, _) = lines(TrafficSettings::over(17, DEFAULT_FROM_MS, DAY_MS, 50_000));
    let mut hours = [0u32; 24];
    for line in parsed(&bytes) {
        hours[((line.timestamp - DEFAULT_FROM_MS) / HOUR_MS) as usize] += 1;
    }
    let (quiet, busy) = (hours.iter().min().copied().unwrap_or(0), hours.iter().max().copied().unwrap_or(0));
    assert!(2 * busy > 3 * quiet && quiet > 500, "{hours:?}");
}

#[test]
fn the_demos_cohort_varies_by_seed_and_the_aggregate_does_not_feel_it() {
    let mut told = std::collections::BTreeSet::new();
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let mut settings = demo_settings(seed, DEFAULT_FROM_MS, HISTORY_MS, Story::HiddenCohort);
        thin_history(&mut settings);
        let incident = settings.incidents.first().expect("a cohort of the wished size exists").clone();
        sizes.insert(incident.attributes.len());
        told.insert(format!("{:?}", incident.attributes));
        let mut traffic = Traffic::new(settings).expect("the demo's settings are sound");
        let target = Target::new(&incident, traffic.population()).expect("known names");
        let members = target.share_of(traffic.population(), incident.from_ms);
        assert!((0.01..=0.03).contains(&members), "{members} of the users");
        assert!(incident.rate >= 0.2, "{}", incident.rate);
        if seed == 0 {
            assert_live_burn_is_hidden(&mut traffic, incident.from_ms);
        }
    }
    assert!(told.len() >= 9, "{told:?}");
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert!(demo_settings(1, DEFAULT_FROM_MS, HISTORY_MS, Story::Quiet).incidents.is_empty());
}

/// The weeks before would be slow in a test and are skipped.
fn thin_history(settings: &mut TrafficSettings) {
    if let Volume::Rates(steps) = &mut settings.volume {
        steps[0].events_per_s = 0.001;
    }
}

/// Ten minutes of the incident: the aggregate is above 99 %, the cohort's users are far below.
fn assert_live_burn_is_hidden(traffic: &mut Traffic, from_ms: Ms) {
    let mut events = Vec::new();
    let mut errors = [(0u32, 0u32); 2];
    traffic.next_until(from_ms, &mut events);
    events.clear();
    traffic.next_until(from_ms + 10 * MINUTE_MS, &mut events);
    let affected = traffic.truth().incidents.remove(0);
    for event in events.iter().filter(|e| e.is_classified()) {
        errors[0].0 += u32::from(event.is_error());
        errors[0].1 += 1;
    }
    errors[1] = (affected.bad_events as u32, affected.events as u32);
    let ratio = |(bad, all): (u32, u32)| f64::from(bad) / f64::from(all);
    assert!(ratio(errors[0]) < 0.01, "aggregate {errors:?}");
    assert!(ratio(errors[1]) > 0.1, "cohort {errors:?}");
    assert!(affected.users_affected >= 10, "{affected:?}");
}

#[test]
fn a_plan_has_every_kind_and_stays_inside_the_period() {
    let mut settings = TrafficSettings::over(21, DEFAULT_FROM_MS, 7 * DAY_MS, 100_000);
    settings.incidents = plan_incidents(&settings, DEFAULT_FROM_MS + 7 * DAY_MS).expect("settings are sound");
    let traffic = Traffic::new(settings.clone()).expect("a plan can be carried out");
    for kind in IncidentKind::ALL {
        assert!(traffic.incidents().any(|i| i.kind == kind), "{kind:?}");
    }
    let ends: Vec<(Ms, Ms)> = traffic.incidents().map(|i| (i.from_ms, i.until_ms)).collect();
    assert!(ends.windows(2).all(|w| w[0].1 <= w[1].0), "they overlap: {ends:?}");
    assert!(ends.iter().all(|(from, until)| *from > DEFAULT_FROM_MS && *until <= DEFAULT_FROM_MS + 7 * DAY_MS));
    assert_ne!(
        plan_incidents(&TrafficSettings { seed: 22, ..settings.clone() }, ends[0].1 + 7 * DAY_MS),
        Ok(settings.incidents)
    );
}

#[test]
fn incidents_are_refused_with_the_remedy() {
    let parse = |text| Incident::parse(text, DEFAULT_FROM_MS);
    for (text, remedy) in [
        ("outage", "KIND@START+DURATION"),
        ("storm@1d+5m", "outage, cohort, user, tenant, latency"),
        ("outage@soon+5m", "offset from the start"),
        ("outage@1d+0m", "must not be 0"),
        ("outage@1d+5", "duration"),
        ("outage@1d+5m:rate=2", "from 0 to 1"),
        ("cohort@1d+5m:colour=red", "tier, region, integration, release, signup"),
    ] {
        let refusal = parse(text).expect_err(text).to_string();
        assert!(refusal.contains(remedy), "{text}: {refusal}");
    }
    let at = parse("user@2026-01-06T06:00:00Z+1h30m:tenant=acme,user=u3:rate=1").expect("a time is a start");
    assert_eq!(
        (at.from_ms, at.until_ms),
        (DEFAULT_FROM_MS + 30 * HOUR_MS, DEFAULT_FROM_MS + 31 * HOUR_MS + 30 * MINUTE_MS)
    );
}

#[test]
fn incidents_on_nobody_are_refused_with_the_remedy() {
    for (text, remedy) in [
        ("cohort@1h+5m:region=moon", "eu, us, ap, sa"),
        ("cohort@1h+5m", "1 to 3 attribute values"),
        ("cohort@1h+5m:region=eu,tier=pro,release=r1,integration=sdk", "not of 4"),
        ("tenant@1h+5m:tenant=nobody", "acme, birch"),
        ("user@1h+5m:tenant=acme,user=u999999", "acme"),
        ("user@1h+5m:user=u1", "tenant=acme,user=u1"),
        ("outage@1h+5m:region=eu", "cohort@"),
        ("outage@2d+5m", "outside the traffic"),
    ] {
        let refusal = Traffic::new(clean(1, &[text])).expect_err(text).to_string();
        assert!(refusal.contains(remedy), "{text}: {refusal}");
    }
}

#[test]
fn settings_that_make_no_traffic_are_refused() {
    let sound = || TrafficSettings::over(1, DEFAULT_FROM_MS, DAY_MS, 10);
    let refusals = [
        TrafficSettings { users: 0, ..sound() },
        TrafficSettings { users: u32::MAX, ..sound() },
        TrafficSettings { users: 3, tenants: 4, ..sound() },
        TrafficSettings { partitions: 0, ..sound() },
        TrafficSettings { volume: Volume::Total { events: 1, until_ms: DEFAULT_FROM_MS }, ..sound() },
        TrafficSettings { volume: Volume::Rates(Vec::new()), ..sound() },
        TrafficSettings { blemishes: Blemishes { late: 1.5, ..Blemishes::clean() }, ..sound() },
        TrafficSettings { blemishes: Blemishes { malformed: f64::NAN, ..Blemishes::clean() }, ..sound() },
    ];
    for settings in refusals {
        assert!(settings.validate().is_err(), "{settings:?}");
    }
    assert_eq!(sound().validate(), Ok(()));
}
