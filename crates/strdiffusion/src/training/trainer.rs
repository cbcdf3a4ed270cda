//! The training run: three stages, each of which can be interrupted anywhere and goes on as if
//! nothing had happened.
//!
//! ```text
//! RUN/config.toml                  every knob of the run
//! RUN/checkpoints/STAGE.safetensors   weights, moving average, optimizer, progress
//! RUN/checkpoints/STAGE-best.safetensors   the best moving average by validation
//! RUN/validation/STAGE-STEP.png    masked input, structure, result, truth
//! RUN/model/                       a model of the best moving averages so far
//! RUN/start/                       the model that the run started from, if from one
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use rand::seq::SliceRandom;

use super::adversarial::{Rivals, without_critic};
use super::checkpoint::{self, Checkpoint, Progress};
use super::config::{StageConfig, TrainConfig};
use super::data::{Dataset, stream};
use super::ema::Ema;
use super::gradients::Backward;
use super::group::{Group, Ranks, StepSum};
use super::loader::Loader;
use super::optimizer;
use super::stage::Stage;
use super::start;
use super::tasks::{DiscriminatorTask, RivalsTask, StructureTask, Task, TextureTask};
use super::validation::{Scores, ValidationSet};
use crate::error::{DeviceError, Error, Result, TrainingError};
use crate::files::write_atomically;
use crate::model::Model;
use crate::networks::{ConditionalUNet, Network};
use crate::objectives::Objective;
use crate::picture::HolePolarity;
use crate::weights::{self, Storage};

/// What the outside world is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrainEvent<'a> {
    /// A stage begins or goes on.
    Started {
        /// Stage.
        stage: Stage,
        /// Steps done before.
        step: usize,
        /// Step at which it ends.
        until: usize,
    },
    /// A step is done.
    Stepped {
        /// Stage.
        stage: Stage,
        /// Steps done, this one included.
        step: usize,
        /// Step at which the stage ends.
        until: usize,
        /// Loss of the step's pictures.
        loss: f64,
        /// Norm of all gradients together, before clipping.
        gradient_norm: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Steps a second since the last report.
        steps_per_second: f64,
        /// Whether `run.log_every` says that it should be logged.
        log: bool,
    },
    /// A validation is done.
    Validated {
        /// Stage.
        stage: Stage,
        /// Steps done.
        step: usize,
        /// What it found.
        scores: &'a Scores,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A checkpoint was saved.
    Saved {
        /// Stage.
        stage: Stage,
        /// Steps done.
        step: usize,
    },
}

/// The caller's window into a run. [`ControlFlow::Break`] saves a checkpoint and ends the run.
pub type OnTrainEvent<'a> = dyn FnMut(&TrainEvent) -> ControlFlow<()> + 'a;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All stages that were asked for are done.
    Finished,
    /// The callback asked to stop; everything is saved.
    Interrupted,
}

/// A run's folder, photographs and settings.
pub struct Trainer {
    config: TrainConfig,
    run: PathBuf,
    dataset: Arc<Dataset>,
    /// Photographs for validation.
    held_out: Dataset,
    /// Devices with autodiff.
    devices: Vec<Device>,
    /// The networks' moving averages so far, without autodiff. Only the first process has them.
    model: Model,
    /// The processes that train together, if there are several.
    group: Option<Box<dyn Group>>,
}

/// What a run trains on.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// Photographs.
    pub photos: Vec<PathBuf>,
    /// Masks and their polarity; generated ones where there are none.
    pub masks: Option<(Vec<PathBuf>, HolePolarity)>,
}

impl Trainer {
    /// Opens a run's folder, new or old, and reads the photographs.
    ///
    /// Returns the files that were skipped, with the reason.
    ///
    /// # Errors
    /// If settings are out of range, photographs are too few, or a checkpoint does not fit.
    pub fn new(
        config: TrainConfig,
        run: &Path,
        data: TrainingData,
        devices: &[Device],
    ) -> Result<(Self, Vec<(PathBuf, String)>)> {
        Self::open(config, run, data, devices, None)
    }

