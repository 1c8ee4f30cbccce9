//! What an administrator runs once so that a poller may read a server: a role that may look at all statistics and at no table.

use super::config::Config;
use super::server::quoted;

/// Connections beyond those of the poller: of one that is going away, and of whoever looks after the role.
const CONNECTIONS_SPARE: usize = 3;

/// The statements, to be run in `connect_database` by a superuser, as often as one likes. The password is not among them.
pub fn sql(config: &Config) -> String {
    let role = quoted(&config.username);
    let literal = config.username.replace('\'', "''");
    let connections = config.connections_max + 1 + CONNECTIONS_SPARE;
    let database = quoted(&config.connect_database);
    format!(
        "-- In the database {database}, as a superuser; then give the role a password: \\password {role}\n\
         DO $$ BEGIN\n    \
             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{literal}') THEN\n        \
                 CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;\n    \
             END IF;\n\
         END $$;\n\
         ALTER ROLE {role} CONNECTION LIMIT {connections};\n\
         GRANT pg_monitor TO {role};\n\
         GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint(), pg_ls_waldir() TO {role};\n\
         -- It has to be in shared_preload_libraries, too, which takes a restart of the server.\n\
         CREATE EXTENSION IF NOT EXISTS pg_stat_statements;\n"
    )
}
