#!/usr/bin/env python3
"""Mutations: each takes one guarantee away, and a test has to notice.

Works on a copy of the tree. A mutation is red when its test fails by what it checks; a panic of the code itself, a run that
does not end, or a mutant that does not compile is a failure of this script, and so is a text that is not found any more.

    make mutations                all of them, as a table
    make mutations ONLY=trim      those whose name contains the word, or that such a test notices: simulation, conformance …
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "processors/src/engine"

# What the simulation says when it finds something; anything else that ends it is not a finding.
# That the work comes to its end, counted in turns, is one of its checks.
ORACLE = r"(seed \d+|undisturbed( \w+)?): (the (books|outputs|state|commits|work|layouts) |what is refused).*"
SIMULATION = ("simulation", ORACLE)

# The suite that every log passes, on a genuine broker.
CONFORMANCE = ("conformance", r"\d+ of \d+ cases failed.*(\n.*){0,3}")

# A producer outside of transactions, and all that can happen to a genuine Kafka.
PRODUCED = ("produced", r"panicked at tests/.*\n.*")

# Pollers on a genuine PostgreSQL: only what the test itself finds counts.
WATCHED = ("watched", r"panicked at tests/.*\n.*")

# Name, the file, what it says, what it is made to say, and who has to notice. Several edits make one mutation where two
# safeguards stand behind each other: each alone is enough, and the test is that without both something goes wrong.
MUTATIONS = [
    ("the store is written before the commit", [
        (f"{ENGINE}/worker/commit.rs",
         "        match self.member.commit(&positions) {\n            Ok(receipt) => self.committed(&dirty, &receipt)?,",
         "        let ends = dirty.iter().map(|partition| (*partition, self.shared.bus.offsets(&self.changelog, *partition).map_or(0, |log| log.end)));\n"
         "        let early = Receipt { changelog_ends: ends.collect() };\n"
         "        self.committed(&dirty, &early)?;\n"
         "        match self.member.commit(&positions) {\n            Ok(_) => {}"),
    ], SIMULATION),
    ("a transaction lacks the positions of one task", [
        (f"{ENGINE}/worker/commit.rs",
         "positions.extend(self.tasks[partition].task.commit_positions());",
         "if *partition != 1 || self.pace.rows % 2 == 0 { positions.extend(self.tasks[partition].task.commit_positions()); }"),
    ], SIMULATION),
    ("an unknown outcome is taken for an abort", [
        (f"{ENGINE}/worker/commit.rs",
         "CommitError::Bus(error) => Err(error.into()),", "CommitError::Bus(_) => self.rollback(),"),
    ], SIMULATION),
    ("an aborted transaction is taken for a commit", [
        (f"{ENGINE}/worker/commit.rs",
         "            CommitError::Bus(BusError::Unavailable { .. }) => {\n                self.rollback()?;",
         "            CommitError::Bus(BusError::Unavailable { .. }) => {\n                let dirty: Vec<u32> = self.tasks.keys().copied().collect();\n                self.committed(&dirty, &Receipt::default())?;"),
    ], SIMULATION),
    ("a restore ends where readers of committed records do", [
        (f"{ENGINE}/restore.rs", "self.read_to(log.end, &mut replay)?;", "self.read_to(log.stable_end, &mut replay)?;"),
        (f"{ENGINE}/restore.rs", "if state.marker.commit_seq != wanted && !self.committed.is_empty() {", "if false {"),
        (f"{ENGINE}/restore.rs", "if state.marker.commit_seq < wanted || !fits {", "if false {"),
    ], SIMULATION),
    ("after a rollback reading goes on where it was", [
        (f"{ENGINE}/worker/commit.rs", "        self.member.seek(&positions)?;\n", "        drop(positions);\n"),
    ], SIMULATION),
    ("a rollback keeps what was processed in the tables", [
        (f"{ENGINE}/task/commit.rs", "        self.each_table(|table| table.rollback());\n", ""),
    ], SIMULATION),
    ("a rollback keeps the differences", [
        (f"{ENGINE}/state/table.rs", "value.iter_mut().for_each(|value| value.undo(difference));", "let _ = (value, difference);"),
    ], SIMULATION),
    ("a restore drops differences to what the store has", [
        (f"{ENGINE}/store/staged.rs",
         "                    Some(value) => batch.put(table, key, |out| out.extend_from_slice(&value)),\n                    None =>",
         "                    Some(_) => {}\n                    None =>"),
    ], SIMULATION),
    ("a store that is filled from nothing skips the checkpoint", [
        (f"{ENGINE}/restore.rs", "if refilled || !matches!", "if !matches!"),
    ], SIMULATION),
    ("a store has a place before it has everything", [
        (f"{ENGINE}/restore.rs", "if has_everything { &self.place } else { &nowhere }", "if has_everything { &self.place } else { drop(nowhere); &self.place }"),
    ], SIMULATION),
    ("a newcomer of a group is dropped for the silence of others", [
        ("bus/src/groups.rs", "        group.advance(now);\n        if group.members.is_empty() {", "        if group.members.is_empty() {"),
        ("bus/src/groups.rs", "            self.deadline = None;\n            return;\n", "            return;\n"),
    ], ("groups", r"assertion .*failed")),
    ("a rollback keeps what waits to be sent", [
        (f"{ENGINE}/worker/commit.rs",
         "        self.shared.metrics.aborts.inc();\n        self.outbox.clear();\n        self.member.abort()?;\n        let positions",
         "        self.shared.metrics.aborts.inc();\n        self.member.abort()?;\n        let positions"),
    ], SIMULATION),
    ("a rollback keeps the books", [
        (f"{ENGINE}/task/commit.rs", "        self.books.clear();\n", ""),
    ], ("simulation", ORACLE + r"|offsets of a topic come in order")),
    ("a rollback keeps what was fetched", [
        (f"{ENGINE}/task/commit.rs", "        self.pending = None;\n        self.inbox.clear();\n", "        self.pending = None;\n"),
    ], ("simulation", ORACLE + r"|offsets of a topic come in order")),
    ("a rollback does not abort the transaction", [
        (f"{ENGINE}/worker/commit.rs",
         "        self.outbox.clear();\n        self.member.abort()?;\n        let positions",
         "        self.outbox.clear();\n        let positions"),
    ], SIMULATION),
    ("a member that is not in the group any more commits", [
        ("bus/src/groups.rs",
         "            Some(member) if current && member.holds == Holds::Owned => group.commits_in_flight += 1,\n            _ => return false,",
         "            Some(member) if current && member.holds == Holds::Owned => group.commits_in_flight += 1,\n            _ => group.commits_in_flight += 1,"),
    ], SIMULATION),
    ("the changelog is trimmed up to its end", [
        (f"{ENGINE}/task/commit.rs",
         "Ok(self.committed.marker.checkpoint.restore_from)", "Ok(self.committed.changelog_next)"),
    ], SIMULATION),
    ("a checkpoint does not rewrite the state that it passes over", [
        (f"{ENGINE}/task/commit.rs", "            changes.rewrite(key, value);\n", "            let _ = (key, value);\n"),
    ], SIMULATION),
    ("a store that does not fit the changelog is trusted", [
        (f"{ENGINE}/restore.rs",
         "place.as_ref().is_none_or(|place| place.lies_in(log));", "true;"),
        (f"{ENGINE}/restore.rs", "let expected = place.as_ref().map(|place| place.marker.clone());", "let expected: Option<Marker> = None;"),
    ], SIMULATION),
    ("a store of another partition is trusted", [
        (f"{ENGINE}/restore.rs", "let expected = place.as_ref().map(|place| place.marker.clone());", "let expected: Option<Marker> = None;"),
        (f"{ENGINE}/restore.rs", "|place| place.changelog_next - 1);\n", "|place| place.changelog_next);\n"),
    ], SIMULATION),
    ("a restored state has no positions", [
        (f"{ENGINE}/restore.rs", "(None, Some((_, next_offset))) => Start::Offset(*next_offset),", "(None, Some(_)) => Start::Beginning,"),
    ], SIMULATION),
    ("the changes of one table are neither logged nor written", [
        (f"{ENGINE}/task/mod.rs", "        visit(self.targets.table());\n        for pipeline", "        for pipeline"),
    ], SIMULATION),
    ("quarantined records are dropped", [
        (f"{ENGINE}/task/mod.rs",
         "                refused.write(&self.group, batch.names[number], self.partition, outbox);\n", "                drop(refused);\n"),
    ], SIMULATION),
    ("a row that was sampled out is written", [
        (f"{ENGINE}/task/mod.rs", "                        other => other,\n", "                        other => { if other.name() == \"sampled_out\" { let way = Way { pipeline: batch.names[number], origin, observed }; drop(self.write_output(number, &row, &way, entry.timestamp, outbox)); } other }\n"),
    ], ("unit", r"assertion .*failed|\d+ of \d+ kept")),
    ("absorbed rows are left out of the books", [
        (f"{ENGINE}/task/mod.rs",
         "            self.books.row(number, batch.rank, entry.offset, &disposition);",
         "            if disposition.name() != \"absorbed\" { self.books.row(number, batch.rank, entry.offset, &disposition); }"),
    ], ("unit", r"assertion .*failed")),
    ("the outcome depends on how rows are cut into batches", [
        (f"{ENGINE}/task/mod.rs",
         "                let observed = self.targets.observe(&origin, entry.timestamp * 1000)?;",
         "                let mut observed = self.targets.observe(&origin, entry.timestamp * 1000)?;\n"
         "                if batch.entries.first().map(|first| first.offset) != Some(entry.offset) { observed.before = Some(observed.now); }"),
    ], ("unit", r"assertion .*failed")),
    ("the search for unknown schemas has no bound", [
        (f"{ENGINE}/schema_lookup.rs", "            self.searches.remove(0);\n", ""),
    ], ("unit", r"assertion .*failed|held the partition back")),
    ("a timestamp from the future is believed", [
        (f"{ENGINE}/targets.rs", "timestamp.min(now.saturating_add(AHEAD_MAX))", "timestamp.max(now.min(now.saturating_add(AHEAD_MAX)))"),
    ], ("unit", r"assertion .*failed")),
    ("between groups a row has the time of its own record", [
        (f"{ENGINE}/targets.rs", "Source::Stage { now, time_clamped, .. } => (now, time_clamped, 0),",
         "Source::Stage { time_clamped, .. } => (timestamp, time_clamped, 0),"),
    ], ("unit", r"assertion .*failed")),
    ("between groups a row goes through every pipeline", [
        (f"{ENGINE}/task/pipeline.rs", "Source::Stage { pipeline, .. } => self.name == pipeline,",
         "Source::Stage { pipeline, .. } => !pipeline.is_empty(),"),
    ], ("unit", r"assertion .*failed")),
    ("between groups a row loses the offset of its raw record", [
        (f"{ENGINE}/staged.rs", "origin_offset: way.origin.offset,", "origin_offset: timestamp,"),
    ], ("unit", r"assertion .*failed")),
    ("a changelog that was copied from another cluster is believed", [
        (f"{ENGINE}/store/mod.rs", "unwrap_or(0)) > self.changelog_next", "unwrap_or(0)) > i64::MAX - 1"),
    ], ("unit", r"assertion .*failed")),
    ("on Kafka a slot has another transactional id at each start", [
        ("bus/src/kafka/member.rs", "        let id = format!(\"{}.{}\", spec.group, spec.slot.name);\n",
         "        static STARTS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);\n"
         "        let start = STARTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);\n"
         "        let id = format!(\"{}.{}.{start}\", spec.group, spec.slot.name);\n"),
    ], CONFORMANCE),
    ("on Kafka a member reads what is not committed", [
        ("bus/src/kafka/settings.rs", "        set_all(&mut properties, &EXACT_READING);\n        set(&mut properties, \"isolation.level\", isolation(Isolation::Committed));",
         "        set_all(&mut properties, &EXACT_READING);\n        set(&mut properties, \"isolation.level\", isolation(Isolation::Uncommitted));"),
    ], CONFORMANCE),
    ("on Kafka positions are not part of the transaction", [
        ("bus/src/kafka/transaction.rs", "        if !positions.is_empty() {\n            self.send_offsets",
         "        if positions.len() > 9 {\n            self.send_offsets"),
    ], CONFORMANCE),
    ("on Kafka a commit is fenced by what the member is by now", [
        ("bus/src/kafka/member.rs", "        let Some(membership) = self.membership.clone() else {",
         "        let Some(membership) = self.fetcher.pump().membership().map(Arc::new) else {"),
        ("bus/src/kafka/ffi.rs", "        (membership.generation() >= 0 && !nameless).then_some(membership)",
         "        let _ = nameless;\n        Some(membership)"),
    ], CONFORMANCE),
    ("on Kafka a member keeps the membership of its first assignment", [
        ("bus/src/kafka/member.rs", "        self.membership = self.fetcher.pump().membership().map(Arc::new);\n",
         "        self.membership = self.membership.take().or_else(|| self.fetcher.pump().membership().map(Arc::new));\n"),
        ("bus/src/kafka/member.rs", "        self.fetcher.unassign()?;\n        self.membership = None;\n",
         "        self.fetcher.unassign()?;\n"),
    ], CONFORMANCE),
    ("on Kafka an error of a delivery is ignored in a transaction", [
        ("bus/src/kafka/transaction.rs", "            (Some(code), _) => self.refuse(&String::from_utf8_lossy(record.topic), code),\n",
         "            (Some(_), _) => {}\n"),
    ], CONFORMANCE),
    ("on Kafka a producer has several requests on their way", [
        ("bus/src/kafka/settings.rs", "\"max.in.flight.requests.per.connection\", \"1\"", "\"max.in.flight.requests.per.connection\", \"5\""),
    ], PRODUCED),
    ("on Kafka a client that lost its brokers does not look for them", [
        ("bus/src/kafka/lookout.rs", "        if !self.has_broker(GLANCE) {", "        if !self.has_broker(GLANCE) && servers.is_empty() {"),
    ], PRODUCED),
    ("an open circuit is not obeyed", [
        ("pollers/src/limits.rs", "        !open || class == Class::Sessions", "        let _ = (open, class);\n        true"),
    ], WATCHED),
    ("a statement of ours has no time-out in the server", [
        ("pollers/src/postgresql/transaction.rs", "&timeouts.statement.as_millis().to_string()", "\"0\""),
    ], WATCHED),
    ("a server sees more connections of ours than it may", [
        ("pollers/src/postgresql/mod.rs", "let shares = target.config.connections_max;", "let shares = target.config.connections_max * 2;"),
    ], WATCHED),
    ("a key of the configuration that nobody asked for is taken", [
        ("config/src/section.rs", "            if was_asked_for || entry.key.is_unresolved() {", "            if !was_asked_for || entry.key.is_unresolved() {"),
    ], ("config", r"assertion .*failed")),
    ("values in memory have no bound", [
        (f"{ENGINE}/state/table.rs", "        self.evict(values_max);\n    }\n}\n", "        let _ = values_max;\n    }\n}\n"),
    ], ("unit", r"assertion .*failed|values are in memory")),
    ("a literal of a statement is shown", [
        ("sqltext/src/normalize.rs", "Kind::Literal | Kind::Parameter => self.value(),",
         "Kind::Literal => self.name(lexeme),\n            Kind::Parameter => self.value(),"),
    ], ("sqltext", r"assertion .*failed")),
]

TESTS = {
    "simulation": ["--profile", "simulation", "-p", "dbintel-processors", "--no-default-features", "--lib", "--", "simulation", "--nocapture"],
    "unit": ["--profile", "simulation", "-p", "dbintel-processors", "--no-default-features", "--lib", "--", "--skip", "simulation"],
    "conformance": ["--workspace", "--test", "all", "--", "bus_kafka::conforms"],
    "produced": ["--workspace", "--test", "all", "--", "faults::producer"],
    "watched": ["--workspace", "--test", "all", "--", "pollers_faults", "pollers_metrics"],
    "groups": ["--profile", "simulation", "-p", "dbintel-bus", "--no-default-features", "--lib", "--", "groups"],
    "config": ["--profile", "simulation", "-p", "dbintel-config"],
    "sqltext": ["--profile", "simulation", "-p", "dbintel-sqltext"],
}
SEEDS = os.environ.get("SEEDS", "100000")
LIMIT_SECONDS = int(os.environ.get("LIMIT_SECONDS", "600"))


def copy_of_the_tree(scratch: Path) -> Path:
    tree = scratch / "tree"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def apply(tree: Path, edits) -> dict:
    """Makes the edits, and gives the files as they were."""
    before = {}
    for name, old, new in edits:
        path = tree / name
        text = path.read_text()
        before.setdefault(path, text)
        if text.count(old) != 1:
            raise SystemExit(f"{name}: found {text.count(old)} times instead of once: {old!r}")
        path.write_text(text.replace(old, new))
    return before


def run(tree: Path, kind: str) -> tuple:
    """Exit status and output of the test; none if it does not end."""
    command = ["cargo", "test", "--locked", "--quiet", *TESTS[kind]]
    environment = {**os.environ, "SEEDS": SEEDS, "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(command, cwd=tree, env=environment, text=True, timeout=LIMIT_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def judge(tree: Path, test) -> tuple:
    kind, oracle = test
    status, output = run(tree, kind)
    if status is None:
        return False, f"does not end within {LIMIT_SECONDS} s"
    if status == 0:
        return False, "ALIVE: nothing noticed"
    if "could not compile" in output:
        return False, "does not compile: " + next(iter(re.findall(r"error.*", output)), "")
    found = re.search(oracle, output)
    if not found:
        return False, "ended by something else: " + " ".join(re.findall(r"panicked at.*\n.*", output)[:1])
    return True, found.group(0)[:90]


def main() -> int:
    only = os.environ.get("ONLY", "")
    chosen = [mutation for mutation in MUTATIONS if only in mutation[0] or only == mutation[2][0]]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="dbintel-mutations-") as scratch:
        tree = copy_of_the_tree(Path(scratch))
        for number, (name, edits, test) in enumerate(chosen, 1):
            before = apply(tree, edits)
            red, how = judge(tree, test)
            for path, text in before.items():
                path.write_text(text)
            failed += not red
            print(f"{number:3}/{len(chosen)} {'red' if red else 'NOT RED':8}{name:70}{test[0]}: {how}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} red")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
