//! Keys: what a status, an alert or a cohort is about (contract, section 2).

use std::fmt::Write as _;

/// The scope of a key within one SLO. Tenant and group hold plain (not encoded) text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Scope {
    Aggregate,
    Tenant(String),
    /// Attribute names (in the order of `group-by`) and their values; an absent value is `-`.
    Group(Vec<(String, String)>),
    /// The group that takes what is over `limits.groups`.
    OtherGroups,
}

/// The value of an absent attribute in a group.
pub const ABSENT: &str = "-";
/// The group that takes what is over `limits.groups`.
pub const OTHER: &str = "__other__";

impl Scope {
    pub const fn kind(&self) -> &'static str {
        match self {
            Scope::Aggregate => "aggregate",
            Scope::Tenant(_) => "tenant",
            Scope::Group(_) | Scope::OtherGroups => "group",
        }
    }

    pub const fn is_group(&self) -> bool {
        matches!(self, Scope::Group(_) | Scope::OtherGroups)
    }
}

/// The key of a scope on the topics: `slo|tenant|acme`, `slo|group|region=eu,tier=pro`.
pub fn key_text(slo: &str, scope: &Scope) -> String {
    let mut key = String::with_capacity(slo.len() + 24);
    encode_into(&mut key, slo);
    match scope {
        Scope::Aggregate => key.push_str("|aggregate"),
        Scope::Tenant(tenant) => {
            key.push_str("|tenant|");
            encode_into(&mut key, tenant);
        }
        Scope::OtherGroups => {
            key.push_str("|group|");
            key.push_str(OTHER);
        }
        Scope::Group(pairs) => {
            key.push_str("|group|");
            for (i, (name, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    key.push(',');
                }
                encode_into(&mut key, name);
                key.push('=');
                encode_into(&mut key, value);
            }
        }
    }
    key
}

/// Percent-encodes the four characters with a meaning in keys.
pub fn encode_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '|' | ',' | '=' | '%' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{:02X}", c as u32);
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_the_contract_writes_them() {
        let group = Scope::Group(vec![("region".into(), "eu".into()), ("tier".into(), "a=b|c,d%".into())]);
        assert_eq!(key_text("checkout", &Scope::Aggregate), "checkout|aggregate");
        assert_eq!(key_text("checkout", &Scope::Tenant("acme".into())), "checkout|tenant|acme");
        assert_eq!(key_text("checkout", &group), "checkout|group|region=eu,tier=a%3Db%7Cc%2Cd%25");
        assert_eq!(key_text("checkout", &Scope::OtherGroups), "checkout|group|__other__");
    }
}
