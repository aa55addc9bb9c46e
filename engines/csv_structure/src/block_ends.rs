//! Converts the bits that mark the ends of fields and records in a block into offsets.

use crate::masks::BLOCK;

/// The boundary between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(u32);

impl Bound {
    /// The boundary before the first field of a chunk.
    pub(crate) const START: Self = Self(0);

    /// The boundary after the byte at `end`, which ends a field.
    #[inline(always)]
    pub(crate) fn after(end: u32) -> Self {
        Self(end + 1)
    }

    /// The offset of the byte that ends the field before it; meaningless for the boundary before
    /// the first field.
    #[inline(always)]
    #[must_use]
    pub fn end(self) -> usize {
        self.0.wrapping_sub(1) as usize
    }

    /// The offset at which the next field starts.
    #[inline(always)]
    #[must_use]
    pub fn start(self) -> usize {
        self.0 as usize
    }
}

/// The bytes of a block that end a field, and those of them that also end a record. The first byte
/// is the lowest bit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockEnds {
    pub(crate) fields: u64,
    pub(crate) records: u64,
    /// The offset of the block in the chunk.
    pub(crate) at: u32,
    /// The index of the first bound of the block.
    pub(crate) first: u32,
}

/// Where to write the bounds of a block, and the indices of those that end records. Elements after
/// the last one that is needed may be overwritten.
#[derive(Debug)]
pub(crate) struct BlockOutput<'a> {
    pub(crate) bounds: &'a mut [Bound; BLOCK],
    pub(crate) records: &'a mut [u32; BLOCK],
}

impl BlockEnds {
    /// Writes one end at a time, on any processor.
    #[inline(always)]
    pub(crate) fn write_portable(self, output: BlockOutput<'_>) {
        let Self { mut fields, mut records, at, first } = self;
        // Writes multiples of 4 and 8: the exit of a loop over the exact number of ends would be
        // mispredicted in almost every block.
        let (pieces, _) = output.records.as_chunks_mut::<4>();
        for piece in pieces.iter_mut().take(records.count_ones().div_ceil(4) as usize) {
            for record in piece {
                let before = !records & records.wrapping_sub(1);
                *record = first + (fields & before).count_ones();
                records &= records.wrapping_sub(1);
            }
        }
        let (pieces, _) = output.bounds.as_chunks_mut::<8>();
        for piece in pieces.iter_mut().take(fields.count_ones().div_ceil(8) as usize) {
            for bound in piece {
                *bound = Bound::after(at + fields.trailing_zeros());
                fields &= fields.wrapping_sub(1);
            }
        }
    }

    /// Writes 16 ends at a time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi2,popcnt")]
    #[inline]
    pub(crate) fn write_avx512(self, output: BlockOutput<'_>) {
        let Self { fields, records, at, first } = self;
        let records = std::arch::x86_64::_pext_u64(records, fields);
        write_positions(records, first, |record| record, output.records);
        write_positions(fields, at, Bound::after, output.bounds);
    }
}

/// Writes `make(base + position)` for the position of each set bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
#[inline]
fn write_positions<T>(bits: u64, base: u32, make: impl Fn(u32) -> T, output: &mut [T; BLOCK]) {
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cvtepu8_epi32, _mm512_maskz_compress_epi8,
        _mm512_set1_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    };

    use crate::masks::load;

    const LANES: usize = 16;
    const POSITIONS: [u8; BLOCK] = {
        let mut positions = [0; BLOCK];
        let mut position = 0;
        while position < BLOCK {
            positions[position] = position as u8;
            position += 1;
        }
        positions
    };
    let mut positions = _mm512_maskz_compress_epi8(bits, load(&POSITIONS));
    let base = _mm512_set1_epi32(base as i32);
    let (pieces, _) = output.as_chunks_mut::<LANES>();
    for piece in pieces.iter_mut().take(bits.count_ones().div_ceil(LANES as u32) as usize) {
        let numbers =
            _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(positions)), base);
        let mut written = [0; LANES];
        #[expect(unsafe_code, reason = "no safe function stores a vector")]
        // SAFETY: `written` is as long as the vector; the store needs no alignment.
        unsafe {
            _mm512_storeu_si512(written.as_mut_ptr().cast(), numbers);
        }
        *piece = written.map(&make);
        // Moves the next 16 positions to the front.
        positions = _mm512_shuffle_i32x4::<0b00_11_10_01>(positions, positions);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instruction_set::{InstructionSet, Kernel};
    use crate::masks::{Masks, Syntax};

    struct WriteEnds<'a>(BlockEnds, BlockOutput<'a>);

    impl Kernel for WriteEnds<'_> {
        type Output = ();

        #[inline(always)]
        fn run(
            self,
            _: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
            write: impl Fn(BlockEnds, BlockOutput<'_>),
        ) {
            write(self.0, self.1);
        }
    }

    proptest! {
        #[test]
        fn all_instruction_sets_write_the_same_ends(
            fields: u64, sparser: u64, records: u64, at in 0..1_u32 << 31, first in 0..1_u32 << 31,
        ) {
            for fields in [fields, fields & sparser, 0, u64::MAX] {
                let ends = BlockEnds { fields, records: records & fields, at, first };
                let bits = (0..64).filter(|bit| fields >> bit & 1 == 1);
                let bounds: Vec<_> = bits.clone().map(|bit| Bound(at + bit + 1)).collect();
                let of_records = (first..).zip(bits).filter(|(_, bit)| records >> bit & 1 == 1);
                let of_records: Vec<_> = of_records.map(|(field, _)| field).collect();
                for set in InstructionSet::available() {
                    let (mut bound_output, mut record_output) = ([Bound(7); BLOCK], [7; BLOCK]);
                    let output =
                        BlockOutput { bounds: &mut bound_output, records: &mut record_output };
                    set.run(WriteEnds(ends, output));
                    prop_assert_eq!(&bound_output[..bounds.len()], &bounds, "{:?}", set);
                    prop_assert_eq!(&record_output[..of_records.len()], &of_records, "{:?}", set);
                }
            }
        }
    }
}
