//! The trace that a statement belongs to, as a log record links to it.

use super::super::proto;
use super::log_record;

/// Identity of a trace and of the span in it that sent the statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl Trace {
    /// Reads `version-trace-span-flags`, as the header `traceparent` has it.
    pub fn parse(traceparent: &str) -> Option<Trace> {
        let mut parts = traceparent.split('-').skip(1);
        let trace_id = u128::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let span_id = u64::from_str_radix(parts.next()?, 16).ok()?.to_be_bytes();
        let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
        Some(Trace { trace_id, span_id, flags })
    }

    /// Appends the fields of a `LogRecord`.
    pub fn write(&self, out: &mut Vec<u8>) {
        proto::bytes(log_record::TRACE_ID, &self.trace_id, out);
        proto::bytes(log_record::SPAN_ID, &self.span_id, out);
        proto::fixed32(log_record::FLAGS, u32::from(self.flags), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_two_identities_and_flags() {
        let trace = Trace::parse("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01").unwrap();
        assert_eq!(trace.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!((trace.span_id[7], trace.flags), (0xb7, 1));
        for wrong in ["", "00-zz-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c", "00-1-2-300"] {
            assert_eq!(Trace::parse(wrong), None, "{wrong}");
        }
    }
}
