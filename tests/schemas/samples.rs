//! For each record one full instance, and one with all optional values absent.

use tailburn::codec::output::{EncodeError, Encoder, OutputRecord, OutputSchema};
use tailburn::model::applied::AppliedDefinition;
use tailburn::model::output::*;
use tailburn::model::time::Moment;

type Write = Box<dyn Fn(&Encoder) -> Result<Vec<u8>, EncodeError>>;

/// A record with its schema.
pub struct Sample {
    pub schema: OutputSchema,
    /// Whether all optional values are present.
    pub full: bool,
    write: Write,
}

impl Sample {
    pub fn encode(&self, encoder: &Encoder) -> Vec<u8> {
        (self.write)(encoder).unwrap_or_else(|e| panic!("{:?}, full: {}: {e}", self.schema, self.full))
    }
}

fn sample<R: OutputRecord + 'static>(full: bool, record: R) -> Sample {
    Sample { schema: R::SCHEMA, full, write: Box::new(move |encoder| encoder.encode(&record)) }
}

pub fn all() -> Vec<Sample> {
    let of_both = |full| {
        let build = Build { full };
        [
            sample(full, build.slo_status()),
            sample(full, build.slo_history()),
            sample(full, build.burn_alert()),
            sample(full, build.tail_cohort()),
            sample(full, build.user_status()),
            sample(full, build.canary_verdict()),
            sample(full, build.dead_letter()),
            sample(full, build.definition()),
        ]
    };
    of_both(true).into_iter().chain(of_both(false)).collect()
}

/// Times that differ from one another, so that swapped fields are noticed.
fn moment(n: i64) -> Moment {
    Moment(1_780_074_060_000 + 1_001 * n)
}

fn text(text: &str) -> String {
    text.to_owned()
}

struct Build {
    full: bool,
}

impl Build {
    fn maybe<T>(&self, value: T) -> Option<T> {
        self.full.then_some(value)
    }

    fn list<T>(&self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        if self.full { items.into_iter().collect() } else { Vec::new() }
    }

    fn labels(&self) -> Labels {
        self.list([("zone", "ä|1"), ("team", "payments"), ("", "")])
            .into_iter()
            .map(|(k, v)| (text(k), text(v)))
            .collect()
    }

    fn slo_status(&self) -> SloStatus {
        SloStatus {
            slo: text("checkout-availability"),
            definition_hash: text("d0"),
            service: text("checkout"),
            display_name: text("Checkout succeeds"),
            labels: self.labels(),
            scope: text("tenant"),
            tenant: self.maybe(text("acme")),
            group: self.labels(),
            at: moment(0),
            state: text("at_risk"),
            flags: self.list([text("warming_up"), text("degraded_data")]),
            objective: 0.999,
            budgeting_method: text("Occurrences"),
            compliance_window: text("28d"),
            budget_remaining: self.maybe(-0.1),
            budget_spent_of_period: self.maybe(1.0),
            budget: Budget {
                allowed_bad: self.maybe(1.5),
                spent_bad: self.maybe(1e-300),
                remaining_bad: self.maybe(0.1 + 0.2),
                remaining_minutes: self.maybe(40.32),
            },
            policy: self.maybe(Policy { action: text("freeze"), since: moment(1), reason: text("budget spent") }),
            sla: self.maybe(Sla {
                objective: 0.99,
                period: text("1M"),
                start: moment(20),
                end: moment(21),
                good: 98.0,
                bad: 2.0,
                sli: Some(0.98),
                budget_remaining: Some(-1.0),
                at_risk: true,
                is_missed: true,
                previous: self.previous(),
            }),
            windows: self.list([self.window("5m"), Build { full: false }.window("1h")]),
            users: self.list([self.users("1h"), Build { full: false }.users("1d")]),
            alerts: self.list([self.rule_status("1h/5m"), Build { full: false }.rule_status("6h/30m")]),
            forecast: self.maybe(Forecast {
                exhaustion_p10: Some(moment(2)),
                exhaustion_p50: Some(moment(3)),
                exhaustion_p90: Some(moment(4)),
            }),
            counts: Counts {
                accepted: u64::from(u32::MAX) + 7,
                unclassified: 2,
                late: 3,
                maintenance: 4,
                counts_since: moment(5),
            },
            period: self.maybe(Period { start: moment(22), end: moment(23), elapsed: 0.25 }),
            previous: self.previous(),
            components: self.list([Component {
                name: text("shop:pay"),
                objective: 0.9,
                weight: 2.0,
                sli: Some(0.95),
                burn: Some(0.5),
                budget_remaining: Some(0.5),
            }]),
            journey: self.maybe(Journey {
                attempts: 30,
                abandoned: 4,
                stray: 1,
                steps: vec![JourneyStep { name: text("cart"), entered: 26, failed: 3, abandoned: 2 }],
                compound: Some(0.875),
            }),
            gauge: self.maybe(Gauge {
                value: Some(3.5),
                op: text("gte"),
                target: 4.0,
                is_met: Some(false),
                baseline: Some(3.0),
                progress: Some(0.5),
                trend_per_day: Some(0.01),
                expected_at: Some(moment(26)),
            }),
            failures: self.list([Failure {
                dependency: text("db"),
                error_type: text("timeout"),
                bad_1h: 1.0,
                bad_period: 7.0,
                share_1h: Some(0.125),
                share_period: Some(0.75),
            }]),
            maintenance: self.maybe(text("database upgrade")),
        }
    }

