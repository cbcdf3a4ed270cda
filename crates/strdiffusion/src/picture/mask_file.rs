//! Masks from pictures and to files: what of a picture is the hole.

use std::path::Path;

use image::{DynamicImage, GrayImage};

use super::mask_options::FULL;
use super::output::{OutputFormat, check_output, write_atomically};
use super::{Limits, Mask, MaskOptions, Photo, PictureError};
use crate::structure::luma;

/// What a hole looks like in a mask file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolePolarity {
    /// White (bright) pixels are the hole: the default.
    #[default]
    White,
    /// Black (dark) pixels are the hole.
    Black,
    /// Every pixel that is not black is the hole, however dark: for masks of 0 and 1, and of
    /// colours.
    NonZero,
    /// Transparent pixels are the hole.
    Transparent,
}

impl Mask {
    /// Reads a mask file within the default [`Limits`].
    ///
    /// # Errors
    /// As [`Photo::open`] and [`Self::from_photo`].
    pub fn open(path: impl AsRef<Path>, polarity: HolePolarity) -> Result<Self, PictureError> {
        let photo = Photo::open_within(path, &Limits::default())?;
        Self::from_photo(&photo, polarity)
    }

    /// Takes a picture's brightness as a mask: a value of at least one half of the range is white,
    /// a smaller one black; never dithered. Colours count by their luma. Transparent pixels
    /// (alpha below one half) are kept, whatever their colour, unless they are asked for.
    ///
    /// # Errors
    /// Where the picture says something else than it seems to:
    /// [`PictureError::TooDark`] where nothing is white, though not all is black (such as a mask
    /// of 0 and 1), [`PictureError::TooBright`] likewise for black, and
    /// [`PictureError::TransparentMask`] where its transparent pixels seem to be the hole.
    pub fn from_photo(photo: &Photo, polarity: HolePolarity) -> Result<Self, PictureError> {
        Self::from_photo_with(photo, polarity, &MaskOptions::default())
    }

    /// As [`Self::from_photo`], but cut at the `options`' threshold, or soft. What else they ask for
    /// is [`MaskOptions::apply`]'s to do, once the mask has the photograph's size.
    ///
    /// # Errors
    /// As [`Self::from_photo`] and [`MaskOptions::check`]; [`PictureError::MaskOption`] for a
    /// threshold with [`HolePolarity::NonZero`], which knows none.
    pub fn from_photo_with(
        photo: &Photo,
        polarity: HolePolarity,
        options: &MaskOptions,
    ) -> Result<Self, PictureError> {
        options.check()?;
        if polarity == HolePolarity::NonZero && options.threshold.is_some() {
            return Err(PictureError::MaskOption {
                reason: "threshold: all that is not black is to be the hole, so there is nothing \
                         to cut; leave it out"
                    .into(),
            });
        }
        let tones = Tones::of_photo(photo, polarity, options);
        tones.check_brightness(photo, polarity)?;
        tones.check_transparency(photo, polarity)?;
        match options.soft {
            true => Self::from_weights(photo.width(), photo.height(), tones.weights),
            false => Self::from_keep(photo.width(), photo.height(), tones.keep),
        }
    }

    /// Takes the white parts of a drawing as the hole; transparent ones are none.
    ///
    /// # Errors
    /// [`PictureError::TooDark`].
    pub(crate) fn of_white(drawing: &Photo) -> Result<Self, PictureError> {
        let tones = Tones::of_photo(drawing, HolePolarity::White, &MaskOptions::default());
        tones.check_brightness(drawing, HolePolarity::White)?;
        Self::from_keep(drawing.width(), drawing.height(), tones.keep)
    }

    /// Takes a photograph's transparency as the hole: every pixel that is not opaque. The fill
    /// makes them opaque.
    ///
    /// # Errors
    /// [`PictureError::NoAlpha`] where the photograph has no alpha channel.
    pub fn from_alpha(photo: &Photo) -> Result<Self, PictureError> {
        Self::from_alpha_with(photo, &MaskOptions::default())
    }

    /// As [`Self::from_alpha`], but cut at the `options`' threshold, or soft: as much of the fill as
    /// the photograph lets through.
    ///
    /// # Errors
    /// As [`Self::from_alpha`] and [`MaskOptions::check`].
    pub fn from_alpha_with(photo: &Photo, options: &MaskOptions) -> Result<Self, PictureError> {
        options.check()?;
        let alpha = photo
            .alpha()
            .ok_or_else(|| PictureError::NoAlpha { name: photo.name() })?;
        let (width, height) = (photo.width(), photo.height());
        let mask = if options.soft {
            let weights = alpha.iter().map(|&a| share(1.0 - f64::from(a)));
            Self::from_weights(width, height, weights.collect())
        } else {
            let opaque = options.threshold.unwrap_or(1.0);
            let keep = alpha.iter().map(|&a| u8::from(f64::from(a) >= opaque));
            Self::from_keep(width, height, keep.collect())
        };
        Ok(mask?.of_transparency())
    }

    /// Writes the mask as an 8-bit grayscale picture, white = hole, in one step: the file is whole
    /// or not there.
    ///
    /// # Errors
    /// As [`Photo::save`]; [`PictureError::CannotHold`] for JPEG, which would blur the mask.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), PictureError> {
        let path = path.as_ref();
        let format = check_output(path)?;
        if format == OutputFormat::Jpeg {
            return Err(PictureError::CannotHold {
                path: path.to_path_buf(),
                format: format.name(),
                what: "a mask without loss".into(),
            });
        }
        let gray = self.keep().iter().map(|&k| (1 - k) * 255).collect();
        let image = u32::try_from(self.width())
            .ok()
            .zip(u32::try_from(self.height()).ok())
            .and_then(|(width, height)| GrayImage::from_raw(width, height, gray))
            .ok_or_else(|| PictureError::from_write(path, "too large for a file"))?;
        let photo = Photo::from_image(DynamicImage::ImageLuma8(image))?;
        write_atomically(path, |file| photo.encode_to(file, path, format))
    }
}

