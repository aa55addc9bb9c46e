//! Where fields and records end in a block, written down as numbers.

use crate::masks::BLOCK;

/// A place between two fields: a field ends there, and the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(u32);

impl Bound {
    /// The place before the first field of a chunk.
    pub(crate) const START: Self = Self(0);

    /// The place behind the byte at `end`, which ends a field.
    #[inline(always)]
    pub(crate) fn behind(end: u32) -> Self {
        Self(end + 1)
    }

    /// Where the byte is that ends the field before; means nothing before the first one.
    #[inline(always)]
    #[must_use]
    pub fn end(self) -> usize {
        self.0.wrapping_sub(1) as usize
    }

    /// Where the next field starts.
    #[inline(always)]
    #[must_use]
    pub fn start(self) -> usize {
        self.0 as usize
    }
}

/// Which bytes of a block end a field, and which of these end a record too. The first byte is the
/// lowest bit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) fields: u64,
    pub(crate) records: u64,
    /// Where the block starts in the chunk.
    pub(crate) at: u32,
    /// The number of the first bound of the block.
    pub(crate) first: u32,
}

/// Room for the bounds of a block, and for the numbers of those that end records. What is not needed of it
/// may be overwritten too.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) bounds: &'a mut [Bound; BLOCK],
    pub(crate) records: &'a mut [u32; BLOCK],
}

impl Ends {
    /// One after another, on any machine.
    #[inline(always)]
    pub(crate) fn write_by_bits(self, room: Room<'_>) {
        let Self { mut fields, mut records, at, first } = self;
        // Always whole pieces: a loop to the last one would be guessed wrong with every block.
        let (pieces, _) = room.records.as_chunks_mut::<4>();
        for piece in pieces.iter_mut().take(records.count_ones().div_ceil(4) as usize) {
            for record in piece {
                let before = !records & records.wrapping_sub(1);
                *record = first + (fields & before).count_ones();
                records &= records.wrapping_sub(1);
            }
        }
        let (pieces, _) = room.bounds.as_chunks_mut::<8>();
        for piece in pieces.iter_mut().take(fields.count_ones().div_ceil(8) as usize) {
            for bound in piece {
                *bound = Bound::behind(at + fields.trailing_zeros());
                fields &= fields.wrapping_sub(1);
            }
        }
    }

    /// Sixteen at a time.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi2,popcnt")]
    #[inline]
    pub(crate) fn write_by_avx512(self, room: Room<'_>) {
        let Self { fields, records, at, first } = self;
        let records = std::arch::x86_64::_pext_u64(records, fields);
        write_places(records, first, |record| record, room.records);
        write_places(fields, at, Bound::behind, room.bounds);
    }
}

/// Writes what `make` makes of the place of each bit, counted from `base` on.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
#[inline]
fn write_places<T>(bits: u64, base: u32, make: impl Fn(u32) -> T, room: &mut [T; BLOCK]) {
    use std::arch::x86_64::{
        _mm512_add_epi32, _mm512_castsi512_si128, _mm512_cvtepu8_epi32, _mm512_maskz_compress_epi8,
        _mm512_set1_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512,
    };

    use crate::masks::load;

    const LANES: usize = 16;
    const PLACES: [u8; BLOCK] = {
        let mut places = [0; BLOCK];
        let mut place = 0;
        while place < BLOCK {
            places[place] = place as u8;
            place += 1;
        }
        places
    };
    let mut places = _mm512_maskz_compress_epi8(bits, load(&PLACES));
    let base = _mm512_set1_epi32(base as i32);
    let (pieces, _) = room.as_chunks_mut::<LANES>();
    for piece in pieces.iter_mut().take(bits.count_ones().div_ceil(LANES as u32) as usize) {
        let numbers = _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(places)), base);
        let mut written = [0; LANES];
        #[expect(unsafe_code, reason = "there is no other way from a vector to numbers")]
        // SAFETY: as many bytes are written as there are, which need not be aligned.
        unsafe {
            _mm512_storeu_si512(written.as_mut_ptr().cast(), numbers);
        }
        *piece = written.map(&make);
        // The next sixteen become the first ones.
        places = _mm512_shuffle_i32x4::<0b00_11_10_01>(places, places);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::masks::Masks;
    use crate::processor::{Processor, Work};

    struct Write<'a>(Ends, Room<'a>);

    impl Work for Write<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self, _: impl Fn(&[u8; BLOCK]) -> Masks, write: impl Fn(Ends, Room<'_>)) {
            write(self.0, self.1);
        }
    }

    proptest! {
        #[test]
        fn every_way_writes_the_same(
            fields: u64, sparser: u64, records: u64, at in 0..1_u32 << 31, first in 0..1_u32 << 31,
        ) {
            for fields in [fields, fields & sparser, 0, u64::MAX] {
                let ends = Ends { fields, records: records & fields, at, first };
                let places = (0..64).filter(|place| fields >> place & 1 == 1);
                let bounds: Vec<_> = places.clone().map(|place| Bound(at + place + 1)).collect();
                let of_records = (first..).zip(places).filter(|(_, place)| records >> place & 1 == 1);
                let of_records: Vec<_> = of_records.map(|(field, _)| field).collect();
                for processor in Processor::available() {
                    let (mut room, mut record_room) = ([Bound(7); BLOCK], [7; BLOCK]);
                    processor.run(Write(ends, Room { bounds: &mut room, records: &mut record_room }));
                    prop_assert_eq!(&room[..bounds.len()], &bounds, "{:?}", processor);
                    prop_assert_eq!(&record_room[..of_records.len()], &of_records, "{:?}", processor);
                }
            }
        }
    }
}
