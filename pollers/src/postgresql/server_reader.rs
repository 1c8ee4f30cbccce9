//! What is read on the connection for server-wide views: sessions, statements, texts, and metrics of the server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::lane::{Job, Jobs};
use crate::left_out::LeftOut;
use crate::link::Connected;
use crate::poll::{Capability, Class, Outcome, Poll};
use crate::rows::{MetricRow, Rows};
use crate::settings::ClassConfig;
use crate::target::Target;
use crate::text::TextReader;

use super::engine::{PostgreSql, TransactionReader};
use super::mapping;
use super::names::Names;
use super::pg_stat_activity::{self, Wanted};
use super::pg_stat_statements::breaks::{Break, Breaks};
use super::pg_stat_statements::texts::{self, Texts};
use super::pg_stat_statements::{self, Published, Statement};
use super::server::Server;
use super::transaction::Transaction;
use super::view;
use super::views::pg_database;
use super::views::{self, pg_stat_replication};
use crate::failure::Failure;

/// Polls of sessions that do without blockers after one that did not end in time.
const POLLS_WITHOUT_BLOCKERS: u32 = 10;
/// Polls of sessions that do without texts after one has bytes that the encoding of our database does not have.
const POLLS_WITHOUT_TEXTS: u32 = 10;

/// What the server lane tells the database lanes.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// The server, as long as there is a connection to it.
    pub server: Option<Arc<Server>>,
    /// The databases that are read.
    pub databases: Vec<Arc<str>>,
}

/// What is remembered between polls of server-wide views.
pub struct ServerReader {
    fleet: watch::Sender<Fleet>,
    breaks: Breaks,
    published: Published,
    names: Names,
    texts: Texts,
    text_reader: TextReader,
    /// Metrics of the last reading of statements, which wait for a poll of metrics.
    of_statements: Vec<MetricRow>,
    left_out: LeftOut,
    /// Polls of sessions that are still to do without blockers.
    without_blockers: u32,
    /// Polls of sessions that are still to do without texts.
    without_texts: u32,
    /// Identifier of the server that the texts are of.
    system_identifier: String,
    begun: bool,
}

impl ServerReader {
    /// Remembers nothing yet.
    pub fn new(fleet: watch::Sender<Fleet>, text_reader: TextReader) -> ServerReader {
        ServerReader {
            text_reader,
            fleet,
            published: Published::default(),
            breaks: Breaks::default(),
            names: Names::default(),
            texts: Texts::default(),
            of_statements: Vec::new(),
            left_out: LeftOut::default(),
            without_blockers: 0,
            without_texts: 0,
            system_identifier: String::new(),
            begun: false,
        }
    }

    async fn sessions(
        &mut self,
        target: &Target<PostgreSql>,
        transaction: &Transaction<'_>,
        server: &Server,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let application_name = &target.config.application_name;
        let waiters_max = if self.without_blockers > 0 { 0 } else { pg_stat_activity::WAITERS_MAX };
        let wanted = Wanted { application_name, waiters_max, texts: self.without_texts == 0 };
        let sample = pg_stat_activity::sample(transaction, server, wanted, &mut self.text_reader).await?;
        self.without_blockers = self.without_blockers.saturating_sub(1);
        self.without_texts = self.without_texts.saturating_sub(1);
        let texts = sample.sessions.iter().filter_map(|session| session.statement.as_ref());
        poll.count_withheld(&target.metrics, texts);
        poll.signals = sample.signals;
        poll.capabilities = sample.missing;
        poll.capabilities.extend((!wanted.texts).then(no_texts));
        poll.signals.connections_max = server.connections_max;
        read_recovery(transaction, poll).await?;
        poll.rows = Rows::Sessions(sample.sessions);
        Ok(())
    }

