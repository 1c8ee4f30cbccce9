//! Tests of the contract from outside: apache-avro is the oracle, `testdata` holds what was released.
#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "../../src/wire/canonical.rs"]
mod canonical;

mod documentation;
mod every_record;
mod fingerprints;
mod foreign;
mod golden;
mod hostile;
mod oracle;
mod readme;
mod values;
