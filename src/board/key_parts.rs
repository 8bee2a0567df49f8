//! The parts of a key, decoded.

/// SLO, scope and tenant of a key. Keys of canaries have `*` or a tenant as their scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyParts {
    pub slo: String,
    pub scope: String,
    pub tenant: Option<String>,
}

impl KeyParts {
    pub fn of(key: &str) -> KeyParts {
        let mut parts = key.splitn(3, '|');
        let slo = decoded(parts.next().unwrap_or_default());
        let scope = parts.next().unwrap_or_default().to_owned();
        let tenant = parts.next().filter(|_| scope == "tenant").map(decoded);
        KeyParts { slo, scope, tenant }
    }

    pub fn is_aggregate(&self) -> bool {
        self.scope == "aggregate"
    }
}

/// Decodes a part of a key. We wrote it, so a `%` always starts two hex digits of one ASCII character.
pub fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Scope, key_text};

    #[test]
    fn keys_decode_to_what_they_were_made_of() {
        let key = key_text("a|b", &Scope::Tenant("50% = half, or é".into()));
        let parts = KeyParts::of(&key);
        assert_eq!((parts.slo.as_str(), parts.tenant.as_deref()), ("a|b", Some("50% = half, or é")));
        assert_eq!(KeyParts::of("x|group|region=eu,tier=pro").tenant, None);
    }
}
