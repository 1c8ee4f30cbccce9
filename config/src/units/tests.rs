use super::*;

#[test]
fn durations_have_units() {
    let cases = [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("7ns", Some(7)),
        ("5us", Some(5_000)),
        ("5µs", Some(5_000)),
        ("200ms", Some(200_000_000)),
        ("10s", Some(10_000_000_000)),
        ("1.5s", Some(1_500_000_000)),
        ("5m", Some(300_000_000_000)),
        ("1h30m", Some(5_400_000_000_000)),
        ("1d2h", Some(93_600_000_000_000)),
        ("106751d", Some(106_751 * 86_400_000_000_000)),
        ("300000d", None),
        ("", None),
        ("10", None),
        ("ten", None),
        ("s", None),
        ("-1s", None),
        ("1 s", None),
        ("1S", None),
        ("1.s", None),
        (".5s", None),
        ("1.2.3s", None),
        ("1h30", None),
        ("1w", None),
        ("99999999999999999999999999999999999999999s", None),
    ];
    for (text, nanoseconds) in cases {
        assert_eq!(parse_duration(text), nanoseconds.map(Duration::from_nanos), "{text}");
    }
}

#[test]
fn sizes_have_units() {
    let cases = [
        ("0", Some(0)),
        ("1B", Some(1)),
        ("2kB", Some(2_000)),
        ("2KiB", Some(2_048)),
        ("16MiB", Some(16 << 20)),
        ("16 MiB", Some(16 << 20)),
        ("1.5GiB", Some(3 << 29)),
        ("3TB", Some(3_000_000_000_000)),
        ("16", None),
        ("16M", None),
        ("16mib", None),
        ("16MiB1B", None),
        ("-1B", None),
        ("lots", None),
        ("99999999999TiB", None),
        ("", None),
    ];
    for (text, bytes) in cases {
        assert_eq!(parse_bytes(text), bytes, "{text}");
    }
}
