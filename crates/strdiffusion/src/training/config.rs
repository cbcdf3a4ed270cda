//! Every knob of a training run, with its default, as one TOML file.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::adversarial::AdversarialTraining;
use super::optimizer::{Adam, Method};
use super::patches::PatchTraining;
use super::stage::Stage;
use crate::conditioning::{Conditioning, Guide, StructureProcess};
use crate::error::{Error, Result};
use crate::masks::ShapeKind;
use crate::model::{EdgeConfig, FORMAT, ModelConfig};
use crate::networks::Precision;
use crate::networks::{ConditionalUNetConfig, DiscriminatorConfig};
use crate::objectives::MaskedLoss;
use crate::ops;
use crate::sampling::{FastSampler, Grid, Solver};
use crate::sde::{Prediction, SdeConfig};
use crate::structure::{Canny, EdgeSource};
use crate::weights::Storage;

/// Named settings to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Two CPU cores, an evening: as the default model was trained, at 128×128.
    Tiny,
    /// One GPU, hours: the same with wider networks, at 256×256.
    Small,
    /// As published: 256×256, nf 64, depth 4.
    Paper,
}

/// A whole training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Sizes of the networks, and what they predict.
    pub networks: NetworksConfig,
    /// T, schedule, λ, ε.
    pub sde: SdeConfig,
    /// Photographs.
    pub data: DataConfig,
    /// Generated masks.
    pub masks: MaskConfig,
    /// Edges that the structure is conditioned on.
    pub edges: EdgeTraining,
    /// Structures that guide the texture.
    pub guidance: GuidanceTraining,
    /// The texture stage's term of how alike patches look.
    pub patches: PatchTraining,
    /// The adversarial term of the texture stage.
    pub adversarial: AdversarialTraining,
    /// What the three stages share.
    pub run: RunConfig,
    /// Structure stage.
    pub structure: StageConfig,
    /// Texture stage.
    pub texture: StageConfig,
    /// Discriminator stage.
    pub discriminator: StageConfig,
    /// Validation.
    pub validation: ValidationConfig,
    /// What the model folder says of itself, and how it stores numbers.
    pub release: ReleaseConfig,
}

/// What the model folder says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReleaseConfig {
    /// Licence of the weights.
    pub licence: String,
    /// Where they come from.
    pub source: String,
    /// "f32", or "f16" for half the size.
    pub storage: Storage,
    /// Steps of the sampler that the model is used with.
    pub sampler_steps: usize,
    /// Its order and kind: "euler", "posterior", "multistep" or "multistep-stochastic".
    pub sampler_solver: Solver,
    /// Spacing of its steps: "time", "log-snr", "halving" (T, T/2, T/4, …), "tenths" (T, T/10, …) or
    /// "twentieths" (T, T/20, …).
    pub sampler_grid: Grid,
}

/// Sizes of the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworksConfig {
    /// nf of both U-Nets.
    pub width: usize,
    /// Levels of both U-Nets.
    pub depth: usize,
    /// Side of the squares of pixels that both U-Nets take as one position's channels; 1 = single
    /// pixels. 2 makes for a quarter of the positions.
    pub patch: usize,
    /// ngf of the discriminator.
    pub discriminator_width: usize,
    /// Time embedding of the discriminator.
    pub discriminator_time_dim: usize,
    /// Whether the discriminator has group norm, which the paper's has not.
    pub discriminator_group_norm: bool,
    /// What the U-Nets predict: "noise" or "clean-difference".
    pub prediction: Prediction,
    /// What the networks are told of the hole: "paper", "membrane" or "membrane-edges".
    pub conditioning: Conditioning,
    /// From what to what the structure gets sparser: "gray-to-edges"; for experiments
    /// "gray-to-gray" and "edges-to-edges".
    pub structure_process: StructureProcess,
    /// Whether the structure guides the texture; false is IR-SDE, for experiments.
    pub guided: bool,
    /// Whether the texture network also reads its guide as a channel of its input.
    pub guide_input: bool,
    /// Which state of the structure guides: "step-ahead" (x_{t−1}) or "clean" (the estimate x̂_0).
    pub guide: Guide,
    /// Sizes of the structure network, where they differ from the texture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<UNetSizes>,
}

