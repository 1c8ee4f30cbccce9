//! The OTLP sink over secured connections: to whom it gives data, and what it says when it does not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use dbintel_bus::embedded::{self, Embedded};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics};
use dbintel_config::{Document, Environment, Secret};
use dbintel_sinks::otlp::{Config, Protocol, Tls};
use dbintel_sinks::{Handle, SinkConfig, read_config};
use dbintel_tests::certificates::certificate;
use dbintel_tests::process::wait_for_log;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::collector::Collector;
use dbintel_tests::wait;

use crate::cli_rig::{FREE_PORTS, Running, text};
use crate::sinks_rig::{LIMIT, PIPELINE, Rig, otlp, query, stop};

const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];
/// Where all receivers are.
const HOST: &str = "127.0.0.1";
/// Value of a header, which nobody may see who is not the receiver.
const SECRET: &str = "s3cret-key";

/// Files of a certificate and its key.
type Pair = (String, String);

/// A certificate that was valid for a day, long ago.
fn expired(scratch: &Scratch, name: &str, alternative: &str) -> Pair {
    let at = |suffix: &str| text(&scratch.path().join(format!("{name}.{suffix}"))).to_owned();
    let directory = text(scratch.path());
    let settings = format!(
        "[ca]\ndefault_ca=own\n[own]\ndatabase={directory}/{name}.index\nnew_certs_dir={directory}\nrand_serial=yes\n\
         default_md=sha256\npolicy=any\nx509_extensions=names\n[any]\ncommonName=supplied\n[names]\n\
         subjectAltName={alternative}\nbasicConstraints=critical,CA:FALSE\n"
    );
    let settings = scratch.write(&format!("{name}.cnf"), &settings);
    scratch.write(&format!("{name}.index"), "");
    let (certificate, key, request) = (at("crt"), at("key"), at("csr"));
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let subject = format!("/CN={name}");
    openssl(&["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request]);
    let days = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"];
    let files = ["-config", text(&settings), "-keyfile", &key, "-in", &request, "-out", &certificate];
    openssl(&[&["ca", "-batch", "-selfsign", "-notext"], &days[..], &files[..]].concat());
    (certificate, key)
}

/// Receivers with certificates of every kind, and one client that the last of them knows.
struct Receivers {
    /// For its address.
    good: (Collector, Pair),
    /// For another name.
    renamed: (Collector, Pair),
    expired: (Collector, Pair),
    /// For its address; demands the certificate of `client`.
    demanding: (Collector, Pair),
    client: Pair,
    scratch: Scratch,
}

impl Receivers {
    fn start() -> Receivers {
        let scratch = Scratch::new("receivers");
        let address = format!("IP:{HOST}");
        let client = certificate(&scratch, "client", "DNS:client");
        let start = |pair: Pair, client_ca: Option<&str>| (Collector::start_secured(&pair.0, &pair.1, client_ca), pair);
        Receivers {
            good: start(certificate(&scratch, "good", &address), None),
            renamed: start(certificate(&scratch, "renamed", "DNS:receiver.example"), None),
            expired: start(expired(&scratch, "expired", &address), None),
            demanding: start(certificate(&scratch, "demanding", &address), Some(&client.0)),
            client,
            scratch,
        }
    }
}

/// Trusts the certificate of this pair.
fn trusting((certificate, _): &Pair) -> Tls {
    Tls { ca_file: Some(certificate.into()), ..Tls::default() }
}

/// Trusts a certificate, and shows another.
fn showing(trusted: &Pair, (certificate, key): &Pair) -> Tls {
    Tls { cert_file: Some(certificate.into()), key_file: Some(key.into()), ..trusting(trusted) }
}

/// A sink that names no scheme, so that it secures the connection by itself.
fn settings(collector: &Collector, protocol: Protocol, tls: Tls) -> Config {
    let endpoint = match protocol {
        Protocol::Grpc => &collector.grpc,
        Protocol::Http => &collector.http,
    };
    let mut config = otlp(endpoint.trim_start_matches("https://"), protocol);
    config.tls = tls;
    config.headers.insert("api-key".to_owned(), Secret::new(SECRET));
    config
}

#[test]
fn rows_go_to_receivers_that_prove_who_they_are_and_to_no_other() {
    let receivers = Receivers::start();
    let Receivers { good, renamed, expired, demanding, client, scratch } = &receivers;
    let stranger = certificate(scratch, "stranger", "DNS:client");
    let named = Tls { server_name_override: Some("receiver.example".to_owned()), ..trusting(&renamed.1) };
    let careless = Tls { insecure_skip_verify: true, ..Tls::default() };
    let cases = [
        ("trusted", good, trusting(&good.1), true),
        ("unknown", good, Tls::default(), false),
        ("other", good, trusting(&renamed.1), false),
        ("wrong-name", renamed, trusting(&renamed.1), false),
        ("other-name-expected", renamed, named, true),
        ("expired", expired, trusting(&expired.1), false),
        ("careless", expired, careless, true),
        ("anonymous", demanding, trusting(&demanding.1), false),
        ("known-client", demanding, showing(&demanding.1, client), true),
        ("unknown-client", demanding, showing(&demanding.1, &stranger), false),
    ];
    let rig = Rig::new(1);
    rig.publish(0..1);
    let mut sinks: Vec<(String, Handle, bool)> = Vec::new();
    for (name, (collector, _), tls, delivers) in cases {
        for protocol in PROTOCOLS {
            let id = format!("otlp/{name}-{protocol:?}");
            let config = settings(collector, protocol, tls.clone());
            let sink = rig.start(&id, "0", SinkConfig::Otlp(Box::new(config)));
            sinks.push((id, sink, delivers));
        }
    }
    for (id, sink, delivers) in &sinks {
        if *delivers {
            assert_eq!(rig.exported(id, 1).accepted, 1, "{id}");
        } else {
            let failed = || (rig.metric("sink_retries_total", id) >= 4.0).then_some(());
            wait::blocking(LIMIT, &format!("attempts of {id}"), failed);
            assert_eq!((rig.exports(id).rows(), sink.metrics().open.get()), (0, 1), "{id}");
        }
    }
    sinks.iter().for_each(|(_, sink, _)| sink.stop());
    sinks.into_iter().for_each(|(_, sink, _)| stop(sink));
    let received = [good, renamed, expired, demanding].map(|(collector, _)| collector.received().logs.len());
    assert_eq!(received, [2, 2, 2, 2], "one row over each protocol");
}

/// Leaves one row in the log of a process that is to have this state directory.
fn publish_to_log_of(state: &Scratch) {
    let config = embedded::Config { directory: state.path().join("log"), ..embedded::Config::default() };
    let log = Embedded::open(&config).unwrap();
    log.create_topics(&planned_topics(1, &[])).unwrap();
    let publisher = Publisher::new(log.producer().unwrap(), Framings::single_object(), 1);
    let row = query("t0", "7", 1, 1);
    publisher.publish(&row, row.target, row.observed_at / 1000).unwrap();
    publisher.flush(LIMIT).unwrap();
}

#[test]
fn the_log_says_which_receiver_is_not_trusted_and_why_and_no_secret() {
    let receivers = Receivers::start();
    let Receivers { good, renamed, expired, demanding, .. } = &receivers;
    let trust = |(_, (certificate, _)): &(Collector, Pair)| format!("tls: {{ca_file: {certificate}}}");
    let cases = [
        ("unknown", good, String::new(), "UnknownIssuer"),
        ("wrong-name", renamed, trust(renamed), "certificate not valid for name \\\"127.0.0.1\\\""),
        ("expired", expired, trust(expired), "certificate expired"),
        // The receiver's alert may be lost when it closes the connection.
        ("anonymous", demanding, trust(demanding), "unreachable"),
    ];
    let (mut sinks, mut expected) = ("  prometheus: {}\n".to_owned(), Vec::new());
    for (name, (collector, _), tls, reason) in cases {
        for (kind, endpoint) in [("otlp", &collector.grpc), ("otlp_http", &collector.http)] {
            let comma = if tls.is_empty() { "" } else { ", " };
            sinks += &format!(
                "  {kind}/{name}: {{endpoint: '{endpoint}', start_at: beginning, headers: {{api-key: '{SECRET}'}}{comma}{tls}}}\n"
            );
            let authority = endpoint.trim_start_matches("https://").to_owned();
            expected.push((format!("{kind}/{name}"), authority, reason));
        }
    }
    sinks += &format!(
        "  otlp/careless: {{endpoint: '{}', start_at: beginning, tls: {{insecure_skip_verify: true}}}}\n",
        expired.0.grpc
    );
    let names: Vec<&str> = expected.iter().map(|(id, ..)| id.as_str()).chain(["otlp/careless", "prometheus"]).collect();
    let names = names.join(", ");
    let configuration = format!(
        "pollers: {{postgresql/away: {{endpoint: '{HOST}:1', username: monitor}}}}\n\
         processors: {{adaptive_sampler: {{}}}}\nsinks:\n{sinks}\
         pipelines: {{{PIPELINE}: {{pollers: [postgresql/away], processors: [adaptive_sampler], sinks: [{names}]}}}}\n"
    );
    let state = Scratch::new("state");
    publish_to_log_of(&state);
    let file = state.write("dbintel.yaml", &configuration);
    let arguments = ["up", "--quiet", "--log-format", "json", "--config", text(&file)].into_iter().chain(FREE_PORTS);
    let arguments: Vec<&str> = arguments.collect();
    let running = Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(state.path()))]);
    wait_for_log(&running.process, LIMIT, "certificates are not verified");
    for (id, authority, reason) in expected {
        let says = |line: &str| [id.as_str(), &authority, reason].iter().all(|part| line.contains(part));
        let said = || running.process.log().lines().any(says).then_some(());
        wait::blocking(LIMIT, &format!("that {id} says {reason} of {authority}"), said);
    }
    wait::blocking(LIMIT, "the row of the careless sink", || (expired.0.received().logs.len() == 1).then_some(()));
    assert!(!running.process.log().contains(SECRET));
}