    /// As [`new`](Self::new), for one of several processes that train together. All need the same
    /// settings and photographs; only the first one reads and writes the run's folder.
    ///
    /// The pictures of a step, and everything random, do not depend on how many processes there
    /// are.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if there are more processes than pictures in a step, or other
    /// photographs than the first process has.
    pub fn in_group(
        config: TrainConfig,
        run: &Path,
        data: TrainingData,
        devices: &[Device],
        group: Box<dyn Group>,
    ) -> Result<(Self, Vec<(PathBuf, String)>)> {
        let (batch, processes) = (config.run.batch, group.size());
        if batch < processes {
            return Err(TrainingError::TooManyProcesses { batch, processes }.into());
        }
        Self::open(config, run, data, devices, Some(group))
    }

    fn open(
        config: TrainConfig,
        run: &Path,
        data: TrainingData,
        devices: &[Device],
        group: Option<Box<dyn Group>>,
    ) -> Result<(Self, Vec<(PathBuf, String)>)> {
        let ranks = Ranks(group.as_deref());
        config.validate()?;
        let held_out = if config.validation.every == 0 {
            0
        } else {
            config.validation.pictures
        };
        let (all, skipped) = Dataset::new(&config, &data.photos, data.masks.clone())?;
        if all.len() <= held_out {
            let found = all.len();
            return Err(TrainingError::TooFewPhotographs { found, held_out }.into());
        }
        let mut photos = all.into_photos();
        ranks.check_same_files(
            &photos,
            data.masks.as_ref().map(|(masks, _)| masks.as_slice()),
        )?;
        photos.shuffle(&mut stream(config.run.seed, &[4]));
        let train = photos.split_off(held_out);
        let dataset = Dataset::of_decodable(&config, train, data.masks.clone());
        let held_out = Dataset::of_decodable(&config, photos, data.masks);
        let devices: Vec<Device> = devices
            .iter()
            .map(|device| {
                let device = device.clone().autodiff();
                if config.run.recompute_activations {
                    device.gradient_checkpointing()
                } else {
                    device
                }
            })
            .collect();
        let first = devices
            .first()
            .ok_or(DeviceError::None)?
            .clone()
            .without_autodiff();
        let checkpoints = run.join("checkpoints");
        if ranks.is_first() {
            std::fs::create_dir_all(&checkpoints)
                .map_err(|error| Error::io(&checkpoints, error))?;
        }
        let start_from = config.run.start_from.as_ref();
        let model = match start_from.filter(|_| ranks.is_first()) {
            None => Model::init(config.model_config(), config.run.seed, &first)?,
            Some(folder) => start::model(folder, run, &config, &first)?,
        };
        let mut trainer = Self {
            run: run.to_path_buf(),
            dataset: Arc::new(dataset),
            held_out,
            devices,
            model,
            group,
            config,
        };
        trainer.gather_networks()?;
        Ok((trainer, skipped))
    }

    /// Photographs trained on (those kept out for validation are not counted).
    pub fn photos(&self) -> usize {
        self.dataset.len()
    }

