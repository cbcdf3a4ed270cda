//! `--frames`: the states along the way, as pictures.

use std::path::{Path, PathBuf};

use strdiffusion::picture::{Photo, check_output};
use strdiffusion::sampling::Event;
use strdiffusion::{Progress, Result};

/// A folder of pictures `texture_tNNNN.png` and `structure_tNNNN.png`, NNNN the timestep of the
/// state: T − 1 after the first step, 0 at the end. Where there are several regions, the region's
/// number, from 1, stands before each name.
pub struct Frames {
    folder: PathBuf,
}

impl Frames {
    /// Makes the folder, unless it is there, and checks that it can be written to.
    ///
    /// # Errors
    /// If it cannot.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|source| strdiffusion::Error::Io {
            path: folder.to_path_buf(),
            source,
        })?;
        check_output(&folder.join("texture.png"))?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Writes the states after a step.
    ///
    /// # Errors
    /// If a picture cannot be written.
    pub fn write(&self, progress: &Progress) -> Result<()> {
        let (Event::Step { t, .. }, Some((texture, structure))) =
            (progress.event, progress.states())
        else {
            return Ok(());
        };
        let region = match progress.regions {
            1 => String::new(),
            _ => format!("region{:02}_", progress.region + 1),
        };
        for (name, state) in [("texture", texture), ("structure", structure)] {
            let file = format!("{region}{name}_t{:04}.png", t - 1);
            Photo::from_float_image(&state)?.save(self.folder.join(file))?;
        }
        Ok(())
    }
}
