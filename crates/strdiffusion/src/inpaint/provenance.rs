//! What a fill was made with, for the text chunks of a PNG.

use serde_json::json;

use super::{FillOptions, Inpainter, Scale};

impl Inpainter {
    /// What another person needs to make a fill again: keywords and texts for
    /// [`Photo::save_with_text`](crate::picture::Photo::save_with_text). `model` is the name by
    /// which the caller knows the model.
    ///
    /// `Software` is this program and its version, `strdiffusion-model` the model's name,
    /// `strdiffusion-seed` the seed, and `strdiffusion-settings` a JSON object: the scale, the
    /// sampler and the edges as in a model's config, whether structure was drawn, and
    /// the detail.
    pub fn provenance(&self, model: &str, options: &FillOptions) -> Vec<(&'static str, String)> {
        let config = &self.model.config;
        let settings = json!({
            "scale": match options.scale {
                Scale::Auto => "auto",
                Scale::Native => "native",
            },
            "sampler": options.sampler.unwrap_or(config.sampling),
            "edges": options.edges.unwrap_or(config.edges),
            "drawn_structure": options.drawn_edges.is_some(),
            "detail": options.detail.to_string(),
        });
        vec![
            (
                "Software",
                format!("strdiffusion {}", env!("CARGO_PKG_VERSION")),
            ),
            ("strdiffusion-model", model.into()),
            ("strdiffusion-seed", options.seed.to_string()),
            ("strdiffusion-settings", settings.to_string()),
        ]
    }
}
