//! What a sampler tells while it works, and what it gives in the end.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::conditions::{Conditions, paste};

/// How often each network was evaluated (on a whole batch).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluations {
    /// Texture network.
    pub texture: usize,
    /// Structure network.
    pub structure: usize,
    /// Discriminator.
    pub discriminator: usize,
}

/// The part of the procedure that an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Structure leads.
    Early,
    /// Texture alone.
    Late,
}

/// What the discriminator's score of a resampled pair led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The new pair was taken.
    Accepted,
    /// The new pair was averaged in.
    Averaged,
    /// The new pair was dropped, and resampling goes on.
    Dropped,
    /// The new pair was dropped, and resampling ended.
    Stopped,
}

/// What happens while sampling. Return [`ControlFlow::Break`] from the callback to cancel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
    Step {
        /// The timestep that was left; the states are now at t − 1.
        t: usize,
        /// Steps done, this one included.
        done: usize,
        /// Steps in all.
        total: usize,
        /// Stage of the procedure.
        phase: Phase,
        /// Texture `[b, 3, h, w]`.
        texture: &'a Tensor<4>,
        /// Structure `[b, 1, h, w]`; in the late stage the guide.
        structure: &'a Tensor<4>,
        /// The texture's estimate ŷ_0 of its clean end, `[b, 3, h, w]`.
        clean: &'a Tensor<4>,
        /// Network evaluations so far.
        evaluations: Evaluations,
    },
    /// The discriminator scored the pairs of a batch.
    Scored {
        /// Timestep.
        t: usize,
        /// Round of resampling; 0 for the pair before resampling.
        round: usize,
        /// One score for each picture.
        scores: &'a [f32],
    },
    /// A round of resampling ended for one picture.
    Resampled {
        /// Timestep.
        t: usize,
        /// Round, from 1.
        round: usize,
        /// Which picture of the batch.
        picture: usize,
        /// What became of the new pair.
        verdict: Verdict,
    },
}

/// The caller's window into the sampler.
pub type OnEvent<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// For whoever need not know how far a sampler is.
pub fn unwatched(_: &Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What sampling gives.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The texture y_0 as denoised, not composited, `[b, 3, h, w]`.
    pub texture: Tensor<4>,
    /// The last structure (or guide), `[b, 1, h, w]`.
    pub structure: Tensor<4>,
    /// Network evaluations.
    pub evaluations: Evaluations,
}

impl Sampled {
    /// m · image + (1 − m) · y.
    pub fn composite(&self, conditions: &Conditions) -> Tensor<4> {
        paste(
            self.texture.clone(),
            conditions.texture.clone(),
            &conditions.mask,
        )
    }
}
