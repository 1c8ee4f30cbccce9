//! The OTLP sink against a receiver that answers by a script: nothing is lost, and what was accepted does not come again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use dbintel_schemas::records::{EnrichedQuery, EnrichedSession};
use dbintel_sinks::SinkConfig;
use dbintel_sinks::otlp::{Batch, Config, IN_FLIGHT_BYTES_MAX, Protocol, RetryOnFailure, SendingQueue};
use dbintel_tests::otlp_peer::{Answer, Export, OtlpPeer};
use dbintel_tests::wait;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::time::Instant;
use tonic::Code;

use crate::sinks_rig::{AT, LIMIT, PIPELINE, Rig, otlp, query, stop};

const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

fn endpoint(peer: &OtlpPeer, protocol: Protocol) -> &str {
    match protocol {
        Protocol::Grpc => &peer.grpc,
        Protocol::Http => &peer.http,
    }
}

/// How often each query was accepted as a log record, by its identifier.
fn accepted(peer: &OtlpPeer) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for export in peer.accepted() {
        let Export::Logs(request) = export else { continue };
        let records = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        for record in records.flat_map(|scope| &scope.log_records) {
            let query_id = record.attributes.iter().find(|attribute| attribute.key == "postgresql.queryid").unwrap();
            let Some(Value::StringValue(query_id)) = query_id.value.as_ref().and_then(|value| value.value.as_ref())
            else {
                panic!("{query_id:?}");
            };
            *counts.entry(query_id.parse().unwrap()).or_default() += 1;
        }
    }
    counts
}

fn exactly_once(rows: usize) -> BTreeMap<usize, usize> {
    (0..rows).map(|number| (number, 1)).collect()
}

/// A sink that sends all rows that are there in one request for each signal.
fn at_once(peer: &OtlpPeer, protocol: Protocol) -> Config {
    let batch = Batch { timeout: Duration::from_secs(1), ..Batch::default() };
    Config { batch, ..otlp(endpoint(peer, protocol), protocol) }
}

fn session(target: &str) -> EnrichedSession<'_> {
    EnrichedSession {
        pipeline: PIPELINE,
        target,
        engine: "postgresql",
        observed_at: AT,
        session_id: "4711",
        sampling_probability: 1.0,
        sampling_weight: 1.0,
        ..EnrichedSession::default()
    }
}

fn grpc(code: Code, retry_after: Option<Duration>) -> Answer {
    Answer::Grpc { code, retry_after }
}

fn http(status: u16, retry_after: Option<&str>) -> Answer {
    Answer::Http { status, retry_after: retry_after.map(str::to_owned) }
}

#[test]
fn what_fails_for_now_is_sent_again_until_it_is_accepted() {
    let second = Some(Duration::from_secs(1));
    let scripts = [
        (Protocol::Grpc, vec![grpc(Code::Unavailable, None); 6], "unavailable"),
        (Protocol::Grpc, vec![grpc(Code::ResourceExhausted, second); 2], "resource_exhausted"),
        (Protocol::Grpc, vec![grpc(Code::DataLoss, None); 2], "data_loss"),
        (Protocol::Http, vec![http(503, None); 6], "http_503"),
        (Protocol::Http, vec![http(429, Some("1")), http(429, Some("1"))], "http_429"),
    ];
    for (protocol, script, class) in scripts {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_next(script.clone());
        rig.publish(0..20);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(at_once(&peer, protocol))));
        let exported = rig.exported("otlp", 20);
        assert_eq!(accepted(&peer), exactly_once(20), "{script:?}");
        assert_eq!((exported.accepted, exported.rejected), (20, 0), "{script:?}");
        assert!(exported.error_classes.iter().any(|seen| seen == class), "{exported:?} {script:?}");
        assert_eq!(exported.attempts as usize, script.len() + 2, "one request for each signal: {script:?}");
        assert_eq!(rig.metric("sink_retries_total", "otlp") as usize, script.len());
        assert!(rig.metric("otelcol_exporter_send_failed_log_records", "otlp") > 0.0 || script.len() < 3);
        stop(sink);
    }
}

#[test]
fn the_next_attempt_comes_when_the_receiver_asked_for_it() {
    let second = Duration::from_secs(1);
    let cases = [
        (Protocol::Grpc, grpc(Code::ResourceExhausted, Some(second))),
        (Protocol::Grpc, grpc(Code::Unavailable, Some(second))),
        (Protocol::Http, http(429, Some("1"))),
        (Protocol::Http, http(503, Some("1"))),
    ];
    for (protocol, answer) in cases {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_next([answer.clone()]);
        // A session is a log record and nothing else: there is one lane at work.
        rig.publish_session(&session("t0"));
        rig.publisher.flush(LIMIT).unwrap();
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(otlp(endpoint(&peer, protocol), protocol))));
        assert_eq!(rig.exported("otlp", 1).attempts, 2, "{answer:?}");
        let requests = peer.requests();
        let gap = requests[1].received_at - requests[0].received_at;
        assert!(gap >= second, "{gap:?} after {answer:?}");
        stop(sink);
    }
}

