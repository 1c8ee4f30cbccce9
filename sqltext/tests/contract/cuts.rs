//! Statements cut at every byte: as a server cuts them at its limit of bytes.

use std::thread;

use dbintel_sqltext::partial::{self, Found};

use crate::checker::{Reading, leaks, read};
use crate::corpora::{Case, statements};
use crate::subject::{Mode, Outcome, Server, mysql, normalise, normalise_cut};

/// Every offset of the first bytes is tried, and this many more, around quotes.
const EVERY_OFFSET_BYTES: usize = 2048;
const QUOTES_MAX: usize = 64;

fn offsets(sql: &[u8]) -> Vec<usize> {
    let mut offsets: Vec<usize> = (0..=sql.len().min(EVERY_OFFSET_BYTES)).collect();
    let later = EVERY_OFFSET_BYTES + 1..sql.len();
    let quotes: Vec<usize> = later.filter(|&at| matches!(sql[at], b'\'' | b'"' | b'`' | b'$' | b'\\' | b'*')).collect();
    let step = quotes.len().div_ceil(QUOTES_MAX).max(1);
    offsets.extend(quotes.iter().step_by(step).flat_map(|&at| [at, at + 1]));
    offsets
}

struct Finding {
    case: String,
    mode: Mode,
    cut: String,
    what: String,
}

fn judge(cut: &[u8], mode: Mode, readings: &[Reading], whole: &Outcome) -> Option<String> {
    let seen = normalise(cut, mode);
    let leaks = leaks(cut, &seen.text, readings);
    if !leaks.is_empty() {
        return Some(format!("shows {leaks:?}: {:?}", seen.text));
    }
    let marked = seen.cut || seen.withheld.is_some();
    if !marked && readings.iter().all(|&reading| read(cut, reading).open) {
        return Some(format!("is not marked: {:?}", seen.text));
    }
    let known = normalise_cut(cut, mode);
    if !known.text.starts_with(seen.text.trim_end_matches("...").trim_end()) {
        let leaks = crate::checker::leaks(cut, &known.text, readings);
        if !leaks.is_empty() {
            return Some(format!("known to be cut, shows {leaks:?}: {:?}", known.text));
        }
    }
    if !known.cut {
        return Some("known to be cut, is not marked".to_owned());
    }
    let whole_is_known = whole.withheld.is_none() && !whole.cut;
    if known.hash == whole.hash && whole_is_known || known.hash == seen.hash && !marked {
        return Some(format!("known to be cut, has the fingerprint of a whole text: {:?}", known.text));
    }
    if whole_is_known && !whole.canonical.starts_with(&known.canonical) {
        let (whole, cut) = (whole.canonical.escape_ascii(), known.canonical.escape_ascii());
        return Some(format!("does not begin as the whole one\n  whole: {whole}\n  cut:   {cut}"));
    }
    None
}

fn judge_case(case: &Case, modes: &[Mode]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sql = case.sql.trim().as_bytes();
    for &mode in modes {
        let readings = mode.readings();
        let whole = normalise(sql, mode);
        for offset in offsets(sql) {
            let cut = &sql[..offset];
            if let Some(what) = judge(cut, mode, &readings, &whole) {
                let tail = String::from_utf8_lossy(&cut[cut.len().saturating_sub(200)..]).into_owned();
                findings.push(Finding { case: case.name.clone(), mode, cut: tail, what });
                break;
            }
        }
    }
    findings
}

#[test]
fn a_cut_text_shows_no_literal_and_is_marked() {
    let cases = statements();
    let workers = 2;
    let findings: Vec<Finding> = thread::scope(|scope| {
        let share = |worker: usize| cases.iter().skip(worker).step_by(workers);
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let share = share(worker);
                scope.spawn(move || {
                    let unknown = mysql(None, None);
                    share
                        .flat_map(|case| match case.server {
                            Server::PostgreSql => judge_case(case, &[case.server.usual()]),
                            Server::MySql => judge_case(case, &[case.server.usual(), unknown]),
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let lines = findings
        .iter()
        .take(25)
        .map(|finding| format!("{} {:?}\n  cut:  ..{:?}\n  {}", finding.case, finding.mode, finding.cut, finding.what));
    assert!(findings.is_empty(), "{} findings, of them\n{}", findings.len(), lines.collect::<Vec<_>>().join("\n"));
}

/// A cut text is never taken for part of another statement than its own, if that is known.
#[test]
fn a_cut_text_finds_no_other_statement() {
    for server in [Server::PostgreSql, Server::MySql] {
        let mode = server.usual();
        let cases: Vec<Case> = statements().into_iter().filter(|case| case.server == server).collect();
        let whole =
            |case: &Case| Some(normalise(&case.sql, mode)).filter(|whole| whole.withheld.is_none() && !whole.cut);
        let mut known: Vec<Vec<u8>> = cases.iter().filter_map(whole).map(|whole| whole.canonical).collect();
        known.sort();
        known.dedup();
        let (mut found, mut all) = (0, 0);
        for case in &cases {
            let Some(whole) = whole(case) else { continue };
            for part in [4, 6, 8, 9] {
                let cut = normalise_cut(&case.sql.as_bytes()[..case.sql.len() * part / 10], mode);
                all += 1;
                match partial::find(&known, &cut.canonical) {
                    Found::One(place) => {
                        let (other, own) = (known[place].escape_ascii(), whole.canonical.escape_ascii());
                        assert_eq!(known[place], whole.canonical, "{}\n  {other}\n  {own}", case.sql);
                        found += 1;
                    }
                    Found::Several => {}
                    Found::Nothing => assert!(cut.canonical.len() < partial::PREFIX_BYTES_MIN, "{} {part}", case.sql),
                }
            }
        }
        assert!(found * 5 > all, "only {found} of {all} cut texts are found");
    }
}
