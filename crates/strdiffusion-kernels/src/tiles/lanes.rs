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

/// The first `count` of 32 lanes of 16 bits; all for 32 and more.
pub(super) fn first16(count: usize) -> u32 {
    if count >= 32 { !0 } else { (1 << count) - 1 }
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

/// How values lie in memory.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// Reads the lanes of the mask; the others are zero.
    ///
    /// # Safety
    /// What the mask selects is readable.
    unsafe fn load(at: *const Self, mask: u16) -> __m512;

    /// Writes the lanes of the mask.
    ///
    /// # Safety
    /// What the mask selects is writable.
    unsafe fn store(at: *mut Self, mask: u16, v: __m512);
}

impl Element for f32 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const f32, mask: u16) -> __m512 {
        // SAFETY: the contract.
        unsafe { _mm512_maskz_loadu_ps(mask, at) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn store(at: *mut f32, mask: u16, v: __m512) {
        // SAFETY: the contract.
        unsafe { _mm512_mask_storeu_ps(at, mask, v) }
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Bf16 {
    /// Numbers as their bits.
    pub(crate) fn of_bits(bits: &[u16]) -> &[Self] {
        // SAFETY: a `Bf16` is its bits, whatever they are.
        unsafe { &*(std::ptr::from_ref(bits) as *const [Self]) }
    }

    /// As [`of_bits`](Self::of_bits), to write.
    pub(crate) fn of_bits_mut(bits: &mut [u16]) -> &mut [Self] {
        // SAFETY: as in `of_bits`.
        unsafe { &mut *(std::ptr::from_mut(bits) as *mut [Self]) }
    }
}

impl Element for Bf16 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const Bf16, mask: u16) -> __m512 {
        // SAFETY: the contract.
        let halves = unsafe { _mm256_maskz_loadu_epi16(mask, at.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn store(at: *mut Bf16, mask: u16, v: __m512) {
        // SAFETY: the contract; both types are 32 bytes of plain numbers.
        unsafe {
            let halves = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
            _mm256_mask_storeu_epi16(at.cast(), mask, halves);
        }
    }
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn run(self, x: isize, count: usize) -> __m512 {
        if count == 16 && x >= 0 && x + 16 <= self.width as isize && !self.at.is_null() {
            // SAFETY: within the row.
            return unsafe { f32::load(self.at.offset(x), !0) };
        }
        let from = x.max(0);
        let to = (x + count as isize).min(self.width as isize);
        if self.at.is_null() || from >= to {
            return _mm512_setzero_ps();
        }
        let mask = first((to - x) as usize) & (!0 << (from - x) as u32);
        // SAFETY: the masked lanes lie within the row; others are not read.
        unsafe { f32::load(self.at.wrapping_offset(x), mask) }
    }
}

/// v / (1 + e^−v), within about 1e-4 relative: less than what rounded operands leave.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn silu(v: __m512) -> __m512 {
    _mm512_mul_ps(v, sigmoid(v))
}

/// The derivative of [`silu`].
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn silu_slope(v: __m512) -> __m512 {
    let (one, s) = (_mm512_set1_ps(1.0), sigmoid(v));
    _mm512_mul_ps(s, _mm512_fmadd_ps(v, _mm512_sub_ps(one, s), one))
}

/// 1 / (1 + e^−v).
#[inline]
#[target_feature(enable = "avx512f")]
fn sigmoid(v: __m512) -> __m512 {
    let power = exp(_mm512_sub_ps(_mm512_setzero_ps(), v));
    _mm512_rcp14_ps(_mm512_add_ps(power, _mm512_set1_ps(1.0)))
}

/// e^v, within about 1e-4 relative.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp(v: __m512) -> __m512 {
    let t = _mm512_mul_ps(v, _mm512_set1_ps(std::f32::consts::LOG2_E));
    let whole = _mm512_roundscale_ps(t, 0);
    let rest = _mm512_sub_ps(t, whole);
    // 2^rest on ±½, by its series.
    let mut p = _mm512_set1_ps(0.055_504_11);
    for c in [0.240_226_5, std::f32::consts::LN_2, 1.0] {
        p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(c));
    }
    _mm512_scalef_ps(p, whole)
}

/// The low and the high halves of 16 pairs of bf16: what [`pairs`] put together.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves(pairs: __m512i) -> [__m512; 2] {
    let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    [
        _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(pairs, high)),
    ]
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
