use super::*;
use proptest::prelude::*;

fn is_match(pattern: &str, text: &str) -> bool {
    compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(text)
}

/// The edge cases behind the table of cel-go's results.
#[test]
fn says_in_the_crates_dialect_what_re2_means() {
    for (pattern, written) in [
        (r"\d\w\s", r"[0-9][0-9A-Za-z_][\x{9}\x{A}\x{C}\x{D}\x{20}]"),
        (r"\D", "[[^0-9]]"),
        (r"\bx\B", r"(?-u:\b)x(?-u:\B)"),
        ("/users/{id}", r"/users/\{id\}"),
        ("a{2}b{2,}c{2,3}?", "a{2}b{2,}c{2,3}?"),
        ("[a&&b]", r"[a\x{26}\x{26}b]"),
        ("[]a-c]", r"[\x{5D}a-c]"),
        ("[^[:alpha:][:^digit:]]", "[^A-Za-z[^0-9]]"),
        (r"\Qa.b\E+", r"a\.b+"),
        (r"\0\101\x41\x{1F600}", "\0AA\u{1F600}"),
        (r"\pL\P{^Greek}", r"[\p{L}][\p{Greek}]"),
        ("(?P<a>x)(?<b>y)(?:z)(?i-s:w)", "(?:x)(?:y)(?:z)(?i-s:w)"),
        ("(?ii-i)x", "(?-i)x"),
    ] {
        assert_eq!(translate(pattern).as_deref(), Ok(written), "{pattern}");
    }
}

#[test]
fn a_mistake_is_named_with_its_place_in_the_pattern() {
    for (pattern, words) in [
        ("ab(", "at character 4: a `(` is never closed"),
        ("a)", "at character 2: a `)` closes nothing"),
        ("a**", "at character 3: what is repeated already"),
        ("|*", "at character 2: there is nothing before"),
        ("é[b-a]", "at character 2: the range `b-a` goes backwards"),
        ("x{1001}", "at character 2: a repetition by number goes to 1000"),
        ("(x{11}){100}", "at character 8: a repetition by number goes to 1000"),
        (r"\1", "no reference back"),
        (r"\Z", "no escape `\\Z`"),
        ("(?<=a)", "does not look ahead or behind"),
        (r"\p{Klingon}", "no kind of character named `Klingon`"),
        ("[[:letters:]]", "no set `[:letters:]`"),
        ("a\\", "the pattern ends in a backslash"),
    ] {
        let e = compile(pattern).expect_err(pattern);
        assert!(e.message.contains(words), "{pattern}: {e}");
        assert!(words.starts_with("the pattern") || e.remedy.is_some() || words.contains("1000"), "{pattern}: {e}");
    }
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("é"),
        Just("."),
        Just("^"),
        Just("$"),
        Just("|"),
        Just("("),
        Just(")"),
        Just("(?:"),
        Just("(?i)"),
        Just("["),
        Just("]"),
        Just("[^"),
        Just("-"),
        Just("&&"),
        Just("--"),
        Just("~~"),
        Just("*"),
        Just("+"),
        Just("?"),
        Just("{"),
        Just("}"),
        Just("{2}"),
        Just("{1,3}"),
        Just("{0}"),
        Just("{,2}"),
        Just("\\d"),
        Just("\\W"),
        Just("\\s"),
        Just("\\b"),
        Just("\\B"),
        Just("\\pL"),
        Just("\\PN"),
        Just("\\Q"),
        Just("\\E"),
        Just("\\x41"),
        Just("\\101"),
        Just("\\."),
        Just("\\"),
        Just("[:alpha:]"),
        Just("[[:^digit:]]"),
        Just("(?P<n>"),
        Just("(?s-i:"),
        Just(" "),
        Just("#"),
        Just("\\z"),
        Just("\\A"),
    ];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The crate accepts the translation of every pattern that we accept.
    #[test]
    fn a_pattern_that_is_read_compiles(pattern in pattern()) {
        if let Ok(translated) = translate(&pattern) {
            let built = regex::RegexBuilder::new(&translated).size_limit(SIZE_LIMIT_BYTES).nest_limit(NEST_LIMIT).build();
            prop_assert!(built.is_ok(), "{} as {}: {:?}", pattern, translated, built.err());
        }
    }

    /// Quoted, any text matches only itself.
    #[test]
    fn a_quoted_text_finds_itself(text in "[a-c.*+?(){}\\[\\]|^$é-]{0,8}", other in "[a-c.*]{0,4}") {
        prop_assume!(!text.contains("\\E"));
        let whole = format!("^\\Q{text}\\E$");
        prop_assert!(is_match(&whole, &text));
        prop_assert_eq!(is_match(&whole, &other), text == other);
    }
}
