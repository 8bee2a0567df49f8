//! A definition that several tests begin with.

pub const SLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
  annotations: {tailburn.dev/alert-rules: "1h/5m/14.4/page, 1d/2h/3/ticket"}
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: tailburn, spec: {filter: "status < 500"}}}
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: standard, target: 0.99}]
"#;
