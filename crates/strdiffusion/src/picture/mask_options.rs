//! How a mask becomes the hole, and how the fill ends at the hole's border.

use serde::Serialize;

use super::distance::{FAR, squared_distances};
use super::{Margins, Mask, PictureError};

/// How a mask becomes the hole, and how the fill ends at the hole's border. In this order: the mask is
/// cut at `threshold`, its hole shrunk and grown, filled, and the fill blended with the photograph by
/// `feather` or `soft`. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MaskOptions {
    /// Where white begins, above 0 and at most 1 (white); none: one half. Of transparency: the alpha
    /// below which a pixel is the hole; none: one half in a mask, 1 in the photograph itself.
    pub threshold: Option<f64>,
    /// Pixels that the hole loses at its border, at most [`Self::MOST_PIXELS`]. The photograph's edge
    /// is no border.
    pub shrink: u32,
    /// Pixels that the hole gains at its border, at most [`Self::MOST_PIXELS`].
    pub grow: u32,
    /// Known pixels around the hole that are filled, too, and blended with the photograph: from the
    /// fill at the hole to the photograph that many pixels away. At most [`Self::MOST_PIXELS`].
    pub feather: u32,
    /// The mask's gray is the share of the fill: all that is not black is the hole, and the fill is
    /// blended with what the photograph holds there. Of transparency: 1 less alpha.
    pub soft: bool,
}

impl MaskOptions {
    /// Most pixels to shrink, grow or feather by.
    pub const MOST_PIXELS: u32 = 4096;

    /// Refuses numbers out of range, and options that contradict each other.
    ///
    /// # Errors
    /// [`PictureError::MaskOption`].
    pub fn check(&self) -> Result<(), PictureError> {
        let refused = |reason: String| Err(PictureError::MaskOption { reason });
        if let Some(threshold) = self.threshold
            && !(threshold > 0.0 && threshold <= 1.0)
        {
            return refused(format!(
                "threshold is {threshold}; give a number above 0 and at most 1"
            ));
        }
        let pixels = [
            ("shrink", self.shrink),
            ("grow", self.grow),
            ("feather", self.feather),
        ];
        for (name, pixels) in pixels {
            if pixels > Self::MOST_PIXELS {
                let most = Self::MOST_PIXELS;
                return refused(format!("{name} is {pixels}; give 0 to {most} pixels"));
            }
            if self.soft && pixels > 0 {
                return refused(format!(
                    "soft and {name} exclude each other: a soft mask says itself how far the fill \
                     goes; leave one out"
                ));
            }
        }
        match self.soft && self.threshold.is_some() {
            true => refused(
                "soft and threshold exclude each other: a soft mask is not cut; leave one out"
                    .into(),
            ),
            false => Ok(()),
        }
    }

    /// A mask's hole shrunk, grown and feathered. One without a hole, or without a known pixel, stays
    /// as it is.
    ///
    /// # Errors
    /// As [`Self::check`]; [`PictureError::HoleVanishes`] where nothing is left of the hole and
    /// [`PictureError::HoleCovers`] where nothing is left of the photograph.
    pub fn apply(&self, mask: Mask) -> Result<Mask, PictureError> {
        self.apply_extended(mask, &Margins::default())
    }

    /// As [`Self::apply`], on a larger canvas: what is new belongs to the hole after that was shrunk
    /// and grown, and before it is feathered.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_extended(&self, mask: Mask, margins: &Margins) -> Result<Mask, PictureError> {
        self.check()?;
        if mask.is_full() {
            return Ok(mask.extended(margins));
        }
        let mut mask = self.resized(mask)?;
        if !margins.is_empty() {
            mask = mask.extended(margins);
        }
        if self.feather > 0 {
            mask = mask.feathered(self.feather);
        }
        match mask.is_full() {
            true => Err(PictureError::HoleCovers {
                pixels: self.grow + self.feather,
            }),
            false => Ok(mask),
        }
    }

    fn resized(&self, mut mask: Mask) -> Result<Mask, PictureError> {
        let had_a_hole = !mask.is_empty();
        if self.shrink > 0 {
            mask = mask.shrunk(self.shrink);
        }
        if had_a_hole && mask.is_empty() {
            return Err(PictureError::HoleVanishes {
                pixels: self.shrink,
            });
        }
        Ok(match self.grow {
            0 => mask,
            pixels => mask.grown(pixels),
        })
    }

    /// What a user should know of pixels that change though they are not the hole, in a clause.
    pub fn note(&self) -> Option<String> {
        if self.soft {
            return Some(
                "the mask is soft: where it is gray, fill and photograph are blended".into(),
            );
        }
        (self.feather > 0).then(|| {
            format!(
                "known pixels within {} of the hole are blended with the fill and change",
                self.feather
            )
        })
    }
}

