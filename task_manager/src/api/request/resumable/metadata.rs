//! The header `Upload-Metadata`: pairs of a key and a value in Base64, separated by commas.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use common::problem::ErrorLocation;
use common::task::TaskKind;
use common::task::spec::TaskSpec;

use super::{UPLOAD_METADATA, text};
use crate::api::request::parameters::Parameters;
use crate::error::Error;
use crate::lifecycle::upload::file_name;

/// The keys of the file's name, as clients use them.
const NAMES: [&str; 3] = ["filename", "file_name", "name"];
/// Keys that clients add by themselves and that mean nothing here.
const DESCRIPTIVE: [&str; 5] = ["filetype", "type", "relativePath", "contentType", "lastModified"];

/// What becomes of an uploaded file, by its metadata and the query, and the metadata as given.
///
/// Without a kind it is `file_statistics`, which takes any file, and further metadata means nothing.
///
/// # Errors
/// The metadata is malformed, or the kind or a parameter is invalid.
pub fn purpose(headers: &HeaderMap, mut query: Parameters) -> Result<(TaskSpec, String), Error> {
    let mut metadata = Parameters(parse(text(headers, &UPLOAD_METADATA)?.unwrap_or_default())?);
    let names: Vec<String> = NAMES.iter().filter_map(|name| metadata.take(name)).collect();
    let name = query.take("file_name").or_else(|| names.into_iter().next()).unwrap_or_default();
    DESCRIPTIVE.iter().for_each(|name| drop(metadata.take_all(name)));
    let kind = query.take("kind").or(metadata.take("kind")).filter(|kind| !kind.is_empty());
    let kind = match kind {
        Some(kind) => kind.parse().map_err(|error: common::task::UnknownName| {
            Error::InvalidParameters(vec![ErrorLocation::field("kind", error.to_string())])
        })?,
        None => {
            metadata.0.clear();
            TaskKind::FileStatistics
        }
    };
    // Keys must not repeat: a list is one value with a line for each item.
    let lines = metadata.0.iter().flat_map(|(name, value)| {
        value.split('\n').map(move |line| (name.clone(), line.to_owned()))
    });
    let parameters: Vec<(String, String)> = lines.chain(query.0).collect();
    let spec = TaskSpec::from_parameters(kind, &parameters).map_err(Error::InvalidParameters)?;
    Ok((spec, file_name::clean(&name, kind)))
}

/// Checks the purpose that a partial upload names, if it names a kind: so that it is refused before
/// its bytes are sent, and not when the parts are joined.
///
/// # Errors
/// Those of [`purpose`].
pub fn check_named(headers: &HeaderMap, query: Parameters) -> Result<(), Error> {
    let metadata = parse(text(headers, &UPLOAD_METADATA)?.unwrap_or_default())?;
    match metadata.iter().chain(&query.0).any(|(key, _)| key == "kind") {
        true => purpose(headers, query).map(drop),
        false => Ok(()),
    }
}

/// The pairs of the header, which may be empty.
fn parse(text: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(|pair| parse_pair(pair).ok_or_else(malformed)).collect()
}

fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
    let encoded = encoded.trim();
    let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    Some((key.to_owned(), String::from_utf8(decoded).ok()?))
}

fn malformed() -> Error {
    Error::BadRequest(
        "Upload-Metadata must be pairs of a key and a value, separated by commas; the value is \
         UTF-8 text in Base64 behind a blank."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use common::task::spec::CsvAggregationSpec;

    use super::*;

    fn of(metadata: &[(&str, &str)], query: &[(&str, &str)]) -> Result<(TaskSpec, String), Error> {
        let pair = |(key, value): &(&str, &str)| format!("{key} {}", STANDARD.encode(value));
        let header = metadata.iter().map(pair).collect::<Vec<_>>().join(",");
        let mut headers = HeaderMap::new();
        headers.insert(UPLOAD_METADATA, HeaderValue::try_from(header).unwrap());
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        purpose(&headers, Parameters(query.iter().map(owned).collect()))
    }

    #[test]
    fn without_a_kind_any_metadata_is_accepted() {
        for metadata in [&[][..], &[("filename", "a.bin"), ("caption", "x"), ("filetype", "")]] {
            let (spec, name) = of(metadata, &[]).unwrap();
            assert_eq!(spec, TaskSpec::FileStatistics);
            assert_eq!(name, if metadata.is_empty() { "upload" } else { "a.bin" });
        }
    }

    #[test]
    fn parameters_are_metadata_or_in_the_query() {
        let expected = TaskSpec::from_parameters(
            TaskKind::CsvAggregation,
            &[("group_by".to_owned(), "a".to_owned()), ("group_by".to_owned(), "b".to_owned())],
        );
        let expected = expected.unwrap();
        assert!(matches!(&expected, TaskSpec::CsvAggregation(CsvAggregationSpec { .. })));
        let kind = ("kind", "csv_aggregation");
        let by_lines = of(&[kind, ("group_by", "a\nb"), ("name", "n.csv"), ("type", "t")], &[]);
        assert_eq!(by_lines.unwrap(), (expected.clone(), "n.csv".to_owned()));
        let by_query =
            of(&[], &[kind, ("group_by", "a"), ("group_by", "b"), ("file_name", "n.csv")]);
        assert_eq!(by_query.unwrap(), (expected, "n.csv".to_owned()));
    }

    #[test]
    fn a_wrong_kind_or_parameter_is_refused() {
        for (metadata, field) in [
            (&[("kind", "csv")][..], "kind"),
            (&[("kind", "message_validation")], "kind"),
            (&[("kind", "csv_aggregation"), ("on_bad_row", "maybe")], "on_bad_row"),
            (&[("kind", "csv_aggregation"), ("grup_by", "a")], "grup_by"),
            (&[("kind", "file_statistics"), ("sum", "a")], "sum"),
        ] {
            match of(metadata, &[]) {
                Err(Error::InvalidParameters(errors)) => {
                    assert_eq!(errors[0].field.as_deref(), Some(field), "{metadata:?}");
                }
                other => panic!("{metadata:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_partial_upload_is_checked_if_it_names_a_kind() {
        let check = |query: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            check_named(&HeaderMap::new(), Parameters(query.iter().map(owned).collect())).is_ok()
        };
        assert!(check(&[]) && check(&[("sum", "a")]));
        assert!(check(&[("kind", "csv_aggregation"), ("sum", "a")]));
        assert!(!check(&[("kind", "csv_aggregation"), ("sun", "a")]));
    }

    #[test]
    fn malformed_metadata_is_refused() {
        for text in ["filename !!!", "filename w", "filename /w=="] {
            assert!(parse(text).is_err(), "{text}");
        }
        let empty = [("is_confidential".to_owned(), String::new())];
        assert_eq!(parse("is_confidential").unwrap(), empty);
        assert_eq!(parse(" , ").unwrap(), []);
    }
}
