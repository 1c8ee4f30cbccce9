//! Planted personal data, in literals and in comments of statements. None of it may be seen past the pollers.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// Pause between two statements.
const PAUSE: Duration = Duration::from_secs(1);

const STATEMENTS: [&str; 4] = [
    "SELECT id, name FROM customers WHERE email = 'anna.silva1@example.com' AND card_number = '5555555555554444'",
    "SELECT name, phone FROM customers WHERE card_number IN ('4111111111111111', '378282246310005') LIMIT 20 \
     /* asked by maria.weber@example.com */",
    "UPDATE customers SET phone = '+49 30 5550001' WHERE email = 'jonas.patel2@example.com'",
    "COMMENT ON TABLE customers IS 'questions to ravi.chen@example.com, +49 30 5559999'",
];

/// Works until the connection ends.
pub async fn work(client: &Client) -> Result<(), Error> {
    for statement in STATEMENTS.iter().cycle() {
        client.simple_query(statement).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
