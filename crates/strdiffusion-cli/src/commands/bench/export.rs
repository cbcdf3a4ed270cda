//! A model and what its networks make of an input, for comparison with other programs.

use std::path::Path;

use anyhow::Result;
use strdiffusion::model::Model;
use strdiffusion::weights::{HostTensor, Storage, TensorMap, host_values, write_safetensors};

use super::networks::{Input, Kind};

/// Writes the model folder, and `NETWORK-case.safetensors` beside it: the inputs by name, and
/// `output`.
pub fn write(folder: &Path, model: &Model, cases: Vec<(Kind, Input, Vec<f32>)>) -> Result<()> {
    model.save(folder, Storage::F32)?;
    for (kind, input, output) in cases {
        let mut tensors: TensorMap = (input.named())
            .map(|(name, tensor)| {
                let shape = tensor.dims().to_vec();
                let values = host_values(tensor.clone());
                (name.to_string(), HostTensor { shape, values })
            })
            .collect();
        let output = HostTensor {
            shape: vec![output.len()],
            values: output,
        };
        tensors.insert("output".into(), output);
        let file = folder.join(format!("{}-case.safetensors", kind.name()));
        write_safetensors(&file, &tensors, Storage::F32)?;
    }
    Ok(())
}