    /// The run's settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The model so far: the best moving average of each stage.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn ranks(&self) -> Ranks<'_> {
        Ranks(self.group.as_deref())
    }

    fn file(&self, stage: Stage, suffix: &str) -> PathBuf {
        self.run
            .join("checkpoints")
            .join(format!("{}{suffix}.safetensors", stage.name()))
    }

    /// Takes the best networks of earlier stages into the model.
    fn gather_networks(&mut self) -> Result<()> {
        if !self.ranks().is_first() {
            return Ok(());
        }
        for stage in Stage::ALL {
            let (best, last) = (self.file(stage, "-best"), self.file(stage, ""));
            let (tensors, file) = if best.is_file() {
                (weights::read_safetensors(&best)?, best)
            } else if last.is_file() {
                (checkpoint::load(&last)?.ema, last)
            } else {
                continue;
            };
            let Model {
                structure,
                texture,
                discriminator,
                ..
            } = self.model.clone();
            match stage {
                Stage::Structure => {
                    self.model.structure = weights::apply(structure, tensors, &file)?;
                }
                Stage::Texture => {
                    let tensors = without_critic(tensors);
                    self.model.texture = weights::apply(texture, tensors, &file)?;
                }
                Stage::Discriminator => {
                    self.model.discriminator = weights::apply(discriminator, tensors, &file)?;
                }
            }
        }
        Ok(())
    }

    /// Trains the stages that are asked for, each up to its configured step or `until`, and writes
    /// `RUN/model`.
    ///
    /// # Errors
    /// If a loss or gradient is no longer finite, a device fails, or the disk is full. The last
    /// checkpoint is good in all cases.
    pub fn train(
        &mut self,
        stages: &[Stage],
        until: Option<usize>,
        on_event: &mut OnTrainEvent,
    ) -> Result<Ended> {
        for &stage in stages {
            let ended = match stage {
                Stage::Structure => {
                    let config = &self.model.config.structure;
                    let fresh = config.init(self.seed(stage), &self.devices[0])?;
                    let fresh = self.begin_with(fresh, &self.model.structure)?;
                    self.stage(stage, fresh, until, on_event, &StructureTask)?
                }
                Stage::Texture => {
                    let config = &self.model.config.texture;
                    let fresh = config.init(self.seed(stage), &self.devices[0])?;
                    let fresh = self.begin_with(fresh, &self.model.texture)?;
                    let task = TextureTask {
                        structure: self.guiding_structure()?,
                        guidance: &self.config.guidance,
                        patches: &self.config.patches,
                        seed: self.seed(stage),
                    };
                    let settings = &self.config.adversarial;
                    if settings.is_on() {
                        let seed = self.seed(stage) ^ CRITIC;
                        let rivals = Rivals::new(fresh, settings, seed, &self.devices[0]);
                        let task = RivalsTask { task, settings };
                        self.stage(stage, rivals, until, on_event, &task)?
                    } else {
                        self.stage(stage, fresh, until, on_event, &task)?
                    }
                }
                Stage::Discriminator => {
                    let config = &self.model.config.discriminator;
                    let fresh = config.init(self.seed(stage), &self.devices[0])?;
                    let fresh = self.begin_with(fresh, &self.model.discriminator)?;
                    self.stage(stage, fresh, until, on_event, &DiscriminatorTask)?
                }
            };
            self.gather_networks()?;
            if self.ranks().is_first() {
                self.model
                    .save(&self.run.join("model"), self.config.release.storage)?;
            }
            if ended == Ended::Interrupted {
                return Ok(ended);
            }
        }
        Ok(Ended::Finished)
    }

    fn seed(&self, stage: Stage) -> u64 {
        self.config
            .run
            .seed
            .wrapping_mul(3)
            .wrapping_add(stage as u64)
    }

    /// The fresh network, with the weights of the model that the run starts from, if there is one.
    fn begin_with<M: Module>(&self, fresh: M, model: &M) -> Result<M> {
        match &self.config.run.start_from {
            None => Ok(fresh),
            Some(folder) => weights::apply(fresh, weights::collect(model), folder),
        }
    }

    /// The structure network that guides the texture in training, where it does.
    fn guiding_structure(&self) -> Result<Option<ConditionalUNet>> {
        let share = self.config.guidance.sampled_share;
        if share <= 0.0 {
            return Ok(None);
        }
        let trained = ["", "-best"].map(|suffix| self.file(Stage::Structure, suffix).is_file());
        let is_there = trained.contains(&true) || self.config.run.start_from.is_some();
        // Only the first process knows the run's folder.
        if self.ranks().is_first() && !is_there {
            return Err(TrainingError::NoStructureNetwork { share }.into());
        }
        let structure = self.ranks().of_first(&self.model.structure, &self.run)?;
        Ok(Some(self.config.run.precision.of(&structure)))
    }

    fn stage<M: Network + Sync, T: Task<M>>(
        &self,
        stage: Stage,
        fresh: M,
        until: Option<usize>,
        on_event: &mut OnTrainEvent,
        task: &T,
    ) -> Result<Ended> {
        // The discriminator compares a step's pictures with each other, so they cannot be shared out.
        let ranks = match stage {
            Stage::Discriminator if !self.ranks().is_first() => return Ok(Ended::Finished),
            Stage::Discriminator => Ranks(None),
            _ => self.ranks(),
        };
        let config = self.config.stage(stage);
        let until = until.unwrap_or(config.steps);
        let mut state = State::open(&self.file(stage, ""), fresh, config, &self.config, ranks)?;
        let started = TrainEvent::Started {
            stage,
            step: state.progress.step,
            until,
        };
        // Several processes can only stop together, after a step of which all know.
        let mut stop = on_event(&started).is_break();
        if stop && ranks.is_alone() {
            return Ok(Ended::Interrupted);
        }
        if state.progress.step >= until {
            return Ok(Ended::Finished);
        }
        let run = &self.config.run;
        let backward = Backward {
            devices: self.devices.clone(),
            accumulate: run.accumulate,
            precision: run.precision,
            loss_scale: run.loss_scale,
            side: self.config.data.resolution,
            batch: run.batch,
        };
        let objective = Objective {
            sde: &self.model.sde,
            prediction: self.config.networks.prediction,
            conditioning: self.config.networks.conditioning,
            guide: self.config.networks.guide,
            loss: run.loss,
            structure_gradient: run.structure_gradient,
            mismatched_structures: run.mismatched_structures,
        };
        let every = self.config.validation.every;
        let validation = ValidationSet::new(&self.held_out, stage, &self.config)?;
        let mut loader = Loader::start(
            self.dataset.clone(),
            stage,
            state.progress.step,
            run.batch,
            ranks.share(run.batch),
            self.config.data.threads,
        );
        let mut repeated = None;
        let mut clock = Instant::now();
        while state.progress.step < until {
            let step = state.progress.step;
            let samples = match &repeated {
                Some(samples) => std::sync::Arc::clone(samples),
                None => Arc::new(loader.next_samples()?),
            };
            if self.config.data.repeat_first_batch {
                repeated = Some(samples.clone());
            }
            task.prepare(&mut state.network);
            let (loss, gradients) = backward.run(&state.network, &samples, &|network, batch| {
                task.loss(&objective, network, batch, step)
            })?;
            let mine = StepSum {
                loss,
                stop,
                gradients,
            };
            let StepSum {
                loss,
                stop: all_stop,
                gradients,
            } = ranks.sum(&state.network, mine)?;
            let norm = optimizer::global_norm(&state.network, &gradients);
            if !loss.is_finite() || !norm.is_finite() {
                return Err(TrainingError::Diverged {
                    stage: stage.name(),
                    step: step + 1,
                    loss,
                    norm,
                }
                .into());
            }
            let gradients = if run.clip_norm > 0.0 && norm > run.clip_norm {
                optimizer::scale(&state.network, gradients, run.clip_norm / norm)
            } else {
                gradients
            };
            let rate = config.rate(step);
            state.network = state.optimizer.step(rate, state.network, gradients);
            state.ema.update(&state.network);
            state.progress.step += 1;
            let elapsed = clock.elapsed().as_secs_f64();
            clock = Instant::now();
            state.progress.seconds += elapsed;

            let step = state.progress.step;
            let flow = on_event(&TrainEvent::Stepped {
                stage,
                step,
                until,
                loss,
                gradient_norm: norm,
                learning_rate: rate,
                steps_per_second: 1.0 / elapsed.max(1e-9),
                log: step.is_multiple_of(run.log_every.max(1)) || step == until,
            });
            stop |= flow.is_break();
            let ends_now = if ranks.is_alone() { stop } else { all_stop };
            let last = step == until || ends_now;
            let validates = every > 0 && (step.is_multiple_of(every) || step == until);
            if ranks.is_first() && validates {
                self.validate(&validation, stage, &mut state, task, &objective, on_event)?;
            }
            let saves = last || validates || step.is_multiple_of(run.checkpoint_every.max(1));
            if saves {
                ranks.check_same_weights(&state.network, step)?;
            }
            if ranks.is_first() && saves {
                state.save(&self.file(stage, ""))?;
                stop |= on_event(&TrainEvent::Saved { stage, step }).is_break();
            }
            if ends_now || stop && ranks.is_alone() {
                return Ok(Ended::Interrupted);
            }
            if validates {
                clock = Instant::now();
            }
        }
        Ok(Ended::Finished)
    }

    fn validate<M: Module, T: Task<M>>(
        &self,
        validation: &ValidationSet,
        stage: Stage,
        state: &mut State<M>,
        task: &T,
        objective: &Objective,
        on_event: &mut OnTrainEvent,
    ) -> Result<()> {
        if validation.is_empty() {
            return Ok(());
        }
        let step = state.progress.step;
        let (scores, grid) =
            task.validate(validation, &self.model, &state.ema.network, objective)?;
        if let Some(grid) = grid {
            let folder = self.run.join("validation");
            std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
            grid.save(folder.join(format!("{}-{step:07}.png", stage.name())))?;
        }
        let merit = task.merit(&scores, step);
        let best = state.progress.best.is_none_or(|(best, _)| merit > best);
        if best {
            state.progress.best = Some((merit, step));
            let tensors = weights::collect(&state.ema.network);
            weights::write_safetensors(&self.file(stage, "-best"), &tensors, Storage::F32)?;
        }
        // A wish to stop is asked for again after the next step.
        let _ = on_event(&TrainEvent::Validated {
            stage,
            step,
            scores: &scores,
            best,
        });
        Ok(())
    }
}

