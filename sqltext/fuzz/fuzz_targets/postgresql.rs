//! Any bytes are read as PostgreSQL does, whole and cut, and show nothing that is not a name or a key word.
#![no_main]

#[allow(dead_code, reason = "each target needs a part")]
#[path = "../../tests/contract/checker.rs"]
mod checker;
mod judge;

use checker::Reading;
use dbintel_sqltext::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| judge::judge(bytes, Dialect::PostgreSql, &[Reading::STANDARD, Reading::OLD_STRINGS]));
