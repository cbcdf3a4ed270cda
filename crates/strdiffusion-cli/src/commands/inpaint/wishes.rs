//! What a person says of a fill beside its hole: lines that it shall have, and what it shall not be
//! made of.

use std::path::Path;

use anyhow::Result;
use strdiffusion::detail::avoided;
use strdiffusion::picture::{FloatImage, Margins, Mask, Photo};
use strdiffusion::structure::drawn_edges;
use strdiffusion::{Detail, FillOptions};

use super::sources::Source;
use super::{Inpaint, ScaleName};
use crate::failure::user_error;

/// A person's wishes for one photograph.
pub struct Wishes {
    drawn_edges: Option<FloatImage>,
    avoid: Option<Mask>,
}

/// The files that hold them.
#[derive(Clone, Copy)]
pub struct WishFiles<'a> {
    pub drawing: Option<&'a Path>,
    pub avoid: Option<&'a Path>,
}

impl Wishes {
    /// Reads them for a photograph that is prepared: `margins` larger than it came.
    ///
    /// # Errors
    /// If a file cannot be read, is of another size, or can have no effect.
    pub fn read(
        files: WishFiles,
        args: &Inpaint,
        source: &Source,
        margins: &Margins,
        photo: &Photo,
    ) -> Result<Self> {
        let drawing = files.drawing.map(|path| read_drawing(path, source, photo));
        let avoid = files.avoid.map(|path| {
            check_detail(path, args)?;
            read_avoided(path, source, margins, photo)
        });
        Ok(Self {
            drawn_edges: drawing.transpose()?,
            avoid: avoid.transpose()?,
        })
    }

    /// These options with the wishes.
    pub fn added_to(&self, options: FillOptions) -> FillOptions {
        FillOptions {
            drawn_edges: self.drawn_edges.clone(),
            avoid: self.avoid.clone(),
            ..options
        }
    }
}

/// A drawing of the photograph's size as edges, `[1, height, width]`: bright = edge.
fn read_drawing(path: &Path, source: &Source, photo: &Photo) -> Result<FloatImage> {
    let drawing = source.limits.open(path)?;
    check_size(
        &drawing,
        "drawing",
        [photo.width(), photo.height()],
        source.photo,
    )?;
    Ok(drawn_edges(&drawing)?)
}

/// A mask of the photograph's size before it was extended, in which white is to be avoided.
fn read_avoided(path: &Path, source: &Source, margins: &Margins, photo: &Photo) -> Result<Mask> {
    let picture = source.limits.open(path)?;
    let size = [
        photo.width() - margins.left - margins.right,
        photo.height() - margins.top - margins.bottom,
    ];
    check_size(&picture, "mask of what to avoid", size, source.photo)?;
    let avoided = avoided(&picture)?;
    if avoided.is_empty() {
        let note = "no pixel is white, so nothing is avoided";
        source.reporter.note(&format!("{}: {note}", path.display()));
    }
    Ok(avoided.extended(margins))
}

fn check_size(picture: &Photo, what: &str, wanted: [usize; 2], photo: &Path) -> Result<()> {
    let size = [picture.width(), picture.height()];
    if size == wanted {
        return Ok(());
    }
    let ([width, height], [photo_width, photo_height]) = (size, wanted);
    Err(user_error(format!(
        "{}: the {what} is {width}×{height} pixels but {} is {photo_width}×{photo_height}; give both \
         the same size",
        picture.name(),
        photo.display()
    )))
}

/// Refuses to avoid what nothing is copied from.
fn check_detail(path: &Path, args: &Inpaint) -> Result<()> {
    let why = match (args.detail, args.scale) {
        (Detail::Off, _) => "--detail off",
        (Detail::Auto, ScaleName::Native) => "--scale native, unless --detail is a number",
        _ => return Ok(()),
    };
    Err(user_error(format!(
        "{}: it says what detail is not copied from, and there is no detail with {why}; leave out \
         one of them",
        path.display()
    )))
}
