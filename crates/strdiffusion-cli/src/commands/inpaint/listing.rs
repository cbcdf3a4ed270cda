//! The pictures of a folder, and which mask belongs to which photograph.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use strdiffusion::picture::output_format;

use crate::failure::user_error;

/// Files of a folder, sorted by name. Hidden files and subfolders are left out.
pub struct Listing {
    /// Files whose names end as a picture's.
    pub pictures: Vec<PathBuf>,
    /// The other files.
    pub others: Vec<PathBuf>,
    /// What is neither file nor folder, such as a pipe, which would be waited for without end.
    pub no_files: Vec<PathBuf>,
}

impl Listing {
    /// Lists a folder.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such folder; check the path".into(),
                std::io::ErrorKind::NotADirectory => "is no folder".into(),
                _ => format!("cannot be read ({error}); check the folder and its permissions"),
            };
            user_error(format!("{}: {reason}", folder.display()))
        };
        let (mut pictures, mut others, mut no_files) = (vec![], vec![], vec![]);
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b".") || path.is_dir() {
                continue;
            }
            // A link that leads nowhere is no pipe: what is wrong with it is said when it is opened.
            if std::fs::metadata(&path).is_ok_and(|kind| !kind.is_file()) {
                no_files.push(path);
            } else if output_format(&path).is_ok() {
                pictures.push(path);
            } else {
                others.push(path);
            }
        }
        pictures.sort();
        others.sort();
        no_files.sort();
        Ok(Self {
            pictures,
            others,
            no_files,
        })
    }
}

/// A folder of masks, found by the names of their photographs.
pub struct Masks {
    by_stem: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Masks {
    /// Lists a folder.
    ///
    /// # Errors
    /// If it cannot be read, or holds no picture.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut by_stem = BTreeMap::<OsString, Vec<PathBuf>>::new();
        for path in Listing::of(folder)?.pictures {
            let stem = path.file_stem().unwrap_or_default().to_os_string();
            by_stem.entry(stem).or_default().push(path);
        }
        if by_stem.is_empty() {
            return Err(user_error(format!(
                "{}: there are no masks in this folder; use PNG, JPEG, WebP, TIFF or BMP",
                folder.display()
            )));
        }
        Ok(Self { by_stem })
    }

    /// The mask of a photograph, if it has one.
    ///
    /// # Errors
    /// If it has several.
    pub fn of_photo(&self, photo: &Path) -> Result<Option<&Path>> {
        let stem = photo.file_stem().unwrap_or_default();
        match self.by_stem.get(stem).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([mask]) => Ok(Some(mask)),
            Some([one, other, ..]) => Err(user_error(format!(
                "{}: both {} and {} are named as its mask; remove one",
                photo.display(),
                one.display(),
                other.display()
            ))),
        }
    }

    /// Masks that belong to none of the photographs.
    pub fn without(&self, photos: &[PathBuf]) -> Vec<PathBuf> {
        let is_needed = |stem: &OsString| photos.iter().any(|p| p.file_stem() == Some(stem));
        let left = self.by_stem.iter().filter(|(stem, _)| !is_needed(stem));
        left.flat_map(|(_, masks)| masks).cloned().collect()
    }
}

/// Paths in a few words: the first one, and how many more.
pub fn in_words(paths: &[PathBuf]) -> String {
    match paths {
        [] => String::new(),
        [one] => one.display().to_string(),
        [one, more @ ..] => format!("{} and {} more", one.display(), more.len()),
    }
}
