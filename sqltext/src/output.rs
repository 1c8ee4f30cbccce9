//! What is written: the text for people and the canonical tokens, side by side, with lists collapsed on the way.
//!
//! A list is collapsed by comparing each item with the one before and taking it back if they are the same. So there is no
//! second pass, and nothing to look ahead for.

use crate::lexer::Lexeme;
use crate::names;

/// Deeper parentheses are counted, but lists in them are not collapsed.
const DEPTH_MAX: usize = 512;

/// What a parameter or literal is among the canonical tokens, each of which ends with a space.
pub(crate) const VALUE: &[u8] = b"? ";

/// What was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Nothing,
    /// A key word that has a space before a parenthesis.
    KeyWord,
    /// A word or name.
    Name,
    Value,
    Operator,
    Prefix,
    Dot,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Cast,
    Semicolon,
}

/// A place to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) text: usize,
    pub(crate) canonical: usize,
    last: Last,
}

/// How items of a list are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Items {
    /// They all count.
    Kept,
    /// An item that is the same as the one before is left out.
    Collapsed,
    /// The same for the rows behind `VALUES`, for as long as rows follow.
    Rows,
}

/// A pair of parentheses that is open, or the statement itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) items: Items,
    /// Whether it is in a list of tables.
    pub(crate) in_tables: bool,
    /// Whether `FROM` has another meaning: arguments of `EXTRACT`, `TRIM` and their like.
    pub(crate) is_call: bool,
    /// Before the comma that stands before the item.
    separator: Mark,
    /// Where the item begins among the canonical tokens.
    item: usize,
    /// Where the item before begins; it ends at the comma.
    previous: Option<usize>,
}

impl Frame {
    fn new(mark: Mark, items: Items, is_call: bool) -> Self {
        Self { items, in_tables: false, is_call, separator: mark, item: mark.canonical, previous: None }
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) text: Vec<u8>,
    pub(crate) canonical: Vec<u8>,
    pub(crate) last: Last,
    frames: Vec<Frame>,
    /// The innermost of the frames.
    pub(crate) frame: Frame,
    untracked: usize,
    /// For MySQL: before a comma that follows a value, with the frame as it was.
    comma_after_value: Option<(Mark, Frame)>,
    last_token: usize,
}

/// Words up to this length are copied in one piece with what follows them, which is cut off again.
const WORD_CHUNK: usize = 16;

#[inline(always)]
fn lower_case(chunk: &[u8; WORD_CHUNK]) -> [u8; WORD_CHUNK] {
    let mut folded = *chunk;
    for byte in &mut folded {
        let is_upper = byte.wrapping_sub(b'A') < 26;
        *byte |= u8::from(is_upper) << 5;
    }
    folded
}

