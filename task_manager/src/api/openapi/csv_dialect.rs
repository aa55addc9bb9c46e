//! How a CSV file is written, as parameters of the uploads that take one.

use utoipa::IntoParams;

/// Says how the file is written, in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct CsvDialectQuery {
    /// The character between fields: `comma`, `semicolon`, `tab`, `pipe` or the character itself;
    /// detected from the first rows if absent or `auto`
    delimiter: Option<String>,
    /// The encoding of the text: `utf-8`, `windows-1252` or `utf-16`; that of its byte order mark, or
    /// else UTF-8, if absent or `auto`
    encoding: Option<String>,
    /// The character that encloses quoted fields; `"` if absent
    quote: Option<String>,
    /// The character in quoted fields that makes the next one part of the field; none if absent
    escape: Option<String>,
    /// The character at the start of lines that are comments; none if absent
    comment: Option<String>,
}

/// Describes a form: its own fields, those that say how the file is written, and the file, which
/// comes last.
///
/// The fields of a flattened struct would be a schema of their own, which the page of the API does
/// not send in the order of the document.
macro_rules! csv_form {
    ($(#[$form:meta])* $name:ident { $($own:tt)* }, $(#[$file:meta])* file) => {
        $(#[$form])*
        #[derive(utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "describes the form in the OpenAPI document")]
        pub struct $name {
            $($own)*
            /// The character between fields: `comma`, `semicolon`, `tab`, `pipe` or the character
            /// itself; detected from the first rows if absent or `auto`.
            #[schema(example = "semicolon", nullable = false, min_length = 1)]
            delimiter: Option<String>,
            /// The encoding of the text: `utf-8`, `windows-1252` or `utf-16`; that of its byte order
            /// mark, or else UTF-8, if absent or `auto`.
            #[schema(example = "windows-1252", nullable = false, min_length = 1)]
            encoding: Option<String>,
            /// The character that encloses quoted fields; `"` if absent.
            #[schema(example = "'", nullable = false, min_length = 1)]
            quote: Option<String>,
            /// The character in quoted fields that makes the next one part of the field; none if
            /// absent.
            #[schema(example = "\\", nullable = false, min_length = 1)]
            escape: Option<String>,
            /// The character at the start of lines that are comments; none if absent.
            #[schema(example = "#", nullable = false, min_length = 1)]
            comment: Option<String>,
            $(#[$file])*
            file: Vec<u8>,
        }
    };
}

pub(in crate::api) use csv_form;
