//! A sample of users, the same wherever they are seen: those with the smallest hashes.
//!
//! Two partitions that share users share some of these, however many users there are: the smallest
//! hashes of both together are in the sample of each that has them (bottom-k sketches: Cohen and Kaplan,
//! "Summarizing data using bottom-k sketches", PODC 2007, section 2).

use xxhash_rust::xxh3::Xxh3;

/// So many users are in a sample.
const SIZE: usize = 64;

/// The users with the smallest hashes of those that were offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSample {
    /// In ascending order.
    hashes: Vec<u64>,
}

impl UserSample {
    /// Takes the user up where it belongs in the sample.
    pub fn offer(&mut self, tenant: &str, user: &str) {
        let mut hasher = Xxh3::new();
        hasher.update(tenant.as_bytes());
        // No text of valid UTF-8 has this byte: "a", "bc" is not "ab", "c".
        hasher.update(&[0xff]);
        hasher.update(user.as_bytes());
        self.take(hasher.digest());
    }

    /// `true`: the sample is another one now.
    fn take(&mut self, hash: u64) -> bool {
        if self.hashes.len() == SIZE && self.hashes.last() <= Some(&hash) {
            return false;
        }
        let Err(at) = self.hashes.binary_search(&hash) else { return false };
        self.hashes.insert(at, hash);
        self.hashes.truncate(SIZE);
        true
    }

    /// Takes the sample of somebody who saw users of the same kind; `true`: this one is another one now.
    pub fn merge(&mut self, hashes: &[u64]) -> bool {
        hashes.iter().filter(|hash| self.take(**hash)).count() > 0
    }

    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(users: impl Iterator<Item = u32>) -> UserSample {
        let mut sample = UserSample::default();
        users.for_each(|user| sample.offer("t", &user.to_string()));
        sample
    }

    fn shared(a: &UserSample, b: &UserSample) -> usize {
        a.hashes().iter().filter(|hash| b.hashes().contains(hash)).count()
    }

    #[test]
    fn whoever_shares_users_shares_some_of_the_sample() {
        for users in [1, 20, 5_000, 200_000] {
            let all = sample(0..users);
            assert_eq!(all.hashes().len(), SIZE.min(users as usize));
            assert_eq!(shared(&all, &sample((0..users).rev())), all.hashes().len(), "in any order");
            assert_eq!(shared(&all, &sample(users..2 * users)), 0, "{users} users");
        }
        // Spread over two partitions without regard to who they are.
        let (one, other) = (sample(0..150_000), sample(50_000..200_000));
        assert!(shared(&one, &other) > 10, "{}", shared(&one, &other));
    }

    #[test]
    fn a_tenant_is_a_part_of_the_name() {
        let mut sample = UserSample::default();
        for (tenant, user) in [("a", "bc"), ("ab", "c"), ("a", "bc")] {
            sample.offer(tenant, user);
        }
        assert_eq!(sample.hashes().len(), 2);
    }
}
