//! What the fill should be like: the network's fill from afar, and how much contrast belongs to
//! it. And how far the fill can be trusted.
//!
//! A soft fill alone as a guide would find soft sources. So its contrast is not its own but that
//! of known pixels of its colour around the hole.

use super::contrast::{Contrast, expect};
use super::pyramid::{Level, double, low_pass};

/// σ of the guide's low-pass, in pixels of the network; and at least, in pixels of a level.
const REACH: f32 = 1.5;
const LEAST_REACH: f32 = 1.0;
/// Trust begins where the fill has this share of the expected contrast, and is full at the other.
/// (Twenty photographs: the truth at the network's resolution 0.56 to 1.19, median 0.92; a soft
/// network 0.12 to 0.72, median 0.32. A smudge where a drawn roof ends had 0.76.)
const TRUST: [f32; 2] = [0.75, 0.95];
/// Where less contrast than this is expected, in steps of 1/255 over three channels twice, the
/// share says nothing.
const SMOOTH: f32 = 3.0;
/// Nor in thin holes, where known neighbours lend their contrast; in pixels of the photograph.
const THICK: [f32; 2] = [8.0, 16.0];

/// Gives every level its guide. `scale` is the size of a network's pixel in pixels of the finest
/// level. Returns how far the fill can be trusted, 0 to 1: a network that knows what belongs into
/// the hole draws it with contrast, one that does not leaves it smooth.
pub(super) fn attach(levels: &mut [Level], scale: f32) -> f32 {
    let top = levels.len() - 1;
    let mut contrasts = vec![Contrast::default(); levels.len()];
    for l in (0..=top).rev() {
        let size = [levels[l].width, levels[l].height];
        let sigma = (REACH * scale / (1 << l) as f32).max(LEAST_REACH);
        levels[l].guide = if sigma >= 2.0 * LEAST_REACH && l < top {
            let small = &levels[l + 1];
            double(&small.guide, [small.width, small.height], size)
        } else {
            low_pass(&levels[l].pixels, size, sigma)
        };
        contrasts[l] = expect(&mut levels[l]);
    }
    // At the network's own resolution.
    let at = scale.log2().clamp(0.0, top as f32);
    let (fine, coarse) = (
        contrasts[at as usize],
        contrasts[(at as usize + 1).min(top)],
    );
    let share = fine.share + (coarse.share - fine.share) * at.fract();
    ramp(share, TRUST)
        * ramp(fine.expected, [SMOOTH, 2.0 * SMOOTH])
        * ramp(levels[0].thickness(), THICK)
}

/// 0 up to `from`, 1 from `to` on, straight between.
pub(super) fn ramp(value: f32, [from, to]: [f32; 2]) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}
