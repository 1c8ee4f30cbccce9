//! "Did you mean": the known name nearest to a mistyped one.

/// Names that are at least this similar (Jaro-Winkler, 0 to 1) are worth suggesting.
const SIMILARITY_MIN: f64 = 0.85;

/// A name this long that stands inside another is worth suggesting (`interval` in
/// `collection_interval`).
const CONTAINED_CHARACTERS_MIN: usize = 4;

/// The nearest of `known`, if any is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    for candidate in known {
        let similarity = similarity(name, candidate);
        let is_better = best.is_none_or(|(highest, _)| similarity > highest);
        if similarity >= SIMILARITY_MIN && is_better {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: `, did you mean …?` and all that is known.
pub fn way_out(name: &str, known: &[&str]) -> String {
    let hint = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!(", did you mean `{nearest}`?"),
        None => ";".to_owned(),
    };
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{hint} known: {list}")
}

fn similarity(name: &str, candidate: &str) -> f64 {
    let (short, long) = if name.len() < candidate.len() { (name, candidate) } else { (candidate, name) };
    let contained = short.chars().count() >= CONTAINED_CHARACTERS_MIN && long.contains(short);
    let similarity = strsim::jaro_winkler(name, candidate);
    if contained { similarity.max(SIMILARITY_MIN) } else { similarity }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_suggested() {
        let known = ["endpoint", "interval", "timeout", "databases", "postgresql", "mysql"];
        let cases = [
            ("intervl", Some("interval")),
            ("collection_interval", Some("interval")),
            ("endpiont", Some("endpoint")),
            ("postgre", Some("postgresql")),
            ("time_out", Some("timeout")),
            ("database", Some("databases")),
            ("colour", None),
            ("my", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
