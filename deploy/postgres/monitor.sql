-- The role that watches, with what it needs and no more; run in the database that the poller connects to, as often as you
-- like. It has no password: give it one with `\password dbintel_monitor` in psql, or let pg_hba.conf say how it proves
-- who it is.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dbintel_monitor') THEN
        CREATE ROLE dbintel_monitor LOGIN CONNECTION LIMIT 5;
    END IF;
END
$$;
GRANT pg_monitor TO dbintel_monitor;
