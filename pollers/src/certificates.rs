//! Certificates and keys from the files that a configuration names. They are read each time, so that renewed ones are used.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::TlsConfig;

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the kind.
    #[error("could not read the {what} in {file}: {message}")]
    File {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// The system has no authorities.
    #[error("the system has no certificates of authorities: set `tls.ca_file`")]
    NoAuthorities,
    /// rustls refuses what it was given.
    #[error("could not set up TLS: {0}")]
    Refused(#[from] rustls::Error),
}

/// What a client shows of itself.
pub struct Identity {
    /// Its certificate, and those behind it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
}

/// The authorities of the configuration's file, or else those of this machine.
pub fn authorities(config: &TlsConfig) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = match &config.ca_file {
        Some(file) => chain("authorities", file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    if all.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(all) }
}

/// The certificate and the key that the configuration names, if it does.
pub fn identity(config: &TlsConfig) -> Result<Option<Identity>, TlsError> {
    let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else { return Ok(None) };
    Ok(Some(Identity { chain: chain("certificate", cert_file)?, key: key(key_file)? }))
}

fn chain(what: &'static str, file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |message: String| TlsError::File { what, file: file.to_owned(), message };
    let parsed = CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))?;
    let all: Vec<_> = parsed.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    if all.is_empty() { Err(failed("it holds no certificate".to_owned())) } else { Ok(all) }
}

fn key(file: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        let (what, file, message) = ("private key", file.to_owned(), error.to_string());
        TlsError::File { what, file, message }
    })
}
