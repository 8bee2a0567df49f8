//! What filters, sorts and the overview ask of a record, read from it once, when it arrives.

use crate::model::output::{AttributeValue, Labels};
use serde::{Deserialize, Serialize};

/// The windows whose burn the overview shows, and the compliance window after them.
pub const BURN_WINDOWS: [&str; 5] = ["5m", "1h", "6h", "1d", "3d"];

/// Fields that a record may have. A record of another build may lack some: they are empty then.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub service: String,
    pub display_name: String,
    pub labels: Labels,
    pub group: Labels,
    pub state: String,
    pub at: String,
    pub budget_remaining: Option<f64>,
    /// Of a status.
    pub objective: Option<f64>,
    pub compliance_window: String,
    windows: Vec<Window>,
    /// Of an alert.
    pub severity: String,
    /// Of a cohort.
    pub kind: String,
    pub rank: Option<u64>,
    cohort: serde_json::Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Window {
    window: String,
    sli: Option<f64>,
    burn: Option<f64>,
}

/// Burn rates side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Burn {
    #[serde(rename = "5m")]
    pub m5: Option<f64>,
    #[serde(rename = "1h")]
    pub h1: Option<f64>,
    #[serde(rename = "6h")]
    pub h6: Option<f64>,
    #[serde(rename = "1d")]
    pub d1: Option<f64>,
    #[serde(rename = "3d")]
    pub d3: Option<f64>,
    pub period: Option<f64>,
}

impl Facts {
    pub fn of(json: &[u8]) -> Facts {
        let mut facts: Facts = serde_json::from_slice(json).unwrap_or_default();
        // Only those that are asked for are kept: there may be 50,000 of these.
        let period = facts.compliance_window.clone();
        facts.windows.retain(|w| BURN_WINDOWS.contains(&w.window.as_str()) || w.window == period);
        facts.windows.shrink_to_fit();
        facts
    }

    fn window(&self, name: &str) -> Option<&Window> {
        self.windows.iter().find(|w| w.window == name)
    }

    fn burn_of(&self, name: &str) -> Option<f64> {
        self.window(name)?.burn
    }

    pub fn burn(&self) -> Burn {
        let [m5, h1, h6, d1, d3] = BURN_WINDOWS.map(|name| self.burn_of(name));
        Burn { m5, h1, h6, d1, d3, period: self.burn_of(&self.compliance_window) }
    }

    /// The SLI of the compliance window.
    pub fn sli(&self) -> Option<f64> {
        self.window(&self.compliance_window)?.sli
    }

    /// The combination of a cohort in words: `integration=legacy-sdk, region=eu`.
    pub fn cohort_in_words(&self) -> Option<String> {
        let values: Vec<AttributeValue> = serde_json::from_value(self.cohort.clone()).ok()?;
        let words: Vec<String> = values.iter().map(|v| format!("{}={}", v.attribute, v.value)).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Whether a text occurs in it; `text` is in lower case.
    pub fn mentions(&self, text: &str) -> bool {
        let has = |field: &str| field.to_lowercase().contains(text);
        has(&self.service) || has(&self.display_name) || self.labels.iter().any(|(name, value)| has(name) || has(value))
    }
}
