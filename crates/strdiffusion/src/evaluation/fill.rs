//! Where results come from: a method that fills holes, or pictures that one has filled before.

use super::folder::sha256_hex;
use super::pairing::{id_of, list_pictures};
use super::{EvaluationError, Mask, Picture};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What a method is asked to fill.
#[derive(Debug, Clone, Copy)]
pub struct FillRequest<'a> {
    /// The pair's name.
    pub id: &'a str,
    /// The picture with its hole set to black.
    pub masked: &'a Picture,
    /// The whole picture, hole included: only for methods whose published protocol sees it.
    pub truth: &'a Picture,
    /// 1 = keep, 0 = hole.
    pub mask: &'a Mask,
    /// The seed of this picture's noise.
    pub seed: u64,
}

/// A method's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The finished picture, as large as the request's.
    pub picture: Picture,
    /// Time that filling took in seconds, where known.
    pub seconds: Option<f64>,
    /// Network evaluations that filling took, where known.
    pub network_evaluations: Option<u64>,
}

/// Why a method did not fill a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillError {
    /// This picture has no result; the evaluation lists it and goes on.
    Picture(String),
    /// The caller asked to stop; the picture is done again when the run continues.
    Cancelled,
    /// The method cannot go on at all.
    Stop(String),
}

/// A method under evaluation.
pub trait Fill {
    /// Fills one picture. The same request gives the same picture.
    ///
    /// # Errors
    /// See [`FillError`].
    fn fill(&mut self, request: &FillRequest<'_>) -> Result<Filled, FillError>;

    /// What a pair's picture was made from, where the settings do not say it all: a finished pair
    /// whose origin has changed since is done again.
    fn origin(&self, id: &str) -> Option<String> {
        let _ = id;
        None
    }
}

/// Finished pictures of any method: a folder with a picture for each pair's id.
///
/// A file `timings.csv` with the columns `id`, `seconds` and optionally `network_evaluations` may
/// lie beside them.
#[derive(Debug, Clone)]
pub struct FinishedPictures {
    folder: PathBuf,
    files: HashMap<String, String>,
    timings: HashMap<String, Timing>,
}

#[derive(Debug, Clone, Deserialize)]
struct Timing {
    id: String,
    seconds: Option<f64>,
    #[serde(default)]
    network_evaluations: Option<u64>,
}

impl FinishedPictures {
    /// Lists the pictures of a folder, subfolders included.
    ///
    /// # Errors
    /// [`EvaluationError::File`] when the folder cannot be read, [`EvaluationError::Pairing`] when
    /// it has no pictures or two of one name, [`EvaluationError::Damaged`] for a `timings.csv` that
    /// cannot be understood.
    pub fn open(folder: &Path) -> Result<Self, EvaluationError> {
        let mut files = HashMap::new();
        for file in list_pictures(folder)? {
            let id = id_of(&file);
            if let Some(other) = files.insert(id, file.clone()) {
                return Err(EvaluationError::Pairing(format!(
                    "the results {other} and {file} in {} have the same name; remove one",
                    folder.display()
                )));
            }
        }
        if files.is_empty() {
            return Err(EvaluationError::Pairing(format!(
                "no finished pictures in {}",
                folder.display()
            )));
        }
        Ok(Self {
            timings: read_timings(&folder.join("timings.csv"))?,
            folder: folder.to_owned(),
            files,
        })
    }
}

impl Fill for FinishedPictures {
    fn fill(&mut self, request: &FillRequest<'_>) -> Result<Filled, FillError> {
        let Some(file) = self.files.get(request.id) else {
            return Err(FillError::Picture(format!(
                "no result named {}.png (or another picture ending) in {}",
                request.id,
                self.folder.display()
            )));
        };
        let picture = Picture::open(&self.folder.join(file));
        let timing = self.timings.get(request.id);
        Ok(Filled {
            picture: picture.map_err(|e| FillError::Picture(e.to_string()))?,
            seconds: timing.and_then(|t| t.seconds),
            network_evaluations: timing.and_then(|t| t.network_evaluations),
        })
    }

    /// SHA-256 of the picture's file.
    fn origin(&self, id: &str) -> Option<String> {
        let bytes = std::fs::read(self.folder.join(self.files.get(id)?)).ok()?;
        Some(sha256_hex(&bytes))
    }
}

fn read_timings(path: &Path) -> Result<HashMap<String, Timing>, EvaluationError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(EvaluationError::file("read", path)(error)),
    };
    let mut timings = HashMap::new();
    for timing in csv::Reader::from_reader(bytes.as_slice()).deserialize() {
        let timing: Timing = timing.map_err(|error| EvaluationError::Damaged {
            path: path.to_owned(),
            reason: format!("{error}; the columns are id, seconds and network_evaluations"),
        })?;
        timings.insert(timing.id.clone(), timing);
    }
    Ok(timings)
}
