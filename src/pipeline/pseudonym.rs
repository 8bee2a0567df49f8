//! User ids as pseudonyms: what leaves instead of the id, by default.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// How user ids leave: plainly, or as HMAC-SHA-256 under a key, prefixed by the key's id.
#[derive(Clone)]
pub enum UserIds {
    Plain,
    Hmac { key: Vec<u8>, key_id: String },
}

impl UserIds {
    /// Pseudonyms under a key; its id is the beginning of its hash, and says nothing about it.
    pub fn hmac(key: Vec<u8>) -> UserIds {
        let key_id = Sha256::digest(&key).iter().take(4).map(|b| format!("{b:02x}")).collect();
        UserIds::Hmac { key, key_id }
    }

    /// The id as it leaves. The tenant is part of the message: the same id at two tenants gives two
    /// pseudonyms, so that no tenant recognises another's user.
    pub fn publish(&self, tenant: &str, user: &str) -> String {
        match self {
            UserIds::Plain => user.to_owned(),
            UserIds::Hmac { key, key_id } => {
                let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
                    // HMAC takes keys of any length; a build in which it does not must not leak ids.
                    return format!("{key_id}:");
                };
                for part in [tenant.as_bytes(), &[0], user.as_bytes()] {
                    mac.update(part);
                }
                let digest: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
                format!("{key_id}:{digest}")
            }
        }
    }
}

impl std::fmt::Debug for UserIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UserIds::Plain => f.write_str("Plain"),
            UserIds::Hmac { key_id, .. } => write!(f, "Hmac({key_id})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_name_their_key_and_differ_by_tenant() {
        let ids = UserIds::hmac(b"0123456789abcdef".to_vec());
        let (a, b) = (ids.publish("acme", "u1"), ids.publish("zeta", "u1"));
        assert_ne!(a, b);
        assert_eq!(a, ids.publish("acme", "u1"));
        assert!(!a.contains("u1") && a.len() == 8 + 1 + 64, "{a}");
        assert!(!format!("{ids:?}").contains("0123"));
    }
}
