//! `--from`: where a tap begins.

use dbintel_bus::Start;
use dbintel_config::parse_duration;
use dbintel_schemas::rfc3339;

/// Reads `beginning`, `end`, a time or an age; `now` is in ms since the epoch.
pub fn parse(text: &str, now: i64) -> Result<Start, String> {
    let age = |text| parse_duration(text).and_then(|age| i64::try_from(age.as_millis()).ok());
    let start = match text {
        "beginning" => Some(Start::Beginning),
        "end" => Some(Start::End),
        _ => match text.strip_prefix('-') {
            Some(text) => age(text).map(|age| Start::Time(now - age)),
            None => rfc3339::parse_ms(text).map(Start::Time),
        },
    };
    start.ok_or_else(|| {
        format!("`{text}` is no place to begin at: write `beginning`, `end`, 2026-01-31T12:00:00Z, or -10m for ten minutes ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_or_a_time() {
        let now = 1_700_000_600_000;
        let cases = [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("-10m", Start::Time(1_700_000_000_000)),
            ("2023-11-14T22:13:20Z", Start::Time(1_700_000_000_000)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_says_what_is() {
        for text in ["", "start", "10m", "-10", "-", "2023-11-14"] {
            assert!(parse(text, 0).unwrap_err().contains("write `beginning`"), "{text}");
        }
    }
}
