//! A run's folder: what was asked, what is finished, and the finished pictures.
//!
//! `settings.json`, `pairs.csv`, `rows.jsonl` (one finished picture per line), `results/ID.png`,
//! `masks/ID.png`, and after the report `report.html`, `results.json`, `results.csv`.

use super::error::write_file;
use super::picture::open_mask;
use super::{EvaluationError, Mask, Pairing, Picture, Row, Settings};
use crate::files::whole::is_partial;
use crate::text::hex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An evaluation's folder, locked for this process while the value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    rows: HashMap<String, Row>,
    log: File,
    dropped_partial_row: bool,
}

impl RunFolder {
    /// Opens a new or empty folder for a run, or continues the run that a folder holds.
    ///
    /// Writes `settings.json` and `pairs.csv` at once, before anything is filled.
    ///
    /// # Errors
    /// [`EvaluationError::SettingsDiffer`] when the folder holds a run with other settings or
    /// pairs, [`EvaluationError::Damaged`] when it holds something else,
    /// [`EvaluationError::Busy`] when another process works in it, and
    /// [`EvaluationError::File`].
    pub fn open(
        path: &Path,
        settings: &Settings,
        pairing: &Pairing,
    ) -> Result<Self, EvaluationError> {
        std::fs::create_dir_all(path).map_err(EvaluationError::file("create", path))?;
        let settings_file = path.join("settings.json");
        if settings_file.exists() {
            check_settings(path, &settings_file, settings)?;
        } else {
            check_unused(path)?;
        }
        let log_file = path.join("rows.jsonl");
        let opened = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&log_file);
        let mut log = opened.map_err(EvaluationError::file("open", &log_file))?;
        if log.try_lock().is_err() {
            return Err(EvaluationError::Busy(path.to_owned()));
        }
        write_or_compare_pairs(path, pairing)?;
        for folder in ["results", "masks"].map(|name| path.join(name)) {
            std::fs::create_dir_all(&folder).map_err(EvaluationError::file("create", &folder))?;
        }
        let json = serde_json::to_vec_pretty(settings).expect("settings are plain data");
        write_file(&settings_file, &json)?;
        let (rows, dropped_partial_row) = read_rows(&mut log, &log_file)?;
        Ok(Self {
            path: path.to_owned(),
            rows,
            log,
            dropped_partial_row,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the last line was cut off by an interruption and its picture is to be done again.
    pub fn dropped_partial_row(&self) -> bool {
        self.dropped_partial_row
    }

    /// The finished rows in the pairs' order.
    pub fn rows(&self, pairing: &Pairing) -> Vec<Row> {
        let rows = pairing
            .pairs
            .iter()
            .filter_map(|pair| self.rows.get(&pair.id));
        rows.cloned().collect()
    }

    /// The finished row of a pair whose result still lies in the folder unchanged.
    pub(super) fn intact_row(&self, id: &str) -> Option<&Row> {
        let row = self.rows.get(id)?;
        let bytes = std::fs::read(self.result_file(id)).ok()?;
        (sha256_hex(&bytes) == row.result_sha256).then_some(row)
    }

    /// Leaves a pair's row out, for what it tells is no longer so.
    pub(super) fn forget(&mut self, id: &str) {
        self.rows.remove(id);
    }

    /// The finished picture of a pair.
    ///
    /// # Errors
    /// [`EvaluationError::Picture`] when it is not there or unreadable.
    pub fn result(&self, id: &str) -> Result<Picture, EvaluationError> {
        Picture::open(&self.result_file(id))
    }

    /// The mask of a pair as it was used.
    ///
    /// # Errors
    /// [`EvaluationError::Picture`] when it is not there or unreadable.
    pub fn mask(&self, id: &str) -> Result<Mask, EvaluationError> {
        open_mask(&self.mask_file(id))
    }

    /// Where the finished picture of a pair lies.
    pub fn result_file(&self, id: &str) -> PathBuf {
        self.path.join("results").join(format!("{id}.png"))
    }

    pub(super) fn mask_file(&self, id: &str) -> PathBuf {
        self.path.join("masks").join(format!("{id}.png"))
    }

    /// Writes a result's picture and mask; returns the picture's hash for its row.
    pub(super) fn save_result(
        &self,
        id: &str,
        picture: &Picture,
        mask: &Mask,
    ) -> Result<String, EvaluationError> {
        let file = self.result_file(id);
        let bytes = picture.png()?;
        mask.save(self.mask_file(id))?;
        write_file(&file, &bytes)?;
        Ok(sha256_hex(&bytes))
    }

    /// Records a finished picture; a later row of the same id takes an earlier one's place.
    pub(super) fn append(&mut self, row: Row) -> Result<(), EvaluationError> {
        let mut line = serde_json::to_vec(&row).expect("a row is plain data");
        line.push(b'\n');
        let written = self
            .log
            .write_all(&line)
            .and_then(|()| self.log.sync_data());
        written.map_err(EvaluationError::file("write", self.path.join("rows.jsonl")))?;
        // As it reads back: numbers may differ from those in memory in the last bit, and a
        // continued run shall report what an uninterrupted one does.
        let row = serde_json::from_slice(&line).unwrap_or(row);
        self.rows.insert(row.id.clone(), row);
        Ok(())
    }
}

fn check_settings(folder: &Path, file: &Path, settings: &Settings) -> Result<(), EvaluationError> {
    let bytes = std::fs::read(file).map_err(EvaluationError::file("read", file))?;
    let before: Settings =
        serde_json::from_slice(&bytes).map_err(|error| EvaluationError::Damaged {
            path: file.to_owned(),
            reason: format!("not the settings of an evaluation ({error}); choose another folder"),
        })?;
    match settings.differences(&before) {
        None => Ok(()),
        Some(differences) => Err(EvaluationError::SettingsDiffer {
            folder: folder.to_owned(),
            differences,
        }),
    }
}

/// A folder without settings may hold prepared inputs, nothing else: reports overwrite files.
fn check_unused(folder: &Path) -> Result<(), EvaluationError> {
    // Left by a run that was interrupted before it had settings, or by the inputs for other methods.
    let known = ["pairs.csv", "inputs", "masks", "results", "rows.jsonl"];
    let entries = std::fs::read_dir(folder).map_err(EvaluationError::file("read", folder))?;
    for entry in entries {
        let name = entry
            .map_err(EvaluationError::file("read", folder))?
            .file_name();
        let name = name.to_string_lossy();
        if !known.contains(&name.as_ref()) && !is_partial(&name) {
            return Err(EvaluationError::Damaged {
                path: folder.to_owned(),
                reason: format!(
                    "holds {name} and no evaluation; choose a new or empty folder for the report"
                ),
            });
        }
    }
    Ok(())
}

fn write_or_compare_pairs(folder: &Path, pairing: &Pairing) -> Result<(), EvaluationError> {
    let file = folder.join("pairs.csv");
    let pairs = pairing.to_csv();
    match std::fs::read_to_string(&file) {
        Ok(before) if before == pairs => Ok(()),
        Ok(_) => Err(EvaluationError::SettingsDiffer {
            folder: folder.to_owned(),
            differences: "pairs.csv: other pairs than those of the images and masks now".to_owned(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            write_file(&file, pairs.as_bytes())
        }
        Err(error) => Err(EvaluationError::file("read", file)(error)),
    }
}

/// Reads finished rows; an unfinished last line is cut off and reported.
fn read_rows(log: &mut File, path: &Path) -> Result<(HashMap<String, Row>, bool), EvaluationError> {
    let mut text = Vec::new();
    let read = log
        .seek(SeekFrom::Start(0))
        .and_then(|_| log.read_to_end(&mut text));
    read.map_err(EvaluationError::file("read", path))?;
    let whole = text
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |end| end + 1);
    let partial = whole < text.len();
    if partial {
        let cut = log.set_len(whole as u64);
        cut.map_err(EvaluationError::file("shorten", path))?;
    }
    let mut rows = HashMap::new();
    for (number, line) in text[..whole].split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let row: Row = serde_json::from_slice(line).map_err(|error| EvaluationError::Damaged {
            path: path.to_owned(),
            reason: format!(
                "line {} is no finished picture ({error}); delete the line to have it done again",
                number + 1
            ),
        })?;
        rows.insert(row.id.clone(), row);
    }
    Ok((rows, partial))
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
