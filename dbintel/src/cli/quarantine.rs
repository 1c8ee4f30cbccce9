//! Commands and flags of `quarantine`.

use clap::{Args, Subcommand};

use super::{ConfigArgument, JsonArgument};

/// What `quarantine` can do.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is in quarantine, oldest first in each partition.
    List(QuarantineListArguments),
    /// Show one record of it. Key and value may hold something personal: they are shown with --reveal only.
    Show(QuarantineShowArguments),
    /// Write records to their input topics once more, as they came, to be processed by what runs now. They keep their place in
    /// quarantine; a reading that others have overtaken is absorbed as late.
    Retry(QuarantineRetryArguments),
    /// Delete the beginning of a partition of the quarantine. What is deleted cannot be had back.
    Drop(QuarantineDropArguments),
}

/// Which records of the quarantine.
#[derive(Debug, Clone, Args)]
pub struct QuarantineFilter {
    /// Only this reason, such as `decode`, `schema`, `panic` or `oversize`.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// Only this input topic, such as `raw.queries`.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Only this pipeline.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Only this partition.
    #[arg(long, value_name = "NUMBER")]
    pub partition: Option<u32>,
}

/// Flags of `quarantine list`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineListArguments {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Which records.
    #[command(flatten)]
    pub filter: QuarantineFilter,
    /// Output.
    #[command(flatten)]
    pub json: JsonArgument,
}

/// Flags of `quarantine show`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineShowArguments {
    /// Partition, as `list` shows it.
    pub partition: u32,
    /// Offset, as `list` shows it.
    pub offset: i64,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Show key and value.
    #[arg(long)]
    pub reveal: bool,
}

/// Flags of `quarantine retry`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineRetryArguments {
    /// Places such as 3:17, partition and offset as `list` shows them; or --all.
    #[arg(value_name = "PARTITION:OFFSET", required_unless_present = "all", conflicts_with = "all")]
    pub places: Vec<String>,
    /// All records that the filters let through.
    #[arg(long)]
    pub all: bool,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Which records.
    #[command(flatten)]
    pub filter: QuarantineFilter,
    /// Only say what would be written.
    #[arg(long)]
    pub dry_run: bool,
}

/// Flags of `quarantine drop`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineDropArguments {
    /// Partition.
    pub partition: u32,
    /// First offset that is kept.
    pub before: i64,
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgument,
    /// Do it; without this it is only said what would be deleted.
    #[arg(long)]
    pub yes: bool,
}
