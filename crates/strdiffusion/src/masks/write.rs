//! Folders of generated masks.

use std::fs;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{MaskError, MaskGenerator};
use crate::picture::PictureError;

/// Writes `count` masks of `width`×`height` pixels to `folder`, as 8-bit grayscale PNG, white =
/// hole: `mask_00000.png`, `mask_00001.png` and so on. Returns their paths. The folder is made if
/// it is missing.
///
/// Mask *i* depends on the generator, the size, `seed` and *i* alone, not on `count`.
///
/// # Errors
/// Those of [`MaskGenerator::generate`], before anything is written;
/// [`PictureError::Exists`] where one of the files is there already, and
/// [`PictureError::Write`]. Each file is written whole or not at all.
pub fn write_masks(
    count: usize,
    (width, height): (usize, usize),
    seed: u64,
    generator: &MaskGenerator,
    folder: &Path,
) -> Result<Vec<PathBuf>, MaskError> {
    generator.hole_pixels(width, height)?;
    fs::create_dir_all(folder).map_err(|e| PictureError::from_write_io(folder, e))?;
    let paths: Vec<PathBuf> = (0..count)
        .map(|i| folder.join(format!("mask_{i:05}.png")))
        .collect();
    if let Some(path) = paths.iter().find(|p| p.exists()) {
        return Err(PictureError::Exists { path: path.clone() }.into());
    }
    for (i, path) in paths.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(i as u64);
        generator.generate(width, height, &mut rng)?.save(path)?;
    }
    Ok(paths)
}
