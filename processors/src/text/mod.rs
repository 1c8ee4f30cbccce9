//! Says of each statement which one it is: the same fingerprint in statistics and in sessions, and its text once.
//!
//! Reads: [`Row::Text`], [`Row::Query`], [`Row::Session`]. Writes: rows with fingerprint, verb and tables; a text of the
//! dictionary `enriched.texts` when it was not told yet, or a day ago; an event when a statement is seen for the first time.
//! State: the statement behind each identifier of a server, the statements that the dictionary has, and counts of news per
//! target; each is forgotten a week after it was told, and a target has at most [`NEW_PER_DAY_MAX`] new ones a day.
//! Guarantee: text and identity come from the poller's normaliser; nothing is read from a text here. Recovery: all of it is
//! in the changelog, and pollers tell each text again once a day.

mod announce;
mod state;

use dbintel_schemas::key;
use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, EnrichedText};
use dbintel_schemas::topics::Topic;

use self::announce::{Announcement, statement_limit};
use self::state::{DAY, Identity, Known, News};
use crate::engine::{Context, Disposition, Processor, Row, StateError, StateTable, StateValue, Table};

/// Most statements of a target that are remembered as new in a day of event time. What comes after has its text on each
/// record instead of in the dictionary.
pub const NEW_PER_DAY_MAX: i64 = 20_000;

/// The processor.
pub struct Text {
    statements: Table<Identity>,
    known: Table<Known>,
    news: Table<News>,
    key: Vec<u8>,
}

/// What a look at the dictionary found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The statement was never seen, or long ago.
    First,
    /// It is time to tell its text again.
    Again,
    /// The dictionary has its text.
    Known,
    /// There are too many new ones to remember this one.
    Unremembered,
}

impl Text {
    /// A new instance without state.
    pub fn new() -> Self {
        Self {
            statements: Table::new("statements"),
            known: Table::new("known"),
            news: Table::new("news"),
            key: Vec::new(),
        }
    }

