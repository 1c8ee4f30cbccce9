//! Key words: what the lexer and the normaliser have to know about some of them.

/// After it an expression may begin: a sign is no operation, `?` is no operator, and `(` has a space before it.
pub(crate) const STARTS: u16 = 1;
/// The verb of a statement.
pub(crate) const VERB: u16 = 1 << 1;
/// Never a name without quotes, in any dialect: in quotes it is another word.
pub(crate) const RESERVED: u16 = 1 << 2;
/// Never a name without quotes in PostgreSQL.
pub(crate) const RESERVED_IN_POSTGRESQL: u16 = 1 << 3;
/// A type that stands before a literal (`DATE '…'`).
pub(crate) const TYPE: u16 = 1 << 4;
/// The name of a table follows.
pub(crate) const TABLE: u16 = 1 << 5;
/// Ends a list of tables.
pub(crate) const CLAUSE: u16 = 1 << 6;
/// The name of something short-lived follows.
pub(crate) const SHORT_LIVED: u16 = 1 << 7;
/// A constant in the form of a word.
pub(crate) const CONSTANT: u16 = 1 << 8;
/// An operator in the form of a word, or what else cannot begin an operand: a `?` before it is a parameter.
pub(crate) const INFIX: u16 = 1 << 9;

/// A function in whose arguments `FROM` may stand.
pub(crate) const CALL: u16 = 1 << 10;

/// Begins a statement, in the body of a routine or anywhere, and is no verb.
pub(crate) const BEGINS: u16 = 1 << 11;

/// A name follows that the statistics of PostgreSQL show as a parameter.
pub(crate) const PARAMETER_NAME: u16 = 1 << 12;

const R: u16 = RESERVED;
const N: u16 = PARAMETER_NAME;
const P: u16 = RESERVED_IN_POSTGRESQL;
const S: u16 = STARTS;

/// A key word.
#[derive(Debug)]
pub(crate) struct Word {
    /// The word in upper case.
    pub(crate) text: &'static str,
    /// The bits above.
    pub(crate) flags: u16,
    /// What MySQL writes for it in a digest, in lower case; empty if it is the same.
    pub(crate) in_mysql: &'static str,
}

/// What stands for every word that is not in the list.
pub(crate) static OTHER: Word = Word { text: "", flags: 0, in_mysql: "" };

const fn word(text: &'static str, flags: u16) -> Word {
    Word { text, flags, in_mysql: "" }
}

const fn synonym(text: &'static str, in_mysql: &'static str) -> Word {
    Word { text, flags: 0, in_mysql }
}

