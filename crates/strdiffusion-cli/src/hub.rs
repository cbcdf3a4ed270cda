//! Model folders of the Hugging Face hub.

use std::fmt;
use std::path::Path;

/// `ORG/NAME` or `ORG/NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    /// `ORG/NAME`.
    id: String,
    /// A branch, tag or commit.
    revision: Option<String>,
}

impl HubName {
    /// What a path names on the hub; none where it can only be a path, since it or its first folder
    /// exists, or it is no such name.
    pub fn of(path: &Path) -> Option<Self> {
        let text = path.to_str()?;
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let (organisation, name) = id.split_once('/')?;
        let is_name = [organisation, name].into_iter().all(is_word)
            && revision.is_none_or(|revision| revision.split('/').all(is_word));
        if !is_name || path.exists() || Path::new(organisation).exists() {
            return None;
        }
        Some(Self {
            id: id.into(),
            revision: revision.map(str::to_owned),
        })
    }

    /// `NAME` alone.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }
}

fn is_word(word: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(is_fine)
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

#[cfg(not(feature = "download"))]
mod fetching {
    use super::*;
    use crate::failure::user_error;
    use std::path::PathBuf;

    impl HubName {
        /// # Errors
        /// Always: this build does not download.
        pub fn fetch(&self) -> anyhow::Result<(Self, PathBuf)> {
            Err(user_error(format!(
                "{self}: no such model folder, and this build does not download (feature download)"
            )))
        }
    }
}

#[cfg(feature = "download")]
mod fetching {
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
    use hf_hub::{Cache, Repo, RepoType};
    use strdiffusion::model::{CONFIG, FILES, read_config};

    use super::HubName;
    use crate::failure::user_error;
    use crate::model_source::CARD;
    use crate::terminal;

    impl HubName {
        /// The model's folder in the cache, and its name with the commit. What is not there is
        /// downloaded, unless `HF_HUB_OFFLINE` is set.
        ///
        /// # Errors
        /// If there is no such model, or it cannot be downloaded.
        pub fn fetch(&self) -> Result<(Self, PathBuf)> {
            let cache = cache();
            let folder = match self.cached(&cache) {
                Some(folder) => folder,
                None if is_set("HF_HUB_OFFLINE") => {
                    return Err(user_error(format!(
                        "{self}: not in the cache ({}), and HF_HUB_OFFLINE is set",
                        cache.path().display()
                    )));
                }
                None => self.download(cache)?,
            };
            let commit = folder.file_name().unwrap_or_default().to_string_lossy();
            Ok((self.at(&commit), folder))
        }

        /// The same model at the commit that was found.
        fn at(&self, commit: &str) -> Self {
            Self {
                id: self.id.clone(),
                revision: Some(commit.into()),
            }
        }

        fn repo(&self, revision: &str) -> Repo {
            Repo::with_revision(self.id.clone(), RepoType::Model, revision.into())
        }

        fn revision(&self) -> &str {
            self.revision.as_deref().unwrap_or("main")
        }

        /// The folder, if all of it is in the cache.
        fn cached(&self, cache: &Cache) -> Option<PathBuf> {
            let repo = cache.repo(self.repo(self.revision()));
            let folder = match repo.get(CONFIG) {
                Some(config) => config.parent()?.to_path_buf(),
                // Of a commit, no branch or tag need tell.
                None => repo.pointer_path(self.revision()),
            };
            let is_whole = FILES.iter().all(|file| folder.join(file).is_file());
            is_whole.then_some(folder)
        }

        fn download(&self, cache: Cache) -> Result<PathBuf> {
            terminal::note(format!(
                "downloading {self} into {}",
                cache.path().display()
            ));
            let mut builder = ApiBuilder::from_cache(cache).with_progress(!terminal::is_quiet());
            if let Ok(endpoint) = std::env::var("HF_ENDPOINT") {
                builder = builder.with_endpoint(endpoint);
            }
            if let Ok(token) = std::env::var("HF_TOKEN") {
                builder = builder.with_token(Some(token));
            }
            let api = builder.build().with_context(|| self.to_string())?;
            let named = api.repo(self.repo(self.revision()));
            let config = self.get(&named, CONFIG)?;
            let folder = config.parent().context("a file is in a folder")?;
            // Before the weights: what is no model of ours is not downloaded.
            read_config(folder)?;
            // A branch may go on meanwhile.
            let commit = folder.file_name().unwrap_or_default().to_string_lossy();
            let found = api.repo(self.repo(&commit));
            for file in FILES {
                self.get(&found, file)?;
            }
            // A model may come without.
            let _ = found.get(CARD);
            Ok(folder.to_path_buf())
        }

        fn get(&self, repo: &ApiRepo, file: &str) -> Result<PathBuf> {
            repo.get(file).map_err(|error| match &error {
                ApiError::RequestError(cause) => match **cause {
                    ureq::Error::StatusCode(401 | 403 | 404) => user_error(format!(
                        "{self}: the hub has no {file} of such a model for you; check the name (a \
                         path must exist), or set HF_TOKEN for a private one"
                    )),
                    _ => anyhow::anyhow!(error).context(self.failed(file)),
                },
                _ => anyhow::anyhow!(error).context(self.failed(file)),
            })
        }

        fn failed(&self, file: &str) -> String {
            format!("{self}: no such path here, and {file} cannot be downloaded from the hub")
        }
    }

    /// Where other programs of the hub keep their models, too.
    fn cache() -> Cache {
        match std::env::var_os("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => Cache::from_env(),
        }
    }

    /// As the hub's own programs read a variable.
    fn is_set(variable: &str) -> bool {
        let value = std::env::var(variable).unwrap_or_default();
        ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hub_are_told_from_paths() {
        let name = |text: &str| HubName::of(Path::new(text)).map(|name| name.to_string());
        for text in [
            "org/model",
            "org/model@v1.0",
            "org/model@refs/pr/1",
            "a-b/c_d.e",
        ] {
            assert_eq!(name(text).as_deref(), Some(text));
        }
        // The folder of these sources exists.
        for text in [
            "model",
            "/org/model",
            "./org/model",
            "org/../model",
            "a/b/c",
            "org/",
            "org/model@",
            "src/model",
            "org/mo del",
            "~/model",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
