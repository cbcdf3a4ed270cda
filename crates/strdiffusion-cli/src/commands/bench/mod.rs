//! `strdiffusion bench`: how fast the networks are on this machine.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};
use strdiffusion::device::DeviceName;
use strdiffusion::fast::FastSampler;
use strdiffusion::model::{EdgeConfig, FORMAT, Model, ModelConfig};
use strdiffusion::networks::{ConditionalUNetConfig, DiscriminatorConfig, GuideAlignment};
use strdiffusion::noise::SeededNoise;
use strdiffusion::sampler::Conditions;
use strdiffusion::sampling::Sampler;
use strdiffusion::sde::SdeConfig;
use strdiffusion::weights::host_values;
use strdiffusion::{Device, ops};

use crate::terminal::say;

/// Measure the networks' speed and memory
///
/// Prints the median time of one evaluation of each network, and the time of one whole picture
/// with the model's sampler. Random weights are as fast as trained ones.
#[derive(Args)]
pub struct Bench {
    /// Model folder [default: random weights of the sizes below]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Channels of the U-Nets at full resolution
    #[arg(long, default_value_t = 64, conflicts_with = "model")]
    nf: usize,
    /// Levels of the U-Nets
    #[arg(long, default_value_t = 4, conflicts_with = "model")]
    depth: usize,
    /// Base width of the discriminator
    #[arg(long, default_value_t = 64, conflicts_with = "model")]
    ngf: usize,
    /// Side of the pictures in pixels
    #[arg(long, default_value_t = 256)]
    size: usize,
    /// Pictures at once
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Evaluations to take the median of, after one that is not counted
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    /// Only these: texture, structure, discriminator, picture
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep no packed weights: slower, with less memory
    #[arg(long)]
    low_memory: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        if self.low_memory {
            ops::set_weight_cache_bytes(0);
        }
        let (name, device) = self.device.resolve()?;
        let model = match &self.model {
            Some(folder) => Model::load(folder, &device)?,
            None => Model::init(self.random_config(), 0, &device)?,
        };
        model.check_size(self.size, self.size)?;
        let mut results = Map::new();
        for (kind, multiply_adds) in [
            (
                "texture",
                model.config.texture.multiply_adds(self.size, self.size),
            ),
            (
                "structure",
                model.config.structure.multiply_adds(self.size, self.size),
            ),
            (
                "discriminator",
                model
                    .config
                    .discriminator
                    .multiply_adds(self.size, self.size),
            ),
        ] {
            if self.wants(kind) {
                let seconds = self.median(|| self.evaluate(&model, kind, &device));
                let flops = 2.0 * multiply_adds as f64 * self.batch as f64;
                results.insert(
                    kind.into(),
                    json!({"forward_ms": seconds * 1e3, "gflops": flops / seconds / 1e9}),
                );
            }
        }
        if self.wants("picture") {
            let conditions = self.conditions(&device);
            let seeds: Vec<u64> = (0..self.batch as u64).collect();
            let start = Instant::now();
            let sampled = model.config.sampling.sample(
                &model,
                &conditions,
                &mut SeededNoise::new(&seeds),
                &mut |_| ControlFlow::Continue(()),
            )?;
            host_values(sampled.texture);
            let seconds = start.elapsed().as_secs_f64();
            let value = json!({"seconds": seconds, "evaluations": sampled.evaluations});
            results.insert("picture".into(), value);
        }
        let peak = peak_resident_mib();
        if self.json {
            results.insert("peak_rss_mb".into(), json!(peak));
            results.insert("device".into(), json!(name.to_string()));
            say(Value::Object(results));
        } else {
            for (kind, value) in &results {
                match (&value["forward_ms"], &value["gflops"], &value["seconds"]) {
                    (Value::Number(ms), Value::Number(gflops), _) => {
                        let (ms, gflops) = (ms.as_f64(), gflops.as_f64());
                        say(format!(
                            "{kind}: {:.1} ms a forward pass, {:.0} GFLOP/s",
                            ms.unwrap_or_default(),
                            gflops.unwrap_or_default()
                        ));
                    }
                    _ => say(format!(
                        "{kind}: {:.2} s with the model's sampler ({})",
                        value["seconds"].as_f64().unwrap_or_default(),
                        value["evaluations"]
                    )),
                }
            }
            say(match peak {
                Some(mib) => format!("peak memory: {mib:.0} MiB on {name}"),
                None => format!("on {name}"),
            });
        }
        Ok(())
    }

    fn wants(&self, kind: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == kind)
    }

    fn random_config(&self) -> ModelConfig {
        ModelConfig {
            format: FORMAT,
            texture: ConditionalUNetConfig::texture(self.nf, self.depth),
            structure: ConditionalUNetConfig::structure(self.nf, self.depth),
            discriminator: DiscriminatorConfig::new(self.ngf),
            sde: SdeConfig::default(),
            prediction: Default::default(),
            sampling: Sampler::Fast(FastSampler::default()),
            edges: EdgeConfig::default(),
            training_resolution: self.size,
            licence: "none".into(),
            source: "random weights".into(),
        }
    }

    /// Known everywhere but in a centred square.
    fn conditions(&self, device: &Device) -> Conditions {
        use burn::tensor::Tensor;
        let plane = |channels, value: f32| {
            Tensor::<4>::full([self.batch, channels, self.size, self.size], value, device)
        };
        let (from, to) = (self.size / 4, self.size * 3 / 4);
        let mask = plane(1, 1.0).slice_fill([0..self.batch, 0..1, from..to, from..to], 0.0);
        Conditions {
            texture: plane(3, 0.5) * mask.clone(),
            gray: plane(1, 0.5) * mask.clone(),
            edges: plane(1, 0.0),
            mask,
        }
    }

    fn evaluate(&self, model: &Model, kind: &str, device: &Device) {
        let Conditions {
            mask,
            texture,
            gray,
            edges,
        } = self.conditions(device);
        let align = GuideAlignment::Padded;
        match kind {
            "texture" => {
                let out =
                    model
                        .texture
                        .forward(texture.clone(), texture, &[50.0], Some(gray), align);
                host_values(out);
            }
            "structure" => {
                host_values(model.structure.forward(gray, edges, &[50.0], None, align));
            }
            _ => {
                host_values(model.discriminator.forward(&[50.0], texture, mask));
            }
        }
    }

    /// Median seconds of some runs, after one that is not counted.
    fn median(&self, mut run: impl FnMut()) -> f64 {
        run();
        let mut seconds: Vec<f64> = (0..self.repeat.max(1))
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}

/// Largest resident memory of this process so far, where the system tells.
fn peak_resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
