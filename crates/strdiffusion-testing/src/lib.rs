//! What the tests of every crate share: a tiny model, noise by formula, and recorded numbers.
//!
//! Never part of what users run.

mod noise;
mod recording;
mod tiny;

pub use noise::FormulaNoise;
pub use recording::{Recorded, Recording, files, recorded, settings_of, title};
pub use tiny::{TINY_STEPS, tiny_model};
