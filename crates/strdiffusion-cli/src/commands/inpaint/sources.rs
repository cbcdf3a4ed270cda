//! Where photographs and their holes come from, and what is said when there is none to use.

use std::path::Path;

use anyhow::Result;
use clap::{Args, ValueEnum};
use strdiffusion::picture::{
    Extension, HolePolarity, Limit, Limits, Margins, Mask, MaskOptions, Photo, PictureError,
};

use super::output::Keeping;
use crate::failure::user_error;
use crate::progress::Reporter;

/// Which pixels of a mask are the hole.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Hole {
    White,
    Black,
    /// All that is not black, for masks of 0 and 1 or of colours
    Nonzero,
    Transparent,
}

/// How large pictures may be.
#[derive(Args)]
pub struct SizeLimits {
    /// Most pixels of a picture, in millions; memory grows with it
    #[arg(long, value_name = "N", default_value_t = 256.0, value_parser = megapixels)]
    max_megapixels: f64,
    /// Longest side of a picture, in pixels
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(1..))]
    max_side: u32,
}

fn megapixels(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("give a number above 0".into()),
    }
}

impl SizeLimits {
    fn limits(&self) -> Limits {
        Limits {
            max_side: self.max_side,
            max_pixels: (self.max_megapixels * 1e6).ceil() as u64,
        }
    }

    /// Reads a picture; `-` is standard input.
    ///
    /// # Errors
    /// As [`Photo::open`].
    pub fn open(&self, path: &Path) -> Result<Photo> {
        let limits = self.limits();
        let opened = match is_standard(path) {
            true => Photo::from_reader(std::io::stdin().lock(), "standard input", &limits),
            false => Photo::open_within(path, &limits),
        };
        opened.map_err(with_limit)
    }
}

/// What is too large, with the option that allows it.
fn with_limit(error: PictureError) -> anyhow::Error {
    let PictureError::TooLarge {
        width,
        height,
        limit,
        ..
    } = error
    else {
        return error.into();
    };
    let option = match limit {
        Limit::Side(_) => format!("--max-side {}", width.max(height)),
        Limit::Pixels(_) => {
            let pixels = f64::from(width) * f64::from(height);
            format!("--max-megapixels {}", (pixels / 1e6).ceil())
        }
    };
    user_error(format!("{error}, or allow it with {option}"))
}

/// Whether a name stands for standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// A photograph and the file that its hole comes from; none: its transparency.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub photo: &'a Path,
    pub mask: Option<&'a Path>,
    pub hole: Hole,
    /// Resize a mask of another size.
    pub fit_mask: bool,
    pub borders: MaskOptions,
    pub extend: Option<Extension>,
    pub keeping: &'a Keeping,
    pub limits: &'a SizeLimits,
    /// Who is told what is left out of the mask's file.
    pub reporter: &'a Reporter,
}

