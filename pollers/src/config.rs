//! Settings of one poller, of whatever kind of server.

use std::collections::BTreeMap;

use dbintel_config::ComponentId;

use crate::failure::Failure;
use crate::found::Found;
use crate::settings::Endpoint;
use crate::sqlquery::Server;
use crate::{discovery, mysql, postgresql, sqlquery};

/// Settings of one poller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// Of a `postgresql` poller.
    PostgreSql(postgresql::Config),
    /// Of a `mysql` poller.
    MySql(mysql::Config),
    /// Of a `sqlquery` poller.
    SqlQuery(sqlquery::Config),
}

impl Config {
    /// Name of the server that it polls.
    pub fn target_name(&self, component: &ComponentId) -> String {
        match self {
            Config::PostgreSql(config) => config.target_name(component),
            Config::MySql(config) => config.target_name(component),
            Config::SqlQuery(config) => config.target_name(component),
        }
    }

    /// Where the server listens.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Config::PostgreSql(config) => &config.endpoint,
            Config::MySql(config) => &config.endpoint,
            Config::SqlQuery(config) => config.endpoint(),
        }
    }

    /// Kind of the server, as far as it is known before anybody has asked it.
    pub fn engine(&self) -> &'static str {
        match self {
            Config::PostgreSql(_) | Config::SqlQuery(sqlquery::Config { server: Server::PostgreSql(_), .. }) => {
                "postgresql"
            }
            Config::MySql(_) | Config::SqlQuery(_) => "mysql",
        }
    }

    /// Stamped on every record.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Config::PostgreSql(config) => &config.labels,
            Config::MySql(config) => &config.labels,
            Config::SqlQuery(config) => config.labels(),
        }
    }

    /// The same settings for another server.
    pub fn of(&self, found: &discovery::Found) -> Config {
        let mut config = self.clone();
        let (endpoint, hosts, target, labels) = match &mut config {
            Config::PostgreSql(config) => {
                (&mut config.endpoint, &mut config.hosts, &mut config.target, &mut config.labels)
            }
            Config::MySql(config) => (&mut config.endpoint, &mut config.hosts, &mut config.target, &mut config.labels),
            // Its source says where the server is.
            Config::SqlQuery(_) => return config,
        };
        endpoint.clone_from(&found.endpoint);
        hosts.others.clear();
        target.clone_from(&found.target);
        labels.extend(found.labels.clone());
        config
    }

    /// Statements that set our account up on a server that does not let us in yet.
    pub fn setup(&self) -> String {
        match self {
            Config::PostgreSql(config) => postgresql::setup::sql(config),
            Config::MySql(config) => mysql::setup::sql_of_stranger(config),
            Config::SqlQuery(sqlquery::Config { server: Server::PostgreSql(config), .. }) => {
                postgresql::setup::sql(config)
            }
            Config::SqlQuery(sqlquery::Config { server: Server::MySql(config), .. }) => {
                mysql::setup::sql_of_stranger(config)
            }
        }
    }

    /// Connects as the poller would, asks the server what it offers, and disconnects.
    pub async fn probe(&self) -> Result<Found, Failure> {
        match self {
            Config::PostgreSql(config) => postgresql::probe(config).await,
            Config::MySql(config) => mysql::probe(config).await,
            Config::SqlQuery(config) => sqlquery::probe(config).await,
        }
    }
}

impl From<postgresql::Config> for Config {
    fn from(config: postgresql::Config) -> Config {
        Config::PostgreSql(config)
    }
}

impl From<sqlquery::Config> for Config {
    fn from(config: sqlquery::Config) -> Config {
        Config::SqlQuery(config)
    }
}

impl From<mysql::Config> for Config {
    fn from(config: mysql::Config) -> Config {
        Config::MySql(config)
    }
}