impl NetworksConfig {
    /// Sizes of the structure network: the texture's where it has none of its own.
    fn structure_sizes(&self) -> UNetSizes {
        self.structure.unwrap_or(UNetSizes {
            width: self.width,
            depth: self.depth,
            patch: self.patch,
        })
    }
}

/// Sizes of a U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetSizes {
    /// nf.
    pub width: usize,
    /// Levels.
    pub depth: usize,
    /// Side of the squares of pixels that are one position's channels.
    pub patch: usize,
}

impl UNetSizes {
    fn of(config: &ConditionalUNetConfig) -> Self {
        Self {
            width: config.width,
            depth: config.depth,
            patch: config.patch,
        }
    }
}

/// Photographs and what is done to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Side of the square crops, in pixels.
    pub resolution: usize,
    /// A crop's side, as a share of the photograph's shorter side: from, to.
    pub crop_scale: [f64; 2],
    /// Mirror half of the crops.
    pub flip: bool,
    /// Turn crops by quarter turns.
    pub rotate: bool,
    /// Threads that decode and crop.
    pub threads: usize,
    /// Decoded photographs are kept in memory up to this many MiB.
    pub cache_mib: usize,
    /// Use the first batch again and again: for measuring what the data costs.
    pub repeat_first_batch: bool,
}

/// Masks from the generator; not used where a folder of masks is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Share of the picture that is hole: from, to.
    pub ratio: [f64; 2],
    /// Shapes to draw: "stroke", "ellipse", "rectangle".
    pub shapes: Vec<ShapeKind>,
}

/// Edges in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeTraining {
    /// Canny's σ, in pixels of the crop.
    pub sigma: f64,
    /// Probability that a part of the hole's true edges stays in the condition, so that the
    /// network learns to obey edges drawn into a hole.
    pub hint_probability: f64,
    /// Share of the picture in which such hints stay: from, to.
    pub hint_ratio: [f64; 2],
}

/// Structures that guide the texture in training: the truth's, more and more of those that the
/// structure network makes of its noised state, which the texture meets when it is used, and now
/// and then none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuidanceTraining {
    /// Share of pictures that the structure network guides, in the end. Above 0 it must have been
    /// trained before.
    pub sampled_share: f64,
    /// The share grows evenly from 0 over so many steps; 0 = it is full from the start.
    pub growth_steps: usize,
    /// Share of pictures that are guided by the grayscale of μ alone, which says nothing that the
    /// texture network does not know: so it learns to do without, and what the structure brings
    /// can be measured on one network.
    pub unguided_share: f64,
    /// Share of pictures whose state at t < T is made of the networks' own estimate at T, not of
    /// the truth, as a sampler's is after its first step: so the texture network learns to go on
    /// from what it gets. The structure network guides them, so the share is at most
    /// `sampled_share`.
    pub own_state_share: f64,
}

impl GuidanceTraining {
    /// What the texture is used with is what it mostly learns from.
    fn mostly_sampled() -> Self {
        Self {
            sampled_share: 0.75,
            unguided_share: 0.1,
            growth_steps: 0,
            own_state_share: 0.0,
        }
    }

    /// Share at a step, counted from 0. It does not depend on where the run stops.
    pub fn share(&self, step: usize) -> f64 {
        let grown = step as f64 / self.growth_steps.max(1) as f64;
        match self.growth_steps {
            0 => self.sampled_share,
            _ => self.sampled_share * grown.min(1.0),
        }
    }
}

