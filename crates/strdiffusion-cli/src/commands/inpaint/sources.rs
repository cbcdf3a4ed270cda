//! Where a photograph's hole comes from, and what is said when there is none to use.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use strdiffusion::picture::{FloatImage, HolePolarity, Mask, Photo};
use strdiffusion::structure::drawn_edges;

use crate::failure::user_error;

/// Which pixels of a mask are the hole.
#[derive(Clone, Copy, ValueEnum)]
pub enum Hole {
    White,
    Black,
}

/// A photograph and the file that its hole comes from; none: its transparency.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub photo: &'a Path,
    pub mask: Option<&'a Path>,
    pub hole: Hole,
    /// Resize a mask of another size.
    pub fit_mask: bool,
}

impl Source<'_> {
    /// The hole. It may be empty, but it leaves something known.
    ///
    /// # Errors
    /// If there is no mask, or none that can be used.
    pub fn read_mask(&self, photo: &Photo) -> Result<Mask> {
        let mask = self.read_any_mask(photo)?;
        if mask.is_full() {
            return Err(self.full_mask());
        }
        Ok(mask)
    }

    fn read_any_mask(&self, photo: &Photo) -> Result<Mask> {
        let Some(path) = self.mask else {
            return Mask::from_alpha(photo).map_err(|_| {
                user_error(format!(
                    "{}: has no transparent pixels to take the hole from; name a mask with --mask",
                    self.photo.display()
                ))
            });
        };
        let polarity = match self.hole {
            Hole::White => HolePolarity::White,
            Hole::Black => HolePolarity::Black,
        };
        let mask = Mask::open(path, polarity)?;
        let (width, height) = (photo.width(), photo.height());
        if (mask.width(), mask.height()) == (width, height) {
            return Ok(mask);
        }
        if self.fit_mask {
            return Ok(mask.fit_to(width, height)?);
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
                "{}: every pixel is transparent, so nothing is known to fill the hole from",
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
        };
        format!(
            "{}: {why}, so there is no hole and the photo stays as it is",
            file.display()
        )
    }
}

/// A drawing of the photograph's size as edges, `[1, height, width]`: bright = edge.
///
/// # Errors
/// If it cannot be read, is of another size, or mostly bright.
pub fn read_drawing(path: &Path, photo: &Photo) -> Result<FloatImage> {
    let drawing = Photo::open(path)?;
    if (drawing.width(), drawing.height()) != (photo.width(), photo.height()) {
        return Err(user_error(format!(
            "{}: the drawing is {}×{} pixels but {} is {}×{}; give both the same size",
            path.display(),
            drawing.width(),
            drawing.height(),
            photo.name(),
            photo.width(),
            photo.height()
        )));
    }
    Ok(drawn_edges(&drawing)?)
}
