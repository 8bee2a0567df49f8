//! A day and a half of composites of two and three components: of events, of slices and of shares of slices.

use serde_json::Value;

use crate::agreement::{assert_agree, backtest};
use crate::coverage::Coverage;
use crate::input::Format;
use crate::replay::replay;
use crate::slices::plan;
use crate::slo;
use crate::time::HOUR_MS;
use crate::traffic::{self, Plan};
use crate::units::assert_reached;

const SLOS: [(&str, &str); 3] = [
    ("a.yaml", include_str!("slos/composite/events.yaml")),
    ("b.yaml", include_str!("slos/composite/slices.yaml")),
    ("c.yaml", include_str!("slos/composite/ratio.yaml")),
];

#[test]
fn the_program_agrees_on_composites() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let plan = Plan { duration_ms: 34 * HOUR_MS, ..plan(41) };
    let (slos, inputs) = traffic::write(directory.path(), &plan, &SLOS);
    let oracle = replay(&slo::load(&slos).expect("the SLOs"), &inputs, Format::JsonLines);
    eprintln!("{} statuses, {} alerts", oracle.statuses.len(), oracle.alerts.len());
    assert_reached(&["a slice that not every component has", "a window that not every component has"]);
    let of = |name: &str| oracle.statuses.iter().filter(|s| s["slo"] == name).collect::<Vec<&Value>>();
    for name in ["events", "slices", "shares"] {
        let breaks = of(name).iter().any(|s| s["components"][0]["burn"].as_f64().is_some_and(|burn| burn > 1.0));
        assert!(breaks && of(name).iter().any(|s| s["components"][1]["sli"].is_null()), "{name}");
    }
    Coverage::of(&oracle).assert_composites();
    let program = backtest(&slos, &inputs, Format::JsonLines, &directory.path().join("out"));
    assert_agree(&oracle, &program);
}
