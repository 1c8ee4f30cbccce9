//! One statement whose plan flips: its index goes and comes back.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// Pause between two look-ups.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the index is there, and how long it is not.
const PERIOD: Duration = Duration::from_secs(20);
/// Shipments in the table.
const SHIPMENTS: u32 = 60_000;
/// Step between the shipments that are looked up; prime to their number.
const STEP: u32 = 7919;

/// Looks shipments up, planned each time, until the connection ends.
pub async fn work(client: &Client) -> Result<(), Error> {
    let mut shipment = 1;
    loop {
        let look_up =
            format!("SELECT id, order_id, status FROM shipments WHERE tracking_code = 'TR' || md5('{shipment}')");
        client.simple_query(&look_up).await?;
        shipment = 1 + (shipment + STEP) % SHIPMENTS;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes the index away and brings it back, until the connection ends.
pub async fn maintain(client: &Client) -> Result<(), Error> {
    loop {
        tokio::time::sleep(PERIOD).await;
        client.batch_execute("DROP INDEX IF EXISTS shipments_by_code").await?;
        tokio::time::sleep(PERIOD).await;
        client.batch_execute("CREATE INDEX IF NOT EXISTS shipments_by_code ON shipments (tracking_code)").await?;
    }
}
