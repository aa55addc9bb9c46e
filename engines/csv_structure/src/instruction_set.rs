//! Compiles code for several instruction sets and runs it with the best one that the processor
//! supports.

use std::sync::LazyLock;

use crate::block_ends::{BlockEnds, BlockOutput};
use crate::masks::{BLOCK, Masks, Syntax};

/// Detected once, since it is needed for every few rows.
static BEST: LazyLock<InstructionSet> = LazyLock::new(InstructionSet::detect);

/// A computation that is compiled for each instruction set.
pub(crate) trait Kernel {
    /// Its result.
    type Output;

    /// Runs the computation. `masks` is the constructor of [`Masks`] and `write` the method of
    /// [`BlockEnds`] for the instruction set. Implementations must be `#[inline(always)]`, so that
    /// they are compiled for the same instruction set.
    fn run(
        self,
        masks: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
        write: impl Fn(BlockEnds, BlockOutput<'_>),
    ) -> Self::Output;
}

/// The instructions that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// Those that every processor of the target has.
    Portable,
    /// 32 bytes at a time: Intel since 2013, AMD since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 64 bytes at a time, and compression of bytes by a mask: Intel since 2019, AMD since 2022.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// The best one that this processor supports.
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
        Self::Portable
    }

    /// All that this processor supports.
    #[cfg(test)]
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        let all = [
            Self::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
        ];
        all.into_iter().filter(|processor| *processor as u8 <= Self::best() as u8)
    }

    /// Runs `kernel`. `self` must not be better than [`InstructionSet::best`].
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run(Masks::portable, BlockEnds::write_portable),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the features were detected")]
            // SAFETY: the processor has all features that the function is compiled for.
            Self::Avx2 => unsafe { run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "the features were detected")]
            // SAFETY: the processor has all features that the function is compiled for.
            Self::Avx512 => unsafe { run_avx512(kernel) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(|block, syntax| Masks::avx2(block, syntax), BlockEnds::write_portable)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,pclmulqdq,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2"
)]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel
        .run(|block, syntax| Masks::avx512(block, syntax), |ends, output| ends.write_avx512(output))
}

/// Runs `work` compiled for the best instruction set of the processor, so that its loops are
/// vectorised with it. Functions that it calls must be inlined.
#[inline]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    InstructionSet::best().run(Closure(work))
}

/// A kernel that does not use blocks.
struct Closure<F>(F);

impl<T, F: FnOnce() -> T> Kernel for Closure<F> {
    type Output = T;

    #[inline(always)]
    fn run(
        self,
        _: impl Fn(&[u8; BLOCK], Syntax) -> Masks,
        _: impl Fn(BlockEnds, BlockOutput<'_>),
    ) -> T {
        (self.0)()
    }
}

/// Prefetches the element at `at` into the processor's cache; does nothing if it is out of bounds.
/// The processor does not wait for it, so many elements can be prefetched at the same time.
#[inline(always)]
pub fn prefetch<T: Copy>(all: &[T], at: usize) {
    let Some(element) = all.get(at) else { return };
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the intrinsic has no safe wrapper")]
    // SAFETY: a prefetch has no effect but on caches, and every x86-64 processor supports it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(element).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(*element);
}
