//! Filling holes: the paper's procedure, and sampling in a few steps.
//!
//! | | |
//! | --- | --- |
//! | [`paper`] | the paper's procedure, as StrDiffusion's section 3 has it |
//! | [`few_steps`] | the same two processes on a coarse grid, by [`solvers`] of first and second order |
//! | `choose` | adaptive resampling's decisions, for both |
//! | `run` | what both do at a step: draw noise, ask a network, score a pair, tell the caller |
//! | [`batch`] | pictures to conditions and noise to either sampler, for all who fill |
//! | [`settings`], [`change`], [`grid`], [`events`], [`noise`] | what goes in and comes out |

pub mod batch;
pub mod change;
pub(crate) mod choose;
pub mod events;
pub mod few_steps;
pub mod grid;
pub mod noise;
pub mod paper;
mod run;
pub mod settings;
pub mod solvers;

pub use batch::{SeededBatch, sample};
pub use change::{ChangeError, ResamplingChange, SamplerChange};
pub use events::{Evaluations, Event, OnEvent, Phase, Sampled, Verdict, unwatched};
pub use grid::Grid;
pub use noise::{NoiseSource, RecordedNoise, SeededNoise};
pub use settings::{
    Better, DiscriminatorView, FastSampler, ForwardTheta, Incumbent, KnownStructure, LateGuide,
    PaperSampler, Rejected, Resampling, Sampler, SamplerName, Solver, Switches,
};
