//! The evaluation protocol: which picture meets which mask, what is scored, and what is reported.
//!
//! A run is a folder. [`Pairing`] fixes the pairs, [`RunFolder`] remembers what is finished,
//! [`evaluate`] fills and scores the rest, and [`write_report`] turns the folder into
//! `report.html`, `results.json` and `results.csv`.
//!
//! What the numbers mean:
//! - Scores are computed on the 8-bit pictures that are written, so scoring the written pictures
//!   again gives the same numbers.
//! - A mean is the mean of the per-picture scores. Pictures that equal the truth have an infinite
//!   PSNR: they are left out of PSNR's mean and counted beside it. Infinity is written `inf`.
//! - A bucket `a-b` holds the masks whose hole covers more than a % and at most b % of the
//!   picture, as in Liu et al. (2018).

pub(crate) mod axis;
mod buckets;
mod error;
mod fill;
mod folder;
mod model;
mod pairing;
pub mod perceptual;
mod picture;
mod report;
mod row;
mod run;
mod score;
mod settings;
mod summary;

use crate::picture::Mask;

pub use buckets::{Bucket, Buckets};
pub use error::EvaluationError;
pub use fill::{Fill, FillError, FillRequest, Filled, FinishedPictures};
pub use folder::RunFolder;
pub use model::{GeneratedMasks, ModelFill, model_files_sha256, model_sha256};
pub use pairing::{MaskSource, Pair, Pairing, PairingOptions, PairingRule};
pub use picture::Picture;
pub use report::{FidReport, ReportInput, peak_resident_bytes, write_report};
pub use row::Row;
pub use run::{Failure, MakeMask, Outcome, Progress, evaluate, prepared_pair, write_inputs};
pub use score::{PerceptualDistance, Scorer};
pub use settings::{Metric, Settings, parse_metrics};
pub use summary::{GroupSummary, Statistic, Summary};
