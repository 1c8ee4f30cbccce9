//! A password that changes needs no restart: it is read from its file, or printed by its command, for each new connection.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dbintel_pollers::credentials::{Command, Credentials};
use dbintel_pollers::postgresql::Config;
use dbintel_tests::scratch::Scratch;

use crate::pollers_faults::guarded;
use crate::pollers_statements::{open_shop, watcher};
use crate::pollers_tape::Tape;

const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'";

#[tokio::test]
async fn a_new_password_in_the_file_is_picked_up() {
    let scratch = Scratch::new("credentials");
    let postgres = guarded(&scratch);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'first'").await.unwrap();
    let file = scratch.write("password", "first\n");
    let password = Credentials::File(file.to_str().unwrap().to_owned());
    let tape = Tape::of(Config { password, ..watcher(&postgres) });
    tape.whole_poll("sessions").await;
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'second'").await.unwrap();
    admin.batch_execute(END).await.unwrap();
    tape.poll_with("a refused poll", |poll| poll.error_class.as_deref() == Some("28P01")).await;
    fs::write(&file, "second\n").unwrap();
    tape.whole_poll("sessions").await;
    // A file that is not there is named.
    fs::remove_file(&file).unwrap();
    admin.batch_execute(END).await.unwrap();
    let refused =
        tape.poll_with("a poll without a password", |poll| poll.error_class.as_deref() == Some("credentials")).await;
    assert!(refused.outcome == "refused" && refused.error.unwrap().contains(file.to_str().unwrap()));
    fs::write(&file, "second").unwrap();
    tape.whole_poll("sessions").await;
    tape.stop().await;
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_asked_for_again() {
    let scratch = Scratch::new("credentials");
    let postgres = guarded(&scratch);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'token-1'").await.unwrap();
    let runs = scratch.write("runs", "");
    let printer = scratch.write("printer.sh", "#!/bin/sh\necho run >> \"$1\"\necho token-$(wc -l < \"$1\")\n");
    fs::set_permissions(&printer, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = [&printer, &runs].map(|path| path.to_str().unwrap().to_owned()).to_vec();
    let password = Credentials::Command(Command::new(arguments, Duration::from_secs(3600)));
    let tape = Tape::of(Config { password, ..watcher(&postgres) });
    tape.whole_poll("tables").await;
    assert_eq!(fs::read_to_string(&runs).unwrap().lines().count(), 1, "all connections share a token");
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'token-2'").await.unwrap();
    admin.batch_execute(END).await.unwrap();
    tape.whole_poll("sessions").await;
    tape.stop().await;
}
