//! `strdiffusion bench`: how fast the networks are on this machine.

mod export;
mod networks;
mod training;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use strdiffusion::device::DeviceName;
use strdiffusion::model::{EdgeConfig, FORMAT, Model, ModelConfig};
use strdiffusion::networks::{ConditionalUNetConfig, DiscriminatorConfig, Precision};
use strdiffusion::sampling::{FastSampler, Sampler, SeededBatch, unwatched};
use strdiffusion::sde::SdeConfig;
use strdiffusion::weights::host_values;
use strdiffusion::{Device, ops};

use crate::arithmetic::Arithmetic;
use crate::model_source::ModelSource;
use crate::terminal::say;
use networks::{Kind, Network};

/// Side of the pictures that outputs are compared on.
const COMPARED: usize = 64;
/// More than 16 bits can account for: in bf16 our networks are off by 1e-2.
const MOST_DEVIATION: f32 = 0.1;

/// Measure the networks' speed and memory
///
/// Prints the median time of one evaluation of each network, and the time of one whole picture
/// with the model's sampler. Random weights are as fast as trained ones. Where networks do not
/// compute in 32 bit on the CPU, their output is first held against such a network's.
#[derive(Args)]
pub struct Bench {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: random weights of the sizes below]
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
    /// What to measure
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values = ["texture", "structure", "discriminator", "picture"]
    )]
    only: Vec<Part>,
    /// Keep no packed weights: slower, with less memory
    #[arg(long)]
    low_memory: bool,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// CPU: say how much time each kind of layer takes
    #[arg(long)]
    profile: bool,
    /// Also write the model, and an input and output of each network measured, into this folder
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One evaluation of the texture network
    Texture,
    /// One evaluation of the structure network
    Structure,
    /// One evaluation of the discriminator
    Discriminator,
    /// One picture with the model's sampler
    Picture,
    /// One training step of the texture network: forward, backward, Adam
    Training,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let (name, device) = self.device.resolve()?;
        let precision = self.arithmetic.choose(&device);
        // Where only single networks are wanted, the others shall not take up memory.
        let model = match &self.model {
            Some(named) => Some(ModelSource::choose(Some(named.clone()))?.load(&device)?),
            None if self.only.contains(&Part::Picture) || self.export.is_some() => {
                Some(Model::init(self.random_config(), 0, &device)?)
            }
            None => None,
        };
        let config = match &model {
            Some(model) => model.config().clone(),
            None => self.random_config(),
        };
        config.texture.check_size(self.size, self.size)?;
        let mut results = Map::new();
        let mut cases = Vec::new();
        for (part, kind) in [
            (Part::Texture, Kind::Texture),
            (Part::Structure, Kind::Structure),
            (Part::Discriminator, Kind::Discriminator),
        ] {
            if !self.only.contains(&part) {
                continue;
            }
            let plain = match &model {
                Some(model) => Network::of(model, kind),
                None => Network::init(&config, kind, &device)?,
            };
            let network = plain.clone().with_precision(precision);
            let network = match self.low_memory {
                true => network.with_low_memory(),
                false => network,
            };
            let deviation = match ops::is_cpu(&device) && precision == Precision::F32 {
                true => None,
                false => Some(self.deviation(&network, plain, &config, &device)?),
            };
            let mut value = self.measure(&network, &config, &device);
            if let Some(deviation) = deviation {
                value["deviation"] = json!(deviation);
            }
            results.insert(kind.name().into(), value);
            if self.export.is_some() {
                let context = kind.context_channels(&config);
                let input = kind.random_input(context, [self.batch, self.size], &device)?;
                let output = host_values(network.evaluate(&input));
                cases.push((kind, input, output));
            }
        }
        if let (Some(folder), Some(model)) = (&self.export, &model) {
            export::write(folder, model, cases)?;
        }
        if self.only.contains(&Part::Training) {
            let pictures = [self.batch, self.size];
            let mut step = training::Step::prepare(&config.texture, pictures, precision, &device)?;
            let seconds = median(self.repeat, &mut step);
            let mut value = json!({"step_ms": seconds * 1e3});
            self.add_profile(&mut value, step);
            results.insert("training".into(), value);
        }
        if let (true, Some(model)) = (self.only.contains(&Part::Picture), model) {
            let model = model.with_precision(precision);
            let model = match self.low_memory {
                true => model.with_low_memory(),
                false => model,
            };
            results.insert("picture".into(), self.picture(&model, &device)?);
        }
        let peak = peak_resident_mib();
        if self.json {
            results.insert("peak_rss_mb".into(), json!(peak));
            results.insert("device".into(), json!(name.to_string()));
            say(Value::Object(results));
        } else {
            for (part, value) in &results {
                report(part, value);
            }
            say(match peak {
                Some(mib) => format!("peak memory: {mib:.0} MiB on {name}"),
                None => format!("on {name}"),
            });
        }
        Ok(())
    }

    fn random_config(&self) -> ModelConfig {
        ModelConfig {
            format: FORMAT,
            texture: ConditionalUNetConfig::texture(self.nf, self.depth),
            structure: ConditionalUNetConfig::structure(self.nf, self.depth),
            discriminator: DiscriminatorConfig::new(self.ngf),
            sde: SdeConfig::default(),
            prediction: Default::default(),
            conditioning: Default::default(),
            structure_process: Default::default(),
            guide: Default::default(),
            sampling: Sampler::Fast(FastSampler::default()),
            edges: EdgeConfig::default(),
            training_resolution: self.size,
            licence: "none".into(),
            source: "random weights".into(),
        }
    }

    fn measure(&self, network: &Network, config: &ModelConfig, device: &Device) -> Value {
        let input =
            network
                .kind()
                .plain_input(config.conditioning, [self.batch, self.size], device);
        let run = || {
            host_values(network.evaluate(&input));
        };
        let seconds = median(self.repeat, run);
        let flops =
            2.0 * network.kind().multiply_adds(config, self.size) as f64 * self.batch as f64;
        let mut value = json!({"forward_ms": seconds * 1e3, "gflops": flops / seconds / 1e9});
        self.add_profile(&mut value, run);
        value
    }

    /// How far the output is from the same network's in 32 bit on the CPU, as a share of its largest
    /// value.
    ///
    /// # Errors
    /// If that is far more than rounding: then the times say nothing.
    fn deviation(
        &self,
        network: &Network,
        plain: Network,
        config: &ModelConfig,
        device: &Device,
    ) -> Result<f64> {
        let size = match config.texture.check_size(COMPARED, COMPARED) {
            Ok(()) => COMPARED.min(self.size),
            Err(_) => self.size,
        };
        let kind = network.kind();
        let output = |network: &Network, device| -> Result<Vec<f32>> {
            let input = kind.random_input(kind.context_channels(config), [1, size], device)?;
            Ok(host_values(network.evaluate(&input)))
        };
        let found = output(network, device)?;
        let cpu = Device::flex();
        // Packed weights that it kept would count among the other's memory.
        let expected = output(&plain.moved_to(&cpu).with_low_memory(), &cpu)?;
        let largest = expected.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
        let pairs = found.iter().zip(&expected);
        let deviation = pairs.fold(0.0, |most: f32, (a, b)| most.max((a - b).abs())) / largest;
        let name = kind.name();
        // `max` passes over what is no number.
        ensure!(
            found.iter().all(|v| v.is_finite()),
            "the {name} network computes values here that are no numbers"
        );
        ensure!(
            deviation <= MOST_DEVIATION,
            "the {name} network computes something else here than in 32 bit on the CPU: its output is off by {deviation:.2} of the largest value",
        );
        Ok(deviation.into())
    }

    /// Runs it again, measuring its parts, where that is wanted.
    fn add_profile(&self, value: &mut Value, mut run: impl FnMut()) {
        if self.profile {
            let runs = self.repeat.max(1);
            let start = Instant::now();
            let ((), spent) = ops::profiled(|| (0..runs).for_each(|_| run()));
            value["profile"] = profile(spent, start.elapsed(), runs);
        }
    }

    fn picture(&self, model: &Model, device: &Device) -> Result<Value> {
        let conditions =
            networks::conditions(model.config().conditioning, [self.batch, self.size], device);
        let seeds: Vec<u64> = (0..self.batch as u64).collect();
        let start = Instant::now();
        let mut batch = SeededBatch::of(model, conditions, &seeds)?;
        let sampled = batch.sample(&model.config().sampling, &mut unwatched)?;
        host_values(sampled.texture);
        let seconds = start.elapsed().as_secs_f64();
        Ok(json!({"seconds": seconds, "evaluations": sampled.evaluations}))
    }
}