    async fn statements(
        &mut self,
        target: &Target<PostgreSql>,
        transaction: &Transaction<'_>,
        server: &Server,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let Some(extension) = &server.statements else {
            poll.capabilities = server.missing.clone();
            return Ok(());
        };
        let reading = pg_stat_statements::read(transaction, extension).await?;
        let keys = reading.statements.iter().map(|statement: &Statement| statement.key);
        self.names.cover(transaction, keys.clone()).await?;
        if target.outlet.take_lost_queries() {
            self.published.forget();
            // What is published now happened since a poll that nobody knows: the interval is no longer that of the rows.
            poll.stamp.interval_ns = None;
        }
        if target.outlet.take_lost_texts() {
            self.texts.forget();
        }
        let now = target.clock.monotonic();
        if self.texts.refresh(now) {
            self.text_reader.forget();
        }
        self.texts.note(keys);
        self.of_statements = pg_stat_statements::metrics(&reading, &self.names);
        let selection = self.published.select(&reading.statements, now, target.config.snapshot_interval);
        poll.snapshot_complete = selection.snapshot && reading.complete;
        poll.entries = reading.entries;
        poll.stamp.statistics_reset_at = reading.statistics_reset_at;
        self.say_breaks(target, reading.statistics_reset_at, reading.entries.evictions);
        poll.capabilities = reading.missing;
        poll.capabilities.extend(self.texts.unavailable().cloned());
        poll.rows = Rows::Queries(selection.into_rows(&self.names));
        Ok(())
    }

    fn say_breaks(&mut self, target: &Target<PostgreSql>, reset_at: Option<i64>, evictions: Option<i64>) {
        let name = &target.name;
        match self.breaks.note(reset_at, evictions, target.clock.monotonic()) {
            Some(Break::Reset) => tracing::warn!(target = name, "the statistics of statements were reset"),
            Some(Break::Evicted(evicted)) => tracing::warn!(
                target = name,
                evicted,
                "the server evicts statements: rare ones are lost between polls; raise pg_stat_statements.max"
            ),
            None => {}
        }
    }

    async fn texts(
        &mut self,
        target: &Target<PostgreSql>,
        transaction: &Transaction<'_>,
        server: &Server,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let Some(extension) = &server.statements else { return Ok(()) };
        self.names.cover(transaction, self.texts.missing().iter().copied()).await?;
        let ClassConfig { interval, timeout } = target.config.texts;
        let began_at = target.clock.monotonic();
        // Whoever gives the poll up does not come back here: until it has ended, it has taken all its time.
        self.texts.spent(began_at + timeout, timeout, interval);
        let read = texts::read(transaction, extension, self.texts.missing()).await;
        let now = target.clock.monotonic();
        self.texts.spent(now, now.saturating_sub(began_at), interval);
        let texts = read?;
        self.texts.read(&texts);
        let rows: Vec<_> = texts.into_iter().map(|text| text.into_row(&mut self.text_reader, &self.names)).collect();
        poll.count_withheld(&target.metrics, rows.iter().map(|row| &row.statement));
        poll.rows = Rows::Texts(rows);
        Ok(())
    }

    async fn metrics(
        &mut self,
        target: &Target<PostgreSql>,
        transaction: &Transaction<'_>,
        server: &Arc<Server>,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        read_recovery(transaction, poll).await?;
        poll.signals.connections_max = server.connections_max;
        let clock = MetricRow::clock(&mapping::CLOCK, transaction.facts().server_time, target.clock.wall_us());
        let (databases, missing) = pg_database::connectable(transaction, &target.config).await?;
        self.announce(server, databases);
        poll.capabilities.extend(missing);
        let left_out = &mut self.left_out;
        let mut rows = view::read_all(&views::METRICS, &target.config, left_out, transaction, server, poll).await?;
        rows.append(&mut self.of_statements);
        rows.push(clock);
        poll.rows = Rows::Metrics(rows);
        poll.capabilities.extend(server.missing.iter().cloned());
        poll.capabilities.extend(target.members.capability(target.clock.monotonic()));
        Ok(())
    }

    fn announce(&self, server: &Arc<Server>, databases: Vec<String>) {
        let databases: Vec<Arc<str>> = databases.into_iter().map(Arc::from).collect();
        self.fleet.send_if_modified(|fleet| {
            let known = fleet.server.as_ref().is_some_and(|known| Arc::ptr_eq(known, server));
            let changed = !known || fleet.databases != databases;
            *fleet = Fleet { server: Some(server.clone()), databases };
            changed
        });
    }

    fn see(&mut self, server: &Server) {
        if self.system_identifier != server.system_identifier {
            self.texts = Texts::default();
            self.text_reader.forget();
            self.system_identifier.clone_from(&server.system_identifier);
        }
    }
}

