//! What is read on the connection: sessions, counters of statements, and their texts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::connection::{Connection, is_read_only};
use super::engine::MySql;
use super::events_statements_summary_by_digest::{self as digests, Key};
use super::mapping;
use super::metrics::Reading;
use super::server::{FACTS, Server};
use super::threads;
use super::value::Columns;
use crate::failure::Failure;
use crate::lane::{Job, Jobs, Reader};
use crate::left_out::LeftOut;
use crate::link::Connected;
use crate::poll::{Class, Poll};
use crate::rows::{MetricRow, Rows};
use crate::target::Target;
use crate::text::TextReader;

/// Most statements whose texts are read together.
const TEXTS_MAX: usize = 1_000;
/// Statements that ended so long before the last read, in µs, are read again: the server's times may be whole seconds.
const OVERLAP: i64 = 2_000_000;
/// Each text is read again after this time, so that whoever has lost it gets it back.
const REFRESH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

const LOST: &str = "SHOW GLOBAL STATUS LIKE 'Performance_schema_digest_lost'";

/// What is remembered between polls.
pub struct ServerReader {
    texts: TextReader,
    /// Statements whose texts were read.
    known: HashSet<Key>,
    missing: Vec<Key>,
    refreshed_at: Duration,
    next_texts_at: Duration,
    /// The server's clock at the last read of counters; none if all of them are to be read.
    read_at: Option<i64>,
    snapshot_at: Duration,
    /// Statements that were lost because the server's table was full, when that was last seen.
    lost: Option<i64>,
    left_out: LeftOut,
    begun: bool,
}

impl ServerReader {
    /// Remembers nothing yet.
    pub fn new(texts: TextReader) -> ServerReader {
        ServerReader {
            texts,
            known: HashSet::new(),
            missing: Vec::new(),
            refreshed_at: Duration::ZERO,
            next_texts_at: Duration::ZERO,
            read_at: None,
            snapshot_at: Duration::ZERO,
            lost: None,
            left_out: LeftOut::default(),
            begun: false,
        }
    }

    async fn sessions(
        &mut self,
        target: &Target<MySql>,
        connection: &mut Connection,
        server: &Server,
        now: i64,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let sample = threads::sample(connection, server, now, &mut self.texts).await?;
        poll.signals = sample.signals;
        poll.capabilities = sample.missing;
        let texts = sample.sessions.iter().filter_map(|session| session.statement.as_ref());
        poll.count_withheld(&target.metrics, texts);
        poll.rows = Rows::Sessions(sample.sessions);
        Ok(())
    }

    async fn statements(
        &mut self,
        target: &Target<MySql>,
        connection: &mut Connection,
        server: &Server,
        now: i64,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        poll.capabilities.clone_from(&server.missing);
        if server.digest_columns.is_empty() {
            return Ok(());
        }
        let monotonic = target.clock.monotonic();
        if target.outlet.take_lost_queries() {
            self.read_at = None;
            poll.stamp.interval_ns = None;
        }
        if target.outlet.take_lost_texts() || monotonic >= self.refreshed_at + REFRESH_INTERVAL {
            self.refreshed_at = monotonic;
            self.known.clear();
            self.texts.forget();
            self.read_at = None;
        }
        // A clock that was set back says nothing of when a statement was seen last.
        let is_snapshot = self.read_at.is_none_or(|read_at| read_at > now)
            || monotonic >= self.snapshot_at + target.config.snapshot_interval;
        let since = self.read_at.filter(|_| !is_snapshot).map(|read_at| read_at - OVERLAP);
        let rows = digests::read(connection, &server.digest_columns, since).await?;
        self.read_at = Some(now);
        if is_snapshot {
            self.snapshot_at = monotonic;
            let present: HashSet<&Key> = rows.iter().map(|(key, _)| key).collect();
            self.known.retain(|key| present.contains(key));
            poll.entries.held = i64::try_from(rows.len()).ok();
        }
        self.missing = rows.iter().map(|(key, _)| key).filter(|key| !self.known.contains(key)).cloned().collect();
        poll.snapshot_complete = is_snapshot;
        poll.entries.max = server.digests_max;
        poll.entries.evictions = self.lost(target, connection).await?;
        poll.rows = Rows::Queries(rows.into_iter().map(|(_, row)| row).collect());
        Ok(())
    }

