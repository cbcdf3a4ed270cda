//! The patches and the pyramid of the sliced Wasserstein distance, which the measure and the loss of the
//! same name share.

/// The most bands of details; smaller pictures have fewer.
pub const SWD_BANDS: usize = 4;
/// The smallest side of a level.
pub(crate) const SMALLEST_LEVEL: usize = 8;
/// Side of a patch.
pub(crate) const PATCH: usize = 7;
/// The 5-tap binomial filter that both halving and doubling use.
pub(crate) const TAPS: [f64; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// The next level's hole: pixels of which one of the 2 × 2 is in the hole.
pub(crate) fn halved_hole(hole: &[bool], height: usize, width: usize) -> Vec<bool> {
    let half_width = width.div_ceil(2);
    let mut half = vec![false; height.div_ceil(2) * half_width];
    for (y, row) in hole.chunks_exact(width).enumerate() {
        for (x, &in_hole) in row.iter().enumerate() {
            half[y / 2 * half_width + x / 2] |= in_hole;
        }
    }
    half
}
