//! The arms of the paper's comparison. Each has its own networks, trained under one budget on the
//! same pictures, masks, timesteps and noise; some differ in sampling alone.

use crate::conditioning::StructureProcess;
use crate::sampling::{Better, PaperSampler, Rejected, Resampling, Switches};
use crate::sde::Prediction;
use crate::training::config::{NetworksConfig, Preset, RunConfig, TrainConfig};
use crate::training::stage::Stage;

/// Settings of the training where none are given: the paper's networks, conditioning and timesteps,
/// small enough for two CPU cores.
pub fn budget() -> TrainConfig {
    let mut config = TrainConfig::preset(Preset::Paper);
    config.networks = NetworksConfig {
        width: 16,
        depth: 3,
        discriminator_width: 8,
        discriminator_time_dim: 64,
        prediction: Prediction::CleanDifference,
        ..NetworksConfig::default()
    };
    config.data.resolution = 64;
    config.data.threads = 1;
    config.edges.sigma = 1.0;
    config.run = RunConfig {
        batch: 8,
        accumulate: 1,
        ema_decay: 0.995,
        checkpoint_every: 200,
        ..RunConfig::default()
    };
    let stages = [
        (&mut config.structure, 4_000, 1e-3),
        (&mut config.texture, 8_000, 1e-3),
        (&mut config.discriminator, 1_000, 2e-4),
    ];
    for (stage, steps, learning_rate) in stages {
        stage.steps = steps;
        stage.halve_every = steps / 4;
        stage.learning_rate = learning_rate;
    }
    config.validation.every = 500;
    config
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Training {
    /// The texture alone (IR-SDE).
    TextureAlone,
    /// Guided by a structure that stays dense.
    GrayToGray,
    /// Guided by a structure that is sparse all along.
    EdgesToEdges,
    /// The paper's: guided by a structure that gets sparser.
    GrayToEdges,
}

impl Training {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::TextureAlone,
        Self::GrayToGray,
        Self::EdgesToEdges,
        Self::GrayToEdges,
    ];

    /// Name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextureAlone => "texture-alone",
            Self::GrayToGray => "gray-to-gray",
            Self::EdgesToEdges => "edges-to-edges",
            Self::GrayToEdges => "gray-to-edges",
        }
    }

    /// The networks' settings in this arm.
    pub fn networks(self, mut networks: NetworksConfig) -> NetworksConfig {
        networks.guided = self != Self::TextureAlone;
        networks.structure_process = match self {
            Self::GrayToGray => StructureProcess::GrayToGray,
            Self::EdgesToEdges => StructureProcess::EdgesToEdges,
            Self::TextureAlone | Self::GrayToEdges => StructureProcess::GrayToEdges,
        };
        networks
    }

    /// The stages that it needs: the texture alone has no structure, and only the paper's pair is
    /// resampled, which asks the discriminator.
    pub fn stages(self) -> &'static [Stage] {
        match self {
            Self::TextureAlone => &[Stage::Texture],
            Self::GrayToGray | Self::EdgesToEdges => &[Stage::Structure, Stage::Texture],
            Self::GrayToEdges => &Stage::ALL,
        }
    }

    /// Until when the structure leads. Edges cannot be read off the texture's luma, so where the
    /// structure is edges it leads to the end.
    fn early_until(self) -> f64 {
        match self {
            Self::EdgesToEdges => 0.0,
            _ => PaperSampler::default().early_until,
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Arm {
    /// Name.
    pub name: &'static str,
    /// Whose networks.
    pub training: Training,
    /// How they are sampled.
    pub sampler: PaperSampler,
}

/// The rows: guidance, then resampling, then the switches that only an experiment can settle.
pub fn arms(resampling: Resampling) -> Vec<Arm> {
    let plain = |name, training: Training| Arm {
        name,
        training,
        sampler: PaperSampler {
            resampling: None,
            early_until: training.early_until(),
            switches: Switches::default(),
        },
    };
    let resampled = |name, switches| Arm {
        name,
        training: Training::GrayToEdges,
        sampler: PaperSampler {
            resampling: Some(resampling),
            switches,
            ..PaperSampler::default()
        },
    };
    let default = Switches::default();
    vec![
        plain("texture alone (IR-SDE)", Training::TextureAlone),
        plain("gray → gray", Training::GrayToGray),
        plain("edges → edges", Training::EdgesToEdges),
        plain("gray → edges (the paper's)", Training::GrayToEdges),
        resampled(
            "… fixed resampling (RePaint)",
            Switches {
                better: Better::Newest,
                ..default
            },
        ),
        resampled("… adaptive resampling", default),
        resampled(
            "… the lower score wins (reference)",
            Switches {
                better: Better::Lower,
                ..default
            },
        ),
        resampled(
            "… losers averaged (reference)",
            Switches {
                rejected: Rejected::Averaged,
                ..default
            },
        ),
        resampled(
            "… losers averaged, rescaled",
            Switches {
                rejected: Rejected::AveragedRescaled,
                ..default
            },
        ),
        resampled(
            "… known texture composited",
            Switches {
                composite_texture: true,
                ..default
            },
        ),
    ]
}
