//! One slow statement: a report that reads every order, and waits.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// Pause between two reports.
const PAUSE: Duration = Duration::from_secs(3);

const REPORT: &str = "SELECT status, sum(quantity) AS pieces, count(*) AS orders FROM orders, pg_sleep($1) \
                      WHERE note LIKE $2 GROUP BY status ORDER BY pieces DESC";

/// Seconds that a report takes at least, on any machine.
const SLEEP: f64 = 1.2;

/// Works until the connection ends.
pub async fn work(client: &Client) -> Result<(), Error> {
    let report = client.prepare(REPORT).await?;
    loop {
        client.execute(&report, &[&SLEEP, &"%refund%"]).await?;
        tokio::time::sleep(PAUSE).await;
    }
}
