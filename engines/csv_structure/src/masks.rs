//! Which bytes of a block mean something in CSV, one bit for each.

/// As many bytes are looked at at once.
pub const BLOCK: usize = 64;

/// The bytes of one block that mean something; the first byte is the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) comma: u64,
    pub(crate) newline: u64,
    pub(crate) cr: u64,
    pub(crate) quote: u64,
    /// Whether the number of quotes up to each byte is odd, its own included.
    pub(crate) odd_quotes: u64,
}

impl Masks {
    /// Eight bytes at a time, on any machine.
    #[inline]
    pub(crate) fn by_words(block: &[u8; BLOCK]) -> Self {
        let (words, _) = block.as_chunks::<8>();
        let find = |byte: u8| {
            let wanted = u64::from_ne_bytes([byte; 8]);
            let bits = words.iter().enumerate();
            bits.fold(0, |mask, (at, word)| {
                mask | zeros(u64::from_le_bytes(*word) ^ wanted) << (at * 8)
            })
        };
        let quote = find(b'"');
        // The parity of one bit, of two, of four and so on.
        let odd_quotes = [1, 2, 4, 8, 16, 32].iter().fold(quote, |odd, shift| odd ^ (odd << shift));
        Self { comma: find(b','), newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,pclmulqdq")]
    #[inline]
    pub(crate) fn by_avx2(block: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{
            __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
        };

        let load = |half: &[u8; BLOCK / 2]| {
            #[expect(unsafe_code, reason = "eight bytes at a time are not made one load")]
            // SAFETY: half a block is as long as what is read, which need not be aligned.
            unsafe {
                _mm256_loadu_si256(half.as_ptr().cast())
            }
        };
        let (halves, _) = block.as_chunks::<{ BLOCK / 2 }>();
        let (low, high) = (load(&halves[0]), load(&halves[1]));
        let find = |byte: u8| {
            let wanted = _mm256_set1_epi8(byte as i8);
            let bits = |half: __m256i| {
                u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, wanted)) as u32)
            };
            bits(low) | bits(high) << 32
        };
        let quote = find(b'"');
        let odd_quotes = odd(quote);
        Self { comma: find(b','), newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,pclmulqdq")]
    #[inline]
    pub(crate) fn by_avx512(block: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{_mm512_cmpeq_epi8_mask, _mm512_set1_epi8};

        let bytes = load(block);
        let find = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8));
        let quote = find(b'"');
        let odd_quotes = odd(quote);
        Self { comma: find(b','), newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    /// The bits that lie inside quotes, the opening ones included and the closing ones not. `inside`
    /// is all ones where the block starts inside, else 0.
    #[inline(always)]
    pub(crate) fn quoted(self, inside: u64) -> u64 {
        self.odd_quotes ^ inside
    }
}

/// A block as one vector.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn load(block: &[u8; BLOCK]) -> std::arch::x86_64::__m512i {
    #[expect(unsafe_code, reason = "eight bytes at a time are not made one load")]
    // SAFETY: a block is as long as what is read, which need not be aligned.
    unsafe {
        std::arch::x86_64::_mm512_loadu_si512(block.as_ptr().cast())
    }
}

/// For each bit whether the number of bits up to it is odd, its own included.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "pclmulqdq")]
#[inline]
fn odd(bits: u64) -> u64 {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64};

    // Multiplied without carries by all ones, each bit becomes the parity of those up to it.
    let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(bits as i64), _mm_cvtsi64_si128(-1));
    _mm_cvtsi128_si64(product) as u64
}

/// Which bytes of the word are 0, one bit for each.
#[inline]
fn zeros(word: u64) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    // No sum carries into the next byte.
    let flags = !(((word & LOW) + LOW) | word | LOW);
    // Gathers the flags in the highest byte.
    (flags >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ends::{Ends, Room};
    use crate::processor::{Processor, Work};

    fn naive(block: &[u8; BLOCK]) -> Masks {
        let find = |wanted| {
            let bits = block.iter().enumerate();
            bits.fold(0, |mask, (at, byte)| mask | u64::from(*byte == wanted) << at)
        };
        let (quote, mut odd, mut odd_quotes) = (find(b'"'), 0, 0);
        for bit in 0..64 {
            odd ^= quote >> bit & 1;
            odd_quotes |= odd << bit;
        }
        Masks { comma: find(b','), newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    struct Look<'a>(&'a [u8; BLOCK]);

    impl Work for Look<'_> {
        type Output = Masks;

        #[inline(always)]
        fn run(self, masks: impl Fn(&[u8; BLOCK]) -> Masks, _: impl Fn(Ends, Room<'_>)) -> Masks {
            masks(self.0)
        }
    }

    proptest! {
        #[test]
        fn every_way_gives_the_same(bytes in proptest::collection::vec(
            proptest::sample::select(b",\n\r\"\"\"a\xFF\x80-\0\x01+\x0B".to_vec()), BLOCK..=BLOCK,
        )) {
            let block = bytes.first_chunk().unwrap();
            for processor in Processor::available() {
                prop_assert_eq!(processor.run(Look(block)), naive(block), "{:?}", processor);
            }
        }
    }
}
