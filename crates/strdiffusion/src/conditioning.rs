//! What the networks are told of a hole, from what to what the structure decays, and which of its
//! states guides the texture: the choices that a model is trained for.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::blend;
use crate::picture::{FloatImage, Mask};
use crate::structure::batch_luma;

/// What the networks are told of the hole and its surroundings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditioning {
    /// The paper's: the texture reverts to μ = image · m, zero in the hole, and a network reads
    /// x_t − μ and μ.
    #[default]
    Paper,
    /// In the hole μ goes on as the membrane (the harmonic function) through the known pixels, so
    /// that the process starts from a smooth fill. Both networks also read the mask, and the
    /// structure network the grayscale of μ: at t = T, where the paper's knows nothing but edges,
    /// it knows how bright the surroundings are.
    Membrane,
    /// As [`Membrane`](Self::Membrane), and the texture network also reads what the structure
    /// reverts to. Edges, those that a person draws included, reach it at full resolution and in
    /// the first step, where the structure that guides it is still noise.
    MembraneEdges,
}

impl Conditioning {
    /// Whether the texture network reads all that it reads under `other`, and more.
    pub fn extends(self, other: Self) -> bool {
        self == Self::MembraneEdges && other == Self::Membrane
    }

    /// Channels that the texture network reads beside y_t and μ.
    pub fn texture_channels(self) -> usize {
        match self {
            Self::Paper => 0,
            Self::Membrane => 1,
            Self::MembraneEdges => 2,
        }
    }

    /// Channels that the structure network reads beside x_t and μ.
    pub fn structure_channels(self) -> usize {
        match self {
            Self::Paper => 0,
            Self::Membrane | Self::MembraneEdges => 2,
        }
    }

    /// What the texture of a picture reverts to; `known` is zero in the hole.
    pub fn texture_mu(self, known: &FloatImage, mask: &Mask) -> FloatImage {
        match self {
            Self::Paper => known.clone(),
            Self::Membrane | Self::MembraneEdges => blend::continued(known, mask),
        }
    }

    /// What the texture network reads beside y_t and μ, for a mask and the structure's μ, both
    /// `[b, 1, h, w]`.
    pub fn texture_context(self, mask: &Tensor<4>, structure_mu: &Tensor<4>) -> Option<Tensor<4>> {
        match self {
            Self::Paper => None,
            Self::Membrane => Some(mask.clone()),
            Self::MembraneEdges => Some(Tensor::cat(vec![mask.clone(), structure_mu.clone()], 1)),
        }
    }

    /// What the structure network reads beside x_t and μ, for a mask `[b, 1, h, w]` and the
    /// texture's μ `[b, 3, h, w]`.
    pub fn structure_context(self, mask: &Tensor<4>, texture_mu: &Tensor<4>) -> Option<Tensor<4>> {
        match self {
            Self::Paper => None,
            Self::Membrane | Self::MembraneEdges => Some(Tensor::cat(
                vec![mask.clone(), batch_luma(texture_mu.clone())],
                1,
            )),
        }
    }
}

/// From what to what the structure gets sparser, t = 0 to t = T.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StructureProcess {
    /// The paper's: from grayscale to edges.
    #[default]
    GrayToEdges,
    /// From grayscale to the known grayscale: no sparser. For experiments.
    GrayToGray,
    /// From edges to the known edges: sparse all along. For experiments.
    EdgesToEdges,
}

impl StructureProcess {
    /// x_0 and μ of a picture's structure, each made by what is given: the grayscale and that of
    /// the texture's μ, the edges that the process may begin with and those that it may end in.
    pub(crate) fn ends<T>(
        self,
        gray: impl FnOnce() -> T,
        mu_gray: impl FnOnce() -> T,
        first_edges: impl FnOnce() -> T,
        edges: impl FnOnce() -> T,
    ) -> (T, T) {
        match self {
            Self::GrayToEdges => (gray(), edges()),
            Self::GrayToGray => (gray(), mu_gray()),
            Self::EdgesToEdges => (first_edges(), edges()),
        }
    }
}

/// Which state of the structure guides the texture at timestep t.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guide {
    /// The paper's: x_{t−1}, one step ahead of the texture. Near t = T it is all but noise.
    #[default]
    StepAhead,
    /// The estimate x̂_0 of its clean end, which says what the structure network knows even in the
    /// first of few steps.
    Clean,
}
