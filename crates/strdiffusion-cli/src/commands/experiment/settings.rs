//! What an experiment's results depend on beside the names of their rows: with other settings, what is
//! there would be taken for what was asked for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use strdiffusion::experiment::measure::Case;
use strdiffusion::files::write_atomically;
use strdiffusion::text::hex;

use super::create;
use crate::failure::user_error;

/// The file, in OUT.
const FILE: &str = "settings.json";

/// Settings by name, in words.
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Those of the pictures: how many, their sizes, and SHA-256 over truths and holes.
    pub(super) fn of(cases: &[Case]) -> Self {
        let mut hasher = Sha256::new();
        for Case { truth, mask } in cases {
            for length in [truth.width(), truth.height()] {
                hasher.update((length as u64).to_le_bytes());
            }
            for value in truth.data() {
                hasher.update(value.to_le_bytes());
            }
            hasher.update(mask.keep());
        }
        Self(BTreeMap::new())
            .with("pictures", cases.len())
            .with("pictures' SHA-256", hex(&hasher.finalize()))
    }

    /// And this one.
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }

    /// Begins an experiment in `out`, or finds that the one there has these settings.
    ///
    /// # Errors
    /// If it has others, or none, or the folder cannot be used.
    pub(super) fn settle(self, out: &Path) -> Result<()> {
        create(out)?;
        let file = out.join(FILE);
        if !file.is_file() {
            return self.begin(out, &file);
        }
        let bytes =
            std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
        let before: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|error| {
            // Without it the results beside it are nobody's, so removing it would not help.
            user_error(format!(
                "{}: damaged; choose a new or empty folder ({error})",
                file.display()
            ))
        })?;
        let differences = self.differences(&before);
        if differences.is_empty() {
            return Ok(());
        }
        Err(user_error(format!(
            "{}: holds an experiment with other settings ({}); choose another folder, or give the \
             same settings to go on",
            out.display(),
            differences.join(", ")
        )))
    }

    fn begin(&self, out: &Path, file: &Path) -> Result<()> {
        let entries =
            std::fs::read_dir(out).with_context(|| format!("{}: cannot be read", out.display()))?;
        for entry in entries {
            let name = entry?.file_name();
            let path = Path::new(&name);
            if path.extension().is_some_and(|kind| kind == "csv") {
                return Err(user_error(format!(
                    "{}: holds {} and no settings that it came from; choose a new or empty folder",
                    out.display(),
                    path.display()
                )));
            }
        }
        Ok(write_atomically(
            file,
            &serde_json::to_vec_pretty(&self.0)?,
        )?)
    }

    fn differences(&self, before: &BTreeMap<String, String>) -> Vec<String> {
        let nothing = "nothing".to_owned();
        let names = self
            .0
            .keys()
            .chain(before.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .filter_map(|name| {
                let [there, now] = [before, &self.0].map(|of| of.get(name).unwrap_or(&nothing));
                (there != now).then(|| format!("{name}: {there} there, {now} now"))
            })
            .collect()
    }
}
