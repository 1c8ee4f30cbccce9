//! `enriched.sessions`: one log record for each session of each sample.
//!
//! Its time is the time of the sample: the start of the statement, which would make the longest-running session look
//! late, is an attribute.

use dbintel_schemas::records::EnrichedSession;
use dbintel_schemas::rfc3339;

use super::super::request::Item;
use super::attributes::Attributes;
use super::resource::Server;
use super::trace::Trace;
use super::{Mapped, Mapper, hex, log_record};
use crate::delivery::{TEXT_BYTES_MAX, Ticket, cut};

/// Name of the log record.
const EVENT: &str = "db.server.query_sample";

impl Mapper {
    pub(super) fn session(&mut self, row: &EnrichedSession<'_>, text: Option<&str>, ticket: Ticket, out: &mut Mapped) {
        let server = Server { target: row.target, engine: row.engine, version: row.engine_version, labels: row.labels };
        let resource = self.resource(|out| server.write(out));
        out.logs.push(Item {
            ticket,
            resource,
            metric: None,
            bytes: query_sample(row, text).into(),
            at: row.observed_at,
        });
    }
}

fn query_sample(row: &EnrichedSession<'_>, text: Option<&str>) -> Vec<u8> {
    let mut record = log_record(EVENT, row.observed_at);
    if let Some(trace) = row.traceparent.and_then(Trace::parse) {
        trace.write(&mut record);
    }
    let mut attributes = Attributes::new(log_record::ATTRIBUTES, &mut record);
    attributes.text("db.system.name", row.engine);
    attributes.text("db.namespace", row.database);
    attributes.text("db.query.text", text.map(|text| cut(text, TEXT_BYTES_MAX)));
    attributes.statement(row.verb, row.tables, row.fingerprint);
    attributes.text("dbintel.fingerprint_source", row.fingerprint_source);
    attributes.text("user.name", row.user);
    attributes.text("network.peer.address", row.client_address);
    attributes.int("network.peer.port", row.client_port);
    attributes.text("dbintel.record_id", hex(&row.record_id).as_str());
    attributes.text("dbintel.pipeline", row.pipeline);
    attributes.text("dbintel.role", row.role);
    attributes.text("dbintel.query.text_withheld", row.withheld);
    if row.text_truncated {
        attributes.boolean("dbintel.query.text_truncated", true);
    }
    attributes.sampling(row.sampling_rule, row.sampling_probability, row.sampling_weight);
    if row.engine == "postgresql" {
        postgresql(row, &mut attributes);
    } else {
        mysql(row, &mut attributes);
    }
    attributes.map(row.attributes);
    attributes.map_under("dbintel.tag.", row.tags);
    record
}

fn postgresql(row: &EnrichedSession<'_>, attributes: &mut Attributes<'_>) {
    attributes.int("postgresql.pid", row.session_id.parse().ok());
    attributes.text("postgresql.state", row.state);
    attributes.text("postgresql.wait_event_type", row.wait_event_type);
    attributes.text("postgresql.wait_event", row.wait_event);
    attributes.text("postgresql.query_id", row.query_id);
    attributes.text("postgresql.application_name", row.application);
    attributes.text("postgresql.backend.connection.start", time(row.session_started_at).as_deref());
    attributes.text("postgresql.query_start", time(row.query_started_at).as_deref());
    attributes.double("postgresql.total_exec_time", running_ms(row));
    if !row.blocking_session_ids.is_empty() {
        let pids: Vec<&str> = row.blocking_session_ids.iter().collect();
        attributes.text("postgresql.blocking.pids", pids.join(",").as_str());
    }
    attributes.text("dbintel.backend_type", row.backend_type);
    attributes.text("dbintel.state_changed_at", time(row.state_changed_at).as_deref());
    attributes.text("dbintel.transaction_started_at", time(row.transaction_started_at).as_deref());
}

fn mysql(row: &EnrichedSession<'_>, attributes: &mut Attributes<'_>) {
    attributes.text("mysql.session.id", row.session_id);
    attributes.text("mysql.session.status", row.state);
    attributes.text("mysql.wait_type", row.wait_event);
    attributes.text("mysql.events_statements_current.digest", row.query_id);
    attributes.double("mysql.events_statements_current.timer_wait", running_ms(row).map(|ms| ms / 1000.0));
    if !row.blocking_session_ids.is_empty() {
        let sessions: Vec<&str> = row.blocking_session_ids.iter().collect();
        attributes.text("dbintel.blocking.sessions", sessions.join(",").as_str());
    }
}

/// How long the statement has been running, in ms: the contrib receiver's unit in this event. Nothing when it ended.
fn running_ms(row: &EnrichedSession<'_>) -> Option<f64> {
    let has_ended = row.state.is_some_and(|state| state.starts_with("idle"));
    let started_at = row.query_started_at.filter(|_| !has_ended)?;
    Some((row.observed_at - started_at).max(0) as f64 / 1000.0)
}

fn time(us: Option<i64>) -> Option<String> {
    us.map(rfc3339::format_us)
}
