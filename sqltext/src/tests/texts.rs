//! What a statement looks like afterwards.

use crate::{Dialect, Normalizer, Options, SqlMode, Withheld};

const PG: Dialect = Dialect::PostgreSql;
const MY: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) });
const MY_ANSI: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(true), no_backslash_escapes: Some(false) });
const MY_PLAIN: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(true) });
const MY_UNKNOWN: Dialect = Dialect::MySql(SqlMode { ansi_quotes: None, no_backslash_escapes: None });

#[track_caller]
fn check(dialect: Dialect, cases: &[(&str, &str)]) {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    for (sql, expected) in cases {
        let statement = normalizer.normalize(sql.as_bytes());
        assert_eq!((statement.text, statement.withheld), (*expected, None), "{sql}");
        let (text, fingerprint) = (statement.text.to_owned(), statement.fingerprint);
        let again = normalizer.normalize(text.as_bytes());
        assert_eq!((again.text, again.fingerprint), (text.as_str(), fingerprint), "again: {sql}");
    }
}

#[track_caller]
fn check_withheld(dialect: Dialect, cases: &[(&[u8], &str, Withheld)]) {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    for (sql, expected, reason) in cases {
        let statement = normalizer.normalize(sql);
        let sql = String::from_utf8_lossy(sql);
        assert_eq!((statement.text, statement.withheld), (*expected, Some(*reason)), "{sql}");
    }
}

#[test]
fn literals_of_postgresql() {
    check(
        PG,
        &[
            (
                "select 'it''s', E'a\\'b', e'\\\\', U&'d\\0061', u&'x' uescape '!' , B'01', X'1F', N'x'",
                "select ?, ?, ?, ?, ?, ?, ?, ?",
            ),
            ("select $$a 'b' $x$ $$, $t$ $$ nested $$ $t$, $Ä$x$Ä$", "select ?, ?, ?"),
            ("select 'a'\n 'b', E'a\\''\n -- c\n '\\'b'", "select ?, ?"),
            ("select 1_000, 0xFF, 0b1, .5e-3, 1.5E+10, 1., 12abc", "select ?, ?, ?, ?, ?, ?, ?"),
            (
                "select -5, +5, - 5, - - 5, a - 5, a-5, (-5), a = -5, a*-5",
                "select ?, ?, ?, ?, a - ?, a - ?, (?), a = ?, a * ?",
            ),
            (
                "select '{1,2}'::int[], a[1], a[1:2], array[1,2,3], array[[1,2],[3,4]]",
                "select ?::int[], a[?], a[? : ?], array[?], array[[?]]",
            ),
            (
                "select interval '1 day', date '2020-01-01', timestamp with time zone '2020', float8 '1.5'",
                "select interval ?, date ?, timestamp with time zone ?, float8 ?",
            ),
            ("select a from t limit 10 offset 20", "select a from t limit ? offset ?"),
            ("select a from t limit all", "select a from t limit ?"),
            (
                "select null, true, false where a is null and b is not null and c is not true and d = null",
                "select ?, ?, ? where a is null and b is not null and c is not true and d = ?",
            ),
            (
                "select j->'a'->>'b', j @> '{\"a\":1}', j ? 'k', j ?| array['a','b'], j ?& '{a}', j #>> '{a,b}'",
                "select j -> ? ->> ?, j @> ?, j ? ?, j ?| array[?], j ?& ?, j #>> ?",
            ),
            ("select extract(epoch from ts), extract('year' from ts)", "select extract(? from ts), extract(? from ts)"),
            (
                "select a from t where x in (1,2,3) and y in ((1,'a'),(2,'b')) and z in ('a'::uuid, 'b'::uuid)",
                "select a from t where x in (?) and y in ((?, ?)) and z in (?::uuid)",
            ),
            (
                "insert into t (a,b) values (1,'x'),(2,'y'), (3, 'z') on conflict do nothing",
                "insert into t(a, b) values (?, ?) on conflict do nothing",
            ),
            (
                "insert into t values (1, now()), (2, now()), (3, default)",
                "insert into t values (?, now()), (?, default)",
            ),
            ("select coalesce(a, 1, 2), f(1), f(1, 2)", "select coalesce(a, ?, ?), f(?), f(?, ?)"),
            ("select 1; select 2;", "select ?; select ?"),
            ("do $$ begin perform 'secret'; end $$", "do ?"),
            ("do language plpgsql 'secret'", "do language plpgsql ?"),
            ("comment on table t is 'x'", "comment on table t is ?"),
            ("execute p(1,'x')", "execute p(?, ?)"),
            ("select a like 'b' escape '\\' and c = 'd'", "select a like ? escape ? and c = ?"),
            ("notify c, 'payload'", "notify c, ?"),
            ("select dblink('host=h password=p', 'select 1')", "select dblink(?, ?)"),
            ("select :'v', :\"v\", :v from t", "select ?, ?, ? from t"),
        ],
    );
}

