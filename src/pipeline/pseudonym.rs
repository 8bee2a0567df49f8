//! Pseudonyms: by default they replace user ids in every output.

use crate::model::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// How user ids are published: in plain text, or as HMAC-SHA-256 under a key, with the key's id as a prefix.
#[derive(Clone)]
pub enum UserIds {
    Plain,
    Hmac { key: Vec<u8>, key_id: String },
}

impl UserIds {
    /// Pseudonyms under a key. The key's id is the beginning of its hash, which does not reveal the key.
    pub fn hmac(key: Vec<u8>) -> UserIds {
        let key_id = hex::encode(&Sha256::digest(&key)[..4]);
        UserIds::Hmac { key, key_id }
    }

    /// The published form of an id. The tenant is part of the message, so the same id in two tenants has two
    /// pseudonyms, and no tenant recognizes another tenant's users.
    pub fn publish(&self, tenant: &str, user: &str) -> String {
        match self {
            UserIds::Plain => user.to_owned(),
            UserIds::Hmac { key, key_id } => {
                let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
                    // HMAC accepts keys of any length. If that were ever wrong, no id must leak.
                    return format!("{key_id}:");
                };
                for part in [tenant.as_bytes(), &[0], user.as_bytes()] {
                    mac.update(part);
                }
                format!("{key_id}:{}", hex::encode(&mac.finalize().into_bytes()))
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
