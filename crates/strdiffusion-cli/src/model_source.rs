//! Which model is used: the one that was named, else the one inside the program.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use strdiffusion::Device;
use strdiffusion::evaluation::{model_files_sha256, model_sha256};
use strdiffusion::model::{CONFIG, FILES, Model, ModelFiles};

use crate::failure::user_error;

/// Environment variable that names a model folder.
pub const VARIABLE: &str = "STRDIFFUSION_MODEL";

/// Where a model comes from.
pub enum ModelSource {
    /// A model folder.
    Folder(PathBuf),
    /// The program itself.
    Bundled {
        /// What outputs and reports call it.
        name: &'static str,
        files: ModelFiles<'static>,
    },
}

impl ModelSource {
    /// The model that was named, else the one of the environment, else the one inside the program.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(named: Option<PathBuf>) -> Result<Self> {
        let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        match named.or_else(|| variable().map(PathBuf::from)) {
            Some(folder) => Ok(Self::Folder(folder)),
            None => bundled().ok_or_else(|| {
                user_error(format!(
                    "no model was named, and this build has none inside (feature bundled-model); \
                     name a model folder with --model, or set {VARIABLE}"
                ))
            }),
        }
    }

    /// Reads the model.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(&self, device: &Device) -> strdiffusion::Result<Model> {
        match self {
            Self::Folder(folder) => Model::load(folder, device),
            Self::Bundled { files, .. } => Model::from_files(files, device),
        }
    }

    /// What outputs and reports call it: a folder's last name.
    pub fn name(&self) -> String {
        match self {
            Self::Folder(folder) => {
                let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                let name = whole.file_name().unwrap_or(whole.as_os_str());
                name.to_string_lossy().into_owned()
            }
            Self::Bundled { name, .. } => (*name).to_owned(),
        }
    }

    /// SHA-256 over settings and weights, in hexadecimal.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn sha256(&self) -> strdiffusion::Result<String> {
        match self {
            Self::Folder(folder) => Ok(model_sha256(folder)?),
            Self::Bundled { files, .. } => Ok(model_files_sha256(files)),
        }
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Folder(folder) => (FILES.iter())
                .filter(|&&name| name != CONFIG)
                .filter_map(|name| std::fs::metadata(folder.join(name)).ok())
                .map(|metadata| metadata.len() as usize)
                .sum(),
            Self::Bundled { files, .. } => {
                files.contents()[1..].iter().map(|bytes| bytes.len()).sum()
            }
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bundled { files, .. } => f.write_str(files.name),
        }
    }
}

#[cfg(feature = "bundled-model")]
fn bundled() -> Option<ModelSource> {
    Some(ModelSource::Bundled {
        name: strdiffusion_default_model::NAME,
        files: strdiffusion_default_model::files(),
    })
}

#[cfg(not(feature = "bundled-model"))]
fn bundled() -> Option<ModelSource> {
    None
}
