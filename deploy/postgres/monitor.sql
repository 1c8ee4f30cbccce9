-- The role that watches, with what it needs and no more; run in the database that the poller connects to.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE ROLE dbintel_monitor LOGIN CONNECTION LIMIT 5 PASSWORD 'dbintel_monitor';
GRANT pg_monitor TO dbintel_monitor;
