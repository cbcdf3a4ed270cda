//! AVX-512F.

// Every method is a thin cover over intrinsics; `Simd`'s contract is the reason for all of them.
#![allow(unsafe_op_in_unsafe_fn)]

use super::Simd;
use super::avx2::Avx2;
use std::arch::x86_64::*;

/// 16 lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

static EVEN: [i32; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
static ODD: [i32; 16] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31];
/// Every fourth element from 0, then from 1.
static QUAD01: [i32; 16] = [0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29];
static QUAD23: [i32; 16] = [2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31];
static ZIP_LO: [i32; 16] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
static ZIP_HI: [i32; 16] = [8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31];
static PAIR_LO: [i32; 16] = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
static PAIR_HI: [i32; 16] = [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31];

#[inline(always)]
unsafe fn pick(a: __m512, b: __m512, index: &'static [i32; 16]) -> __m512 {
    _mm512_permutex2var_ps(a, _mm512_loadu_si512(index.as_ptr().cast()), b)
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const MR: usize = 8;
    const NV: usize = 2;
    const DM: usize = 6;
    type V = __m512;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        _mm512_storeu_ps(p, v)
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> __m512 {
        _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p)
    }
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, n: usize, v: __m512) {
        _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, v)
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        _mm512_sub_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn sqrt(a: __m512) -> __m512 {
        _mm512_sqrt_ps(a)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
    }
    #[inline(always)]
    unsafe fn exp2_int(n: __m512) -> __m512 {
        _mm512_scalef_ps(_mm512_set1_ps(1.0), n)
    }
    #[inline(always)]
    unsafe fn recip(a: __m512) -> __m512 {
        // 14 bits, then one Newton step.
        let r = _mm512_rcp14_ps(a);
        _mm512_mul_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(2.0)))
    }
    #[inline(always)]
    unsafe fn deinterleave2(v: [__m512; 2]) -> [__m512; 2] {
        [pick(v[0], v[1], &EVEN), pick(v[0], v[1], &ODD)]
    }
    #[inline(always)]
    unsafe fn interleave2(v: [__m512; 2]) -> [__m512; 2] {
        [pick(v[0], v[1], &ZIP_LO), pick(v[0], v[1], &ZIP_HI)]
    }
    #[inline(always)]
    unsafe fn deinterleave4(v: [__m512; 4]) -> [__m512; 4] {
        let (p, q) = (pick(v[0], v[1], &QUAD01), pick(v[2], v[3], &QUAD01));
        let (r, s) = (pick(v[0], v[1], &QUAD23), pick(v[2], v[3], &QUAD23));
        [
            _mm512_shuffle_f32x4::<0x44>(p, q),
            _mm512_shuffle_f32x4::<0xEE>(p, q),
            _mm512_shuffle_f32x4::<0x44>(r, s),
            _mm512_shuffle_f32x4::<0xEE>(r, s),
        ]
    }
    #[inline(always)]
    unsafe fn interleave4(v: [__m512; 4]) -> [__m512; 4] {
        let (a, b) = (pick(v[0], v[1], &ZIP_LO), pick(v[2], v[3], &ZIP_LO));
        let (c, d) = (pick(v[0], v[1], &ZIP_HI), pick(v[2], v[3], &ZIP_HI));
        [
            pick(a, b, &PAIR_LO),
            pick(a, b, &PAIR_HI),
            pick(c, d, &PAIR_LO),
            pick(c, d, &PAIR_HI),
        ]
    }
    #[inline(always)]
    unsafe fn sum4(v: [__m512; 4]) -> [f32; 4] {
        // Add neighbours twice, so that each quarter holds four partial sums; then the quarters.
        let ab = _mm512_add_ps(
            _mm512_unpacklo_ps(v[0], v[1]),
            _mm512_unpackhi_ps(v[0], v[1]),
        );
        let cd = _mm512_add_ps(
            _mm512_unpacklo_ps(v[2], v[3]),
            _mm512_unpackhi_ps(v[2], v[3]),
        );
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let q = _mm512_add_ps(
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
        );
        let h = _mm512_add_ps(q, _mm512_shuffle_f32x4::<0xEE>(q, q));
        let h = _mm512_add_ps(h, _mm512_shuffle_f32x4::<0x55>(h, h));
        let mut sums = [0f32; 4];
        _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(h));
        sums
    }
    // Products of 16-bit integers are not part of AVX-512F; those of AVX2 always come with it.
    type Squares = __m256i;

    #[inline(always)]
    unsafe fn no_squares() -> __m256i {
        Avx2::no_squares()
    }
    #[inline(always)]
    unsafe fn add_squares(sum: __m256i, a: *const i16, b: *const i16, n: usize) -> __m256i {
        Avx2::add_squares(sum, a, b, n)
    }
    #[inline(always)]
    unsafe fn total(sum: __m256i) -> u32 {
        Avx2::total(sum)
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const f32) {
        _mm_prefetch::<_MM_HINT_T0>(p.cast())
    }
}
