//! The instruction sets: a table of kernels for each, and the choice at run time.

use crate::kernels::{gather, gemm, norm, optimizer, patch, pointwise, rows, softmax, winograd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that the kernels are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 as below, with AMX tiles for convolutions in bf16.
    Amx,
    /// AVX-512F, 16 lanes.
    Avx512,
    /// AVX2 with FMA, 8 lanes.
    Avx2,
    /// NEON, 4 lanes.
    Neon,
    /// Ordinary code, for any CPU.
    Portable,
}

impl Isa {
    /// All that this CPU can run, the fastest first. Never empty: `Portable` is the last.
    pub fn available() -> &'static [Isa] {
        static FOUND: OnceLock<Vec<Isa>> = OnceLock::new();
        FOUND.get_or_init(|| {
            let mut found = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if crate::tiles::available() {
                    found.push(Isa::Amx);
                }
                if is_x86_feature_detected!("avx512f") {
                    found.push(Isa::Avx512);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    found.push(Isa::Avx2);
                }
            }
            #[cfg(target_arch = "aarch64")]
            if std::arch::is_aarch64_feature_detected!("neon") {
                found.push(Isa::Neon);
            }
            found.push(Isa::Portable);
            found
        })
    }

    /// The one in use: the fastest available, unless [`force_isa`] named another.
    pub fn current() -> Isa {
        match FORCED.load(Ordering::Relaxed) {
            1 => Isa::Avx512,
            2 => Isa::Avx2,
            3 => Isa::Neon,
            4 => Isa::Portable,
            5 => Isa::Amx,
            _ => Isa::available()[0],
        }
    }

    /// Whether the one in use has tiles: what is only computed with them asks here first.
    pub fn has_tiles() -> bool {
        Isa::current() == Isa::Amx
    }
}

static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes all kernels of the process use `isa`; `None` goes back to the fastest. For tests and
/// measurements. Returns false, and changes nothing, where the CPU lacks it. Weights packed
/// earlier stay bound to the instruction set that they were packed for.
pub fn force_isa(isa: Option<Isa>) -> bool {
    let code = match isa {
        None => 0,
        Some(isa) if !Isa::available().contains(&isa) => return false,
        Some(Isa::Avx512) => 1,
        Some(Isa::Avx2) => 2,
        Some(Isa::Neon) => 3,
        Some(Isa::Portable) => 4,
        Some(Isa::Amx) => 5,
    };
    FORCED.store(code, Ordering::Relaxed);
    true
}

/// The kernels of one Winograd algorithm.
pub(crate) struct WinogradKernels {
    /// Outputs of a tile in one dimension.
    pub m: usize,
    /// Points in one dimension.
    pub a: usize,
    pub input: unsafe fn(&winograd::Input),
    pub output: unsafe fn(&winograd::Output),
    pub weight: unsafe fn(&winograd::Weight),
    pub gradient: unsafe fn(&winograd::Gradient),
    pub weight_back: unsafe fn(&winograd::WeightBack),
}

/// The kernels of one instruction set.
pub(crate) struct Kernels {
    pub lanes: usize,
    /// Rows of the GEMM micro-kernel.
    pub mr: usize,
    /// Columns of the GEMM micro-kernel.
    pub nr: usize,
    /// Rows of the dot-product micro-kernel.
    pub dm: usize,
    pub gemm: unsafe fn(&gemm::Gemm),
    /// The same over the first vector of the columns only.
    pub gemm_narrow: unsafe fn(&gemm::Gemm),
    pub slide: unsafe fn(&gemm::Slide),
    pub dot: unsafe fn(&gemm::Dot),
    pub gather: unsafe fn(&gather::Gather),
    pub finish: unsafe fn(&rows::Finish),
    pub norm: unsafe fn(&norm::Norm),
    pub norm_back: unsafe fn(&norm::Norm),
    pub patch_distance: unsafe fn(&mut patch::Patch),
    pub modulate: unsafe fn(&pointwise::Modulate),
    pub modulate_back: unsafe fn(&pointwise::Modulate),
    pub adam: unsafe fn(&optimizer::Adam),
    pub blend: unsafe fn(&optimizer::Blend),
    pub row_max: unsafe fn(&softmax::Row),
    pub row_exp: unsafe fn(&softmax::Row),
    pub softmax_columns: unsafe fn(&softmax::Columns),
    pub softmax_columns_back: unsafe fn(&softmax::Columns),
    pub f43: WinogradKernels,
    pub f23: WinogradKernels,
}

