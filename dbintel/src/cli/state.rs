//! Commands and flags of `state`.

use clap::{Args, Subcommand};

use super::{ConfigArgument, JsonArgument};

/// What `state` can do.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// List the stores of this machine: how far each has come, and how many commits of its changelog it does not have yet.
    List {
        /// Which ones.
        #[command(flatten)]
        filter: StateFilter,
        /// Configuration.
        #[command(flatten)]
        config: ConfigArgument,
        /// Output.
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Fill stores anew from the changelog, now, so that the next start does not have to.
    #[command(after_help = CHANGE_HELP)]
    Rebuild(StateChangeArguments),
    /// Delete stores. The next process that owns the partition fills its own from the changelog.
    #[command(after_help = CHANGE_HELP)]
    Discard(StateChangeArguments),
}

/// Shown below the help of `state rebuild` and `state discard`.
const CHANGE_HELP: &str = "\
A store on this machine is a copy: the changelog on the log is the truth, and nothing is lost with a store. Stores of a process
that runs are left alone. Without --yes it says what it would do.

Example:
  dbintel state discard --config dbintel.yaml --partition 3 --yes";

/// Which stores.
#[derive(Debug, Clone, Args)]
pub struct StateFilter {
    /// Only this slot.
    #[arg(long, value_name = "NAME")]
    pub slot: Option<String>,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,
}

/// Flags of `state rebuild` and `state discard`.
#[derive(Debug, Clone, Args)]
pub struct StateChangeArguments {
    /// Which ones.
    #[command(flatten)]
    pub filter: StateFilter,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Do it.
    #[arg(long)]
    pub yes: bool,
}
