//! Finds a client that sends most events of an access log: it may be a proxy for many people.
//!
//! A client that sends over half of all events is found by majority vote (Boyer and Moore): each event of the candidate
//! is a vote for it, every other event a vote against it, and when no votes are left the next client becomes the
//! candidate. A client with a majority is the candidate at the end, in whatever order the events come, and only one
//! name is kept. Its events are counted only while it is the candidate, so the count is never too large.

use crate::model::outcome::Outcome;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    pub events: u64,
    /// Events without a client.
    pub nobody: u64,
    /// Events without a request: a connection that was opened and closed, a port scan.
    pub without_request: u64,
    candidate: String,
    votes: u64,
    sent: u64,
}

impl Clients {
    #[inline]
    pub fn note(&mut self, outcome: &Outcome<'_>) {
        self.events += 1;
        self.without_request += u64::from(outcome.operation.is_none());
        let Some(user) = outcome.user.as_deref() else {
            self.nobody += 1;
            self.votes = self.votes.saturating_sub(1);
            return;
        };
        if self.votes == 0 {
            self.elect(user);
        } else if self.candidate == user {
            self.votes += 1;
            self.sent += 1;
        } else {
            self.votes -= 1;
        }
    }

    fn elect(&mut self, user: &str) {
        // If it is the same client again, its count goes on.
        if self.candidate != user {
            self.sent = 0;
            self.candidate.clear();
            self.candidate.push_str(user);
        }
        self.votes = 1;
        self.sent += 1;
    }

    /// The client that sent over half of all events, and how many it sent at least.
    pub fn majority(&self) -> Option<(&str, u64)> {
        (self.sent * 2 > self.events).then_some((self.candidate.as_str(), self.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of these clients: one letter per client, `-` for none.
    fn of(clients: &str) -> Clients {
        let mut found = Clients::default();
        for client in clients.chars().map(String::from) {
            let user = Some(client.into()).filter(|c| c != "-");
            found.note(&Outcome { user, operation: Some("GET".into()), ..Outcome::default() });
        }
        found
    }

    #[test]
    fn a_majority_is_found_wherever_it_stands() {
        for (clients, majority) in [
            ("aaab", Some(("a", 3))),
            ("baaaa", Some(("a", 3))),
            ("bcaaaa", Some(("a", 4))),
            ("aabaca", Some(("a", 4))),
            ("a-a-a", Some(("a", 3))),
            ("ab", None),
            ("aabb", None),
            ("abcabc", None),
            ("--a", None),
            ("", None),
        ] {
            assert_eq!(of(clients).majority(), majority, "{clients}");
        }
        assert_eq!((of("--a").nobody, of("--a").events), (2, 3));
    }

    #[test]
    fn the_count_of_a_majority_is_never_too_large() {
        let many = "ab".repeat(1_000) + &"a".repeat(500);
        let found = of(&many);
        let (client, sent) = found.majority().expect("a majority");
        assert_eq!(client, "a");
        assert!((1_251..=1_500).contains(&sent), "{sent}");
    }
}
