//! Log lines: on standard error, as text or JSON, from a severity on.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal as _};
use std::str::FromStr;
use std::sync::OnceLock;

use dbintel_config::way_out;
use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;
use crate::output;

/// Severities to log from.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Sets the level of a process that logs already.
static ADJUST: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What is logged.
    pub level: Level,
    /// Form of the lines.
    pub format: LogFormat,
}

/// Least severity, or directives such as `info,rdkafka=warn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level(String);

impl FromStr for Level {
    type Err = String;

    /// A bare word that is no severity is refused: the filter would take it for a target, and log nothing else.
    fn from_str(text: &str) -> Result<Level, String> {
        let directives: Vec<&str> = text.split(',').map(str::trim).collect();
        for directive in &directives {
            let level = directive.rsplit_once('=').map_or(*directive, |(_, level)| level);
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                return Err(format!("`{level}` is not a level{}", way_out(&level.to_lowercase(), &LEVELS)));
            }
        }
        let directives = directives.join(",");
        EnvFilter::try_new(&directives).map_err(|error| error.to_string())?;
        Ok(Level(directives))
    }
}

impl Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Level {
    fn filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("it was tried when the level was made")
    }
}

/// Starts to log. A second call sets the level only.
pub fn start(settings: &Settings) {
    if let Some(adjust) = ADJUST.get() {
        adjust(settings.level.filter());
        return;
    }
    output::complain_as(settings.format);
    let lines = tracing_subscriber::fmt().with_env_filter(settings.level.filter()).with_writer(io::stderr);
    match settings.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            remember(move |filter| handle.reload(filter));
            lines.init();
        }
        LogFormat::Json => {
            // Without the module: `target` is the watched server, and a key may stand in an object once.
            let lines =
                lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_target(false);
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            remember(move |filter| handle.reload(filter));
            lines.init();
        }
    }
}

fn remember<E: Display>(reload: impl Fn(EnvFilter) -> Result<(), E> + Send + Sync + 'static) {
    let adjust = move |filter| {
        if let Err(error) = reload(filter) {
            tracing::warn!(%error, "the level of the log stays as it was");
        }
    };
    // It is set once, and by one thread.
    let _ = ADJUST.set(Box::new(adjust));
}

/// Tells where a thread panicked, and never with what: that may hold a row or a secret.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        output::complain(&format!("dbintel: the thread {name} panicked at {place}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_severity_with_or_without_a_target() {
        for text in ["info", "WARN", "off", "info,rdkafka=warn", "dbintel_bus::kafka=Trace, error"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text.replace(' ', ""));
        }
    }

    #[test]
    fn what_is_no_severity_is_refused_with_the_nearest() {
        let known = "known: error, warn, info, debug, trace, off";
        let cases = [
            ("warning", format!("`warning` is not a level, did you mean `warn`? {known}")),
            ("inof", format!("`inof` is not a level, did you mean `info`? {known}")),
            ("info,rdkafka=Debgu", format!("`Debgu` is not a level, did you mean `debug`? {known}")),
            ("rdkafka", format!("`rdkafka` is not a level; {known}")),
            ("", format!("`` is not a level; {known}")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Level>(), Err(expected), "{text}");
        }
    }
}
