//! What to do with an answer: a pure function, and the pace of repetition. Follows the OTLP specification
//! (opentelemetry-proto 1.11, sections "Failures" and "OTLP/HTTP Throttling").

use std::time::Duration;

use dbintel_config::Secret;
use tonic::Code;

use super::config::RetryOnFailure;

/// Shortest wait that a receiver can ask for: it may say 0, and would be asked again at once without end.
const ASKED_WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait that a receiver can ask for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(600);
/// Shorter words of a secret, such as `Basic`, are not masked.
const SECRET_WORD_BYTES_MIN: usize = 6;

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The receiver took the request, perhaps not all of it.
    Accepted {
        /// Items it rejected for good.
        rejected: u64,
        /// What it says about them; without rejected items, a warning.
        message: String,
    },
    /// A gRPC status that the receiver sent.
    Grpc {
        /// Its code.
        code: Code,
        /// How long to wait, when it says so.
        retry_after: Option<Duration>,
        /// What it says.
        message: String,
    },
    /// An HTTP status other than 2xx.
    Http {
        /// The status.
        status: u16,
        /// How long to wait, when it says so.
        retry_after: Option<Duration>,
        /// What it says.
        message: String,
    },
    /// No answer within the time allowed.
    TimedOut,
    /// No connection, or it broke.
    Unreachable(String),
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The request is settled; this many of its items were rejected for good.
    Settle {
        /// Items rejected.
        rejected: u64,
    },
    /// Send it again.
    Retry {
        /// After this time, if the receiver asked for one.
        after: Option<Duration>,
    },
    /// Keep it, and try again at the slowest pace: the receiver refuses us, not the data, and a person has to mend that.
    Hold,
    /// Send its halves.
    Split,
    /// No item will ever be taken.
    Reject,
}

/// Decides about a request of this many items.
pub fn decide(answer: &Answer, items: usize) -> Decision {
    match answer {
        Answer::Accepted { rejected, .. } => Decision::Settle { rejected: (*rejected).min(items as u64) },
        Answer::TimedOut | Answer::Unreachable(_) => Decision::Retry { after: None },
        Answer::Grpc { code: Code::ResourceExhausted, retry_after: None, .. } => split(items),
        Answer::Grpc { code, retry_after, .. } if is_retryable(*code) => {
            Decision::Retry { after: bounded(*retry_after) }
        }
        Answer::Grpc { code: Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented, .. } => {
            Decision::Hold
        }
        Answer::Http { status: 401 | 403 | 404, .. } => Decision::Hold,
        Answer::Http { status: 413, .. } => split(items),
        Answer::Http { status: 429 | 502 | 503 | 504, retry_after, .. } => {
            Decision::Retry { after: bounded(*retry_after) }
        }
        Answer::Grpc { .. } | Answer::Http { .. } => Decision::Reject,
    }
}

/// A single item that is too large will never be taken.
fn split(items: usize) -> Decision {
    if items > 1 { Decision::Split } else { Decision::Reject }
}

/// `RESOURCE_EXHAUSTED` arrives here only with a wait.
fn is_retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

fn bounded(wait: Option<Duration>) -> Option<Duration> {
    wait.map(|wait| wait.clamp(ASKED_WAIT_MIN, ASKED_WAIT_MAX))
}

impl Answer {
    /// Class of a failure, from a small fixed set; none for a request that was taken whole.
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Answer::Accepted { rejected: 0, .. } => None,
            Answer::Accepted { .. } => Some("partial_success"),
            Answer::TimedOut => Some("timeout"),
            Answer::Unreachable(_) => Some("unreachable"),
            Answer::Grpc { code, .. } => Some(code_name(*code)),
            Answer::Http { status, .. } => Some(status_name(*status)),
        }
    }

    /// What the receiver or the network says.
    pub fn message(&self) -> &str {
        match self {
            Answer::Accepted { message, .. } | Answer::Grpc { message, .. } | Answer::Http { message, .. } => message,
            Answer::TimedOut => "no answer in time",
            Answer::Unreachable(message) => message,
        }
    }

    /// The same with a mask over the words of these secrets: some receivers quote the key that they refuse.
    pub fn without<'s>(mut self, secrets: impl IntoIterator<Item = &'s Secret>) -> Answer {
        if let Answer::Accepted { message, .. } | Answer::Grpc { message, .. } | Answer::Http { message, .. } =
            &mut self
        {
            for secret in secrets {
                let words = secret.expose().split_whitespace().filter(|word| word.len() >= SECRET_WORD_BYTES_MIN);
                words.for_each(|word| *message = message.replace(word, &secret.to_string()));
            }
        }
        self
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

fn status_name(status: u16) -> &'static str {
    match status {
        400 => "http_400",
        401 => "http_401",
        403 => "http_403",
        404 => "http_404",
        408 => "http_408",
        413 => "http_413",
        429 => "http_429",
        500 => "http_500",
        502 => "http_502",
        503 => "http_503",
        504 => "http_504",
        other => match other / 100 {
            3 => "http_redirect",
            4 => "http_4xx",
            _ => "http_5xx",
        },
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or a date that is compared with `wall_us`.
pub fn retry_after(header: &str, wall_us: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(wall_us).ok()?);
    Some(since_epoch.saturating_sub(now))
}

/// The pace of repetition: exponential with jitter. A cycle ends when it has taken `max_elapsed_time`; then the sink says
/// that it is stuck, and the next cycle goes on at the slowest pace.
#[derive(Debug, Clone, Copy)]
pub struct Backoff<'c> {
    config: &'c RetryOnFailure,
    interval: Duration,
    elapsed: Duration,
}

impl<'c> Backoff<'c> {
    /// At the start.
    pub fn new(config: &'c RetryOnFailure) -> Self {
        Backoff { config, interval: config.initial_interval, elapsed: Duration::ZERO }
    }

    /// How long to wait before the next attempt. `chance` in [0, 1) spreads it by the randomization factor.
    pub fn next(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let spread = self.config.randomization_factor * (2.0 * chance - 1.0);
        let wait = asked.unwrap_or_else(|| self.interval.mul_f64((1.0 + spread).max(0.0)));
        let grown = self.interval.mul_f64(self.config.multiplier.max(1.0));
        self.interval = grown.min(self.config.max_interval);
        self.elapsed += wait;
        wait
    }

    /// How long to wait when only a person can help.
    pub fn slowest(&mut self, chance: f64) -> Duration {
        self.interval = self.config.max_interval;
        self.next(None, chance)
    }

    /// The cycle that just ended took all its time. True once per cycle.
    pub fn cycle_is_over(&mut self) -> bool {
        let bound = self.config.max_elapsed_time;
        let is_over = !bound.is_zero() && self.elapsed >= bound;
        if is_over {
            self.elapsed = Duration::ZERO;
            self.interval = self.config.max_interval;
        }
        is_over
    }
}

#[cfg(test)]
mod tests;
