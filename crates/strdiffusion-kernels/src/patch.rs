//! Patches of pictures with four 16-bit numbers a pixel, and how far two of them are apart.
//!
//! Whole numbers only, so every instruction set and any number of threads give the same.

use crate::isa::{Isa, kernels_of};
use crate::kernels::patch::Patch;

/// Pixels along a patch's side.
pub const PATCH_SIDE: usize = 7;
/// Numbers in a row of a patch: its pixels, and one pixel of padding.
pub const ROW: usize = 32;
/// Numbers lie between 0 and this, so that sums of squared differences fit 32 bits.
pub const LARGEST: i16 = 4095;

/// A patch cut out of a picture. The padding is not looked at.
pub type PatchRows = [[i16; ROW]; PATCH_SIDE];

/// The kernel that measures distances, chosen once for many calls.
#[derive(Clone, Copy, Debug)]
pub struct PatchDistance(unsafe fn(&mut Patch));

impl PatchDistance {
    /// For the instruction set in use.
    pub fn current() -> Self {
        Self(kernels_of(Isa::current()).patch_distance)
    }

    /// Sum of the squared differences between `patch` and the patch of `picture` whose first
    /// number is at `start`. `stride` is the number of numbers in a row of the picture, 4 for each
    /// pixel. A distance that reaches `limit` may be cut short: any number from `limit` on is
    /// returned then. Numbers lie within 0 and [`LARGEST`].
    ///
    /// # Panics
    /// If a row of [`ROW`] numbers reaches beyond the picture; pad it by one pixel at its end.
    #[inline]
    pub fn squared(
        self,
        patch: &PatchRows,
        picture: &[i16],
        start: usize,
        stride: usize,
        limit: u32,
    ) -> u32 {
        assert!(start + (PATCH_SIDE - 1) * stride + ROW <= picture.len());
        let mut args = Patch {
            patch: patch.as_ptr().cast(),
            // SAFETY: `start` lies within the picture, as just checked.
            picture: unsafe { picture.as_ptr().add(start) },
            stride,
            limit,
            sum: 0,
        };
        // SAFETY: the last row ends within the picture, as just checked, so all do; the kernel is
        // of an instruction set that this CPU has.
        unsafe { (self.0)(&mut args) };
        args.sum
    }
}
