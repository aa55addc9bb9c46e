//! TLS for clients: which certificates are trusted, and advice if one is not.
//!
//! # Invariants
//! - The programs use one TLS library, rustls on ring, for all connections except the database's,
//!   whose client library has its own.
//! - A certificate is always checked against the requested name.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

mod lazy;

use lazy::LazyVerifier;

/// An unusable file of certificates.
#[derive(Debug, thiserror::Error)]
#[error("the certificates in {} cannot be used: {reason}", path.display())]
pub struct CaFileError {
    path: PathBuf,
    reason: String,
}

/// The trusted certificates: those of the system and, if set, those of a file.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    file: Option<Arc<CaFile>>,
}

#[derive(Debug)]
struct CaFile {
    path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Also trusts the certificates in a PEM file, if given.
    ///
    /// # Errors
    /// The file cannot be read, or contains no certificate.
    pub fn with_file(path: Option<&Path>) -> Result<Self, CaFileError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let error = |reason: String| CaFileError { path: path.to_owned(), reason };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(|cause| error(cause.to_string()))?;
        if certificates.is_empty() {
            return Err(error("there is no PEM certificate in it".to_owned()));
        }
        let file = CaFile { path: path.to_owned(), certificates };
        let trust = Self { file: Some(Arc::new(file)) };
        trust.client_config().map_err(|cause| error(cause.to_string()))?;
        Ok(trust)
    }

    /// The configuration of a connection. Reads the certificates of the system, which takes some
    /// milliseconds.
    ///
    /// # Errors
    /// A certificate of the file is invalid.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        Ok(builder()?.with_root_certificates(self.roots()?).with_no_client_auth())
    }

    /// Like [`client_config`](Self::client_config), but the certificates of the system are read
    /// when the first certificate is checked: for clients that may never use TLS.
    ///
    /// # Errors
    /// Never; the library's settings are valid.
    pub fn lazy_client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let verifier = Arc::new(LazyVerifier::new(self.clone()));
        let builder = builder()?.dangerous().with_custom_certificate_verifier(verifier);
        Ok(builder.with_no_client_auth())
    }

    fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // Certificates of the system that rustls cannot parse are skipped, as in every client.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in self.file.iter().flat_map(|file| &file.certificates) {
            roots.add(certificate.clone())?;
        }
        Ok(roots)
    }

    /// The error, with advice if a certificate was not trusted.
    #[must_use]
    pub fn explain(&self, error: &(dyn Error + 'static), reason: String) -> String {
        let advice = match certificate_error(error) {
            None => return reason,
            Some(CertificateError::UnknownIssuer) => match &self.file {
                None => "if the certificate is one of your own authority, name the authority's \
                         certificate (a PEM file) by `ca_file` (taskctl: `--ca-file`)"
                    .to_owned(),
                Some(file) => format!(
                    "neither the system nor {} (`ca_file`) has the certificate of the authority \
                     that signed it",
                    file.path.display()
                ),
            },
            Some(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "address the server by a name in its certificate".to_owned(),
            Some(_) => "the server needs another certificate".to_owned(),
        };
        format!("{reason}; {advice}")
    }
}

/// Trusts no certificate: for clients without TLS.
pub(crate) fn no_trust() -> Result<ClientConfig, rustls::Error> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions()
}

/// The certificate error that caused `error`, if any.
fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let of_library = error.downcast_ref::<rustls::Error>();
        if let Some(rustls::Error::InvalidCertificate(reason)) = of_library {
            return Some(reason);
        }
        // The error inside an `io::Error` is not among its causes.
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(reason) = within.and_then(|within| certificate_error(within)) {
            return Some(reason);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let error = |path: &Path| Trust::with_file(Some(path)).unwrap_err().to_string();
        assert!(error(&file).contains(&file.display().to_string()), "{}", error(&file));
        for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            std::fs::write(&file, content).unwrap();
            assert!(error(&file).contains(&file.display().to_string()), "{content:?}");
        }
        let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, none).unwrap();
        assert!(error(&file).contains("cannot be used"));
        let good = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&file, good.cert.pem()).unwrap();
        assert!(Trust::with_file(Some(&file)).is_ok());
        assert!(Trust::with_file(None).is_ok());
    }
}
