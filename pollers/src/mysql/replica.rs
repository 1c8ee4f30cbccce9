//! What a replica says of its channels, and the binary log. The statements have other names on other versions.

use super::connection::Connection;
use super::mapping;
use super::server::Server;
use crate::failure::Failure;
use crate::metric::Value;
use crate::rows::{MetricRow, Point};

/// Statements that list the channels of a replica: MySQL since 8.0.22, MariaDB, and MySQL before.
const CHANNELS: [&str; 3] = ["SHOW REPLICA STATUS", "SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS"];
const BINARY_LOGS: &str = "SHOW BINARY LOGS";
/// The binary log is off.
const NO_BINARY_LOG: &str = "1381";

/// One row for each channel.
pub async fn channels(connection: &mut Connection, server: &Server) -> Result<Vec<MetricRow>, Failure> {
    // `SHOW REPLICA STATUS` of MariaDB gives the unnamed channel alone.
    let statements = if server.is_mariadb { &CHANNELS[1..2] } else { &CHANNELS[..] };
    let mut failure = None;
    for sql in statements {
        match connection.query(sql).await {
            Ok(rows) => return Ok(rows.iter().map(channel).collect()),
            Err(refused) if refused.is_unknown_statement() => failure = Some(refused),
            Err(other) => return Err(other),
        }
    }
    failure.map_or(Ok(Vec::new()), Err)
}

fn channel(row: &mysql_async::Row) -> MetricRow {
    let columns = row.columns_ref().iter().map(|column| current_name(&column.name_str()));
    let texts: Vec<(String, String)> =
        columns.enumerate().filter_map(|(place, name)| Some((name, text(row, place)?))).collect();
    let of = |name: &str| texts.iter().find(|(column, _)| column == name).map(|(_, text)| text.as_str());
    let points = mapping::CHANNEL.iter().filter_map(|series| {
        let value = match of(series.column)? {
            "Yes" => 1,
            "No" | "Connecting" | "Preparing" => 0,
            number => number.parse().ok()?,
        };
        Some(Point::new(series, Value::Integer(value)))
    });
    let points = points.collect();
    let channel = of("channel_name").or(of("connection_name")).unwrap_or_default().to_owned();
    let object =
        vec![("mysql.replica.channel.name", channel), ("source", of("source_host").unwrap_or_default().to_owned())];
    MetricRow { object_type: "replica", view: "replica_status", object, statistics_reset_at: None, points }
}

/// A column's name as MySQL writes it today, in small letters.
fn current_name(name: &str) -> String {
    name.to_ascii_lowercase().replace("master", "source").replace("slave", "replica")
}

/// The binary log on disk; nothing where there is none.
pub async fn binary_logs(connection: &mut Connection) -> Result<Option<MetricRow>, Failure> {
    let rows = match connection.query(BINARY_LOGS).await {
        Err(failure) if failure.class == NO_BINARY_LOG => return Ok(None),
        rows => rows?,
    };
    let bytes = rows.iter().filter_map(|row| text(row, 1)?.parse::<i64>().ok()).sum();
    let values = [i64::try_from(rows.len()).unwrap_or(i64::MAX), bytes];
    let points =
        mapping::BINARY_LOGS.iter().zip(values).map(|(series, value)| Point::new(series, Value::Integer(value)));
    let points = points.collect();
    Ok(Some(MetricRow {
        object_type: "server",
        view: "binary_logs",
        object: Vec::new(),
        statistics_reset_at: None,
        points,
    }))
}

fn text(row: &mysql_async::Row, place: usize) -> Option<String> {
    let bytes: Vec<u8> = row.get_opt(place)?.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_one_name_whatever_the_version() {
        let cases = [
            ("Seconds_Behind_Master", "seconds_behind_source"),
            ("Slave_IO_Running", "replica_io_running"),
            ("Replica_SQL_Running", "replica_sql_running"),
            ("Channel_Name", "channel_name"),
        ];
        for (name, expected) in cases {
            assert_eq!(current_name(name), expected);
        }
    }
}