/// What the stages share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Model folder whose networks the run starts from; none: fresh ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Pictures in a step.
    pub batch: usize,
    /// A step's pictures are taken in this many parts, one after the other, whose gradients are
    /// added up: less memory, the same result.
    pub accumulate: usize,
    /// Numbers of the forward and backward pass: "f32", "f16" or "bf16" (weights stay f32).
    pub precision: Precision,
    /// The loss is multiplied by this before the backward pass in f16, and gradients divided.
    pub loss_scale: f64,
    /// Compute activations again in the backward pass where that is cheap: less memory.
    pub recompute_activations: bool,
    /// Largest norm of all gradients together; larger ones are scaled down. 0 = no limit.
    pub clip_norm: f64,
    /// Decay of the weights' moving average, which is the result of the training.
    pub ema_decay: f64,
    /// Distance and weights of the masked loss.
    pub loss: MaskedLoss,
    /// Weight of the same distance between differences of neighbouring pixels in the structure's
    /// loss, which keeps its edges; 0 = none, as in the paper.
    pub structure_gradient: f64,
    /// Weight of matching textures beside another picture's structure in the discriminator's loss, which
    /// drives their score down; 0 = none, as in the paper.
    pub mismatched_structures: f64,
    /// How often late timesteps come up: t = 2 + (T − 1) · u^(1 / this), u uniform. 1 = all alike,
    /// as in the paper; 3 puts seven of eight into the upper half, where a hole is decided.
    pub time_bias: f64,
    /// Save a checkpoint every so many steps.
    pub checkpoint_every: usize,
    /// Log every so many steps.
    pub log_every: usize,
}

/// One network's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Steps.
    pub steps: usize,
    /// Learning rate at the start.
    pub learning_rate: f64,
    /// The learning rate is halved every so many steps (the paper: a quarter of the run).
    pub halve_every: usize,
    /// The learning rate rises from 0 over so many steps.
    pub warmup: usize,
    /// Timesteps to train on, such as those of the sampler's grid; one that stands twice comes up
    /// twice as often. Empty: all of 2..=T, as `run.time_bias` says.
    #[serde(default)]
    pub times: Vec<usize>,
    /// "adam", or "muon", which learns more in a step.
    #[serde(default)]
    pub optimizer: Method,
    /// Adam.
    pub adam: Adam,
}

impl StageConfig {
    fn generator(steps: usize, learning_rate: f64) -> Self {
        Self {
            steps,
            learning_rate,
            halve_every: (steps / 4).max(1),
            warmup: 0,
            times: vec![],
            optimizer: Method::Adam,
            adam: Adam::generator(),
        }
    }

    /// Timesteps that a sampler of one to three halving steps begins from, the first most often.
    fn of_one_step(steps: usize, learning_rate: f64) -> Self {
        Self {
            times: vec![100, 100, 100, 100, 50, 25],
            warmup: 200,
            ..Self::generator(steps, learning_rate)
        }
    }

    fn discriminator(steps: usize, learning_rate: f64) -> Self {
        Self {
            adam: Adam::discriminator(),
            ..Self::generator(steps, learning_rate)
        }
    }

    /// Learning rate of a step, counted from 0. It does not depend on where the run stops.
    pub fn rate(&self, step: usize) -> f64 {
        let halvings = (step / self.halve_every.max(1)).min(60) as i32;
        let warm = if self.warmup == 0 {
            1.0
        } else {
            ((step + 1) as f64 / self.warmup as f64).min(1.0)
        };
        self.learning_rate * warm * 0.5f64.powi(halvings)
    }
}

/// Validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Every so many steps. 0 = never.
    pub every: usize,
    /// Photographs kept out of training for it.
    pub pictures: usize,
    /// Steps of the sampler.
    pub sampler_steps: usize,
}

impl Default for NetworksConfig {
    fn default() -> Self {
        Self {
            width: 64,
            depth: 4,
            patch: 1,
            discriminator_width: 64,
            discriminator_time_dim: 256,
            discriminator_group_norm: false,
            prediction: Prediction::Noise,
            conditioning: Conditioning::Paper,
            structure_process: StructureProcess::GrayToEdges,
            guided: true,
            guide_input: false,
            guide: Guide::StepAhead,
            structure: None,
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            resolution: 256,
            crop_scale: [0.5, 1.0],
            flip: true,
            rotate: false,
            threads: 2,
            cache_mib: 1024,
            repeat_first_batch: false,
        }
    }
}