#[test]
fn comments_and_spaces() {
    check(
        PG,
        &[
            ("  select\t1 -- secret\n,\r\n/* a /* nested */ b */ 2  ", "select ?, ?"),
            ("select a--b\nfrom t", "select a from t"),
            ("select 1+--x\n2", "select ? + ?"),
            ("select 1 */*x*/ 2", "select ? * ?"),
            ("select # 1, a#b", "select # ?, a # b"),
            ("", ""),
            (" -- nothing", ""),
            (";", ""),
        ],
    );
    check(
        MY,
        &[
            ("select 1 -- secret\n, 2 # x\n, a--1, --1, /* c */ 3", "select ?, a - ?"),
            ("select /*+ MAX_EXECUTION_TIME(1000) */ a from t", "select a from t"),
            ("/*!40101 SET NAMES utf8 */", "SET NAMES utf8"),
            (
                "select /*!50001 straight_join */ a from t /*!99999 where b = 'x' */",
                "select straight_join a from t where b = ?",
            ),
            ("select /*M!100100 1, */ 2", "select ?"),
            ("select 1 --\n, 2", "select ?"),
        ],
    );
}

#[test]
fn literals_of_mysql() {
    check(
        MY,
        &[
            ("select 'a\\'b', \"c\\\"d\", 'it''s', \"x\"\"y\", 'a' 'b'", "select ?"),
            ("select a, _utf8mb4'x', _latin1 'y', N'x', x'1F', 0x1F, b'01', \\N", "select a, ?"),
            ("select a, 1.5e-3, b, .5, c, -5, d - 5", "select a, ?, b, ?, c, ?, d - ?"),
            (
                "select @a, @`b`, @'c', @@session.sql_mode, @@max_connections, @v:=1",
                "select ?, @@session.sql_mode, @@max_connections, ? := ?",
            ),
            ("insert into t values (1,'a'),(2,'b')", "insert into t values (?)"),
            ("insert into t (a) values (1, now()), (2, now())", "insert into t(a) values (?, now())"),
            (
                "insert into t values (1) on duplicate key update a = values(a), b = values(b)",
                "insert into t values (?) on duplicate key update a = values (a), b = values (b)",
            ),
            (
                "select a from `t` where (a, b) in ((1,2),(3,4)) limit 5, 10",
                "select a from `t` where (a, b) in ((?)) limit ?",
            ),
            ("select date_add(a, interval 1 day)", "select date_add(a, interval ? day)"),
            (
                "load data infile '/etc/passwd' into table t fields terminated by ','",
                "load data infile ? into table t fields terminated by ?",
            ),
            ("prepare s from 'select 1'", "prepare s from ?"),
            ("select j->'$.a', j->>'$.b' from t", "select j -> ?, j ->> ? from t"),
            ("select * from 2024_orders, t.1abc", "select * from 2024_orders, t.1abc"),
        ],
    );
    check(MY_ANSI, &[("select \"a\", 'b\\'c' from \"t\"", "select \"a\", ? from \"t\"")]);
    check(MY_PLAIN, &[("select a, 'b\\', c, \"d\\\" from t", "select a, ?, c, ? from t")]);
    check(MY_UNKNOWN, &[("select a, 'b\\n', c, \"d\"\"e\" from t", "select a, ?, c, ? from t")]);
}

#[test]
fn names_are_kept() {
    check(
        PG,
        &[
            (
                "select \"Order\".\"a b\", t.*, U&\"d\\0061\" from public.\"T\"",
                "select \"Order\".\"a b\", t.*, U&\"d\\0061\" from public.\"T\"",
            ),
            ("select größe from straße", "select größe from straße"),
            ("select \"host=h password=p\", \"http://x\"", "select \"?\", \"?\""),
        ],
    );
    check(MY, &[("select `a``b` . `c` from `d`", "select `a``b`.`c` from `d`")]);
}

#[test]
fn digests_of_mysql() {
    check(
        MY,
        &[
            (
                "SELECT COUNT ( * ) FROM `a` . `b` WHERE `x` IN (...) AND `y` = ? LIMIT ?, ...",
                "SELECT COUNT(*) FROM `a`.`b` WHERE `x` IN (?) AND `y` = ? LIMIT ?",
            ),
            ("INSERT INTO `t` VALUES (...) /* , ... */", "INSERT INTO `t` VALUES (?)"),
            ("INSERT INTO `t` VALUES (?) /* , ... */", "INSERT INTO `t` VALUES (?)"),
        ],
    );
}

