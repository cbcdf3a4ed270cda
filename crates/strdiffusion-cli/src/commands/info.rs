//! `strdiffusion info`: what a model is.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use strdiffusion::Device;
use strdiffusion::model::Model;
use strdiffusion::sampling::{Sampler, Switches};
use strdiffusion::structure::EdgeSource;
use strdiffusion::text::{one_line, printable};

use crate::model_source::ModelSource;
use crate::terminal::say;

/// Print what a model is, after checking all of its files
#[derive(Args)]
pub struct Info {
    /// Model folder, or ORG/NAME[@REVISION] on the Hugging Face hub [default: $STRDIFFUSION_MODEL,
    /// else the one inside]
    model: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Info {
    pub fn run(self) -> anyhow::Result<()> {
        let source = ModelSource::choose(self.model)?;
        let model = source.load(&Device::flex())?;
        let card = source.card()?;
        if self.json {
            let [texture, structure, discriminator] = model.parameters();
            say(json!({
                "model": source.to_string(),
                "config": model.config(),
                "parameters": {
                    "texture": texture,
                    "structure": structure,
                    "discriminator": discriminator,
                },
                "bytes": source.weight_bytes(),
                "card": card,
            }));
        } else {
            say(describe(&model, &source));
            if let Some(card) = card {
                say(describe_card(&card));
            }
        }
        Ok(())
    }
}

/// A model in a few lines.
pub fn describe(model: &Model, source: &ModelSource) -> String {
    let config = model.config();
    let [texture, structure, discriminator] = model.parameters().map(with_separators);
    let sde = &config.sde;
    let schedule = as_text(&sde.schedule);
    let canny = config.edges.canny;
    let edges = match config.edges.source {
        EdgeSource::KnownRegion => "the known region",
        EdgeSource::FullImage => "the full image, then masked",
    };
    let lines = [
        (
            "texture",
            format!(
                "nf {}, depth {}, {texture} parameters",
                config.texture.width, config.texture.depth
            ),
        ),
        (
            "structure",
            format!(
                "nf {}, depth {}, {structure} parameters",
                config.structure.width, config.structure.depth
            ),
        ),
        (
            "discriminator",
            format!(
                "ngf {}, {discriminator} parameters",
                config.discriminator.width
            ),
        ),
        (
            "process",
            format!(
                "T = {}, {schedule} schedule, λ = {:.4} ({:.4} of 255), ε = {}, predicts {}",
                sde.steps,
                sde.max_sigma,
                sde.max_sigma * 255.0,
                sde.eps,
                as_text(&config.prediction)
            ),
        ),
        ("sampler", sampler_line(&config.sampling, sde.steps)),
        (
            "edges",
            format!(
                "Canny σ = {}, thresholds {} and {}, of {edges}",
                canny.sigma, canny.low, canny.high
            ),
        ),
        (
            "resolution",
            format!("{0}×{0} pixels in training", config.training_resolution),
        ),
        (
            "weights",
            format!("{} bytes", with_separators(source.weight_bytes())),
        ),
        ("licence", config.licence.clone()),
        ("source", config.source.clone()),
    ];
    let mut text = source.to_string();
    for (name, value) in lines {
        text += &entry(name, &value);
    }
    text
}

/// What the hub shows of a card, in a few lines.
fn describe_card(card: &Value) -> String {
    let mut text = "on the hub".to_owned();
    for (key, value) in card.as_object().into_iter().flatten() {
        let value = match value {
            Value::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(", "),
            value => as_text(value),
        };
        text += &entry(key, &value);
    }
    text
}

/// A line of a description. Names and values may be a stranger's: they stay on their line, and the
/// terminal as it is.
fn entry(name: &str, value: &str) -> String {
    let [name, value] = [name, value].map(|text| printable(one_line(text)));
    format!("\n  {name:<14}{value}")
}

/// A setting as `config.json` has it, without the quotes of plain words.
fn as_text(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn with_separators(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A sampler and its settings in a line.
fn sampler_line(sampler: &Sampler, total_steps: usize) -> String {
    let late = |share: f64| (share * total_steps as f64).floor();
    match sampler {
        Sampler::Paper(paper) => {
            let resampling = match paper.resampling {
                None => "no resampling".into(),
                Some(r) => format!(
                    "resampling u_max {}, u_min {}, jump {}, re {}",
                    r.u_max, r.u_min, r.jump, r.re
                ),
            };
            let switches = match paper.switches {
                s if s == Switches::default() => "as the paper means it".into(),
                s if s == Switches::reference() => "as the reference implementation does".into(),
                s => as_text(&s),
            };
            format!(
                "the paper's, {resampling}; structure leads until t = {}; {switches}",
                late(paper.early_until)
            )
        }
        Sampler::Fast(fast) => format!(
            "{} steps, {}, uniform in {}, {} rounds of resampling; structure leads until t = {}",
            fast.steps,
            as_text(&fast.solver),
            as_text(&fast.grid),
            fast.resampling_rounds,
            late(fast.early_until)
        ),
    }
}
