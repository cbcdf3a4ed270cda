//! What happens to values around the tiles, sixteen at a time.
//!
//! Everything here needs AVX-512 with BW, VL and BF16, as [`available`](super::available) promises.

use std::arch::x86_64::*;

/// Lane numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn lanes() -> __m512i {
    _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
}

/// Numbers of 16-bit lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn lanes16() -> __m512i {
    const NUMBERS: [u16; 32] = {
        let mut numbers = [0; 32];
        let mut i = 0;
        while i < 32 {
            numbers[i] = i as u16;
            i += 1;
        }
        numbers
    };
    // SAFETY: 64 bytes.
    unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) }
}

/// The first `count` lanes; all for 16 and more.
pub(super) fn first(count: usize) -> u16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}

/// Rounds (low, high) to 32 bf16 numbers, `low` first.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are 64 bytes of plain numbers.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Rounds to 16 pairs (low, high).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn pairs(low: __m512, high: __m512) -> __m512i {
    const INTERLEAVE: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i as u16 >> 1) + 16 * (i as u16 & 1);
            i += 1;
        }
        order
    };
    // SAFETY: 64 bytes.
    let order = unsafe { _mm512_loadu_si512(INTERLEAVE.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, round(low, high))
}

/// A row of a picture: where it lies and how long it is. Null: a row of zeros.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub at: *const f32,
    pub width: usize,
}

impl Row {
    /// `count` ≤ 16 values from column `x` on, every `stride`-th (1 or 2); zeros beside the
    /// picture and in the lanes left over.
    ///
    /// # Safety
    /// The row has `width` values, and the CPU has tiles.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn values(self, x: isize, count: usize, stride: usize) -> __m512 {
        // SAFETY: `run` reads within the row only.
        unsafe {
            if stride == 1 {
                return self.run(x, count);
            }
            let span = 2 * count - 1;
            let (low, high) = (
                self.run(x, span.min(16)),
                self.run(x + 16, span.saturating_sub(16)),
            );
            let even = _mm512_slli_epi32(lanes(), 1);
            _mm512_permutex2var_ps(low, even, high)
        }
    }

    /// `count` ≤ 16 neighbouring values.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn run(self, x: isize, count: usize) -> __m512 {
        if count == 16 && x >= 0 && x + 16 <= self.width as isize && !self.at.is_null() {
            // SAFETY: within the row.
            return unsafe { _mm512_loadu_ps(self.at.offset(x)) };
        }
        let from = x.max(0);
        let to = (x + count as isize).min(self.width as isize);
        if self.at.is_null() || from >= to {
            return _mm512_setzero_ps();
        }
        let mask = first((to - x) as usize) & (!0 << (from - x) as u32);
        // SAFETY: the masked lanes lie within the row; others are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, self.at.wrapping_offset(x)) }
    }
}

/// v / (1 + e^−v), within about 1e-4 relative: less than what rounded operands leave.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn silu(v: __m512) -> __m512 {
    let t = _mm512_mul_ps(v, _mm512_set1_ps(-std::f32::consts::LOG2_E));
    let whole = _mm512_roundscale_ps(t, 0);
    let rest = _mm512_sub_ps(t, whole);
    // 2^rest on ±½, by its series.
    let mut p = _mm512_set1_ps(0.055_504_11);
    for c in [0.240_226_5, std::f32::consts::LN_2, 1.0] {
        p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(c));
    }
    let power = _mm512_scalef_ps(p, whole);
    let sigmoid = _mm512_rcp14_ps(_mm512_add_ps(power, _mm512_set1_ps(1.0)));
    _mm512_mul_ps(v, sigmoid)
}

/// Transposes 16 × 16 elements of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(r: &mut [__m512i; 16]) {
    let mut t = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for i in 0..4 {
        t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
    }
    for i in 0..4 {
        r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
        r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
        r[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
        r[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
    }
}
