//! Times as RFC 3339 writes them, to and from time since the epoch. UTC; leap seconds do not exist.

const SECONDS_PER_DAY: i64 = 86_400;

/// `2026-01-31T12:00:00.000001Z`; digits of the second that are zero are left out.
#[must_use]
pub fn format_us(since_epoch_us: i64) -> String {
    let (seconds, us) = (since_epoch_us.div_euclid(1_000_000), since_epoch_us.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = match us {
        0 => String::new(),
        us => format!(".{us:06}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// The same for ms.
#[must_use]
pub fn format_ms(since_epoch_ms: i64) -> String {
    format_us(since_epoch_ms.saturating_mul(1000))
}

/// Reads `2026-01-31T12:00:00Z`, with a fraction of the second or an offset such as `+02:00`; ms since the epoch.
#[must_use]
pub fn parse_ms(text: &str) -> Option<i64> {
    parse_us(text).map(|us| us.div_euclid(1000))
}

/// As [`parse_ms`], in µs.
#[must_use]
pub fn parse_us(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, offset_minutes) = split_offset(rest)?;
    let (time, us) = match time.split_once('.') {
        Some((time, fraction)) => (time, microseconds(fraction)?),
        None => (time, 0),
    };
    let [hour, minute, second] = numbers(time, ':')?;
    let in_range = (0..=9999).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 61;
    let days = in_range.then(|| days_until(year, month, day))?;
    if date_of(days) != (year, month, day) {
        return None;
    }
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + (minute - offset_minutes) * 60 + second;
    Some(seconds * 1_000_000 + us)
}

/// Splits `12:00:00+02:00` into the time and the offset in minutes.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let sign_at = text.rfind(['+', '-'])?;
    let (time, offset) = text.split_at(sign_at);
    let [hours, minutes] = numbers(&offset[1..], ':')?;
    let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
    Some((time, if offset.starts_with('-') { -minutes } else { minutes }))
}

fn microseconds(fraction: &str) -> Option<i64> {
    let all_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let first_six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    all_digits.then(|| first_six.parse().ok()).flatten()
}

/// Numbers of two or more digits.
fn numbers<const COUNT: usize>(text: &str, separator: char) -> Option<[i64; COUNT]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; COUNT];
    for number in &mut numbers {
        let part = parts.next().filter(|part| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days from the epoch to a date of the Gregorian calendar, counted in eras of 400 years that begin in March (Howard
/// Hinnant, "chrono-compatible low-level date algorithms").
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_until`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_both_ways() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (1_700_000_000_123_000, "2023-11-14T22:13:20.123Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59Z"),
        ];
        for (us, text) in cases {
            assert_eq!(format_us(us), text);
            assert_eq!(parse_us(text), Some(us), "{text}");
            assert_eq!(parse_ms(text), Some(us.div_euclid(1000)), "{text}");
        }
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let noon = parse_ms("2026-06-01T12:00:00Z").unwrap();
        let cases =
            [("2026-06-01T14:00:00+02:00", 0), ("2026-06-01T06:30:00-05:30", 0), ("2026-06-01 12:00:00.5Z", 500)];
        for (text, later) in cases {
            assert_eq!(parse_ms(text), Some(noon + later), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let cases = [
            "",
            "now",
            "2026-06-01",
            "2026-06-01T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T12:00:00",
            "2026-06-01T12:00:00.Z",
            "2026-06-01T12:00:00+2",
        ];
        for text in cases {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_two_centuries_is_its_own_inverse() {
        for day in -20_000..60_000 {
            let (year, month, date) = date_of(day);
            assert_eq!(days_until(year, month, date), day);
        }
    }
}
