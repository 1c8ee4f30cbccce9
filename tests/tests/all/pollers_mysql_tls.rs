//! Encryption and accounts of MySQL and MariaDB: the server's certificate is verified unless the configuration says
//! otherwise, and who is not let in is told what to look at, without a word of what was tried.

use dbintel_pollers::mysql::{Config, probe};
use dbintel_pollers::settings::TlsConfig;
use dbintel_tests::certificates::certificate;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};

use crate::cli_rig::{run, text};

async fn watched(flavour: Flavour, options: &[&str]) -> Mysql {
    let mysql = Mysql::start_with(flavour, options);
    mysql.run(&["CREATE USER 'watcher'@'%' IDENTIFIED BY 'hunter2'", "GRANT PROCESS ON *.* TO 'watcher'@'%'"]).await;
    mysql
}

fn settings(mysql: &Mysql, host: &str, password: &str, tls: TlsConfig) -> Config {
    let mut config = Config { username: "watcher".to_owned(), tls, ..Config::default() };
    config.password = dbintel_config::Secret::new(password).into();
    config.endpoint = format!("{host}:{}", mysql.port).parse().unwrap();
    config
}

/// The role of the server, or class and words of the failure.
async fn attempt(config: Config) -> Result<String, (String, String)> {
    let found = probe(&config).await;
    found.map(|found| found.role.to_owned()).map_err(|failure| (failure.class.clone(), failure.to_string()))
}

#[tokio::test]
async fn the_certificate_of_the_server_is_verified() {
    let scratch = Scratch::new("tls");
    let (certificate_file, key) = certificate(&scratch, "server", "IP:127.0.0.1");
    let (other, _) = certificate(&scratch, "other", "IP:127.0.0.1");
    for flavour in Flavour::ALL {
        let (certificate, key) = (format!("--ssl-cert={certificate_file}"), format!("--ssl-key={key}"));
        let mysql = watched(flavour, &[&certificate, &key, "--require-secure-transport=ON"]).await;
        let attempt = async |tls, host| attempt(settings(&mysql, host, "hunter2", tls)).await;
        let trusting = |file: &str| TlsConfig { ca_file: Some(file.to_owned()), ..TlsConfig::default() };

        assert_eq!(attempt(trusting(&certificate_file), HOST).await.as_deref(), Ok("primary"), "{flavour:?}");
        for (tls, host) in [
            (trusting(&other), HOST),
            (trusting(&certificate_file), "localhost"),
            (TlsConfig { insecure: Some(false), ..TlsConfig::default() }, HOST),
            (trusting("/nowhere/ca.pem"), HOST),
        ] {
            let file = tls.ca_file.clone();
            let (class, message) = attempt(tls, host).await.unwrap_err();
            assert_eq!(class, "tls", "{flavour:?} {file:?} {host}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
            assert!(file.is_none_or(|file| file != "/nowhere/ca.pem" || message.contains(&file)), "{message}");
        }
        let careless = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
        assert_eq!(attempt(careless, "localhost").await.as_deref(), Ok("primary"), "{flavour:?}");
        // Without encryption the server refuses us, the older MariaDB without a reason.
        let (class, message) = attempt(TlsConfig::default(), HOST).await.unwrap_err();
        let expected = if flavour == Flavour::MariadbStable { "1045" } else { "3159" };
        assert!(class == expected && message.contains("`tls`"), "{flavour:?}: {class} {message}");
    }
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_when_encryption_is_asked_for() {
    for flavour in Flavour::ALL {
        let off = if flavour == Flavour::Mysql9 { "--tls-version=" } else { "--skip-ssl" };
        let mysql = watched(flavour, &[off]).await;
        let tls = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
        let (class, message) = attempt(settings(&mysql, HOST, "hunter2", tls)).await.unwrap_err();
        assert_eq!(class, "tls", "{flavour:?}: {message}");
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_what_to_look_at() {
    for flavour in Flavour::ALL {
        let mysql = watched(flavour, &[]).await;
        let (class, message) = attempt(settings(&mysql, HOST, "hunter3", TlsConfig::default())).await.unwrap_err();
        assert_eq!(class, "1045", "{flavour:?}: {message}");
        assert!(message.contains("`password`") && !message.contains("hunter"), "{flavour:?}: {message}");
        assert_eq!(attempt(settings(&mysql, HOST, "hunter2", TlsConfig::default())).await.as_deref(), Ok("primary"));
        let scratch = Scratch::new("probe");
        let file = |name: &str, password: &str| {
            let poller =
                format!("mysql: {{endpoint: '{HOST}:{}', username: watcher, password: {password}}}", mysql.port);
            let rest = "sinks: {debug: {}}\npipelines: {main: {pollers: [mysql], sinks: [debug]}}\n";
            scratch.write(name, &format!("pollers:\n  {poller}\n{rest}"))
        };
        let good = run(&["validate", "--probe", "--config", text(&file("good.yaml", "hunter2"))], &[]);
        assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
        let name = if flavour == Flavour::Mysql9 { "MySQL 9" } else { "MariaDB 1" };
        assert!(good.stdout.contains(name), "{}", good.stdout);
        let bad = run(&["validate", "--probe", "--config", text(&file("bad.yaml", "hunter3"))], &[]);
        let said = bad.stdout + &bad.stderr;
        assert!(bad.code != Some(0) && said.contains("1045") && !said.contains("hunter"), "{said}");
    }
}
