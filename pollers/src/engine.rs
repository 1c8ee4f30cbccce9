//! What a kind of database server has to bring so that it can be polled: how to connect, and what it says about itself.
//! Everything else about lanes, schedules and failures is the same for all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;
use crate::poll::{Class, Identity};
use crate::settings::ClassConfig;

/// A kind of database server.
pub trait Engine: Sized + Send + Sync + 'static {
    /// Settings of one server.
    type Config: Send + Sync + 'static;
    /// A connection. Closed when dropped.
    type Connection: Send + Sync + 'static;
    /// A server as it was found.
    type Server: Send + Sync + 'static;

    /// Interval and time limit of a class.
    fn class(config: &Self::Config, class: Class) -> ClassConfig;

    /// Labels of the target.
    fn labels(config: &Self::Config) -> &BTreeMap<String, String>;

    /// The database for server-wide views.
    fn database(config: &Self::Config) -> &str;

    /// Who a server is: its engine, version, role and life. Before the first connection there is no server.
    fn identity(server: Option<&Self::Server>) -> Identity;

    /// Name of the role that a server has.
    fn role(server: &Self::Server) -> &'static str {
        Self::identity(Some(server)).role
    }

    /// What no other server has, and a server keeps as long as it runs.
    fn key(server: &Self::Server) -> String;

    /// Where the server itself stands in the network, as it says; the endpoint may be somewhere else.
    fn address(server: &Self::Server) -> Option<&str>;

    /// Version in the server's words.
    fn version(server: &Self::Server) -> &str;

    /// Connects to a database. `target` stands in the log when the connection ends. A server that is `known` is connected to
    /// where it was found.
    fn open(
        config: &Self::Config,
        target: &str,
        database: &str,
        known: Option<&Self::Server>,
    ) -> impl Future<Output = Result<Self::Connection, Failure>> + Send;

    /// Asks the server what it offers.
    fn ask(
        config: &Self::Config,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Self::Server, Failure>> + Send;

    /// Whether the connection is of no more use.
    fn is_closed(connection: &Self::Connection) -> bool;

    /// Closes, and waits until the server was told.
    fn close(connection: Self::Connection) -> impl Future<Output = ()> + Send;

    /// Gives a connection up in the middle of a statement: asks the server to end it, for `limit` at most, and closes.
    fn abandon(config: &Self::Config, connection: Self::Connection, limit: Duration)
    -> impl Future<Output = ()> + Send;
}
