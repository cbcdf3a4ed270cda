//! Training of the three networks.
//!
//! [`config`] holds every knob; [`trainer`] runs the stages, and `tasks` says what each learns;
//! [`data`] and [`loader`] make pictures on background threads; [`patches`] and [`adversarial`] ask
//! the texture stage for looks; [`gradients`] takes one step's gradient, [`group`] adds up those of
//! several processes; [`checkpoint`] lets a run go on as if it had never stopped.

pub mod adversarial;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod ema;
pub mod gradients;
pub mod group;
pub mod loader;
pub mod optimizer;
pub mod patches;
pub mod photographs;
pub mod run_log;
pub mod stage;
mod start;
mod tasks;
pub mod tensorboard;
pub mod trainer;
pub mod validation;
