//! What the command line understands. Every flag has its help text here, and every common flag an environment variable.

mod group;
mod quarantine;
mod state;
mod targets;

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dbintel_config::Environment;
use dbintel_sqltext::{Dialect, SqlMode};

pub use self::group::{GroupCommand, GroupSeekArguments};
pub use self::quarantine::{
    QuarantineCommand, QuarantineDropArguments, QuarantineFilter, QuarantineListArguments, QuarantineRetryArguments,
    QuarantineShowArguments,
};
pub use self::state::{StateChangeArguments, StateCommand, StateFilter};
pub use self::targets::{TargetsAdoptArguments, TargetsCommand};
use crate::failure::Failure;
use crate::listen::Address;
use crate::logging::Level;
use crate::output;
use crate::settings::BuiltIn;

/// Watches PostgreSQL servers and streams what it sees through a log.
#[derive(Debug, Parser)]
#[command(name = "dbintel", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Reads the command line of the process; ends it if that cannot be understood. A variable that is empty is not set.
pub fn parse(environment: &Environment) -> Cli {
    if environment.get("DBINTEL_LOG_FORMAT") == Some("json") {
        output::complain_as(LogFormat::Json);
    }
    let matches = without_empty_variables(Cli::command(), environment).try_get_matches();
    let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches)).unwrap_or_else(|error| refuse(&error));
    if let Some(LogFormat::Json) = cli.command.log_format() {
        output::complain_as(LogFormat::Json);
    }
    cli
}

fn without_empty_variables(command: clap::Command, environment: &Environment) -> clap::Command {
    let is_empty = |name: &OsStr| name.to_str().and_then(|name| environment.get(name)) == Some("");
    let mended = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg };
    command.mut_args(mended).mut_subcommands(|command| without_empty_variables(command, environment))
}

/// Shows the help that was asked for, or what is wrong.
fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    if !output::complains_in_json() {
        error.exit();
    }
    output::complain(error.to_string().trim_end());
    std::process::exit(error.exit_code());
}

impl Command {
    fn log_format(&self) -> Option<LogFormat> {
        match self {
            Command::Up(arguments) => arguments.serve.log_format,
            Command::Poller(arguments) | Command::Processor(arguments) | Command::Sink(arguments) => {
                arguments.log_format
            }
            _ => None,
        }
    }
}

/// Subcommands; each has a file of this name in `commands`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every role in one process, on the embedded log unless the configuration says otherwise.
    Up(UpArguments),
    /// Run the pollers only: they read the servers and write raw topics.
    Poller(ServeArguments),
    /// Run the processors only: any number of processes share the partitions.
    Processor(ServeArguments),
    /// Run the sinks only: they bring enriched topics to OTLP and Prometheus.
    Sink(ServeArguments),
    /// Report every mistake of a configuration at once; exits with 78 if there is one.
    Validate(ValidateArguments),
    /// Ask each server what it lets us read: what is missing, what that costs, and the SQL that mends it; exits with 1 if
    /// something is missing.
    Doctor(DoctorArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Create topics, and compare them with what they should be.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Look at who polls each target.
    #[command(subcommand)]
    Targets(TargetsCommand),
    /// Decode a topic to JSON lines.
    Tap(TapArguments),
    /// Look at where consumer groups stand, and move them.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Look at what could not be processed, and give it back or away.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Check the books: what became of every raw record.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Look at the processors' state on this machine, fill it anew, or delete it.
    #[command(subcommand)]
    State(StateCommand),
    /// Normalise and fingerprint statements of your own, to see what is kept of them and what is hidden.
    #[command(subcommand, after_help = SQL_EXAMPLE)]
    Sql(SqlCommand),
    /// Show the version.
    Version(JsonArgument),
    /// Print completions for a shell.
    Completions {
        /// Shell to complete in.
        shell: Shell,
    },
}

/// What `config` can do.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value in effect; secrets are masked.
    Print(ConfigArgument),
}

/// What `topics` can do.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Create the topics that are missing. Those that exist are left alone.
    Create(ConfigArgument),
    /// List the topics with what differs from what they should be; exits with 1 if anything does.
    Describe {
        /// Configuration.
        #[command(flatten)]
        config: ConfigArgument,
        /// Output.
        #[command(flatten)]
        json: JsonArgument,
    },
}

/// What `ledger` can do.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Hold the ledger against raw topics, outputs and quarantine: every raw record has one disposition, every forwarded one
    /// one output. Exits with 1 if something does not balance.
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArguments),
}

/// Shown below the help of `ledger verify`.
const VERIFY_HELP: &str = "\
What retention has deleted cannot be checked: `checked in part` counts the commits of which something is gone. OPEN is what
the group has not processed yet. It may run beside everything else, and only reads.

Example:
  dbintel ledger verify --config dbintel.yaml --partition 3";

