//! Short texts read sixteen bytes at a time, without a loop over their bytes.

/// Where some bytes stand.
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

/// Sixteen bytes from `at` on, the first one lowest; 0 where there are not as many.
#[inline(always)]
pub(crate) fn wide(data: &[u8], at: usize) -> u128 {
    let bytes = data.get(at..at + 16).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u128::from_le_bytes)
}

/// For each number of bytes up to sixteen, so many that are all ones.
const FIRST: [u128; 17] = {
    let mut first = [0; 17];
    let mut count = 1;
    while count <= 16 {
        first[count] = u128::MAX >> (128 - 8 * count);
        count += 1;
    }
    first
};

/// The first bytes of many texts, side by side: so several of them are worked on at a time.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    /// The first eight bytes of each, and the next eight where these were asked for; the first one
    /// lowest.
    pub(crate) first: Vec<u64>,
    pub(crate) second: Vec<u64>,
    /// How long each text is.
    pub(crate) lengths: Vec<u64>,
}

impl Prefixes {
    /// Those of the texts at `spans`, and with `SECOND` eight more bytes.
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

/// How many bytes must follow a text.
pub(crate) const PADDING: usize = 16;

/// A copy of a text that has nothing behind it, with [`PADDING`].
pub(crate) fn padded(text: &[u8]) -> Vec<u8> {
    [text, &[0; PADDING]].concat()
}

/// Half of the bits of these are set, in no pattern.
const MULTIPLIERS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03];

/// A part of `data`, behind which there are at least [`PADDING`] bytes of whatever kind.
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

    /// Sixteen bytes from `at` on.
    #[inline(always)]
    fn wide(self, at: usize) -> u128 {
        wide(self.data, self.span.start() + at)
    }

    /// All bytes of a text of up to sixteen: the first one lowest, zeros above the last one.
    #[inline(always)]
    fn whole(self) -> u128 {
        self.wide(0) & FIRST.get(self.span.len()).copied().unwrap_or_default()
    }

    /// All of a text of up to sixteen bytes, as a number that means something to these only, and how
    /// many they are.
    #[inline(always)]
    pub(crate) fn short(self) -> Option<(u128, u32)> {
        let length = self.span.len() as u32;
        (length <= 16).then(|| (self.whole(), length))
    }

    /// A folded multiplication for sixteen bytes each. `seed` makes the hashes of this process its
    /// own, so that no file can be made to collide.
    #[inline(always)]
    pub(crate) fn hash(self, seed: u64) -> u64 {
        let seed = seed ^ self.span.len() as u64;
        if self.span.len() <= 16 { fold(seed, self.whole()) } else { self.long_hash(seed) }
    }

    fn long_hash(self, seed: u64) -> u64 {
        let last = self.span.len() - 16;
        let state = (0..last).step_by(16).fold(seed, |state, at| fold(state, self.wide(at)));
        fold(state, self.wide(last))
    }

    /// Whether both have the same bytes; most are so short that a call of `memcmp` would cost more.
    #[inline(always)]
    pub(crate) fn same(self, other: Text<'_>) -> bool {
        if self.span.len() != other.span.len() {
            return false;
        }
        if self.span.len() > 16 {
            return self.long_same(other);
        }
        self.whole() == other.whole()
    }

    fn long_same(self, other: Text<'_>) -> bool {
        let last = self.span.len() - 16;
        let same = |at: usize| self.wide(at) == other.wide(at);
        same(last) && (0..last).step_by(16).all(same)
    }
}

#[inline(always)]
fn fold(state: u64, wide: u128) -> u64 {
    let (low, high) = (wide as u64 ^ state ^ MULTIPLIERS[0], (wide >> 64) as u64 ^ MULTIPLIERS[1]);
    let product = u128::from(low) * u128::from(high ^ state.rotate_left(32));
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes with others around them that mean nothing.
    fn data(bytes: &[u8], other: u8) -> Vec<u8> {
        [&[other; 3], bytes, &[other; PADDING]].concat()
    }

    #[test]
    fn texts_are_the_same_only_byte_by_byte() {
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
    fn zeros_count() {
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
    fn what_is_not_there_is_zero() {
        let data = *b"x123456789abcdefg";
        assert_eq!(wide(&data, 1).to_le_bytes(), data[1..]);
        assert_eq!(wide(&data, 2), 0);
        assert_eq!(wide(&data, 200), 0);
    }
}