impl Source<'_> {
    /// The hole, of the extended photograph's size. It may be empty, but it leaves something known.
    ///
    /// # Errors
    /// If there is no mask, or none that can be used.
    pub fn read_mask(&self, photo: &Photo) -> Result<Mask> {
        let mask = self.read_any_mask(photo)?;
        if mask.is_full() {
            return Err(self.full_mask());
        }
        let file = self.mask.unwrap_or(self.photo).display();
        let hole = self.borders.apply_extended(mask, &self.margins(photo)?);
        let hole = hole.map_err(|error| user_error(format!("{file}: {error}")))?;
        if let Some(note) = self.borders.note().filter(|_| !hole.is_empty()) {
            self.reporter
                .note(&format!("{}: {note}", self.photo.display()));
        }
        Ok(hole)
    }

    /// What is added to a photograph.
    ///
    /// # Errors
    /// If it is too large then.
    pub fn margins(&self, photo: &Photo) -> Result<Margins> {
        self.extend.map_or(Ok(Margins::default()), |extension| {
            let margins = photo.margins(&extension, &self.limits.limits());
            margins.map_err(with_limit)
        })
    }

    /// The photograph as it is to be filled: extended, and without what is not to be written.
    ///
    /// # Errors
    /// If it is too large then.
    pub fn prepare(&self, photo: Photo) -> Result<Photo> {
        let margins = self.margins(&photo)?;
        let photo = match margins.is_empty() {
            true => photo,
            false => photo.extended(&margins),
        };
        Ok(self.keeping.of(photo))
    }

    fn read_any_mask(&self, photo: &Photo) -> Result<Mask> {
        let Some(path) = self.mask else {
            let extends = !self.margins(photo)?.is_empty();
            return Mask::from_alpha_with(photo, &self.borders).or_else(|_| {
                if extends {
                    return Ok(Mask::all_known(photo.width(), photo.height()));
                }
                Err(user_error(format!(
                    "{}: has no transparent pixels to take the hole from; name a mask with --mask",
                    self.photo.display()
                )))
            });
        };
        let polarity = match self.hole {
            Hole::White => HolePolarity::White,
            Hole::Black => HolePolarity::Black,
            Hole::Nonzero => HolePolarity::NonZero,
            Hole::Transparent => HolePolarity::Transparent,
        };
        let picture = self.limits.open(path)?;
        for note in picture.notes() {
            self.reporter.note(&format!("{}: {note}", picture.name()));
        }
        let mask = Mask::from_photo_with(&picture, polarity, &self.borders).map_err(with_option)?;
        let (width, height) = (photo.width(), photo.height());
        if (mask.width(), mask.height()) == (width, height) {
            return Ok(mask);
        }
        if self.fit_mask {
            return Ok(mask.fit_covering(width, height)?);
        }
        Err(user_error(format!(
            "{}: the mask is {}×{} pixels but {} is {width}×{height}; give both the same size, \
             or resize the mask with --fit-mask",
            path.display(),
            mask.width(),
            mask.height(),
            self.photo.display()
        )))
    }

    fn full_mask(&self) -> anyhow::Error {
        match (self.mask, self.hole) {
            (None, _) => user_error(format!(
                "{}: every pixel is transparent, at least in part, so nothing is known to fill the \
                 hole from; name a mask with --mask",
                self.photo.display()
            )),
            (Some(path), Hole::White) => user_error(format!(
                "{}: the mask is white everywhere, so nothing is known to fill the hole from; \
                 paint the hole white and all else black, or use --hole black",
                path.display()
            )),
            (Some(path), Hole::Black) => user_error(format!(
                "{}: the mask is black everywhere, so nothing is known to fill the hole from; \
                 with --hole black all that is known must be white",
                path.display()
            )),
            (Some(path), Hole::Nonzero) => user_error(format!(
                "{}: the mask is black nowhere, so nothing is known to fill the hole from; \
                 with --hole nonzero all that is known must be black",
                path.display()
            )),
            (Some(path), Hole::Transparent) => user_error(format!(
                "{}: the mask is transparent everywhere, so nothing is known to fill the hole \
                 from; with --hole transparent all that is known must be opaque",
                path.display()
            )),
        }
    }

    /// Why there is no hole, for a note.
    pub fn why_empty(&self) -> String {
        let (file, why) = match (self.mask, self.hole) {
            (None, _) => (
                self.photo,
                "no pixel is transparent and no --mask was given",
            ),
            (Some(mask), Hole::White) => (mask, "no pixel of the mask is white"),
            (Some(mask), Hole::Black) => (mask, "no pixel of the mask is black"),
            (Some(mask), Hole::Nonzero) => (mask, "the mask is black everywhere"),
            (Some(mask), Hole::Transparent) => (mask, "no pixel of the mask is transparent"),
        };
        format!(
            "{}: {why}, so there is no hole and the photo stays as it is",
            file.display()
        )
    }
}

/// What is wrong with a mask, with the option that takes it as it is.
fn with_option(error: PictureError) -> anyhow::Error {
    let option = match error {
        PictureError::TooDark { .. } => "--hole nonzero takes every pixel that is not black",
        PictureError::TransparentMask { .. } => "--hole transparent takes the transparent pixels",
        error => return error.into(),
    };
    user_error(format!("{error}; or {option}"))
}
