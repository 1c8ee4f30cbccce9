//! One chain of locks: the first session holds a row and idles, the second waits for it and holds another, for which the
//! third waits.

use std::time::Duration;

use tokio_postgres::{Client, Error};

use crate::demo::server::Connector;

/// How long the chain stands.
const HELD: Duration = Duration::from_secs(4);
/// Pause between two chains.
const PAUSE: Duration = Duration::from_secs(4);
/// Time for a session to have its locks before the next one asks.
const STEP: Duration = Duration::from_millis(300);

/// Works until a connection ends.
pub async fn work(first: &Client, shop: &Connector) -> Result<(), Error> {
    let (second, third) = (shop.connect().await?, shop.connect().await?);
    loop {
        first.batch_execute("BEGIN; UPDATE accounts SET balance_cents = balance_cents - 1 WHERE id = 1").await?;
        let waits_for_first = async {
            tokio::time::sleep(STEP).await;
            second.batch_execute("BEGIN; UPDATE accounts SET balance_cents = balance_cents + 1 WHERE id = 2").await?;
            second.batch_execute("UPDATE accounts SET balance_cents = balance_cents - 2 WHERE id = 1; COMMIT").await
        };
        let waits_for_second = async {
            tokio::time::sleep(2 * STEP).await;
            third.batch_execute("UPDATE accounts SET balance_cents = balance_cents + 2 WHERE id = 2").await
        };
        let holds = async {
            tokio::time::sleep(HELD).await;
            first.batch_execute("COMMIT").await
        };
        tokio::try_join!(holds, waits_for_first, waits_for_second)?;
        tokio::time::sleep(PAUSE).await;
    }
}
