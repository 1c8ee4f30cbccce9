//! MySQL and MariaDB as a kind of server that can be polled.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::Config;
use super::connection::Connection;
use super::server::Server;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::poll::{Class, Identity};
use crate::settings::ClassConfig;

/// The kind.
pub struct MySql;

impl Engine for MySql {
    type Config = Config;
    type Connection = Connection;
    type Server = Server;

    fn class(config: &Config, class: Class) -> ClassConfig {
        match class {
            Class::Sessions => config.sessions,
            Class::Texts => config.texts,
            Class::Statements => config.statements,
            Class::Metrics => config.metrics,
            Class::Replication => config.replication,
            Class::Settings => config.settings,
            Class::Tables => config.tables,
            Class::Sizes => config.sizes,
            Class::Queries => config.queries,
        }
    }

    fn labels(config: &Config) -> &BTreeMap<String, String> {
        &config.labels
    }

    fn database(_: &Config) -> &str {
        ""
    }

    fn identity(server: Option<&Server>) -> Identity {
        let Some(server) = server else {
            return Identity { engine: "mysql", role: "unknown", ..Identity::default() };
        };
        Identity {
            engine: server.engine(),
            engine_version: server.version.clone(),
            role: server.role(),
            system_identifier: server.system_identifier.clone(),
            started_at: Some(server.started_at),
            ..Identity::default()
        }
    }

    fn key(server: &Server) -> String {
        // Its start is known to within a second, which is no key.
        format!("{} {}", server.system_identifier, server.address)
    }

    fn address(server: &Server) -> Option<&str> {
        Some(&server.address)
    }

    fn version(server: &Server) -> &str {
        &server.version
    }

    async fn open(config: &Config, _: &str, _: &str, _: Option<&Server>) -> Result<Connection, Failure> {
        Connection::open(config).await
    }

    async fn ask(config: &Config, connection: &mut Connection) -> Result<Server, Failure> {
        let asked = tokio::time::timeout(config.connect_timeout, async {
            connection.limit_statements(config.connect_timeout).await?;
            let server = Server::probe(connection).await?;
            config.hosts.wanted.check(server.read_only)?;
            Ok(server)
        });
        asked.await.unwrap_or_else(|_| Err(Failure::deadline()))
    }

    fn is_closed(_: &Connection) -> bool {
        // The driver tells with the next statement.
        false
    }

    async fn close(connection: Connection) {
        connection.close().await;
    }

    async fn abandon(config: &Config, connection: Connection, limit: Duration) {
        connection.abandon(config, limit).await;
    }
}