#[rustfmt::skip]
static WORDS: [Word; 334] = [
    word("SELECT", S | VERB | R), word("INSERT", VERB), word("UPDATE", VERB | TABLE), word("DELETE", VERB),
    word("MERGE", VERB), word("REPLACE", VERB), word("VALUES", S | VERB), word("TABLE", VERB | R | TABLE),
    word("CREATE", VERB | R), word("ALTER", VERB), word("DROP", VERB), word("TRUNCATE", VERB | TABLE),
    word("RENAME", VERB), word("COMMENT", VERB), word("GRANT", VERB | R), word("REVOKE", VERB), word("SET", S | VERB | CLAUSE),
    word("RESET", VERB), word("SHOW", VERB), word("EXPLAIN", VERB), word("DESCRIBE", VERB), word("DESC", INFIX | R | CLAUSE),
    word("ANALYZE", VERB | P), word("ANALYSE", VERB | P), word("VACUUM", VERB), word("REINDEX", VERB), word("CLUSTER", VERB),
    word("CHECKPOINT", VERB), word("COPY", VERB | TABLE), word("CALL", VERB), word("DO", VERB | S | P),
    word("EXECUTE", VERB | SHORT_LIVED), word("PREPARE", VERB | SHORT_LIVED), word("DEALLOCATE", N | VERB | SHORT_LIVED),
    word("DECLARE", VERB | SHORT_LIVED), word("FETCH", VERB | S | SHORT_LIVED | P), word("MOVE", VERB | S | SHORT_LIVED),
    word("CLOSE", VERB | SHORT_LIVED), word("OPEN", VERB), word("BEGIN", VERB), word("START", VERB), word("COMMIT", VERB),
    word("ROLLBACK", VERB), word("ABORT", VERB), word("END", VERB | INFIX | P), word("SAVEPOINT", N | VERB | SHORT_LIVED),
    word("RELEASE", N | VERB | SHORT_LIVED), word("LOCK", VERB), word("UNLOCK", VERB), word("LISTEN", VERB),
    word("UNLISTEN", VERB), word("NOTIFY", VERB), word("DISCARD", VERB), word("REFRESH", VERB), word("REASSIGN", VERB),
    word("SECURITY", VERB), word("LOAD", VERB), word("IMPORT", VERB), word("CHANGE", VERB), word("STOP", VERB),
    word("KILL", VERB | S), word("FLUSH", VERB), word("OPTIMIZE", VERB), word("REPAIR", VERB), word("CHECK", VERB | P),
    word("USE", VERB), word("HANDLER", VERB), word("XA", VERB), word("PURGE", VERB), word("INSTALL", VERB),
    word("UNINSTALL", VERB), word("BINLOG", VERB), word("HELP", VERB), word("SHUTDOWN", VERB), word("SIGNAL", VERB),
    word("CACHE", VERB), word("CHECKSUM", VERB), word("CLONE", VERB), word("GET", VERB), word("RESTART", VERB),
    word("RESIGNAL", VERB), word("BACKUP", VERB), word("REPACK", VERB), word("WAIT", VERB), word("AUTOVACUUM", VERB),
    word("IDENTIFY_SYSTEM", VERB), word("START_REPLICATION", VERB), word("BASE_BACKUP", VERB), word("TIMELINE_HISTORY", VERB),
    word("CREATE_REPLICATION_SLOT", VERB), word("DROP_REPLICATION_SLOT", VERB), word("READ_REPLICATION_SLOT", VERB),
    word("LOOP", BEGINS), word("REPEAT", BEGINS), word("LEAVE", BEGINS), word("ITERATE", BEGINS),
    word("WITH", VERB | R | CLAUSE),
    word("FROM", S | R | TABLE | INFIX), word("JOIN", P | TABLE | INFIX), word("INTO", R | TABLE | INFIX),
    word("USING", S | TABLE | INFIX | P), word("WHERE", S | R | CLAUSE | INFIX), word("GROUP", R | CLAUSE | INFIX),
    word("ORDER", R | CLAUSE | INFIX), word("BY", S), word("HAVING", S | R | CLAUSE | INFIX), word("LIMIT", S | CLAUSE | INFIX | P),
    word("OFFSET", S | CLAUSE | INFIX | P), word("UNION", S | R | CLAUSE | INFIX), word("INTERSECT", S | P | CLAUSE | INFIX),
    word("EXCEPT", S | P | CLAUSE | INFIX), word("WINDOW", P | CLAUSE | INFIX), word("FOR", R | CLAUSE | INFIX),
    word("RETURNING", S | P | CLAUSE | INFIX), word("ON", S | R | INFIX), word("AS", R | INFIX), word("AND", S | R | INFIX),
    word("OR", S | R | INFIX), word("XOR", S | INFIX), word("NOT", S | R | INFIX), word("IN", S | R | INFIX),
    word("IS", S | INFIX | P), word("ISNULL", INFIX | P), word("NOTNULL", INFIX | P), word("LIKE", S | INFIX | P), word("ILIKE", S | INFIX | P),
    word("SIMILAR", INFIX | P), word("BETWEEN", S | INFIX), word("REGEXP", S | INFIX), word("ESCAPE", S | INFIX),
    word("UESCAPE", S | INFIX), word("COLLATE", INFIX | P), word("OVERLAPS", S | INFIX | P), word("DIV", S | INFIX),
    word("CASE", BEGINS | S | P), word("WHEN", BEGINS | S | R | INFIX), word("THEN", S | R | INFIX), word("ELSE", BEGINS | S | R | INFIX),
    word("RETURN", BEGINS | S), word("DISTINCT", S | R), word("ALL", S | R), word("ANY", S | P), word("ARRAY", S | P),
    word("ROW", S | INFIX), word("EXISTS", S), word("DEFAULT", S | R), word("FIRST", 0), word("NEXT", 0), word("FORWARD", S),
    word("BACKWARD", S), word("ABSOLUTE", S), word("RELATIVE", S), word("ZONE", 0), word("TO", N | S | R | CLAUSE | INFIX),
    word("AT", INFIX), word("OVER", INFIX), word("FILTER", INFIX), word("WITHIN", INFIX), word("ROWS", INFIX), word("RANGE", INFIX),
    word("ONLY", P), word("LATERAL", S | P), word("LEFT", INFIX | P), word("RIGHT", INFIX | P), word("INNER", INFIX | P), word("FULL", INFIX | P),
    word("CROSS", INFIX | P), word("NATURAL", INFIX | P), word("OUTER", INFIX | P), word("STRAIGHT_JOIN", TABLE | INFIX),
    word("ASC", INFIX | P), word("NULLS", INFIX), word("NULL", CONSTANT | R), word("TRUE", CONSTANT | P), word("FALSE", CONSTANT | P),
    word("INTERVAL", TYPE | S), word("DATE", TYPE), word("TIME", TYPE), word("TIMESTAMP", TYPE), word("TIMESTAMPTZ", TYPE),
    word("DATETIME", TYPE), word("BINARY", S | P), word("EXTRACT", CALL), word("CAST", P), word("PARTITION", INFIX), word("VALUE", 0),
    word("IF", BEGINS), word("WHILE", BEGINS | S), word("UNTIL", BEGINS | S), word("ELSEIF", BEGINS | S), word("DUPLICATE", 0), word("KEY", 0),
    word("PRIMARY", P), word("FOREIGN", P), word("REFERENCES", P), word("UNIQUE", P), word("CONSTRAINT", P), word("COLUMN", P),
    word("USER", P), word("ROLE", 0), word("MAPPING", 0), word("SUBSCRIPTION", 0), word("SERVER", 0), word("SYSTEM", 0),
    word("WRAPPER", 0), word("DATA", 0), word("PASSWORD", 0), word("IDENTIFIED", 0), word("PROGRAM", 0), word("STDIN", 0),
    word("MASTER", 0), word("REPLICATION", 0), word("REPLICA", 0), word("SLAVE", 0), word("SOURCE", 0), word("GROUP_REPLICATION", 0),
    word("GLOBAL", 0), word("SESSION", 0), word("LOCAL", 0), word("PERSIST", 0), word("PERSIST_ONLY", 0), word("AUTHORIZATION", P),
    word("TRANSACTION", 0), word("CHARACTERISTICS", 0), word("CONSTRAINTS", 0), word("NAMES", 0), word("STATEMENT", 0),
    word("INDEX", 0), word("VIEW", 0), word("MATERIALIZED", 0), word("FUNCTION", TYPE), word("OPERATOR", TYPE), word("PROCEDURE", 0), word("TRIGGER", 0),
    word("TEMPORARY", 0), word("TEMP", 0), word("UNLOGGED", 0), word("CONCURRENTLY", P), word("VERBOSE", P), word("IGNORE", 0),
    word("LOW_PRIORITY", 0), word("DELAYED", 0), word("HIGH_PRIORITY", 0), word("QUICK", 0), word("RECURSIVE", 0),
    word("CURSOR", 0), word("TABLES", 0), word("DATABASE", 0), word("PUBLIC", 0), word("CONFLICT", 0), word("NOTHING", 0),
    word("CURRENT_USER", P), word("CURRENT_ROLE", P), word("CURRENT_CATALOG", P), word("CURRENT_SCHEMA", P), word("ASYMMETRIC", P), word("SYMMETRIC", P),
    word("BOTH", P), word("LEADING", P), word("TRAILING", P), word("DEFERRABLE", P), word("INITIALLY", P), word("FREEZE", P),
    word("PLACING", P), Word { text: "SYSTEM_USER", flags: P, in_mysql: "user" }, word("TABLESAMPLE", P), word("VARIADIC", S | P), word("SOME", S | P),
    word("OPTION", 0), word("SUBSTRING", CALL), word("TRIM", CALL), word("OVERLAY", CALL), word("POSITION", CALL), word("OUTFILE", 0),
    word("DUMPFILE", 0), word("ATOMIC", 0), word("LOGS", 0), word("OWNED", 0), word("JSON_TABLE", 0), word("XMLTABLE", 0),
    word("EACH", 0), word("NFC", CONSTANT), word("NFD", CONSTANT), word("NFKC", CONSTANT), word("NFKD", CONSTANT), word("BEFORE", INFIX), word("AFTER", INFIX), word("CASCADE", 0), word("NOWAIT", 0), word("SKIP", 0), word("SHARE", 0), word("NO", 0),
    word("CURRENT", 0), word("PRIOR", 0), word("LAST", 0), word("UNNEST", 0), word("INFILE", 0), word("OLD", 0), word("NEW", 0),
    synonym("SCHEMA", "database"), synonym("SCHEMAS", "databases"), synonym("INTEGER", "int"), synonym("INT4", "int"),
    synonym("INT8", "bigint"), synonym("INT2", "smallint"), synonym("INT1", "tinyint"), synonym("INT3", "mediumint"),
    synonym("CHARACTER", "char"), synonym("VARCHARACTER", "varchar"), synonym("DEC", "decimal"),
    synonym("FLOAT4", "float"), synonym("FLOAT8", "double"),
    Word { text: "SUBSTR", flags: CALL, in_mysql: "substring" }, Word { text: "MID", flags: CALL, in_mysql: "substring" }, synonym("CURRENT_DATE", "curdate"),
    synonym("CURRENT_TIME", "curtime"), synonym("CURRENT_TIMESTAMP", "now"), synonym("LOCALTIME", "now"),
    synonym("LOCALTIMESTAMP", "now"), synonym("SESSION_USER", "user"), synonym("RLIKE", "regexp"),
    synonym("DISTINCTROW", "distinct"), synonym("FIELDS", "columns"), synonym("STDDEV", "std"), synonym("STDDEV_POP", "std"),
    synonym("VAR_POP", "variance"), synonym("SQL_TSI_DAY", "day"), synonym("SQL_TSI_HOUR", "hour"),
    synonym("SQL_TSI_MINUTE", "minute"), synonym("SQL_TSI_MONTH", "month"), synonym("SQL_TSI_QUARTER", "quarter"),
    synonym("SQL_TSI_SECOND", "second"), synonym("SQL_TSI_WEEK", "week"), synonym("SQL_TSI_YEAR", "year"),
];

