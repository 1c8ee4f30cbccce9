//! Statements written to get a secret past the lexer. Every secret has `hush` in it; nothing else has.

use crate::checker::leaks;
use crate::subject::{Mode, Outcome, Server, modes, mysql, normalise};

/// On PostgreSQL; what must be hidden and, after the bar, a word that must still be readable (or nothing).
const POSTGRESQL: &[(&str, &str)] = &[
    // Strings.
    (r"SELECT 'it''s hush' FROM shown", "shown"),
    (r"SELECT E'it\'s hush' FROM shown", "shown"),
    (r"SELECT E'\'', 'hush' FROM shown", "shown"),
    (r"SELECT e'\\\' hush' FROM shown", "shown"),
    (r"SELECT '\', 'hush' FROM shown", ""),
    (r"SELECT '\' hush", ""),
    (r"SELECT :'a\' hush' FROM t", ""),
    ("SELECT 1.0:0.hush FROM shown", "shown"),
    ("COPY shown FROM 1STDIN;\nSELECT hush", "shown"),
    (r"SELECT 0__$a$ b'\' hush $a$ FROM hush", ""),
    (r"SELECT '\\' , 'hush\'hush' || 'hush'", ""),
    ("SELECT 'a'\n'hush' FROM shown", "shown"),
    ("SELECT 'a' -- hush\n'hush' FROM shown", "shown"),
    ("SELECT E'a'\n'\\' hush' FROM shown", "shown"),
    ("SELECT E'a' -- 'hush\n'\\' hush' FROM shown", "shown"),
    ("SELECT 'a'\r'hush' FROM shown", "shown"),
    (r"SELECT U&'d\0061t hush' UESCAPE '!' FROM shown", "shown"),
    (r"SELECT u&'hush!0041' UESCAPE '!' FROM shown", "shown"),
    (r#"SELECT U&"shown\0041" FROM t WHERE a = 'hush'"#, ""),
    (r#"SELECT U&"a\" , 'hush' FROM t"#, ""),
    ("SELECT N'hush', n'hush' FROM shown", "shown"),
    ("SELECT B'hush', X'hush', b'hush', x'hush' FROM shown", "shown"),
    ("SELECT _utf8'hush' FROM shown", "shown"),
    ("SELECT DATE 'hush', interval 'hush' day, timestamp with time zone 'hush' FROM shown", "shown"),
    ("SELECT point 'hush', json '{\"hush\": 1}', xml '<hush/>' FROM shown", "shown"),
    ("SELECT 'hush'::text, cast('hush' as text) FROM shown", "shown"),
    ("SELECT '{\"password\": \"hush\"}'::jsonb -> 'hush' ->> 'hush' #> '{hush}' FROM shown", "shown"),
    ("SELECT a @> '{\"hush\":1}' AND a ? 'hush' AND a ?| array['hush'] AND a ?& '{hush}' FROM shown", "shown"),
    ("SELECT ARRAY['hush', 'hush'], '{hush,hush}'::text[] FROM shown", "shown"),
    ("SELECT xmlparse(document '<?xml version=\"1.0\"?><hush a=\"hush\">hush</hush>') FROM shown", "shown"),
    // Dollar quotes.
    ("SELECT $$hush$$ FROM shown", "shown"),
    ("SELECT $tag$hush $$ hush $other$ hush $tag$ FROM shown", "shown"),
    ("SELECT $a$ $b$ hush $b$ hush $a$ FROM shown", "shown"),
    ("SELECT $a$ $b$ hush $a$ , $b$ hush $a$ hush $b$ FROM shown", "shown"),
    ("SELECT $A$ $a$ hush $A$ FROM shown", "shown"),
    ("SELECT $t\u{e9}g$ hush $t\u{e9}g$ FROM shown", "shown"),
    ("SELECT $1$hush$ hush$$ hush", ""),
    ("SELECT $1, $$hush$$ FROM shown", "shown"),
    ("SELECT a$b$ , 'hush' , $$hush$$ FROM shown", "shown"),
    ("SELECT a$$ , 'hush'", ""),
    ("SELECT 1$$hush$$ FROM shown", ""),
    ("SELECT $1$$hush$$ FROM shown", ""),
    ("SELECT $1$$ hush $$ FROM shown", ""),
    ("SELECT 1$$ hush $$ FROM shown", ""),
    ("SELECT 0x1F$a$ hush $a$ FROM shown", ""),
    ("SELECT a :$x$ hush $x$ FROM shown", ""),
    ("SELECT a :$$ hush $$ FROM shown", ""),
    ("SELECT \"a\"$$hush$$ FROM shown", "shown"),
    ("SELECT $$hush$ hush", ""),
    ("SELECT $tag$hush$tag FROM hush", ""),
    ("SELECT $ $hush$ hush $hush", ""),
    ("SELECT $tag $ hush' hush' FROM t", ""),
    // Comments.
    ("SELECT 1 -- hush", ""),
    ("SELECT 1 --hush\n FROM shown", "shown"),
    ("SELECT 1 --hush\r FROM shown", "shown"),
    ("SELECT 1 /* hush */ FROM shown", "shown"),
    ("SELECT 1 /* /* hush */ hush */ FROM shown", "shown"),
    ("SELECT 1 /*/* hush */ hush */ FROM shown", "shown"),
    ("SELECT 1 /*/ hush */ FROM shown", "shown"),
    ("SELECT 1 /* ' */ FROM shown /* ' hush */", "shown"),
    ("SELECT 1 /* -- */ FROM shown", "shown"),
    ("SELECT 1 -- /* \n , 'hush' FROM shown", "shown"),
    ("SELECT '/*' , 'hush' /* '*/ FROM shown", "shown"),
    ("SELECT a +-- hush\n 1 FROM shown", "shown"),
    ("SELECT a @/* hush */ 1 FROM shown", "shown"),
    ("SELECT a */* hush */ 1 FROM shown", "shown"),
    ("SELECT a <->--hush\n 1 FROM shown", "shown"),
    ("SELECT 1 */ /* hush */ FROM shown", "shown"),
    ("SELECT /*+ IndexScan(t hush) */ 1 FROM shown", "shown"),
    ("SELECT 1 /*!50000 hush */ FROM shown", "shown"),
    // Numbers.
    ("SELECT 4111111111111111, 1_0, 0xC0FFEE, 0o17, 0b11, .5e-3, 7., 1e+5 FROM shown", "shown"),
    // Names that look like something else.
    ("SELECT \"shown -- 'x\" , 'hush' FROM t", "shown"),
    ("SELECT \"a\"\"'\" , 'hush' FROM shown", "shown"),
    ("SELECT a$1 , 'hush' FROM shown", "shown"),
    // COPY.
    ("COPY shown FROM STDIN;\n1\thush\n2\thush\n\\.\nSELECT 1", "shown"),
    ("COPY shown (a, b) FROM stdin WITH (FORMAT csv);\n1,'hush\n2,\"hush\n\\.\nSELECT 'hush'", "shown"),
    ("copy shown from stdin;\r\nhush\r\n\\.\r\nselect 1", "shown"),
    ("COPY shown FROM STDIN;\nhush without an end\n", "shown"),
    ("COPY shown FROM STDIN;\n;hush\n\\.\n", "shown"),
    ("COPY shown FROM STDIN DELIMITER ';';\n; ;\nSELECT hush;hush\n\\.\n", "shown"),
    ("COPY shown FROM PROGRAM 'curl -u me:hush https://x'", ""),
    ("COPY (SELECT 'hush' FROM shown) TO PROGRAM 'hush'", ""),
    ("COPY shown TO '/tmp/hush' (DELIMITER 'hush')", ""),
    // Utility statements.
    ("CREATE ROLE shown PASSWORD 'hush'", ""),
    ("CREATE USER shown WITH ENCRYPTED PASSWORD 'md5hush' VALID UNTIL 'hush'", ""),
    ("ALTER ROLE shown PASSWORD $$hush$$", ""),
    ("ALTER ROLE shown PASSWORD E'hush\\'hush'", ""),
    ("ALTER ROLE shown SET search_path = hush", ""),
    ("ALTER USER shown PASSWORD hush", ""),
    ("CREATE ROLE shown LOGIN PASSWORD \"hush\"", ""),
    ("CREATE USER MAPPING FOR shown SERVER s OPTIONS (user 'u', password 'hush')", ""),
    ("ALTER USER MAPPING FOR shown SERVER s OPTIONS (SET password 'hush')", ""),
    ("CREATE SERVER shown FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'hush', passfile 'hush')", ""),
    ("CREATE SUBSCRIPTION shown CONNECTION 'host=h password=hush' PUBLICATION p", ""),
    ("ALTER SUBSCRIPTION shown CONNECTION 'postgresql://u:hush@h/d'", ""),
    ("SELECT * FROM dblink('password=hush', 'SELECT hush') AS shown(a int)", "shown"),
    ("SELECT dblink_connect('c', 'postgres://u:hush@h')", ""),
    ("DO $$ BEGIN EXECUTE 'hush'; PERFORM hush; END $$", ""),
    ("DO LANGUAGE plpgsql 'BEGIN hush; END'", ""),
    ("CREATE FUNCTION shown() RETURNS int AS $f$ SELECT 'hush' $f$ LANGUAGE sql", ""),
    ("CREATE FUNCTION shown() RETURNS int AS 'hush', 'hush' LANGUAGE c", ""),
    ("CREATE FUNCTION shown(a text DEFAULT 'hush') RETURNS text BEGIN ATOMIC SELECT 'hush'; END", ""),
    ("SET SESSION my.password = 'hush'", ""),
    ("SET my.password TO hush", ""),
    ("SET LOCAL my.password = hush, 'hush'", ""),
    ("SET ROLE 'hush'; SET SESSION AUTHORIZATION 'hush'", ""),
    ("SET PASSWORD = hush", ""),
    ("ALTER SYSTEM SET primary_conninfo = 'password=hush'", ""),
    ("ALTER DATABASE shown SET my.token = 'hush'", ""),
    ("SECURITY LABEL ON TABLE shown IS 'hush'", ""),
    ("COMMENT ON TABLE shown IS 'hush'", ""),
    ("NOTIFY shown, 'hush'", ""),
    ("PREPARE shown AS SELECT 'hush'", ""),
    ("EXECUTE shown(1, 'hush')", ""),
    ("EXECUTE shown('hush', $$hush$$)", ""),
    ("PREPARE TRANSACTION 'hush'", ""),
    ("EXPLAIN (ANALYZE) SELECT 'hush' FROM shown", "shown"),
    ("SELECT set_config('my.password', 'hush', false)", ""),
    ("SELECT pg_notify('c', 'hush'), pgp_sym_decrypt(a, 'hush') FROM shown", "shown"),
    ("SELECT 1; ALTER ROLE shown PASSWORD 'hush'; SELECT 2", ""),
    ("SELECT 1; ALTER ROLE shown PASSWORD hush; SELECT 2", ""),
    ("BEGIN; CREATE ROLE shown PASSWORD hush; COMMIT", ""),
    ("/* x */ ALTER /* y */ ROLE shown -- z\n PASSWORD hush", ""),
    ("alter\u{b}role shown password hush", ""),
    ("  ; ; ALTER ROLE shown PASSWORD hush", ""),
    ("(ALTER ROLE shown PASSWORD hush", ""),
    ("EXPLAIN ALTER ROLE shown PASSWORD hush", ""),
    ("\u{feff}ALTER ROLE shown PASSWORD hush", ""),
    ("SELECT 'host=h user=u password=hush sslmode=require' FROM shown", "shown"),
    ("SELECT * FROM shown WHERE url = 'https://u:hush@h/?token=hush'", "shown"),
    // psql.
    ("\\set password hush\nSELECT :'password' FROM shown", ""),
    ("\\connect \"host=h password=hush\"\nSELECT 1", ""),
    ("\\c postgres://u:hush@h/d", ""),
    ("SELECT 1 \\gset hush_\nSELECT 2", ""),
    ("\\copy shown from 'hush' \\\\ SELECT 'hush'", ""),
    ("\\echo `curl hush`\n", ""),
    ("\\password hush", ""),
    ("SELECT 1 \\; SELECT 'hush' \\g |hush", ""),
    ("psql 'postgres://u:hush@h/d' -c \"SELECT 1\"", ""),
    // No statement at all, but what was typed at a prompt.
    ("hush", ""),
    ("hush;", ""),
    ("Tr0ub4dor&hush3", ""),
    ("password=hush host=h", ""),
    ("postgres://u:hush@h/d", ""),
    ("psql postgres://u:hush@h/d", ""),
    ("export PGPASSWORD=hush", ""),
    ("SELECT 1; hush", ""),
    ("{\"password\": \"hush\"}", ""),
    ("<hush>hush</hush>", ""),
    // Encodings.
    ("\u{feff}SELECT 'hush' FROM shown", "shown"),
    ("SELECT '\u{1f600} hush \u{1f512}' FROM shown", "shown"),
    ("SELECT '\u{5e1}\u{5d5}\u{5d3} hush \u{202e}' FROM shown", "shown"),
    ("SELECT\u{a0}'hush'\u{3000}FROM shown", ""),
    ("\u{405}ELECT 'hush' FROM shown", ""),
    ("S\u{395}LECT 'hush' FROM shown", ""),
    ("ALTER R\u{41e}LE shown PASSWORD 'hush'", ""),
    ("SELECT \u{ff07}a, 'hush' FROM shown", ""),
    ("SELECT 'hush'\r\nFROM shown\r\nWHERE a = 'hush'\r\n", "shown"),
    ("SELECT\u{0}'hush'\u{0} FROM shown", ""),
    ("SELECT 'a\u{0}hush' FROM shown", ""),
    // Never closed.
    ("SELECT 'hush", ""),
    ("SELECT E'hush\\", ""),
    ("SELECT E'hush\\'", ""),
    ("SELECT U&'hush", ""),
    ("SELECT x'hush", ""),
    ("SELECT \"a, 'hush", ""),
    ("SELECT $$hush", ""),
    ("SELECT $t$hush$t", ""),
    ("SELECT 1 /* hush", ""),
    ("SELECT 1 /* /* hush */ hush", ""),
    ("SELECT 1 /* hush *", ""),
    ("SELECT 1 -- hush", ""),
    ("SELECT ('hush', (('hush' ", ""),
    ("SELECT a FROM shown WHERE b IN ('hush', 'hush", "shown"),
    ("INSERT INTO shown VALUES ('hush', ('hush', ", "shown"),
];

/// On MySQL and MariaDB, in every `sql_mode`, known or not; a word is readable in every mode.
const MYSQL: &[(&str, &str)] = &[
    (r"SELECT 'it''s hush' FROM shown", "shown"),
    (r"SELECT 'it\'s hush' FROM shown", ""),
    (r"SELECT '\\', 'hush' FROM shown", "shown"),
    (r#"SELECT "it""s hush" FROM shown WHERE a = "hush'hush""#, ""),
    ("SELECT N'hush', n'hush', _utf8mb4'hush', _utf8 'hush', _binary'hush' FROM shown", "shown"),
    ("SELECT x'hush', X'BEEF', b'hush', B'101' FROM shown", "shown"),
    ("SELECT 0xC0FFEE, 0b1011, 4111111111111111, 1e5, .5 FROM shown", "shown"),
    ("SELECT 23:59:59.4111, ''.4111, ?.4111, @a .4111 FROM shown", ""),
    ("SELECT SUBSTRING(a FROM 4111e-2), TRIM(FROM 4111e+2) FROM shown", "shown"),
    ("SELECT 23:59:59.4111a, ''.4111a, ?.4111a FROM shown", ""),
    ("SELECT 'a' 'hush' \n 'hush' FROM shown", "shown"),
    ("SELECT 'a' /* hush */ 'hush' FROM shown", "shown"),
    ("SELECT DATE 'hush', TIMESTAMP'hush', {d 'hush'} FROM shown", "shown"),
    ("SELECT a -> '$.hush', a->>'$.hush' FROM shown", "shown"),
    ("SELECT `a``'` , 'hush' FROM shown", "shown"),
    ("SELECT `a\\` , 'hush' FROM shown", "shown"),
    ("SELECT \\N, 'hush' FROM shown", "shown"),
    ("CREATE FUNCTION shown() RETURNS INT LANGUAGE JAVASCRIPT AS $$ let a = hush; return \"hush\" $$", ""),
    ("CREATE FUNCTION shown() RETURNS INT LANGUAGE JAVASCRIPT AS $js$ let a = hush; $$ return 'hush' $js$", ""),
    // Comments.
    ("SELECT 1 -- hush\n FROM shown", "shown"),
    ("SELECT 1 --\thush\n FROM shown", "shown"),
    ("SELECT 1 --\n FROM shown", "shown"),
    ("SELECT 1--1 , 'hush' FROM shown", "shown"),
    ("SELECT 1 --'hush' FROM shown", "shown"),
    ("SELECT 1 --\r hush\n FROM shown", "shown"),
    ("SELECT 1 # hush\n FROM shown", "shown"),
    ("SELECT 1 #hush\r hush\n FROM shown", "shown"),
    ("SELECT 1 # ' \n FROM shown # ' hush", "shown"),
    ("SELECT 1 /* hush */ FROM shown", "shown"),
    ("SELECT 1 /* /* hush */ FROM shown", "shown"),
    ("SELECT 1 /* ' */ , 'hush' FROM shown", "shown"),
    ("SELECT 1 /*!50000 , 'hush' */ FROM shown", "shown"),
    ("SELECT 1 /*!50000, 12345 */ FROM shown", "shown"),
    ("SELECT 1 /*M!100100 , 'hush' */ FROM shown", "shown"),
    ("SELECT 1 /*!99999 ' */ , 'hush' -- '\n FROM t", ""),
    ("SELECT 1 /*!99999 \" */ , \"hush\" -- \"\n FROM t", ""),
    ("SELECT 1 /*!99999 -- */ , 'hush' \n FROM t", ""),
    ("SELECT 1 /*!99999 -- */ , ' \n hush ' FROM t", ""),
    ("SELECT 1 /*!99999 # */ , ' \n hush ' FROM t", ""),
    ("SELECT TRIM(LEADING 'a' FROM 0x68757368), SUBSTRING(a FROM 1e5), TRIM(FROM 0b11) FROM shown", "shown"),
    ("SELECT 1 /*!99999 ` */ , 'hush' , ` FROM t", ""),
    ("SELECT 1 /*!99999 # ' */ , 'hush' \n '*/ FROM t", ""),
    ("SELECT 1 /*!50000 /* hush */ , 'hush' */ FROM shown", "shown"),
    ("SELECT 1 /*!50000 '*/' , 'hush' */ FROM shown", ""),
    ("SELECT 1 /*!99999 ` /* ` */ , hush */ FROM shown", ""),
    ("SELECT 1 /*!99999 '/*' */ , hush */ FROM shown", ""),
    ("SELECT 1 /*!99999 # /*\n */ , hush */ FROM shown", ""),
    ("SELECT /*+ MAX_EXECUTION_TIME(1000) hush */ 1 FROM shown", "shown"),
    // Utility statements.
    ("SET PASSWORD = 'hush'", ""),
    ("SET PASSWORD FOR 'u'@'h' = PASSWORD('hush')", ""),
    ("SET PASSWORD FOR u = hush", ""),
    ("SET @@global.init_connect = \"hush\", @x = 'hush'", ""),
    ("CREATE USER shown IDENTIFIED BY 'hush'", ""),
    ("CREATE USER IF NOT EXISTS shown@localhost IDENTIFIED WITH mysql_native_password AS '*hush'", ""),
    ("CREATE USER shown IDENTIFIED BY PASSWORD '*hush'", ""),
    ("CREATE USER shown IDENTIFIED BY \"hush\"", ""),
    ("ALTER USER USER() IDENTIFIED BY 'hush' REPLACE 'hush'", ""),
    ("ALTER USER shown IDENTIFIED BY hush", ""),
    ("GRANT ALL ON *.* TO shown@'%' IDENTIFIED BY 'hush'", ""),
    ("GRANT ALL ON *.* TO shown IDENTIFIED BY \"hush\"", ""),
    ("GRANT ALL ON *.* TO shown IDENTIFIED BY hush", ""),
    ("CHANGE REPLICATION SOURCE TO SOURCE_HOST='hush', SOURCE_PASSWORD='hush'", ""),
    ("CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD=\"hush\"", ""),
    ("CHANGE MASTER TO MASTER_PASSWORD='hush', MASTER_LOG_FILE=\"hush\"", ""),
    ("START REPLICA USER='u' PASSWORD='hush'", ""),
    ("START SLAVE USER=\"u\" PASSWORD=\"hush\"", ""),
    ("CREATE SERVER shown FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD 'hush')", ""),
    ("CREATE TABLE shown (a INT) ENGINE=FEDERATED CONNECTION='mysql://u:hush@h/d/t'", ""),
    ("CREATE TABLE shown (a INT) ENGINE=CONNECT CONNECTION=\"hush\" COMMENT \"hush\"", ""),
    ("LOAD DATA LOCAL INFILE '/srv/hush' INTO TABLE shown FIELDS TERMINATED BY 'hush'", ""),
    ("LOAD DATA INFILE \"hush\" INTO TABLE shown", ""),
    ("SELECT a INTO OUTFILE 'hush' FROM shown", ""),
    ("PREPARE shown FROM 'SELECT hush'", ""),
    ("PREPARE shown FROM \"SELECT 'hush'\"", ""),
    ("EXECUTE shown USING @a", ""),
    ("CREATE PROCEDURE shown() BEGIN SET @a = 'hush'; SELECT \"hush\"; END", ""),
    ("CREATE EVENT shown ON SCHEDULE EVERY 1 DAY DO UPDATE t SET a = 'hush'", ""),
    ("SELECT AES_DECRYPT(a, 'hush'), AES_ENCRYPT(\"hush\", UNHEX('hush')) FROM t", ""),
    ("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'hush'", ""),
    ("SELECT 1; ALTER USER shown IDENTIFIED BY hush", ""),
    ("/*!50000 ALTER USER shown IDENTIFIED BY hush */", ""),
    ("CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY 'hush'", ""),
    // No statement at all.
    ("hush", ""),
    ("mysql -u root -phush", ""),
    ("SELECT 1; hush", ""),
    // Encodings.
    ("\u{feff}SELECT 'hush' FROM shown", "shown"),
    ("SELECT\u{a0}'hush'", ""),
    ("SELECT 'hush'\r\nFROM shown\r\nWHERE a = 'hush'\r\n", "shown"),
    ("SELECT 'a\u{0}hush' , 'hush' FROM shown", ""),
    ("SELECT '\u{1f600} hush' , '\u{5e1}\u{5d5}\u{5d3} hush \u{202e}' FROM shown", "shown"),
    // Never closed.
    ("SELECT 'hush", ""),
    ("SELECT 'hush\\", ""),
    ("SELECT 'hush\\'", ""),
    ("SELECT \"hush", ""),
    ("SELECT `a, 'hush", ""),
    ("SELECT _utf8mb4'hush", ""),
    ("SELECT 1 /* hush", ""),
    ("SELECT 1 /*!50000 'hush", ""),
    ("SELECT 1 -- hush", ""),
    ("SELECT 1 # hush", ""),
    ("INSERT INTO shown VALUES ('hush', (\"hush", "shown"),
];

/// On MySQL where `sql_mode` decides, so that nothing but the mode may be trusted. Not known, all is hidden.
const AMBIGUOUS: &[&str] = &[
    r"SELECT '\', 'hush' -- ' hush",
    r"SELECT '\', hush'",
    r"SELECT '\' hush",
    r#"SELECT "\", "hush" FROM t"#,
    r#"SELECT "\" hush"#,
    r#"SELECT "a\" , 'b\"hush' , "hush""#,
    r"SELECT N'\' hush', _utf8'\' hush' FROM t",
    r"SELECT @'\' hush' FROM t",
    r"SELECT 'a\'\'hush' FROM t",
    r"SELECT '\\\' hush' FROM t",
    r"SELECT 'a' '\' hush' FROM t",
];

/// What is wrong with the text that `mode` gives.
fn faults(statement: &str, readable: &str, mode: Mode, secrets_are_hidden: bool) -> Option<String> {
    let Outcome { text, tables, tags, canonical, .. } = normalise(statement, mode);
    let leaks = leaks(statement.as_bytes(), &text, &mode.readings());
    if !leaks.is_empty() {
        return Some(format!("{text:?} shows {}", leaks[0]));
    }
    let all = format!("{text} {tables:?} {tags:?} {}", String::from_utf8_lossy(&canonical)).to_lowercase();
    if secrets_are_hidden && all.contains("hush") {
        return Some(format!("{all:?} shows the secret"));
    }
    (!text.contains(readable)).then(|| format!("{text:?} hides {readable:?}"))
}

#[test]
fn no_secret_of_the_tables_is_shown() {
    let mut failures = Vec::new();
    let mut failed = std::collections::HashSet::new();
    let mut check = |statement: &str, readable: &str, mode: Mode, secrets_are_hidden: bool| {
        if let Some(fault) = faults(statement, readable, mode, secrets_are_hidden)
            && failed.insert(statement.to_owned())
        {
            failures.push(format!("{mode:?}: {statement:?}\n  {fault}"));
        }
    };
    for (statement, readable) in POSTGRESQL {
        check(statement, readable, Server::PostgreSql.usual(), true);
    }
    for (statement, readable) in MYSQL {
        check(statement, readable, Server::MySql.usual(), true);
        check(statement, "", mysql(None, None), true);
    }
    for statement in AMBIGUOUS {
        check(statement, "", mysql(None, None), true);
        check(statement, "", mysql(Some(false), None), true);
    }
    for mode in modes().into_iter().filter(|mode| mode.is_mysql()) {
        MYSQL.iter().for_each(|(statement, _)| check(statement, "", mode, false));
        AMBIGUOUS.iter().for_each(|statement| check(statement, "", mode, false));
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Values in other encodings than UTF-8, and cut in the middle of a character.
#[test]
fn no_secret_in_invalid_utf8_is_shown() {
    let statements: &[&[u8]] = &[
        b"SELECT '\xff\xfe hush' FROM t",
        b"SELECT '\xbf\x5c' hush' FROM t",
        b"SELECT 'a\xe9' , 'hush\xe9' FROM \xe9",
        b"SELECT '\xf0\x9f\x98",
        b"SELECT '\x81\x5c', 'hush'",
        b"SELECT \x91hush\x92 FROM t",
        b"SELECT \xe2\x80\x98hush\xe2\x80\x99 FROM t",
        b"SELECT \xe2\x80\x9chush\xe2\x80\x9d FROM t",
        b"SELECT $\xff$ hush $\xff$ FROM t",
        b"SELECT 'hush\0' , '\0hush' \0 'hush'",
        b"\xff\xfeS\0E\0L\0E\0C\0T\0 \0'\0h\0u\0s\0h\0'\0",
    ];
    for mode in [Server::PostgreSql.usual(), Server::MySql.usual(), mysql(None, None)] {
        for statement in statements {
            let Outcome { text, .. } = normalise(statement, mode);
            assert!(!text.contains("hush"), "{mode:?} {}: {text}", statement.escape_ascii());
            let leaks = leaks(statement, &text, &mode.readings());
            assert!(leaks.is_empty(), "{mode:?} {}: {text}: {leaks:?}", statement.escape_ascii());
        }
    }
}
