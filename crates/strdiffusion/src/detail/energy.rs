//! How well a patch of the photograph would serve at a place in the hole.
//!
//! D(p, q) = ‖X_p − X_q − b‖² / 147 + w_Γ(p) ‖Γ_p − Γ_q − b‖² / 15 + ¼ |b|² / 3
//!           + w_E φ(E_p − E_q) + w_far |p − q|
//!
//! over patches of 7×7 pixels with three channels. X is the estimate, Γ the guide at five points
//! of the patch, E the local contrast, b the difference of the patches' means within ± 8/255 (as
//! the gains and biases of Darabi et al., "Image Melding", SIGGRAPH 2012). φ(e) = e², a tenth of
//! it where the source has more contrast than was expected: too little is what must not be. All
//! values are in steps of 1/255.

use strdiffusion_kernels::{PATCH_SIDE, PatchDistance, PatchRows};

use super::pyramid::{Level, Pixel, RADIUS, STEPS};

/// Values of a patch: pixels times channels.
const VALUES: f32 = (PATCH_SIDE * PATCH_SIDE * 3) as f32;
/// Squared steps of pixel values in a squared step of 1/255.
const SQUARE: f32 = STEPS * STEPS;
/// Where the guide is compared: a patch's centre and near its corners.
const POINTS: [(isize, isize); 5] = [(0, 0), (-3, -3), (3, -3), (-3, 3), (3, 3)];
/// Largest change of a source's mean, in steps of 1/255, and what it costs.
const MOST_BIAS: f32 = 8.0;
const BIAS_COST: f32 = 0.25;
/// Weight of the contrast, and the share of it that too much contrast costs.
const CONTRAST: f32 = 0.1;
const EXCESS: f32 = 0.1;

/// The weights that change from level to level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    /// w_Γ at the border.
    pub guide: f32,
    /// How fast w_Γ falls with the depth d in pixels where there is no trust in the fill:
    /// w_Γ / (1 + (d · this)²).
    pub guide_fall: f32,
    /// w_far, for one pixel.
    pub distance: f32,
    /// Sources nearer than this, along both axes, are none.
    pub apart: f32,
    /// Compare guides, their contrast included, instead of pictures: a soft estimate would find
    /// soft sources.
    pub soft: bool,
}

impl Weights {
    /// Patches compared by themselves, without a guide; sources are at least `apart` away.
    pub fn alone(apart: f32) -> Self {
        Self {
            guide: 0.0,
            guide_fall: 0.0,
            distance: 0.0,
            apart,
            soft: false,
        }
    }
}

/// A target patch, ready to be compared with many sources.
pub(super) struct Query<'a> {
    level: &'a Level,
    kernel: PatchDistance,
    weights: Weights,
    place: usize,
    x: f32,
    y: f32,
    /// The patch of the picture, or of the guide if soft.
    patch: PatchRows,
    guide: [Pixel; 5],
    guide_weight: f32,
}

impl<'a> Query<'a> {
    /// The patch around column `x`, row `y` of the level, at least a radius from its border and
    /// within its area.
    pub fn new(
        level: &'a Level,
        kernel: PatchDistance,
        weights: Weights,
        [x, y]: [usize; 2],
    ) -> Self {
        let place = y * level.width + x;
        let picture = if weights.soft {
            &level.guide
        } else {
            &level.pixels
        };
        let mut patch = PatchRows::default();
        for (row, numbers) in patch.iter_mut().enumerate() {
            let first = (y + row - RADIUS) * level.width + x - RADIUS;
            let pixels = picture[first..first + PATCH_SIDE].as_flattened();
            numbers[..pixels.len()].copy_from_slice(pixels);
        }
        let i = (y - level.area.y) * level.area.width + x - level.area.x;
        let fall = weights.guide_fall * (1.0 - level.trust[i]);
        Self {
            level,
            kernel,
            weights,
            place,
            x: x as f32,
            y: y as f32,
            patch,
            guide: POINTS.map(|offset| level.guide[moved(place, offset, level.width)]),
            guide_weight: weights.guide / (1.0 + (level.depth[i] * fall).powi(2)),
        }
    }

    /// D for the source around column `x`, row `y`; or any number from `best` on where D reaches
    /// `best`.
    #[inline]
    pub fn distance(&self, x: usize, y: usize, best: f32) -> f32 {
        let level = self.level;
        let source = y * level.width + x;
        let bias = bias(level, self.place, source, self.weights.soft);
        let bias_square = square(bias);
        let (dx, dy) = (self.x - x as f32, self.y - y as f32);
        if dx.abs().max(dy.abs()) < self.weights.apart {
            return f32::INFINITY;
        }
        let mut sum = BIAS_COST * bias_square / 3.0
            + self.contrast(source)
            + self.weights.distance * (dx * dx + dy * dy).sqrt();
        if !self.weights.soft && self.guide_weight > 0.0 {
            sum += self.guide_weight * self.guide_distance(source, bias) / 15.0;
        }
        if sum >= best {
            return sum;
        }
        let picture = if self.weights.soft {
            &level.guide
        } else {
            &level.pixels
        };
        let start = 4 * (source - RADIUS * level.width - RADIUS);
        // Σ (d − b)² = Σ d² − 2 b Σ d + n b², where Σ d follows from the means.
        let count = VALUES / 3.0;
        let moved = if self.weights.soft {
            count * bias_square
        } else {
            let (p, q) = (level.means[self.place], level.means[source]);
            let cross: f32 = (0..3)
                .map(|c| bias[c] * f32::from(p[c] - q[c]) / STEPS)
                .sum();
            count * (2.0 * cross - bias_square)
        };
        let limit = ((best - sum) * VALUES + moved) * SQUARE;
        let limit = if limit.is_finite() {
            limit.max(0.0) as u32
        } else {
            u32::MAX
        };
        let squares = self.kernel.squared(
            &self.patch,
            picture.as_flattened(),
            start,
            4 * level.width,
            limit,
        );
        sum + (squares as f32 / SQUARE - moved).max(0.0) / VALUES
    }

    /// w_E φ(E_p − E_q)
    #[inline]
    fn contrast(&self, source: usize) -> f32 {
        let e = f32::from(self.guide[0][3] - self.level.guide[source][3]) / STEPS;
        CONTRAST * e * e * if e < 0.0 { EXCESS } else { 1.0 }
    }

    /// ‖Γ_p − Γ_q − b‖²
    #[inline]
    fn guide_distance(&self, source: usize, bias: [f32; 3]) -> f32 {
        let mut sum = 0.0;
        for (p, offset) in self.guide.iter().zip(POINTS) {
            let q = &self.level.guide[moved(source, offset, self.level.width)];
            for c in 0..3 {
                let d = f32::from(p[c] - q[c]) / STEPS - bias[c];
                sum += d * d;
            }
        }
        sum
    }
}

#[inline]
fn moved(place: usize, (dx, dy): (isize, isize), width: usize) -> usize {
    place.wrapping_add_signed(dy * width as isize + dx)
}

fn square(v: [f32; 3]) -> f32 {
    v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
}

/// b, what is added to a source: the difference of the patches' means, or of the guides if `soft`,
/// within ± 8; in steps of 1/255.
#[inline]
pub(super) fn bias(level: &Level, target: usize, source: usize, soft: bool) -> [f32; 3] {
    let means = if soft { &level.guide } else { &level.means };
    let (p, q) = (means[target], means[source]);
    [0, 1, 2].map(|c| (f32::from(p[c] - q[c]) / STEPS).clamp(-MOST_BIAS, MOST_BIAS))
}
