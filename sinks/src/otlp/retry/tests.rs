use super::*;

const SEVEN: Option<Duration> = Some(Duration::from_secs(7));
const AGAIN: Decision = Decision::Retry { after: None };
const HOLD: Decision = Decision::Hold;
const AFTER_SEVEN: Decision = Decision::Retry { after: SEVEN };

#[test]
fn grpc_codes_decide_as_the_specification_says() {
    let cases = [
        (Code::Cancelled, None, AGAIN),
        (Code::DeadlineExceeded, None, AGAIN),
        (Code::Aborted, None, AGAIN),
        (Code::OutOfRange, None, AGAIN),
        (Code::Unavailable, None, AGAIN),
        (Code::Unavailable, SEVEN, AFTER_SEVEN),
        (Code::DataLoss, None, AGAIN),
        (Code::ResourceExhausted, SEVEN, AFTER_SEVEN),
        (Code::ResourceExhausted, None, Decision::Split),
        (Code::Unknown, None, Decision::Reject),
        (Code::Internal, None, Decision::Reject),
        (Code::Internal, SEVEN, Decision::Reject),
        (Code::Unauthenticated, None, HOLD),
        (Code::PermissionDenied, SEVEN, HOLD),
        (Code::InvalidArgument, None, Decision::Reject),
        (Code::Unimplemented, None, HOLD),
        (Code::NotFound, None, Decision::Reject),
        (Code::FailedPrecondition, None, Decision::Reject),
    ];
    for (code, retry_after, expected) in cases {
        let answer = Answer::Grpc { code, retry_after, message: String::new() };
        assert_eq!(decide(&answer, 10), expected, "{code:?} {retry_after:?}");
    }
}

#[test]
fn http_statuses_decide_as_the_specification_says() {
    let cases = [
        (429, None, AGAIN),
        (429, SEVEN, AFTER_SEVEN),
        (502, None, AGAIN),
        (503, SEVEN, AFTER_SEVEN),
        (504, None, AGAIN),
        (413, None, Decision::Split),
        (400, None, Decision::Reject),
        (401, None, HOLD),
        (403, SEVEN, HOLD),
        (404, None, HOLD),
        (408, SEVEN, Decision::Reject),
        (415, None, Decision::Reject),
        (500, SEVEN, Decision::Reject),
        (501, None, Decision::Reject),
        (302, None, Decision::Reject),
    ];
    for (status, retry_after, expected) in cases {
        let answer = Answer::Http { status, retry_after, message: String::new() };
        assert_eq!(decide(&answer, 10), expected, "{status} {retry_after:?}");
    }
}

#[test]
fn no_answer_is_retried_and_partial_success_never() {
    assert_eq!(decide(&Answer::TimedOut, 10), AGAIN);
    assert_eq!(decide(&Answer::Unreachable("connection refused".into()), 10), AGAIN);
    for (rejected, expected) in [(0, 0), (3, 3), (99, 10)] {
        let answer = Answer::Accepted { rejected, message: "no".into() };
        assert_eq!(decide(&answer, 10), Decision::Settle { rejected: expected });
        assert_eq!(answer.failure(), (rejected > 0).then_some("partial_success"));
    }
}

#[test]
fn a_single_item_is_not_split() {
    let exhausted = Answer::Grpc { code: Code::ResourceExhausted, retry_after: None, message: String::new() };
    let too_large = Answer::Http { status: 413, retry_after: SEVEN, message: String::new() };
    for answer in [exhausted, too_large] {
        assert_eq!(decide(&answer, 2), Decision::Split);
        assert_eq!(decide(&answer, 1), Decision::Reject);
    }
}

#[test]
fn what_a_receiver_asks_for_is_bounded() {
    let cases = [(0, 100), (50, 100), (7000, 7000), (86_400_000, 600_000)];
    for (asked, expected) in cases {
        let retry_after = Some(Duration::from_millis(asked));
        let answer = Answer::Http { status: 503, retry_after, message: String::new() };
        assert_eq!(decide(&answer, 1), Decision::Retry { after: Some(Duration::from_millis(expected)) });
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    // 2026-11-23 20:00:00 UTC.
    let wall_us = 1_795_464_000_000_000;
    let cases = [
        ("7", SEVEN),
        (" 7 ", SEVEN),
        ("0", Some(Duration::ZERO)),
        ("Mon, 23 Nov 2026 20:00:07 GMT", SEVEN),
        ("Mon, 23 Nov 2026 19:00:00 GMT", Some(Duration::ZERO)),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("99999999999999", None),
    ];
    for (header, expected) in cases {
        assert_eq!(retry_after(header, wall_us), expected, "{header}");
    }
}

#[test]
fn a_message_that_quotes_a_secret_is_masked() {
    let secrets = ["Bearer s3cret-key", "prod"].map(Secret::new);
    let message = "the key s3cret-key of prod is not valid".to_owned();
    let answer = Answer::Http { status: 401, retry_after: None, message }.without(&secrets);
    assert_eq!(answer.message(), "the key **** of prod is not valid");
}

fn config(max_elapsed: u64) -> RetryOnFailure {
    RetryOnFailure { max_elapsed_time: Duration::from_secs(max_elapsed), ..RetryOnFailure::default() }
}

#[test]
fn waits_grow_to_the_longest_interval_and_are_spread() {
    let config = config(0);
    let mut backoff = Backoff::new(&config);
    let waits: Vec<f64> = (0..7).map(|_| backoff.next(None, 0.5).as_secs_f64()).collect();
    assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);
    let mut held = Backoff::new(&config);
    assert_eq!([held.slowest(0.5), held.slowest(0.0)], [30, 15].map(Duration::from_secs));
    let spread = |chance| Backoff::new(&config).next(None, chance).as_secs_f64();
    assert_eq!([spread(0.0), spread(0.5)], [2.5, 5.0]);
    assert!(spread(0.999_999) < 7.5);
}

#[test]
fn an_asked_wait_beats_the_own_one() {
    let config = config(0);
    let mut backoff = Backoff::new(&config);
    assert_eq!(backoff.next(SEVEN, 0.0), SEVEN.unwrap());
    assert_eq!(backoff.next(None, 0.5), Duration::from_millis(7500));
}

#[test]
fn a_cycle_ends_after_its_time_and_the_next_one_goes_on_slowly() {
    let config = config(20);
    let mut backoff = Backoff::new(&config);
    let over: Vec<bool> = (0..6)
        .map(|_| {
            backoff.next(None, 0.5);
            backoff.cycle_is_over()
        })
        .collect();
    // 5 + 7.5 + 11.25 s, then every wait of 30 s is longer than a cycle.
    assert_eq!(over, [false, false, true, true, true, true]);
    let endless = self::config(0);
    let mut backoff = Backoff::new(&endless);
    for _ in 0..1000 {
        backoff.next(None, 0.5);
        assert!(!backoff.cycle_is_over());
    }
}
