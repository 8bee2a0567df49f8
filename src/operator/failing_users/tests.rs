use super::*;

const AT_MS: Ms = 1_780_000_020_000;

fn user(id: u64, minute_bad: u64) -> FailingUser {
    let (user, lapses_ms) = (format!("u{id}").into(), AT_MS + 60 * MINUTE_MS);
    FailingUser {
        hash: id,
        user,
        minute_events: 1,
        minute_bad,
        lapses_ms,
        events: 10,
        bad_events: 5,
        ..FailingUser::default()
    }
}

const ALL: Minute = Minute { events: 1_000, bad: 3 };

fn hashes(users: &FailingUsers) -> Vec<u64> {
    users.suspects.iter().map(|suspect| suspect.told.hash).collect()
}

#[test]
fn who_is_not_told_made_no_requests_unless_too_many_were() {
    let mut users = FailingUsers::default();
    users.take(AT_MS, vec![user(1, 1), user(2, 1)], ALL);
    let before = users.suspects[1].evidence.clone();
    users.take(AT_MS + MINUTE_MS, vec![user(1, 1)], ALL);
    assert_eq!((hashes(&users), &users.suspects[1].evidence), (vec![1, 2], &before));
    // 33 others are served worse than the second one: nobody knows what it did while others failed.
    let worse = |id: u64| FailingUser { bad_events: 9, ..user(id, 1) };
    users.take(AT_MS + 2 * MINUTE_MS, (10..43).map(worse).collect(), Minute { bad: 0, ..ALL });
    assert!(hashes(&users).starts_with(&[1, 2, 10]));
    users.take(AT_MS + 3 * MINUTE_MS, (10..43).map(worse).collect(), ALL);
    assert_eq!(hashes(&users), (10..42).collect::<Vec<u64>>());
}

#[test]
fn who_has_too_few_bad_minutes_left_is_forgotten() {
    let mut users = FailingUsers::default();
    users.take(AT_MS, vec![user(1, 1)], ALL);
    users.take(AT_MS + 59 * MINUTE_MS, Vec::new(), ALL);
    assert_eq!(hashes(&users), [1]);
    users.take(AT_MS + 60 * MINUTE_MS, Vec::new(), ALL);
    assert_eq!(hashes(&users), [0; 0]);
}

#[test]
fn no_more_users_are_remembered_than_there_is_room_for() {
    let mut users = FailingUsers::default();
    for batch in 0..4 {
        users.take(AT_MS, (0..30).map(|id| user(batch * 30 + id, u64::from(batch < 2))).collect(), ALL);
    }
    assert_eq!(users.suspects.len(), REMEMBERED);
    assert!((0..60).all(|id| hashes(&users).contains(&id)), "those with evidence stay");
    assert!(hashes(&users).is_sorted());
}
