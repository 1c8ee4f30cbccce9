//! Metrics: what is read for each class, and what the server does not let us read.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::server::Server;
use super::{replica, status, view, views};
use crate::failure::Failure;
use crate::poll::{Capability, Class, Poll};
use crate::rows::{MetricRow, Rows};
use crate::view::View;

/// Views that the server does not let us read, until it is asked again what it offers.
#[derive(Default)]
pub struct Unavailable(BTreeMap<&'static str, Capability>);

impl Unavailable {
    /// The server was asked again.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Reads all that a class has.
    pub async fn read(
        &mut self,
        class: Class,
        connection: &mut Connection,
        server: &Server,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let mut rows = Vec::new();
        match class {
            Class::Metrics => {
                rows.extend(status::status(connection).await?);
                rows.push(status::limits(connection).await?);
                let innodb_metrics = server.catalog.get("innodb_metrics");
                if let Some(columns) = innodb_metrics.filter(|_| !self.0.contains_key("innodb_metrics.all")) {
                    let read = status::innodb_metrics(connection, columns).await;
                    rows.extend(self.allowed("innodb_metrics.all", read, server)?);
                }
                self.views(&views::METRICS, connection, server, &mut rows).await?;
                poll.capabilities.clone_from(&server.missing);
            }
            Class::Replication => {
                self.replication(connection, server, &mut rows).await?;
                self.views(&views::REPLICATION, connection, server, &mut rows).await?;
            }
            Class::Settings => {
                rows.push(status::settings(connection).await?);
                poll.capabilities.clone_from(&server.absent);
            }
            Class::Tables => self.views(&views::TABLES, connection, server, &mut rows).await?,
            Class::Sizes => self.views(&views::SIZES, connection, server, &mut rows).await?,
            Class::Sessions | Class::Statements | Class::Texts | Class::Queries => {}
        }
        poll.capabilities.extend(self.0.values().cloned());
        poll.rows = Rows::Metrics(rows);
        Ok(())
    }

    async fn replication(
        &mut self,
        connection: &mut Connection,
        server: &Server,
        rows: &mut Vec<MetricRow>,
    ) -> Result<(), Failure> {
        if !self.0.contains_key("replica_status") {
            let read = replica::channels(connection, server).await;
            rows.extend(self.allowed("replica_status", read, server)?.into_iter().flatten());
        }
        if !self.0.contains_key("binary_logs") {
            let read = replica::binary_logs(connection).await;
            rows.extend(self.allowed("binary_logs", read, server)?.flatten());
        }
        Ok(())
    }

    async fn views(
        &mut self,
        views: &[(&'static View, usize)],
        connection: &mut Connection,
        server: &Server,
        rows: &mut Vec<MetricRow>,
    ) -> Result<(), Failure> {
        for (view, max) in views.iter().filter(|(view, _)| !self.0.contains_key(view.name)).collect::<Vec<_>>() {
            let read = view::read(view, *max, connection, &server.catalog).await;
            rows.extend(self.allowed(view.name, read, server)?.into_iter().flatten());
        }
        Ok(())
    }

    /// What was read, or nothing if that is not allowed: then it is not tried again.
    fn allowed<T>(
        &mut self,
        name: &'static str,
        read: Result<T, Failure>,
        server: &Server,
    ) -> Result<Option<T>, Failure> {
        match read {
            Err(failure) if failure.is_missing_on_mysql() => {
                let missing = Capability {
                    name: name.to_owned(),
                    consequence: format!("its metrics are missing: {}", failure.message),
                    remedy: format!(
                        "GRANT {} ON *.* and SELECT ON performance_schema.* to our account",
                        server.grants()
                    ),
                };
                self.0.insert(name, missing);
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}
