//! `events`: log records for people.

use dbintel_schemas::records::Event;

use super::super::proto::{self, Value};
use super::super::request::Item;
use super::attributes::Attributes;
use super::resource::Server;
use super::{Mapped, Mapper, hex, log_record};
use crate::delivery::Ticket;

impl Mapper {
    pub(super) fn event(&mut self, row: &Event<'_>, ticket: Ticket, out: &mut Mapped) {
        let server = Server { target: row.target, engine: "", version: "", labels: row.labels };
        let resource = self.resource(|out| server.write(out));
        let mut record = log_record(&format!("dbintel.event.{}", row.event_type), row.occurred_at);
        let (severity, text) = severity(row.severity);
        proto::integer(log_record::SEVERITY_NUMBER, severity, &mut record);
        proto::bytes(log_record::SEVERITY_TEXT, text.as_bytes(), &mut record);
        proto::any_value(log_record::BODY, Value::Text(row.message), &mut record);
        let mut attributes = Attributes::new(log_record::ATTRIBUTES, &mut record);
        attributes.text("dbintel.event.id", hex(&row.event_id).as_str());
        attributes.text("dbintel.event.type", row.event_type);
        attributes.text("db.namespace", row.database);
        attributes.map(row.attributes);
        out.logs.push(Item { ticket, resource, metric: None, bytes: record.into(), at: row.occurred_at });
    }
}

/// `SEVERITY_NUMBER_*` and its name.
fn severity(severity: &str) -> (u64, &'static str) {
    match severity {
        "error" => (17, "ERROR"),
        "warning" => (13, "WARN"),
        _ => (9, "INFO"),
    }
}
