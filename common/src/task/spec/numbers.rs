//! How the numbers of a file are written.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The character before decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum DecimalMark {
    /// `,`
    #[serde(rename = ",")]
    Comma,
    /// `.`
    #[serde(rename = ".")]
    Point,
}

impl DecimalMark {
    /// The character.
    #[must_use]
    pub fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Point => '.',
        }
    }
}

impl FromStr for DecimalMark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "comma" | "," => Ok(Self::Comma),
            "point" | "." => Ok(Self::Point),
            _ => Err(format!("`{text}` is neither comma nor point, nor one of these characters")),
        }
    }
}

/// The character between groups of three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ThousandsMark {
    /// `,`
    #[serde(rename = ",")]
    Comma,
    /// `.`
    #[serde(rename = ".")]
    Point,
    /// `'`
    #[serde(rename = "'")]
    Apostrophe,
    /// A blank, ordinary or not breaking lines.
    #[serde(rename = " ")]
    Space,
    /// `_`
    #[serde(rename = "_")]
    Underscore,
}

impl ThousandsMark {
    /// The character.
    #[must_use]
    pub fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Point => '.',
            Self::Apostrophe => '\'',
            Self::Space => ' ',
            Self::Underscore => '_',
        }
    }
}

impl FromStr for ThousandsMark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "comma" | "," => Ok(Self::Comma),
            "point" | "." => Ok(Self::Point),
            "apostrophe" | "'" => Ok(Self::Apostrophe),
            "space" | " " => Ok(Self::Space),
            "underscore" | "_" => Ok(Self::Underscore),
            _ => Err(format!(
                "`{text}` is none of comma, point, apostrophe, space and underscore, nor one of \
                 these characters"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_names_and_characters() {
        for (name, character) in [("comma", ","), ("point", ".")] {
            let mark: DecimalMark = name.parse().unwrap();
            assert_eq!(character.parse(), Ok(mark));
            assert_eq!(serde_json::to_value(mark).unwrap(), mark.character().to_string());
        }
        for (name, character) in [
            ("comma", ","),
            ("point", "."),
            ("apostrophe", "'"),
            ("space", " "),
            ("underscore", "_"),
        ] {
            let mark: ThousandsMark = name.parse().unwrap();
            assert_eq!(character.parse(), Ok(mark));
            assert_eq!(serde_json::to_value(mark).unwrap(), mark.character().to_string());
        }
        assert!("".parse::<DecimalMark>().is_err() && "0".parse::<ThousandsMark>().is_err());
    }
}
