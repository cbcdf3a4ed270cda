//! The squared distance of two patches of 16-bit pixels.

use crate::patch::{PATCH_SIDE, ROW};
use crate::simd::Simd;

/// Operands of [`distance`].
pub(crate) struct Patch {
    /// `PATCH_SIDE` rows of `ROW` numbers.
    pub patch: *const i16,
    /// The other patch's first number; `ROW` numbers can be read in each of its rows.
    pub picture: *const i16,
    /// Numbers from one row of the picture to the next.
    pub stride: usize,
    /// Where half of the patch is as far off as this, the rest is not looked at.
    pub limit: u32,
    /// The result.
    pub sum: u32,
}

/// Sum of squared differences over the first `PATCH_SIDE` · 4 numbers of each row, or any number
/// from `limit` on.
///
/// # Safety
/// The pointers cover what the fields name, and the CPU has the features of `S`.
#[inline(always)]
pub(crate) unsafe fn distance<S: Simd>(g: &mut Patch) {
    const HALF: usize = PATCH_SIDE.div_ceil(2);
    // SAFETY: the contract; every row is read from its first to its ROW-th number.
    unsafe {
        let row = |sum, y: usize| {
            let (a, b) = (g.patch.add(y * ROW), g.picture.add(y * g.stride));
            let sum = S::add_squares(sum, a, b, 16);
            S::add_squares(sum, a.add(16), b.add(16), PATCH_SIDE * 4 - 16)
        };
        let mut sum = S::no_squares();
        for y in 0..HALF {
            sum = row(sum, y);
        }
        g.sum = S::total(sum);
        if g.sum >= g.limit {
            return;
        }
        for y in HALF..PATCH_SIDE {
            sum = row(sum, y);
        }
        g.sum = S::total(sum);
    }
}