/// Flags of `ledger verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,
    /// Only this pipeline.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Output.
    #[command(flatten)]
    pub json: JsonArgument,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgument {
    /// Configuration file; without one, a built-in configuration takes what it needs from the environment.
    #[arg(short, long, value_name = "FILE", env = "DBINTEL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Built-in configuration, where no file is named [default: kafka for `poller`, `processor` and `sink`; embedded for
    /// everything else].
    #[arg(long, value_enum, value_name = "NAME", env = "DBINTEL_BUILT_IN")]
    pub built_in: Option<BuiltIn>,
    /// Where state, the embedded log and locks are kept.
    #[arg(long, value_name = "DIRECTORY", env = "DBINTEL_STATE_DIRECTORY")]
    pub state_directory: Option<PathBuf>,
}

/// JSON instead of text.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonArgument {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a running process shows itself. Flags win over the configuration file.
#[derive(Debug, Clone, Args)]
pub struct ServeArguments {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Where `/`, `/livez` and `/readyz` answer [default: 127.0.0.1:13133]. Port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDRESS", env = "DBINTEL_HEALTH_ADDRESS")]
    pub health_address: Option<Address>,
    /// Where this process's own metrics are [default: 127.0.0.1:8888].
    #[arg(long, value_name = "ADDRESS", env = "DBINTEL_METRICS_ADDRESS")]
    pub metrics_address: Option<Address>,
    /// Where the `prometheus` sink is scraped, if there is one, instead of its `endpoint` [default: 127.0.0.1:8889].
    #[arg(long, value_name = "ADDRESS", env = "DBINTEL_EXPORT_ADDRESS")]
    pub export_address: Option<Address>,
    /// Name of this process in its groups, such as the name of a StatefulSet's pod: stable over restarts, unique in the fleet. The
    /// group keeps its partitions for it while it is away, for one `session_timeout`, and gives them back at once. Without a name
    /// it takes the first free number of the state directory, and its partitions move to others as soon as it stops.
    #[arg(long, value_name = "NAME", env = "DBINTEL_SLOT")]
    pub slot: Option<String>,
    /// With `service: layout: split`, the only group of processors that this process takes part in, such as `text`; may be given
    /// several times [default: all].
    #[arg(long, value_name = "NAME", env = "DBINTEL_GROUP", value_delimiter = ',')]
    pub group: Vec<String>,
    /// Form of log lines [default: text].
    #[arg(long, value_enum, value_name = "FORMAT", env = "DBINTEL_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Least severity that is logged: error, warn, info, debug, trace or off [default: info].
    #[arg(long, value_name = "LEVEL", env = "LOG_LEVEL")]
    pub log_level: Option<String>,
}

impl ServeArguments {
    /// What is logged; none if it is not given or empty.
    pub fn level(&self) -> Result<Option<Level>, Failure> {
        let given = self.log_level.as_deref().filter(|level| !level.is_empty());
        let refused = |level: &str, error| Failure::Usage(format!("--log-level {level}: {error}"));
        given.map(|level| level.parse().map_err(|error: String| refused(level, error))).transpose()
    }
}

