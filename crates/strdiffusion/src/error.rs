//! What can go wrong, split by whose fault it is.

use std::path::{Path, PathBuf};

use crate::picture::is_users_path;

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
    #[cfg(feature = "eval")]
    #[error(transparent)]
    Evaluation(#[from] crate::evaluation::EvaluationError),
    /// Training cannot begin, or had to stop; the last checkpoint is good.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// A file of weights, or a model folder, that is not what it should be.
    #[error("{path}: {problem}")]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A device that this build or this machine does not have.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The operating system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A source of noise that has not what was asked for.
    #[error(transparent)]
    Noise(#[from] NoiseError),
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

    /// Whether what the user gave is at fault, so that the user can put it right; not so for the
    /// program, the device, a full disk, or the caller's wish to stop.
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Size(_)
            | Self::FullMask
            | Self::Metric(_)
            | Self::Mask(_)
            | Self::Model { .. } => true,
            Self::Picture(error) => error.is_users_fault(),
            #[cfg(feature = "eval")]
            Self::Evaluation(error) => error.is_users_fault(),
            Self::Training(error) => error.is_users_fault(),
            Self::Device(error) => error.is_users_fault(),
            Self::Io { source, .. } => is_users_path(source.kind()),
            Self::Noise(_) | Self::Cancelled => false,
        }
    }
}

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// None of the files is a photograph.
    #[error(
        "no photograph can be decoded ({tried} files were tried); name a folder of PNG, JPEG, WebP, \
         TIFF or BMP photographs"
    )]
    NoPhotographs {
        /// Files.
        tried: usize,
    },
    /// Fewer photographs than are kept out for validation.
    #[error(
        "{found} photographs are too few: {held_out} of them are kept out for validation; add \
         photographs or lower validation.pictures"
    )]
    TooFewPhotographs {
        /// Photographs.
        found: usize,
        /// Of them for validation.
        held_out: usize,
    },
    /// A folder of masks without a picture.
    #[error("the folder of masks holds no pictures")]
    NoMasks,
    /// Sampled structures are to guide, and nothing samples them.
    #[error(
        "guidance.sampled_share is {share}, but this run has no trained structure network; train \
         it first (the structure stage), or start from a model"
    )]
    NoStructureNetwork {
        /// `guidance.sampled_share`.
        share: f64,
    },
    /// Loss or gradients are no longer numbers.
    #[error(
        "{stage} step {step}: the loss is {loss} and the gradients' norm {norm}; training stopped, \
         the checkpoint before it is kept (lower {stage}.learning_rate, set run.clip_norm, or \
         resume)"
    )]
    Diverged {
        /// The stage's name.
        stage: &'static str,
        /// Step, from 1.
        step: usize,
        /// Loss.
        loss: f64,
        /// Norm of all gradients together.
        norm: f64,
    },
    /// Weights are no longer numbers.
    #[error("step {step}: the weights are no longer finite; the checkpoint before it is kept")]
    WeightsNotFinite {
        /// Steps done.
        step: usize,
    },
    /// The device gave up.
    #[error(
        "the device failed ({reason}); if it ran out of memory, raise run.accumulate or lower \
         run.batch, and resume"
    )]
    DeviceFailed {
        /// The device's reason.
        reason: String,
    },
    /// Another process of the training cannot be reached any more.
    #[error("another process of the training is gone ({reason}); go on from the last checkpoint")]
    ProcessLost {
        /// What the caller's means of communication say.
        reason: String,
    },
    /// Processes of one training whose networks drifted apart.
    #[error(
        "step {step}: this process's weights differ from the first one's; give all processes the \
         same build, kind of machine and arithmetic, and go on from the last checkpoint"
    )]
    WeightsDiffer {
        /// Steps done.
        step: usize,
    },
    /// Fewer pictures than processes.
    #[error("run.batch is {batch}: {processes} processes need at least a picture each")]
    TooManyProcesses {
        /// `run.batch`.
        batch: usize,
        /// Processes.
        processes: usize,
    },
    /// Processes of one training that were given different photographs.
    #[error(
        "this process finds other photographs or masks than the first one ({mine} against {first}, \
         or of other names or lengths); give all processes the same files"
    )]
    OtherPhotographs {
        /// Files here.
        mine: usize,
        /// Files of the first process.
        first: usize,
    },
    /// A thread that makes batches is gone.
    #[error("a thread that reads photographs died")]
    ReaderDied,
}