impl Mask {
    /// The same mask with every pixel within `pixels` of the hole as hole, measured between the
    /// centres of pixels. A soft mask becomes a hard one.
    #[must_use]
    pub fn grown(&self, pixels: u32) -> Self {
        self.reaching_out(pixels, |_| FULL)
    }

    /// The same mask without the hole's pixels that are within `pixels` of a known one. The
    /// photograph's edge counts for nothing. A soft mask becomes a hard one.
    #[must_use]
    pub fn shrunk(&self, pixels: u32) -> Self {
        let Some(window) = self.window(1) else {
            return self.clone();
        };
        let known: Vec<bool> = window.pixels(self).map(|i| self.keep()[i] == 1).collect();
        let distances = squared_distances(window.width, &known, pixels);
        let mut keep = self.keep().to_vec();
        for (i, distance) in window.pixels(self).zip(distances) {
            if is_within(distance, pixels) {
                keep[i] = 1;
            }
        }
        self.like(Self::from_keep(self.width(), self.height(), keep))
    }

    /// The same mask with a soft border outside the hole: all within `pixels` of it is hole, too, and
    /// the fill's share falls smoothly from there to nothing.
    #[must_use]
    pub fn feathered(&self, pixels: u32) -> Self {
        let width = f64::from(pixels) + 1.0;
        self.reaching_out(pixels, |squared| {
            let near = 1.0 - f64::from(squared).sqrt() / width;
            let share = near * near * (3.0 - 2.0 * near);
            (share * f64::from(FULL)).round().max(1.0) as u16
        })
    }

    /// The mask whose hole reaches `pixels` further, with the fill's share there by the square of the
    /// distance.
    fn reaching_out(&self, pixels: u32, share: impl Fn(u32) -> u16) -> Self {
        let Some(window) = self.window(pixels as usize) else {
            return self.clone();
        };
        let hole: Vec<bool> = window.pixels(self).map(|i| self.keep()[i] == 0).collect();
        let distances = squared_distances(window.width, &hole, pixels);
        let mut weights = vec![0; self.keep().len()];
        for (i, squared) in window.pixels(self).zip(distances) {
            if squared == 0 {
                weights[i] = FULL;
            } else if is_within(squared, pixels) {
                weights[i] = share(squared);
            }
        }
        self.like(Self::from_weights(self.width(), self.height(), weights))
    }

    /// Another hole of the same kind: transparency, if this one is.
    pub(super) fn like(&self, mask: Result<Self, PictureError>) -> Self {
        let mask = mask.expect("one value per pixel");
        match self.is_transparency() {
            true => mask.of_transparency(),
            false => mask,
        }
    }

    /// The smallest rectangle around the hole, with `margin` pixels more on each side.
    fn window(&self, margin: usize) -> Option<Window> {
        let [left, top, right, bottom] = self.hole_rectangle()?;
        let (x, y) = (left.saturating_sub(margin), top.saturating_sub(margin));
        Some(Window {
            x,
            y,
            width: (right + margin).min(self.width()) - x,
            height: (bottom + margin).min(self.height()) - y,
        })
    }
}

/// The share of a fill that hides the photograph.
pub(super) const FULL: u16 = u16::MAX;

fn is_within(squared: u32, pixels: u32) -> bool {
    squared != FAR && u64::from(squared) <= u64::from(pixels) * u64::from(pixels)
}

/// A part of a mask.
struct Window {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Window {
    /// Where its pixels lie in the mask, row by row.
    fn pixels(&self, mask: &Mask) -> impl Iterator<Item = usize> + use<> {
        let (left, right, stride) = (self.x, self.x + self.width, mask.width());
        (self.y..self.y + self.height).flat_map(move |y| y * stride + left..y * stride + right)
    }
}
