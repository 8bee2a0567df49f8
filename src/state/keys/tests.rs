use super::*;
use proptest::prelude::*;

fn user<'a>(tenant: &'a str, user: &'a str) -> Key<'a> {
    Key::User {
        group: 0x0102,
        tenant: tenant.into(),
        user: user.into(),
        filters: FiltersId(0x1122_3344_5566_7788),
        scope: ScopeKind::Tenant,
        period: PeriodKind::Rolling,
        part: 1,
    }
}

/// State directories and changelogs hold these bytes. Lines may be added, but never changed.
#[test]
fn key_bytes_are_frozen() {
    let filters = FiltersId(0x1122_3344_5566_7788);
    let aggregate = Key::Key {
        group: 0,
        slo: "s".into(),
        filters,
        scope: ScopeKind::Aggregate,
        subject: "".into(),
        period: PeriodKind::Calendar,
        part: 2,
        at_ms: -1,
    };
    let grouped = Key::Key {
        group: 1,
        slo: "s:o".into(),
        filters,
        scope: ScopeKind::Group,
        subject: "tier=pro".into(),
        period: PeriodKind::Timeslice,
        part: 0,
        at_ms: 1_780_074_060_000,
    };
    let fixtures = [
        (Key::Meta(Meta::Checkpoint), "010103"),
        (Key::Meta(Meta::ChangelogRange), "01010400000400000000"),
        (
            user("acme", "u1"),
            "0104010261636d65000175310001112233445566778802\
                              0101",
        ),
        (
            user("a\0c", ""),
            "010401026100ff630001000111223344556677880201\
                            01",
        ),
        (aggregate, "01050000730001112233445566778801000102027fffffffffffffff"),
        (
            grouped,
            "01050001733a6f000111223344556677880374696572\
                   3d70726f000103008000019e74ae98e0",
        ),
    ];
    for (key, bytes) in fixtures {
        assert_eq!(hex::encode(&key.to_bytes()), bytes, "{key:?}");
        assert_eq!(Key::decode(&key.to_bytes()), Ok(key));
    }
}

#[test]
fn byte_values_of_kinds_are_frozen() {
    assert_eq!(Kind::ALL.map(|k| k as u8), [1, 4, 5]);
    assert_eq!([ScopeKind::Aggregate, ScopeKind::Tenant, ScopeKind::Group].map(|k| k as u8), [1, 2, 3]);
    let periods = [PeriodKind::Rolling, PeriodKind::Calendar, PeriodKind::Timeslice, PeriodKind::Journey];
    assert_eq!(periods.map(|k| k as u8), [1, 2, 3, 4]);
}

#[test]
fn the_identity_of_filters_is_frozen() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(format!("{:016x}", FiltersId::of(hash).0), "b9b6fd51dbd07ec5");
}

#[test]
fn subjects_read_as_in_the_keys_on_the_topics() {
    let group = Scope::Group(vec![("region".into(), "eu".into()), ("tier".into(), "a=b".into())]);
    assert_eq!(subject(&group), "region=eu,tier=a%3Db");
    assert_eq!(subject(&Scope::Tenant("a|b".into())), "a|b");
    assert_eq!(subject(&Scope::OtherGroups), "__other__");
    assert_eq!(subject(&Scope::Aggregate), "");
    assert_eq!(ScopeKind::of(&Scope::OtherGroups), ScopeKind::Group);
}