impl TrainingError {
    /// As [`Error::is_users_fault`].
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::NoPhotographs { .. }
            | Self::TooFewPhotographs { .. }
            | Self::NoMasks
            | Self::TooManyProcesses { .. }
            | Self::OtherPhotographs { .. }
            | Self::NoStructureNetwork { .. } => true,
            Self::Diverged { .. }
            | Self::WeightsNotFinite { .. }
            | Self::DeviceFailed { .. }
            | Self::ProcessLost { .. }
            | Self::WeightsDiffer { .. }
            | Self::ReaderDied => false,
        }
    }
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name of no device.
    #[error("device {name:?} is not known: use auto, cpu, cuda, cuda:1, vulkan, vulkan:1 or metal")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A kind of device that this build leaves out.
    #[error("this build has no {feature}: build it with the feature {feature}, or use the CPU")]
    NotBuilt {
        /// The feature.
        feature: &'static str,
    },
    /// No such device, or none that computes.
    #[error("no working {name} device was found: check the driver, or use the CPU")]
    NotWorking {
        /// The device, in words.
        name: String,
    },
    /// Nothing to compute on was named.
    #[error("training needs a device")]
    None,
}

impl DeviceError {
    /// As [`Error::is_users_fault`].
    pub fn is_users_fault(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::NotBuilt { .. } | Self::None => true,
            Self::NotWorking { .. } => false,
        }
    }
}

/// Why there is no noise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// A picture without a seed.
    #[error("picture {picture} has no seed: {seeds} seeds were given")]
    NoSeed {
        /// Number of the picture, from 0.
        picture: usize,
        /// Seeds.
        seeds: usize,
    },
    /// A recording that is over.
    #[error("the recorded noise ran out after {draws} draws")]
    RanOut {
        /// Draws taken.
        draws: usize,
    },
    /// A recorded draw of another shape.
    #[error("recorded draw {draw} has shape {recorded:?}, but {asked:?} was asked for")]
    Shape {
        /// Number of the draw, from 0.
        draw: usize,
        /// Channels, height, width.
        recorded: [usize; 3],
        /// Channels, height, width.
        asked: [usize; 3],
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::PictureError;
    use std::io;

    fn io_error(kind: io::ErrorKind) -> Error {
        Error::io("out.png", kind.into())
    }

    #[test]
    fn only_what_a_user_can_put_right_is_the_users_fault() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            assert!(io_error(kind).is_users_fault(), "{kind:?}");
        }
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::Interrupted,
            io::ErrorKind::Other,
        ] {
            assert!(!io_error(kind).is_users_fault(), "{kind:?}");
            let path = Path::new("out.png");
            let picture = PictureError::from_write_io(path, kind.into());
            assert!(!Error::from(picture).is_users_fault(), "{kind:?}");
        }
        let failed = TrainingError::DeviceFailed {
            reason: "lost".into(),
        };
        for error in [
            Error::from(failed),
            TrainingError::ReaderDied.into(),
            DeviceError::NotWorking {
                name: "CUDA".into(),
            }
            .into(),
            Error::Cancelled,
        ] {
            assert!(!error.is_users_fault(), "{error}");
        }
        for error in [
            Error::from(TrainingError::NoMasks),
            DeviceError::NotBuilt { feature: "cuda" }.into(),
            Error::Config("nf is 0".into()),
            Error::FullMask,
        ] {
            assert!(error.is_users_fault(), "{error}");
        }
    }
}
