//! Everything that a stage needs to go on as if nothing had happened, in one file that is
//! replaced as a whole.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::ema::Ema;
use crate::error::{Error, Result, TrainingError};
use crate::weights::{self, HostTensor, TensorMap};

/// What a checkpoint says beside its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done. Photographs, noise and learning rate of every later step follow from it.
    pub step: usize,
    /// Updates of the moving average.
    pub ema_updates: usize,
    /// Best validation score so far (higher is better) and its step.
    pub best: Option<(f64, usize)>,
    /// Seconds of training so far.
    pub seconds: f64,
}

const OPTIMIZER: &str = "optimizer";
const PROGRESS: &str = "progress";

/// A checkpoint as bytes, to be written to `path`.
///
/// # Errors
/// If a weight is not finite.
pub fn encode<M: Module>(
    path: &Path,
    network: &M,
    ema: &Ema<M>,
    optimizer: &ModuleOptimizer,
    progress: &Progress,
) -> Result<Vec<u8>> {
    let named = |prefix: &str, tensors: TensorMap| -> Vec<(String, HostTensor)> {
        tensors
            .into_iter()
            .map(|(name, tensor)| (format!("{prefix}.{name}"), tensor))
            .collect()
    };
    let mut tensors = named("network", weights::collect(network));
    tensors.extend(named("ema", weights::collect(&ema.network)));
    if tensors
        .iter()
        .any(|(_, tensor)| tensor.values.iter().any(|v| !v.is_finite()))
    {
        let step = progress.step;
        return Err(TrainingError::WeightsNotFinite { step }.into());
    }
    let state = optimizer
        .into_bytes()
        .map_err(|error| Error::model(path, format!("the optimizer cannot be stored: {error}")))?;
    let bytes: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, Dtype::F32, tensor.shape, bytes)
        })
        .chain(std::iter::once((
            OPTIMIZER.to_string(),
            Dtype::U8,
            vec![state.len()],
            state.to_vec(),
        )))
        .collect();
    let views = bytes.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("shape and bytes agree");
        (name.as_str(), view)
    });
    let progress = serde_json::to_string(progress).expect("progress is plain data");
    let metadata = HashMap::from([(PROGRESS.to_string(), progress)]);
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::model(path, error.to_string()))
}

/// What a checkpoint holds.
pub struct Checkpoint {
    /// Weights.
    pub network: TensorMap,
    /// Averaged weights.
    pub ema: TensorMap,
    /// Optimizer state.
    pub optimizer: Bytes,
    /// Where the run was.
    pub progress: Progress,
}

/// Reads a checkpoint.
///
/// # Errors
/// If the file cannot be read or is no checkpoint.
pub fn load(path: &Path) -> Result<Checkpoint> {
    decode(
        path,
        &std::fs::read(path).map_err(|error| Error::io(path, error))?,
    )
}

/// Reads the bytes of a checkpoint; `path` names it in errors.
///
/// # Errors
/// If they are no checkpoint.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Checkpoint> {
    let damaged = |reason: String| Error::model(path, format!("not a checkpoint ({reason})"));
    let (_, header) =
        SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
    let progress = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(PROGRESS))
        .ok_or_else(|| damaged("it does not say how far it is".into()))?;
    let progress = serde_json::from_str(progress).map_err(|error| damaged(error.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
    let mut checkpoint = Checkpoint {
        network: TensorMap::new(),
        ema: TensorMap::new(),
        optimizer: Bytes::from_bytes_vec(vec![]),
        progress,
    };
    for (name, view) in file.tensors() {
        if name == OPTIMIZER {
            checkpoint.optimizer = Bytes::from_bytes_vec(view.data().to_vec());
            continue;
        }
        let values = view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b));
        let tensor = HostTensor {
            shape: view.shape().to_vec(),
            values: values.collect(),
        };
        match name.split_once('.') {
            Some(("network", name)) => checkpoint.network.insert(name.into(), tensor),
            Some(("ema", name)) => checkpoint.ema.insert(name.into(), tensor),
            _ => return Err(damaged(format!("it holds {name}"))),
        };
    }
    Ok(checkpoint)
}