#[test]
fn a_receiver_without_encryption_learns_nothing() {
    for (protocol, spoken) in [(Protocol::Grpc, b"\x02h2".as_slice()), (Protocol::Http, b"\x08http/1.1")] {
        let listener = TcpListener::bind((HOST, 0)).unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut bytes) = (stream.unwrap(), vec![0; 64 << 10]);
                let length = stream.read(&mut bytes).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                bytes.truncate(length);
                let _ = stream.read_to_end(&mut bytes);
                if sender.send(bytes).is_err() {
                    return;
                }
            }
        });
        let rig = Rig::new(1);
        rig.publish(0..1);
        let mut config = otlp(&endpoint, protocol);
        config.headers.insert("api-key".to_owned(), Secret::new(SECRET));
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
        for _ in 0..4 {
            let bytes = heard.recv_timeout(LIMIT).unwrap();
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert_eq!(bytes[0], 22, "a handshake of TLS and nothing else");
            assert!(holds(spoken), "{protocol:?} offers its protocol (ALPN)");
            assert!(!holds(SECRET.as_bytes()) && !holds(b"api-key"), "{protocol:?}");
        }
        assert_eq!((rig.exports("otlp").rows(), sink.metrics().open.get()), (0, 1), "{protocol:?}");
        stop(sink);
    }
}

