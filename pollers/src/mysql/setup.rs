//! What an administrator runs once so that a poller may read a server: an account that may look at all statistics and at no
//! table.

use super::config::Config;
use super::server::{RIGHTS_OF_MARIADB, RIGHTS_OF_MYSQL, Server};

/// The statements, as often as one likes. The password is not among them.
pub fn sql(config: &Config, server: &Server) -> String {
    statements(config, server.grants(), server.is_mariadb)
}

/// The same for a server that does not let us in yet, of either kind.
pub fn sql_of_stranger(config: &Config) -> String {
    let (mysql, mariadb) = (statements(config, RIGHTS_OF_MYSQL, false), statements(config, RIGHTS_OF_MARIADB, true));
    format!("-- For MySQL:\n{mysql}-- For MariaDB:\n{mariadb}")
}

fn statements(config: &Config, rights: &str, is_mariadb: bool) -> String {
    let account = format!("'{}'@'%'", config.username.replace('\\', "\\\\").replace('\'', "''"));
    let consumer = match is_mariadb {
        true => {
            "\n-- In the server's configuration: performance_schema = ON, and userstat = 1 for what each user does.\n"
        }
        false => "\n",
    };
    format!(
        "-- As root; then give the account a password: ALTER USER {account} IDENTIFIED BY '…'\n\
         CREATE USER IF NOT EXISTS {account} WITH MAX_USER_CONNECTIONS 4;\n\
         GRANT {rights} ON *.* TO {account};\n\
         GRANT SELECT ON performance_schema.* TO {account};{consumer}\
         -- Until the next restart; in the configuration: performance-schema-consumer-events-statements-current = ON\n\
         UPDATE performance_schema.setup_consumers SET ENABLED = 'YES'\n    \
             WHERE NAME IN ('events_statements_current', 'statements_digest', 'thread_instrumentation');\n"
    )
}
