use std::path::Path;

use dbintel_config::{Document, Environment};

use super::*;

/// What is said about settings that end with this `tls` section: mistakes, or warnings if there are none.
fn said(protocol: Protocol, settings: &str) -> String {
    let yaml = format!("endpoint: a:1\n{settings}");
    let document = Document::from_text("c.yaml", &yaml, &Environment::from_iter([("KEY", "s3cret\u{7f}")]));
    match document.and_then(|document| document.read(|section| Config::read(section, protocol))) {
        Ok(loaded) => loaded.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn files_that_cannot_be_used_are_told_at_their_place() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (missing, no_pem) = (directory.join("nothing.pem"), directory.join("Cargo.toml"));
    let (missing, no_pem) = (missing.display(), no_pem.display());
    let cases = [
        (
            format!("tls: {{ca_file: {missing}}}"),
            format!("c.yaml:2:16: tls.ca_file: could not read {missing}: No such file"),
        ),
        (format!("tls: {{ca_file: {no_pem}}}"), format!("c.yaml:2:16: tls.ca_file: {no_pem} holds no certificate")),
        (
            format!("tls: {{cert_file: {no_pem}, key_file: {missing}}}"),
            format!("tls.cert_file: {no_pem} holds no certificate"),
        ),
        (
            format!("tls: {{cert_file: {missing}, key_file: {no_pem}}}"),
            format!("tls.key_file: {no_pem} holds no private key"),
        ),
    ];
    for (settings, expected) in cases {
        for protocol in [Protocol::Grpc, Protocol::Http] {
            let said = said(protocol, &settings);
            assert!(said.contains(&expected), "{expected} is not in {said}");
        }
    }
}

#[test]
fn names_and_values_that_cannot_be_sent_are_told_without_the_value() {
    let cases = [
        ("tls: {server_name_override: 'a b'}", "c.yaml:2:29: tls.server_name_override: `a b` cannot be the name"),
        ("headers: {'api key': x}", "c.yaml:2:10: headers: `api key` cannot be the name of a header"),
        ("headers: {api-key: '${env:KEY}'}", "c.yaml:2:10: headers: the value of header `api-key` cannot be sent"),
        ("tls: {insecure_skip_verify: true}", "c.yaml:2:29: tls.insecure_skip_verify: warning: certificates are not"),
    ];
    for (settings, expected) in cases {
        for protocol in [Protocol::Grpc, Protocol::Http] {
            let said = said(protocol, settings);
            assert!(said.contains(expected) && !said.contains("s3cret"), "{expected} is not in {said}");
        }
    }
    assert_eq!(said(Protocol::Grpc, "headers: {api-key: abc, x-bin: YQ}"), "0 problems");
}

#[test]
fn credentials_in_an_endpoint_are_not_repeated() {
    for key in ["metrics_endpoint", "logs_endpoint"] {
        let said = said(Protocol::Http, &format!("{key}: https://user:hunter2@host:1/v1"));
        assert!(said.contains("`https://****@host:1/v1` is not an endpoint") && !said.contains("hunter2"), "{said}");
    }
}