impl Default for MaskConfig {
    fn default() -> Self {
        Self {
            ratio: [0.1, 0.5],
            shapes: vec![ShapeKind::Stroke, ShapeKind::Ellipse, ShapeKind::Rectangle],
        }
    }
}

impl Default for EdgeTraining {
    fn default() -> Self {
        Self {
            sigma: 2.0,
            hint_probability: 0.3,
            hint_ratio: [0.1, 0.6],
        }
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            start_from: None,
            batch: 16,
            accumulate: 4,
            precision: Precision::F32,
            loss_scale: 1024.0,
            recompute_activations: false,
            clip_norm: 1.0,
            ema_decay: 0.999,
            loss: MaskedLoss::default(),
            structure_gradient: 0.0,
            mismatched_structures: 0.0,
            time_bias: 1.0,
            checkpoint_every: 1000,
            log_every: 50,
        }
    }
}

impl Default for ReleaseConfig {
    fn default() -> Self {
        Self {
            licence: "unknown".into(),
            source: "trained with strdiffusion".into(),
            storage: Storage::F32,
            sampler_steps: FastSampler::default().steps,
            sampler_solver: Solver::default(),
            sampler_grid: Grid::default(),
        }
    }
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            every: 2000,
            pictures: 16,
            sampler_steps: 10,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::preset(Preset::Paper)
    }
}

impl TrainConfig {
    /// The settings of a preset for these devices: as [`preset`](Self::preset), but that all except
    /// the paper's compute in bf16 where every device is a CPU that is faster so.
    pub fn preset_on(preset: Preset, devices: &[Device]) -> Self {
        let mut config = Self::preset(preset);
        if preset != Preset::Paper && ops::has_bf16() && devices.iter().all(ops::is_cpu) {
            config.run.precision = Precision::Bf16;
        }
        config
    }

    /// The settings of a preset, in f32.
    pub fn preset(preset: Preset) -> Self {
        let paper = Self {
            networks: NetworksConfig::default(),
            sde: SdeConfig::default(),
            data: DataConfig::default(),
            masks: MaskConfig::default(),
            edges: EdgeTraining::default(),
            guidance: GuidanceTraining::default(),
            patches: PatchTraining::default(),
            adversarial: AdversarialTraining::default(),
            run: RunConfig {
                recompute_activations: true,
                clip_norm: 0.0,
                ..RunConfig::default()
            },
            structure: StageConfig::generator(400_000, 1e-4),
            texture: StageConfig::generator(400_000, 1e-4),
            discriminator: StageConfig::discriminator(100_000, 1e-4),
            validation: ValidationConfig::default(),
            release: ReleaseConfig::default(),
        };
        match preset {
            Preset::Paper => paper,
            Preset::Tiny => Self {
                networks: NetworksConfig {
                    width: 32,
                    depth: 2,
                    discriminator_width: 8,
                    discriminator_time_dim: 64,
                    structure: Some(UNetSizes {
                        width: 32,
                        depth: 3,
                        patch: 2,
                    }),
                    ..Self::structure_leads()
                },
                data: DataConfig {
                    resolution: 128,
                    threads: 1,
                    ..paper.data
                },
                edges: EdgeTraining {
                    sigma: 1.0,
                    hint_probability: 0.4,
                    hint_ratio: [0.2, 1.0],
                },
                guidance: GuidanceTraining {
                    growth_steps: 800,
                    ..GuidanceTraining::mostly_sampled()
                },
                run: RunConfig {
                    batch: 8,
                    accumulate: 1,
                    structure_gradient: 1.0,
                    checkpoint_every: 250,
                    log_every: 50,
                    ..RunConfig::default()
                },
                structure: StageConfig {
                    halve_every: 2_500,
                    ..StageConfig::of_one_step(10_000, 5e-4)
                },
                texture: StageConfig {
                    halve_every: 720,
                    ..StageConfig::of_one_step(2_800, 5e-4)
                },
                discriminator: StageConfig::discriminator(1_000, 2e-4),
                validation: ValidationConfig {
                    every: 500,
                    pictures: 32,
                    sampler_steps: 1,
                },
                release: ReleaseConfig {
                    sampler_steps: 1,
                    ..paper.release
                },
                ..paper
            },
            Preset::Small => Self {
                networks: NetworksConfig {
                    width: 64,
                    depth: 3,
                    discriminator_width: 32,
                    ..Self::structure_leads()
                },
                edges: EdgeTraining {
                    hint_probability: 0.4,
                    hint_ratio: [0.2, 1.0],
                    ..paper.edges
                },
                guidance: GuidanceTraining {
                    growth_steps: 10_000,
                    ..GuidanceTraining::mostly_sampled()
                },
                run: RunConfig {
                    accumulate: 1,
                    structure_gradient: 1.0,
                    ..RunConfig::default()
                },
                structure: StageConfig::of_one_step(80_000, 2e-4),
                texture: StageConfig::of_one_step(40_000, 2e-4),
                discriminator: StageConfig::discriminator(20_000, 1e-4),
                validation: ValidationConfig {
                    sampler_steps: 1,
                    ..paper.validation
                },
                release: ReleaseConfig {
                    sampler_steps: 1,
                    ..paper.release
                },
                ..paper
            },
        }
    }

