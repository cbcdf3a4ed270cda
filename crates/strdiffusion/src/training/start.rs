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
    let stored = model.config.clone();
    let refuse = |what: String| Err(Error::model(folder, what));
    for (name, has, wants) in [
        ("structure", &stored.structure, &wanted.structure),
        ("texture", &stored.texture, &wanted.texture),
    ] {
        if has.patch != wants.patch {
            return refuse(format!(
                "its {name} network takes patches of {} pixels, the run's would take {}; a network \
                 cannot change that: set networks.patch to the model's, or train from fresh networks",
                has.patch, wants.patch
            ));
        }
    }
    if stored.texture.guide_input && !wanted.texture.guide_input {
        return refuse(
            "its texture network reads the guide at its input; set networks.guide_input".into(),
        );
    }
    let mut discriminator = stored.discriminator.clone();
    if wanted.discriminator.group_norm && !discriminator.group_norm {
        // Another network: there is nothing to go on from.
        discriminator.group_norm = true;
        model.discriminator = discriminator.init(config.run.seed, device)?;
    }
    let mut texture = stored.texture.clone();
    if wanted.conditioning.extends(stored.conditioning) {
        texture.context_channels = wanted.texture.context_channels;
    }
    texture.guide_input = wanted.texture.guide_input;
    let same = (&texture, &stored.structure) == (&wanted.texture, &wanted.structure)
        && discriminator == wanted.discriminator;
    if !same {
        return refuse(
            "its networks are of other sizes than the run's; start from a model of the same sizes, \
             or change [networks]"
                .into(),
        );
    }
    if texture != stored.texture {
        model.texture = widened(&model.texture, &stored.texture, &texture, folder, device)?;
    }
    model.sde = Sde::new(&wanted.sde)?;
    model.config = wanted;
    Ok(model)
}

/// The network of sizes `old` as `new` has it, which reads more: context after the context that it
/// has, or the guide. What is new meets filters of zero, so that it begins with the same output.
fn widened(
    network: &ConditionalUNet,
    old: &ConditionalUNetConfig,
    new: &ConditionalUNetConfig,
    folder: &Path,
    device: &Device,
) -> Result<ConditionalUNet> {
    let mut tensors = weights::collect(network);
    let stem = tensors
        .get_mut("init_conv.weight")
        .expect("every network begins with a convolution");
    let [_, c_in, h, w] = stem.shape[..] else {
        unreachable!("the weights of a convolution have four extents");
    };
    // A channel that is read has one filter for each pixel of a patch.
    let channel = h * w * old.patch.pow(2);
    let before_guide = (c_in / old.patch.pow(2) - usize::from(old.guide_input)) * channel;
    let added = new.context_channels - old.context_channels;
    let mut values = Vec::with_capacity(stem.values.len());
    for filter in stem.values.chunks_exact(c_in * h * w) {
        let (before, guide) = filter.split_at(before_guide);
        values.extend_from_slice(before);
        values.resize(values.len() + added * channel, 0.0);
        values.extend_from_slice(guide);
        if new.guide_input && !old.guide_input {
            values.resize(values.len() + channel, 0.0);
        }
    }
    stem.shape[1] = new.input_channels() * new.patch.pow(2);
    stem.values = values;
    weights::apply(new.zeros(device)?, tensors, folder)
}
