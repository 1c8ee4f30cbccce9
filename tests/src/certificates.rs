//! Certificates for servers and clients, made by openssl.

use std::path::PathBuf;
use std::process::Command;

use crate::scratch::Scratch;

/// Makes a certificate for this name, signed by itself, and its key; gives their PEM files. `alternative` is who it is
/// for, such as `IP:127.0.0.1`.
///
/// # Panics
/// If openssl is not there or refuses.
#[must_use]
pub fn certificate(scratch: &Scratch, name: &str, alternative: &str) -> (String, String) {
    let path = |suffix: &str| text(scratch.path().join(format!("{name}.{suffix}")));
    let (certificate, key) = (path("crt"), path("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName={alternative}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl can be started");
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("scratch directories have UTF-8 paths")
}