const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

/// Open addressing; a slot holds the number of a word.
static TABLE_OF_WORDS: [u16; SLOTS] = table();

const fn table() -> [u16; SLOTS] {
    let mut slots = [EMPTY; SLOTS];
    let mut index = 0;
    while index < WORDS.len() {
        let text = WORDS[index].text.as_bytes();
        let mut slot = slot_of(key_of(first_bytes(text), text.len()));
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = index as u16;
        index += 1;
    }
    slots
}

/// The key word that some bytes are, in any case; [`OTHER`] if they are none.
pub(crate) fn look_up(bytes: &[u8]) -> &'static Word {
    look_up_from(bytes, first_bytes(bytes))
}

/// The same, for who has the first eight bytes as a number, with zeros behind a shorter word.
#[inline(always)]
pub(crate) fn look_up_from(bytes: &[u8], first: u64) -> &'static Word {
    let key = key_of(first, bytes.len());
    let mut slot = slot_of(key);
    loop {
        let index = TABLE_OF_WORDS[slot] as usize;
        let Some(known) = KEYS.get(index) else { return &OTHER };
        if *known == key && has_tail(&WORDS[index], bytes) {
            return &WORDS[index];
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Whether a word whose key is the same is the same.
#[inline(always)]
fn has_tail(word: &Word, bytes: &[u8]) -> bool {
    let same_length = word.text.len() == bytes.len();
    same_length && (bytes.len() <= 8 || word.text.as_bytes()[8..].eq_ignore_ascii_case(&bytes[8..]))
}

/// The first bytes of each word in lower case, and its length.
static KEYS: [u64; WORDS.len()] = keys();

const fn keys() -> [u64; WORDS.len()] {
    let mut keys = [0; WORDS.len()];
    let mut index = 0;
    while index < keys.len() {
        let text = WORDS[index].text.as_bytes();
        keys[index] = key_of(first_bytes(text), text.len());
        index += 1;
    }
    keys
}

/// Among bytes of words, bit 5 tells nothing but the case of letters.
#[inline(always)]
const fn key_of(first: u64, length: usize) -> u64 {
    (first | 0x2020_2020_2020_2020) ^ (length as u64) << 56
}

#[inline(always)]
const fn slot_of(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize
}

const fn first_bytes(bytes: &[u8]) -> u64 {
    let mut number = 0;
    let mut index = 0;
    while index < bytes.len() && index < 8 {
        number |= (bytes[index] as u64) << (8 * index);
        index += 1;
    }
    number
}

impl Word {
    #[inline(always)]
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is this key word, in upper case.
    #[inline(always)]
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether it is one of these key words.
    pub(crate) fn is_one_of(&self, texts: &[&str]) -> bool {
        !self.text.is_empty() && texts.contains(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case() {
        for word in &WORDS {
            assert_eq!(look_up(word.text.as_bytes()).text, word.text);
            assert_eq!(look_up(word.text.to_lowercase().as_bytes()).text, word.text);
            assert!(word.text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
        }
        for other in ["", "x", "selec", "selects", "customer_id", "a_name_longer_than_any_key_word"] {
            assert_eq!(look_up(other.as_bytes()).text, "");
        }
    }

    #[test]
    fn no_word_is_there_twice() {
        let mut texts: Vec<_> = WORDS.iter().map(|word| word.text).collect();
        texts.sort_unstable();
        let count = texts.len();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }
}
