//! One pass over the tokens: text, canonical tokens, facts.

use crate::facts::{Before, Facts};
use crate::lexer::{Kind, Lexeme, Lexer, Rules};
use crate::names;
use crate::output::{Items, Last, Mark, Output};
use crate::tags::Tags;
use crate::utility::{Action, Utility};
use crate::words::{self, OTHER, Word};
use crate::{Options, Withheld};

/// What remains from one text to the next: buffers.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) output: Output,
    pub(crate) facts: Facts,
    pub(crate) tags: Tags,
}

/// How a text ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) cut: bool,
    pub(crate) withheld: Option<Withheld>,
}

/// One pass over one text.
pub(crate) struct Pass<'b, 's> {
    sql: &'s [u8],
    rules: Rules,
    options: Options,
    output: &'b mut Output,
    facts: &'b mut Facts,
    tags: &'b mut Tags,
    utility: Utility,
    /// The last token, if it was a word without quotes that is no name behind a dot.
    word: &'static Word,
    /// The word before it, if the last two tokens were words.
    word_before: &'static Word,
    /// Where to go back to if a value follows: before signs and words that belong to it.
    loose: Option<Mark>,
    /// A semicolon was read; it is written if something follows.
    semicolon: bool,
    /// In a value that ends with the statement.
    skipping: bool,
    ends_with_more: bool,
    /// Whether the next token is a special one for any of the reasons above.
    attention: bool,
}

impl<'b, 's> Pass<'b, 's> {
    pub(crate) fn new(sql: &'s [u8], rules: Rules, options: Options, buffers: &'b mut Buffers) -> Self {
        let Buffers { output, facts, tags } = buffers;
        output.clear();
        facts.clear();
        tags.clear();
        Self {
            sql,
            rules,
            options,
            output,
            facts,
            tags,
            utility: Utility::Start,
            word: &OTHER,
            word_before: &OTHER,
            loose: None,
            semicolon: false,
            skipping: false,
            ends_with_more: false,
            attention: true,
        }
    }

    /// Reads the whole text.
    pub(crate) fn run(&mut self, is_known_cut: bool) -> Ending {
        let mut lexer = Lexer::new(self.sql, self.rules);
        let withheld = loop {
            let lexeme = lexer.next();
            match lexeme.kind {
                Kind::End => break None,
                Kind::Withheld(reason) => break Some(reason),
                Kind::Comment => self.tags.read(&self.sql[lexeme.start..lexeme.end]),
                Kind::Conditional => {}
                _ if !self.attention && lexeme.kind != Kind::Semicolon => self.write_plain(lexeme),
                _ => {
                    if let Some(reason) = self.token(lexeme) {
                        break Some(reason);
                    }
                    self.attention = self.needs_attention();
                }
            }
        };
        self.finish(withheld, is_known_cut || lexer.ended_in_conditional())
    }

    fn finish(&mut self, withheld: Option<Withheld>, is_known_cut: bool) -> Ending {
        let is_open =
            self.output.depth() > 0 || matches!(self.output.last, Last::Comma | Last::Dot | Last::Cast | Last::Prefix);
        let ends_with_infix =
            self.word.has(words::STARTS) && self.word.has(words::INFIX) && !self.word.is_one_of(&["ON", "ROW"]);
        let ends_with_sign = self.output.last == Last::Operator && !self.output.text.ends_with(b"*");
        let looks_cut = is_open || ends_with_infix || ends_with_sign || self.ends_with_more;
        let is_unterminated = withheld.is_some_and(is_end_of_text);
        let cut = is_known_cut || is_unterminated || withheld.is_none() && looks_cut;
        let is_whole = !cut && withheld.is_none_or(Withheld::keeps_identity);
        if is_whole {
            self.output.end_list();
        } else {
            self.end_early(withheld.is_some());
        }
        self.facts.forget_past(self.output.text.len());
        self.facts.finish(&self.output.text);
        Ending { cut, withheld }
    }

    fn end_early(&mut self, is_last_token_whole: bool) {
        if self.output.last == Last::Comma {
            self.output.text.pop();
        }
        let is_last_token_whole = is_last_token_whole || self.ends_with_more;
        self.output.keep_certain(is_last_token_whole);
        let space: &[u8] = if self.output.text.is_empty() { b"" } else { b" " };
        self.output.text.extend_from_slice(space);
        self.output.text.extend_from_slice(b"...");
    }