    fn text<'a>(&mut self, text: &EnrichedText<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Some(fingerprint) = text.fingerprint else { return Ok(Disposition::Forwarded) };
        let identity = Identity {
            fingerprint: fingerprint.into(),
            fingerprint_version: text.fingerprint_version,
            verb: text.verb.unwrap_or_default().into(),
            tables: text.tables.iter().map(Box::from).collect(),
            told_at: context.now,
        };
        self.statement_key(text.target, text.database_id, text.query_id);
        self.statements.insert(&self.key, identity)?;
        let sight = self.see(text.target, fingerprint, context)?;
        if sight == Sight::First {
            self.announce(&Announcement::of_text(text), context)?;
        }
        Ok(if sight == Sight::Known { Disposition::Absorbed("known_text") } else { Disposition::Forwarded })
    }

    fn query<'a>(&mut self, row: &mut EnrichedQuery<'a>, context: &mut Context<'a, '_>) -> Result<(), StateError> {
        let Some(identity) = self.identity(row.target, row.database_id, row.query_id, context.now)? else {
            return Ok(());
        };
        row.fingerprint = Some(context.text(&identity.fingerprint));
        row.fingerprint_version = identity.fingerprint_version;
        row.verb = (!identity.verb.is_empty()).then(|| context.text(&identity.verb));
        row.tables = context.texts(&identity.tables);
        Ok(())
    }

    fn session<'a>(&mut self, row: &mut EnrichedSession<'a>, context: &mut Context<'a, '_>) -> Result<(), StateError> {
        if let (Some(database_id), Some(query_id)) = (row.database_id, row.query_id)
            && let Some(identity) = self.identity(row.target, database_id, query_id, context.now)?
        {
            row.fingerprint = Some(context.text(&identity.fingerprint));
            row.fingerprint_source = Some("query_id");
            row.fingerprint_version = identity.fingerprint_version;
            row.verb = (!identity.verb.is_empty()).then(|| context.text(&identity.verb));
            row.tables = context.texts(&identity.tables);
        }
        let Some(fingerprint) = row.fingerprint else { return Ok(()) };
        let is_in_dictionary = match row.fingerprint_source {
            Some("text") if row.text.is_some() => self.tell(row, fingerprint, context)?,
            Some("text" | "prefix" | "query_id") => self.is_known(row.target, fingerprint, context.now)?,
            _ => false,
        };
        if is_in_dictionary {
            row.text = None;
        }
        Ok(())
    }

    /// Tells the dictionary the whole text of a session, if that is due. Whether the dictionary has it then.
    fn tell<'a>(
        &mut self,
        row: &EnrichedSession<'a>,
        fingerprint: &'a str,
        context: &mut Context<'a, '_>,
    ) -> Result<bool, StateError> {
        let sight = self.see(row.target, fingerprint, context)?;
        if matches!(sight, Sight::First | Sight::Again) {
            let text = dictionary_record(row);
            context.emit(&text, &key::of_text(&text));
        }
        if sight == Sight::First {
            self.announce(&Announcement::of_session(row), context)?;
        }
        Ok(sight != Sight::Unremembered)
    }

    /// The statement that a server means by an identifier.
    fn identity(
        &mut self,
        target: &str,
        database_id: &str,
        query_id: &str,
        now: i64,
    ) -> Result<Option<&Identity>, StateError> {
        self.statement_key(target, database_id, query_id);
        Ok(self.statements.get(&self.key)?.filter(|identity| is_current(*identity, now)))
    }

    fn is_known(&mut self, target: &str, fingerprint: &str, now: i64) -> Result<bool, StateError> {
        self.join_key(&[target, fingerprint]);
        Ok(self.known.get(&self.key)?.is_some_and(|known| is_current(known, now)))
    }

    /// Looks whether the dictionary has a statement; from now on it does, unless it is not to be remembered.
    fn see(&mut self, target: &str, fingerprint: &str, context: &mut Context<'_, '_>) -> Result<Sight, StateError> {
        let now = context.now;
        self.join_key(&[target, fingerprint]);
        let known = self.known.get(&self.key)?.copied().filter(|known| is_current(known, now));
        let sight = match known {
            Some(known) if now < known.told_at.saturating_add(DAY) => return Ok(Sight::Known),
            Some(_) => Sight::Again,
            None => Sight::First,
        };
        if sight == Sight::First && !self.count_new(target, context)? {
            return Ok(Sight::Unremembered);
        }
        self.join_key(&[target, fingerprint]);
        self.known.insert(&self.key, Known { told_at: now })?;
        Ok(sight)
    }

    /// Counts a new statement. False if there were too many today.
    fn count_new(&mut self, target: &str, context: &mut Context<'_, '_>) -> Result<bool, StateError> {
        let day = context.now.div_euclid(DAY);
        let mut news =
            self.news.get(target.as_bytes())?.copied().unwrap_or(News { since: context.now, ..News::default() });
        if news.day != day {
            (news.day, news.new_today) = (day, 0);
        }
        news.new_today += 1;
        if news.new_today > NEW_PER_DAY_MAX + 1 {
            return Ok(false);
        }
        self.news.insert(target.as_bytes(), news)?;
        let fits = news.new_today <= NEW_PER_DAY_MAX;
        if !fits {
            statement_limit(target, day, context);
        }
        Ok(fits)
    }

    fn announce(&mut self, announcement: &Announcement<'_>, context: &mut Context<'_, '_>) -> Result<(), StateError> {
        self.news.change(announcement.target.as_bytes(), |news| announcement.make(news, context))?;
        Ok(())
    }

    fn statement_key(&mut self, target: &str, database_id: &str, query_id: &str) {
        self.join_key(&[target, database_id, query_id]);
    }

    fn join_key(&mut self, parts: &[&str]) {
        self.key.clear();
        for part in parts {
            self.key.extend_from_slice(part.as_bytes());
            self.key.push(0x1f);
        }
    }
}

fn is_current(value: &impl StateValue, now: i64) -> bool {
    value.expires_at().is_none_or(|at| at > now)
}

/// What the dictionary says of the statement of a session.
fn dictionary_record<'a>(row: &EnrichedSession<'a>) -> EnrichedText<'a> {
    EnrichedText {
        record_id: row.record_id,
        pipeline: row.pipeline,
        origin_offset: row.origin_offset,
        origin_topic: Topic::RawSessions.name(),
        target: row.target,
        labels: row.labels,
        engine: row.engine,
        database: row.database,
        database_id: row.database_id.unwrap_or_default(),
        user: row.user,
        query_id: row.query_id.unwrap_or_default(),
        fingerprint: row.fingerprint,
        fingerprint_version: row.fingerprint_version,
        verb: row.verb,
        tables: row.tables,
        text: row.text,
        text_length: row.text.map_or(0, |text| i64::try_from(text.len()).unwrap_or(i64::MAX)),
        withheld: row.withheld,
        observed_at: row.observed_at,
        ..EnrichedText::default()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl Processor for Text {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.statements, &mut self.known, &mut self.news]
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        match row {
            Row::Text(text) => return self.text(text, context),
            Row::Query(query) => self.query(query, context)?,
            Row::Session(session) => self.session(session, context)?,
            Row::RawQuery(_) | Row::RawPoll(_) | Row::Metrics(_) | Row::Log(_) => {}
        }
        Ok(Disposition::Forwarded)
    }
}

#[cfg(test)]
mod tests;
