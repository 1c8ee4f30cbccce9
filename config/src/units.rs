//! Durations and sizes are text with units: `10s`, `1h30m`, `16MiB`.

use std::time::Duration;

const DURATION_UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u128); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration: one or more numbers with the units ns, us, ms, s, m, h, d, as in `1h30m` or
/// `1.5s`; `0` needs no unit. Gives none for anything else, and past 584 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds = 0u128;
    let mut rest = text;
    while !rest.is_empty() {
        let (amount, after) = leading_amount(rest, &DURATION_UNITS)?;
        nanoseconds = nanoseconds.checked_add(amount)?;
        rest = after;
    }
    let is_written = !text.is_empty();
    is_written.then_some(())?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// Reads a size in bytes: a number with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB
/// (powers of 1024), as in `16MiB` or `1.5 GiB`; `0` needs no unit. Gives none for anything else.
pub fn parse_bytes(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let compact = text.replacen(' ', "", 1);
    let (bytes, rest) = leading_amount(&compact, &SIZE_UNITS)?;
    if !rest.is_empty() {
        return None;
    }
    u64::try_from(bytes).ok()
}

/// Takes a number and its unit off the front of `text`: the amount in the smallest unit (what is
/// finer is cut off), and what follows.
fn leading_amount<'a>(text: &'a str, units: &[(&str, u128)]) -> Option<(u128, &'a str)> {
    let number_end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest.find(|character: char| character.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((scaled(number, *factor)?, rest))
}

/// A decimal number times `factor`, exactly.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u128 = whole.parse().ok()?;
    let parts = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = fraction.parse().ok()?;
    whole.checked_mul(factor)?.checked_add(fraction.checked_mul(factor)? / parts)
}

#[cfg(test)]
mod tests;