const START: Mark = Mark { text: 0, canonical: 0, last: Last::Nothing };

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            text: Vec::new(),
            canonical: Vec::new(),
            last: Last::Nothing,
            frames: Vec::new(),
            frame: Frame::new(START, Items::Kept, false),
            untracked: 0,
            comma_after_value: None,
            last_token: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.canonical.clear();
        self.last = Last::Nothing;
        self.frames.clear();
        self.frame = Frame::new(START, Items::Kept, false);
        self.untracked = 0;
        self.comma_after_value = None;
        self.last_token = 0;
    }

    #[inline(always)]
    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), canonical: self.canonical.len(), last: self.last }
    }

    pub(crate) fn go_back(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.canonical.truncate(mark.canonical);
        self.last = mark.last;
    }

    /// How many parentheses are open.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() + self.untracked
    }

    /// Begins a token: the space before it.
    #[inline(always)]
    pub(crate) fn begin(&mut self, next: Last) {
        self.last_token = self.canonical.len();
        if needs_space(self.last, next) {
            self.text.push(b' ');
        }
        self.last = next;
    }

    #[inline(always)]
    pub(crate) fn end(&mut self) {
        self.canonical.push(b' ');
    }

    /// A word: as it is, and folded to lower case.
    #[inline(always)]
    pub(crate) fn word(&mut self, sql: &[u8], lexeme: Lexeme) {
        let length = lexeme.end - lexeme.start;
        let chunk = sql.get(lexeme.start..).and_then(|rest| rest.first_chunk::<WORD_CHUNK>());
        if let Some(chunk) = chunk
            && length <= WORD_CHUNK
            && lexeme.is_ascii
        {
            let (text, canonical) = (self.text.len() + length, self.canonical.len() + length);
            self.text.extend_from_slice(chunk);
            self.text.truncate(text);
            self.canonical.extend_from_slice(&lower_case(chunk));
            self.canonical.truncate(canonical);
        } else {
            self.long_word(&sql[lexeme.start..lexeme.end]);
        }
        self.end();
    }

    #[inline(never)]
    fn long_word(&mut self, bytes: &[u8]) {
        names::write_text(&mut self.text, bytes);
        let start = self.canonical.len();
        self.canonical.extend_from_slice(bytes);
        self.canonical[start..].make_ascii_lowercase();
    }

    /// A token that is the same in both.
    #[inline(always)]
    pub(crate) fn sign(&mut self, next: Last, bytes: &[u8]) {
        self.begin(next);
        self.text.extend_from_slice(bytes);
        self.canonical.extend_from_slice(bytes);
        self.end();
    }

    /// A literal or parameter. Those that touch are one; in MySQL those behind a comma too, as its digests have it.
    #[inline]
    pub(crate) fn value(&mut self, is_mysql: bool) {
        if self.last == Last::Value {
            return;
        }
        if is_mysql
            && self.last == Last::Comma
            && let Some((mark, frame)) = self.comma_after_value.take()
        {
            self.go_back(mark);
            self.frame = frame;
            return;
        }
        self.begin(Last::Value);
        self.text.push(b'?');
        self.canonical.extend_from_slice(VALUE);
    }

    #[inline]
    pub(crate) fn comma(&mut self, is_mysql: bool) {
        if self.untracked == 0 {
            let frame = self.frame;
            let taken_back = self.end_item();
            let mark = self.mark();
            let frame = if taken_back { self.frame } else { frame };
            self.comma_after_value = (is_mysql && self.last == Last::Value).then_some((mark, frame));
            self.frame.separator = mark;
        } else {
            self.comma_after_value = None;
        }
        self.sign(Last::Comma, b",");
        if self.untracked == 0 {
            self.frame.item = self.canonical.len();
        }
    }

    pub(crate) fn open(&mut self, next: Last, items: Items, is_call: bool) {
        self.sign(next, if next == Last::Open { b"(" } else { b"[" });
        if self.frames.len() >= DEPTH_MAX {
            self.untracked += 1;
            return;
        }
        self.frames.push(self.frame);
        self.frame = Frame::new(self.mark(), items, is_call);
    }

    pub(crate) fn close(&mut self, next: Last, is_mysql: bool) {
        self.end_list();
        let is_single_value = self.last == Last::Value && self.canonical.len() == self.frame.item + VALUE.len();
        let opened = self.frame.item.saturating_sub(2);
        let is_first = self.frame.previous.is_none();
        self.sign(next, if next == Last::Close { b")" } else { b"]" });
        if self.untracked > 0 {
            self.untracked -= 1;
            return;
        }
        let Some(outer) = self.frames.pop() else { return };
        self.frame = outer;
        let follows_comma = self.frame.item == opened && opened == self.frame.separator.canonical + 2;
        let is_row = is_mysql && is_single_value && is_first && follows_comma;
        if is_row && self.canonical[..self.frame.separator.canonical].ends_with(b"( ? ) ") {
            self.take_back_item();
        }
    }

    fn take_back_item(&mut self) {
        let separator = self.frame.separator;
        self.go_back(separator);
        self.frame.item = self.frame.previous.unwrap_or(separator.canonical.saturating_sub(6));
        self.frame.previous = None;
    }

    /// Ends the item before a comma; whether it was the same as the one before, and is taken back.
    fn end_item(&mut self) -> bool {
        let (item, previous) = (self.frame.item, self.frame.previous);
        let taken_back = self.take_back_if_same();
        match previous {
            Some(previous) if taken_back => self.frame.item = previous,
            _ => self.frame.previous = Some(item),
        }
        taken_back
    }

    /// Ends the list that is collapsed, if one is.
    pub(crate) fn end_list(&mut self) {
        if self.untracked == 0 && self.last != Last::Comma {
            self.take_back_if_same();
        }
    }

    fn take_back_if_same(&mut self) -> bool {
        let (Some(previous), true) = (self.frame.previous, self.frame.items != Items::Kept) else { return false };
        let separator = self.frame.separator;
        let item = self.canonical.get(self.frame.item..).unwrap_or_default();
        let is_same = self.canonical.get(previous..separator.canonical) == Some(item);
        let taken_back = is_same && item.contains(&b'?');
        if taken_back {
            self.go_back(separator);
        }
        taken_back
    }

    /// `VALUES` was written: rows may follow.
    pub(crate) fn begin_rows(&mut self) {
        if self.untracked == 0 {
            self.frame.items = Items::Rows;
            self.frame.item = self.canonical.len();
            self.frame.previous = None;
        }
    }

    /// Something is about to be written that is neither a row nor a comma.
    pub(crate) fn end_rows(&mut self) {
        if self.last == Last::Close {
            self.end_list();
        }
        self.frame.items = Items::Kept;
    }

    /// Leaves among the canonical tokens only what will stay whatever follows: not the last token, which may be half of
    /// one, not an item that may be taken back, and no signs and values at the end.
    pub(crate) fn keep_certain(&mut self, is_last_token_whole: bool) {
        if !is_last_token_whole {
            self.canonical.truncate(self.last_token);
        }
        let frames = self.frames.iter().chain([&self.frame]);
        let open_item = frames.filter(|frame| frame.items != Items::Kept && frame.previous.is_some());
        if let Some(first) = open_item.map(|frame| frame.separator.canonical).min() {
            self.canonical.truncate(first);
        }
        while let Some(length) = length_without_loose_end(&self.canonical) {
            self.canonical.truncate(length);
        }
    }
}

fn length_without_loose_end(canonical: &[u8]) -> Option<usize> {
    let tokens = canonical.strip_suffix(b" ")?;
    let begin = tokens.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
    let token = &tokens[begin..];
    let is_loose = token.len() == 1 && !token[0].is_ascii_alphanumeric() && token[0].is_ascii() && token[0] != b'_';
    (is_loose || token == b"uescape" || token.first() == Some(&b'_')).then_some(begin)
}

#[inline(always)]
fn needs_space(last: Last, next: Last) -> bool {
    let is_tight = matches!(
        (last, next),
        (Last::Nothing | Last::Open | Last::OpenBracket | Last::Dot | Last::Prefix | Last::Cast, _)
            | (_, Last::Comma | Last::Close | Last::CloseBracket | Last::Dot | Last::Cast | Last::Semicolon)
            | (Last::Name, Last::Open)
            | (Last::Name | Last::KeyWord | Last::Close | Last::CloseBracket, Last::OpenBracket)
    );
    !is_tight
}
