//! Formats figures, in the same way for the board, the lines and the summary.

use crate::model::key::Scope;
use crate::model::output::{AttributeValue, Labels};
use crate::model::time::{Moment, Ms};

/// Shown where there is no figure.
pub const NONE: &str = "-";

/// A share in percent; never rounded up to 100 %, because 99.9996 % is not all.
pub fn percent(share: Option<f64>) -> String {
    let Some(share) = share else { return NONE.to_owned() };
    let percent = share * 100.0;
    let digits = if (99.0..100.0).contains(&percent) { 3 } else { 1 };
    if percent >= 100.0 || percent == 0.0 {
        return format!("{percent:.0} %");
    }
    let scale = if digits == 3 { 1_000.0 } else { 10.0 };
    format!("{:.digits$} %", libm::floor(percent * scale + 1e-6) / scale)
}

/// An objective, with as many digits as it has.
pub fn objective(objective: f64) -> String {
    format!("{} %", (objective * 1e8).round() / 1e6)
}

/// A burn rate; 1 is as fast as the budget allows.
pub fn burn(burn: Option<f64>) -> String {
    burn.map_or_else(|| NONE.to_owned(), |b| if b >= 10.0 { format!("{b:.0}x") } else { format!("{b:.2}x") })
}

/// With thousands separators, as in 1,234.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2026-05-29 17:01:20`
pub fn date_time(at_ms: Ms) -> String {
    Moment(at_ms).to_string().replace('T', " ").chars().take(19).collect()
}

/// `17:01:20`
pub fn clock(at_ms: Ms) -> String {
    Moment(at_ms).to_string().chars().skip(11).take(8).collect()
}

/// `region=eu, tier=pro`
pub fn cohort(attributes: &[AttributeValue]) -> String {
    let pairs: Vec<String> = attributes.iter().map(|a| format!("{}={}", a.attribute, a.value)).collect();
    if pairs.is_empty() { "no cohort alone".to_owned() } else { pairs.join(", ") }
}

/// The scope of a record in words.
pub fn scope(scope: &str, tenant: Option<&str>, group: &Labels) -> String {
    match tenant {
        _ if scope == Scope::Aggregate.kind() => "the aggregate".to_owned(),
        Some(tenant) => format!("tenant {tenant}"),
        None => {
            let pairs: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("group {}", pairs.join(", "))
        }
    }
}

/// A bar of `width` cells, filled by a share.
pub fn bar(share: f64, width: usize) -> String {
    let filled = libm::round(share.clamp(0.0, 1.0) * width as f64) as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_up_to_a_whole() {
        for (share, text) in [
            (Some(1.0), "100 %"),
            (Some(0.999_999_9), "99.999 %"),
            (Some(0.968), "96.8 %"),
            (Some(0.0), "0 %"),
            (None, "-"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            (date_time(1_780_074_060_000).as_str(), clock(1_780_074_060_000).as_str()),
            ("2026-05-29 17:01:00", "17:01:00")
        );
        assert_eq!([objective(0.99), objective(0.9995)], ["99 %", "99.95 %"]);
        assert_eq!([burn(Some(0.256)), burn(Some(13.44)), burn(None)], ["0.26x", "13x", "-"]);
        assert_eq!((bar(0.5, 4), bar(7.0, 2), bar(f64::NAN, 2)), ("██░░".into(), "██".into(), "░░".into()));
    }
}
