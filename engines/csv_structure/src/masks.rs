//! Bit masks of the bytes of a block that are special in CSV.

/// The number of bytes that are processed at a time.
pub const BLOCK: usize = 64;

/// The bytes that separate and enclose the fields of CSV. They differ from each other and from line
/// ends, and are ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// The byte between two fields.
    pub delimiter: u8,
    /// The byte that encloses a quoted field.
    pub quote: u8,
}

impl Default for Syntax {
    /// Those of RFC 4180: commas and double quotes.
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"' }
    }
}

/// Bit masks of the special bytes of a block. The first byte is the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) delimiter: u64,
    pub(crate) newline: u64,
    pub(crate) cr: u64,
    pub(crate) quote: u64,
    /// For each byte, whether the number of quotes up to and including it is odd.
    pub(crate) odd_quotes: u64,
}

impl Masks {
    /// Finds them 8 bytes at a time, on any processor.
    #[inline]
    pub(crate) fn portable(block: &[u8; BLOCK], syntax: Syntax) -> Self {
        let (words, _) = block.as_chunks::<8>();
        let find = |byte: u8| {
            let wanted = u64::from_ne_bytes([byte; 8]);
            let bits = words.iter().enumerate();
            bits.fold(0, |mask, (at, word)| {
                mask | zeros(u64::from_le_bytes(*word) ^ wanted) << (at * 8)
            })
        };
        let quote = find(syntax.quote);
        // A prefix XOR: the parity of 1 bit, of 2, of 4 and so on.
        let odd_quotes = [1, 2, 4, 8, 16, 32].iter().fold(quote, |odd, shift| odd ^ (odd << shift));
        let delimiter = find(syntax.delimiter);
        Self { delimiter, newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,pclmulqdq")]
    #[inline]
    pub(crate) fn avx2(block: &[u8; BLOCK], syntax: Syntax) -> Self {
        use std::arch::x86_64::{
            __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
        };

        let load = |half: &[u8; BLOCK / 2]| {
            #[expect(unsafe_code, reason = "the compiler does not merge safe reads into one load")]
            // SAFETY: half a block is as long as the vector; the load needs no alignment.
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
        let quote = find(syntax.quote);
        let odd_quotes = odd(quote);
        let delimiter = find(syntax.delimiter);
        Self { delimiter, newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,pclmulqdq")]
    #[inline]
    pub(crate) fn avx512(block: &[u8; BLOCK], syntax: Syntax) -> Self {
        use std::arch::x86_64::{_mm512_cmpeq_epi8_mask, _mm512_set1_epi8};

        let bytes = load(block);
        let find = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte as i8));
        let quote = find(syntax.quote);
        let odd_quotes = odd(quote);
        let delimiter = find(syntax.delimiter);
        Self { delimiter, newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    /// The bytes inside quotes, including the opening quotes and excluding the closing ones.
    /// `inside` is all ones if the block starts inside quotes, else 0.
    #[inline(always)]
    pub(crate) fn quoted(self, inside: u64) -> u64 {
        self.odd_quotes ^ inside
    }
}

/// Loads a block into one vector.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn load(block: &[u8; BLOCK]) -> std::arch::x86_64::__m512i {
    #[expect(unsafe_code, reason = "the compiler does not merge safe reads into one load")]
    // SAFETY: a block is as long as the vector; the load needs no alignment.
    unsafe {
        std::arch::x86_64::_mm512_loadu_si512(block.as_ptr().cast())
    }
}

/// For each bit, whether the number of set bits up to and including it is odd.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "pclmulqdq")]
#[inline]
fn odd(bits: u64) -> u64 {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_cvtsi64_si128, _mm_cvtsi128_si64};

    // A carry-less multiplication by all ones is a prefix XOR.
    let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(bits as i64), _mm_cvtsi64_si128(-1));
    _mm_cvtsi128_si64(product) as u64
}

/// One bit for each byte of the word that is 0.
#[inline]
fn zeros(word: u64) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    // The additions cannot carry into the next byte.
    let flags = !(((word & LOW) + LOW) | word | LOW);
    // Gathers the flags into the highest byte.
    (flags >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block_ends::{BlockEnds, BlockOutput};
    use crate::instruction_set::{InstructionSet, Kernel};

    fn naive(block: &[u8; BLOCK], syntax: Syntax) -> Masks {
        let find = |wanted| {
            let bits = block.iter().enumerate();
            bits.fold(0, |mask, (at, byte)| mask | u64::from(*byte == wanted) << at)
        };
        let (quote, mut odd, mut odd_quotes) = (find(syntax.quote), 0, 0);
        for bit in 0..64 {
            odd ^= quote >> bit & 1;
            odd_quotes |= odd << bit;
        }
        let delimiter = find(syntax.delimiter);
        Masks { delimiter, newline: find(b'\n'), cr: find(b'\r'), quote, odd_quotes }
    }

    struct ReadMasks<'a>(&'a [u8; BLOCK], Syntax);

    impl Kernel for ReadMasks<'_> {
        type Output = Masks;

        #[inline(always)]
        fn run(
            self,
            masks: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
            _: impl Fn(BlockEnds, BlockOutput<'_>),
        ) -> Masks {
            masks(self.0, self.1)
        }
    }

    proptest! {
        #[test]
        fn all_instruction_sets_find_the_same_masks(bytes in proptest::collection::vec(
            proptest::sample::select(b",;|\t\n\r\"\"\"'a\xFF\x80-\0\x01+\x0B".to_vec()), BLOCK..=BLOCK,
        ), delimiter in proptest::sample::select(b",;|\t".to_vec()), quote in proptest::sample::select(b"\"'".to_vec())) {
            let syntax = Syntax { delimiter, quote };
            let block = bytes.first_chunk().unwrap();
            for set in InstructionSet::available() {
                prop_assert_eq!(set.run(ReadMasks(block, syntax)), naive(block, syntax), "{:?}", set);
            }
        }
    }
}
