//! Generated masks: what people remove (strokes of a brush, objects, scratches, text) and plain
//! shapes, with a chosen share of hole.
//!
//! Free-form strokes follow the habit of the field since Yu et al., "Free-Form Image Inpainting
//! with Gated Convolution", ICCV 2019: a thick round brush walks from corner to corner of a random
//! polyline whose turns alternate about a mean angle. The hole's share is not left to chance: a
//! target is drawn from the asked range first, every shape hands out its pixels from the inside
//! out (a stroke along its way), and drawing stops at the target exactly.

mod canvas;
mod error;
mod shape;
mod write;

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::picture::Mask;
use canvas::Canvas;
use shape::{ellipse, object, rectangle, scratch, stroke, text};

pub use error::{MIN_SIDE, MaskError};
pub use write::write_masks;

/// A kind of shape that holes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShapeKind {
    /// A walk of a thick round brush.
    Stroke,
    /// A filled ellipse, turned by a random angle.
    Ellipse,
    /// A filled upright rectangle.
    Rectangle,
    /// A filled silhouette with a smooth, uneven outline, such as one paints over a thing.
    Object,
    /// A thin, slightly bent line across much of the picture.
    Scratch,
    /// A line of writing: small marks in rows of words.
    Text,
}

impl ShapeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Stroke,
        Self::Ellipse,
        Self::Rectangle,
        Self::Object,
        Self::Scratch,
        Self::Text,
    ];

    /// Name in configs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stroke => "stroke",
            Self::Ellipse => "ellipse",
            Self::Rectangle => "rectangle",
            Self::Object => "object",
            Self::Scratch => "scratch",
            Self::Text => "text",
        }
    }
}

/// Draws random masks whose hole's share lies in a range, at any size from [`MIN_SIDE`] up.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskGenerator {
    /// The hole's share of all pixels, both ends included.
    pub ratio: RangeInclusive<f64>,
    /// Kinds of shapes to choose from. A mask holds one kind or a mixture of all.
    pub kinds: Vec<ShapeKind>,
}

impl Default for MaskGenerator {
    fn default() -> Self {
        Self {
            ratio: 0.1..=0.5,
            kinds: vec![ShapeKind::Stroke, ShapeKind::Ellipse, ShapeKind::Rectangle],
        }
    }
}

impl MaskGenerator {
    /// Strokes, ellipses and rectangles, with this range of the hole's share.
    ///
    /// # Errors
    /// [`MaskError::Ratio`] where the range does not lie within 0 to 1.
    pub fn with_ratio(ratio: RangeInclusive<f64>) -> Result<Self, MaskError> {
        let generator = Self {
            ratio,
            ..Self::default()
        };
        generator.check_ratio()?;
        Ok(generator)
    }

    /// Draws one mask of `height` rows of `width` pixels. The same state of `rng` gives the same
    /// mask.
    ///
    /// # Errors
    /// [`MaskError::Ratio`], [`MaskError::Narrow`], [`MaskError::Size`] or [`MaskError::NoKind`].
    pub fn generate(
        &self,
        width: usize,
        height: usize,
        rng: &mut impl Rng,
    ) -> Result<Mask, MaskError> {
        let (least, most) = self.hole_pixels(width, height)?;
        let mut canvas = Canvas::new(width, height, rng.random_range(least..=most));
        // A third of the masks mix all kinds, the others keep to one.
        let mixed = self.kinds.len() > 1 && rng.random_bool(1.0 / 3.0);
        let only = self.kinds[rng.random_range(0..self.kinds.len())];
        // A shape may fall wholly into what is a hole already, so the number of tries is bounded.
        for _ in 0..MAX_SHAPES {
            if canvas.is_done() {
                break;
            }
            let kind = if mixed {
                self.kinds[rng.random_range(0..self.kinds.len())]
            } else {
                only
            };
            match kind {
                ShapeKind::Stroke => stroke(&mut canvas, rng),
                ShapeKind::Ellipse => ellipse(&mut canvas, rng),
                ShapeKind::Rectangle => rectangle(&mut canvas, rng),
                ShapeKind::Object => object(&mut canvas, rng),
                ShapeKind::Scratch => scratch(&mut canvas, rng),
                ShapeKind::Text => text(&mut canvas, rng),
            }
        }
        canvas.grow();
        Ok(Mask::from_keep(width, height, canvas.keep)?)
    }

    fn check_ratio(&self) -> Result<(f64, f64), MaskError> {
        let (low, high) = (*self.ratio.start(), *self.ratio.end());
        if 0.0 <= low && low <= high && high <= 1.0 {
            Ok((low, high))
        } else {
            Err(MaskError::Ratio { low, high })
        }
    }

    /// Least and greatest number of hole pixels whose share lies in the range.
    fn hole_pixels(&self, width: usize, height: usize) -> Result<(usize, usize), MaskError> {
        let (low, high) = self.check_ratio()?;
        if self.kinds.is_empty() {
            return Err(MaskError::NoKind);
        }
        let sides = MIN_SIDE..=32_768;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(MaskError::Size { width, height });
        }
        let pixels = width * height;
        let share = |count: usize| count as f64 / pixels as f64;
        let mut least = (low * pixels as f64).floor() as usize;
        let mut most = ((high * pixels as f64).ceil() as usize).min(pixels);
        // Products round; the promise is about the quotient that a reader would compute.
        while least <= most && share(least) < low {
            least += 1;
        }
        while most > least && share(most) > high {
            most -= 1;
        }
        if least > most || share(most) > high {
            return Err(MaskError::Narrow {
                width,
                height,
                low,
                high,
            });
        }
        Ok((least, most))
    }
}

/// Shapes per mask before what is missing is filled in around the hole.
const MAX_SHAPES: usize = 200;