    fn previous(&self) -> Option<Previous> {
        self.maybe(Previous {
            start: moment(24),
            end: moment(25),
            good: Some(11.0),
            bad: Some(1.0),
            sli: Some(0.9),
            budget_remaining: Some(0.1),
            is_final: true,
        })
    }

    fn slo_history(&self) -> SloHistory {
        SloHistory {
            slo: text("checkout-availability"),
            definition_hash: text("d0"),
            scope: text("tenant"),
            tenant: self.maybe(text("acme")),
            group: self.labels(),
            at: moment(0),
            state: text("at_risk"),
            good: 9_007_199_254_740_993.0,
            bad: 0.000_001,
            sli: self.maybe(0.98),
            budget_remaining: self.maybe(-0.1),
            budget_spent_of_period: self.maybe(1.0),
            users: self.maybe(100),
            users_below: self.maybe(12),
            worst_1pct_error_mean_estimate: self.maybe(0.14),
        }
    }

    fn window(&self, window: &str) -> WindowStatus {
        WindowStatus {
            window: text(window),
            start: moment(6),
            good: Some(9_007_199_254_740_993.0),
            bad: Some(0.000_001),
            sli: self.maybe(1.0),
            burn: self.maybe(0.0),
            coverage: 0.5,
            latency_ms: Latency { p50: self.maybe(1.25), p95: self.maybe(2.5), p99: self.maybe(5.0) },
        }
    }

    fn users(&self, window: &str) -> UserWindow {
        UserWindow {
            window: text(window),
            at: moment(7),
            users: 100,
            users_too_few: 11,
            below_objective: 12,
            below_share: self.maybe(0.12),
            below_expected: self.maybe(1.75),
            sli_p50: self.maybe(0.999),
            sli_worst_10pct: self.maybe(0.95),
            sli_worst_1pct: self.maybe(0.9),
            sli_worst_0_1pct: self.maybe(0.8),
            sli_worst_1pct_estimate: self.maybe(0.91),
            worst_1pct_error_mean: self.maybe(0.15),
            worst_1pct_error_mean_estimate: self.maybe(0.14),
            dispersion: self.maybe(Dispersion {
                z: self.maybe(4.5),
                z_without_largest: self.maybe(4.25),
                rho: self.maybe(0.01),
                verdict: text("systemic"),
            }),
        }
    }

    fn rule_status(&self, rule: &str) -> RuleStatus {
        RuleStatus {
            rule: text(rule),
            severity: text("page"),
            state: text("firing"),
            since: self.maybe(moment(8)),
            held_back_by: self.list([text("min_events")]),
        }
    }

    fn burn_alert(&self) -> BurnAlert {
        BurnAlert {
            id: text("0123456789abcdef0123456789abcdef"),
            dedup_key: text("fedcba9876543210fedcba9876543210"),
            seq: 2,
            state: text("resolved"),
            severity: text("page"),
            slo: text("checkout-availability"),
            definition_hash: text("d0"),
            service: text("checkout"),
            display_name: text("Checkout succeeds"),
            labels: self.labels(),
            scope: text("group"),
            tenant: self.maybe(text("acme")),
            group: self.labels(),
            at: moment(0),
            started_at: moment(1),
            ended_at: self.maybe(moment(2)),
            resolved_reason: self.maybe(text("recovered")),
            data: text("complete"),
            rules: self.list([self.alert_rule("1h/5m"), Build { full: false }.alert_rule("1h")]),
            sli: self.maybe(0.998),
            budget_remaining: self.maybe(-1.0),
            budget_spent_since_start: self.maybe(0.02),
            exhaustion_at: self.maybe(moment(3)),
            affected_users: self.maybe(17),
            users_active: self.maybe(18),
            cohort: self.maybe(AlertCohort {
                id: text("c1"),
                cohort: self.attribute_values(),
                risk_ratio: Some(8.5),
                bad_share: Some(0.75),
            }),
            title: text("Checkout burns"),
            summary: text("17 of 18 users …"),
            owner: self.maybe(text("payments@example.com")),
            runbook_url: self.maybe(text("https://runbooks.example.com/checkout")),
            dashboard_url: self.maybe(text("https://dashboards.example.com/checkout")),
            exemplars: self.list([self.exemplar(500), Build { full: false }.exemplar(-1)]),
        }
    }

