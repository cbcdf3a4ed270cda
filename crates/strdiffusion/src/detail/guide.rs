//! What the fill should be like: the network's fill from afar, and how much contrast belongs to it.
//!
//! A soft fill alone as a guide would find soft sources. So its contrast is not its own but that
//! of known pixels of its colour around the hole.

use super::contrast::expect;
use super::pyramid::{Level, double, low_pass};

/// σ of the guide's low-pass, in pixels of the network; and at least, in pixels of a level.
const REACH: f32 = 1.2;
const LEAST_REACH: f32 = 1.0;

/// Gives every level its guide. `scale` is the size of a network's pixel in pixels of the finest
/// level.
pub(super) fn attach(levels: &mut [Level], scale: f32) {
    let top = levels.len() - 1;
    for l in (0..=top).rev() {
        let size = [levels[l].width, levels[l].height];
        let sigma = (REACH * scale / (1 << l) as f32).max(LEAST_REACH);
        levels[l].guide = if sigma >= 2.0 * LEAST_REACH && l < top {
            let small = &levels[l + 1];
            double(&small.guide, [small.width, small.height], size)
        } else {
            low_pass(&levels[l].pixels, size, sigma)
        };
        expect(&mut levels[l]);
    }
}
