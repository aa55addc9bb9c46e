//! What sums are kept in: as narrow as they are small, for the sake of the processor's cache.

use std::fmt::Debug;

/// A sum, or what stands beside it in a table of them: the number in a dictionary, or of a slot.
pub(crate) trait Word: Copy + PartialEq + Debug {
    /// Stands where there is no sum.
    const ABSENT: Self;
    /// Whether there is no larger word.
    const LARGEST: bool;

    /// `value`, if it fits and does not mean that there is nothing.
    fn of(value: i64) -> Option<Self>;

    /// A number below 2^31.
    fn number(number: u32) -> Self;

    /// The sum and `value`, if that fits and does not mean that there is nothing.
    fn plus(self, value: i64) -> Option<Self>;

    /// What it is, but for [`Word::ABSENT`].
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
