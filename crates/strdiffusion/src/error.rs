//! What can go wrong, split by whose fault it is.

use std::path::{Path, PathBuf};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library. Each message is one line that names what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be: a size of a network, a schedule, a parameter of the sampler.
    #[error("{0}")]
    Config(String),
    /// A picture, mask or batch whose size does not fit.
    #[error("{0}")]
    Size(String),
    /// A mask without one known pixel.
    #[error("the mask covers the whole picture, so nothing is known to fill it from")]
    FullMask,
    /// A photograph or mask that cannot be read, used or written.
    #[error(transparent)]
    Picture(#[from] crate::picture::PictureError),
    /// Pictures that a metric cannot compare.
    #[error(transparent)]
    Metric(#[from] crate::metrics::MetricError),
    /// A mask that cannot be generated.
    #[error(transparent)]
    Mask(#[from] crate::masks::MaskError),
    /// An evaluation that cannot be.
    #[error(transparent)]
    Evaluation(#[from] crate::evaluation::EvaluationError),
    /// Training had to stop; the last checkpoint is good.
    #[error("{0}")]
    Training(String),
    /// A file of weights, or a model folder, that is not what it should be.
    #[error("{path}: {problem}")]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A device that this build or this machine does not have.
    #[error("{0}")]
    Device(String),
    /// The operating system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A recorded noise source ran out, or holds another shape than was asked for.
    #[error("{0}")]
    Noise(String),
    /// The caller's callback asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn model(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Model {
            path: path.as_ref().to_path_buf(),
            problem: problem.into(),
        }
    }

    pub(crate) fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    /// Whether the user's input is at fault (rather than the program, the device or the caller's
    /// wish to stop).
    pub fn is_users_fault(&self) -> bool {
        use crate::picture::PictureError as P;
        if let Self::Evaluation(error) = self {
            return error.is_users_fault();
        }
        !matches!(
            self,
            Self::Cancelled
                | Self::Noise(_)
                | Self::Picture(P::NotFinite { .. } | P::BufferLength { .. } | P::Channels { .. })
        )
    }
}
