//! Promises of the training run, kept by runs of a network that is small enough to train in
//! seconds on photographs that the test draws.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use strdiffusion::Device;
use strdiffusion::conditions::Conditioning;
use strdiffusion::networks::Precision;
use strdiffusion::picture::{FloatImage, Photo};
use strdiffusion::training::checkpoint;
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::training::data::list_pictures;
use strdiffusion::training::photographs::{self, Changed};
use strdiffusion::training::trainer::{Ended, Stage, TrainEvent, Trainer, TrainingData};
use strdiffusion::weights::HostTensor;
use tempfile::TempDir;

/// Photographs of stripes and discs, each different.
fn draw_photos(folder: &Path, count: usize) -> Vec<PathBuf> {
    for number in 0..count {
        let side = 40 + number;
        let values = (0..3 * side * side).map(|i| {
            let (c, y, x) = (i / (side * side), i / side % side, i % side);
            let stripe = ((x + number * y) / 7 + c) % 2;
            let disc = (x.abs_diff(side / 2).pow(2) + y.abs_diff(side / 3).pow(2)) < 80;
            0.2 + 0.5 * stripe as f32 + if disc { 0.25 } else { 0.0 }
        });
        let picture = FloatImage::from_vec(3, side, side, values.collect()).unwrap();
        let photo = Photo::from_float_image(&picture).unwrap();
        photo
            .save(folder.join(format!("photo-{number}.png")))
            .unwrap();
    }
    list_pictures(folder).unwrap()
}

fn config() -> TrainConfig {
    let mut config = TrainConfig::preset(Preset::Tiny);
    config.networks.width = 4;
    config.networks.depth = 1;
    config.networks.discriminator_width = 2;
    config.networks.discriminator_time_dim = 8;
    config.data.resolution = 16;
    config.data.threads = 2;
    config.run.batch = 3;
    config.run.checkpoint_every = 4;
    config.validation.every = 5;
    config.validation.pictures = 2;
    config.validation.sampler_steps = 2;
    config
}

struct Bench {
    photos: TempDir,
    runs: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            photos: TempDir::new().unwrap(),
            runs: TempDir::new().unwrap(),
        };
        draw_photos(bench.photos.path(), 7);
        bench
    }

    fn run(&self, name: &str) -> PathBuf {
        self.runs.path().join(name)
    }

    fn trainer(&self, name: &str, config: TrainConfig, devices: usize) -> Trainer {
        let photos = list_pictures(self.photos.path()).unwrap();
        let data = TrainingData {
            photos,
            masks: None,
        };
        let devices = vec![Device::flex(); devices];
        Trainer::new(config, &self.run(name), data, &devices)
            .unwrap()
            .0
    }

    fn train(&self, name: &str, config: TrainConfig, stage: Stage, until: usize) -> Ended {
        let mut trainer = self.trainer(name, config, 1);
        trainer
            .train(&[stage], Some(until), &mut |_| ControlFlow::Continue(()))
            .unwrap()
    }

    fn checkpoint(&self, name: &str, stage: Stage) -> checkpoint::Checkpoint {
        let file = format!("checkpoints/{}.safetensors", stage.name());
        checkpoint::load(&self.run(name).join(file)).unwrap()
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits_as_a_straight_one() {
    let bench = Bench::new();
    for stage in Stage::ALL {
        bench.train("straight", config(), stage, 20);
        bench.train("halves", config(), stage, 10);
        bench.train("halves", config(), stage, 20);
        let (straight, halves) = (
            bench.checkpoint("straight", stage),
            bench.checkpoint("halves", stage),
        );
        assert_eq!(straight.progress.step, 20);
        assert!(
            straight.network == halves.network,
            "{}: weights differ",
            stage.name()
        );
        assert!(
            straight.ema == halves.ema,
            "{}: averages differ",
            stage.name()
        );
    }
    assert!(bench.run("halves").join("model/config.json").is_file());
}

#[test]
fn a_run_that_dies_between_checkpoints_repeats_the_lost_steps() {
    let bench = Bench::new();
    let stage = Stage::Texture;
    bench.train("straight", config(), stage, 12);
    // A panic in the middle of step 7 stands for a process that is killed: nothing is saved after
    // the checkpoint at step 5.
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut trainer = bench.trainer("killed", config(), 1);
        let _ = trainer.train(&[stage], Some(12), &mut |event| {
            if let TrainEvent::Stepped { step: 7, .. } = event {
                panic!("killed");
            }
            ControlFlow::Continue(())
        });
    }));
    assert!(died.is_err());
    assert_eq!(bench.checkpoint("killed", stage).progress.step, 5);
    bench.train("killed", config(), stage, 12);
    let (straight, killed) = (
        bench.checkpoint("straight", stage),
        bench.checkpoint("killed", stage),
    );
    assert!(straight.network == killed.network);
}

