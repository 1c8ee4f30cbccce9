//! Databases: transactions.

use crate::rows::MetricRow;

use super::config::Config;
use super::mapping;
use super::objects::View;
use super::pg_database::{CHOSEN, Chosen};
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View = View {
    name: "pg_stat_database",
    object_type: "database",
    identity: &["database"],
    series: mapping::PG_STAT_DATABASE,
};

/// Reads the view.
pub async fn read(transaction: &Transaction<'_>, config: &Config) -> Result<Vec<MetricRow>, Failure> {
    let from = format!(
        "SELECT d.datname AS database, s.stats_reset, s.xact_commit, s.xact_rollback
         FROM pg_database AS d JOIN pg_stat_database AS s ON s.datid = d.oid WHERE {CHOSEN}"
    );
    VIEW.read(transaction, &from, &Chosen(config).parameters()).await
}