    fn alert_rule(&self, rule: &str) -> AlertRule {
        AlertRule {
            rule: text(rule),
            long_window: Some(text("1h")),
            short_window: self.maybe(text("5m")),
            factor: Some(13.44),
            burn_long: self.maybe(15.5),
            burn_short: self.maybe(16.5),
            since: moment(4),
            onset: self.maybe(moment(27)),
            lowered_by: self.list([text("single_user")]),
        }
    }

    fn attribute_values(&self) -> Vec<AttributeValue> {
        self.list([("region", "eu"), ("tier", "pro")])
            .into_iter()
            .map(|(attribute, value)| AttributeValue { attribute: text(attribute), value: text(value) })
            .collect()
    }

    fn exemplar(&self, status: i64) -> Exemplar {
        Exemplar {
            trace_id: self.maybe(text("t-1")),
            at: moment(5),
            operation: self.maybe(text("checkout")),
            status: self.maybe(status),
            dependency: self.maybe(text("bank")),
        }
    }

    fn tail_cohort(&self) -> TailCohort {
        TailCohort {
            id: text("c1"),
            seq: 3,
            state: text("open"),
            kind: text("users"),
            slo: text("checkout-availability"),
            definition_hash: text("d0"),
            service: text("checkout"),
            scope: text("tenant"),
            tenant: self.maybe(text("acme")),
            group: self.labels(),
            window: text("1h"),
            at: moment(0),
            started_at: moment(1),
            rank: self.maybe(1),
            cohort: self.attribute_values(),
            users_in_tail: self.maybe(40),
            users: self.maybe(41),
            tail_total: self.maybe(42),
            users_total: self.maybe(43),
            risk_ratio: self.maybe(9.5),
            risk_ratio_low: self.maybe(8.5),
            risk_ratio_high: self.maybe(10.5),
            bad: self.maybe(120.5),
            bad_share: self.maybe(0.5),
            budget_burnt: self.maybe(0.25),
            p_adjusted: self.maybe(1e-9),
            same_as: self.maybe(text("c0")),
            sample_users: self.list([text("u1"), text("u2")]),
            alert_id: self.maybe(text("a1")),
            summary: text("region eu, tier pro"),
        }
    }

    fn user_status(&self) -> UserStatus {
        UserStatus {
            slo: text("checkout-availability"),
            tenant: text("acme"),
            user: text("k1:0f"),
            window: text("1d"),
            at: moment(0),
            good: 10.0,
            bad: 30.5,
            sli: 0.25,
            sli_low: 0.125,
            rank: 1,
            first_bad: self.maybe(moment(-2)),
            last_bad: self.maybe(moment(-1)),
            attributes: self.labels(),
        }
    }

    fn canary_verdict(&self) -> CanaryVerdict {
        CanaryVerdict {
            slo: text("checkout-availability"),
            tenant: self.maybe(text("acme")),
            attribute: text("release"),
            candidate: text("v2"),
            baseline: self.maybe(text("v1")),
            verdict: text("fail"),
            reason: text("bad events 5 times as likely"),
            e_value: self.maybe(120.5),
            requests_candidate: 1_000,
            requests_baseline: 19_000,
            bad_candidate: 50.5,
            bad_baseline: 19.5,
            sli_candidate: self.maybe(0.95),
            sli_baseline: self.maybe(0.999),
            burn_candidate: self.maybe(50.0),
            burn_baseline: self.maybe(1.0),
            started_at: moment(1),
            at: moment(0),
        }
    }

    fn dead_letter(&self) -> DeadLetter {
        DeadLetter {
            topic: text("outcomes.jsonl"),
            partition: u32::MAX,
            offset: 1 << 40,
            key: self.maybe(text("k")),
            value_base64: text("e29vcHM="),
            headers: self.labels(),
            reason: text("not_decodable"),
        }
    }

    fn definition(&self) -> AppliedDefinition {
        AppliedDefinition {
            slo: text("checkout-availability"),
            definition_hash: self.maybe(text("0f")),
            since: moment(0),
            by: text("ann"),
            reason: text("agreed with sales"),
            change: text("changed"),
            previous_hash: self.maybe(text("0e")),
            filters_hash: self.maybe(text("0d")),
            application_id: text("tailburn"),
            document: self.maybe(text("kind: SLO\n")),
            fields: self.labels(),
        }
    }
}
