//! The folder `models/default` as bytes, for programs that carry a model inside.

#![forbid(unsafe_code)]

use strdiffusion::model::ModelFiles;

/// The name by which outputs and reports know the model.
pub const NAME: &str = "default";

/// The model's card, with what the hub reads at its beginning.
pub static CARD: &str = include_str!("../../../models/default/README.md");

// Statics, since a function's own bytes may be copied into each crate that calls it.
static CONFIG: &[u8] = include_bytes!("../../../models/default/config.json");
static TEXTURE: &[u8] = include_bytes!("../../../models/default/texture.safetensors");
static STRUCTURE: &[u8] = include_bytes!("../../../models/default/structure.safetensors");
static DISCRIMINATOR: &[u8] = include_bytes!("../../../models/default/discriminator.safetensors");

/// The model's files; [`Model::from_files`](strdiffusion::model::Model::from_files) loads them.
pub fn files() -> ModelFiles<'static> {
    ModelFiles {
        name: "bundled model",
        config: CONFIG,
        texture: TEXTURE,
        structure: STRUCTURE,
        discriminator: DISCRIMINATOR,
    }
}