    /// Statements that the server did not tell apart because its table was full.
    async fn lost(&mut self, target: &Target<MySql>, connection: &mut Connection) -> Result<Option<i64>, Failure> {
        let row = connection.query(LOST).await?.into_iter().next();
        let lost = row.and_then(|row| row.get_opt::<String, _>(1)?.ok()).and_then(|lost| lost.parse::<i64>().ok());
        if let (Some(before), Some(now)) = (self.lost, lost)
            && now > before
        {
            warn!(
                target = target.name,
                lost = now - before,
                "the server's table of statements is full: new ones are counted together; raise \
                 performance_schema_digests_size or TRUNCATE the table"
            );
        }
        self.lost = lost;
        Ok(lost)
    }

    async fn texts(
        &mut self,
        target: &Target<MySql>,
        connection: &mut Connection,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        self.next_texts_at = target.clock.monotonic() + target.config.texts.interval;
        let wanted: Vec<Key> = self.missing.iter().take(TEXTS_MAX).cloned().collect();
        let texts = digests::texts(connection, &wanted, &mut self.texts).await?;
        self.known.extend(texts.iter().map(|(key, _)| key.clone()));
        self.missing.retain(|key| !wanted.contains(key));
        poll.count_withheld(&target.metrics, texts.iter().map(|(_, row)| &row.statement));
        poll.rows = Rows::Texts(texts.into_iter().map(|(_, row)| row).collect());
        Ok(())
    }
}

impl Reader<MySql> for ServerReader {
    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn adjust(&mut self, jobs: &mut Jobs<'_, MySql>) {
        let job = Job::of_server;
        if !self.begun {
            self.begun = true;
            jobs.every(job(Class::Sessions));
            jobs.every(job(Class::Statements));
            for class in [Class::Metrics, Class::Replication, Class::Settings, Class::Tables, Class::Sizes] {
                jobs.every(job(class));
            }
            jobs.on_demand(job(Class::Texts));
        }
        let interval = jobs.target().limits.borrow().sessions_interval(jobs.target().config.sessions.interval);
        jobs.set_interval(&job(Class::Sessions), interval);
    }

    fn known(&self) -> Option<Arc<Server>> {
        None
    }

    fn connected(&mut self, target: &Target<MySql>, connected: &Connected<MySql>) {
        self.read_at = None;
        self.left_out.forget_forbidden();
        for missing in &connected.server.missing {
            let (name, consequence, remedy) = (&missing.name, &missing.consequence, &missing.remedy);
            warn!(target = target.name, %name, %consequence, %remedy, "the server does not give everything");
        }
    }

    fn disconnected(&mut self) {
        self.read_at = None;
    }

    async fn read(
        &mut self,
        target: &Target<MySql>,
        job: &Job,
        connected: &mut Connected<MySql>,
        limit: Duration,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let (connection, server) = (&mut connected.connection, &connected.server);
        connection.limit_statements(limit).await?;
        let facts = connection.query_one(FACTS).await?;
        let facts = Columns(&facts);
        if is_read_only(&facts.text("read_only")?.unwrap_or_default()) != server.read_only {
            return Err(Failure::server_changed());
        }
        let now: i64 = facts.required("now")?;
        let clock = MetricRow::clock(&mapping::CLOCK, now, target.clock.wall_us());
        poll.stamp.server_time = Some(now);
        poll.signals.connections_max = server.connections_max;
        let result = match job.class {
            Class::Sessions => self.sessions(target, connection, server, now, poll).await,
            Class::Statements => self.statements(target, connection, server, now, poll).await,
            Class::Texts => self.texts(target, connection, poll).await,
            _ => {
                let left_out = &mut self.left_out;
                Reading { connection: &mut *connection, server, left_out, poll }.read().await
            }
        };
        if let (Class::Metrics, Rows::Metrics(rows)) = (job.class, &mut poll.rows) {
            rows.push(clock);
            poll.capabilities.extend(target.members.capability(target.clock.monotonic()));
        }
        poll.stamp.observed_at = target.clock.wall_us();
        poll.statements_sent = connection.take_statements_sent();
        result
    }

    fn ended(&mut self, target: &Target<MySql>, _: &Job, _: Duration) -> Option<(Class, Duration)> {
        let wanted = !self.missing.is_empty();
        wanted.then(|| (Class::Texts, self.next_texts_at.max(target.clock.monotonic())))
    }

    fn failed(&mut self, job: &Job, failure: &Failure) -> bool {
        if job.class == Class::Statements {
            self.read_at = None;
        }
        self.left_out.fail(job.class, failure, None);
        failure.is_missing_on_mysql()
    }
}