/// Milliseconds of a pass or step for each kind of layer, the longest first.
fn profile(spent: Vec<(String, Duration)>, total: Duration, runs: usize) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1e3 / runs as f64;
    let known: Duration = spent.iter().map(|(_, time)| *time).sum();
    let rest = ("all else".to_string(), total.saturating_sub(known));
    (spent.into_iter().chain([rest]))
        .map(|(kind, time)| json!({"kind": kind, "ms": ms(time)}))
        .collect()
}

fn report(part: &str, value: &Value) {
    let number = |key: &str| value[key].as_f64();
    if let (Some(ms), Some(gflops)) = (number("forward_ms"), number("gflops")) {
        let deviation = number("deviation").map_or(String::new(), |share| {
            format!("; off by {share:.1e} of the largest value")
        });
        say(format!(
            "{part}: {ms:.1} ms a forward pass, {gflops:.0} GFLOP/s{deviation}"
        ));
    } else if let Some(ms) = number("step_ms") {
        say(format!("{part}: {ms:.1} ms a step of the texture network"));
    } else if let Some(seconds) = number("seconds") {
        let evaluations = &value["evaluations"];
        say(format!(
            "{part}: {seconds:.2} s with the model's sampler ({evaluations})"
        ));
    }
    let rows = value["profile"].as_array().map_or(&[][..], Vec::as_slice);
    let total: f64 = rows.iter().filter_map(|row| row["ms"].as_f64()).sum();
    for row in rows {
        let ms = row["ms"].as_f64().unwrap_or_default();
        say(format!(
            "  {:28} {ms:8.1} ms {:5.1} %",
            row["kind"].as_str().unwrap_or_default(),
            100.0 * ms / total
        ));
    }
}

/// Median seconds of some runs, after one that is not counted.
fn median(repeat: usize, mut run: impl FnMut()) -> f64 {
    run();
    let mut seconds: Vec<f64> = (0..repeat.max(1))
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Largest resident memory of this process so far, where the system tells.
fn peak_resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
