use super::Provenance;

/// Each row: what the user wrote, a value of a call, whether it is the user's.
const ROWS: &[(&str, &str, bool)] = &[
    // e-mail
    ("mail bob@corp.com please", "bob@corp.com", true),
    ("mail bob@corp.com.", "bob@corp.com", true),
    ("mail <bob@corp.com>", "bob@corp.com", true),
    ("mail Bob (bob@corp.com), now", "bob@corp.com", true),
    ("mail bob@CORP.com", "bob@corp.COM", true),
    ("mail mailto:bob@corp.com", "bob@corp.com", true),
    ("to a@corp.com,b@corp.com", "b@corp.com", true),
    ("to a@corp.com, b@corp.com", "a@corp.com; b@corp.com", true),
    ("use bob@corp.com's address", "bob@corp.com", true),
    ("[Bob](bob@corp.com)", "bob@corp.com", true),
    ("mail bob@corp.com", "Bob@corp.com", false),
    ("mail bob@corp.com.au", "bob@corp.com", false),
    ("mail bob@corp.com", "bob@corp.com.evil.com", false),
    ("mail bob@corp.com", "ob@corp.com", false),
    ("mail bob@corp.com", "bob@corp.com, eve@evil.com", false),
    ("mail bob@corp.com", "bob@corp.com\nBcc: eve@evil.com", false),
    ("mail bob@corp.com", "eve@evil.com <bob@corp.com>", false),
    ("mail bob@corp.com", "bob@cоrp.com", false), // Cyrillic о
    ("mail bob@corp.com", "ｂob@corp.com", false), // full-width b
    ("mail bob@corp.com", "bob%40corp.com", false),
    ("mail bob@corp.com", "Ym9iQGNvcnAuY29t", false),
    ("mail bob at corp.com", "bob@corp.com", false),
    // web addresses, hosts, files
    ("fetch https://corp.com/q3?x=1.", "https://corp.com/q3?x=1", true),
    ("fetch HTTPS://Corp.com", "https://corp.com/", true),
    ("fetch (https://corp.com:443/)", "https://corp.com", true),
    ("see [this](https://corp.com/a)", "https://corp.com/a", true),
    ("visit www.corp.com", "https://www.corp.com", true),
    ("visit www.corp.com", "www.corp.com", true),
    ("fetch https://corp.com/q3", "https://corp.com/", false),
    ("fetch https://corp.com/", "https://corp.com/?leak=secret", false),
    ("fetch https://corp.com", "https://corp.com@evil.com/", false),
    ("fetch https://corp.com", "https://corp.com:8443/", false),
    ("fetch https://corp.com", "http://corp.com/", false),
    ("fetch https://corp.com", "https://corp.com\\@evil.com", false),
    ("open README.md", "https://readme.md/", false),
    ("open README.md", "README.md", true),
    ("host is db7.corp.com", "db7.corp.com", true),
    // money and numbers
    ("pay 1,250.00 EUR", "1250", true),
    ("pay €1.250,00", "1250.00", true),
    ("pay $98.75", "98.75", true),
    ("pay 12500", "1250", false),
    ("pay 1250", "12500", false),
    ("pay 1250", "-1250", false),
    ("on May 26", "26", false),
    ("room 101", "101", false),
    ("pay 100.00", "100", false),
    ("the year 2026", "2026", true),
    // IBAN
    ("to DE89 3704 0044 0532 0130 00 today", "DE89370400440532013000", true),
    ("to DE89370400440532013000", "DE89 3704 0044 0532 0130 00", true),
    ("to DE89370400440532013000", "DE89370400440532013001", false),
    // phone
    ("call +49 151 234-5678 now", "+491512345678", true),
    ("call (555) 123-4567", "5551234567", true),
    ("call +49 151 2345678", "+491512345679", false),
    // dates
    ("on May 26, 2026 at noon", "2026-05-26", true),
    ("by 26.05.2026!", "2026-05-26", true),
    ("on 2026-05-26 10:00", "2026-05-26T10:00:00Z", true),
    ("on 2026-05-26", "2026-05-27", false),
    ("on 05/06/2026", "2026-06-05", false),
    // paths and identifiers
    ("delete /srv/data/old.csv", "/srv/data/old.csv", true),
    ("delete /srv/data/old.csv", "/srv/data", false),
    ("delete /srv/data/old.csv", "/srv/data/../data/old.csv", false),
    ("close PROJ-1234 please", "PROJ-1234", true),
    ("close PROJ-1234", "PROJ-123", false),
    ("close #48213", "48213", true),
    ("id 6f1c2a9e-7b", "6f1c2a9e-7b", true),
    ("in quarterly_report_v2", "quarterly_report_v2", true),
    // quotes and phrases
    ("call it \"Nightingale\"", "Nightingale", true),
    ("call it 'Nightingale'", "Nightingale", true),
    ("call it “Nightingale”", "Nightingale", true),
    ("call it Nightingale", "Nightingale", false),
    ("say \"yes\"", "yes", false),
    ("share with 'everyone'", "everyone", false),
    ("it's Bob's idea, isn't it", "s idea, isn", false),
    ("title: Quarterly Revenue Review.", "Quarterly Revenue Review", true),
    ("title: Quarterly  Revenue\nReview", "Quarterly Revenue Review", true),
    ("title: Quarterly Revenue Review", "quarterly revenue review", false),
    ("Quarterly Revenues", "Quarterly Revenue", false),
    ("send it to the team", "to the", false),
    ("send the file to all users", "all users", false),
    ("Transfer funds to bob@corp.com", "funds to bob@corp", false),
    ("delete the draft", "delete", false),
    ("is it true", "true", false),
    ("anything", "", false),
];

