//! What an experiment has found out, in sentences: each is kept as soon as it is known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use strdiffusion::files::write_atomically;

use super::damaged;
use crate::terminal::say;

/// A JSON file of sentences by what they are about, so that an interrupted experiment goes on.
pub(super) struct Findings {
    file: PathBuf,
    sentences: BTreeMap<String, String>,
}

impl Findings {
    pub(super) fn open(file: PathBuf) -> Result<Self> {
        let mut sentences = BTreeMap::new();
        if file.is_file() {
            let bytes = std::fs::read(&file)
                .with_context(|| format!("{}: cannot be read", file.display()))?;
            sentences = serde_json::from_slice(&bytes).map_err(|error| damaged(&file, error))?;
        }
        Ok(Self { file, sentences })
    }

    /// Says what is known of `subject`; `find` is asked only where nothing is.
    pub(super) fn say(
        &mut self,
        subject: String,
        find: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        if let Some(sentence) = self.sentences.get(&subject) {
            say(sentence);
            return Ok(());
        }
        let sentence = find()?;
        say(&sentence);
        self.sentences.insert(subject, sentence);
        let bytes = serde_json::to_vec_pretty(&self.sentences)?;
        Ok(write_atomically(&self.file, &bytes)?)
    }
}
