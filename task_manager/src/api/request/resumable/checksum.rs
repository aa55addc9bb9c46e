//! The header `Upload-Checksum`: an algorithm, and the hash of the body in Base64.

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::text;
use crate::error::Error;
use crate::lifecycle::resumable::append::{Checksum, Digester};

const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// The supported algorithms.
pub const ALGORITHMS: &str = "sha1,sha256";

struct Hash<D>(D);

impl<D: Digest + Send> Digester for Hash<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

/// The checksum of the body, if the request has one.
///
/// # Errors
/// The header is malformed, or the algorithm is not supported.
pub fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let Some(given) = text(headers, &UPLOAD_CHECKSUM)? else { return Ok(None) };
    let (algorithm, encoded) = given.split_once(' ').unwrap_or((given, ""));
    let digester: Box<dyn Digester> = match algorithm {
        "sha1" => Box::new(Hash(Sha1::new())),
        "sha256" => Box::new(Hash(Sha256::new())),
        _ => {
            let text =
                format!("`{algorithm}` is not a supported checksum, use one of {ALGORITHMS}.");
            return Err(Error::BadRequest(text));
        }
    };
    let expected = STANDARD.decode(encoded.trim()).map_err(|_| {
        Error::BadRequest("Upload-Checksum must be an algorithm and a hash in Base64.".to_owned())
    })?;
    Ok(Some(Checksum { digester, expected }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn checksums_are_those_of_the_algorithm() {
        for (algorithm, hash) in [
            ("sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
            ("sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(format!("{algorithm} {hash}")).unwrap();
            headers.insert(UPLOAD_CHECKSUM, value);
            let Checksum { mut digester, expected } = checksum(&headers).unwrap().unwrap();
            digester.update(b"hel");
            digester.update(b"lo");
            assert_eq!(digester.finish(), expected, "{algorithm} of `hello`");
        }
    }

    #[test]
    fn an_unknown_or_malformed_checksum_is_refused() {
        for value in ["md5 XUFAKrxLKna5cZ2REBfFkg==", "sha1", "sha1 !", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(UPLOAD_CHECKSUM, HeaderValue::try_from(value).unwrap());
            let refused = checksum(&headers);
            // An empty hash is well-formed Base64, which no body has.
            assert!(refused.is_err() || value == "sha1", "{value}");
        }
    }
}
