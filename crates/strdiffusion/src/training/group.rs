//! Several processes that train one network together, each on its share of every step's pictures.
//!
//! The library moves nothing between machines itself: a [`Group`] is what a caller's own means of
//! communication looks like from here.

use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result, TrainingError};
use crate::weights::{self, host_values};

/// Processes that are called at the same places of the same run, and know each other.
///
/// Each method is called by every process of the group, in the same order. An error, in one line,
/// ends the run of the process that meets it.
pub trait Group: Send + Sync {
    /// This process's number, from 0. The first one validates, logs and saves.
    fn rank(&self) -> usize;

    /// Processes in all.
    fn size(&self) -> usize;

    /// Adds up each value over all processes, in place. Every process must end with the same bits.
    ///
    /// # Errors
    /// If another process cannot be reached.
    fn sum(&self, values: &mut [f32]) -> Result<(), String>;

    /// Replaces the bytes by those of the first process.
    ///
    /// # Errors
    /// If another process cannot be reached.
    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), String>;
}

/// Values that are added up at once: 4 MiB of them, so that no second copy of all gradients is
/// needed.
const BUCKET: usize = 1 << 20;

/// What the trainer makes of a group; without one, a process is alone.
#[derive(Clone, Copy)]
pub(super) struct Ranks<'a>(pub Option<&'a dyn Group>);

impl Ranks<'_> {
    pub fn is_alone(self) -> bool {
        self.0.is_none()
    }

    /// Whether this process validates, logs and saves.
    pub fn is_first(self) -> bool {
        self.0.is_none_or(|group| group.rank() == 0)
    }

    /// Which of a step's pictures are this process's.
    pub fn share(self, batch: usize) -> Range<usize> {
        self.0.map_or(0..batch, |group| {
            let (rank, size) = (group.rank(), group.size());
            rank * batch / size..(rank + 1) * batch / size
        })
    }

    /// The first process's bytes.
    pub fn broadcast(self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        if let Some(group) = self.0 {
            group.broadcast(&mut bytes).map_err(lost)?;
        }
        Ok(bytes)
    }

    /// The first process's weights of a network that all have; `run` names them in errors.
    pub fn of_first<M: Module>(self, network: &M, run: &Path) -> Result<M> {
        if self.is_alone() {
            return Ok(network.clone());
        }
        let mut tensors = weights::collect(network);
        let values = tensors.values().flat_map(|tensor| &tensor.values);
        let bytes = self.broadcast(values.flat_map(|value| value.to_le_bytes()).collect())?;
        let mut values = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes));
        for value in tensors.values_mut().flat_map(|tensor| &mut tensor.values) {
            *value = values.next().unwrap_or(f32::NAN);
        }
        weights::apply(network.clone(), tensors, run)
    }

    /// Checks that this process has the first one's photographs and masks, by names and lengths.
    pub fn check_same_files(self, photos: &[PathBuf], masks: Option<&[PathBuf]>) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let files = photos.iter().chain(masks.into_iter().flatten());
        let mine = files
            .map(|file| known_by(file))
            .collect::<Result<Vec<String>>>()?;
        let first = self.broadcast(mine.concat().into_bytes())?;
        match mine.concat().as_bytes() == first {
            true => Ok(()),
            false => Err(TrainingError::OtherPhotographs {
                mine: mine.len(),
                first: first.iter().filter(|byte| **byte == b'\n').count(),
            }
            .into()),
        }
    }

    /// Checks that this process's weights are the first one's, bit for bit.
    pub fn check_same_weights<M: Module>(self, network: &M, step: usize) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let sum = weights::collect(network).values().fold(0, |sum, tensor| {
            let bytes: Vec<u8> = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            crc32c::crc32c_append(sum, &bytes)
        });
        match self.broadcast(sum.to_le_bytes().to_vec())? == sum.to_le_bytes() {
            true => Ok(()),
            false => Err(TrainingError::WeightsDiffer { step }.into()),
        }
    }

    /// Adds up everything of a step over all processes.
    pub fn sum<M: Module>(self, network: &M, mine: StepSum) -> Result<StepSum> {
        let Some(group) = self.0 else {
            return Ok(mine);
        };
        let mut flat = Flat {
            gradients: mine.gradients,
            values: vec![mine.loss as f32, f32::from(u8::from(mine.stop))],
        };
        network.visit(&mut flat);
        let mut values = flat.values;
        for bucket in values.chunks_mut(BUCKET) {
            group.sum(bucket).map_err(lost)?;
        }
        let mut summed = Unflat {
            gradients: GradientsParams::new(),
            values: &values[2..],
        };
        network.visit(&mut summed);
        Ok(StepSum {
            loss: f64::from(values[0]),
            stop: values[1] > 0.0,
            gradients: summed.gradients,
        })
    }
}

/// A file's name and length: it may be in another folder on another machine.
fn known_by(file: &Path) -> Result<String> {
    let length = std::fs::metadata(file).map_err(|error| Error::io(file, error))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{} {}\n", length.len(), name.replace('\n', " ")))
}

fn lost(reason: String) -> Error {
    TrainingError::ProcessLost { reason }.into()
}

/// What a step's pictures give, of this process's or of all.
pub(super) struct StepSum {
    pub loss: f64,
    /// Whether the caller asked to stop.
    pub stop: bool,
    pub gradients: GradientsParams,
}

/// Gathers the gradients, in the order of the network's parameters. One that this process's
/// pictures do not reach is zero.
struct Flat {
    gradients: GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        match self.gradients.remove::<D>(param.id) {
            Some(gradient) => self.values.extend(host_values(gradient)),
            None if weight.is_require_grad() => {
                let count = weight.shape().num_elements();
                self.values.resize(self.values.len() + count, 0.0);
            }
            None => {}
        }
    }
}

/// Gives the sums back to the parameters, in the same order.
struct Unflat<'a> {
    gradients: GradientsParams,
    values: &'a [f32],
}

impl ModuleVisitor for Unflat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        if !weight.is_require_grad() {
            return;
        }
        let (mine, rest) = self.values.split_at(weight.shape().num_elements());
        self.values = rest;
        let data = TensorData::new(mine.to_vec(), weight.shape());
        let gradient = Tensor::<D>::from_data(data, &weight.inner().device());
        self.gradients.register(param.id, gradient);
    }
}
