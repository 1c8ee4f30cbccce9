use dbintel_config::{Document, Environment, Secret};

use super::*;

/// The configuration that the lines under `pollers.postgresql` give, or the problems.
fn read(yaml: &str) -> Result<Config, String> {
    let document =
        Document::from_text("c.yaml", yaml, &Environment::default()).map_err(|problems| problems.to_string())?;
    let loaded = document.read(Config::read).map_err(|problems| problems.to_string())?;
    Ok(loaded.config)
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let expected = Config { username: "monitor".to_owned(), ..Config::default() };
    assert_eq!(read("username: monitor").unwrap(), expected);
}

#[test]
fn every_key_is_read() {
    let yaml = "
endpoint: db.example.com:6543
username: monitor
password: hunter2
databases: [orders, billing]
exclude_databases: [scratch]
connect_database: admin
target: orders-primary
labels: {team: payments, region: eu}
application_name: watcher
via_pooler: true
connect_timeout: 2s
connections_max: 4
collection_interval: 30s
sessions: {interval: 500ms, timeout: 400ms}
statements: {interval: 20s, timeout: 3s, snapshot_interval: 5m}
texts: {interval: 1m, timeout: 20s}
metrics: {timeout: 4s}
replication: {interval: 5s}
settings: {interval: 2m, timeout: 3s}
tables: {interval: 2m}
sizes: {interval: 10m, timeout: 1m}
tls: {ca_file: /ca.pem, cert_file: /cert.pem, key_file: /key.pem}
text: normalised
";
    let config = read(yaml).unwrap();
    assert_eq!(config.endpoint.to_string(), "db.example.com:6543");
    assert_eq!(config.password, Secret::new("hunter2").into());
    assert_eq!(config.databases, ["orders", "billing"]);
    assert_eq!(config.labels["team"], "payments");
    assert_eq!(config.sessions.interval, Duration::from_millis(500));
    assert_eq!(config.statements, ClassConfig::new(20, 3));
    assert_eq!(config.snapshot_interval, Duration::from_secs(300));
    assert_eq!(config.texts, ClassConfig::new(60, 20));
    assert_eq!(config.metrics, ClassConfig::new(30, 4));
    assert_eq!(config.replication, ClassConfig::new(5, 5));
    assert_eq!(config.settings, ClassConfig::new(120, 3));
    assert_eq!(config.tables, ClassConfig::new(120, 10));
    assert_eq!(config.sizes, ClassConfig::new(600, 60));
    assert!(config.via_pooler && config.tls.is_on(&config.endpoint));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn mistakes_are_found_together() {
    let cases = [
        ("", "username"),
        ("{username: m, endpoint: nowhere}", "db.example.com:5432"),
        ("{username: m, endpoint: 'a:b:5432'}", "db.example.com:5432"),
        ("{username: m, text: verbatim}", "raw"),
        (r"{username: m, application_name: 'x\'}", "63 letters"),
        ("{username: m, target: ''}", "1 to 128 bytes"),
        ("{username: m, tls: {insecure: true, ca_file: /ca.pem}}", "no encryption"),
        ("{username: m, tls: {cert_file: /c.pem}}", "belong together"),
        ("{username: m, sessions: {interval: 1ms}}", "interval"),
        ("{username: m, connections_max: 100}", "8"),
        ("{username: m, pasword: x}", "password"),
        ("{username: m, password: x, password_file: /x}", "only one of"),
    ];
    for (yaml, expected) in cases {
        let problems = read(yaml).expect_err(yaml);
        assert!(problems.contains(expected), "{yaml}: {problems}");
    }
}

#[test]
fn a_target_is_named_by_the_first_that_names_it() {
    let plain: ComponentId = "postgresql".parse().unwrap();
    let named: ComponentId = "postgresql/production".parse().unwrap();
    let mut config = Config::default();
    assert_eq!(config.target_name(&plain), "localhost:5432");
    assert_eq!(config.target_name(&named), "production");
    config.target = Some("orders".to_owned());
    assert_eq!(config.target_name(&named), "orders");
}

#[test]
fn endpoints_are_hosts_addresses_and_folders() {
    let cases = [
        ("localhost:5432", Some(("localhost", 5432, true))),
        ("127.0.0.3:1", Some(("127.0.0.3", 1, true))),
        ("[::1]:5432", Some(("::1", 5432, true))),
        ("[2001:db8::1]:5432", Some(("2001:db8::1", 5432, false))),
        ("/run/postgresql:5432", Some(("/run/postgresql", 5432, true))),
        ("db.example.com:5432", Some(("db.example.com", 5432, false))),
        ("10.0.0.1:5432", Some(("10.0.0.1", 5432, false))),
        ("localhost", None),
        (":5432", None),
        ("a:0", None),
        ("a:65536", None),
        ("::1:5432", None),
        ("a b:5432", None),
    ];
    for (text, expected) in cases {
        let endpoint = text.parse::<Endpoint>().ok();
        assert_eq!(endpoint.as_ref().map(|it| (it.host.as_str(), it.port, it.is_local())), expected, "{text}");
        assert!(endpoint.is_none_or(|endpoint| endpoint.to_string() == text));
    }
}

#[test]
fn what_leaves_the_machine_is_encrypted_unless_told_otherwise() {
    let (local, remote) = ("localhost:5432".parse().unwrap(), "db:5432".parse().unwrap());
    let cases = [
        (TlsConfig::default(), false, true),
        (TlsConfig { insecure: Some(true), ..TlsConfig::default() }, false, false),
        (TlsConfig { insecure: Some(false), ..TlsConfig::default() }, true, true),
        (TlsConfig { ca_file: Some("/ca.pem".to_owned()), ..TlsConfig::default() }, true, true),
        (TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() }, true, true),
    ];
    for (tls, on_local, on_remote) in cases {
        assert_eq!((tls.is_on(&local), tls.is_on(&remote)), (on_local, on_remote), "{tls:?}");
    }
}
