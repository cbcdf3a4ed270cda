//! Weights by name: out of a network, into a network, and as `.safetensors` files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Numbers of one tensor, in the host's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Tensors by their dotted path in the network, such as `downs.0.block1.conv1.weight`.
pub type TensorMap = BTreeMap<String, HostTensor>;

/// How numbers are stored in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the size, about three decimal digits.
    F16,
}

/// All tensors of a network.
pub fn collect<M: Module>(module: &M) -> TensorMap {
    #[derive(Default)]
    struct Collector {
        path: Vec<String>,
        tensors: TensorMap,
    }
    impl ModuleVisitor for Collector {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let tensor = HostTensor {
                shape: value.dims().to_vec(),
                values: host_values(value),
            };
            self.tensors.insert(self.path.join("."), tensor);
        }
    }
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// The values of a tensor as f32, whatever its device and precision.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .into_data()
        .convert::<f32>()
        .try_into_vec()
        .expect("the data was just converted to f32")
}

/// Replaces every tensor of a network.
///
/// # Errors
/// Names the missing, extra and wrongly shaped tensors, and values that are not finite; `source`
/// is the file that the error speaks of.
pub fn apply<M: Module>(module: M, tensors: TensorMap, source: &Path) -> Result<M> {
    struct Applier {
        path: Vec<String>,
        tensors: TensorMap,
        problems: Vec<String>,
    }
    impl ModuleMapper for Applier {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let path = self.path.join(".");
            let Some(tensor) = self.tensors.remove(&path) else {
                self.problems.push(format!("tensor {path} is missing"));
                return param;
            };
            let expected = param.lazy_shape().to_vec();
            if tensor.shape != expected {
                self.problems.push(format!(
                    "tensor {path} has shape {:?} where {expected:?} is needed",
                    tensor.shape
                ));
                return param;
            }
            if let Some(bad) = tensor.values.iter().find(|v| !v.is_finite()) {
                self.problems.push(format!("tensor {path} holds {bad}"));
                return param;
            }
            param.map(|old| {
                let data = TensorData::new(tensor.values, tensor.shape);
                let device = old.device();
                let value = Tensor::from_data(data, &device.clone().without_autodiff());
                let value = if old.is_autodiff() {
                    Tensor::from_inner(value)
                } else {
                    value
                };
                value.set_require_grad(old.is_require_grad())
            })
        }
    }
    let mut applier = Applier {
        path: vec![],
        tensors,
        problems: vec![],
    };
    let module = module.map(&mut applier);
    let Applier {
        tensors,
        mut problems,
        ..
    } = applier;
    problems.extend(
        tensors
            .keys()
            .map(|name| format!("tensor {name} is not part of the network")),
    );
    if problems.is_empty() {
        return Ok(module);
    }
    let problem = summary(&problems);
    Err(Error::model(
        source,
        format!("{problem}; make or copy the weights again"),
    ))
}

/// Refuses weights that are too few for a network of at least `fewest` numbers, before memory for it
/// is taken.
pub(crate) fn check_count(tensors: &TensorMap, fewest: usize, source: &Path) -> Result<()> {
    let found: usize = tensors.values().map(|tensor| tensor.values.len()).sum();
    if found >= fewest {
        return Ok(());
    }
    Err(Error::model(
        source,
        format!(
            "it holds {found} numbers, but a network of these sizes has at least {fewest}: sizes \
             and weights do not belong together; make or copy the model again"
        ),
    ))
}

/// The first few problems on one line, and how many more there are.
pub(crate) fn summary(problems: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut line = problems[..problems.len().min(SHOWN)].join("; ");
    if problems.len() > SHOWN {
        line += &format!("; and {} more", problems.len() - SHOWN);
    }
    line
}

/// Reads a `.safetensors` file of f32, f16 or bf16 tensors.
///
/// # Errors
/// If the file cannot be read, is no safetensors file, or holds another kind of number.
pub fn read_safetensors(path: &Path) -> Result<TensorMap> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    parse_safetensors(&bytes, path)
}

/// As [`read_safetensors`], of a file in memory; `source` is what errors call it.
///
/// # Errors
/// If it is no safetensors file, or holds another kind of number.
pub fn parse_safetensors(bytes: &[u8], source: &Path) -> Result<TensorMap> {
    if bytes.is_empty() {
        return Err(Error::model(
            source,
            "the file is empty; fetch or make the weights again",
        ));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        Error::model(
            source,
            format!("not a complete safetensors file ({error}); make or copy it again"),
        )
    })?;
    let mut tensors = TensorMap::new();
    for (name, view) in file.tensors() {
        let values = floats_from_bytes(view.data(), view.dtype()).ok_or_else(|| {
            Error::model(
                source,
                format!("tensor {name} is of kind {:?}, not a float", view.dtype()),
            )
        })?;
        tensors.insert(
            name,
            HostTensor {
                shape: view.shape().to_vec(),
                values,
            },
        );
    }
    Ok(tensors)
}

fn floats_from_bytes(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    Some(match dtype {
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
        Dtype::F16 => pairs()
            .map(|b| half::f16::from_le_bytes(*b).to_f32())
            .collect(),
        Dtype::BF16 => pairs()
            .map(|b| half::bf16::from_le_bytes(*b).to_f32())
            .collect(),
        _ => return None,
    })
}

/// Writes tensors to a `.safetensors` file: all of it or nothing.
///
/// # Errors
/// If the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &TensorMap, storage: Storage) -> Result<()> {
    let bytes: Vec<(&String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = match storage {
                Storage::F32 => tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                Storage::F16 => tensor
                    .values
                    .iter()
                    .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                    .collect(),
            };
            (name, tensor, bytes)
        })
        .collect();
    let dtype = match storage {
        Storage::F32 => Dtype::F32,
        Storage::F16 => Dtype::F16,
    };
    let views = bytes.iter().map(|(name, tensor, bytes)| {
        let view = TensorView::new(dtype, tensor.shape.clone(), bytes)
            .expect("shape and values come from one tensor");
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None)
        .map_err(|error| Error::model(path, error.to_string()))?;
    write_atomically(path, &file)
}
