//! Commands and flags of `targets`.

use clap::{Args, Subcommand};

use super::{ConfigArgument, JsonArgument};

/// What `targets` can do.
#[derive(Debug, Subcommand)]
pub enum TargetsCommand {
    /// List the targets: which process polls each, since when, and how its last poll went.
    #[command(after_help = LIST_HELP)]
    List {
        /// Configuration.
        #[command(flatten)]
        config: ConfigArgument,
        /// Output.
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Give a target an epoch that is higher than any before, when its records are absorbed as those of a stale owner.
    #[command(after_help = ADOPT_HELP)]
    Adopt(TargetsAdoptArguments),
}

/// Shown below the help of `targets list`.
const LIST_HELP: &str = "\
OWNER is the host and slot of the process that polls the target; `-` is nobody. EPOCH counts owners. STATE is the outcome of
the last poll of the last two minutes, of whatever class.";

/// Shown below the help of `targets adopt`.
const ADOPT_HELP: &str = "\
Each owner of a target has a higher epoch than the one before, and processors absorb what comes with an older one. If the
topic `targets` was lost while a clock was wrong, the owner's epoch can be too low for ever. This finds the highest epoch on
the log and writes it down; the owner then takes the one above, within a second. Without --yes it says what it would do.

Example:
  dbintel targets adopt --config dbintel.yaml orders --yes";

/// Flags of `targets adopt`.
#[derive(Debug, Clone, Args)]
pub struct TargetsAdoptArguments {
    /// Names of targets.
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}
