//! What a fill was made with, for the text chunks of a PNG.

use serde_json::{Value, json};

use super::{FillOptions, Inpainter, Scale};
use crate::detail::Detail;
use crate::picture::MaskOptions;

/// What another person needs to make a fill again.
#[derive(Clone, Debug)]
pub struct Provenance {
    model: String,
    seed: u64,
    /// Without the detail.
    settings: Value,
    /// The detail: another share of it makes another picture of the same fill.
    pub detail: Detail,
    is_silent: bool,
}

impl Provenance {
    /// The same with how its mask was made the hole, under `mask` in the settings; nothing where that
    /// is the default.
    #[must_use]
    pub fn with_mask(mut self, options: &MaskOptions) -> Self {
        if *options != MaskOptions::default() {
            self.settings["mask"] = json!(options);
        }
        self
    }

    /// One that has no texts, for a picture that shall not say how it was made.
    #[must_use]
    pub fn silent(self) -> Self {
        Self {
            is_silent: true,
            ..self
        }
    }

    /// Keywords and texts for
    /// [`Photo::save_with_text`](crate::picture::Photo::save_with_text).
    ///
    /// `Software` is this program and its version, `strdiffusion-model` the model's name,
    /// `strdiffusion-seed` the seed, and `strdiffusion-settings` a JSON object: the scale, the
    /// sampler and the edges as in a model's config, whether structure was drawn,
    /// whether pixels were to be avoided, and the detail.
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        if self.is_silent {
            return vec![];
        }
        let mut settings = self.settings.clone();
        settings["detail"] = self.detail.to_string().into();
        vec![
            (
                "Software",
                format!("strdiffusion {}", env!("CARGO_PKG_VERSION")),
            ),
            ("strdiffusion-model", self.model.clone()),
            ("strdiffusion-seed", self.seed.to_string()),
            ("strdiffusion-settings", settings.to_string()),
        ]
    }
}

impl Inpainter {
    /// What a fill is made with. `model` is the name by which the caller knows the model.
    pub fn provenance(&self, model: &str, options: &FillOptions) -> Provenance {
        let config = &self.model.config;
        Provenance {
            model: model.into(),
            seed: options.seed,
            settings: json!({
                "scale": match options.scale {
                    Scale::Auto => "auto",
                    Scale::Native => "native",
                },
                "sampler": options.sampler.unwrap_or(config.sampling),
                "edges": options.edges.unwrap_or(config.edges),
                "drawn_structure": options.drawn_edges.is_some(),
                "avoided": options.avoid.is_some(),
            }),
            detail: options.detail,
            is_silent: false,
        }
    }
}
