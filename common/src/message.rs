//! Messages: the outcome of their validation, and the rules that both sides share.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::{UnknownName, named};

/// The longest message, in bytes of UTF-8.
pub const MAX_MESSAGE: usize = 16 << 10;

/// How a message was validated.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub enum Category {
    /// Its number was valid.
    Direct,
    /// Its number was invalid, and the second one was valid.
    Retried,
    /// The second number was invalid too.
    Failed,
}

impl Category {
    /// Every category there is.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Retried, Self::Failed];

    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "Direct",
            Self::Retried => "Retried",
            Self::Failed => "Failed",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Category {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, Self::ALL, Self::as_str)
    }
}

/// The outcome of a `message_validation`; the `result` of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// How the message was validated.
    pub category: Category,
    /// The deciding number, from 1 to 60.
    pub number: u8,
    /// How many numbers were drawn: 1 or 2.
    pub draws: u8,
}

/// A number that is drawn for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw(pub u8);

impl Draw {
    /// The numbers that are drawn.
    pub const RANGE: std::ops::RangeInclusive<u8> = 1..=60;

    /// Whether the number is valid: all but every tenth one are.
    #[must_use]
    pub fn is_good(self) -> bool {
        !self.0.is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_of_sixty_numbers_are_invalid() {
        let bad: Vec<u8> = Draw::RANGE.filter(|number| !Draw(*number).is_good()).collect();
        assert_eq!(bad, [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn category_names_round_trip() {
        for category in Category::ALL {
            assert_eq!(category.as_str().parse(), Ok(category));
            assert_eq!(serde_json::to_value(category).unwrap(), category.as_str());
        }
        let error = "direct".parse::<Category>().unwrap_err();
        assert_eq!(error.to_string(), "`direct` is not one of Direct, Retried, Failed");
    }
}
