//! Hashes and compares short texts sixteen bytes at a time, without loops over their bytes.
//!
//! Texts are followed by [`PADDING`], so that sixteen bytes can be loaded from anywhere within
//! them.

/// The position of some bytes in a larger slice. Half the size of a slice reference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline(always)]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    #[inline(always)]
    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    #[inline(always)]
    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.end.wrapping_sub(self.start) as usize
    }

    #[inline(always)]
    pub(crate) fn of(self, data: &[u8]) -> &[u8] {
        &data[self.start()..self.end()]
    }
}

/// Loads sixteen bytes at `at` in little-endian order; 0 if there are fewer.
#[inline(always)]
pub(crate) fn wide(data: &[u8], at: usize) -> u128 {
    let bytes = data.get(at..at + 16).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u128::from_le_bytes)
}

/// Masks for the first 0 to 16 bytes.
const MASKS: [u128; 17] = {
    let mut masks = [0; 17];
    let mut count = 1;
    while count <= 16 {
        masks[count] = u128::MAX >> (128 - 8 * count);
        count += 1;
    }
    masks
};

/// The first bytes of many texts as a structure of arrays, for vectorised loops over texts.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    /// The first eight bytes of each text, little-endian.
    pub(crate) first: Vec<u64>,
    /// The next eight bytes; only if they were requested.
    pub(crate) second: Vec<u64>,
    /// The length of each text.
    pub(crate) lengths: Vec<u64>,
}

impl Prefixes {
    /// Loads the prefixes of the texts at `spans`: eight bytes, or sixteen with `SECOND`.
    #[inline]
    pub(crate) fn read<const SECOND: bool>(&mut self, data: &[u8], spans: &[Span]) {
        let Self { first, second, lengths } = self;
        first.resize(spans.len(), 0);
        lengths.resize(spans.len(), 0);
        second.resize(spans.len(), 0);
        for (((first, second), length), span) in
            first.iter_mut().zip(second).zip(lengths).zip(spans)
        {
            let text = wide(data, span.start());
            *first = text as u64;
            if SECOND {
                *second = (text >> 64) as u64;
            }
            *length = span.len() as u64;
        }
    }
}

/// The number of bytes that must follow a text.
pub(crate) const PADDING: usize = 16;

/// Copies a text and appends [`PADDING`].
pub(crate) fn padded(text: &[u8]) -> Vec<u8> {
    [text, &[0; PADDING]].concat()
}

/// Odd constants with about half of their bits set, in no pattern.
const MULTIPLIERS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03];

/// A text within `data`, followed by at least [`PADDING`] arbitrary bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    data: &'a [u8],
    span: Span,
}

impl<'a> Text<'a> {
    #[inline(always)]
    pub(crate) fn new(data: &'a [u8], span: Span) -> Self {
        Self { data, span }
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.span.of(self.data)
    }

    /// Loads sixteen bytes at `at`.
    #[inline(always)]
    fn wide(self, at: usize) -> u128 {
        wide(self.data, self.span.start() + at)
    }

    /// The bytes of a text of up to sixteen, zero-extended.
    #[inline(always)]
    fn zero_extended(self) -> u128 {
        self.wide(0) & MASKS.get(self.span.len()).copied().unwrap_or_default()
    }

    /// A text of up to sixteen bytes as a number, and its length. Together they identify the text.
    #[inline(always)]
    pub(crate) fn short(self) -> Option<(u128, u32)> {
        let length = self.span.len() as u32;
        (length <= 16).then(|| (self.zero_extended(), length))
    }

    /// Hashes the text, with one folded multiplication per sixteen bytes. The seed is random per
    /// process, so that input cannot be crafted to collide.
    #[inline(always)]
    pub(crate) fn hash(self, seed: u64) -> u64 {
        let seed = seed ^ self.span.len() as u64;
        if self.span.len() <= 16 { fold(seed, self.zero_extended()) } else { self.long_hash(seed) }
    }

    fn long_hash(self, seed: u64) -> u64 {
        let last = self.span.len() - 16;
        let state = (0..last).step_by(16).fold(seed, |state, at| fold(state, self.wide(at)));
        fold(state, self.wide(last))
    }

    /// Whether both texts are equal. Most are so short that calling `memcmp` would take longer.
    #[inline(always)]
    pub(crate) fn same(self, other: Text<'_>) -> bool {
        if self.span.len() != other.span.len() {
            return false;
        }
        if self.span.len() > 16 {
            return self.long_same(other);
        }
        self.zero_extended() == other.zero_extended()
    }

    fn long_same(self, other: Text<'_>) -> bool {
        let last = self.span.len() - 16;
        let same = |at: usize| self.wide(at) == other.wide(at);
        same(last) && (0..last).step_by(16).all(same)
    }
}

/// Mixes sixteen bytes into the state: a 64-bit multiplication whose halves are combined by XOR.
#[inline(always)]
fn fold(state: u64, wide: u128) -> u64 {
    let (low, high) = (wide as u64 ^ state ^ MULTIPLIERS[0], (wide >> 64) as u64 ^ MULTIPLIERS[1]);
    let product = u128::from(low) * u128::from(high ^ state.rotate_left(32));
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bytes` between others of the value `padding`.
    fn data(bytes: &[u8], padding: u8) -> Vec<u8> {
        [&[padding; 3], bytes, &[padding; PADDING]].concat()
    }

    #[test]
    fn only_equal_texts_compare_and_hash_equal() {
        for length in 0..70 {
            let bytes = vec![7; length];
            let (a, b) = (data(&bytes, 1), data(&bytes, 9));
            let text = Text::new(&a, Span::new(3, 3 + length));
            assert_eq!(text.bytes(), bytes);
            let same = Text::new(&b, Span::new(3, 3 + length));
            assert!(text.same(same));
            assert_eq!(text.hash(5), same.hash(5));
            assert_ne!(text.hash(5), text.hash(6));
            for at in 0..length {
                let mut bytes = bytes.clone();
                bytes[at] = 8;
                let other = data(&bytes, 1);
                let other = Text::new(&other, Span::new(3, 3 + length));
                assert!(!text.same(other), "{at} of {length}");
                assert_ne!(text.hash(5), other.hash(5), "{at} of {length}");
            }
        }
    }

    #[test]
    fn texts_of_zeros_differ_by_length() {
        let zeros = [0; 70 + PADDING];
        let texts: Vec<_> = (0..70).map(|length| Text::new(&zeros, Span::new(0, length))).collect();
        for a in &texts {
            for b in &texts {
                assert_eq!(a.same(*b), a.span.len() == b.span.len());
                assert_eq!(a.hash(5) == b.hash(5), a.span.len() == b.span.len());
            }
        }
    }

    #[test]
    fn loads_beyond_the_end_are_zero() {
        let data = *b"x123456789abcdefg";
        assert_eq!(wide(&data, 1).to_le_bytes(), data[1..]);
        assert_eq!(wide(&data, 2), 0);
        assert_eq!(wide(&data, 200), 0);
    }
}
