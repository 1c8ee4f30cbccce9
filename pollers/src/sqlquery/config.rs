//! Settings of one `sqlquery` poller: one server, and what is asked of it.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_config::{ComponentId, Section};

use super::datasource;
use super::query::Query;
use super::tracking;
use crate::settings::{ClassConfig, Endpoint, check_target, target_name};
use crate::{mysql, postgresql};

/// Settings of one server and of what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server.
    pub server: Server,
    /// What is asked of it.
    pub queries: Vec<Query>,
}

/// How the server is reached, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    PostgreSql(postgresql::Config),
    /// MySQL or MariaDB.
    MySql(mysql::Config),
}

/// Kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    PostgreSql,
    MySql,
}

impl Config {
    /// Reads the section of a `sqlquery` poller. Mistakes are collected in the section.
    pub fn read(section: &mut Section) -> Config {
        let drivers = [
            ("postgres", Driver::PostgreSql),
            ("postgresql", Driver::PostgreSql),
            ("mysql", Driver::MySql),
            ("mariadb", Driver::MySql),
        ];
        let driver = section.doc("Kind of the server.").variant("driver", &drivers, "postgres");
        let source = section.doc("Address of the server, with user and password.").secret("datasource");
        if source.is_none() {
            section.problem_here("`datasource` is required: the address of the server, with user and password");
        }
        let source = source.as_ref().map_or("", |source| source.expose());
        let mut server = match driver {
            Driver::PostgreSql => Server::PostgreSql(accepted(section, source, datasource::postgresql(source))),
            Driver::MySql => Server::MySql(accepted(section, source, datasource::mysql(source))),
        };
        let interval = section.doc("Time between two runs of a query that says nothing else.").duration_within(
            "collection_interval",
            "10s",
            "100ms"..="1d",
        );
        let timeout = section.doc("Longest time for a run of a query that says nothing else.").duration_within(
            "timeout",
            "5s",
            "10ms"..="10m",
        );
        let queries: Vec<Query> = section
            .list_of_sections("queries")
            .iter_mut()
            .enumerate()
            .flat_map(|(index, query)| Query::read(index + 1, query, interval, timeout))
            .collect();
        let syntax = match driver {
            Driver::PostgreSql => tracking::POSTGRESQL,
            Driver::MySql => tracking::MYSQL,
        };
        for query in queries.iter().filter(|query| query.tracking.is_some() && !syntax.has_place(&query.sql)) {
            let (name, placeholder) = (query.name, syntax.placeholder);
            section.problem_here(format!(
                "{name} has a `tracking_column`, and no `{placeholder}` that its value stands for"
            ));
        }
        if queries.is_empty() {
            section.problem_here("asks nothing: give it `queries`");
        }
        let target = section.doc("Name of the target, if it is not that of the component.").optional_text("target");
        let labels = section.doc("Stamped on every record: team, environment, region.").text_map("labels");
        check_target(section, target.as_deref());
        server.set_up(target, labels, &queries);
        Config { server, queries }
    }

    /// The name of the target: `target:`, else the name in `sqlquery/name`, else `host:port`.
    pub fn target_name(&self, component: &ComponentId) -> String {
        let target = match &self.server {
            Server::PostgreSql(config) => config.target.as_ref(),
            Server::MySql(config) => config.target.as_ref(),
        };
        target_name(target, component, self.endpoint())
    }

    /// Where the server listens.
    pub fn endpoint(&self) -> &Endpoint {
        match &self.server {
            Server::PostgreSql(config) => &config.endpoint,
            Server::MySql(config) => &config.endpoint,
        }
    }

    /// Labels of the target.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match &self.server {
            Server::PostgreSql(config) => &config.labels,
            Server::MySql(config) => &config.labels,
        }
    }
}

/// What the source says, and what is wrong with it.
fn accepted<T: Default>(section: &Section, source: &str, read: datasource::Read<T>) -> T {
    match read {
        Ok((config, warning)) => {
            if let Some(warning) = warning {
                section.warning("datasource", warning);
            }
            config
        }
        Err(problem) => {
            if !source.is_empty() {
                section.problem("datasource", problem);
            }
            T::default()
        }
    }
}

impl Server {
    /// All queries are of one class: its interval is that of the most frequent, its limit that of the longest.
    fn set_up(&mut self, target: Option<String>, labels: BTreeMap<String, String>, queries: &[Query]) {
        let interval = queries.iter().map(|query| query.interval).min().unwrap_or(Duration::from_secs(10));
        let timeout = queries.iter().map(|query| query.timeout).max().unwrap_or(Duration::from_secs(5));
        let class = ClassConfig { interval, timeout };
        match self {
            Server::PostgreSql(config) => {
                (config.queries, config.target, config.labels) = (class, target, labels);
            }
            Server::MySql(config) => (config.queries, config.target, config.labels) = (class, target, labels),
        }
    }
}
