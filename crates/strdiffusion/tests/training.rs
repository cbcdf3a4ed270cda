//! Promises of the training run, kept by runs of a network that is small enough to train in
//! seconds on photographs that the test draws.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex};

use strdiffusion::Device;
use strdiffusion::conditioning::{Conditioning, Guide};
use strdiffusion::files::list_pictures;
use strdiffusion::model::Model;
use strdiffusion::networks::Precision;
use strdiffusion::picture::{FloatImage, Photo};
use strdiffusion::sde::Prediction;
use strdiffusion::training::adversarial::AdversarialTraining;
use strdiffusion::training::checkpoint;
use strdiffusion::training::config::{Preset, RunConfig, TrainConfig, UNetSizes};
use strdiffusion::training::data::Dataset;
use strdiffusion::training::group::Group;
use strdiffusion::training::optimizer::Method;
use strdiffusion::training::patches::PatchTraining;
use strdiffusion::training::photographs::{self, Changed};
use strdiffusion::training::stage::Stage;
use strdiffusion::training::trainer::{Ended, TrainEvent, Trainer, TrainingData};
use strdiffusion::weights::{self, HostTensor};
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
    let mut config = TrainConfig::preset(Preset::Paper);
    config.networks.width = 4;
    config.networks.depth = 1;
    config.networks.discriminator_width = 2;
    config.networks.discriminator_time_dim = 8;
    config.networks.prediction = Prediction::CleanDifference;
    config.networks.conditioning = Conditioning::Membrane;
    config.data.resolution = 16;
    config.data.threads = 2;
    config.edges.sigma = 1.0;
    config.run = RunConfig {
        accumulate: 1,
        time_bias: 2.0,
        ema_decay: 0.995,
        log_every: 20,
        ..RunConfig::default()
    };
    for stage in [&mut config.structure, &mut config.texture] {
        stage.learning_rate = 1e-3;
        stage.warmup = 50;
    }
    config.discriminator.learning_rate = 2e-4;
    config.run.batch = 3;
    config.run.checkpoint_every = 4;
    config.validation.every = 5;
    config.validation.pictures = 2;
    config.validation.sampler_steps = 2;
    config
}

/// Everything that goes beyond the paper at once.
fn beyond_the_paper() -> TrainConfig {
    let mut config = config();
    config.networks.patch = 2;
    config.networks.guide_input = true;
    config.networks.guide = Guide::Clean;
    config.networks.structure = Some(UNetSizes {
        width: 6,
        depth: 1,
        patch: 1,
    });
    config.structure.times = vec![100, 100, 50, 25];
    config.texture.times = vec![100, 50];
    config.run.structure_gradient = 0.5;
    config.guidance.sampled_share = 0.8;
    config.guidance.growth_steps = 10;
    config
}

/// The same with a term of how alike patches look.
fn with_patches() -> TrainConfig {
    let mut config = beyond_the_paper();
    config.patches = PatchTraining {
        weight: 20.0,
        directions: 8,
        latest_time: Some(50),
        ..PatchTraining::default()
    };
    config.guidance.own_state_share = 0.6;
    config
}

