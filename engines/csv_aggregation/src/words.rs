//! The integers in which sums are stored. Smaller ones need less memory and cache.

use std::fmt::Debug;

/// An element of a table of sums: a sum, a dictionary id or a position.
pub(crate) trait Word: Copy + PartialEq + Debug {
    /// The value of empty elements.
    const ABSENT: Self;
    /// Whether this is the largest word.
    const LARGEST: bool;

    /// Converts a sum. `None` if it does not fit or is [`Word::ABSENT`].
    fn of(value: i64) -> Option<Self>;

    /// Converts a number below 2^31.
    fn number(number: u32) -> Self;

    /// Adds to a sum. `None` if the result does not fit or is [`Word::ABSENT`].
    fn plus(self, value: i64) -> Option<Self>;

    /// The value of an element that is not [`Word::ABSENT`].
    fn wide(self) -> i64;
}

impl Word for i32 {
    const ABSENT: Self = Self::MIN;
    const LARGEST: bool = false;

    #[inline(always)]
    fn of(value: i64) -> Option<Self> {
        Self::try_from(value).ok().filter(|value| *value != Self::ABSENT)
    }

    #[inline(always)]
    fn number(number: u32) -> Self {
        number as Self
    }

    #[inline(always)]
    fn plus(self, value: i64) -> Option<Self> {
        Self::of(i64::from(self).checked_add(value)?)
    }

    #[inline(always)]
    fn wide(self) -> i64 {
        self.into()
    }
}

impl Word for i64 {
    const ABSENT: Self = Self::MIN;
    const LARGEST: bool = true;

    #[inline(always)]
    fn of(value: i64) -> Option<Self> {
        Some(value).filter(|value| *value != Self::ABSENT)
    }

    #[inline(always)]
    fn number(number: u32) -> Self {
        number.into()
    }

    #[inline(always)]
    fn plus(self, value: i64) -> Option<Self> {
        Self::of(self.checked_add(value)?)
    }

    #[inline(always)]
    fn wide(self) -> i64 {
        self
    }
}
