//! Settings of the debug sink: the keys of the Collector's `debug` exporter, with the guide's defaults.

use dbintel_config::Section;

use crate::delivery::FirstStart;

/// Settings of a debug sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How much to print.
    pub verbosity: Verbosity,
    /// Rows that are printed in each second.
    pub sampling_initial: u64,
    /// Of the further ones, each how manieth is printed; 0 for none.
    pub sampling_thereafter: u64,
    /// Where it begins when it has never run.
    pub start_at: FirstStart,
}

/// How much to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// How many rows came in each second.
    Basic,
    /// What each row is about.
    Normal,
    /// All that a row holds.
    Detailed,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            verbosity: Verbosity::Basic,
            sampling_initial: 5,
            sampling_thereafter: 0,
            start_at: FirstStart::default(),
        }
    }
}

impl Config {
    /// Reads the settings.
    pub fn read(section: &mut Section) -> Config {
        let verbosities =
            [("basic", Verbosity::Basic), ("normal", Verbosity::Normal), ("detailed", Verbosity::Detailed)];
        Config {
            verbosity: section.doc("How much to print.").variant("verbosity", &verbosities, "basic"),
            sampling_initial: section.doc("Rows printed in each second.").integer("sampling_initial", 5, 0..),
            sampling_thereafter: section.doc("Of the further ones, each how manieth is printed; 0 for none.").integer(
                "sampling_thereafter",
                0,
                0..,
            ),
            start_at: FirstStart::read(section),
        }
    }

    /// Whether the row with this number (from 1) in its second is printed.
    pub fn keeps(&self, number: u64) -> bool {
        let further = number.saturating_sub(self.sampling_initial);
        further == 0 || (self.sampling_thereafter > 0 && further.is_multiple_of(self.sampling_thereafter))
    }
}
