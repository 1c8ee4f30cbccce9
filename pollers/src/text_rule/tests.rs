use super::*;

fn published(text: &str) {
    assert_eq!(check(text.as_bytes()), Ok(text));
}

fn withheld(text: &str, reason: Withheld) {
    assert_eq!(check(text.as_bytes()), Err(reason), "{text}");
}

#[test]
fn normalised_statements_are_published_unchanged() {
    let texts = [
        "SELECT $1",
        "select * from orders where id = $1 and customer_id=$2",
        "  \n\tSELECT a FROM t",
        "Insert Into t1 (a1, b_2) values ($1,$2),($3,$4)",
        "UPDATE shop.order_lines2 SET price = price * $1 WHERE line_no IN ($2)",
        "DELETE FROM t WHERE a<$1",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = s.b",
        "WITH x AS (SELECT $1) SELECT * FROM x",
        "SELECT a-b, a- -b, a/b, a * b, a$1 FROM t$2",
        "SELECT naïve, 名前2 FROM größe",
        "WITH(x)AS(SELECT $1)SELECT",
        "SELECT $1::text||$2",
        "select",
    ];
    texts.into_iter().for_each(published);
}

#[test]
fn other_statements_are_withheld() {
    let texts = [
        "",
        "   ",
        "ALTER ROLE app PASSWORD 'hunter2'",
        "CREATE USER x",
        "SET x TO y",
        "VACUUM t",
        "EXPLAIN SELECT a FROM t",
        "PREPARE p AS SELECT a",
        "COPY t FROM STDIN",
        "DO LANGUAGE plpgsql",
        "(SELECT a)",
        "TABLE t",
        "VALUES ($1)",
        "SELECTED a",
        "select1",
        "with_x",
        "SELECT$1",
        "SELECTé a",
        "; SELECT a",
        "\u{a0}SELECT a",
    ];
    texts.into_iter().for_each(|text| withheld(text, Withheld::Kind));
}

#[test]
fn literals_are_withheld_with_their_reason() {
    let cases = [
        ("SELECT 'x'", Withheld::Quote),
        ("SELECT \"Name\" FROM t", Withheld::Quote),
        ("SELECT E'\\n'", Withheld::Quote),
        ("SELECT U&\"d\\0061t\"", Withheld::Quote),
        ("SELECT a FROM t WHERE b = N'", Withheld::Quote),
        ("SELECT $$x$$", Withheld::DollarTag),
        ("SELECT $tag$x$tag$", Withheld::DollarTag),
        ("SELECT $_$x$_$", Withheld::DollarTag),
        ("SELECT $é$x$é$", Withheld::DollarTag),
        ("SELECT $", Withheld::DollarTag),
        ("SELECT $1x$ secret $1x$", Withheld::DollarTag),
        ("SELECT $1$x", Withheld::DollarTag),
        ("SELECT a -- secret", Withheld::Comment),
        ("SELECT a --", Withheld::Comment),
        ("SELECT /* secret */ a", Withheld::Comment),
        ("SELECT a FROM t WHERE b IN ($1 /*, ... */)", Withheld::Comment),
        ("/* secret */ SELECT a", Withheld::Kind),
        ("SELECT 1", Withheld::Digit),
        ("SELECT a LIMIT 10", Withheld::Digit),
        ("SELECT .5", Withheld::Digit),
        ("SELECT a, 0x1F", Withheld::Digit),
        ("SELECT a[1]", Withheld::Digit),
        ("SELECT a<5", Withheld::Digit),
        ("SELECT t.1", Withheld::Digit),
        ("SELECT a FROM t WHERE b=-7", Withheld::Digit),
        ("SELECT \u{0} a", Withheld::Bytes),
        ("SELECT \u{7f} a", Withheld::Bytes),
        ("SELECT \u{1b}[2J", Withheld::Bytes),
        ("<insufficient privilege>", Withheld::Unavailable),
    ];
    cases.into_iter().for_each(|(text, reason)| withheld(text, reason));
}

#[test]
fn bytes_that_are_no_text_are_withheld() {
    assert_eq!(check(b"SELECT \xff"), Err(Withheld::Bytes));
    assert_eq!(check(b"\xc3\x28"), Err(Withheld::Bytes));
    assert_eq!(check(b"SELECT caf\xe9 FROM t"), Err(Withheld::Bytes));
}

#[test]
fn long_texts_are_withheld() {
    let fits = format!("SELECT {}", "a".repeat(TEXT_BYTES_MAX - 7));
    published(&fits);
    withheld(&format!("{fits}a"), Withheld::Length);
}

/// Whatever is put into a publishable text, a literal never comes out of the check.
#[test]
fn every_way_to_write_a_literal_is_caught_at_every_place() {
    let literals = ["'s'", "42", "4.2", ".5", "$$s$$", "$q$s$q$", "\"s\"", "-- s\n", "/* s */", "B'1'", "E's'", "1e5"];
    let parts = ["SELECT", "a", "FROM", "t1", "WHERE", "b", "=", "$1", ",", "(", ")"];
    for literal in literals {
        for place in 1..=parts.len() {
            let mut words = parts.to_vec();
            words.insert(place, literal);
            let text = words.join(" ");
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }
}

#[test]
fn the_check_is_defined_for_all_bytes() {
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..24).map(|_| next_byte(&mut state)).collect();
        let with_word = [b"select ".as_slice(), &bytes].concat();
        for text in [bytes.as_slice(), with_word.as_slice()] {
            if let Ok(passed) = check(text) {
                assert!(!passed.contains(['\'', '"']) && !passed.contains("--") && !passed.contains("/*"));
            }
        }
    }
}

fn next_byte(state: &mut u32) -> u8 {
    const ALPHABET: &[u8] = b"select $'\"-/*01a_ \xc3\xa9\xff\0$$tag";
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    ALPHABET[*state as usize % ALPHABET.len()]
}

#[test]
fn reasons_have_distinct_names() {
    let mut names: Vec<_> = Withheld::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Withheld::ALL.len());
}
