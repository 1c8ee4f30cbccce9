//! Ordinary work: many short statements.

use std::time::Duration;

use tokio_postgres::{Client, Error, Statement};

/// Pause between two statements of a session.
const PAUSE: Duration = Duration::from_millis(20);

/// The statements and how often each comes, in parts of 100.
const MIX: [(&str, u64); 5] = [
    ("SELECT name, price_cents, stock FROM products WHERE id = $1", 45),
    (
        "SELECT o.id, o.status, p.name FROM orders o JOIN products p ON p.id = o.product_id \
         WHERE o.customer_id = $1 ORDER BY o.ordered_at DESC LIMIT 10",
        30,
    ),
    ("INSERT INTO orders (customer_id, product_id, quantity, status) VALUES ($1, 1 + $1 % 300, 1, 'new')", 12),
    ("UPDATE products SET stock = stock - 1 WHERE id = $1", 10),
    (
        "DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE customer_id = $1 ORDER BY ordered_at LIMIT 2) \
         AND status = 'new'",
        3,
    ),
];
/// Keys that exist in every table that the mix addresses.
const KEYS: u64 = 300;

/// Works until the connection ends. `number` makes sessions differ.
pub async fn work(client: &Client, number: u64) -> Result<(), Error> {
    let mut statements: Vec<Statement> = Vec::with_capacity(MIX.len());
    for (statement, _) in MIX {
        statements.push(client.prepare(statement).await?);
    }
    let mut numbers = Numbers(number + 1);
    loop {
        let key = i32::try_from(1 + numbers.below(KEYS)).unwrap_or(1);
        client.execute(&statements[chosen(numbers.below(100))], &[&key]).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The statement for a number below 100.
fn chosen(mut number: u64) -> usize {
    for (place, (_, share)) in MIX.iter().enumerate() {
        match number.checked_sub(*share) {
            Some(rest) => number = rest,
            None => return place,
        }
    }
    0
}

/// Numbers that look like chance and repeat in each run (Knuth's linear congruential generator, MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_gets_its_share() {
        let mut shares = [0; MIX.len()];
        for number in 0..100 {
            shares[chosen(number)] += 1;
        }
        assert_eq!(shares, MIX.map(|(_, share)| share));
    }
}
