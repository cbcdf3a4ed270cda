//! What happens to results on their way out.

use crate::simd::{Simd, silu};

/// The epilogue of a convolution as raw pointers; null stands for "none".
#[derive(Clone, Copy)]
pub(crate) struct RawEpilogue {
    pub gain: f32,
    /// `[channels]`.
    pub bias: *const f32,
    /// `[batch, channels]`.
    pub scale: *const f32,
    /// `[batch, channels]`.
    pub shift: *const f32,
    /// As the output.
    pub residual: *const f32,
    pub silu: bool,
    pub channels: usize,
}

// SAFETY: the pointers are only read, and point into slices that the convolution's caller lends
// for the whole call.
unsafe impl Send for RawEpilogue {}
// SAFETY: as above.
unsafe impl Sync for RawEpilogue {}

impl RawEpilogue {
    /// (a, b) such that (v·gain + bias)·(1 + scale) + shift = v·a + b.
    ///
    /// # Safety
    /// `n` and `c` lie within the batch and the channels that the pointers cover.
    #[inline(always)]
    pub(crate) unsafe fn affine(&self, n: usize, c: usize) -> (f32, f32) {
        let i = n * self.channels + c;
        // SAFETY: the contract.
        unsafe {
            let a = if self.scale.is_null() {
                1.0
            } else {
                1.0 + *self.scale.add(i)
            };
            let b = if self.bias.is_null() {
                0.0
            } else {
                *self.bias.add(c) * a
            };
            let shift = if self.shift.is_null() {
                0.0
            } else {
                *self.shift.add(i)
            };
            (a * self.gain, b + shift)
        }
    }
}

/// One row of [`finish`].
pub(crate) struct Finish {
    pub from: *const f32,
    pub to: *mut f32,
    /// Null for none.
    pub residual: *const f32,
    pub count: usize,
    pub mul: f32,
    pub add: f32,
    pub silu: bool,
}

/// to = act(from·mul + add) + residual.
///
/// # Safety
/// The pointers cover `count` floats, `to` equals `from` or overlaps neither of the others, and the
/// CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn finish<S: Simd>(f: &Finish) {
    // SAFETY: all accesses are within `count`.
    unsafe {
        let (mul, add) = (S::splat(f.mul), S::splat(f.add));
        let mut i = 0;
        while i < f.count {
            let n = S::LANES.min(f.count - i);
            let whole = n == S::LANES;
            let v = if whole {
                S::load(f.from.add(i))
            } else {
                S::load_partial(f.from.add(i), n)
            };
            let mut v = S::fma(v, mul, add);
            if f.silu {
                v = silu::<S>(v);
            }
            if !f.residual.is_null() {
                let p = f.residual.add(i);
                v = S::add(
                    v,
                    if whole {
                        S::load(p)
                    } else {
                        S::load_partial(p, n)
                    },
                );
            }
            if whole {
                S::store(f.to.add(i), v);
            } else {
                S::store_partial(f.to.add(i), n, v);
            }
            i += n;
        }
    }
}