/// Instantiates every kernel for one implementation of `Simd`.
macro_rules! kernels {
    ($module:ident, $simd:ty $(, $features:literal)?) => {
        mod $module {
            use super::*;
            use crate::simd::Simd;
            type S = $simd;
            const MR: usize = <S as Simd>::MR;
            const NV: usize = <S as Simd>::NV;
            const DM: usize = <S as Simd>::DM;

            /// Defines a function that enables the features and calls the generic kernel.
            macro_rules! entry {
                ($name:ident, $args:ty, $kernel:expr) => {
                    /// # Safety
                    /// As the kernel, on a CPU with the features that this table stands for.
                    $(#[target_feature(enable = $features)])?
                    unsafe fn $name(args: &$args) {
                        // SAFETY: the caller keeps the kernel's contract, and the features are
                        // enabled here.
                        unsafe { $kernel(args) }
                    }
                };
            }
            entry!(gemm_full, gemm::Gemm, gemm::gemm::<S, MR, NV>);
            entry!(gemm_narrow, gemm::Gemm, gemm::gemm::<S, MR, 1>);
            entry!(slide, gemm::Slide, gemm::slide::<S, MR, NV>);
            entry!(dot, gemm::Dot, gemm::dot::<S, DM>);
            entry!(gather_rows, gather::Gather, gather::gather::<S>);
            entry!(finish, rows::Finish, rows::finish::<S>);
            entry!(input43, winograd::Input, winograd::input::<S, winograd::F43>);
            entry!(output43, winograd::Output, winograd::output::<S, winograd::F43>);
            entry!(weight43, winograd::Weight, winograd::weight::<S, winograd::F43>);
            entry!(input23, winograd::Input, winograd::input::<S, winograd::F23>);
            entry!(output23, winograd::Output, winograd::output::<S, winograd::F23>);
            entry!(weight23, winograd::Weight, winograd::weight::<S, winograd::F23>);

            entry!(gradient43, winograd::Gradient, winograd::gradient::<S, winograd::F43>);
            entry!(weight_back43, winograd::WeightBack, winograd::weight_back::<S, winograd::F43>);

            entry!(gradient23, winograd::Gradient, winograd::gradient::<S, winograd::F23>);
            entry!(weight_back23, winograd::WeightBack, winograd::weight_back::<S, winograd::F23>);

            entry!(norm_rows, norm::Norm, norm::norm::<S>);
            entry!(norm_back, norm::Norm, norm::norm_back::<S>);
            /// # Safety
            /// As the kernel, on a CPU with the features that this table stands for.
            $(#[target_feature(enable = $features)])?
            unsafe fn patch_distance(args: &mut patch::Patch) {
                // SAFETY: the caller keeps the kernel's contract, and the features are enabled
                // here.
                unsafe { patch::distance::<S>(args) }
            }
            entry!(modulate, pointwise::Modulate, pointwise::modulate::<S>);
            entry!(modulate_back, pointwise::Modulate, pointwise::modulate_back::<S>);
            entry!(adam, optimizer::Adam, optimizer::adam::<S>);
            entry!(blend, optimizer::Blend, optimizer::blend::<S>);
            entry!(row_max, softmax::Row, softmax::row_max::<S>);
            entry!(row_exp, softmax::Row, softmax::row_exp::<S>);
            entry!(softmax_columns, softmax::Columns, softmax::columns::<S>);
            entry!(softmax_columns_back, softmax::Columns, softmax::columns_back::<S>);

            pub(super) static TABLE: Kernels = Kernels {
                lanes: <S as Simd>::LANES,
                mr: MR,
                nr: NV * <S as Simd>::LANES,
                dm: DM,
                gemm: gemm_full,
                gemm_narrow,
                slide,
                dot,
                gather: gather_rows,
                finish,
                norm: norm_rows,
                norm_back,
                patch_distance,
                modulate,
                modulate_back,
                adam,
                blend,
                row_max,
                row_exp,
                softmax_columns,
                softmax_columns_back,
                f43: WinogradKernels {
                    m: 4,
                    a: 6,
                    input: input43,
                    output: output43,
                    weight: weight43,
                    gradient: gradient43,
                    weight_back: weight_back43,
                },
                f23: WinogradKernels {
                    m: 2,
                    a: 4,
                    input: input23,
                    output: output23,
                    weight: weight23,
                    gradient: gradient23,
                    weight_back: weight_back23,
                },
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(avx512, crate::simd::avx512::Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
kernels!(avx2, crate::simd::avx2::Avx2, "avx2,fma");
#[cfg(target_arch = "aarch64")]
kernels!(neon, crate::simd::neon::Neon, "neon");
kernels!(portable, crate::simd::portable::Portable);

/// The kernels of an instruction set that this CPU has.
pub(crate) fn kernels_of(isa: Isa) -> &'static Kernels {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx | Isa::Avx512 => &avx512::TABLE,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::TABLE,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &neon::TABLE,
        _ => &portable::TABLE,
    }
}

#[cfg(all(test, target_arch = "aarch64"))]
mod tests {
    use super::*;

    /// Every test runs with what is found: without NEON all would pass on ordinary code alone.
    #[test]
    fn neon_is_found() {
        assert_eq!(Isa::available(), [Isa::Neon, Isa::Portable]);
    }
}
