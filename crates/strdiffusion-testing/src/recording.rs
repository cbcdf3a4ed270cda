//! Reading recordings: `.safetensors` of any number type, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The numbers that every clone has; its README says where they come from.
pub fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded")
}

/// One recorded array.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f64>,
}

impl Recorded {
    /// The values as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    /// The values as timesteps.
    pub fn to_times(&self) -> Vec<usize> {
        self.values.iter().map(|&v| v as usize).collect()
    }

    /// The array of four extents on a device.
    ///
    /// # Errors
    /// If it has another number of extents.
    pub fn tensor(&self, device: &Device) -> Result<Tensor<4>, String> {
        let shape: [usize; 4] = self
            .shape
            .clone()
            .try_into()
            .map_err(|shape| format!("shape {shape:?} where four extents are needed"))?;
        Ok(Tensor::from_data(
            TensorData::new(self.to_f32(), shape),
            device,
        ))
    }
}

/// The arrays of one file.
#[derive(Debug, Clone)]
pub struct Recording(BTreeMap<String, Recorded>);

impl Recording {
    /// Reads a `.safetensors` file.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn open(path: &Path) -> Result<Self, String> {
        let complain = |error: String| format!("{}: {error}", path.display());
        let bytes = std::fs::read(path).map_err(|error| complain(error.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| complain(error.to_string()))?;
        let mut arrays = BTreeMap::new();
        for (name, view) in file.tensors() {
            let values = numbers(view.data(), view.dtype())
                .ok_or_else(|| format!("{name} is of kind {:?}", view.dtype()))?;
            arrays.insert(
                name,
                Recorded {
                    shape: view.shape().to_vec(),
                    values,
                },
            );
        }
        Ok(Self(arrays))
    }

    /// An array by name.
    ///
    /// # Errors
    /// If it was not recorded.
    pub fn get(&self, name: &str) -> Result<&Recorded, String> {
        self.0
            .get(name)
            .ok_or_else(|| format!("{name} was not recorded"))
    }

    /// An array of four extents, on a device.
    ///
    /// # Errors
    /// If it was not recorded, or has another number of extents.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor<4>, String> {
        self.get(name)?
            .tensor(device)
            .map_err(|error| format!("{name}: {error}"))
    }

    /// The first value of an array.
    ///
    /// # Errors
    /// If it was not recorded, or is empty.
    pub fn scalar(&self, name: &str) -> Result<f64, String> {
        self.get(name)?
            .values
            .first()
            .copied()
            .ok_or_else(|| format!("{name} is empty"))
    }

    /// Whether an array was recorded.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names of all arrays, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What stands before `suffix` in the names that end with it.
    pub fn prefixes_of(&self, suffix: &str) -> Vec<String> {
        self.names()
            .filter_map(|name| name.strip_suffix(suffix).map(str::to_string))
            .collect()
    }
}

fn numbers(bytes: &[u8], dtype: Dtype) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes
            .as_chunks::<N>()
            .0
            .iter()
            .map(|chunk| read(*chunk))
            .collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |b| f32::from_le_bytes(b).into()),
        Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        Dtype::U8 | Dtype::BOOL => each(bytes, |[b]: [u8; 1]| b.into()),
        _ => return None,
    })
}

/// Files of a folder with this ending, sorted; none where there is no such folder.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![];
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// The folder's and the file's name: what a report's line starts with.
pub fn title(path: &Path) -> String {
    let part = |p: Option<&std::ffi::OsStr>| p.unwrap_or_default().to_string_lossy().into_owned();
    let folder = part(path.parent().and_then(Path::file_name));
    format!("{folder}/{}", part(path.file_name()))
}

/// What `settings.json` says of every recording beside it, by the recording's name.
///
/// # Errors
/// Names the file that cannot be read.
pub fn settings_of(path: &Path) -> Result<Value, String> {
    let complain = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| complain(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| complain(error.to_string()))
}
