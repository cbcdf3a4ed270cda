//! Which model is used when none is named.

use std::path::{Path, PathBuf};

use strdiffusion::model::CONFIG;

use crate::failure::user_error;

/// Environment variable that names a model folder.
pub const VARIABLE: &str = "STRDIFFUSION_MODEL";

/// Where a default model lies, below the folder of the program or of the work, or one of their
/// ancestors.
const PLACE: &str = "models/default";

/// The model that was named, else the one of the environment, else the default model.
///
/// # Errors
/// If there is none.
pub fn choose(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = named.or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from)) {
        return Ok(folder);
    }
    let program = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .ok();
    let work = std::env::current_dir().ok();
    [program, work]
        .iter()
        .flatten()
        .find_map(|start| search(start))
        .ok_or_else(|| {
            user_error(format!(
                "no model was named and no {PLACE} was found; name a model folder with --model, or \
             set {VARIABLE} (`strdiffusion import` makes one of PyTorch checkpoints)"
            ))
        })
}

/// The default model in `start` or its nearest ancestor that has one.
fn search(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .map(|folder| folder.join(PLACE))
        .find(|f| f.join(CONFIG).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_default_model_is_found() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        let make = |folder: &Path| {
            std::fs::create_dir_all(folder.join(PLACE)).unwrap();
            std::fs::write(folder.join(PLACE).join(CONFIG), "{}").unwrap();
        };
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(search(&deep), None);
        make(root.path());
        assert_eq!(search(&deep), Some(root.path().join(PLACE)));
        make(&root.path().join("a/b"));
        assert_eq!(search(&deep), Some(root.path().join("a/b").join(PLACE)));
    }
}
