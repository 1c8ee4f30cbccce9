//! What is switched off in a server and makes some numbers poorer than they could be.

use super::connection::Connection;
use super::value::Columns;
use crate::failure::Failure;
use crate::poll::Capability;

/// Instruments by a pattern of LIKE, and what is not counted without them.
const INSTRUMENTS: [(&str, &str); 7] = [
    ("statement/%", "no statement is counted"),
    ("wait/io/table/sql/handler", "reads and writes of tables and indexes are not counted"),
    ("wait/lock/table/sql/handler", "waits for locks of tables are not counted"),
    ("wait/lock/metadata/sql/mdl", "metadata locks are not seen"),
    ("wait/io/file/%", "reads and writes of files are not counted"),
    // Those of the performance schema itself are always on.
    ("memory/sql/%", "memory is not counted"),
    ("error", "errors are not counted"),
];

/// What the instruments of this server cost that are switched off, or on without times. One that it does not have costs
/// nothing.
pub async fn instruments(connection: &mut Connection) -> Result<Vec<Capability>, Failure> {
    let counts: Vec<String> = INSTRUMENTS
        .iter()
        .map(|(pattern, _)| {
            format!(
                "SELECT '{pattern}' AS pattern, COUNT(*) AS present, COALESCE(SUM(ENABLED = 'YES'), 0) AS enabled,
                     COALESCE(SUM(ENABLED = 'YES' AND TIMED = 'YES'), 0) AS timed
                 FROM performance_schema.setup_instruments WHERE NAME LIKE '{pattern}'"
            )
        })
        .collect();
    let mut advice = Vec::new();
    for row in &connection.query(&counts.join(" UNION ALL ")).await? {
        let row = Columns(row);
        let pattern = row.text("pattern")?.unwrap_or_default();
        let count = |name| row.required::<i64>(name);
        advice.extend(of_instrument(&pattern, count("present")?, count("enabled")?, count("timed")?));
    }
    Ok(advice)
}

fn of_instrument(pattern: &str, present: i64, enabled: i64, timed: i64) -> Option<Capability> {
    let (_, uncounted) = INSTRUMENTS.iter().find(|(of, _)| *of == pattern)?;
    let has_times = pattern.starts_with("wait/io/") || pattern.starts_with("statement/");
    let consequence = match (enabled, timed) {
        _ if present == 0 => return None,
        (0, _) => (*uncounted).to_owned(),
        (_, 0) if has_times => format!("times of {pattern} are 0"),
        _ => return None,
    };
    Some(Capability {
        name: format!("performance_schema.setup_instruments.{pattern}"),
        consequence,
        remedy: format!(
            "performance-schema-instrument='{pattern}=ON' in the server's configuration, or UPDATE \
             performance_schema.setup_instruments SET ENABLED = 'YES', TIMED = 'YES' WHERE NAME LIKE '{pattern}'"
        ),
    })
}

/// What MariaDB's variable `userstat` costs when it is off.
pub fn no_user_statistics() -> Capability {
    Capability {
        name: "userstat".to_owned(),
        consequence: "what each user does is not counted".to_owned(),
        remedy: "SET GLOBAL userstat = ON, and userstat = 1 in the server's configuration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_switched_off_is_said() {
        let cases = [
            ("memory/sql/%", (0, 0, 0), None),
            ("memory/sql/%", (9, 0, 0), Some("memory is not counted")),
            ("memory/sql/%", (9, 9, 0), None),
            ("wait/io/file/%", (9, 3, 3), None),
            ("wait/io/file/%", (9, 3, 0), Some("times of wait/io/file/% are 0")),
        ];
        for (pattern, (present, enabled, timed), consequence) in cases {
            let found = of_instrument(pattern, present, enabled, timed);
            assert_eq!(found.as_ref().map(|it| it.consequence.as_str()), consequence, "{pattern}");
        }
    }
}