/// Apart from the seed of the texture network's fresh weights.
const CRITIC: u64 = 0x637269746963;

/// A network in training.
struct State<M> {
    network: M,
    ema: Ema<M>,
    optimizer: ModuleOptimizer,
    progress: Progress,
}

impl<M: Module> State<M> {
    /// Goes on from a checkpoint, or starts with a fresh network where there is none. All processes
    /// begin with the first one's bits.
    fn open(
        file: &Path,
        fresh: M,
        stage: &StageConfig,
        config: &TrainConfig,
        ranks: Ranks,
    ) -> Result<Self> {
        let network = optimizer::with_stable_ids(fresh);
        let fresh = Self {
            ema: Ema::new(network.valid(), config.run.ema_decay, 0),
            network,
            optimizer: stage.optimizer.init(&stage.adam),
            progress: Progress::default(),
        };
        let decay = config.run.ema_decay;
        if !ranks.is_first() {
            let bytes = ranks.broadcast(vec![])?;
            return fresh.restore(checkpoint::decode(file, &bytes)?, decay, file);
        }
        let mut state = match file.is_file() {
            true => fresh.restore(checkpoint::load(file)?, decay, file)?,
            false => fresh,
        };
        if !ranks.is_alone() {
            ranks.broadcast(state.encode(file)?)?;
        }
        Ok(state)
    }

    fn restore(self, stored: Checkpoint, decay: f64, file: &Path) -> Result<Self> {
        let optimizer = (self.optimizer)
            .from_bytes(stored.optimizer)
            .map_err(|error| Error::model(file, format!("the optimizer's state: {error}")))?;
        let average = weights::apply(self.network.valid(), stored.ema, file)?;
        Ok(Self {
            network: weights::apply(self.network, stored.network, file)?,
            ema: Ema::new(average, decay, stored.progress.ema_updates),
            optimizer,
            progress: stored.progress,
        })
    }

    fn encode(&mut self, file: &Path) -> Result<Vec<u8>> {
        self.progress.ema_updates = self.ema.updates();
        checkpoint::encode(
            file,
            &self.network,
            &self.ema,
            &self.optimizer,
            &self.progress,
        )
    }

    fn save(&mut self, file: &Path) -> Result<()> {
        write_atomically(file, &self.encode(file)?)
    }
}