/// The same with a critic that begins within the tests' few steps.
fn with_a_critic() -> TrainConfig {
    let mut config = beyond_the_paper();
    config.adversarial = AdversarialTraining {
        weight: 0.1,
        start: 3,
        growth_steps: 5,
        width: 8,
        feature_matching: 1.0,
        latest_time: Some(50),
        ..AdversarialTraining::default()
    };
    config.guidance.own_state_share = 0.6;
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
    let mut bf16 = beyond_the_paper();
    bf16.run.precision = Precision::Bf16;
    let mut muon = config();
    muon.networks.width = 16; // Wide enough for Muon.
    for stage in [&mut muon.structure, &mut muon.texture] {
        stage.optimizer = Method::Muon;
    }
    for (name, config) in [
        ("paper", config()),
        ("muon", muon),
        ("beyond", beyond_the_paper()),
        ("bf16", bf16),
        ("patches", with_patches()),
        ("adversarial", with_a_critic()),
    ] {
        let (whole, parts) = (format!("{name}-straight"), format!("{name}-halves"));
        for stage in Stage::ALL {
            bench.train(&whole, config.clone(), stage, 20);
            bench.train(&parts, config.clone(), stage, 10);
            bench.train(&parts, config.clone(), stage, 20);
            let (straight, halves) = (
                bench.checkpoint(&whole, stage),
                bench.checkpoint(&parts, stage),
            );
            assert_eq!(straight.progress.step, 20);
            assert!(
                straight.network == halves.network,
                "{name}, {}: weights differ",
                stage.name()
            );
            assert!(
                straight.ema == halves.ema,
                "{name}, {}: averages differ",
                stage.name()
            );
        }
        assert!(bench.run(&parts).join("model/config.json").is_file());
    }
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
    let mut rivals = with_a_critic();
    rivals.adversarial.start = 0;
    rivals.adversarial.growth_steps = 0;
    for (kind, mut config) in [
        ("paper", config()),
        ("patches", with_patches()),
        ("adversarial", rivals),
    ] {
        config.guidance.sampled_share = 0.0;
        config.guidance.own_state_share = 0.0;
        let sized = |batch, accumulate| {
            let mut config = config.clone();
            config.run.batch = batch;
            config.run.accumulate = accumulate;
            // Adam divides by the gradient's size, so a gradient of nearly zero may tip either way.
            config.texture.adam.eps = 1e-3;
            config
        };
        let run = |name: &str| format!("{kind}-{name}");
        for (name, accumulate, devices) in [("whole", 1, 1), ("parts", 2, 1), ("devices", 1, 2)] {
            let mut trainer = bench.trainer(&run(name), sized(4, accumulate), devices);
            trainer
                .train(&[Stage::Texture], Some(1), &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        let whole = bench.checkpoint(&run("whole"), Stage::Texture);
        for name in ["parts", "devices"] {
            let difference = drift(&whole, &bench.checkpoint(&run(name), Stage::Texture));
            assert!(
                difference < 1e-2,
                "{kind}, {name}: {difference} learning rates"
            );
        }
    }
}

/// Processes that are threads, and how they reach each other.
struct Threads {
    rank: usize,
    shared: Arc<Shared>,
    /// Added to every sum that the second one gets.
    error: f32,
}

struct Shared {
    barrier: Barrier,
    slots: Mutex<Vec<Vec<u8>>>,
}

impl Threads {
    fn exchange(&self, mine: Vec<u8>) -> Vec<Vec<u8>> {
        self.shared.slots.lock().unwrap()[self.rank] = mine;
        self.shared.barrier.wait();
        let all = self.shared.slots.lock().unwrap().clone();
        self.shared.barrier.wait();
        all
    }
}

impl Group for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.slots.lock().unwrap().len()
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), String> {
        let mine = values.iter().flat_map(|value| value.to_le_bytes());
        let all = self.exchange(mine.collect());
        for (i, value) in values.iter_mut().enumerate() {
            let of = |bytes: &Vec<u8>| f32::from_le_bytes(bytes.as_chunks().0[i]);
            *value = all.iter().map(of).sum::<f32>() + self.error * self.rank as f32;
        }
        Ok(())
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        *bytes = self.exchange(bytes.clone()).swap_remove(0);
        Ok(())
    }
}

