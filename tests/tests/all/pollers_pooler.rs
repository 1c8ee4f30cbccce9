//! A pooler between us and the server: refused, unless it is accepted; and then nothing of ours sticks to a connection
//! that an application gets.

use std::collections::BTreeMap;

use dbintel_pollers::postgresql::{Config, probe};
use dbintel_tests::servers::pgbouncer::PgBouncer;
use dbintel_tests::servers::postgres::{Major, Postgres};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::pollers_tape::{Tape, settings};

#[tokio::test]
async fn a_pooler_is_refused_unless_it_is_accepted() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let pooler = PgBouncer::in_front_of(&postgres);
        assert!(probe(&settings(postgres.port)).await.is_ok());
        let refused = probe(&settings(pooler.port)).await.unwrap_err();
        assert_eq!(refused.class, "pooler");
        assert!(refused.to_string().contains("`via_pooler: true`"), "{refused}");
        let tape = Tape::of(settings(pooler.port));
        let poll = tape.poll_with("a refused poll", |_| true).await;
        assert_eq!((poll.outcome.as_str(), poll.error_class.as_deref()), ("refused", Some("pooler")));
        tape.stop().await;
        assert!(probe(&Config { via_pooler: true, ..settings(pooler.port) }).await.is_ok());
    }
}

/// All settings of a session by name, the prepared statements, and the backend, as simple queries give them.
async fn session(application: &Client) -> BTreeMap<String, String> {
    let sql = "SELECT name, setting FROM pg_settings WHERE name NOT IN ('transaction_timeout')
               UNION ALL SELECT 'prepared statements', count(*)::text FROM pg_prepared_statements
               UNION ALL SELECT 'backend', pg_backend_pid()::text
               UNION ALL SELECT 'role', current_user::text || '/' || session_user::text
               UNION ALL SELECT 'open cursors', count(*)::text FROM pg_cursors
               UNION ALL SELECT 'advisory locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory'";
    let messages = application.simple_query(sql).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| (row.get(0).unwrap().to_owned(), row.get(1).unwrap_or("null").to_owned())).collect()
}

#[tokio::test]
async fn nothing_sticks_to_the_connection_of_an_application() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        postgres.client("postgres").await.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        // One connection of the server for all, so that the application gets the one that we used.
        let pooler = PgBouncer::in_front_of(&postgres);
        let application = pooler.client("postgres").await;
        application.simple_query("SET application_name = 'shop'; SET statement_timeout = '1min'").await.unwrap();
        application.simple_query("SET search_path = 'shop', 'public'; SET TimeZone = 'Asia/Tokyo'").await.unwrap();
        let before = session(&application).await;
        assert_eq!((before["application_name"].as_str(), before["statement_timeout"].as_str()), ("shop", "60000"));

        let tape = Tape::of(Config { via_pooler: true, ..settings(pooler.port) });
        for class in ["sessions", "statements", "metrics", "tables", "sizes"] {
            for _ in 0..3 {
                tape.whole_poll(class).await;
                assert_eq!(session(&application).await, before, "after {class} on {major:?}");
            }
        }
        // A writing statement of the application is not caught in a read-only transaction of ours.
        application.simple_query("CREATE TABLE written ()").await.unwrap();
        let sent: i64 = tape.polls().iter().map(|poll| poll.statements_sent).sum();
        assert!(sent > 100 && tape.polls().iter().all(|poll| poll.outcome == "ok"), "{:?}", tape.polls());
        tape.stop().await;
        assert_eq!(session(&application).await, before);
    }
}
