//! What Debian's server tells beyond the others: CPU time of statements from `pg_stat_kcache`, and just-in-time compilation.

use std::collections::BTreeMap;

use dbintel_schemas::Topic;
use dbintel_schemas::records::RawQuery;
use dbintel_tests::servers::postgres::Postgres;
use tokio_postgres::Client;

use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{Tape, decode};

/// A statement that works for a while, and is compiled.
const WORK: &str = "SELECT sum(n * n) FROM generate_series(1::bigint, 200000) AS n WHERE n % 7 < 5";

/// By statement of the shop: CPU time in ns, compiled functions, and time for them in ns.
type Times = BTreeMap<String, [Option<i64>; 3]>;

async fn of_the_server(admin: &Client) -> Times {
    let sql = "SELECT s.queryid::text, k.ns, s.jit_functions,
                      round((jit_generation_time + jit_inlining_time + jit_optimization_time + jit_emission_time) * 1e6)::int8
               FROM pg_stat_statements(false) AS s LEFT JOIN (
                   SELECT queryid, userid, (sum(plan_user_time + plan_system_time + exec_user_time + exec_system_time) * 1e9)::int8
                   FROM hidden.pg_stat_kcache() GROUP BY 1, 2
               ) AS k (queryid, userid, ns) ON k.queryid = s.queryid AND k.userid = s.userid
               WHERE s.userid = 'shop'::regrole";
    let rows = admin.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3)])).collect()
}

fn published(tape: &Tape) -> Times {
    let values = tape.values(Topic::RawQueries);
    let rows = values.iter().map(|value| decode::<RawQuery<'_>>(value)).filter(|row| row.user == Some("shop"));
    let times = |row: RawQuery<'_>| {
        let counters = row.counters;
        (row.query_id.to_owned(), [counters.cpu_time_ns(), counters.jit_functions(), counters.jit_time_ns()])
    };
    rows.map(times).collect()
}

#[tokio::test]
async fn cpu_and_compilation_are_those_of_the_server() {
    let settings = [("shared_preload_libraries", "pg_stat_statements,pg_stat_kcache"), ("jit_above_cost", "0")];
    let postgres = Postgres::start_extended(&settings);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("CREATE SCHEMA hidden; CREATE EXTENSION pg_stat_kcache SCHEMA hidden").await.unwrap();
    let shop = connect_as(&postgres, "shop").await;
    shop.simple_query(WORK).await.unwrap();

    let tape = Tape::of(watcher(&postgres));
    let poll = tape.whole_poll("statements").await;
    let (.., remedy) = poll.capabilities.iter().find(|(name, ..)| name == "pg_stat_kcache").unwrap();
    assert!(published(&tape).values().all(|[cpu, ..]| cpu.is_none()));
    admin.batch_execute(remedy).await.unwrap();
    tape.stop().await;

    let tape = Tape::of(watcher(&postgres));
    for _ in 0..2 {
        shop.simple_query(WORK).await.unwrap();
        tape.whole_poll("statements").await;
        let expected = of_the_server(&admin).await;
        assert_eq!(published(&tape), expected);
        let compiled = expected.values().filter(|times| times.iter().all(|time| *time > Some(0))).count();
        assert!(compiled > 0, "{expected:?}");
    }
    tape.stop().await;
}
