//! The documents that S3 reads and writes.

use std::fmt::{self, Write};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use quick_xml::de;
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::generic;
use crate::storage::bucket::multipart::Part;

/// A multipart upload that was neither completed nor aborted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::storage::bucket) struct MultipartUpload {
    pub(in crate::storage::bucket) key: String,
    pub(in crate::storage::bucket) upload_id: String,
    pub(in crate::storage::bucket) initiated: DateTime<Utc>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UploadList {
    pub(super) upload: Vec<MultipartUpload>,
    pub(super) is_truncated: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct CopiedPart {
    #[serde(rename = "ETag")]
    pub(super) e_tag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ErrorAnswer {
    pub(super) code: String,
    message: String,
}

impl ErrorAnswer {
    /// Some requests are answered with status 200 before their outcome is known; the document then
    /// decides.
    pub(super) fn find(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let root = text.split('<').find(|part| part.starts_with(char::is_alphabetic))?;
        if root.split(|c: char| !c.is_alphanumeric()).next() != Some("Error") {
            return None;
        }
        Some(de::from_str(text).unwrap_or_default())
    }
}

impl fmt::Display for ErrorAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> object_store::Result<T> {
    let text = std::str::from_utf8(body).map_err(generic)?;
    de::from_str(text).map_err(generic)
}

pub(super) fn complete_request(parts: &[Part]) -> String {
    let mut document = "<CompleteMultipartUpload \
                        xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        .to_owned();
    for Part { number, etag, .. } in parts {
        let etag = escape(etag);
        let _ =
            write!(document, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    document.push_str("</CompleteMultipartUpload>");
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_recognized_by_its_document() {
        let document = "\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <Error><Code>InternalError</Code><Message>Try &lt;again&gt;</Message></Error>";
        let error = ErrorAnswer::find(document.as_bytes()).unwrap();
        assert_eq!(error.to_string(), "InternalError: Try <again>");
        for other in
            ["", "no document", "<Result><Error><Code>x</Code></Error></Result>", "<Errors/>"]
        {
            assert!(ErrorAnswer::find(other.as_bytes()).is_none(), "{other}");
        }
        assert!(ErrorAnswer::find(b"<Error>").unwrap().code.is_empty());
    }

    #[test]
    fn documents_are_read_and_written() {
        let list: UploadList = read(&Bytes::from_static(
            b"<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
              <Bucket>b</Bucket><IsTruncated>true</IsTruncated>\
              <Upload><Key>a</Key><UploadId>1</UploadId><Initiator><ID>x</ID></Initiator>\
              <Initiated>2024-11-10T20:48:33.000Z</Initiated></Upload>\
              <Upload><Key>b</Key><UploadId>2</UploadId>\
              <Initiated>2024-11-10T20:48:33.000Z</Initiated></Upload>\
              </ListMultipartUploadsResult>",
        ))
        .unwrap();
        assert!(list.is_truncated && list.upload.len() == 2 && list.upload[1].upload_id == "2");
        let empty: UploadList =
            read(&Bytes::from_static(b"<ListMultipartUploadsResult/>")).unwrap();
        assert!(!empty.is_truncated && empty.upload.is_empty());
        let part = Part { number: 7, etag: "\"x\"".to_owned(), size: 1 };
        let request = complete_request(&[part]);
        assert!(request.contains("<PartNumber>7</PartNumber><ETag>&quot;x&quot;</ETag>"));
    }
}