    /// Whether more than the token itself has to be looked at.
    fn needs_attention(&self) -> bool {
        let in_rows = self.output.frame.items == Items::Rows;
        in_rows || self.utility != Utility::Plain || self.semicolon || self.skipping
    }

    /// Writes a token, or says why nothing more is to be written.
    #[inline(never)]
    fn token(&mut self, lexeme: Lexeme) -> Option<Withheld> {
        if self.utility != Utility::Plain || lexeme.kind == Kind::Semicolon {
            let bytes = &self.sql[lexeme.start..lexeme.end];
            match self.utility.step(lexeme.kind, lexeme.word, bytes, self.rules.is_mysql) {
                Action::Write => {}
                Action::WriteThenValue => {
                    self.write(lexeme);
                    self.value();
                    self.skipping = true;
                    return None;
                }
                Action::Hide => return Some(Withheld::SecretStatement),
                Action::HideUnknown => return Some(Withheld::UnknownStatement),
                Action::HideRows => return Some(Withheld::CopyData),
            }
        }
        if self.skipping && lexeme.kind != Kind::Semicolon {
            return None;
        }
        self.write(lexeme);
        None
    }

    #[inline]
    fn write(&mut self, lexeme: Lexeme) {
        if self.semicolon {
            if lexeme.kind == Kind::Semicolon {
                return;
            }
            self.semicolon = false;
            self.facts.next_statement();
            self.output.sign(Last::Semicolon, b";");
        }
        if self.output.frame.items == Items::Rows {
            self.continue_rows(lexeme);
        }
        match lexeme.kind {
            Kind::Semicolon => self.end_statement(),
            _ => self.write_plain(lexeme),
        }
    }

    #[inline(always)]
    fn write_plain(&mut self, lexeme: Lexeme) {
        match lexeme.kind {
            Kind::Word => self.word(lexeme),
            Kind::Literal | Kind::Parameter => self.value(),
            Kind::Name => self.name(lexeme),
            Kind::More => self.more(lexeme),
            _ => self.sign(lexeme),
        }
    }

    fn continue_rows(&mut self, lexeme: Lexeme) {
        let goes_on = match lexeme.kind {
            Kind::Open => matches!(self.output.last, Last::Comma | Last::KeyWord | Last::Name),
            Kind::Comma => self.output.last == Last::Close,
            Kind::Word => lexeme.word.is("ROW") && self.output.last != Last::Close,
            _ => false,
        };
        if !goes_on {
            self.output.end_rows();
            self.facts.forget_past(self.output.text.len());
        }
    }

    fn end_statement(&mut self) {
        self.semicolon = self.output.last != Last::Nothing;
        self.skipping = false;
        self.word = &OTHER;
        self.word_before = &OTHER;
        self.loose = None;
        let before = self.before();
        self.facts.sign(Last::Semicolon, before, &self.output.frame);
    }

    #[inline(always)]
    fn before(&self) -> Before {
        Before { last: self.output.last, word: self.word, word_before: self.word_before }
    }

    #[inline(always)]
    fn word(&mut self, lexeme: Lexeme) {
        let follows_special = (self.word.flags | self.word_before.flags) & (words::PARAMETER_NAME | words::CALL) != 0;
        let may_be_character_set = self.rules.is_mysql && self.sql[lexeme.start] == b'_';
        if !lexeme.word.text.is_empty() || follows_special || may_be_character_set || self.options.generalise_names {
            return self.key_word(lexeme);
        }
        let last = self.output.last;
        self.output.begin(Last::Name);
        let start = self.output.text.len();
        self.output.word(self.sql, lexeme);
        let span = (start, self.output.text.len());
        self.facts.plain_word(last, span);
        self.loose = None;
        self.word_before = self.word;
        self.word = &OTHER;
    }

    /// A word that may mean something.
    #[inline(never)]
    fn key_word(&mut self, lexeme: Lexeme) {
        let word = lexeme.word;
        if self.stands_for_value(word) {
            return self.value();
        }
        let mark = self.output.mark();
        let before = self.before();
        let next = if word.has(words::STARTS | words::INFIX) { Last::KeyWord } else { Last::Name };
        self.output.begin(next);
        let start = self.output.text.len();
        let canonical_start = self.output.canonical.len();
        self.output.word(self.sql, lexeme);
        self.fold_word(word, canonical_start, before);
        let span = (start, self.output.text.len());
        let depth = self.output.depth();
        self.facts.word(word, before, &mut self.output.frame, depth, span);
        self.after_word(word, &self.sql[lexeme.start..lexeme.end], mark);
    }

