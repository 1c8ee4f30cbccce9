//! Encryption: the server's certificate is verified unless the configuration says otherwise.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use dbintel_pollers::postgresql::config::TlsConfig;
use dbintel_pollers::postgresql::{Config, probe};
use dbintel_tests::certificates::certificate;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};

use crate::pollers_tape::settings;

/// The server runs as nobody, and refuses a key that others may read.
fn give_to_server(key: &str) {
    const NOBODY: u32 = 65_534;
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        chown(Path::new(key), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

#[tokio::test]
async fn the_certificate_of_the_server_is_verified() {
    let scratch = Scratch::new("tls");
    let (certificate_file, key) = certificate(&scratch, "server", "IP:127.0.0.1");
    let (other, _) = certificate(&scratch, "other", "IP:127.0.0.1");
    give_to_server(&key);
    let rules = scratch.write("hba.conf", "hostssl all all 127.0.0.1/32 trust\n");
    let postgres = Postgres::start_with(
        Major::V18,
        &[
            ("ssl", "on"),
            ("ssl_cert_file", &certificate_file),
            ("ssl_key_file", &key),
            ("hba_file", rules.to_str().unwrap()),
        ],
    );
    let attempt = async |tls: TlsConfig, host: &str| {
        let endpoint = format!("{host}:{}", postgres.port).parse().unwrap();
        let config = Config { tls, endpoint, ..settings(postgres.port) };
        probe(&config).await.map(|found| found.role).map_err(|failure| (failure.class.clone(), failure.to_string()))
    };
    let trusting = |file: &str| TlsConfig { ca_file: Some(file.to_owned()), ..TlsConfig::default() };

    assert_eq!(attempt(trusting(&certificate_file), "127.0.0.1").await, Ok("primary"));
    let (class, message) = attempt(trusting(&other), "127.0.0.1").await.unwrap_err();
    assert_eq!(class, "tls", "{message}");
    let (class, message) = attempt(trusting(&certificate_file), "localhost").await.unwrap_err();
    assert!(class == "tls" && message.contains("localhost"), "{message}");
    let (class, _) =
        attempt(TlsConfig { insecure: Some(false), ..TlsConfig::default() }, "127.0.0.1").await.unwrap_err();
    assert_eq!(class, "tls");
    let careless = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    assert_eq!(attempt(careless, "localhost").await, Ok("primary"));
    // Without encryption the server's rules refuse us.
    let (class, _) = attempt(TlsConfig::default(), "127.0.0.1").await.unwrap_err();
    assert_eq!(class, "28000");
    let (class, message) = attempt(trusting("/nowhere/ca.pem"), "127.0.0.1").await.unwrap_err();
    assert!(class == "tls" && message.contains("/nowhere/ca.pem"), "{message}");
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_when_encryption_is_asked_for() {
    let postgres = Postgres::start(Major::V12);
    let tls = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    let refused = probe(&Config { tls, ..settings(postgres.port) }).await.unwrap_err();
    assert_eq!((refused.class.as_str(), refused.connection_lost), ("tls", true), "{refused}");
}
