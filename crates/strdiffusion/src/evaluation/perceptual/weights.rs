//! Published weight files: found, downloaded once where that is allowed, checked, and loaded so
//! that nothing stays random.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn_store::{ApplyResult, ModuleSnapshot, PytorchStore};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::files;
use crate::text::hex;
#[cfg(feature = "download")]
use crate::text::one_line;

/// Why a learned metric has no weights.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The file is not there and downloading was not allowed.
    #[error("weights missing ({} is not there; get it from {url})", path.display())]
    Missing {
        /// Where the file is looked for.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
    },
    /// The file is not there and could not be downloaded.
    #[error("weights missing ({} is not there, and {url} cannot be downloaded: {reason})", path.display())]
    Download {
        /// Where the file is looked for.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
        /// The network's reason.
        reason: String,
    },
    /// The file is not the published one, or damaged.
    #[error("{}: {reason}; delete the file and get it from {url}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A published weight file.
pub(super) struct Published {
    pub name: &'static str,
    pub url: &'static str,
    /// The first digits of its SHA-256, which its publisher wrote into its name.
    pub sha256_start: &'static str,
}

/// Where weight files lie, and whether missing ones may be downloaded into it, once.
#[derive(Debug, Clone)]
pub struct WeightsFolder {
    /// The folder; files bear their publishers' names.
    pub path: PathBuf,
    /// Whether a missing file may be downloaded.
    pub download: bool,
}

impl WeightsFolder {
    pub(super) fn get(&self, published: &Published) -> Result<WeightsFile, WeightsError> {
        let path = self.path.join(published.name);
        if !path.exists() {
            if !self.download {
                return Err(WeightsError::Missing {
                    path,
                    url: published.url,
                });
            }
            self.fetch(published, &path)?;
        }
        let bytes = std::fs::read(&path).map_err(|source| WeightsError::File {
            path: path.clone(),
            source,
        })?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if !sha256.starts_with(published.sha256_start) {
            return Err(WeightsError::Wrong {
                path,
                url: published.url,
                reason: format!("its SHA-256 {sha256} is not that of the published file"),
            });
        }
        Ok(WeightsFile {
            path,
            url: published.url,
            sha256,
        })
    }

    fn fetch(&self, published: &Published, path: &Path) -> Result<(), WeightsError> {
        let access = |source| WeightsError::File {
            path: self.path.clone(),
            source,
        };
        std::fs::create_dir_all(&self.path).map_err(access)?;
        let bytes = download(published.url).map_err(|reason| WeightsError::Download {
            path: path.to_owned(),
            url: published.url,
            reason,
        })?;
        files::write_atomically(path, &bytes).map_err(|error| match error {
            crate::Error::Io { source, .. } => access(source),
            other => access(std::io::Error::other(other)),
        })?;
        Ok(())
    }
}

/// A weight file that is there, with its hash.
pub(super) struct WeightsFile {
    path: PathBuf,
    url: &'static str,
    pub sha256: String,
}

impl WeightsFile {
    pub(super) fn wrong(&self, reason: String) -> WeightsError {
        WeightsError::Wrong {
            path: self.path.clone(),
            url: self.url,
            reason,
        }
    }

    /// Loads what the file has of the module; `renames` are (file's prefix, module's prefix).
    pub(super) fn load_into<M: Module>(
        &self,
        module: &mut M,
        renames: &[(&str, &str)],
    ) -> Result<ApplyResult, WeightsError> {
        // Burn renumbers layers of PyTorch files by default; these names are fixed by the renames.
        let mut store = PytorchStore::from_file(&self.path)
            .allow_partial(true)
            .map_indices_contiguous(false);
        for (from, to) in renames {
            let pattern = format!("^{}\\.", from.replace('.', "\\."));
            store = store.with_key_remapping(pattern, format!("{to}."));
        }
        let applied = module.load_from(&mut store);
        let applied = applied.map_err(|e| self.wrong(format!("not readable as weights: {e}")))?;
        if let Some(error) = applied.errors.first() {
            return Err(self.wrong(format!("weights of another network: {error}")));
        }
        Ok(applied)
    }
}

/// Names a parameter that none of the files had, or nothing when the module is complete.
pub(super) fn left_random(results: &[ApplyResult]) -> Option<String> {
    let mut missing = results.iter().map(|result| {
        let names = result.missing.iter().map(|(name, _)| name.clone());
        names.collect::<BTreeSet<String>>()
    });
    let first = missing.next()?;
    let in_all = missing.fold(first, |all, names| &all & &names);
    in_all.into_iter().next()
}

/// The body of an HTTPS answer; a one-line reason otherwise.
#[cfg(feature = "download")]
fn download(url: &str) -> Result<Vec<u8>, String> {
    /// Published weight files have less than 600 MB.
    const MOST_BYTES: u64 = 1 << 30;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(std::time::Duration::from_secs(20)))
        .build()
        .into();
    let mut answer = agent.get(url).call().map_err(one_line)?;
    let body = answer.body_mut().with_config().limit(MOST_BYTES);
    body.read_to_vec().map_err(one_line)
}

#[cfg(not(feature = "download"))]
fn download(_url: &str) -> Result<Vec<u8>, String> {
    Err("this build has no feature `download`".into())
}
