//! How connections are secured: rustls with ring; certificates of the system unless others are given; verification on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::super::config::Tls;

/// The settings for secured connections cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is broken. What stands in it is not repeated: it may be a key.
    #[error("{0} is not a PEM file")]
    Pem(PathBuf),
    /// A file holds nothing to trust or to show.
    #[error("{0} holds no certificate")]
    NoCertificate(PathBuf),
    /// A file holds nothing to sign with.
    #[error("{0} holds no private key that is not encrypted")]
    NoKey(PathBuf),
    /// A file holds a certificate that cannot be trusted.
    #[error("{path} holds a certificate that cannot be used: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Two files do not fit.
    #[error("the key in {key_file} is not the one of the certificate in {cert_file}: {source}")]
    Pair {
        /// The file of the certificate.
        cert_file: PathBuf,
        /// The file of the key.
        key_file: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The system has no certificates to trust.
    #[error("found no certificates of the system to trust: set ca_file")]
    NoRoots,
    /// rustls refuses the settings.
    #[error("the certificates cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Builds the client side of connections that speak `protocol` (ALPN).
pub fn client_config(tls: &Tls, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if tls.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnything { provider }))
    } else {
        builder.with_root_certificates(roots(tls.ca_file.as_deref())?)
    };
    let mut config = match identity(tls)? {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// What is wrong with the files, each under the key that names it.
pub fn mistakes(tls: &Tls) -> Vec<(&'static str, TlsError)> {
    let alone = [
        ("ca_file", tls.ca_file.as_deref().and_then(|path| roots(Some(path)).err())),
        ("cert_file", tls.cert_file.as_deref().and_then(|path| certificates(path).err())),
        ("key_file", tls.key_file.as_deref().and_then(|path| private_key(path).err())),
    ];
    let mut mistakes: Vec<_> = alone.into_iter().filter_map(|(key, error)| Some((key, error?))).collect();
    if mistakes.is_empty() {
        mistakes.extend(identity(tls).err().map(|error| ("key_file", error)));
    }
    mistakes
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                let wrong = |source| TlsError::Certificate { path: path.to_owned(), source };
                roots.add(certificate).map_err(wrong)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoRoots);
            }
        }
    }
    Ok(roots)
}

/// The certificate that we show, and its key.
fn identity(tls: &Tls) -> Result<Option<CertifiedKey>, TlsError> {
    let (Some(cert_file), Some(key_file)) = (&tls.cert_file, &tls.key_file) else { return Ok(None) };
    let (chain, key) = (certificates(cert_file)?, private_key(key_file)?);
    let wrong = |source| TlsError::Pair { cert_file: cert_file.clone(), key_file: key_file.clone(), source };
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Some).map_err(wrong)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match certificates.map_err(|error| unreadable(path, error))? {
        certificates if certificates.is_empty() => Err(TlsError::NoCertificate(path.to_owned())),
        certificates => Ok(certificates),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_file(path) {
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey(path.to_owned())),
        key => key.map_err(|error| unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: pem::Error) -> TlsError {
    match error {
        pem::Error::Io(source) => TlsError::File { path: path.to_owned(), source },
        _ => TlsError::Pem(path.to_owned()),
    }
}

/// Accepts any certificate, as the user asked. Signatures are still checked, so that a broken peer is noticed.
#[derive(Debug)]
struct TrustAnything {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