    /// Networks whose texture is led by a structure from its first step on: it reads the clean
    /// estimate at full resolution.
    fn structure_leads() -> NetworksConfig {
        NetworksConfig {
            patch: 2,
            prediction: Prediction::CleanDifference,
            conditioning: Conditioning::MembraneEdges,
            guide_input: true,
            guide: Guide::Clean,
            ..NetworksConfig::default()
        }
    }

    /// Reads a TOML file. What it does not say is as in the `paper` preset.
    ///
    /// # Errors
    /// If the file cannot be read, or holds an unknown key or a value out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Self::parse(&text, path)
    }

    /// Reads the text of such a file; `path` names it in errors.
    ///
    /// # Errors
    /// If it holds an unknown key or a value out of range.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let place = error
                .span()
                .map(|span| text[..span.start].matches('\n').count() + 1);
            let line = place.map_or(String::new(), |line| format!("line {line}: "));
            let message = error
                .message()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            Error::model(path, format!("{line}{message}"))
        })?;
        config
            .validate()
            .map_err(|error| Error::model(path, error.to_string()))?;
        Ok(config)
    }

    /// Changes one key, such as `run.batch` or `structure.adam.beta1`. The value is read as TOML; what
    /// is none is text, so that `squared` needs no quotes. Whether it is in range is for
    /// [`validate`](Self::validate) to say.
    ///
    /// # Errors
    /// If there is no such key, or its value is of another type.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let wrong = |why: &str| {
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            Error::Config(format!("{key} cannot be set to {value}: {why}"))
        };
        let mut whole = self.clone();
        if key.starts_with("networks.structure.") {
            // What the structure network has of its own begins as the texture's.
            whole.networks.structure = Some(whole.networks.structure_sizes());
        }
        let mut all = Table::try_from(&whole).expect("a config is plain data");
        let mut table = &mut all;
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        for name in path.split('.').filter(|_| !path.is_empty()) {
            let inner = table.entry(name).or_insert_with(|| Table::new().into());
            table = inner
                .as_table_mut()
                .ok_or_else(|| wrong(&format!("{name} holds no keys")))?;
        }
        table.insert(last.to_string(), toml_value(value));
        *self = all
            .try_into()
            .map_err(|error: toml::de::Error| wrong(error.message()))?;
        Ok(())
    }

    /// Starts from the networks of a model: its weights, sizes, process and edges. What makes the
    /// texture network read more than the model's does stays as it was set: a conditioning that
    /// extends the model's own, `guide_input`, and a clean guide.
    pub fn start_from(&mut self, folder: &Path, model: &ModelConfig) {
        self.run.start_from = Some(folder.to_path_buf());
        let conditioning = match self.networks.conditioning {
            richer if richer.extends(model.conditioning) => richer,
            _ => model.conditioning,
        };
        self.networks = NetworksConfig {
            width: model.texture.width,
            depth: model.texture.depth,
            patch: model.texture.patch,
            discriminator_width: model.discriminator.width,
            discriminator_time_dim: model.discriminator.time_dim,
            discriminator_group_norm: self.networks.discriminator_group_norm
                || model.discriminator.group_norm,
            prediction: model.prediction,
            conditioning,
            structure_process: model.structure_process,
            guided: model.texture.guided,
            guide_input: self.networks.guide_input || model.texture.guide_input,
            guide: match self.networks.guide {
                Guide::Clean => Guide::Clean,
                Guide::StepAhead => model.guide,
            },
            structure: (UNetSizes::of(&model.structure) != UNetSizes::of(&model.texture))
                .then(|| UNetSizes::of(&model.structure)),
        };
        self.sde = model.sde.clone();
        self.edges.sigma = model.edges.canny.sigma;
    }

    /// The settings as TOML, every knob of them.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a config is plain data")
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        let complain = |what: String| Err(Error::Config(what));
        let (model, side) = (self.model_config(), self.data.resolution);
        model.validate()?;
        model.texture.check_size(side, side)?;
        model.structure.check_size(side, side)?;
        let ordered = |name: &str, [from, to]: [f64; 2], low: f64, high: f64| {
            if low <= from && from <= to && to <= high {
                Ok(())
            } else {
                Err(Error::Config(format!(
                    "{name} is [{from}, {to}]: it must rise and lie within {low} to {high}"
                )))
            }
        };
        ordered("data.crop_scale", self.data.crop_scale, 0.01, 1.0)?;
        ordered("masks.ratio", self.masks.ratio, 0.0, 1.0)?;
        ordered("edges.hint_ratio", self.edges.hint_ratio, 0.0, 1.0)?;
        if !(0.0..=1.0).contains(&self.edges.hint_probability) {
            return complain(format!(
                "edges.hint_probability is {}: it must be 0 to 1",
                self.edges.hint_probability
            ));
        }
        if self.run.batch == 0 || self.run.accumulate == 0 || self.run.accumulate > self.run.batch {
            return complain(format!(
                "run.batch is {} and run.accumulate {}: both must be at least 1, and no part may \
                 be empty",
                self.run.batch, self.run.accumulate
            ));
        }
        if !(0.0..1.0).contains(&self.run.ema_decay) {
            return complain(format!(
                "run.ema_decay is {}: it must be at least 0 and below 1",
                self.run.ema_decay
            ));
        }
        if !(self.run.time_bias > 0.0 && self.run.time_bias.is_finite()) {
            return complain(format!(
                "run.time_bias is {}: it must be above 0",
                self.run.time_bias
            ));
        }
        if !(0.0..=1.0).contains(&self.guidance.sampled_share) {
            return complain(format!(
                "guidance.sampled_share is {}: it must be 0 to 1",
                self.guidance.sampled_share
            ));
        }
        let guidance = &self.guidance;
        let both = guidance.sampled_share + guidance.unguided_share;
        if !(guidance.unguided_share >= 0.0 && both <= 1.0) {
            return complain(format!(
                "guidance.sampled_share and unguided_share are {} and {}: both must be at least \
                 0, and at most 1 together",
                guidance.sampled_share, guidance.unguided_share
            ));
        }
        let shares = [guidance.sampled_share, guidance.unguided_share];
        if shares != [0.0; 2] && !self.networks.guided {
            return complain(
                "guidance.sampled_share or unguided_share is above 0, but networks.guided is \
                 false: no structure guides the texture"
                    .into(),
            );
        }
        if !(0.0..=guidance.sampled_share).contains(&guidance.own_state_share) {
            return complain(format!(
                "guidance.own_state_share is {}: it must be 0 to guidance.sampled_share ({}), for \
                 the structure network guides these pictures",
                guidance.own_state_share, guidance.sampled_share
            ));
        }
        if guidance.own_state_share > 0.0 && self.networks.prediction != Prediction::CleanDifference
        {
            return complain(
                "guidance.own_state_share is above 0, but networks.prediction is not \
                 \"clean-difference\": noise says too little of the clean picture at T"
                    .into(),
            );
        }
        self.adversarial.validate(side)?;
        if self.adversarial.is_on() && self.networks.prediction != Prediction::CleanDifference {
            return complain(
                "adversarial.weight is above 0, but networks.prediction is not \
                 \"clean-difference\": the critic judges what the texture network says of the \
                 clean picture"
                    .into(),
            );
        }
        self.patches.validate()?;
        if self.patches.is_on() && self.networks.prediction != Prediction::CleanDifference {
            return complain(
                "patches.weight is above 0, but networks.prediction is not \"clean-difference\": \
                 patches are those of what the texture network says of the clean picture"
                    .into(),
            );
        }
        for (name, weight) in [
            ("structure_gradient", self.run.structure_gradient),
            ("mismatched_structures", self.run.mismatched_structures),
        ] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return complain(format!("run.{name} is {weight}: it must be at least 0"));
            }
        }
        if self.data.threads == 0 {
            return complain("data.threads must be at least 1".into());
        }
        for (name, stage) in [
            ("structure", &self.structure),
            ("texture", &self.texture),
            ("discriminator", &self.discriminator),
        ] {
            if !(stage.learning_rate > 0.0 && stage.learning_rate.is_finite()) {
                return complain(format!(
                    "{name}.learning_rate is {}: it must be above 0",
                    stage.learning_rate
                ));
            }
            if stage.halve_every == 0 {
                return complain(format!("{name}.halve_every must be at least 1"));
            }
            let last = self.sde.steps;
            if let Some(time) = stage.times.iter().find(|time| !(1..=last).contains(time)) {
                return complain(format!(
                    "{name}.times has {time}: timesteps are 1 to {last} (sde.steps)"
                ));
            }
        }
        Ok(())
    }

    /// Settings of a stage.
    pub fn stage(&self, stage: Stage) -> &StageConfig {
        match stage {
            Stage::Structure => &self.structure,
            Stage::Texture => &self.texture,
            Stage::Discriminator => &self.discriminator,
        }
    }

    /// The sampler that the model is used with.
    pub fn sampler(&self) -> FastSampler {
        let early_until = match self.networks.guide {
            Guide::StepAhead => FastSampler::default().early_until,
            // The texture was trained with what the structure network says at every timestep.
            Guide::Clean => 0.0,
        };
        FastSampler {
            steps: self.release.sampler_steps,
            solver: self.release.sampler_solver,
            grid: self.release.sampler_grid,
            early_until,
            ..FastSampler::default()
        }
    }

    /// The model that this run makes.
    pub fn model_config(&self) -> ModelConfig {
        let NetworksConfig {
            width,
            depth,
            patch,
            conditioning,
            structure_process,
            guided,
            guide_input,
            guide,
            ..
        } = self.networks;
        let structure = self.networks.structure_sizes();
        ModelConfig {
            format: FORMAT,
            texture: ConditionalUNetConfig {
                context_channels: conditioning.texture_channels(),
                guided,
                guide_input,
                patch,
                ..ConditionalUNetConfig::texture(width, depth)
            },
            structure: ConditionalUNetConfig {
                context_channels: conditioning.structure_channels(),
                patch: structure.patch,
                ..ConditionalUNetConfig::structure(structure.width, structure.depth)
            },
            conditioning,
            structure_process,
            guide,
            discriminator: DiscriminatorConfig {
                in_channels: 4,
                width: self.networks.discriminator_width,
                time_dim: self.networks.discriminator_time_dim,
                group_norm: self.networks.discriminator_group_norm,
            },
            sde: self.sde.clone(),
            prediction: self.networks.prediction,
            sampling: self.sampler().into(),
            edges: EdgeConfig {
                canny: Canny::with_sigma(self.edges.sigma),
                source: EdgeSource::KnownRegion,
            },
            training_resolution: self.data.resolution,
            licence: self.release.licence.clone(),
            source: self.release.source.clone(),
        }
    }
}

