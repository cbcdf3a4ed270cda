//! AVX2 with FMA.

// Every method is a thin cover over intrinsics; `Simd`'s contract is the reason for all of them.
#![allow(unsafe_op_in_unsafe_fn)]

use super::Simd;
use std::arch::x86_64::*;

/// 8 lanes, 16 registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Transposes the 4×4 block in each 128-bit half; its own inverse.
#[inline(always)]
unsafe fn transpose_halves(v: [__m256; 4]) -> [__m256; 4] {
    let (a, b) = (
        _mm256_unpacklo_ps(v[0], v[1]),
        _mm256_unpackhi_ps(v[0], v[1]),
    );
    let (c, d) = (
        _mm256_unpacklo_ps(v[2], v[3]),
        _mm256_unpackhi_ps(v[2], v[3]),
    );
    [
        _mm256_shuffle_ps::<0x44>(a, c),
        _mm256_shuffle_ps::<0xEE>(a, c),
        _mm256_shuffle_ps::<0x44>(b, d),
        _mm256_shuffle_ps::<0xEE>(b, d),
    ]
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const MR: usize = 6;
    const NV: usize = 2;
    const DM: usize = 2;
    type V = __m256;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        _mm256_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        _mm256_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        _mm256_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        _mm256_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        _mm256_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m256) -> __m256 {
        _mm256_sqrt_ps(a)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256 {
        _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
    }
    #[inline(always)]
    unsafe fn exp2_int(n: __m256) -> __m256 {
        let i = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(i))
    }
    #[inline(always)]
    unsafe fn recip(a: __m256) -> __m256 {
        _mm256_div_ps(_mm256_set1_ps(1.0), a)
    }
    #[inline(always)]
    unsafe fn deinterleave2(v: [__m256; 2]) -> [__m256; 2] {
        let even = _mm256_shuffle_ps::<0x88>(v[0], v[1]);
        let odd = _mm256_shuffle_ps::<0xDD>(v[0], v[1]);
        [
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(even))),
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(_mm256_castps_pd(odd))),
        ]
    }
    #[inline(always)]
    unsafe fn interleave2(v: [__m256; 2]) -> [__m256; 2] {
        let (lo, hi) = (
            _mm256_unpacklo_ps(v[0], v[1]),
            _mm256_unpackhi_ps(v[0], v[1]),
        );
        [
            _mm256_permute2f128_ps::<0x20>(lo, hi),
            _mm256_permute2f128_ps::<0x31>(lo, hi),
        ]
    }
    #[inline(always)]
    unsafe fn deinterleave4(v: [__m256; 4]) -> [__m256; 4] {
        transpose_halves([
            _mm256_permute2f128_ps::<0x20>(v[0], v[2]),
            _mm256_permute2f128_ps::<0x31>(v[0], v[2]),
            _mm256_permute2f128_ps::<0x20>(v[1], v[3]),
            _mm256_permute2f128_ps::<0x31>(v[1], v[3]),
        ])
    }
    #[inline(always)]
    unsafe fn interleave4(v: [__m256; 4]) -> [__m256; 4] {
        let r = transpose_halves(v);
        [
            _mm256_permute2f128_ps::<0x20>(r[0], r[1]),
            _mm256_permute2f128_ps::<0x20>(r[2], r[3]),
            _mm256_permute2f128_ps::<0x31>(r[0], r[1]),
            _mm256_permute2f128_ps::<0x31>(r[2], r[3]),
        ]
    }
    #[inline(always)]
    unsafe fn sum4(v: [__m256; 4]) -> [f32; 4] {
        let q = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
        let h = _mm_add_ps(_mm256_castps256_ps128(q), _mm256_extractf128_ps::<1>(q));
        let mut sums = [0f32; 4];
        _mm_storeu_ps(sums.as_mut_ptr(), h);
        sums
    }
    type Squares = __m256i;

    #[inline(always)]
    unsafe fn no_squares() -> __m256i {
        _mm256_setzero_si256()
    }
    #[inline(always)]
    unsafe fn add_squares(sum: __m256i, a: *const i16, b: *const i16, n: usize) -> __m256i {
        let d = _mm256_sub_epi16(_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast()));
        // A constant where `n` is: kernels are inlined.
        let mut first = [0i16; 16];
        first[..n].fill(-1);
        let d = _mm256_and_si256(d, _mm256_loadu_si256(first.as_ptr().cast()));
        _mm256_add_epi32(sum, _mm256_madd_epi16(d, d))
    }
    #[inline(always)]
    unsafe fn total(sum: __m256i) -> u32 {
        let s = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let s = _mm_add_epi32(s, _mm_shuffle_epi32::<0b01_00_11_10>(s));
        let s = _mm_add_epi32(s, _mm_shuffle_epi32::<0b10_11_00_01>(s));
        _mm_cvtsi128_si32(s) as u32
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast())
    }
}
