//! All tests against real servers, in one binary so that linking is paid once.

#![allow(clippy::unwrap_used, reason = "whatever is missing in a test fails it")]

mod bus_embedded;
mod bus_kafka;
mod cli_configuration;
mod cli_deltas;
mod cli_demo;
mod cli_kafka;
mod cli_outage;
mod cli_personal_data;
mod cli_process;
mod cli_prometheus;
mod cli_rig;
mod cli_secrets;
mod cli_sql;
mod cli_statements;
mod cli_topics;
mod compose;
mod docs;
mod engine;
mod faults;
mod foreign;
mod harness;
mod otlp_peer;
mod pollers_capabilities;
mod pollers_faults;
mod pollers_metrics;
mod pollers_mysql;
mod pollers_mysql_tls;
mod pollers_pooler;
mod pollers_sessions;
mod pollers_standby;
mod pollers_statements;
mod pollers_tape;
mod pollers_tls;
mod pollers_verbatim;
mod search;
mod servers;
mod sinks_kafka;
mod sinks_otlp;
mod sinks_prometheus;
mod sinks_retry;
mod sinks_rig;
mod sinks_tls;
mod text_identity;
mod tidy;
