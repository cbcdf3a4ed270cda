//! A folder of photographs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use strdiffusion::picture::check_output;

use super::Inpaint;
use super::candidates::candidates;
use super::listing::{Listing, Masks, in_words};
use super::many::{HoleFrom, Item, Row, Run};
use super::sources::is_standard;
use crate::failure::user_error;
use crate::progress::Reporter;

/// Fills every photograph of a folder that is not filled yet.
///
/// # Errors
/// If the folders are at fault, photographs failed (after the rest is done), or the user cancels.
pub fn run(args: &Inpaint, images: &Path, out: &Path) -> Result<()> {
    let reporter = Reporter::new(args.json);
    let (photos, masks) = look_around(args, images, out, &reporter)?;
    let rows = rows(args, photos, masks, out)?;
    let total = rows.len();
    // A folder's names are in memory anyway: all photographs of a size can come together.
    Run::new(args, &reporter)?.fill(rows.into_iter(), Some(total), usize::MAX)
}

/// The photographs of this shard.
fn rows(
    args: &Inpaint,
    photos: Vec<PathBuf>,
    masks: Option<Masks>,
    out: &Path,
) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for path in photos {
        let name = path.file_name().unwrap_or_default();
        if !args.shard.holds(name.as_encoded_bytes()) {
            continue;
        }
        let wanted = candidates(&out.join(name), args.seed, args.candidates)?;
        let hole = match &masks {
            Some(masks) => masks.of_photo(&path).map(|mask| match mask {
                Some(mask) => HoleFrom::Mask(mask.to_path_buf()),
                None => HoleFrom::Transparency(Some(masks_of(args, &path))),
            }),
            None => Ok(args
                .mask
                .clone()
                .map_or(HoleFrom::Transparency(None), HoleFrom::Mask)),
        };
        rows.push(Row {
            name: path.display().to_string(),
            item: hole.map(|hole| Item {
                path,
                hole,
                drawing: None,
                avoid: None,
                wanted,
            }),
        });
    }
    Ok(rows)
}

/// Where the photograph's mask would be.
fn masks_of(args: &Inpaint, photo: &Path) -> PathBuf {
    let folder = args.masks.clone().unwrap_or_default();
    folder.join(photo.file_stem().unwrap_or_default())
}

/// Finds the photographs and masks, and checks the folders before any work.
fn look_around(
    args: &Inpaint,
    images: &Path,
    out: &Path,
    reporter: &Reporter,
) -> Result<(Vec<PathBuf>, Option<Masks>)> {
    let listing = Listing::of(images)?;
    if listing.pictures.is_empty() {
        return Err(user_error(format!(
            "{}: there are no photographs in this folder; use PNG, JPEG, WebP, TIFF or BMP",
            images.display()
        )));
    }
    let same = |a: &Path, b: &Path| {
        let (a, b) = (a.canonicalize(), b.canonicalize());
        a.is_ok_and(|a| b.is_ok_and(|b| a == b))
    };
    if args.mask.as_deref().is_some_and(is_standard) {
        return Err(user_error(
            "--mask -: standard input can be read once; name a mask file",
        ));
    }
    if args.masks.as_ref().is_some_and(|masks| same(masks, images)) {
        return Err(user_error(
            "--masks and --images name one folder; keep the masks in another one",
        ));
    }
    let masks = args.masks.as_deref().map(Masks::of).transpose()?;
    if same(out, images) || args.masks.as_ref().is_some_and(|masks| same(out, masks)) {
        return Err(user_error(format!(
            "{}: the filled photographs need another folder than the photographs and the masks",
            out.display()
        )));
    }
    std::fs::create_dir_all(out).map_err(|error| {
        user_error(format!(
            "{}: this folder cannot be made ({error}); choose another place",
            out.display()
        ))
    })?;
    check_output(&out.join("photo.png"))?;
    if !listing.others.is_empty() {
        let files = in_words(&listing.others);
        reporter.note(&format!("{files}: no picture by its name, left alone"));
    }
    if !listing.no_files.is_empty() {
        let files = in_words(&listing.no_files);
        reporter.note(&format!("{files}: no regular file, left alone"));
    }
    if let Some(masks) = &masks {
        let lonely = masks.without(&listing.pictures);
        if !lonely.is_empty() {
            let files = in_words(&lonely);
            reporter.note(&format!("{files}: a mask without a photograph, left alone"));
        }
    }
    Ok((listing.pictures, masks))
}
