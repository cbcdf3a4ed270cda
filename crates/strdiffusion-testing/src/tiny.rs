//! A model of random weights, small enough that a fill takes milliseconds.

use strdiffusion::Device;
use strdiffusion::model::{EdgeConfig, FORMAT, Model, ModelConfig};
use strdiffusion::networks::{ConditionalUNetConfig, DiscriminatorConfig};
use strdiffusion::sampling::{PaperSampler, Resampling};
use strdiffusion::sde::SdeConfig;

/// T of the tiny model.
pub const TINY_STEPS: usize = 4;

/// The tiny model on the CPU, after `change`: the paper's sampler, with up to two rounds of
/// resampling at every second step.
///
/// # Panics
/// If the changed settings are out of range.
pub fn tiny_model(change: impl FnOnce(&mut ModelConfig)) -> Model {
    let resampling = Resampling {
        u_max: 3,
        u_min: 1,
        jump: 2,
        re: 1,
    };
    let mut config = ModelConfig {
        format: FORMAT,
        texture: ConditionalUNetConfig::texture(4, 2),
        structure: ConditionalUNetConfig::structure(4, 1),
        discriminator: DiscriminatorConfig {
            in_channels: 4,
            width: 4,
            time_dim: 16,
            group_norm: false,
        },
        sde: SdeConfig {
            steps: TINY_STEPS,
            ..SdeConfig::default()
        },
        prediction: Default::default(),
        conditioning: Default::default(),
        structure_process: Default::default(),
        guide: Default::default(),
        sampling: PaperSampler {
            resampling: Some(resampling),
            ..PaperSampler::default()
        }
        .into(),
        edges: EdgeConfig::default(),
        training_resolution: 32,
        licence: "CC0-1.0".into(),
        source: "random weights".into(),
    };
    change(&mut config);
    Model::init(config, 1, &Device::flex()).expect("a tiny model's settings are in range")
}
