//! Which model is used: the one that was named, else the one inside the program.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use strdiffusion::Device;
use strdiffusion::evaluation::{model_files_sha256, model_sha256};
use strdiffusion::model::{CONFIG, FILES, Model, ModelFiles};

use crate::failure::user_error;
use crate::hub::HubName;

/// Environment variable that names a model.
pub const VARIABLE: &str = "STRDIFFUSION_MODEL";

/// A model's description, in its folder.
pub const CARD: &str = "README.md";

/// Where a model comes from.
pub enum ModelSource {
    /// A model folder.
    Folder(PathBuf),
    /// The hub.
    Hub {
        /// With the commit.
        name: HubName,
        /// In the cache.
        folder: PathBuf,
    },
    /// The program itself.
    Bundled(Bundled),
}

/// A model inside the program.
pub struct Bundled {
    /// What outputs and reports call it.
    name: &'static str,
    files: ModelFiles<'static>,
    card: &'static str,
}

impl ModelSource {
    /// The model that was named, by its folder or its name on the hub; else the one of the
    /// environment, else the one inside the program.
    ///
    /// # Errors
    /// If there is none, or it cannot be downloaded.
    pub fn choose(named: Option<PathBuf>) -> Result<Self> {
        let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let Some(path) = named.or_else(|| variable().map(PathBuf::from)) else {
            let bundled = bundled().ok_or_else(|| {
                user_error(format!(
                    "no model was named, and this build has none inside (feature bundled-model); \
                     name a model folder with --model, or set {VARIABLE}"
                ))
            })?;
            return Ok(Self::Bundled(bundled));
        };
        match HubName::of(&path) {
            Some(name) => {
                let (name, folder) = name.fetch()?;
                Ok(Self::Hub { name, folder })
            }
            None => Ok(Self::Folder(path)),
        }
    }

    /// Where its files are: in a folder, or inside the program.
    fn place(&self) -> Result<&Path, &Bundled> {
        match self {
            Self::Folder(folder) | Self::Hub { folder, .. } => Ok(folder),
            Self::Bundled(bundled) => Err(bundled),
        }
    }

    /// Reads the model.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, device: &Device) -> strdiffusion::Result<Model> {
        match self.place() {
            Ok(folder) => Model::load(folder, device),
            Err(bundled) => Model::from_files(&bundled.files, device),
        }
    }

    /// What outputs and reports call it: the last part of its name.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => {
                let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                let name = whole.file_name().unwrap_or(whole.as_os_str());
                name.to_string_lossy().into_owned()
            }
            Self::Hub { name, .. } => name.name().to_owned(),
            Self::Bundled(bundled) => bundled.name.to_owned(),
        }
    }

    /// SHA-256 over settings and weights, in hexadecimal.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn sha256(&self) -> strdiffusion::Result<String> {
        match self.place() {
            Ok(folder) => Ok(model_sha256(folder)?),
            Err(bundled) => Ok(model_files_sha256(&bundled.files)),
        }
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> usize {
        match self.place() {
            Ok(folder) => (FILES.iter())
                .filter(|&&name| name != CONFIG)
                .filter_map(|name| std::fs::metadata(folder.join(name)).ok())
                .map(|metadata| metadata.len() as usize)
                .sum(),
            Err(bundled) => bundled.files.contents()[1..]
                .iter()
                .map(|bytes| bytes.len())
                .sum(),
        }
    }

    /// What the model's card says to the hub: the YAML at its beginning. None where there is no
    /// card, or nothing at its beginning.
    ///
    /// # Errors
    /// If it is no YAML.
    pub fn card(&self) -> Result<Option<Value>> {
        let text = match self.place() {
            Ok(folder) => match std::fs::read_to_string(folder.join(CARD)) {
                Ok(text) => text,
                Err(_) => return Ok(None),
            },
            Err(bundled) => bundled.card.to_owned(),
        };
        let Some(yaml) = front_matter(&text) else {
            return Ok(None);
        };
        let card = serde_saphyr::from_str(yaml).map_err(|error| {
            let reason = error.to_string();
            let line = reason.lines().next().unwrap_or_default();
            user_error(format!("{self}/{CARD}: no YAML at its beginning: {line}"))
        })?;
        Ok(Some(card))
    }
}

/// What stands between the two lines of `---` that a card begins with.
fn front_matter(text: &str) -> Option<&str> {
    let text = text.strip_prefix("---")?.trim_start_matches('\r');
    let text = text.strip_prefix('\n')?;
    Some(&text[..text.find("\n---")?])
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Hub { name, .. } => name.fmt(f),
            Self::Bundled(bundled) => f.write_str(bundled.files.name),
        }
    }
}

#[cfg(feature = "bundled-model")]
fn bundled() -> Option<Bundled> {
    Some(Bundled {
        name: strdiffusion_default_model::NAME,
        files: strdiffusion_default_model::files(),
        card: strdiffusion_default_model::CARD,
    })
}

#[cfg(not(feature = "bundled-model"))]
fn bundled() -> Option<Bundled> {
    None
}