#[test]
fn what_has_no_end_is_hidden() {
    use Withheld as W;
    check_withheld(
        PG,
        &[
            (b"select a, 'secret", "select a ...", W::UnterminatedString),
            (b"select a, E'secret\\'", "select a ...", W::UnterminatedString),
            (b"select a, $$secret", "select a ...", W::UnterminatedDollarQuote),
            (b"select a, $x$secret$$", "select a ...", W::UnterminatedDollarQuote),
            (b"select a, $sec", "select a ...", W::UnterminatedDollarQuote),
            (b"select \"secret", "select ...", W::UnterminatedName),
            (b"select 1 /* secret /* */", "select ? ...", W::UnterminatedComment),
            (b"select 'a\\' , secret", "select ...", W::AmbiguousEscape),
            (b"select \xe2\x80\x98secret\xe2\x80\x99", "select ...", W::ForeignQuote),
            (b"select \x93secret\x94", "select ...", W::ForeignQuote),
            (b"hunter2", "...", W::UnknownStatement),
            (b"select 1; password=secret", "select ? ...", W::UnknownStatement),
            (b"\\connect secret", "...", W::ForeignByte),
            (b"select a\0secret", "select a ...", W::ForeignByte),
        ],
    );
    check_withheld(
        MY,
        &[
            (b"select \"secret", "select ...", W::UnterminatedString),
            (b"select `secret", "select ...", W::UnterminatedName),
            (b"select 'a\xbf\\', secret", "select ...", W::AmbiguousEncoding),
            (b"/*!99999 select ' */ secret ' */", "select ...", W::AmbiguousComment),
            (b"/*!99999 /*!1 secret */ */", "...", W::AmbiguousComment),
        ],
    );
    check_withheld(
        MY_UNKNOWN,
        &[
            (b"select 'a\\' secret", "select ...", W::AmbiguousEscape),
            (b"select \"a\\\" secret", "select ...", W::AmbiguousEscape),
        ],
    );
}

#[test]
fn statements_with_secrets_show_verb_and_object() {
    use Withheld::{CopyData, SecretStatement as S};
    check_withheld(
        PG,
        &[
            (b"ALTER ROLE bob WITH PASSWORD 'secret'", "ALTER ROLE bob", S),
            (b"create user \"Bob\" password secret", "create user \"Bob\"", S),
            (
                b"CREATE USER MAPPING FOR bob SERVER s OPTIONS (password 'secret')",
                "CREATE USER MAPPING FOR bob SERVER s",
                S,
            ),
            (b"CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h')", "CREATE SERVER s", S),
            (b"CREATE SUBSCRIPTION s CONNECTION 'password=secret'", "CREATE SUBSCRIPTION s", S),
            (b"CREATE FOREIGN DATA WRAPPER w OPTIONS (a 'b')", "CREATE FOREIGN DATA WRAPPER w", S),
            (b"COPY t FROM PROGRAM 'curl -u me:secret'", "COPY t FROM PROGRAM", S),
            (b"select 1; ALTER USER a WITH PASSWORD 'b'", "select ?; ALTER USER a", S),
            (b"COPY t (a, b) FROM STDIN;\n1\tsecret\n\\.\n", "COPY t(a, b) FROM STDIN", CopyData),
        ],
    );
    check_withheld(
        MY,
        &[
            (b"CREATE USER 'bob'@'%' IDENTIFIED BY 'secret'", "CREATE USER ?", S),
            (b"ALTER USER IF EXISTS bob@localhost IDENTIFIED BY secret", "ALTER USER IF EXISTS bob ?", S),
            (b"SET PASSWORD FOR bob = 'secret'", "SET PASSWORD", S),
            (b"SET GLOBAL my_secret = abc", "SET GLOBAL my_secret =", S),
            (b"GRANT ALL ON *.* TO 'bob'@'%' IDENTIFIED BY 'secret'", "GRANT ALL ON *.* TO ?", S),
            (b"CHANGE MASTER TO MASTER_PASSWORD='secret'", "CHANGE MASTER TO", S),
            (b"CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='secret'", "CHANGE REPLICATION SOURCE TO", S),
            (b"START REPLICA USER='u' PASSWORD='secret'", "START REPLICA", S),
        ],
    );
    check(
        PG,
        &[
            ("SET app.token = abc; select 1", "SET app.token = ?; select ?"),
            ("SET LOCAL search_path TO a, b", "SET LOCAL search_path TO ?"),
            ("SET TIME ZONE 'UTC'", "SET TIME ZONE ?"),
            ("ALTER SYSTEM SET primary_conninfo = 'x'", "ALTER SYSTEM SET primary_conninfo = ?"),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
            (
                "begin isolation level serializable; explain (analyze) select 1; end",
                "begin isolation level serializable; explain(analyze) select ?; end",
            ),
            ("create role bob; create table user_tokens (a int)", "create role bob; create table user_tokens(a int)"),
        ],
    );
}

#[test]
fn parameters_of_all_styles_are_one() {
    for parameter in ["$1", "?", ":name", ":1", "@p", "%s", "%(name)s", "'x'", "-1"] {
        for dialect in [PG, MY] {
            let mut normalizer = Normalizer::new(dialect, Options::default());
            for (before, after) in [("a = ", ""), ("a=", ""), ("a in (", ")"), ("a between ", " and b"), ("f(a, ", ")")]
            {
                let sql = format!("select a from t where {before}{parameter}{after}");
                let text = normalizer.normalize(sql.as_bytes()).text.to_owned();
                assert_eq!(
                    text.replace("a=", "a = "),
                    format!("select a from t where {before}?{after}").replace("a=", "a = "),
                    "{dialect:?} {sql}"
                );
            }
        }
    }
}