/// Trains in so many processes, and returns how each ended.
fn train_together(
    bench: &Bench,
    name: &str,
    config: &TrainConfig,
    (processes, error): (usize, f32),
    (stage, until): (Stage, usize),
    on_event: impl Fn(usize, &TrainEvent) -> ControlFlow<()> + Sync,
) -> Vec<strdiffusion::Result<Ended>> {
    let shared = Arc::new(Shared {
        barrier: Barrier::new(processes),
        slots: Mutex::new(vec![vec![]; processes]),
    });
    let photos = list_pictures(bench.photos.path()).unwrap();
    let train = |rank: usize| {
        let (masks, shared) = (None, shared.clone());
        let data = TrainingData {
            photos: photos.clone(),
            masks,
        };
        let group = Box::new(Threads {
            rank,
            shared,
            error,
        });
        // Only the first one's folder is there.
        let run = bench.run(if rank == 0 { name } else { "nowhere" });
        let devices = [Device::flex()];
        let (mut trainer, _) = Trainer::in_group(config.clone(), &run, data, &devices, group)?;
        trainer.train(&[stage], Some(until), &mut |event| on_event(rank, event))
    };
    std::thread::scope(|scope| {
        let train = &train;
        let threads: Vec<_> = (0..processes)
            .map(|rank| scope.spawn(move || train(rank)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn go_on(_: usize, _: &TrainEvent) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn processes_train_the_network_that_one_would_train() {
    let bench = Bench::new();
    let mut config = beyond_the_paper();
    config.run.batch = 4;
    config.run.checkpoint_every = 1; // each compares the weights
    for stage in [
        &mut config.structure,
        &mut config.texture,
        &mut config.discriminator,
    ] {
        stage.adam.eps = 1e-3;
    }
    for stage in Stage::ALL {
        bench.train("one", config.clone(), stage, 6);
        // Another number of processes goes on.
        for (processes, until) in [(2, 3), (3, 6)] {
            let part = (stage, until);
            for ended in train_together(&bench, "several", &config, (processes, 0.0), part, go_on) {
                assert_eq!(ended.unwrap(), Ended::Finished);
            }
        }
        let (one, several) = (
            bench.checkpoint("one", stage),
            bench.checkpoint("several", stage),
        );
        assert_eq!(several.progress.step, 6);
        let difference = drift(&one, &several);
        assert!(
            difference < 1e-2,
            "{}: {difference} learning rates",
            stage.name()
        );
    }
    assert!(bench.run("several").join("model/config.json").is_file());
    assert!(!bench.run("nowhere").exists());
}

#[test]
fn processes_stop_together_when_one_is_asked_to() {
    let bench = Bench::new();
    let stop_second = |rank: usize, event: &TrainEvent| match event {
        TrainEvent::Stepped { step: 3, .. } if rank == 1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let part = (Stage::Structure, 12);
    for ended in train_together(&bench, "run", &config(), (2, 0.0), part, stop_second) {
        assert_eq!(ended.unwrap(), Ended::Interrupted);
    }
    // The others learn of it in the next step.
    assert_eq!(bench.checkpoint("run", Stage::Structure).progress.step, 4);
}

#[test]
fn processes_that_drift_apart_or_are_too_many_are_told() {
    let bench = Bench::new();
    let part = (Stage::Structure, 1);
    let ends = train_together(&bench, "drift", &config(), (2, 1e-3), part, go_on);
    let error = ends[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("differ from the first one's"), "{error}");
    for ended in train_together(&bench, "many", &config(), (4, 0.0), part, go_on) {
        let error = ended.unwrap_err();
        assert!(
            error.is_users_fault() && error.to_string().contains("run.batch is 3"),
            "{error}"
        );
    }
}

#[test]
fn half_precision_takes_nearly_the_same_step() {
    let bench = Bench::new();
    for (name, precision) in [
        ("f32", Precision::F32),
        ("f16", Precision::F16),
        ("bf16", Precision::Bf16),
    ] {
        let mut config = config();
        config.run.precision = precision;
        config.texture.adam.eps = 1e-2;
        bench.train(name, config, Stage::Texture, 1);
    }
    let full = bench.checkpoint("f32", Stage::Texture);
    for half in ["f16", "bf16"] {
        let difference = drift(&full, &bench.checkpoint(half, Stage::Texture));
        assert!(difference < 0.2, "{half}: {difference} learning rates");
    }
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
fn a_run_may_add_the_guide_to_what_the_texture_network_reads() {
    let bench = Bench::new();
    let mut plain = config();
    plain.networks.patch = 2;
    bench.train("plain", plain, Stage::Texture, 1);
    let model = bench.run("plain").join("model");
    let stored = strdiffusion::model::read_config(&model).unwrap();
    let mut wide = config();
    wide.networks.conditioning = Conditioning::MembraneEdges;
    wide.networks.guide_input = true;
    wide.networks.guide = Guide::Clean;
    wide.start_from(&model, &stored);
    assert_eq!(wide.networks.patch, 2);
    wide.texture.learning_rate = 1e-12;
    wide.texture.warmup = 0;
    bench.train("wide", wide, Stage::Texture, 1);
    let stem = |run: &str| bench.checkpoint(run, Stage::Texture).ema["init_conv.weight"].clone();
    let (plain, wide) = (stem("plain"), stem("wide"));
    // Patches of 2 × 2: y − μ, μ and mask, then edges and guide.
    assert_eq!([plain.shape[1], wide.shape[1]], [7 * 4, 9 * 4]);
    let kernel = 3 * 3;
    let filters = plain
        .values
        .chunks_exact(7 * 4 * kernel)
        .zip(wide.values.chunks_exact(9 * 4 * kernel));
    for (old, new) in filters {
        let same = old.iter().zip(new).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same && new[old.len()..].iter().all(|v| v.abs() < 1e-6));
    }
    let config = strdiffusion::model::read_config(&bench.run("wide").join("model")).unwrap();
    assert!(config.texture.guide_input && config.guide == Guide::Clean);

    // What it reads already keeps its filters where only edges are added.
    let mut guided = self::config();
    guided.networks.guide_input = true;
    bench.train("guided", guided.clone(), Stage::Texture, 1);
    let model = bench.run("guided").join("model");
    guided.networks.conditioning = Conditioning::MembraneEdges;
    guided.start_from(&model, &strdiffusion::model::read_config(&model).unwrap());
    guided.texture.learning_rate = 1e-12;
    guided.texture.warmup = 0;
    bench.train("edges", guided, Stage::Texture, 1);
    let (before, after) = (stem("guided"), stem("edges"));
    assert_eq!([before.shape[1], after.shape[1]], [8, 9]);
    let kernel = 7 * 7;
    let guide = |tensor: &HostTensor, channels: usize| -> Vec<f32> {
        let filter = &tensor.values[..channels * kernel];
        filter[(channels - 1) * kernel..].to_vec()
    };
    let moved = guide(&before, 8)
        .iter()
        .zip(guide(&after, 9))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(moved < 1e-6, "{moved}");
}

#[test]
fn a_run_refuses_a_model_whose_patches_it_cannot_change() {
    let bench = Bench::new();
    bench.train("single", config(), Stage::Texture, 1);
    let model = bench.run("single").join("model");
    let mut other = config();
    other.run.start_from = Some(model.clone());
    other.networks.patch = 2;
    let data = TrainingData {
        photos: list_pictures(bench.photos.path()).unwrap(),
        masks: None,
    };
    let error = Trainer::new(other, &bench.run("other"), data, &[Device::flex()])
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("patch") && error.contains(&model.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_stage_trains_on_the_timesteps_that_it_is_given() {
    let bench = Bench::new();
    let photos = list_pictures(bench.photos.path()).unwrap();
    let config = beyond_the_paper();
    let dataset = Dataset::new(&config, &photos, None).unwrap().0;
    let times = |stage| -> Vec<usize> {
        (0..200)
            .map(|number| dataset.sample(stage, number).unwrap().time)
            .collect()
    };
    let count = |times: &[usize], t: usize| times.iter().filter(|&&other| other == t).count();
    let structure = times(Stage::Structure);
    assert!(structure.iter().all(|t| [100, 50, 25].contains(t)));
    let often = count(&structure, 100);
    assert!((70..130).contains(&often), "{often} of 200"); // half of them, ± 4 deviations
    assert!(times(Stage::Texture).iter().all(|t| [100, 50].contains(t)));
    assert!(
        times(Stage::Discriminator)
            .iter()
            .any(|t| ![100, 50, 25].contains(t))
    );
}

#[test]
fn sampled_structures_guide_a_share_that_grows() {
    let guidance = beyond_the_paper().guidance;
    assert_eq!(
        [0, 5, 10, 99].map(|step| guidance.share(step)),
        [0.0, 0.4, 0.8, 0.8]
    );
    let bench = Bench::new();
    // At a share of 1 the texture learns from the structure network, so another one of those makes
    // another texture; at a share of 0 it does not.
    let trained = |name: &str, share: f64, structure_steps: usize| {
        let mut config = beyond_the_paper();
        config.guidance.sampled_share = share;
        config.guidance.growth_steps = 0;
        bench.train(name, config.clone(), Stage::Structure, structure_steps);
        bench.train(name, config, Stage::Texture, 2);
        bench.checkpoint(name, Stage::Texture).network
    };
    assert!(trained("none-1", 0.0, 1) == trained("none-9", 0.0, 9));
    assert!(trained("all-1", 1.0, 1) != trained("all-9", 1.0, 9));
    assert!(trained("all-1-again", 1.0, 1) == trained("all-1-once-more", 1.0, 1));
}

#[test]
fn an_unguided_share_learns_without_the_truth() {
    let bench = Bench::new();
    let trained = |name: &str, share: f64| {
        let mut config = beyond_the_paper();
        config.guidance.sampled_share = 0.0;
        config.guidance.unguided_share = share;
        bench.train(name, config, Stage::Texture, 2);
        bench.checkpoint(name, Stage::Texture).network
    };
    assert!(trained("guided", 0.0) != trained("unguided", 1.0));

    let mut config = beyond_the_paper(); // 0.8 of the pictures are sampled
    config.guidance.unguided_share = 0.3;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("unguided_share"), "{error}");
}

#[test]
fn a_run_may_give_its_discriminator_a_norm() {
    let bench = Bench::new();
    bench.train("plain", config(), Stage::Texture, 1);
    let model = bench.run("plain").join("model");
    let mut normed = config();
    normed.networks.discriminator_group_norm = true;
    normed.start_from(&model, &strdiffusion::model::read_config(&model).unwrap());
    bench.train("normed", normed, Stage::Discriminator, 2);
    let made = bench.run("normed").join("model");
    let config = strdiffusion::model::read_config(&made).unwrap();
    assert!(config.discriminator.group_norm);
    // The other networks go on as they were.
    let texture = |folder: &Path| {
        let model = Model::load(folder, &Device::flex()).unwrap();
        weights::collect(model.texture())
    };
    assert!(texture(&made) == texture(&model));
    // And it is kept by who starts from that model.
    let mut again = self::config();
    again.start_from(&made, &config);
    assert!(again.networks.discriminator_group_norm);
}

#[test]
fn a_critic_teaches_the_texture_and_stays_out_of_the_model() {
    let bench = Bench::new();
    let trained = |name: &str, config: TrainConfig| {
        bench.train(name, config.clone(), Stage::Structure, 1);
        bench.train(name, config, Stage::Texture, 6);
        let model = Model::load(&bench.run(name).join("model"), &Device::flex()).unwrap();
        weights::collect(model.texture())
    };
    let mut without = with_a_critic();
    without.adversarial.weight = 0.0;
    let (alone, taught) = (
        trained("alone", without),
        trained("taught", with_a_critic()),
    );
    assert!(alone.keys().eq(taught.keys()));
    assert!(alone != taught);
    // Before its first step a critic leaves everything as it is.
    let mut later = with_a_critic();
    later.adversarial.start = 6;
    assert!(alone == trained("later", later));

    let refused = |change: fn(&mut TrainConfig), key: &str| {
        let mut config = with_a_critic();
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    };
    let noise = |config: &mut TrainConfig| config.networks.prediction = Prediction::Noise;
    refused(noise, "guidance.own_state_share");
    let noise_alone = |config: &mut TrainConfig| {
        config.networks.prediction = Prediction::Noise;
        config.guidance.own_state_share = 0.0;
    };
    refused(noise_alone, "adversarial.weight");
    refused(
        |c| c.guidance.own_state_share = 0.9,
        "guidance.own_state_share",
    );
    refused(|c| c.adversarial.smoothness_every = 0, "smoothness_every");
    refused(|c| c.adversarial.latest_time = Some(0), "latest_time");
}

#[test]
fn patches_are_compared_at_early_timesteps_alone() {
    let bench = Bench::new();
    let trained = |name: &str, latest_time, weight| {
        let mut config = with_patches();
        config.texture.times = vec![50];
        config.patches.latest_time = latest_time;
        config.patches.weight = weight;
        bench.train(name, config.clone(), Stage::Structure, 1);
        bench.train(name, config, Stage::Texture, 4);
        bench.checkpoint(name, Stage::Texture).network
    };
    let without = trained("without", None, 0.0);
    assert!(without == trained("too-late", Some(49), 20.0));
    assert!(without != trained("judged", Some(50), 20.0));

    let refused = |change: fn(&mut TrainConfig), key: &str| {
        let mut config = with_patches();
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    };
    refused(|c| c.patches.weight = -1.0, "patches.weight");
    refused(|c| c.patches.directions = 0, "patches.directions");
    refused(|c| c.patches.wave_share = 1.5, "patches.wave_share");
    refused(|c| c.patches.latest_time = Some(0), "patches.latest_time");
    refused(|c| c.patches.square = Some(2), "patches.square");
    refused(|c| c.patches.depth = Some(0), "patches.depth");
    refused(
        |c| c.patches.least_spread = Some(0.0),
        "patches.least_spread",
    );
    let noise = |config: &mut TrainConfig| {
        config.networks.prediction = Prediction::Noise;
        config.guidance.own_state_share = 0.0;
    };
    refused(noise, "patches.weight");
}

#[test]
fn sampled_structures_need_a_structure_network() {
    let bench = Bench::new();
    let mut trainer = bench.trainer("untrained", beyond_the_paper(), 1);
    let error = trainer
        .train(&[Stage::Texture], Some(1), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("sampled_share") && error.contains("structure stage"),
        "{error}"
    );
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

#[test]
fn the_tiny_preset_is_how_the_default_model_was_trained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default/recipe");
    let recipe = TrainConfig::read(&folder.join("run.toml")).unwrap();
    let tiny = TrainConfig::preset(Preset::Tiny);
    assert_eq!(tiny.networks, recipe.networks);
    assert_eq!(tiny.guidance, recipe.guidance);
    for stage in [Stage::Structure, Stage::Texture] {
        let (tiny, recipe) = (tiny.stage(stage), recipe.stage(stage));
        assert_eq!(tiny.times, recipe.times);
        assert_eq!(tiny.learning_rate, recipe.learning_rate);
    }
    // What depends on the machine is not the preset's business.
    let run = RunConfig {
        seed: recipe.run.seed,
        precision: recipe.run.precision,
        ..tiny.run
    };
    assert_eq!(run, recipe.run);
}
