//! Settings of `adaptive_sampler`, by the names of the guide.

use dbintel_config::Section;

use super::condition::Condition;

/// Settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Rules in order of priority.
    pub rules: Vec<Rule>,
    /// Rate of rows that no rule takes, in percent.
    pub default_sampling_rate: f64,
    /// Part of the hash that decides; samplers in a row need different salts to be independent.
    pub salt: String,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Name, on every record that the rule keeps.
    pub name: String,
    /// When the rule applies.
    pub condition: Condition,
    /// Rate in percent.
    pub sampling_rate: f64,
    /// Smaller goes first.
    pub priority: i64,
}

/// Keys of the guide that size what this sampler does not need: its decision is a pure function of the row.
const MAPPED: [&str; 6] =
    ["state_backend", "state_file", "cleanup_interval", "cache_size", "max_memory_mb", "max_decisions_per_second"];

impl Config {
    /// Reads the section of the component.
    pub fn read(section: &mut Section) -> Self {
        for key in MAPPED {
            if section.is_set(key) {
                section.warning(
                    key,
                    "is accepted and has no effect yet: decisions are a function of the record and need no cache",
                );
            }
            let _ = section.raw(key);
        }
        let mut rules: Vec<Rule> =
            section.list_of_sections("rules").into_iter().map(|mut rule| Rule::read(&mut rule)).collect();
        rules.sort_by_key(|rule| rule.priority);
        Self {
            rules,
            default_sampling_rate: section.doc("Percent of the rows that no rule takes; 100 keeps everything.").number(
                "default_sampling_rate",
                100.0,
                0.0..=100.0,
            ),
            salt: section.doc("Part of the hash that decides.").text("salt", "dbintel"),
        }
    }
}

impl Rule {
    fn read(section: &mut Section) -> Self {
        let name = section.required_text("name");
        let text = section
            .doc("Such as `mean_exec_time > 1000` (times in ms) or `severity == 'ERROR'`.")
            .required_text("condition");
        let condition = Condition::parse(&text).unwrap_or_else(|message| {
            if !text.is_empty() {
                section.problem("condition", message);
            }
            Condition::never()
        });
        Self {
            name,
            condition,
            sampling_rate: section.doc("Percent.").number("sampling_rate", 100.0, 0.0..=100.0),
            priority: section.doc("Rules with a smaller number go first.").integer("priority", 0, 0..=1_000_000),
        }
    }
}
