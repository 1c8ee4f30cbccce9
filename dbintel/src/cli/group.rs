//! Commands and flags of `group`.

use clap::{Args, Subcommand};

use super::{ConfigArgument, JsonArgument};

/// What `group` can do.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Show the committed positions of processors and sinks beside the ends of what they read.
    Show {
        /// Configuration.
        #[command(flatten)]
        config: ConfigArgument,
        /// Output.
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Move the positions of a group in which nobody is. Says what that means; does it with --yes only.
    #[command(after_help = SEEK_HELP)]
    Seek(GroupSeekArguments),
}

/// Shown below the help of `group seek`.
const SEEK_HELP: &str = "\
WHERE is `state` (processors only: where the last commit in their changelog stood, for when positions were lost or belong to another
state), `beginning`, `end`, a time such as 2026-01-31T12:00:00Z, an age such as -10m, or an offset.

State stays as it is: readings that processors have seen before are absorbed as late, and `ledger verify` names offsets that have
two dispositions, or none. Stop all processes of the group first.

Example:
  dbintel group seek --config dbintel.yaml --to state";

/// Flags of `group seek`.
#[derive(Debug, Clone, Args)]
pub struct GroupSeekArguments {
    /// Where to go on.
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub to: String,
    /// Group, as `show` names it.
    #[arg(long, value_name = "NAME", default_value = "dbintel.enrich")]
    pub group: String,
    /// Only this topic, such as `raw.queries`.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}
