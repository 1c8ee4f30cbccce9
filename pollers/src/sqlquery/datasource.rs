//! The address of a server as drivers take it: a URL or `key=value` pairs for PostgreSQL, `user:password@tcp(host:port)/name`
//! for MySQL.

use dbintel_config::Secret;
use tokio_postgres::config::{Host, TargetSessionAttrs};

use crate::credentials::Credentials;
use crate::hosts::{Hosts, Wanted};
use crate::settings::{Endpoint, TlsConfig};
use crate::{mysql, postgresql};

/// What a source says of a server. Errors name no value: it holds a password.
pub type Read<T> = Result<(T, Option<&'static str>), String>;

/// Said where the connection is encrypted with nobody in particular.
const NOT_VERIFIED: &str = "`sslmode=require` encrypts, and believes whoever answers: `verify-full` verifies";

/// Reads the source of a PostgreSQL server; with what a person should look at.
pub fn postgresql(source: &str) -> Read<postgresql::Config> {
    let (source, ssl_mode, ca_file) = without_tls(source);
    let parsed: tokio_postgres::Config = source.parse().map_err(|_| {
        "is no address of a PostgreSQL server: write postgresql://user:password@host:5432/database?sslmode=verify-full".to_owned()
    })?;
    let mut endpoints = endpoints(&parsed);
    let wanted = match parsed.get_target_session_attrs() {
        TargetSessionAttrs::ReadWrite => Wanted::Primary,
        TargetSessionAttrs::ReadOnly => Wanted::Standby,
        _ => Wanted::Any,
    };
    let username = parsed.get_user().ok_or("names no user")?.to_owned();
    let password = parsed.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let tls = tls_of(ssl_mode.as_deref(), ca_file)?;
    let warning = tls.insecure_skip_verify.then_some(NOT_VERIFIED);
    let config = postgresql::Config {
        endpoint: endpoints.remove(0),
        hosts: Hosts { others: endpoints, wanted },
        connect_database: parsed.get_dbname().unwrap_or(&username).to_owned(),
        username,
        password: password.map_or(Credentials::None, |password| Secret::new(&password).into()),
        tls,
        ..postgresql::Config::default()
    };
    Ok((config, warning))
}

/// At least one. Without a port of its own a host has the only one, or the default.
fn endpoints(parsed: &tokio_postgres::Config) -> Vec<Endpoint> {
    let ports = parsed.get_ports();
    let port = |place: usize| ports.get(place).or(ports.first()).copied().unwrap_or(5432);
    let host = |host: &Host| match host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts = parsed.get_hosts().iter().map(host);
    let mut endpoints: Vec<Endpoint> =
        hosts.enumerate().map(|(place, host)| Endpoint { host, port: port(place) }).collect();
    if endpoints.is_empty() {
        endpoints.push(Endpoint { host: "localhost".to_owned(), port: port(0) });
    }
    endpoints
}

/// The source without what says how to encrypt, since its driver does not know all of it; and that.
fn without_tls(source: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut ca_file) = (None, None);
    let mut keep = |pair: &&str| match pair.split_once('=') {
        Some(("sslmode", value)) => {
            mode = Some(value.to_owned());
            false
        }
        Some(("sslrootcert", value)) => {
            ca_file = Some(value.to_owned());
            false
        }
        _ => true,
    };
    let rest = match source.split_once("://") {
        None => source.split_whitespace().filter(&mut keep).collect::<Vec<_>>().join(" "),
        Some(_) => match source.split_once('?') {
            None => source.to_owned(),
            Some((address, parameters)) => {
                let parameters: Vec<&str> = parameters.split('&').filter(&mut keep).collect();
                if parameters.is_empty() { address.to_owned() } else { format!("{address}?{}", parameters.join("&")) }
            }
        },
    };
    (rest, mode, ca_file)
}

fn tls_of(mode: Option<&str>, ca_file: Option<String>) -> Result<TlsConfig, String> {
    let (insecure, insecure_skip_verify) = match mode {
        None => (None, false),
        Some("disable") => (Some(true), false),
        Some("allow" | "prefer" | "require") => (Some(false), ca_file.is_none()),
        Some("verify-ca" | "verify-full") => (Some(false), false),
        Some(_) => return Err("has a `sslmode` that is none of disable, require, verify-ca and verify-full".to_owned()),
    };
    Ok(TlsConfig { insecure, insecure_skip_verify, ca_file, ..TlsConfig::default() })
}

