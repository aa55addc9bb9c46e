//! How a CSV file is written: parameters of all kinds that read such files.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::ErrorLocation;

/// How a CSV file is written, as far as it is given; the rest is detected. As part of a result:
/// how it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CsvDialect {
    /// The character between fields; detected if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub delimiter: Option<Delimiter>,
    /// The encoding of the text; that of its byte order mark, or else UTF-8, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub encoding: Option<Encoding>,
    /// The character that encloses quoted fields; `"` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "'")]
    pub quote: Option<Mark>,
    /// The character in quoted fields that makes the next one part of the field; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "\\")]
    pub escape: Option<Mark>,
    /// The character at the start of lines that are comments; there are none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "#")]
    pub comment: Option<Mark>,
}

impl CsvDialect {
    /// The names of its parameters.
    pub const PARAMETERS: [&str; 5] = ["delimiter", "encoding", "quote", "escape", "comment"];

    /// Sets the parameter `name`; `None` if it is none of these.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        Some(match name {
            "delimiter" => unless_auto(value).map(|delimiter| self.delimiter = delimiter),
            "encoding" => unless_auto(value).map(|encoding| self.encoding = encoding),
            "quote" => unless_auto(value).map(|quote| self.quote = quote),
            "escape" => unless_auto(value).map(|escape| self.escape = escape),
            "comment" => unless_auto(value).map(|comment| self.comment = comment),
            _ => return None,
        })
    }

    /// Parameters with the same character as another one.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = ErrorLocation> {
        let quote = self.quote.map_or('"', Mark::character);
        let marks = [("quote", Some(quote)), ("escape", self.escape.map(Mark::character))];
        let of_comments = self.comment.map(Mark::character);
        let repeated = |mark: Option<char>, others: &[(&str, Option<char>)]| {
            let other = others.iter().find(|(_, other)| mark.is_some() && *other == mark);
            other.map(|(name, _)| format!("is the same character as that of `{name}`"))
        };
        let found = [
            ("escape", repeated(marks[1].1, &marks[..1])),
            ("comment", repeated(of_comments, &marks)),
        ];
        found.into_iter().filter_map(|(name, reason)| Some(ErrorLocation::field(name, reason?)))
    }
}

/// The value of a parameter that is detected if it is `auto`.
fn unless_auto<T: FromStr<Err = String>>(value: &str) -> Result<Option<T>, String> {
    match value {
        "auto" => Ok(None),
        value => value.parse().map(Some),
    }
}

/// The character between the fields of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Delimiter {
    /// `,`
    #[serde(rename = ",")]
    Comma,
    /// `;`
    #[serde(rename = ";")]
    Semicolon,
    /// A tab.
    #[serde(rename = "\t")]
    Tab,
    /// `|`
    #[serde(rename = "|")]
    Pipe,
}

impl FromStr for Delimiter {
    type Err = String;

    /// The name of a delimiter, or the character.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "comma" | "," => Ok(Self::Comma),
            "semicolon" | ";" => Ok(Self::Semicolon),
            "tab" | "\t" | "\\t" => Ok(Self::Tab),
            "pipe" | "|" => Ok(Self::Pipe),
            _ => Err(format!(
                "`{text}` is none of comma, semicolon, tab and pipe, nor one of these characters, \
                 nor auto"
            )),
        }
    }
}

/// A character with a meaning: ASCII punctuation that is no delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark(char);

impl Mark {
    /// The character.
    #[must_use]
    pub fn character(self) -> char {
        self.0
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None)
                if character.is_ascii_punctuation() && !matches!(character, ',' | ';' | '|') =>
            {
                Ok(Self(character))
            }
            _ => Err(format!(
                "`{text}` is not a single punctuation mark of ASCII other than `,`, `;` and `|`"
            )),
        }
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.0.into()
    }
}

/// The encoding of the text of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Encoding {
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Windows-1252, of spreadsheets in Western Europe and America.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// UTF-16 in either byte order.
    #[serde(rename = "utf-16")]
    Utf16,
}

impl FromStr for Encoding {
    type Err = String;

    /// The name of an encoding, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        match &*text.to_ascii_lowercase() {
            "utf-8" | "utf8" => Ok(Self::Utf8),
            "windows-1252" | "cp1252" => Ok(Self::Windows1252),
            "utf-16" | "utf16" => Ok(Self::Utf16),
            _ => Err(format!("`{text}` is none of utf-8, windows-1252, utf-16 and auto")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_have_names_and_characters() {
        for (texts, json) in [
            (["comma", ","], r#"",""#),
            (["semicolon", ";"], r#"";""#),
            (["tab", "\t"], r#""\t""#),
            (["pipe", "|"], r#""|""#),
        ] {
            for text in texts {
                let delimiter: Delimiter = text.parse().unwrap();
                assert_eq!(serde_json::to_string(&delimiter).unwrap(), json);
            }
        }
        for text in ["", ":", ";;", "Comma", "auto"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text}");
        }
    }

    #[test]
    fn marks_are_single_characters_that_differ() {
        for text in ["'", "\\", "#", "\""] {
            assert_eq!(String::from(text.parse::<Mark>().unwrap()), text);
        }
        for text in ["", "##", "a", "1", " ", ",", "\t", "\n", "\u{a7}"] {
            assert!(text.parse::<Mark>().is_err(), "{text:?}");
        }
        let mut dialect = CsvDialect::default();
        let fields = |dialect: &CsvDialect| -> Vec<_> {
            dialect.conflicts().filter_map(|error| error.field).collect()
        };
        for (name, value) in [("escape", "\""), ("comment", "\"")] {
            assert_eq!(dialect.set(name, value), Some(Ok(())));
        }
        assert_eq!(fields(&dialect), ["escape", "comment"]);
        assert_eq!(dialect.set("quote", "'"), Some(Ok(())));
        assert_eq!(fields(&dialect), ["comment"]);
        assert_eq!(dialect.set("comment", "#"), Some(Ok(())));
        assert!(fields(&dialect).is_empty());
    }

    #[test]
    fn encodings_have_names() {
        for (texts, json) in [
            (["utf-8", "UTF8"], r#""utf-8""#),
            (["windows-1252", "CP1252"], r#""windows-1252""#),
            (["utf-16", "UTF-16"], r#""utf-16""#),
        ] {
            for text in texts {
                let encoding: Encoding = text.parse().unwrap();
                assert_eq!(serde_json::to_string(&encoding).unwrap(), json);
            }
        }
        assert!("latin".parse::<Encoding>().is_err());
    }

    #[test]
    fn the_default_is_detected_and_not_stored() {
        let mut dialect = CsvDialect::default();
        assert_eq!(dialect.set("delimiter", "semicolon"), Some(Ok(())));
        assert_eq!(serde_json::to_string(&dialect).unwrap(), r#"{"delimiter":";"}"#);
        assert_eq!(dialect.set("delimiter", "auto"), Some(Ok(())));
        assert_eq!(dialect, CsvDialect::default());
        assert_eq!(serde_json::to_string(&dialect).unwrap(), "{}");
        assert_eq!(dialect.set("sum", "x"), None);
    }

    #[test]
    fn every_parameter_is_set_by_its_name() {
        for name in CsvDialect::PARAMETERS {
            assert!(CsvDialect::default().set(name, "auto").is_some(), "{name}");
        }
    }
}