#[test]
fn unknown_formats_kinds_and_reserved_kinds_are_refused() {
    assert_eq!(Key::decode(&[]), Err(KeyError::Truncated { at: 0, what: "format" }));
    assert_eq!(Key::decode(&[2, 1, 1]), Err(KeyError::Unknown { at: 0, what: "format", found: 2 }));
    for kind in [0u8, 0x02, 0x03, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0xff] {
        assert_eq!(Key::decode(&[1, kind, 0]), Err(KeyError::Unknown { at: 1, what: "kind", found: kind }));
    }
    assert_eq!(Key::decode(&[1, 1, 9]), Err(KeyError::Unknown { at: 2, what: "meta row", found: 9 }));
    assert_eq!(Key::decode(&[1, 1, 3, 0]), Err(KeyError::Trailing { left: 1 }));
    assert_eq!(Key::decode(&[1, 1, 4, 0, 1]), Err(KeyError::Unknown { at: 4, what: "meta row", found: 1 }));
    assert_eq!(Key::decode(&[1, 4, 0, 0, 0xc3, 0, 1, 0, 1]), Err(KeyError::NotUtf8 { at: 4 }));
}

#[test]
fn descriptions_hide_user_ids() {
    let key = user("acme", "jane@example.com").to_bytes();
    let text = describe(&key);
    assert!(text.contains("acme") && !text.contains("jane"), "{text}");
    let text = describe(&key[..key.len() - 1]);
    assert!(text.contains("unreadable") && !text.contains("jane"), "{text}");
}

fn a_text() -> impl Strategy<Value = Cow<'static, str>> {
    let letters = prop::sample::select(vec!['\0', '\u{1}', 'a', 'b', '\u{ff}', '\u{10ffff}']);
    prop::collection::vec(letters, 0..4).prop_map(|cs| Cow::Owned(cs.into_iter().collect()))
}

fn a_key() -> impl Strategy<Value = Key<'static>> {
    let scopes = || prop::sample::select(vec![ScopeKind::Aggregate, ScopeKind::Tenant, ScopeKind::Group]);
    let periods = || prop::sample::select(vec![PeriodKind::Rolling, PeriodKind::Journey]);
    let times = || prop_oneof![-3i64..3, any::<i64>()];
    let filters = || (0u64..3).prop_map(FiltersId);
    prop_oneof![
        Just(Key::Meta(Meta::Checkpoint)),
        Just(Key::Meta(Meta::ChangelogRange)),
        (0u16..3, a_text(), a_text(), filters(), scopes(), periods(), any::<u8>()).prop_map(
            |(group, tenant, user, filters, scope, period, part)| Key::User {
                group,
                tenant,
                user,
                filters,
                scope,
                period,
                part
            }
        ),
        ((0u16..3, a_text(), filters(), scopes()), (a_text(), periods(), any::<u8>(), times())).prop_map(
            |((group, slo, filters, scope), (subject, period, part, at_ms))| Key::Key {
                group,
                slo,
                filters,
                scope,
                subject,
                period,
                part,
                at_ms
            }
        ),
    ]
}

proptest! {
    #[test]
    fn keys_are_read_back_and_order_as_their_fields(a in a_key(), b in a_key()) {
        let (bytes_a, bytes_b) = (a.to_bytes(), b.to_bytes());
        prop_assert_eq!(Key::decode(&bytes_a), Ok(a.clone()));
        prop_assert_eq!(bytes_a.cmp(&bytes_b), a.cmp(&b));
    }

    #[test]
    fn prefixes_hold_exactly_their_rows(key in a_key(), group in 0u16..3) {
        let bytes = key.to_bytes();
        let under = |prefix: Prefix| bytes.starts_with(&prefix.to_bytes());
        let of_users = matches!(&key, Key::User { group: g, .. } if *g == group);
        let of_keys = matches!(&key, Key::Key { group: g, .. } if *g == group);
        prop_assert_eq!(under(Prefix::Users { group }), of_users);
        prop_assert_eq!(under(Prefix::Keys { group }), of_keys);
        prop_assert_eq!(under(Prefix::Kind(Kind::User)), key.kind() == Kind::User);
    }

    #[test]
    fn any_bytes_are_a_key_with_those_bytes_or_an_error(
        tail in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, b'a', 0xff]), 0..40),
        kind in 0u8..8
    ) {
        let bytes = [&[FORMAT, kind][..], &tail].concat();
        if let Ok(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.to_bytes(), bytes);
        }
    }
}
