//! A larger canvas: how far a photograph is to be continued beyond its sides.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

use image::{DynamicImage, ImageBuffer, Pixel, Primitive, imageops};

use super::{Limits, Mask, Photo, PictureError, exif};

/// How far a photograph is to be continued beyond each side. In words `LEFT,TOP,RIGHT,BOTTOM`, each in
/// pixels or, as `25%`, in percent of its width (left, right) or height (top, bottom).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extension([Length; 4]);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Pixels(u32),
    Percent(f64),
}

/// A word that says no extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an extension is LEFT,TOP,RIGHT,BOTTOM, each in pixels or percent, such as 0,0,256,10%, not {0:?}"
)]
pub struct UnknownExtension(String);

impl FromStr for Extension {
    type Err = UnknownExtension;

    fn from_str(text: &str) -> Result<Self, UnknownExtension> {
        let lengths = text.split(',').map(|word| Length::of(word.trim()));
        let lengths: Option<Vec<Length>> = lengths.collect();
        let sides = lengths.and_then(|lengths| lengths.try_into().ok());
        sides.map(Self).ok_or_else(|| UnknownExtension(text.into()))
    }
}

impl Display for Extension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [left, top, right, bottom] = self.0;
        write!(f, "{left},{top},{right},{bottom}")
    }
}

impl Length {
    fn of(word: &str) -> Option<Self> {
        match word.strip_suffix('%') {
            None => word.parse().ok().map(Self::Pixels),
            Some(number) => {
                let percent = number.trim_end().parse().ok()?;
                (0.0..=10_000.0)
                    .contains(&percent)
                    .then_some(Self::Percent(percent))
            }
        }
    }

    fn pixels(self, side: usize) -> usize {
        match self {
            Self::Pixels(pixels) => pixels as usize,
            Self::Percent(percent) => (side as f64 * percent / 100.0).round() as usize,
        }
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => pixels.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Extension {
    /// The pixels that are added to a photograph of this size.
    pub fn margins(&self, [width, height]: [usize; 2]) -> Margins {
        let [left, top, right, bottom] = self.0;
        Margins {
            left: left.pixels(width),
            top: top.pixels(height),
            right: right.pixels(width),
            bottom: bottom.pixels(height),
        }
    }
}

/// Pixels that are added to a picture beyond each side. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Margins {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Margins {
    /// Whether nothing is added.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Width and height of a picture of this size with the margins.
    pub fn around(&self, [width, height]: [usize; 2]) -> [usize; 2] {
        [
            self.left + width + self.right,
            self.top + height + self.bottom,
        ]
    }
}

impl Photo {
    /// The pixels that an extension adds to the photograph.
    ///
    /// # Errors
    /// [`PictureError::TooLarge`] where the canvas is beyond the limits.
    pub fn margins(&self, extension: &Extension, limits: &Limits) -> Result<Margins, PictureError> {
        let size = [self.width(), self.height()];
        let margins = extension.margins(size);
        let canvas = margins.around(size);
        let [width, height] = canvas.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        if !margins.is_empty() {
            let name = format!("{}, extended", self.name());
            limits.check(Path::new(&name), width, height)?;
        }
        Ok(margins)
    }

    /// The photograph on a larger canvas, whose new pixels are black and opaque. What the file says
    /// beside its pixels stays, but for the size.
    #[must_use]
    pub fn extended(&self, margins: &Margins) -> Self {
        if margins.is_empty() {
            return self.clone();
        }
        let size = margins.around([self.width(), self.height()]);
        let size = size.map(|side| side as u32);
        let at = [margins.left as i64, margins.top as i64];
        let mut metadata = self.metadata.clone();
        metadata.exif = (metadata.exif).and_then(|block| exif::upright(block, size));
        Self {
            image: on_canvas_of_kind(&self.image, size, at),
            metadata,
            notes: self.notes.clone(),
            path: self.path.clone(),
            format: self.format,
        }
    }
}

impl Mask {
    /// The mask on a larger canvas, whose new pixels are hole.
    #[must_use]
    pub fn extended(&self, margins: &Margins) -> Self {
        let [width, height] = margins.around([self.width(), self.height()]);
        self.like(match self.weights() {
            None => Self::from_keep(width, height, place(self.keep(), self.width(), margins, 0)),
            Some(weights) => {
                let weights = place(weights, self.width(), margins, u16::MAX);
                Self::from_weights(width, height, weights)
            }
        })
    }
}

/// A plane of `width` columns on a larger canvas.
fn place<T: Copy>(plane: &[T], width: usize, margins: &Margins, new: T) -> Vec<T> {
    let [outer, height] = margins.around([width, plane.len() / width.max(1)]);
    let mut canvas = vec![new; outer * height];
    for (y, row) in plane.chunks_exact(width.max(1)).enumerate() {
        canvas[(margins.top + y) * outer + margins.left..][..width].copy_from_slice(row);
    }
    canvas
}

fn on_canvas_of_kind(image: &DynamicImage, size: [u32; 2], at: [i64; 2]) -> DynamicImage {
    use DynamicImage as D;
    match image {
        D::ImageLuma8(i) => on_canvas(i, size, at).into(),
        D::ImageLumaA8(i) => on_canvas(i, size, at).into(),
        D::ImageRgb8(i) => on_canvas(i, size, at).into(),
        D::ImageRgba8(i) => on_canvas(i, size, at).into(),
        D::ImageLuma16(i) => on_canvas(i, size, at).into(),
        D::ImageLumaA16(i) => on_canvas(i, size, at).into(),
        D::ImageRgb16(i) => on_canvas(i, size, at).into(),
        D::ImageRgba16(i) => on_canvas(i, size, at).into(),
        _ => unreachable!("other kinds are refused when a photograph is made"),
    }
}

fn on_canvas<P: Pixel>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    [width, height]: [u32; 2],
    [x, y]: [i64; 2],
) -> ImageBuffer<P, Vec<P::Subpixel>> {
    let channels = usize::from(P::CHANNEL_COUNT);
    let mut new = vec![P::Subpixel::DEFAULT_MIN_VALUE; channels];
    if channels.is_multiple_of(2) {
        new[channels - 1] = P::Subpixel::DEFAULT_MAX_VALUE;
    }
    let mut canvas = ImageBuffer::from_pixel(width, height, *P::from_slice(&new));
    imageops::replace(&mut canvas, image, x, y);
    canvas
}
