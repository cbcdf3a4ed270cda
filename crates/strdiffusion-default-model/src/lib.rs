//! The folder `models/default` as bytes, for programs that carry a model inside.

#![forbid(unsafe_code)]

use strdiffusion::model::ModelFiles;

/// The name by which outputs and reports know the model.
pub const NAME: &str = "default";

/// The model's files; [`Model::from_files`](strdiffusion::model::Model::from_files) loads them.
pub fn files() -> ModelFiles<'static> {
    ModelFiles {
        name: "bundled model",
        config: include_bytes!("../../../models/default/config.json"),
        texture: include_bytes!("../../../models/default/texture.safetensors"),
        structure: include_bytes!("../../../models/default/structure.safetensors"),
        discriminator: include_bytes!("../../../models/default/discriminator.safetensors"),
    }
}