/// The text as a value of TOML, or as it is where it is none.
fn toml_value(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => table.remove("value"),
        _ => None,
    }
    .unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_but_the_papers_take_16_bits_where_the_cpu_has_them() {
        let precision = |preset| {
            let config = TrainConfig::preset_on(preset, &[Device::flex()]);
            config.run.precision
        };
        let expected = match ops::has_bf16() {
            true => Precision::Bf16,
            false => Precision::F32,
        };
        assert_eq!(precision(Preset::Tiny), expected);
        assert_eq!(precision(Preset::Small), expected);
        assert_eq!(precision(Preset::Paper), Precision::F32);
    }

    #[test]
    fn presets_are_valid_and_survive_their_file() {
        for preset in [Preset::Tiny, Preset::Small, Preset::Paper] {
            let config = TrainConfig::preset(preset);
            config.validate().unwrap();
            let read: TrainConfig = toml::from_str(&config.to_toml()).unwrap();
            assert_eq!(read, config);
        }
    }

    #[test]
    fn the_learning_rate_does_not_depend_on_where_the_run_stops() {
        let stage = TrainConfig::preset(Preset::Tiny).texture;
        let longer = StageConfig {
            steps: stage.steps * 2,
            ..stage.clone()
        };
        for step in [0, 10, 719, 720, 2799] {
            assert_eq!(stage.rate(step), longer.rate(step));
        }
        assert_eq!(stage.rate(720), stage.rate(719) / 2.0);
    }
    #[test]
    fn every_key_can_be_set_to_what_it_is_and_to_nothing_of_another_type() {
        let config = TrainConfig::preset(Preset::Tiny);
        let mut keys = 0;
        for (section, keys_of) in Table::try_from(&config).unwrap() {
            for (name, value) in keys_of.as_table().unwrap() {
                let key = format!("{section}.{name}");
                let mut same = config.clone();
                same.set(&key, &value.to_string()).unwrap();
                assert_eq!(same, config, "{key}");
                // No key is a list of lists of lists.
                let error = same.set(&key, "[[[]]]").unwrap_err().to_string();
                assert!(error.contains(&key), "{error}");
                assert_eq!(same, config, "{key}");
                keys += 1;
            }
        }
        assert!(keys > 50, "{keys}");
    }

    #[test]
    fn keys_are_set_one_by_one_and_unknown_ones_refused() {
        let mut config = TrainConfig::preset(Preset::Tiny);
        for (key, value) in [
            ("run.batch", "5"),
            ("run.clip_norm", "2"),
            ("run.loss.distance", "squared"),
            ("run.start_from", "models/default"),
            ("structure.adam.beta1", "0.8"),
            ("texture.times", "[100, 50]"),
            ("networks.structure", "{ width = 8, depth = 2, patch = 1 }"),
            ("masks.shapes", "[\"stroke\"]"),
            ("data.flip", "false"),
        ] {
            config.set(key, value).unwrap();
        }
        assert_eq!((config.run.batch, config.run.clip_norm), (5, 2.0));
        assert_eq!(config.run.start_from, Some("models/default".into()));
        assert_eq!(config.structure.adam.beta1, 0.8);
        assert_eq!(config.texture.times, [100, 50]);
        assert_eq!(config.networks.structure.unwrap().width, 8);
        config.networks.structure = None;
        config.set("networks.structure.depth", "2").unwrap();
        let structure = config.networks.structure.unwrap();
        let texture = config.networks.width;
        assert_eq!((structure.width, structure.depth), (texture, 2));
        assert!(!config.data.flip);
        let before = config.clone();
        for (key, value) in [
            ("run.bach", "5"),
            ("run", "5"),
            ("nothing.here", "5"),
            ("run.batch.size", "5"),
            ("run.batch", "many"),
            ("run.batch", "-1"),
            ("run.batch", "5\nrun.seed = 7"),
            ("", "5"),
        ] {
            let error = config.set(key, value).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
            assert_eq!(config, before);
        }
    }
}