#[test]
fn a_receiver_that_refuses_us_is_waited_for_and_nothing_is_dropped() {
    let cases = [
        (Protocol::Grpc, grpc(Code::Unauthenticated, None), "unauthenticated"),
        (Protocol::Grpc, grpc(Code::PermissionDenied, None), "permission_denied"),
        (Protocol::Grpc, grpc(Code::Unimplemented, None), "unimplemented"),
        (Protocol::Http, http(401, None), "http_401"),
        (Protocol::Http, http(403, None), "http_403"),
        (Protocol::Http, http(404, None), "http_404"),
    ];
    for (protocol, answer, class) in cases {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_always(answer);
        rig.publish(0..20);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(otlp(endpoint(&peer, protocol), protocol))));
        // Both lanes say so at once, long before the end of a cycle.
        wait::blocking(LIMIT, "stuck lanes", || (rig.metric("sink_stuck", "otlp") == 2.0).then_some(()));
        wait::blocking(LIMIT, "a further attempt", || (peer.requests().len() > 4).then_some(()));
        assert_eq!((rig.exports("otlp").rows(), sink.metrics().open.get()), (0, 20), "{class}");
        peer.answer_always(Answer::Ok);
        let exported = rig.exported("otlp", 20);
        assert_eq!((exported.accepted, exported.rejected), (20, 0), "{class}");
        assert!(exported.error_classes.iter().any(|seen| seen == class), "{exported:?}");
        assert_eq!((accepted(&peer), rig.metric("sink_stuck", "otlp")), (exactly_once(20), 0.0), "{class}");
        stop(sink);
    }
}

#[test]
fn without_retries_a_refusal_is_final() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.answer_always(http(401, None));
    let mut config = at_once(&peer, Protocol::Http);
    config.retry_on_failure.enabled = false;
    rig.publish(0..20);
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
    assert_eq!(rig.exported("otlp", 20).rejected, 20);
    stop(sink);
}

#[test]
fn what_fails_for_good_is_rejected_recorded_and_passed_over() {
    let cases = [
        (Protocol::Grpc, grpc(Code::InvalidArgument, None), "invalid_argument"),
        (Protocol::Grpc, grpc(Code::Internal, None), "internal"),
        (Protocol::Http, http(400, None), "http_400"),
        (Protocol::Http, http(500, Some("1")), "http_500"),
    ];
    for (protocol, answer, class) in cases {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_always(answer.clone());
        rig.publish(0..20);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(at_once(&peer, protocol))));
        let exported = rig.exported("otlp", 20);
        assert_eq!((exported.accepted, exported.rejected, exported.attempts), (0, 20, 2), "{answer:?}");
        assert_eq!(exported.error_classes, [class]);
        peer.answer_always(Answer::Ok);
        rig.publish(20..21);
        assert_eq!(rig.exported("otlp", 21).accepted, 1, "the next row goes on");
        assert_eq!(peer.requests().len(), 4, "nothing was sent again");
        stop(sink);
    }
}

#[test]
fn partial_success_is_counted_and_never_retried() {
    for protocol in PROTOCOLS {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_always(Answer::PartialSuccess { rejected: 3, message: "too old".to_owned() });
        rig.publish(0..20);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(at_once(&peer, protocol))));
        let exported = rig.exported("otlp", 20);
        // Three log records, and three points that belong to the first row.
        assert_eq!((exported.accepted, exported.rejected), (17, 3), "{protocol:?}");
        assert_eq!((exported.attempts, exported.error_classes), (2, vec!["partial_success".to_owned()]));
        assert_eq!(peer.requests().len(), 2);
        assert_eq!(rig.metric("otelcol_exporter_sent_log_records", "otlp"), 17.0);
        assert_eq!(rig.metric("otelcol_exporter_send_failed_log_records", "otlp"), 3.0);
        stop(sink);
    }
}