#[test]
fn asking_to_stop_saves_first() {
    let bench = Bench::new();
    let mut trainer = bench.trainer("stopped", config(), 1);
    let ended = trainer
        .train(&[Stage::Structure], Some(12), &mut |event| match event {
            TrainEvent::Stepped { step: 3, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    assert_eq!(ended, Ended::Interrupted);
    assert_eq!(
        bench.checkpoint("stopped", Stage::Structure).progress.step,
        3
    );
}

/// Largest difference of two checkpoints' weights, in learning rates: Adam moves each weight by
/// about one learning rate a step.
fn drift(a: &checkpoint::Checkpoint, b: &checkpoint::Checkpoint) -> f32 {
    let rate = config().texture.rate(0) as f32;
    let pairs = a
        .network
        .iter()
        .flat_map(|(name, tensor)| tensor.values.iter().zip(&b.network[name].values));
    pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs())) / rate
}

#[test]
fn parts_and_devices_do_not_change_a_step() {
    let bench = Bench::new();
    let sized = |batch, accumulate| {
        let mut config = config();
        config.run.batch = batch;
        config.run.accumulate = accumulate;
        // Adam divides by the gradient's size, so a gradient of nearly zero may tip either way.
        config.texture.adam.eps = 1e-3;
        config
    };
    for (name, accumulate, devices) in [("whole", 1, 1), ("parts", 2, 1), ("devices", 1, 2)] {
        let mut trainer = bench.trainer(name, sized(4, accumulate), devices);
        trainer
            .train(&[Stage::Texture], Some(1), &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    let whole = bench.checkpoint("whole", Stage::Texture);
    for name in ["parts", "devices"] {
        let difference = drift(&whole, &bench.checkpoint(name, Stage::Texture));
        assert!(difference < 1e-2, "{name}: {difference} learning rates");
    }
}

#[test]
fn half_precision_takes_nearly_the_same_step() {
    let bench = Bench::new();
    for (name, precision) in [("full", Precision::F32), ("half", Precision::F16)] {
        let mut config = config();
        config.run.precision = precision;
        config.texture.adam.eps = 1e-2;
        bench.train(name, config, Stage::Texture, 1);
    }
    let difference = drift(
        &bench.checkpoint("full", Stage::Texture),
        &bench.checkpoint("half", Stage::Texture),
    );
    assert!(difference < 0.2, "{difference} learning rates");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let bench = Bench::new();
    bench.train("broken", config(), Stage::Structure, 4);
    let before = bench.checkpoint("broken", Stage::Structure);
    let mut config = config();
    config.structure.learning_rate = 1e30;
    config.structure.warmup = 0;
    config.run.clip_norm = 0.0;
    config.validation.every = 0;
    config.run.checkpoint_every = 1000;
    let mut trainer = bench.trainer("broken", config, 1);
    let error = trainer
        .train(&[Stage::Structure], Some(50), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("structure step") && error.contains("norm"),
        "{error}"
    );
    assert!(bench.checkpoint("broken", Stage::Structure).network == before.network);
}

#[test]
fn files_that_do_not_decode_are_listed_and_skipped() {
    let bench = Bench::new();
    std::fs::write(bench.photos.path().join("broken.jpg"), b"not a picture").unwrap();
    let photos = list_pictures(bench.photos.path()).unwrap();
    let data = TrainingData {
        photos,
        masks: None,
    };
    let (trainer, skipped) =
        Trainer::new(config(), &bench.run("skipping"), data, &[Device::flex()]).unwrap();
    assert_eq!(trainer.photos(), 5); // 7 drawn, 2 kept out for validation
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].1.contains("broken.jpg"), "{}", skipped[0].1);
}

#[test]
fn too_few_photographs_are_an_error_that_says_so() {
    let bench = Bench::new();
    let mut config = config();
    config.validation.pictures = 7;
    let photos = list_pictures(bench.photos.path()).unwrap();
    let data = TrainingData {
        photos,
        masks: None,
    };
    let error = Trainer::new(config, &bench.run("few"), data, &[Device::flex()])
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("7 photographs are too few"),
        "{error}"
    );
}

