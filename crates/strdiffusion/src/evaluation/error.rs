//! What can go wrong in an evaluation, split by whose fault it is.

use std::io::Write;
use std::path::{Path, PathBuf};
use thiserror::Error;

use crate::files::whole;
use crate::picture::{PictureError, is_users_path};

/// An error that stops an evaluation.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// An option's text has no meaning.
    #[error("{option}: `{value}` is not understood; {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is understood.
        expected: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "read", "write", ….
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A picture or mask that cannot be read or written.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A file was written by something else, or damaged.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Images and masks cannot be paired.
    #[error("cannot pair images and masks: {0}")]
    Pairing(String),
    /// The folder holds a run with other settings.
    #[error(
        "{} holds an evaluation with other settings ({differences}); choose another folder, or give the same settings to continue",
        folder.display()
    )]
    SettingsDiffer {
        /// The run's folder.
        folder: PathBuf,
        /// The fields that differ, with both values.
        differences: String,
    },
    /// Another process works in the run's folder.
    #[error("another evaluation is running in {}; wait for it or choose another folder", .0.display())]
    Busy(PathBuf),
    /// The method that fills pictures cannot go on.
    #[error("filling {id} failed: {reason}")]
    Fill {
        /// The pair's name.
        id: String,
        /// The method's reason.
        reason: String,
    },
    /// A score could not be computed.
    #[error("scoring {id} failed: {reason}")]
    Score {
        /// The pair's name.
        id: String,
        /// The metric's reason.
        reason: String,
    },
    /// The caller asked to stop while a picture was being filled.
    #[error("cancelled")]
    Cancelled,
}

/// Writes a whole file or none.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), EvaluationError> {
    let failed = |source| EvaluationError::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    whole::replace(path, failed, |file| file.write_all(bytes).map_err(failed))
}

impl EvaluationError {
    /// Whether what the user gave is at fault (rather than the method or the caller's wish).
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::Option { .. }
            | Self::Damaged { .. }
            | Self::Pairing(_)
            | Self::SettingsDiffer { .. }
            | Self::Busy(_) => true,
            Self::File { source, .. } => is_users_path(source.kind()),
            Self::Picture(error) => error.is_users_fault(),
            Self::Fill { .. } | Self::Score { .. } | Self::Cancelled => false,
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