/// A share of the fill as a mask holds it.
fn share(unit: f64) -> u16 {
    (unit * f64::from(FULL)).round() as u16
}

/// How bright the pixels of a mask's picture are.
struct Tones {
    keep: Vec<u8>,
    /// Shares of the fill, where a soft mask is wanted.
    weights: Vec<u16>,
    /// Where white begins, 0 to 1.
    cut: f64,
    /// Brightness of white.
    most: u32,
    /// Highest and lowest brightness of pixels that are not transparent.
    brightest: f64,
    darkest: f64,
    /// The brightest pixel's colour; gray: three times the same.
    colour: [u32; 3],
    transparent: usize,
    white: usize,
}

impl Tones {
    fn of_photo(photo: &Photo, polarity: HolePolarity, options: &MaskOptions) -> Self {
        let image = photo.image();
        let channels = usize::from(image.color().channel_count());
        match photo.bit_depth() {
            8 => Self::of(image.as_bytes(), channels, 255, polarity, options),
            _ => Self::of(&photo.samples16(), channels, 65535, polarity, options),
        }
    }

    fn of<T: Copy + Into<f64> + Into<u32>>(
        raw: &[T],
        channels: usize,
        most: u32,
        polarity: HolePolarity,
        options: &MaskOptions,
    ) -> Self {
        let cut = options.threshold.unwrap_or(0.5);
        let opaque = match polarity {
            HolePolarity::Transparent => cut,
            _ => 0.5,
        };
        let mut tones = Self {
            keep: Vec::with_capacity(raw.len() / channels),
            weights: vec![],
            cut,
            most,
            brightest: 0.0,
            darkest: f64::INFINITY,
            colour: [0; 3],
            transparent: 0,
            white: 0,
        };
        let range = f64::from(most);
        for p in raw.chunks_exact(channels) {
            let unit = |i: usize| -> f64 { Into::<f64>::into(p[i]) / range };
            let (value, alpha) = match channels {
                1 => (unit(0), 1.0),
                2 => (unit(0), unit(1)),
                3 => (luma(unit(0), unit(1), unit(2)), 1.0),
                _ => (luma(unit(0), unit(1), unit(2)), unit(3)),
            };
            let is_transparent = alpha < opaque;
            let is_white = value >= cut;
            let is_hole = match polarity {
                HolePolarity::White => !is_transparent && is_white,
                HolePolarity::Black => !is_transparent && !is_white,
                HolePolarity::NonZero => !is_transparent && value > 0.0,
                HolePolarity::Transparent => is_transparent,
            };
            tones.keep.push(u8::from(!is_hole));
            if options.soft {
                tones.weights.push(share(match polarity {
                    HolePolarity::White | HolePolarity::NonZero => value * alpha,
                    HolePolarity::Black => (1.0 - value) * alpha,
                    HolePolarity::Transparent => 1.0 - alpha,
                }));
            }
            if is_transparent {
                tones.transparent += 1;
                continue;
            }
            tones.white += usize::from(is_white);
            tones.darkest = tones.darkest.min(value);
            if value > tones.brightest {
                tones.brightest = value;
                tones.colour = [0, 1, 2].map(|c| p[if channels < 3 { 0 } else { c }].into());
            }
        }
        tones
    }

    fn opaque(&self) -> usize {
        self.keep.len() - self.transparent
    }

    /// Refuses a picture without white (or black) that is not all black (or white).
    fn check_brightness(&self, photo: &Photo, polarity: HolePolarity) -> Result<(), PictureError> {
        let level = |value: f64| (value * f64::from(self.most)).round() as u32;
        let white = (self.cut * f64::from(self.most)).ceil() as u32;
        let most = self.most;
        match polarity {
            HolePolarity::White if self.white == 0 && self.brightest > 0.0 => {
                let [r, g, b] = self.colour;
                Err(PictureError::TooDark {
                    name: name_of(photo),
                    brightest: level(self.brightest),
                    colour: match r == g && g == b {
                        true => String::new(),
                        false => format!(" (the luma of red {r}, green {g}, blue {b})"),
                    },
                    most,
                    white,
                })
            }
            HolePolarity::Black if self.white == self.opaque() && self.darkest < 1.0 => {
                Err(PictureError::TooBright {
                    name: name_of(photo),
                    darkest: level(self.darkest),
                    most,
                    white,
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a picture whose transparent pixels may well be the hole.
    fn check_transparency(
        &self,
        photo: &Photo,
        polarity: HolePolarity,
    ) -> Result<(), PictureError> {
        let (pixels, opaque) = (self.keep.len(), self.opaque());
        if polarity != HolePolarity::White || self.transparent == 0 || opaque == 0 {
            return Ok(());
        }
        // A layer with a brush's strokes is transparent for the most part, and white where it is
        // not, but for the strokes' soft edges.
        let rest = if self.white == 0 {
            "all else is black"
        } else if 4 * (opaque - self.white) > opaque {
            "there are dark and white pixels beside"
        } else if 2 * self.white > pixels {
            "most of it is white"
        } else {
            return Ok(());
        };
        Err(PictureError::TransparentMask {
            name: name_of(photo),
            share: 100.0 * self.transparent as f64 / pixels as f64,
            rest,
        })
    }
}

fn name_of(mask: &Photo) -> String {
    let path = mask.path().map(|path| path.display().to_string());
    path.unwrap_or_else(|| "the mask".into())
}
