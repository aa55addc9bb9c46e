//! The headers of resumable uploads: of tus 1.0.0 (<https://tus.io/protocols/resumable-upload>),
//! and of the drafts of the same for HTTP (`draft-ietf-httpbis-resumable-upload`).
//!
//! # By hand
//! No crate parses them.

pub mod checksum;
pub mod metadata;

use axum::http::{HeaderMap, HeaderName, header};
use common::task::TaskId;

use self::checksum::checksum;
use crate::api::request::body::media_type;
use crate::error::Error;
use crate::lifecycle::resumable::append::Chunk;

/// The supported version of tus.
pub const TUS: &str = "1.0.0";
/// The extensions of tus that are supported.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,\
                                  termination,checksum,expiration,concatenation";
/// The interop versions of the drafts that clients speak: of draft 03, and of drafts 04 and 05.
const DRAFTS: [&str; 2] = ["5", "6"];
/// The version without a media type of its own for appended bytes.
const DRAFT_03: &str = "5";

pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
pub const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
pub const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
pub const INTEROP_VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");
pub const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// The media types of appended bytes.
const TUS_BYTES: &str = "application/offset+octet-stream";
const DRAFT_BYTES: &str = "application/partial-upload";

/// The protocol that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// tus 1.0.0
    Tus,
    /// Draft 03 of resumable uploads for HTTP.
    Draft03,
    /// Drafts 04 and 05.
    Draft05,
}

impl Dialect {
    /// The protocol of a request.
    ///
    /// # Errors
    /// It is not supported.
    pub fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let version = text(headers, &TUS_RESUMABLE)?;
        if let Some(version) = version {
            return match version {
                TUS => Ok(Self::Tus),
                given => Err(Error::UnsupportedTusVersion { given: given.to_owned() }),
            };
        }
        match text(headers, &INTEROP_VERSION)? {
            Some(DRAFT_03) => Ok(Self::Draft03),
            Some(version) if DRAFTS.contains(&version) => Ok(Self::Draft05),
            other => Err(Error::UnsupportedTusVersion {
                given: other.map(|version| format!("draft {version}")).unwrap_or_default(),
            }),
        }
    }

    /// The media type of appended bytes, if it must be named.
    fn bytes(self) -> Option<&'static str> {
        match self {
            Self::Tus => Some(TUS_BYTES),
            Self::Draft03 => None,
            Self::Draft05 => Some(DRAFT_BYTES),
        }
    }
}

/// What a request creates.
#[derive(Debug, PartialEq, Eq)]
pub enum Creation {
    /// An upload of a file of this size, if known.
    Upload { size: Option<u64>, is_partial: bool },
    /// An upload that is made of others.
    Final { parts: Vec<TaskId> },
}

impl Creation {
    /// Reads the headers of a request that creates an upload.
    ///
    /// # Errors
    /// A header is missing or malformed.
    pub fn read(dialect: Dialect, headers: &HeaderMap) -> Result<Self, Error> {
        let size = number(headers, &UPLOAD_LENGTH)?;
        if dialect != Dialect::Tus {
            // The length of a file that is sent at once is that of the body.
            let at_once = is_complete(headers)? == Some(true);
            let size = size.or(content_length(headers).filter(|_| at_once));
            return Ok(Self::Upload { size, is_partial: false });
        }
        let is_partial = match text(headers, &UPLOAD_CONCAT)? {
            None => false,
            Some("partial") => true,
            Some(other) => {
                let parts = other.strip_prefix("final;").and_then(part_ids);
                return parts.map(|parts| Self::Final { parts }).ok_or_else(|| {
                    let text = "Upload-Concat must be `partial`, or `final;` and the URLs of \
                                complete partial uploads, separated by blanks.";
                    Error::BadRequest(text.to_owned())
                });
            }
        };
        match (size, text(headers, &UPLOAD_DEFER_LENGTH)?) {
            (Some(_), None) | (None, Some("1")) => Ok(Self::Upload { size, is_partial }),
            _ => Err(Error::BadRequest(
                "Send either Upload-Length with the size of the file in bytes, or \
                 `Upload-Defer-Length: 1`."
                    .to_owned(),
            )),
        }
    }
}

fn part_ids(list: &str) -> Option<Vec<TaskId>> {
    let urls = list.split_ascii_whitespace();
    let ids: Option<Vec<TaskId>> =
        urls.map(|url| url.trim_end_matches('/').rsplit('/').next()?.parse().ok()).collect();
    ids.filter(|ids| !ids.is_empty())
}

