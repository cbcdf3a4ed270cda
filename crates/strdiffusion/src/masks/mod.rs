//! Generated masks: what people remove (strokes of a brush, objects, scratches, text) and plain
//! shapes, with a chosen share of hole.
//!
//! Free-form strokes follow the habit of the field since Yu et al., "Free-Form Image Inpainting
//! with Gated Convolution", ICCV 2019: a thick round brush walks from corner to corner of a random
//! polyline whose turns alternate about a mean angle. The hole's share is not left to chance: a
//! target is drawn from the asked range first, every shape hands out its pixels from the inside
//! out (a stroke along its way), and drawing stops at the target exactly.

mod shape;
mod write;

use std::ops::RangeInclusive;

use rand::Rng;
use thiserror::Error;

use serde::{Deserialize, Serialize};

use crate::picture::{Mask, PictureError};
use shape::{ellipse, object, rectangle, scratch, stroke, text};

pub use write::write_masks;

/// Shortest side for which masks are generated.
pub const MIN_SIDE: usize = 16;

/// An error of generating masks.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A ratio range that is reversed, not finite, or reaches beyond 0 to 1.
    #[error("hole ratio {low}-{high} is no range within 0-1; give for example 0.1-0.5")]
    Ratio {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// No whole number of pixels has a share within the range.
    #[error(
        "no mask of {width}x{height} pixels has a hole ratio within {low}-{high}; widen the range"
    )]
    Narrow {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A side that is too short for shapes, or too long to hold.
    #[error(
        "masks of {width}x{height} pixels cannot be drawn; each side must be {MIN_SIDE} to 32768"
    )]
    Size {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
    },
    /// No kind of shape was chosen.
    #[error("no kind of shape was chosen; take for example strokes, ellipses and rectangles")]
    NoKind,
    /// A mask could not be written.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

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

/// A mask in the making: takes hole pixels until the target is met, then refuses more.
struct Canvas {
    width: usize,
    height: usize,
    keep: Vec<u8>,
    missing: usize,
}

impl Canvas {
    fn new(width: usize, height: usize, target: usize) -> Self {
        Self {
            width,
            height,
            keep: vec![1; width * height],
            missing: target,
        }
    }

    fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// Digs one pixel; coordinates outside the canvas are ignored.
    fn dig(&mut self, x: i64, y: i64) {
        if self.missing == 0 || x < 0 || y < 0 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        if x >= self.width || y >= self.height {
            return;
        }
        let keep = &mut self.keep[y * self.width + x];
        self.missing -= usize::from(*keep);
        *keep = 0;
    }

    /// Widens the hole ring by ring until the target is met.
    fn grow(&mut self) {
        let (width, height) = (self.width as i64, self.height as i64);
        while !self.is_done() {
            let rim: Vec<(i64, i64)> = (0..height)
                .flat_map(|y| (0..width).map(move |x| (x, y)))
                .filter(|&(x, y)| {
                    let hole = |x: i64, y: i64| {
                        (0..width).contains(&x)
                            && (0..height).contains(&y)
                            && self.keep[(y * width + x) as usize] == 0
                    };
                    !hole(x, y)
                        && (hole(x - 1, y) || hole(x + 1, y) || hole(x, y - 1) || hole(x, y + 1))
                })
                .collect();
            if rim.is_empty() {
                // Nothing dug at all: start in the middle.
                self.dig(width / 2, height / 2);
            }
            for (x, y) in rim {
                self.dig(x, y);
            }
        }
    }
}