    /// What MySQL writes for a word, and names that are one for the fingerprint.
    #[inline(always)]
    fn fold_word(&mut self, word: &Word, start: usize, before: Before) {
        let canonical = &mut self.output.canonical;
        if self.rules.is_mysql && !word.in_mysql.is_empty() {
            canonical.truncate(start);
            canonical.extend_from_slice(word.in_mysql.as_bytes());
            canonical.push(b' ');
        } else if self.options.generalise_names && word.text.is_empty() {
            canonical.pop();
            names::generalise(
                canonical,
                start,
                before.word.has(words::SHORT_LIVED) || before.word_before.is("ROLLBACK"),
            );
            canonical.push(b' ');
        }
    }

    /// What a key word means for what follows.
    #[inline]
    fn after_word(&mut self, word: &'static Word, bytes: &[u8], mark: Mark) {
        let had_value = || self.output.canonical[..mark.canonical].ends_with(crate::output::VALUE);
        let belongs_to_value = word.is("UESCAPE") && had_value()
            || self.rules.is_mysql && bytes.first() == Some(&b'_') && names::is_character_set(bytes);
        self.loose = belongs_to_value.then_some(mark);
        if word.has(words::VERB) {
            if word.is("VALUES") {
                self.output.begin_rows();
                self.attention = true;
            } else {
                self.output.frame.items = Items::Kept;
            }
        }
        self.word_before = self.word;
        self.word = word;
    }

    /// Whether a word is one that the statistics of the servers show as a parameter.
    fn stands_for_value(&self, word: &Word) -> bool {
        let is_parameter = self.is_parameter_name() && !word.is_one_of(&["SAVEPOINT", "PREPARE", "ALL", "TO"]);
        let is_limit = word.is("ALL") && self.word.is("LIMIT");
        is_limit || is_parameter || self.is_field() || word.has(words::CONSTANT) && self.is_constant(word)
    }

    /// Whether the name of a savepoint or of a prepared statement to be dropped is next.
    fn is_parameter_name(&self) -> bool {
        let is_name = self.word.has(words::PARAMETER_NAME) && !self.rules.is_mysql;
        let follows_prepare = self.word.is("PREPARE") && self.word_before.is("DEALLOCATE") && !self.rules.is_mysql;
        is_name && (!self.word.is("TO") || self.facts.verb == "ROLLBACK") || follows_prepare
    }

    /// Whether `NULL`, `TRUE` or `FALSE` is a value here, and not part of a predicate or a definition.
    fn is_constant(&self, word: &Word) -> bool {
        if word.text.starts_with("NF") {
            let is_form = self.output.last == Last::Comma || self.word.is_one_of(&["IS", "NOT"]);
            return is_form && !self.rules.is_mysql;
        }
        let follows_operand = match self.output.last {
            Last::Name | Last::Value | Last::Close | Last::CloseBracket | Last::Dot | Last::Nothing => true,
            Last::KeyWord => !self.word.has(words::STARTS),
            _ => false,
        };
        let is_null = word.is("NULL");
        let is_predicate = self.word.is_one_of(&["IS", "SET"])
            || self.word.is("DEFAULT") && !self.rules.is_mysql
            || self.word.is("NOT") && (is_null || self.word_before.is("IS"))
            || is_null && self.word.is("ON");
        !follows_operand && !is_predicate
    }

    /// Whether the word is the field of `EXTRACT(field FROM …)`, which the statistics of PostgreSQL show as a parameter.
    fn is_field(&self) -> bool {
        self.output.last == Last::Open && !self.rules.is_mysql && self.word_before.is("EXTRACT")
    }

