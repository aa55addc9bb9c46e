//! TLS as a client: whose certificates are trusted, and what to do where one is not.
//!
//! # Invariants
//! - There is one TLS library in the programs, rustls on ring, for every kind of connection but the
//!   database's, whose client library brings its own.
//! - A certificate is always checked, with the name that was asked for.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates in {} cannot be used: {reason}", path.display())]
pub struct CaFileError {
    path: PathBuf,
    reason: String,
}

/// Whose certificates are trusted: those of the system, and where one is set those of a file besides.
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
    /// Trusts the certificates in a PEM file as well, where one is given.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
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

    /// What a connection is begun with. Reads the certificates of the system, so it takes some
    /// milliseconds.
    ///
    /// # Errors
    /// A certificate of the file is none.
    pub fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // What the system has and rustls does not understand is left out, as every client does.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in self.file.iter().flat_map(|file| &file.certificates) {
            roots.add(certificate.clone())?;
        }
        config(roots)
    }

    /// What went wrong, and what to do about it where a certificate was not trusted.
    #[must_use]
    pub fn explain(&self, error: &(dyn Error + 'static), reason: String) -> String {
        let advice = match certificate_error(error) {
            None => return reason,
            Some(CertificateError::UnknownIssuer) => match &self.file {
                None => "if the certificate is one of your own authority, name the authority's \
                         certificate (a PEM file) by `ca_file` (taskctl: `--ca-file`)"
                    .to_owned(),
                Some(file) => format!(
                    "neither the system nor {} (`ca_file`) holds the certificate of the authority \
                     that signed it",
                    file.path.display()
                ),
            },
            Some(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "call the server by a name that its certificate holds".to_owned(),
            Some(_) => "the server needs another certificate".to_owned(),
        };
        format!("{reason}; {advice}")
    }
}

/// Trusts nobody: for clients that use no TLS.
pub(crate) fn no_trust() -> Result<ClientConfig, rustls::Error> {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What was wrong with a certificate, where that is the cause of `error`.
fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let of_library = error.downcast_ref::<rustls::Error>();
        if let Some(rustls::Error::InvalidCertificate(reason)) = of_library {
            return Some(reason);
        }
        // The error within one of the system is not among its causes.
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
