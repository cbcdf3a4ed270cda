//! The model that a run starts from.

use std::path::Path;

use burn::tensor::Device;

use super::config::TrainConfig;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::networks::{ConditionalUNet, ConditionalUNetConfig};
use crate::sde::Sde;
use crate::weights::{self, Storage};

/// The model that a run starts from, if its networks are the run's. The run keeps a copy, so that
/// it can go on elsewhere.
pub(super) fn model(
    folder: &Path,
    run: &Path,
    config: &TrainConfig,
    device: &Device,
) -> Result<Model> {
    let copy = run.join("start");
    let mut model = if copy.is_dir() {
        Model::load(&copy, device)?
    } else {
        let model = Model::load(folder, device)?;
        model.save(&copy, Storage::F32)?;
        model
    };
    let wanted = config.model_config();
    let widens = wanted.conditioning.extends(model.config.conditioning);
    let mut texture = model.config.texture.clone();
    if widens {
        texture.context_channels = wanted.texture.context_channels;
    }
    let same = (&texture, &model.config.structure) == (&wanted.texture, &wanted.structure)
        && model.config.discriminator == wanted.discriminator;
    if !same {
        return Err(Error::model(
            folder,
            "its networks are of other sizes than the run's; start from a model of the same sizes, \
             or change [networks]",
        ));
    }
    if widens {
        model.texture = widened(&model.texture, &texture, folder, device)?;
    }
    model.sde = Sde::new(&wanted.sde)?;
    model.config = wanted;
    Ok(model)
}

/// The network as `wanted` has it, which reads more channels. They meet filters of zero, so that it
/// begins with the same output.
fn widened(
    network: &ConditionalUNet,
    wanted: &ConditionalUNetConfig,
    folder: &Path,
    device: &Device,
) -> Result<ConditionalUNet> {
    let mut tensors = weights::collect(network);
    let stem = tensors
        .get_mut("init_conv.weight")
        .expect("every network begins with a convolution");
    let [c_out, c_in, h, w] = stem.shape[..] else {
        unreachable!("the weights of a convolution have four extents");
    };
    let read = wanted.input_channels();
    let mut values = Vec::with_capacity(c_out * read * h * w);
    for filter in stem.values.chunks_exact(c_in * h * w) {
        values.extend_from_slice(filter);
        values.resize(values.len() + (read - c_in) * h * w, 0.0);
    }
    stem.shape[1] = read;
    stem.values = values;
    weights::apply(wanted.init(0, device)?, tensors, folder)
}
