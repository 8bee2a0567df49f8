//! Month names as servers print them in their locale's language.
//!
//! Only names that mean the same month in all of these languages: German, French, Spanish, Italian, Portuguese,
//! Catalan, Dutch, Danish, Norwegian, Swedish, Finnish, Estonian, Latvian, Lithuanian, Polish, Czech, Slovak, Slovene,
//! Croatian, Hungarian, Romanian, Turkish, Russian, Ukrainian, Bulgarian, Greek, Chinese, Japanese, Korean. (`lip` is
//! June in Zagreb and July in Warsaw, `srp` July and August.)

/// The longest name in bytes, with a dot.
pub(super) const LONGEST: usize = 20;

/// In small letters, without the dot that some languages put after an abbreviation.
const NAMES: [&[&str]; 12] = [
    &[
        "jan", "janv", "jän", "ene", "gen", "ian", "jaan", "led", "oca", "saus", "sij", "sty", "tammi", "ιαν", "січ",
        "янв", "яну", "1月", "1월", "一月",
    ],
    &[
        "feb", "febr", "fev", "fév", "févr", "helmi", "lut", "vas", "veebr", "velj", "úno", "şub", "φεβ", "лют", "фев",
        "февр", "2月", "2월", "二月",
    ],
    &[
        "mar", "mär", "märz", "mars", "mrt", "març", "marts", "maalis", "bře", "kov", "márc", "märts", "ožu", "μάρ",
        "μαρ", "бер", "мар", "март", "3月", "3월", "三月",
    ],
    &[
        "apr", "avr", "avril", "abr", "april", "bal", "dub", "huhti", "kwi", "nis", "tra", "ápr", "απρ", "апр", "кві",
        "квіт", "4月", "4월", "四月",
    ],
    &[
        "may", "mai", "mag", "mei", "maj", "maig", "maijs", "máj", "geg", "kvě", "svi", "touko", "μάι", "μαΐ", "май",
        "мая", "тра", "трав", "5月", "5월", "五月",
    ],
    &[
        "jun", "juni", "juin", "giu", "juny", "juuni", "jún", "jūn", "iun", "birž", "cze", "haz", "kesä", "čen", "čvn",
        "ιουν", "ιούν", "июн", "июнь", "чер", "черв", "юни", "6月", "6월", "六月",
    ],
    &[
        "jul", "juli", "juil", "juill", "lug", "juuli", "júl", "jūl", "iul", "heinä", "liep", "tem", "čec", "čvc",
        "ιουλ", "ιούλ", "июл", "июль", "лип", "юли", "7月", "7월", "七月",
    ],
    &[
        "aug", "août", "ago", "ag", "avg", "ağu", "elo", "kol", "rugp", "sie", "αυγ", "αύγ", "авг", "сер", "серп",
        "8月", "8월", "八月",
    ],
    &[
        "sep", "sept", "set", "eyl", "rugs", "ruj", "syys", "szept", "wrz", "zář", "σεπ", "вер", "сен", "сент", "сеп",
        "9月", "9월", "九月",
    ],
    &[
        "oct", "okt", "ott", "out", "eki", "loka", "paź", "spal", "říj", "οκτ", "жов", "жовт", "окт", "10月", "10월",
        "十月",
    ],
    &[
        "nov",
        "kas",
        "lapkr",
        "marras",
        "stu",
        "νοέ",
        "νοε",
        "лис",
        "лист",
        "ное",
        "ноя",
        "нояб",
        "11月",
        "11월",
        "十一月",
    ],
    &[
        "dec",
        "dez",
        "déc",
        "dic",
        "des",
        "dets",
        "ara",
        "gru",
        "gruod",
        "joulu",
        "pro",
        "δεκ",
        "гру",
        "груд",
        "дек",
        "12月",
        "12월",
        "十二月",
    ],
];

/// 1 for January; `None` if the name is unknown or means several months.
pub(super) fn number(name: &[u8]) -> Option<i64> {
    let name = std::str::from_utf8(name).ok()?;
    let small = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    Some(NAMES.iter().position(|names| names.contains(&small.as_str()))? as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_print_after_a_change_of_language() {
        for (name, month) in [
            ("Jan", 1),
            ("Mär", 3),
            ("Mai", 5),
            ("Okt", 10),
            ("Nov.", 11),
            ("DÉC.", 12),
            ("févr.", 2),
            ("août", 8),
            ("мая", 5),
        ] {
            assert_eq!(number(name.as_bytes()), Some(month), "{name}");
        }
    }

    #[test]
    fn a_name_of_two_months_is_none() {
        for name in ["lip", "lis", "srp", "", ".", "x", "Ma"] {
            assert_eq!(number(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn no_name_stands_for_two_months_and_none_is_too_long() {
        let mut names: Vec<&str> = NAMES.iter().flat_map(|names| names.iter().copied()).collect();
        assert!(names.iter().all(|name| name.len() < LONGEST && name.to_lowercase() == **name));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
