//! Settings that are on, off, or left to the program.

use std::fmt;
use std::str::FromStr;

/// A setting that is `true`, `false` or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The program decides.
    Auto,
    /// On.
    True,
    /// Off.
    False,
}

impl Switch {
    /// Whether it is on; `auto` is the decision of the program.
    #[must_use]
    pub fn or(self, auto: bool) -> bool {
        match self {
            Self::Auto => auto,
            Self::True => true,
            Self::False => false,
        }
    }
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::True),
            "false" => Ok(Self::False),
            _ => Err("it is `auto`, `true` or `false`"),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::True => "true",
            Self::False => "false",
        })
    }
}
