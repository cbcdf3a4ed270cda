//! The three networks behind one face, and what they are fed.

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};
use strdiffusion::conditioning::Conditioning;
use strdiffusion::conditions::Conditions;
use strdiffusion::model::{Model, ModelConfig};
use strdiffusion::networks::{
    ConditionalUNet, Discriminator, GuideAlignment, Network as _, Precision,
};
use strdiffusion::sampling::{NoiseSource, SeededNoise};
use strdiffusion::{Device, Result};

/// The timestep that is asked about.
pub const TIME: f32 = 50.0;

/// Which network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Texture,
    Structure,
    Discriminator,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Texture => "texture",
            Self::Structure => "structure",
            Self::Discriminator => "discriminator",
        }
    }

    pub fn multiply_adds(self, config: &ModelConfig, size: usize) -> usize {
        match self {
            Self::Texture => config.texture.multiply_adds(size, size),
            Self::Structure => config.structure.multiply_adds(size, size),
            Self::Discriminator => config.discriminator.multiply_adds(size, size),
        }
    }

    /// Name and channels of each input.
    fn inputs(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Texture => &[("state", 3), ("condition", 3), ("guide", 1)],
            Self::Structure => &[("state", 1), ("condition", 1)],
            Self::Discriminator => &[("texture", 3), ("structure", 1)],
        }
    }

    /// What a network sees at work: gray with a hole.
    pub fn plain_input(
        self,
        conditioning: Conditioning,
        [batch, size]: [usize; 2],
        device: &Device,
    ) -> Input {
        let Conditions {
            mask,
            texture,
            gray,
            edges,
            texture_context,
            structure_context,
        } = conditions(conditioning, [batch, size], device);
        let (tensors, context) = match self {
            Self::Texture => (vec![texture.clone(), texture, gray], texture_context),
            Self::Structure => (vec![gray, edges], structure_context),
            Self::Discriminator => (vec![texture, mask], None),
        };
        Input {
            kind: self,
            tensors,
            context,
        }
    }

    /// Normal numbers, the same at each call, also for the context that the network reads.
    pub fn random_input(
        self,
        context_channels: usize,
        [batch, size]: [usize; 2],
        device: &Device,
    ) -> Result<Input> {
        let seeds: Vec<u64> = (0..batch as u64).collect();
        let mut noise = SeededNoise::new(&seeds);
        let mut random = |channels| -> Result<Tensor<4>> {
            let mut values = Vec::new();
            for picture in 0..batch {
                values.extend(noise.normal(picture, [channels, size, size])?);
            }
            let data = TensorData::new(values, [batch, channels, size, size]);
            Ok(Tensor::from_data(data, device))
        };
        let inputs = self.inputs().iter();
        Ok(Input {
            kind: self,
            tensors: inputs
                .map(|&(_, channels)| random(channels))
                .collect::<Result<_>>()?,
            context: match context_channels {
                0 => None,
                channels => Some(random(channels)?),
            },
        })
    }

    /// Channels that the network of a model reads beside its inputs.
    pub fn context_channels(self, config: &ModelConfig) -> usize {
        match self {
            Self::Texture => config.texture.context_channels,
            Self::Structure => config.structure.context_channels,
            Self::Discriminator => 0,
        }
    }
}

/// Tensors for one evaluation.
pub struct Input {
    kind: Kind,
    tensors: Vec<Tensor<4>>,
    context: Option<Tensor<4>>,
}

impl Input {
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Tensor<4>)> {
        let names = self.kind.inputs().iter().map(|(name, _)| *name);
        let context = self.context.iter().map(|context| ("context", context));
        names.zip(&self.tensors).chain(context)
    }
}

/// One network.
#[derive(Clone)]
pub enum Network {
    Texture(ConditionalUNet),
    Structure(ConditionalUNet),
    Discriminator(Discriminator),
}

impl Network {
    /// A model's.
    pub fn of(model: &Model, kind: Kind) -> Self {
        match kind {
            Kind::Texture => Self::Texture(model.texture().clone()),
            Kind::Structure => Self::Structure(model.structure().clone()),
            Kind::Discriminator => Self::Discriminator(model.discriminator().clone()),
        }
    }

    /// One with random weights.
    pub fn init(config: &ModelConfig, kind: Kind, device: &Device) -> Result<Self> {
        Ok(match kind {
            Kind::Texture => Self::Texture(config.texture.init(0, device)?),
            Kind::Structure => Self::Structure(config.structure.init(0, device)?),
            Kind::Discriminator => Self::Discriminator(config.discriminator.init(0, device)?),
        })
    }

    /// The same network, computing with other numbers; the discriminator stays in 32 bit, as in
    /// [`Model::with_precision`].
    pub fn with_precision(self, precision: Precision) -> Self {
        match self {
            Self::Texture(network) => Self::Texture(precision.of(&network)),
            Self::Structure(network) => Self::Structure(precision.of(&network)),
            Self::Discriminator(network) => {
                Self::Discriminator(precision.of_32_bits().of(&network))
            }
        }
    }

    /// The same network elsewhere.
    pub fn moved_to(self, device: &Device) -> Self {
        match self {
            Self::Texture(network) => Self::Texture(network.to_device(device)),
            Self::Structure(network) => Self::Structure(network.to_device(device)),
            Self::Discriminator(network) => Self::Discriminator(network.to_device(device)),
        }
    }

    /// The same network, which keeps no packed weights, as in [`Model::with_low_memory`].
    pub fn with_low_memory(mut self) -> Self {
        let convolutions = match &mut self {
            Self::Texture(network) | Self::Structure(network) => network.convolutions(),
            Self::Discriminator(network) => network.convolutions(),
        };
        convolutions.keep_packed = false;
        self
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Texture(_) => Kind::Texture,
            Self::Structure(_) => Kind::Structure,
            Self::Discriminator(_) => Kind::Discriminator,
        }
    }

    /// The output, flat.
    pub fn evaluate(&self, input: &Input) -> Tensor<1> {
        let tensor = |i: usize| input.tensors[i].clone();
        match self {
            Self::Texture(network) | Self::Structure(network) => network
                .forward(
                    tensor(0),
                    tensor(1),
                    input.context.clone(),
                    &[TIME],
                    input.tensors.get(2).cloned(),
                    GuideAlignment::Padded,
                )
                .flatten(0, 3),
            Self::Discriminator(network) => network.forward(&[TIME], tensor(0), tensor(1)),
        }
    }
}

/// Known everywhere but in a centred square.
pub fn conditions(
    conditioning: Conditioning,
    [batch, size]: [usize; 2],
    device: &Device,
) -> Conditions {
    let plane =
        |channels, value: f32| Tensor::<4>::full([batch, channels, size, size], value, device);
    let (from, to) = (size / 4, size * 3 / 4);
    let mask = plane(1, 1.0).slice_fill([0..batch, 0..1, from..to, from..to], 0.0);
    Conditions {
        texture: plane(3, 0.5) * mask.clone(),
        gray: plane(1, 0.5) * mask.clone(),
        edges: plane(1, 0.0),
        texture_context: conditioning.texture_context(&mask, &plane(1, 0.0)),
        structure_context: conditioning.structure_context(&mask, &plane(3, 0.5)),
        mask,
    }
}