#[test]
fn values_are_the_users_only_where_they_stand_in_their_words() {
    for (said, value, own) in ROWS {
        assert_eq!(Provenance::of([*said]).holds(value), *own, "{said:?} / {value:?}");
    }
}

#[test]
fn json_numbers_are_compared_by_value() {
    for (said, raw, own) in [
        ("pay 1250", "1250", true),
        ("pay 1,250.50", "1250.5", true),
        ("pay 1250", "1.25e3", true),
        ("pay 1250", "1250.0", true),
        ("pay 1250", "1251", false),
        ("pay 1250", "12.50e2", true),
        ("pay 50", "50", false),
        ("pay 12345678901234567890", "12345678901234567891", false),
        ("pay 1250", "1e99999999999", false),
    ] {
        assert_eq!(Provenance::of([said]).holds_number(raw), own, "{said} / {raw}");
    }
}

/// What is found by search must be what stands in the full index, and nothing less.
fn assert_search_misses_nothing(texts: &[&str], value: &str) {
    let (searched, indexed) =
        (Provenance::of(texts.iter().copied()), Provenance::of(texts.iter().copied()));
    indexed.expect_many();
    assert_eq!(searched.holds(value), indexed.holds(value), "{texts:?} / {value:?}");
    assert_eq!(searched.holds_number(value), indexed.holds_number(value), "{texts:?} / {value:?}");
}

#[test]
fn a_search_finds_what_the_index_holds() {
    for (said, ..) in ROWS {
        let spaced = said.replace(' ', "\u{a0}\n ");
        for (other, value, _) in ROWS {
            for value in [value.to_string(), value.to_uppercase(), value.to_lowercase()] {
                assert_search_misses_nothing(&[said], &value);
                assert_search_misses_nothing(&[other, "", &spaced], &value);
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn a_search_finds_any_piece_that_the_index_holds(
        texts in proptest::collection::vec(
            "([a-cA-C]{1,3}|[0-9]{1,4}|[.,:;@/+()\"'#_-]|://|www\\.|May |DE89 ?3704| |\n|\u{a0}|é){0,24}",
            1..4,
        ),
        from in 0..80_usize,
        length in 1..40_usize,
        upper in proptest::bool::ANY,
    ) {
        let all: Vec<char> = texts.concat().chars().collect();
        let piece: String = all.iter().skip(from % (all.len() + 1)).take(length).collect();
        let piece = if upper { piece.to_uppercase() } else { piece };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_search_misses_nothing(&texts, &piece);
        assert_search_misses_nothing(&texts, &piece.replace(['.', ',', ' ', '\n'], ""));
    }
}