/// Reads the headers of a request that appends bytes at `offset`, or at the one that it names.
///
/// # Errors
/// A header is missing or malformed, or the body is of another type.
pub fn chunk(dialect: Dialect, headers: &HeaderMap, offset: Option<u64>) -> Result<Chunk, Error> {
    let (given, media_type) = media_type(headers);
    if let Some(expected) = dialect.bytes()
        && media_type != expected
    {
        return Err(Error::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "the bytes of an upload are sent as application/offset+octet-stream",
        });
    }
    let offset = match offset {
        Some(offset) => offset,
        None => number(headers, &UPLOAD_OFFSET)?.ok_or_else(|| {
            Error::BadRequest("Upload-Offset is missing: where the bytes belong.".to_owned())
        })?,
    };
    let is_tus = dialect == Dialect::Tus;
    Ok(Chunk {
        offset,
        length: content_length(headers),
        size: number(headers, &UPLOAD_LENGTH)?,
        is_last: if is_tus { None } else { is_complete(headers)? },
        checksum: if is_tus { checksum(headers)? } else { None },
    })
}

/// Whether the request ends the file, by the drafts.
fn is_complete(headers: &HeaderMap) -> Result<Option<bool>, Error> {
    match text(headers, &UPLOAD_COMPLETE)? {
        None => Ok(None),
        Some("?1") => Ok(Some(true)),
        Some("?0") => Ok(Some(false)),
        Some(_) => Err(Error::BadRequest("Upload-Complete must be `?1` or `?0`.".to_owned())),
    }
}

/// The length of the body, if the request says so.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The value of a header that must not repeat.
///
/// # Errors
/// It is not text, or repeats.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(Error::BadRequest(format!("The header {name} must be one text."))),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Error> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What the databases can store.
    let number = text.parse().ok().filter(|number| is_plain && i64::try_from(*number).is_ok());
    number.map(Some).ok_or_else(|| {
        Error::BadRequest(format!("The header {name} must be a number of bytes, not `{text}`."))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(given: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::try_from(text).unwrap();
        given.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    fn creation(given: &[(HeaderName, &str)]) -> Result<Creation, Error> {
        Creation::read(Dialect::Tus, &headers(given))
    }

    #[test]
    fn the_version_decides_the_dialect() {
        let of = |given: &[_]| Dialect::of(&headers(given)).ok();
        assert_eq!(of(&[(TUS_RESUMABLE, "1.0.0")]), Some(Dialect::Tus));
        assert_eq!(of(&[(INTEROP_VERSION, "6")]), Some(Dialect::Draft05));
        assert_eq!(of(&[(INTEROP_VERSION, "5")]), Some(Dialect::Draft03));
        assert_eq!(of(&[(TUS_RESUMABLE, "0.2.2")]), None);
        assert_eq!(of(&[(INTEROP_VERSION, "3")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_creation_names_its_size_or_defers_it() {
        let upload = |size| Creation::Upload { size, is_partial: false };
        assert_eq!(creation(&[(UPLOAD_LENGTH, "5")]).unwrap(), upload(Some(5)));
        assert_eq!(creation(&[(UPLOAD_DEFER_LENGTH, "1")]).unwrap(), upload(None));
        for wrong in [
            &[][..],
            &[(UPLOAD_DEFER_LENGTH, "0")],
            &[(UPLOAD_LENGTH, "5"), (UPLOAD_DEFER_LENGTH, "1")],
            &[(UPLOAD_LENGTH, "-5")],
            &[(UPLOAD_LENGTH, "+5")],
            &[(UPLOAD_LENGTH, "5 5")],
            &[(UPLOAD_LENGTH, "")],
            &[(UPLOAD_LENGTH, "9223372036854775808")],
            &[(UPLOAD_LENGTH, "99999999999999999999")],
        ] {
            assert!(creation(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_final_upload_names_its_parts_by_any_url() {
        let (a, b) = (TaskId::new(), TaskId::new());
        let list = format!("final;/v1/uploads/{a} https://files.example.org/v1/uploads/{b}/");
        let parts = vec![a, b];
        assert_eq!(creation(&[(UPLOAD_CONCAT, &list)]).unwrap(), Creation::Final { parts });
        let partial = creation(&[(UPLOAD_CONCAT, "partial"), (UPLOAD_LENGTH, "5")]);
        let expected = Creation::Upload { size: Some(5), is_partial: true };
        assert_eq!(partial.unwrap(), expected);
        for wrong in ["final;", "final", "final;/v1/uploads/x", "whole", ""] {
            assert!(creation(&[(UPLOAD_CONCAT, wrong), (UPLOAD_LENGTH, "5")]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn appended_bytes_have_a_type_and_an_offset() {
        let bytes = || (header::CONTENT_TYPE, TUS_BYTES);
        let read = |given: &[_]| chunk(Dialect::Tus, &headers(given), None);
        assert_eq!(read(&[bytes(), (UPLOAD_OFFSET, "7")]).unwrap().offset, 7);
        assert!(matches!(read(&[bytes()]), Err(Error::BadRequest(_))));
        assert!(matches!(read(&[bytes(), (UPLOAD_OFFSET, "x")]), Err(Error::BadRequest(_))));
        let refused = read(&[(UPLOAD_OFFSET, "7")]);
        assert!(matches!(refused, Err(Error::UnsupportedMediaType { .. })));
    }
}