#[test]
fn certificates_that_are_renewed_while_it_runs_are_used() {
    let scratch = Scratch::new("renewed");
    let server = || certificate(&scratch, "server", &format!("IP:{HOST}"));
    let client = || certificate(&scratch, "client", "DNS:client");
    let (server_pair, client_pair) = (server(), client());
    let mut collector = Collector::start_secured(&server_pair.0, &server_pair.1, Some(&client_pair.0));
    let rig = Rig::new(1);
    let sinks = PROTOCOLS.map(|protocol| {
        let config = settings(&collector, protocol, showing(&server_pair, &client_pair));
        let id = format!("otlp/{protocol:?}");
        (id.clone(), rig.start(&id, "0", SinkConfig::Otlp(Box::new(config))))
    });
    rig.publish(0..1);
    sinks.iter().for_each(|(id, _)| assert_eq!(rig.exported(id, 1).accepted, 1, "{id}"));
    // The same files hold other certificates now, for both sides.
    let before = fs::read(&client_pair.0).unwrap();
    let _renewed = (server(), client());
    assert_ne!(fs::read(&client_pair.0).unwrap(), before);
    collector.restart();
    rig.publish(1..2);
    sinks.iter().for_each(|(id, _)| assert_eq!(rig.exported(id, 2).accepted, 2, "{id}"));
    sinks.into_iter().for_each(|(_, sink)| stop(sink));
}

#[test]
fn files_that_cannot_be_used_are_named_and_not_quoted() {
    let scratch = Scratch::new("files");
    let (own, other) = (certificate(&scratch, "own", "DNS:own"), certificate(&scratch, "other", "DNS:other"));
    let empty = scratch.write("empty.pem", "");
    let empty = text(&empty);
    let key = fs::read_to_string(&own.1).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let broken = scratch.write("broken.key", &key.replace("KEY-----\n", "KEY ").replace('\n', ""));
    let cut = scratch.write("cut.key", &key[..key.len() / 2]);
    let (cert_file, missing) = (&own.0, "/nowhere/ca.pem");
    let cases = [
        (format!("ca_file: {missing}"), "ca_file", missing),
        (format!("ca_file: {empty}"), "ca_file", empty),
        (format!("ca_file: {}", own.1), "ca_file", &own.1),
        (format!("cert_file: {empty}, key_file: {}", own.1), "cert_file", empty),
        (format!("cert_file: {cert_file}, key_file: {empty}"), "key_file", empty),
        (format!("cert_file: {cert_file}, key_file: {}", other.1), "key_file", &other.1),
        (format!("cert_file: {cert_file}, key_file: {}", broken.display()), "key_file", text(&broken)),
        (format!("cert_file: {cert_file}, key_file: {}", cut.display()), "key_file", text(&cut)),
    ];
    for (tls, at, named) in cases {
        let yaml = format!("endpoint: localhost:1\ntls: {{{tls}}}\n");
        let document = Document::from_text("c.yaml", &yaml, &Environment::from_iter([("", "")])).unwrap();
        let problems = document.read(|section| read_config("otlp", section).is_some()).unwrap_err().to_string();
        assert!(problems.contains(&format!("tls.{at}: ")) && problems.contains(named), "{tls}: {problems}");
        assert!(!problems.contains(secret) && problems.lines().count() == 2, "{tls}: {problems}");
    }
}
