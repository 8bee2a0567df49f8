//! How long to wait before the next try.

use crate::model::time::{MINUTE_MS, Ms, SECOND_MS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const FIRST_MS: Ms = SECOND_MS;
const LONGEST_MS: Ms = MINUTE_MS;

/// Doubles from try to try, and between half and all of it is waited, so that those who failed together do not come back
/// together. The chance comes from `seed`. A receiver that names a time gets at least that.
pub fn wait_ms(seed: u64, delivery: u64, attempt: u32, asked_ms: Option<Ms>) -> Ms {
    let full_ms = FIRST_MS.saturating_mul(1 << attempt.min(16)).min(LONGEST_MS);
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&delivery.to_le_bytes());
    bytes[8..].copy_from_slice(&attempt.to_le_bytes());
    let half_ms = full_ms / 2;
    let chance_ms = xxh3_64_with_seed(&bytes, seed) % half_ms.unsigned_abs().max(1);
    let own_ms = half_ms + i64::try_from(chance_ms).unwrap_or(0);
    own_ms.max(asked_ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_from_try_to_try_and_never_less_than_it_is_asked_to() {
        for attempt in 0..40 {
            let full_ms = (1_000_i64 << attempt.min(16)).min(60_000);
            for delivery in 0..20 {
                let waited_ms = wait_ms(7, delivery, attempt, None);
                assert!((full_ms / 2..full_ms).contains(&waited_ms), "{attempt}: {waited_ms}");
            }
        }
        assert_eq!(wait_ms(7, 1, 0, Some(30_000)), 30_000);
        let all: std::collections::BTreeSet<Ms> = (0..100).map(|delivery| wait_ms(7, delivery, 3, None)).collect();
        assert!(all.len() > 50, "those who failed together come back together");
    }
}
