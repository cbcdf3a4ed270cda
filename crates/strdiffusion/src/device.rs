//! Choosing a device at run time: `auto`, `cpu`, `cuda[:i]`, `vulkan[:i]`, `metal`.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{DeviceError, Error, Result};

/// A device as a user names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The best that this build and this machine have: CUDA, Metal, Vulkan, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(usize),
    /// A GPU through Vulkan: discrete GPUs first, then integrated ones, then software drivers.
    Vulkan(usize),
    /// The GPU of an Apple machine.
    Metal,
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::from(DeviceError::Unknown {
                name: text.to_owned(),
            })
        };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("metal", None) => Ok(Self::Metal),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("vulkan", index) => Ok(Self::Vulkan(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(i) => write!(f, "cuda:{i}"),
            Self::Vulkan(i) => write!(f, "vulkan:{i}"),
            Self::Metal => write!(f, "metal"),
        }
    }
}

impl DeviceName {
    /// Opens the device.
    ///
    /// # Errors
    /// If this build lacks the feature, or this machine the device.
    pub fn open(self) -> Result<Device> {
        self.resolve().map(|(_, device)| device)
    }

    /// Opens the device, and says which one it is: never [`Self::Auto`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn resolve(self) -> Result<(Self, Device)> {
        let device = match self {
            Self::Auto => {
                return Ok(open_first_gpu().unwrap_or_else(|| (Self::Cpu, Device::flex())));
            }
            Self::Cpu => Device::flex(),
            Self::Cuda(index) => open_cuda(index)?,
            Self::Vulkan(index) => open_vulkan(index)?,
            Self::Metal => open_metal()?,
        };
        Ok((self, device))
    }
}

#[allow(unreachable_code, reason = "one GPU feature is enough to answer")]
fn open_first_gpu() -> Option<(DeviceName, Device)> {
    #[cfg(feature = "cuda")]
    return Some((DeviceName::Cuda(0), open_cuda(0).ok()?));
    #[cfg(feature = "metal")]
    return Some((DeviceName::Metal, open_metal().ok()?));
    #[cfg(feature = "vulkan")]
    return Some((DeviceName::Vulkan(0), open_vulkan(0).ok()?));
    None
}

#[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
fn missing(feature: &'static str) -> Error {
    DeviceError::NotBuilt { feature }.into()
}

/// Starts the device and waits for one trivial result, so that a device that cannot work fails
/// here and with a message.
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
fn probe(name: &str, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> Result<Device> {
    use burn::tensor::Tensor;
    let started = std::panic::catch_unwind(|| {
        let device = open();
        let two = Tensor::<1>::ones([1], &device) + 1.0;
        (two.into_scalar::<f32>() == 2.0).then_some(device)
    });
    match started {
        Ok(Some(device)) => Ok(device),
        _ => {
            let name = name.to_owned();
            Err(DeviceError::NotWorking { name }.into())
        }
    }
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    probe("CUDA", move || Device::cuda(index))
}
#[cfg(not(feature = "cuda"))]
fn open_cuda(_index: usize) -> Result<Device> {
    Err(missing("cuda"))
}

#[cfg(feature = "vulkan")]
fn open_vulkan(index: usize) -> Result<Device> {
    use burn::tensor::DeviceKind;
    let kinds = [
        DeviceKind::DiscreteGpu(index),
        DeviceKind::IntegratedGpu(index),
        DeviceKind::VirtualGpu(index),
        DeviceKind::Cpu,
    ];
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = kinds
        .into_iter()
        .find_map(|kind| probe("Vulkan", move || Device::vulkan(kind)).ok());
    std::panic::set_hook(quiet);
    found.ok_or_else(|| {
        let name = format!("Vulkan (number {index})");
        DeviceError::NotWorking { name }.into()
    })
}
#[cfg(not(feature = "vulkan"))]
fn open_vulkan(_index: usize) -> Result<Device> {
    Err(missing("vulkan"))
}

#[cfg(feature = "metal")]
fn open_metal() -> Result<Device> {
    use burn::tensor::DeviceKind;
    probe("Metal", || Device::metal(DeviceKind::DefaultDevice))
}
#[cfg(not(feature = "metal"))]
fn open_metal() -> Result<Device> {
    Err(missing("metal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "vulkan:1", "metal"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cpu:1", "cuda:x", "metal:0", "vulkan:-1"] {
            assert!(name.parse::<DeviceName>().is_err(), "{name}");
        }
    }
}
