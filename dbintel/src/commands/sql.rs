//! `dbintel sql`: what is kept of statements and what is hidden, for a user to see before they trust us with theirs.
//!
//! It talks to nothing: it reads statements from a file or from standard input, one after the other, and writes what the
//! pollers would publish of them.

mod explain;
mod progress;
mod report;
mod source;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use dbintel_sqltext::{Dialect, Normalizer, Options, Statement};
use serde_json::{Value, json};

use self::explain::Explained;
use self::progress::Progress;
use self::report::printable;
use self::source::{Next, Piece, Separator, Source};
use crate::cli::{SqlArguments, SqlCommand};
use crate::failure::Failure;
use crate::output;

const STANDARD_INPUT: &str = "standard input";
const OUTPUT_BUFFER_BYTES: usize = 64 << 10;

/// What of a statement is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Text,
    Fingerprint,
    Tokens { reveal: bool },
}

/// Prints what is asked for of each statement.
pub fn run(command: &SqlCommand) -> Result<(), Failure> {
    let (view, arguments) = match command {
        SqlCommand::Normalize(arguments) => (View::Text, arguments),
        SqlCommand::Fingerprint(arguments) => (View::Fingerprint, arguments),
        SqlCommand::Explain { common, reveal } => (View::Tokens { reveal: *reveal }, common),
    };
    let dialect = arguments.dialect()?;
    let separator = match (arguments.whole, arguments.null) {
        (true, _) => Separator::End,
        (_, true) => Separator::Null,
        _ => Separator::Semicolon(dialect),
    };
    let (name, input) = open(arguments)?;
    let length = input.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let mut source = Source::new(name, input, separator);
    let mut printer = Printer {
        view,
        dialect,
        in_json: arguments.json,
        normalizer: Normalizer::new(dialect, Options { generalise_names: arguments.generalise_names }),
        output: BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock()),
        printed: 0,
    };
    match print_all(&mut source, &mut printer, &mut Progress::new(length)) {
        Err(Ending::ReaderGone) => Ok(()),
        Err(Ending::Failed(failure)) => Err(failure),
        Ok(()) => Ok(()),
    }
}

/// The file or standard input, with its name for messages.
fn open(arguments: &SqlArguments) -> Result<(String, File), Failure> {
    let path = arguments.file.as_deref().filter(|path| *path != Path::new("-"));
    let name = path.map_or_else(|| STANDARD_INPUT.to_owned(), |path| path.display().to_string());
    let opened = match path {
        Some(path) => File::open(path),
        None => io::stdin().as_fd().try_clone_to_owned().map(File::from),
    };
    let file = opened.map_err(|source| Failure::runtime(source::Error::Read { name: name.clone(), source }))?;
    Ok((name, file))
}

/// Why it ends before the input does.
enum Ending {
    /// Nobody reads the output any more.
    ReaderGone,
    Failed(Failure),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Ending {
        match error.kind() {
            ErrorKind::BrokenPipe => Ending::ReaderGone,
            _ => Ending::Failed(Failure::Runtime(format!("could not write to standard output: {error}"))),
        }
    }
}

fn print_all(source: &mut Source<File>, printer: &mut Printer<'_>, progress: &mut Progress) -> Result<(), Ending> {
    let mut hidden = None;
    loop {
        match source.next() {
            Next::Piece(piece) => {
                printer.print(&piece)?;
                hidden = piece.hides_rest.map(|(place, reason)| (place, reason.name()));
            }
            Next::More => {
                printer.output.flush()?;
                progress.show(source.bytes_read());
                source.fill().map_err(|error| Ending::Failed(Failure::runtime(error)))?;
            }
            Next::End => break,
        }
    }
    printer.output.flush()?;
    progress.clear();
    hidden = hidden.or_else(|| source.rows_without_end().map(|place| (place, "copy_data")));
    if let Some((place, reason)) = hidden {
        output::complain(&format!(
            "dbintel: all from byte {place} on is hidden: {reason}; if that hides other statements, separate them with \
             NUL bytes and give --null"
        ));
    }
    Ok(())
}

struct Printer<'o> {
    view: View,
    dialect: Dialect,
    in_json: bool,
    normalizer: Normalizer,
    output: BufWriter<StdoutLock<'o>>,
    printed: u64,
}

impl Printer<'_> {
    fn print(&mut self, piece: &Piece<'_>) -> io::Result<()> {
        let statement = self.normalizer.normalize(piece.sql);
        let output = &mut self.output;
        self.printed += 1;
        match self.view {
            View::Tokens { reveal } => {
                let text = (!reveal).then_some(statement.text);
                let tokens = explain::explain(self.dialect, piece.sql, text);
                match self.in_json {
                    true => write_object_with_tokens(output, &statement, piece.start, tokens),
                    false => write_tokens(output, &statement, piece, self.printed, tokens),
                }
            }
            _ if self.in_json => writeln!(output, "{}", report::object(&statement)),
            View::Text => writeln!(output, "{}", printable(statement.text)),
            View::Fingerprint => writeln!(output, "{}", report::fingerprint(&statement)),
        }
    }
}

fn write_tokens<'s>(
    output: &mut impl Write,
    statement: &Statement<'_>,
    piece: &Piece<'_>,
    number: u64,
    tokens: impl Iterator<Item = Explained<'s>>,
) -> io::Result<()> {
    if number > 1 {
        writeln!(output)?;
    }
    writeln!(output, "statement {number}, bytes {}..{}", piece.start, piece.start + piece.sql.len() as u64)?;
    for Explained { kind, range, shown } in tokens {
        let place = format!("{}..{}", piece.start + range.start as u64, piece.start + range.end as u64);
        let shown = shown.as_deref().map_or(Cow::Borrowed("-"), printable);
        writeln!(output, "  {kind:<20} {place:<16} {shown}")?;
    }
    report::facts(output, statement)
}

/// The object of a statement with its tokens behind the rest, written one by one: there may be millions.
fn write_object_with_tokens<'s>(
    output: &mut impl Write,
    statement: &Statement<'_>,
    start: u64,
    tokens: impl Iterator<Item = Explained<'s>>,
) -> io::Result<()> {
    let object = report::object(statement).to_string();
    write!(output, "{},\"tokens\":[", object.strip_suffix('}').unwrap_or(&object))?;
    for (index, token) in tokens.enumerate() {
        let separator = if index == 0 { "" } else { "," };
        write!(output, "{separator}{}", token_object(&token, start))?;
    }
    writeln!(output, "]}}")
}

fn token_object(token: &Explained<'_>, start: u64) -> Value {
    let Explained { kind, range, shown } = token;
    json!({
        "kind": kind,
        "start": start + range.start as u64,
        "end": start + range.end as u64,
        "shown": shown.as_deref(),
    })
}