/// Reads the source of a MySQL or MariaDB server.
pub fn mysql(source: &str) -> Read<mysql::Config> {
    let wrong = "is no address of a MySQL server: write user:password@tcp(host:3306)/database?tls=true";
    let source = source.strip_prefix("mysql://").unwrap_or(source);
    let (credentials, rest) = source.rsplit_once('@').ok_or(wrong)?;
    let (username, password) = match credentials.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (credentials, None),
    };
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
    let address = address.strip_prefix("tcp(").and_then(|address| address.strip_suffix(')')).unwrap_or(address);
    let address = if address.contains(':') { address.to_owned() } else { format!("{address}:3306") };
    let endpoint: Endpoint = address.parse().map_err(|_| wrong.to_owned())?;
    let tls = parameters.split('&').find_map(|pair| pair.strip_prefix("tls="));
    let (insecure, insecure_skip_verify) = match tls {
        None => (None, false),
        Some("false") => (Some(true), false),
        Some("true") => (Some(false), false),
        Some("skip-verify" | "preferred") => (Some(false), true),
        Some(_) => return Err("has a `tls` that is none of true, false and skip-verify".to_owned()),
    };
    if username.is_empty() {
        return Err("names no user".to_owned());
    }
    let warning = insecure_skip_verify.then_some("`tls=skip-verify` believes whoever answers: `tls=true` verifies");
    let config = mysql::Config {
        endpoint,
        username: username.to_owned(),
        password: password.map_or(Credentials::None, |password| Secret::new(password).into()),
        database: database.to_owned(),
        tls: TlsConfig { insecure, insecure_skip_verify, ..TlsConfig::default() },
        ..mysql::Config::default()
    };
    Ok((config, warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_postgresql_are_those_of_libpq() {
        let (config, warning) = postgresql("postgresql://shop:p%40ss@db:6543/orders?sslmode=require").unwrap();
        assert_eq!(
            (config.endpoint.to_string(), &*config.username, &*config.connect_database),
            ("db:6543".to_owned(), "shop", "orders")
        );
        assert_eq!(config.password, Secret::new("p@ss").into());
        assert!(config.tls.insecure == Some(false) && config.tls.insecure_skip_verify && warning.is_some());
        let (config, _) =
            postgresql("postgresql://shop@a:1,b:2/x?target_session_attrs=read-write&sslmode=disable").unwrap();
        let attempts: Vec<_> =
            config.hosts.attempts(&config.endpoint).map(|(at, wanted)| (at.to_string(), wanted)).collect();
        assert_eq!(attempts, [("a:1".to_owned(), Wanted::Primary), ("b:2".to_owned(), Wanted::Primary)]);
        let (config, warning) = postgresql("host=/run/postgresql user=shop sslmode=disable").unwrap();
        assert_eq!(
            (config.endpoint.to_string(), &*config.connect_database),
            ("/run/postgresql:5432".to_owned(), "shop")
        );
        assert!(config.tls.insecure == Some(true) && warning.is_none());
        let (config, warning) = postgresql("postgres://shop@db/?sslmode=verify-full&sslrootcert=/ca.pem").unwrap();
        assert!(
            config.tls.ca_file.as_deref() == Some("/ca.pem") && !config.tls.insecure_skip_verify && warning.is_none()
        );
    }

    #[test]
    fn sources_of_mysql_are_those_of_its_go_driver() {
        let (config, warning) = mysql("shop:se:cr@et@tcp(db:3307)/orders?tls=true").unwrap();
        assert_eq!(
            (config.endpoint.to_string(), &*config.username, &*config.database),
            ("db:3307".to_owned(), "shop", "orders")
        );
        assert_eq!(config.password, Secret::new("se:cr@et").into());
        assert!(config.tls.insecure == Some(false) && warning.is_none());
        let (config, warning) = mysql("mysql://shop@db?tls=skip-verify").unwrap();
        assert!(config.endpoint.port == 3306 && config.tls.insecure_skip_verify && warning.is_some());
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let cases = [
            postgresql("postgresql://shop:secret@db:x/").map(drop),
            postgresql("postgresql://db/orders").map(drop),
            postgresql("postgresql://shop:secret@db/?sslmode=maybe").map(drop),
            mysql("secret").map(drop),
            mysql("shop:secret@tcp(db:x)/").map(drop),
            mysql("shop:secret@tcp(db:1)/?tls=x").map(drop),
            mysql(":secret@tcp(db:1)/").map(drop),
        ];
        for case in cases {
            let error = case.unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