#[test]
fn a_run_that_starts_from_a_model_begins_with_its_weights_and_keeps_them() {
    let bench = Bench::new();
    bench.train("first", config(), Stage::Texture, 6);
    let model = bench.run("first").join("model");
    let mut tuned = config();
    tuned.start_from(&model, &strdiffusion::model::read_config(&model).unwrap());
    tuned.texture.learning_rate = 1e-12;
    tuned.texture.warmup = 0;
    bench.train("second", tuned.clone(), Stage::Texture, 1);
    // Gone, but the run has its own copy.
    std::fs::remove_dir_all(&model).unwrap();
    bench.train("second", tuned, Stage::Texture, 2);
    let (first, second) = (
        bench.checkpoint("first", Stage::Texture).ema,
        bench.checkpoint("second", Stage::Texture).network,
    );
    let best = bench
        .run("first")
        .join("checkpoints/texture-best.safetensors");
    let first = match best.is_file() {
        true => strdiffusion::weights::read_safetensors(&best).unwrap(),
        false => first,
    };
    for (name, tensor) in &first {
        // Power iteration moves the estimates of spectral norms, training steps move nothing else.
        if name.contains("guide") {
            continue;
        }
        let (a, b) = (&tensor.values, &second[name].values);
        let apart = a
            .iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(apart < 1e-6, "{name}: {apart}");
    }
}

#[test]
fn a_run_may_read_more_than_the_model_that_it_starts_from() {
    let bench = Bench::new();
    let mut narrow = config();
    narrow.networks.conditioning = Conditioning::Membrane;
    bench.train("narrow", narrow, Stage::Texture, 1);
    let model = bench.run("narrow").join("model");
    let mut wide = config();
    wide.networks.conditioning = Conditioning::MembraneEdges;
    wide.start_from(&model, &strdiffusion::model::read_config(&model).unwrap());
    wide.texture.learning_rate = 1e-12;
    wide.texture.warmup = 0;
    bench.train("wide", wide, Stage::Texture, 1);
    let stem = |run: &str| bench.checkpoint(run, Stage::Texture).ema["init_conv.weight"].clone();
    let (narrow, wide) = (stem("narrow"), stem("wide"));
    assert_eq!([narrow.shape[1], wide.shape[1]], [7, 8]);
    let per_filter = |tensor: &HostTensor| tensor.values.len() / tensor.shape[0];
    let (few, many) = (per_filter(&narrow), per_filter(&wide));
    let filters = narrow
        .values
        .chunks_exact(few)
        .zip(wide.values.chunks_exact(many));
    for (old, new) in filters {
        let same = old.iter().zip(new).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same && new[few..].iter().all(|v| v.abs() < 1e-6));
    }
}

#[test]
fn a_run_notices_that_its_photographs_have_changed() {
    let bench = Bench::new();
    let run = bench.run("noticed");
    let folder = bench.photos.path();
    let list = || list_pictures(folder).unwrap();
    assert_eq!(photographs::remember(&run, &list()).unwrap(), None);
    assert_eq!(photographs::remember(&run, &list()).unwrap(), None);
    std::fs::rename(folder.join("photo-0.png"), folder.join("another.png")).unwrap();
    std::fs::remove_file(folder.join("photo-1.png")).unwrap();
    let changed = photographs::remember(&run, &list()).unwrap();
    assert_eq!(
        changed,
        Some(Changed {
            added: 1,
            missing: 2
        })
    );
}
