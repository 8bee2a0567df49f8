//! A sample of users that does not depend on who takes it: the users with the smallest hashes.
//!
//! If two partitions share many of their users, their samples share some, too, however many users there are: the
//! smallest hashes of both partitions together are in the sample of each partition that has the user (bottom-k
//! sketches: Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007, section 2).

use xxhash_rust::xxh3::Xxh3;

/// The largest number of users in a sample.
const SIZE: usize = 64;

/// The smallest hashes of the users offered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSample {
    /// In ascending order.
    hashes: Vec<u64>,
}

impl UserSample {
    /// Adds a user if its hash is small enough.
    pub fn offer(&mut self, tenant: &str, user: &str) {
        let mut hasher = Xxh3::new();
        hasher.update(tenant.as_bytes());
        // A separator that is in no UTF-8 text: ("a", "bc") must not equal ("ab", "c").
        hasher.update(&[0xff]);
        hasher.update(user.as_bytes());
        self.take(hasher.digest());
    }

    /// Returns whether the sample changed.
    fn take(&mut self, hash: u64) -> bool {
        if self.hashes.len() == SIZE && self.hashes.last() <= Some(&hash) {
            return false;
        }
        let Err(at) = self.hashes.binary_search(&hash) else { return false };
        self.hashes.insert(at, hash);
        self.hashes.truncate(SIZE);
        true
    }

    /// Adds the hashes of another sample; returns whether this one changed.
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
    fn partitions_that_share_users_share_some_of_the_sample() {
        for users in [1, 20, 5_000, 200_000] {
            let all = sample(0..users);
            assert_eq!(all.hashes().len(), SIZE.min(users as usize));
            assert_eq!(shared(&all, &sample((0..users).rev())), all.hashes().len(), "in any order");
            assert_eq!(shared(&all, &sample(users..2 * users)), 0, "{users} users");
        }
        // Two partitions share half of all users.
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
