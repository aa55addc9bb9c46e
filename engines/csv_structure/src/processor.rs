//! Code that is compiled several times, for what different processors have, and run in the best way that
//! the one at hand can.

use std::sync::LazyLock;

use crate::ends::{Ends, Room};
use crate::masks::{BLOCK, Masks};

/// Asked for once: it is needed for every few rows.
static BEST: LazyLock<Processor> = LazyLock::new(Processor::detect);

/// Work on blocks.
pub(crate) trait Work {
    /// What comes of it.
    type Output;

    /// `masks` is one of the ways of [`Masks`], `write` one of [`Ends`]. This must be inlined, so that
    /// all of it is compiled for the same processor.
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK]) -> Masks,
        write: impl Fn(Ends, Room<'_>),
    ) -> Self::Output;
}

/// What a processor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    /// Nothing that not all can.
    Any,
    /// 32 bytes at once: Intel since 2013, AMD since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64 bytes at once, and bytes put together by a mask: Intel since 2019, AMD since 2022.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Processor {
    /// The one at hand.
    #[inline]
    pub(crate) fn best() -> Self {
        *BEST
    }

    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("pclmulqdq")
                && is_x86_feature_detected!("popcnt");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi2");
            match (avx2, avx512) {
                (true, true) => return Self::Avx512,
                (true, false) => return Self::Avx2,
                (false, _) => {}
            }
        }
        Self::Any
    }

    /// All that the one at hand is, and less.
    #[cfg(test)]
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let all = [
            Self::Any,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
        ];
        all.into_iter().filter(|processor| *processor as u8 <= Self::best() as u8)
    }

    /// Does the work. The processor at hand must be [`Processor::best`] or less.
    #[inline]
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Any => work.run(Masks::by_words, Ends::write_by_bits),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked whether it can run this")]
            // SAFETY: all features that the function is compiled for were found.
            Self::Avx2 => unsafe { by_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the processor was asked whether it can run this")]
            // SAFETY: all features that the function is compiled for were found.
            Self::Avx512 => unsafe { by_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt")]
fn by_avx2<W: Work>(work: W) -> W::Output {
    work.run(|block| Masks::by_avx2(block), Ends::write_by_bits)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2"
)]
fn by_avx512<W: Work>(work: W) -> W::Output {
    work.run(|block| Masks::by_avx512(block), |ends, room| ends.write_by_avx512(room))
}

/// Runs `work`, compiled for the best that the processor has, so that loops over numbers are done for
/// several at a time. What it calls must be inlined.
#[inline]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    Processor::best().run(Other(work))
}

/// Work without blocks.
struct Other<F>(F);

impl<T, F: FnOnce() -> T> Work for Other<F> {
    type Output = T;

    #[inline(always)]
    fn run(self, _: impl Fn(&[u8; BLOCK]) -> Masks, _: impl Fn(Ends, Room<'_>)) -> T {
        (self.0)()
    }
}

/// Has an element brought into the processor's cache, if there is one. Nothing waits for it, so many can
/// be on their way at the same time.
#[inline(always)]
pub fn prefetch<T: Copy>(all: &[T], at: usize) {
    let Some(element) = all.get(at) else { return };
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no safe way to ask for it")]
    // SAFETY: nothing is read, and every processor of this kind can do it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(*element);
}