    fn name(&mut self, lexeme: Lexeme) {
        if self.is_parameter_name() {
            return self.value();
        }
        let bytes = &self.sql[lexeme.start..lexeme.end];
        let before = self.before();
        let is_qualified = self.output.last == Last::Dot;
        self.output.begin(Last::Name);
        let start = self.output.text.len();
        let quoted = names::Quoted::new(bytes, self.rules.is_mysql);
        quoted.write_text(&mut self.output.text);
        let canonical_start = self.output.canonical.len();
        quoted.write_canonical(&mut self.output.canonical, is_qualified);
        if self.options.generalise_names {
            let short_lived = before.word.has(words::SHORT_LIVED);
            names::generalise(&mut self.output.canonical, canonical_start, short_lived);
        }
        self.output.end();
        let span = (start, self.output.text.len());
        self.facts.name(before.last, span);
        self.forget_words();
    }

    fn forget_words(&mut self) {
        self.word = &OTHER;
        self.word_before = &OTHER;
        self.loose = None;
    }

    #[inline]
    fn value(&mut self) {
        if let Some(mark) = self.loose {
            self.output.go_back(mark);
        }
        let before = self.before();
        self.facts.sign(Last::Value, before, &self.output.frame);
        self.output.value(self.rules.is_mysql);
        self.facts.forget_past(self.output.text.len());
        self.forget_words();
    }

    /// Three dots: a list in a digest of MySQL, or the mark of a cut.
    fn more(&mut self, lexeme: Lexeme) {
        let rest = &self.sql[lexeme.end..];
        let is_last = rest.iter().all(|byte| byte.is_ascii_whitespace() || *byte == b';');
        let is_list = self.output.last == Last::Comma && self.output.canonical.ends_with(b"? , ");
        if is_last && !is_list {
            self.ends_with_more = true;
        } else {
            self.value();
        }
    }

    #[inline]
    fn sign(&mut self, lexeme: Lexeme) {
        let before = self.before();
        let next = match lexeme.kind {
            Kind::Dot => Last::Dot,
            Kind::Comma => Last::Comma,
            Kind::Open => Last::Open,
            Kind::Close => Last::Close,
            Kind::OpenBracket => Last::OpenBracket,
            Kind::CloseBracket => Last::CloseBracket,
            Kind::Cast => Last::Cast,
            Kind::Prefix => Last::Prefix,
            _ => Last::Operator,
        };
        self.facts.sign(next, before, &self.output.frame);
        match next {
            Last::Comma => self.output.comma(self.rules.is_mysql),
            Last::Open => self.open(next),
            Last::OpenBracket => self.open(next),
            Last::Close | Last::CloseBracket => {
                self.output.close(next, self.rules.is_mysql);
                self.attention |= self.output.frame.items == Items::Rows;
            }
            Last::Operator => return self.operator(lexeme),
            _ => self.output.sign(next, &self.sql[lexeme.start..lexeme.end]),
        }
        self.facts.forget_past(self.output.text.len());
        self.loose = None;
        self.word_before = if next == Last::Open { self.word } else { &OTHER };
        self.word = &OTHER;
    }

    fn open(&mut self, next: Last) {
        let continues_list = self.output.frame.items == Items::Collapsed && next == Last::OpenBracket;
        let is_list = next == Last::Open && self.word.is("IN") || next == Last::OpenBracket && self.word.is("ARRAY");
        let items = if is_list || continues_list { Items::Collapsed } else { Items::Kept };
        self.output.open(next, items, self.word.has(words::CALL));
    }

    fn operator(&mut self, lexeme: Lexeme) {
        let bytes = &self.sql[lexeme.start..lexeme.end];
        let mark = self.output.mark();
        let is_sign = matches!(bytes, b"-" | b"+");
        let is_unary = is_sign
            && match self.output.last {
                Last::Name | Last::Value | Last::Close | Last::CloseBracket => false,
                Last::KeyWord => self.word.has(words::STARTS),
                _ => true,
            };
        self.loose = if is_unary { self.loose.or(Some(mark)) } else { None };
        self.output.begin(Last::Operator);
        self.output.text.extend_from_slice(bytes);
        let canonical: &[u8] = match bytes {
            b"!=" => b"<>",
            b"?" => b"`?`",
            _ => bytes,
        };
        self.output.canonical.extend_from_slice(canonical);
        self.output.end();
        if self.word.is("USING") {
            self.output.last = Last::Name;
        }
        self.word = &OTHER;
        self.word_before = &OTHER;
    }
}

fn is_end_of_text(reason: Withheld) -> bool {
    matches!(
        reason,
        Withheld::UnterminatedString
            | Withheld::UnterminatedDollarQuote
            | Withheld::UnterminatedName
            | Withheld::UnterminatedComment
    )
}
