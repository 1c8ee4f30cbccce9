//! Log records from queries of the configuration.

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::TextMap;
use dbintel_schemas::records::RawLog;

use super::{record, send};
use crate::poll::Stamp;
use crate::text::StatementText;

/// A row that is a log record. The fields are those of the record, documented in `raw.logs.avsc`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRow {
    pub query: &'static str,
    pub occurred_at: Option<i64>,
    pub severity: Option<String>,
    pub severity_number: Option<i64>,
    /// What the row says; none if it says nothing.
    pub body: Option<StatementText>,
    pub attributes: Vec<(&'static str, String)>,
}

impl LogRow {
    /// Publishes the row with this number in its poll.
    pub(super) fn publish(
        &self,
        number: usize,
        stamp: &Stamp,
        labels: &[(&str, &str)],
        bus: &Publisher,
    ) -> Result<(), SendError> {
        let attributes: Vec<_> = self.attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = self.body.as_ref();
        let number = number.to_be_bytes();
        send(
            bus,
            stamp,
            &record!(RawLog, stamp, labels, &[b"log", self.query.as_bytes(), &number], None, {
                query: self.query,
                occurred_at: self.occurred_at,
                severity: self.severity.as_deref(),
                severity_number: self.severity_number,
                body: body.and_then(|body| body.text.as_deref()),
                body_truncated: body.is_some_and(|body| body.truncated),
                withheld: body.and_then(|body| body.withheld),
                attributes: TextMap::from_slice(&attributes),
            }),
        )
    }
}