/// Whether a flag stands on the command line, and does not come from its variable.
pub fn is_typed(flag: Option<impl ToString>, variable: &str, environment: &Environment) -> bool {
    flag.is_some_and(|flag| environment.get(variable) != Some(&flag.to_string()))
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// Flags of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpArguments {
    /// Common flags.
    #[command(flatten)]
    pub serve: ServeArguments,
    /// Start a throw-away PostgreSQL with a workload, and watch that.
    #[arg(long)]
    pub demo: bool,
    /// Folder with `initdb` and `postgres` for the demo; otherwise PATH and the usual places are searched.
    #[arg(long, value_name = "DIRECTORY", env = "DBINTEL_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,
    /// No table.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArguments {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Output.
    #[command(flatten)]
    pub json: JsonArgument,
    /// Also connect to the log and to each server, and say which cannot be reached.
    #[arg(long)]
    pub probe: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArguments {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Output.
    #[command(flatten)]
    pub json: JsonArgument,
    /// Print only the statements that set our account up, for an administrator to run.
    #[arg(long, conflicts_with = "json")]
    pub sql: bool,
    /// Only this target.
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// Flags of `tap`.
#[derive(Debug, Clone, Args)]
pub struct TapArguments {
    /// Topic, such as `enriched.queries`.
    pub topic: String,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Where to begin: `beginning`, `end`, a time such as 2026-01-31T12:00:00Z, or an age such as -10m.
    #[arg(long, default_value = "end", value_name = "WHERE", allow_hyphen_values = true)]
    pub from: String,
    /// Stop after this many records.
    #[arg(long, value_name = "RECORDS")]
    pub count: Option<u64>,
    /// Stop when this time has passed, such as 10s.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,
    /// Only records with this value in this field, such as `target=production` or `counters.calls=3`. All must hold.
    #[arg(long, value_name = "FIELD=VALUE")]
    pub filter: Vec<String>,
    /// Show texts of restricted topics, which may hold something personal.
    #[arg(long)]
    pub reveal: bool,
}

/// Shown below the help of `sql`.
const SQL_EXAMPLE: &str = "\
Example:
  echo \"select * from users where mail = 'a@example.com'\" | dbintel sql normalize
  select * from users where mail = ?";

/// Shown below the help of `sql normalize`.
const NORMALIZE_EXAMPLE: &str = "\
A text that was cut, or the rest of which is hidden, ends with `...`.

Example:
  dbintel sql normalize --dialect mysql --ansi-quotes false statements.sql | sort | uniq -c";

/// Shown below the help of `sql fingerprint`.
const FINGERPRINT_EXAMPLE: &str = "\
Behind the fingerprint of a text that is not whole stands `cut`, or `withheld` with the reason.

Example:
  dbintel sql fingerprint statements.sql | sort | uniq -c";

/// Shown below the help of `sql explain`.
const EXPLAIN_EXAMPLE: &str = "\
A line per token says what it is, where it stands in bytes from the beginning of the input, and what of it the
normalised text shows: `?` for a value, `-` for nothing, and the reason where the rest is hidden.

Example:
  echo \"alter role app password 'secret'\" | dbintel sql explain";

/// What `sql` can do.
#[derive(Debug, Subcommand)]
pub enum SqlCommand {
    /// Print each statement without literals, comments and secrets, on a line of its own.
    #[command(visible_alias = "normalise", after_help = NORMALIZE_EXAMPLE)]
    Normalize(SqlArguments),
    /// Print the fingerprint of each statement, on a line of its own.
    #[command(after_help = FINGERPRINT_EXAMPLE)]
    Fingerprint(SqlArguments),
    /// Print the tokens of each statement and what is known about it.
    #[command(after_help = EXPLAIN_EXAMPLE)]
    Explain {
        /// Common flags.
        #[command(flatten)]
        common: SqlArguments,
        /// Show every token as it stands in the input, literals and comments too.
        #[arg(long)]
        reveal: bool,
    },
}

/// Flags of all commands of `sql`.
#[derive(Debug, Clone, Args)]
pub struct SqlArguments {
    /// File with statements, each ended by a semicolon [default: standard input, as for `-`].
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Whose rules the statements are read by; `mysql` is for MariaDB too.
    #[arg(long, value_enum, value_name = "NAME", default_value = "postgresql")]
    pub dialect: SqlDialect,
    /// MySQL: whether `ANSI_QUOTES` is in `sql_mode`, so that text in double quotes is a name [default: not known, so that
    /// what either reading hides is hidden].
    #[arg(long, value_name = "true|false")]
    pub ansi_quotes: Option<bool>,
    /// MySQL: whether `NO_BACKSLASH_ESCAPES` is in `sql_mode`, so that a backslash in a string is an ordinary character
    /// [default: not known].
    #[arg(long, value_name = "true|false")]
    pub no_backslash_escapes: Option<bool>,
    /// Give one fingerprint to names of temporary tables, partitions and shards that differ in digits alone.
    #[arg(long, visible_alias = "generalize-names")]
    pub generalise_names: bool,
    /// Take the input as one statement, semicolons and all.
    #[arg(long, conflicts_with = "null")]
    pub whole: bool,
    /// Statements end with a NUL byte, and not with a semicolon.
    #[arg(long)]
    pub null: bool,
    /// Print an object per statement: text, fingerprint, version, verb, tables, tables_certain, cut, withheld, tags,
    /// traceparent.
    #[arg(long)]
    pub json: bool,
}

/// Names of dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SqlDialect {
    /// PostgreSQL.
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
}

impl SqlArguments {
    /// The dialect with its modes.
    pub fn dialect(&self) -> Result<Dialect, Failure> {
        let SqlArguments { ansi_quotes, no_backslash_escapes, .. } = *self;
        match self.dialect {
            SqlDialect::Mysql => Ok(Dialect::MySql(SqlMode { ansi_quotes, no_backslash_escapes })),
            SqlDialect::Postgresql if ansi_quotes.is_some() || no_backslash_escapes.is_some() => {
                Err(Failure::Usage("--ansi-quotes and --no-backslash-escapes are for --dialect mysql".to_owned()))
            }
            SqlDialect::Postgresql => Ok(Dialect::PostgreSql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_age_is_not_taken_for_a_flag() {
        let cli = Cli::try_parse_from(["dbintel", "tap", "raw.queries", "--from", "-10m"]).unwrap();
        let Command::Tap(arguments) = cli.command else { panic!("not a tap: {cli:?}") };
        assert_eq!(arguments.from, "-10m");
    }
}