fn no_texts() -> Capability {
    Capability {
        name: "pg_stat_activity.query".to_owned(),
        consequence: "texts of sessions are not read for a moment: one has bytes that cannot be converted".to_owned(),
        remedy: "a `connect_database` with the encoding UTF8 or SQL_ASCII".to_owned(),
    }
}

/// Whether the server replays its log, and how far behind it is.
async fn read_recovery(transaction: &Transaction<'_>, poll: &mut Poll) -> Result<(), Failure> {
    let in_recovery = transaction.facts().in_recovery;
    poll.signals.in_recovery = Some(in_recovery);
    if in_recovery {
        poll.signals.replication_lag_ns = pg_stat_replication::lag_of_standby(transaction).await?;
    }
    Ok(())
}

impl TransactionReader for ServerReader {
    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn adjust(&mut self, jobs: &mut Jobs<'_, PostgreSql>) {
        let job = Job::of_server;
        if !self.begun {
            self.begun = true;
            jobs.every(job(Class::Sessions));
            jobs.every(job(Class::Statements));
            jobs.every(job(Class::Metrics));
            jobs.every(job(Class::Replication));
            jobs.every(job(Class::Settings));
            jobs.on_demand(job(Class::Texts));
        }
        let interval = jobs.target().limits.borrow().sessions_interval(jobs.target().config.sessions.interval);
        jobs.set_interval(&job(Class::Sessions), interval);
    }

    fn known(&self) -> Option<Arc<Server>> {
        None
    }

    fn connected(&mut self, target: &Target<PostgreSql>, connected: &Connected<PostgreSql>) {
        self.published.forget();
        self.names.forget();
        self.left_out.forget_forbidden();
        self.see(&connected.server);
        // A server that names the statement of a session need not be asked by its text.
        self.text_reader.remember(!connected.server.activity_columns.contains("query_id"));
        for missing in &connected.server.missing {
            let (name, consequence, remedy) = (&missing.name, &missing.consequence, &missing.remedy);
            warn!(target = target.name, %name, %consequence, %remedy, "the server does not give everything");
        }
    }

    fn disconnected(&mut self) {
        self.fleet.send_replace(Fleet::default());
    }

    async fn read(
        &mut self,
        target: &Target<PostgreSql>,
        job: &Job,
        transaction: &Transaction<'_>,
        server: &Arc<Server>,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        match job.class {
            Class::Sessions => self.sessions(target, transaction, server, poll).await,
            Class::Statements => self.statements(target, transaction, server, poll).await,
            Class::Texts => self.texts(target, transaction, server, poll).await,
            Class::Metrics => self.metrics(target, transaction, server, poll).await,
            Class::Replication => {
                let (config, left_out) = (&target.config, &mut self.left_out);
                let rows = view::read_all(&views::REPLICATION, config, left_out, transaction, server, poll).await?;
                poll.rows = Rows::Metrics(rows);
                Ok(())
            }
            Class::Settings => {
                let (config, left_out) = (&target.config, &mut self.left_out);
                let rows = view::read_all(&views::SETTINGS, config, left_out, transaction, server, poll).await?;
                poll.rows = Rows::Metrics(rows);
                poll.capabilities.extend(server.absent.iter().chain(&server.advice).cloned());
                Ok(())
            }
            Class::Tables | Class::Sizes | Class::Queries => Ok(()),
        }
    }

    fn ended(&mut self, target: &Target<PostgreSql>, job: &Job, _: Duration) -> Option<(Class, Duration)> {
        let wanted = job.class == Class::Statements && !self.texts.missing().is_empty();
        wanted.then(|| (Class::Texts, self.texts.next_read_at().max(target.clock.monotonic())))
    }

    fn failed(&mut self, job: &Job, failure: &Failure) -> bool {
        match job.class {
            Class::Statements => self.published.forget(),
            Class::Texts if failure.outcome != Outcome::Refused => self.texts.fail(failure),
            Class::Sessions if failure.is_of_encoding() => self.without_texts = POLLS_WITHOUT_TEXTS,
            Class::Sessions if failure.outcome == Outcome::Timeout => self.without_blockers = POLLS_WITHOUT_BLOCKERS,
            _ => {}
        }
        let is_of_view = self.left_out.fail(job.class, failure, view::remedy(failure));
        failure.is_missing_capability() && !is_of_view
    }
}
