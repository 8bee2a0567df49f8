//! The attributes a user carries and the values they take.
//!
//! Four are fixed for life (tier, region, integration, signup month); `release` moves from r1 to r2
//! when the user upgrades. Values are small indexes here and become text only when a line is written.

use crate::model::time::Ms;

/// An attribute, in the order in which a line carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    Tier,
    Region,
    Integration,
    Release,
    Signup,
}

impl Attribute {
    pub const ALL: [Attribute; 5] =
        [Attribute::Tier, Attribute::Region, Attribute::Integration, Attribute::Release, Attribute::Signup];

    pub const fn name(self) -> &'static str {
        match self {
            Attribute::Tier => "tier",
            Attribute::Region => "region",
            Attribute::Integration => "integration",
            Attribute::Release => "release",
            Attribute::Signup => "signup",
        }
    }

    pub fn parse(name: &str) -> Option<Attribute> {
        Attribute::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// The value of each attribute, by `Attribute as usize`.
pub type Values = [u8; 5];

pub const TIERS: [(&str, f64); 3] = [("free", 0.75), ("pro", 0.228), ("ent", 0.022)];
pub const REGIONS: [(&str, f64); 4] = [("eu", 0.42), ("us", 0.35), ("ap", 0.208), ("sa", 0.022)];
pub const INTEGRATIONS: [(&str, f64); 3] = [("sdk", 0.52), ("rest", 0.38), ("hook", 0.10)];
pub const RELEASES: [&str; 2] = ["r1", "r2"];

/// Signup cohorts: this many months before the traffic starts, each larger than the one before.
pub const SIGNUP_MONTHS: usize = 12;
const SIGNUP_GROWTH: f64 = 1.25;

/// The text of every value of every attribute.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    values: [Vec<String>; 5],
}

impl Vocabulary {
    /// Signup months are counted back from the month in which the traffic starts.
    pub fn new(from_ms: Ms) -> Vocabulary {
        let texts = |pairs: &[(&str, f64)]| pairs.iter().map(|(text, _)| (*text).to_owned()).collect();
        Vocabulary {
            values: [
                texts(&TIERS),
                texts(&REGIONS),
                texts(&INTEGRATIONS),
                RELEASES.iter().map(|r| (*r).to_owned()).collect(),
                signup_months(from_ms),
            ],
        }
    }

    pub fn values(&self, attribute: Attribute) -> &[String] {
        &self.values[attribute as usize]
    }

    pub fn text(&self, attribute: Attribute, value: u8) -> &str {
        self.values(attribute).get(usize::from(value)).map_or("", String::as_str)
    }

    pub fn index(&self, attribute: Attribute, text: &str) -> Option<u8> {
        self.values(attribute).iter().position(|v| v == text).and_then(|i| u8::try_from(i).ok())
    }
}

pub fn signup_weights() -> Vec<f64> {
    let mut weight = 1.0;
    (0..SIGNUP_MONTHS)
        .map(|_| {
            weight *= SIGNUP_GROWTH;
            weight
        })
        .collect()
}

fn signup_months(from_ms: Ms) -> Vec<String> {
    let start = jiff::Timestamp::from_millisecond(from_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let date = start.to_zoned(jiff::tz::TimeZone::UTC).date();
    let months = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
    let oldest = months - SIGNUP_MONTHS as i64;
    (oldest..months).map(|m| format!("{:04}-{:02}", m.div_euclid(12), m.rem_euclid(12) + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signup_months_end_with_the_month_before_the_start() {
        let vocabulary = Vocabulary::new(1_767_571_200_000); // 2026-01-05
        let months = vocabulary.values(Attribute::Signup);
        assert_eq!(months.len(), SIGNUP_MONTHS);
        assert_eq!((months[0].as_str(), months[11].as_str()), ("2025-01", "2025-12"));
    }

    #[test]
    fn every_value_is_found_by_its_text() {
        let vocabulary = Vocabulary::new(0);
        for attribute in Attribute::ALL {
            assert_eq!(Attribute::parse(attribute.name()), Some(attribute));
            for (i, text) in vocabulary.values(attribute).iter().enumerate() {
                assert_eq!(vocabulary.index(attribute, text), Some(i as u8));
            }
        }
        assert_eq!(Attribute::parse("colour"), None);
    }
}