#[test]
fn a_request_that_is_too_large_is_sent_in_halves() {
    let cases = [(Protocol::Grpc, grpc(Code::ResourceExhausted, None)), (Protocol::Http, http(413, None))];
    for (protocol, answer) in cases {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        // One lane is quicker than the other: both are refused twice, whatever their order.
        peer.answer_next(vec![answer.clone(); 4]);
        rig.publish(0..20);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(otlp(endpoint(&peer, protocol), protocol))));
        let exported = rig.exported("otlp", 20);
        assert_eq!((exported.accepted, exported.rejected), (20, 0), "{answer:?}");
        assert_eq!(accepted(&peer), exactly_once(20));
        assert!(peer.requests().len() > 6, "{}", peer.requests().len());
        assert_eq!(exported.attempts as usize, peer.requests().len(), "each attempt is counted once");
        stop(sink);
    }
}

#[test]
fn a_single_item_that_is_too_large_is_rejected_and_recorded() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.answer_always(http(413, None));
    rig.publish(0..2);
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(otlp(&peer.http, Protocol::Http))));
    let exported = rig.exported("otlp", 2);
    assert_eq!((exported.accepted, exported.rejected), (0, 2));
    assert_eq!(exported.error_classes, ["http_413"]);
    stop(sink);
}

#[test]
fn a_receiver_that_does_not_answer_is_asked_again() {
    for protocol in PROTOCOLS {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        peer.answer_next([Answer::Hang, Answer::Hang]);
        rig.publish(0..20);
        let config = Config { timeout: Duration::from_secs(2), ..at_once(&peer, protocol) };
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
        let exported = rig.exported("otlp", 20);
        assert_eq!((exported.accepted, exported.attempts), (20, 4), "{protocol:?}");
        assert_eq!(accepted(&peer), exactly_once(20));
        assert_eq!(exported.error_classes, ["timeout"]);
        stop(sink);
    }
}

#[test]
fn while_the_receiver_is_away_the_sink_pauses_and_then_delivers_all_of_it() {
    for protocol in PROTOCOLS {
        let (mut peer, rig) = (OtlpPeer::start(), Rig::new(2));
        let config = Config {
            sending_queue: SendingQueue { num_consumers: 4, queue_size: 4 },
            batch: Batch { send_batch_size: 100, timeout: Duration::from_millis(50), ..Batch::default() },
            ..otlp(endpoint(&peer, protocol), protocol)
        };
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
        rig.publish(0..1000);
        rig.exported("otlp", 1000);
        peer.stop();
        rig.publish(1000..20_000);
        let is_paused = || (sink.metrics().paused.get() == 1).then_some(());
        wait::blocking(LIMIT, "the pause", is_paused);
        let failed = || (rig.metric("otelcol_exporter_send_failed_log_records", "otlp") > 0.0).then_some(());
        wait::blocking(LIMIT, "a failed attempt", failed);
        assert_eq!(rig.exports("otlp").rows(), 1000);
        peer.start_again();
        let exported = rig.exported("otlp", 20_000);
        assert_eq!((exported.accepted, exported.rejected), (20_000, 0));
        assert_eq!(accepted(&peer), exactly_once(20_000), "{protocol:?}");
        assert_eq!(sink.metrics().paused.get(), 0);
        stop(sink);
    }
}

#[test]
fn what_the_sink_holds_while_the_receiver_is_away_is_bounded_in_bytes() {
    /// What one poll may bring: 500 rows of this test.
    const POLL_BYTES_MAX: usize = 2 << 20;
    let (mut peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.stop();
    let config = otlp(&peer.grpc, Protocol::Grpc);
    rig.publish(0..20_000);
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
    let mut held_max = 0;
    wait::blocking(LIMIT, "an outage of 20 attempts", || {
        held_max = held_max.max(rig.metric("sink_held_bytes", "otlp") as usize);
        (sink.metrics().paused.get() == 1 && rig.metric("sink_retries_total", "otlp") >= 20.0).then_some(())
    });
    let bounds = IN_FLIGHT_BYTES_MAX..IN_FLIGHT_BYTES_MAX + POLL_BYTES_MAX;
    assert!(bounds.contains(&held_max), "{held_max} bytes are held, the bounds are {bounds:?}");
    assert!(sink.metrics().open.get() < 20_000, "the log keeps the rest");
    peer.start_again();
    assert_eq!(rig.exported("otlp", 20_000).accepted, 20_000);
    wait::blocking(LIMIT, "an empty sink", || (rig.metric("sink_held_bytes", "otlp") == 0.0).then_some(()));
    stop(sink);
}

#[test]
fn after_a_cycle_of_retries_the_sink_says_that_it_is_stuck_and_goes_on() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.answer_always(grpc(Code::Unavailable, None));
    let retry_on_failure = RetryOnFailure {
        initial_interval: Duration::from_millis(10),
        max_interval: Duration::from_millis(20),
        max_elapsed_time: Duration::from_millis(200),
        ..RetryOnFailure::default()
    };
    let config = Config { retry_on_failure, ..otlp(&peer.grpc, Protocol::Grpc) };
    rig.publish(0..10);
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
    wait::blocking(LIMIT, "the end of a cycle", || (rig.metric("sink_stuck", "otlp") >= 1.0).then_some(()));
    peer.answer_always(Answer::Ok);
    assert_eq!(rig.exported("otlp", 10).accepted, 10);
    assert_eq!((accepted(&peer), rig.metric("sink_stuck", "otlp")), (exactly_once(10), 0.0));
    stop(sink);
}

