//! Random numbers that stay the same on every machine and in every version: the same seed generates
//! the same data for tests and demonstrations. Not for secrets.
//!
//! How a number below a limit is chosen is written here, since `rand` may change it between versions.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// A generator of reproducible numbers (PCG).
#[derive(Debug, Clone)]
pub struct Random(Pcg64);

impl Random {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64::seed_from_u64(seed))
    }

    /// The next number of the sequence.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `limit` - 1; 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(limit)) >> 64) as u64
    }

    /// One of `choices`, which must not be empty.
    pub fn of<'a>(&mut self, choices: &'a [impl AsRef<str>]) -> &'a str {
        let index = self.below(choices.len() as u64);
        choices.get(index as usize).map_or("", AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_numbers_in_every_version() {
        let mut random = Random::new(1_234_567);
        let numbers = [random.number(), random.number(), random.number()];
        let expected =
            [2_812_571_898_200_152_182, 18_240_459_298_553_129_533, 15_040_137_675_777_557_219];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn numbers_cover_the_range_below_their_limit() {
        let mut random = Random::new(0);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
