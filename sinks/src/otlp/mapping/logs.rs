//! `enriched.logs`: rows of the configuration's own queries, as log records with the names that it gave.

use dbintel_schemas::records::EnrichedLog;

use super::super::proto::{self, Value};
use super::super::request::Item;
use super::attributes::Attributes;
use super::resource::Server;
use super::{Mapped, Mapper, hex, log_record, log_record_at};
use crate::delivery::{TEXT_BYTES_MAX, Ticket, cut};

/// Name of the log record.
const EVENT: &str = "dbintel.query.row";

impl Mapper {
    pub(super) fn log(&mut self, row: &EnrichedLog<'_>, ticket: Ticket, out: &mut Mapped) {
        let server = Server { target: row.target, engine: row.engine, version: row.engine_version, labels: row.labels };
        let resource = self.resource(|out| server.write(out));
        out.logs.push(Item { ticket, resource, metric: None, bytes: record(row).into(), at: row.observed_at });
    }
}

/// Its time is the one that the row tells; what does not tell one happened when it was read.
fn record(row: &EnrichedLog<'_>) -> Vec<u8> {
    let mut record = log_record_at(EVENT, row.occurred_at.unwrap_or(row.observed_at), row.observed_at);
    if let Some(number) = row.severity_number.and_then(|number| u64::try_from(number).ok()) {
        proto::integer(log_record::SEVERITY_NUMBER, number, &mut record);
    }
    if let Some(severity) = row.severity {
        proto::bytes(log_record::SEVERITY_TEXT, severity.as_bytes(), &mut record);
    }
    if let Some(body) = row.body {
        proto::any_value(log_record::BODY, Value::Text(cut(body, TEXT_BYTES_MAX)), &mut record);
    }
    let mut attributes = Attributes::new(log_record::ATTRIBUTES, &mut record);
    attributes.text("db.system.name", row.engine);
    attributes.text("dbintel.record_id", hex(&row.record_id).as_str());
    attributes.text("dbintel.pipeline", row.pipeline);
    attributes.text("dbintel.role", row.role);
    attributes.text("dbintel.query", row.query);
    attributes.text("dbintel.query.text_withheld", row.withheld);
    if row.body_truncated {
        attributes.boolean("dbintel.query.text_truncated", true);
    }
    attributes.sampling(row.sampling_rule, row.sampling_probability, row.sampling_weight);
    // As the configuration names them.
    attributes.map_under("", row.attributes);
    record
}