#[test]
fn what_is_rejected_ends_the_trouble_of_its_lane() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.answer_always(http(401, None));
    rig.publish(0..10);
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(otlp(&peer.http, Protocol::Http))));
    wait::blocking(LIMIT, "stuck lanes", || (rig.metric("sink_stuck", "otlp") == 2.0).then_some(()));
    peer.answer_always(http(400, None));
    assert_eq!(rig.exported("otlp", 10).rejected, 10);
    assert_eq!(rig.metric("sink_stuck", "otlp"), 0.0);
    stop(sink);
}

#[test]
fn rows_that_are_too_old_are_given_up_only_if_the_user_asks() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.answer_always(http(503, None));
    let mut config = at_once(&peer, Protocol::Http);
    config.retry_on_failure.drop_after = Duration::from_secs(3600);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
    for number in 0..10 {
        let query_id = number.to_string();
        let age_us = if number < 4 { 2 * 3600 * 1_000_000 } else { 0 };
        rig.publish_query(&EnrichedQuery { observed_at: now - age_us, ..query("t0", &query_id, 1, 10) });
    }
    rig.publisher.flush(LIMIT).unwrap();
    let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
    // The old rows go after their first attempt; the others stay, in the same request, for as long as it takes.
    let exported = rig.exported("otlp", 4);
    assert_eq!((exported.accepted, exported.rejected, exported.attempts), (0, 4, 2));
    assert_eq!(exported.error_classes, ["expired"]);
    peer.answer_always(Answer::Ok);
    let exported = rig.exported("otlp", 10);
    assert_eq!((exported.accepted, exported.rejected), (6, 4));
    assert_eq!(accepted(&peer), (4..10).map(|number| (number, 1)).collect());
    assert_eq!(exported.attempts as usize, peer.requests().len());
    stop(sink);
}

#[test]
fn a_sink_that_is_stopped_while_the_receiver_is_away_ends_soon_and_goes_on_later() {
    let (mut peer, rig) = (OtlpPeer::start(), Rig::new(1));
    peer.stop();
    let config = || SinkConfig::Otlp(Box::new(otlp(&peer.grpc, Protocol::Grpc)));
    let sink = rig.start("otlp", "0", config());
    rig.publish(0..100);
    wait::blocking(LIMIT, "open rows", || (sink.metrics().open.get() > 0).then_some(()));
    let started = Instant::now();
    stop(sink);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let config = config();
    peer.start_again();
    let sink = rig.start("otlp", "0", config);
    rig.exported("otlp", 100);
    assert_eq!(accepted(&peer), exactly_once(100));
    stop(sink);
}

#[test]
fn members_of_a_sink_share_the_partitions_and_hand_them_over() {
    let (peer, rig) = (OtlpPeer::start(), Rig::new(4));
    let config = || SinkConfig::Otlp(Box::new(otlp(&peer.grpc, Protocol::Grpc)));
    let first = rig.start("otlp", "a", config());
    rig.publish(0..500);
    let second = rig.start("otlp", "b", config());
    rig.publish(500..1000);
    rig.exported("otlp", 1000);
    stop(first);
    rig.publish(1000..1500);
    let exported = rig.exported("otlp", 1500);
    assert_eq!((exported.accepted, exported.rejected), (1500, 0));
    let delivered = accepted(&peer);
    assert_eq!(delivered.len(), 1500);
    stop(second);
}

#[test]
fn headers_are_sent_and_rows_of_other_pipelines_are_not() {
    for protocol in PROTOCOLS {
        let (peer, rig) = (OtlpPeer::start(), Rig::new(1));
        let mut config = otlp(endpoint(&peer, protocol), protocol);
        config.headers.insert("Api-Key".to_owned(), dbintel_config::Secret::new("s3cret"));
        assert!(!format!("{config:?}").contains("s3cret"));
        let mut other = query("t0", "7", 1, 1);
        other.pipeline = "another";
        rig.publish_query(&other);
        rig.publish(0..5);
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
        let exported = rig.exported("otlp", 6);
        assert_eq!((exported.accepted, exported.skipped), (5, 1));
        assert!(peer.requests().iter().all(|request| request.headers["api-key"] == "s3cret"));
        stop(sink);
    }
}
