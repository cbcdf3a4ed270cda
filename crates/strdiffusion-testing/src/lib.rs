//! What the tests of every crate share: a tiny model, checkpoints, noise by formula, and recorded
//! numbers.
//!
//! Never part of what users run.

#![forbid(unsafe_code)]

pub mod checkpoint;
mod noise;
mod recording;
mod tiny;

pub use noise::FormulaNoise;
pub use recording::{Recorded, Recording, files, recorded, settings_of, title};
pub use tiny::{TINY_STEPS, tiny_model};
