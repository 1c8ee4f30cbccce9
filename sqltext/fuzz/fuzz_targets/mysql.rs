//! Any bytes are read as MySQL does, in the mode that the first byte chooses, and show nothing that is not a name or a
//! key word.
#![no_main]

#[allow(dead_code, reason = "each target needs a part")]
#[path = "../../tests/contract/checker.rs"]
mod checker;
mod judge;

use checker::Reading;
use dbintel_sqltext::{Dialect, SqlMode};
use libfuzzer_sys::fuzz_target;

fn known(choice: u8) -> Option<bool> {
    [Some(false), Some(true), None][usize::from(choice % 3)]
}

fn possible(known: Option<bool>) -> Vec<bool> {
    known.map_or(vec![false, true], |known| vec![known])
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let mode = SqlMode { ansi_quotes: known(choice), no_backslash_escapes: known(choice / 3) };
    let mut readings = Vec::new();
    for ansi_quotes in possible(mode.ansi_quotes) {
        for no_backslash_escapes in possible(mode.no_backslash_escapes) {
            readings.extend(Reading::mysql(ansi_quotes, no_backslash_escapes));
        }
    }
    judge::judge(text, Dialect::MySql(mode), &readings);
});
