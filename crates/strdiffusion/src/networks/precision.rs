//! The numbers that networks compute with.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ops;

/// The numbers that networks compute with. Pictures, the process and the sampler stay in 32 bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bit.
    #[default]
    F32,
    /// 16 bit, 10 of them for the mantissa.
    F16,
    /// 16 bit, 7 of them for the mantissa. On the CPU only the operands of convolutions are, and
    /// only where it has instructions for them ([`ops::has_bf16`]); weights, sums and everything
    /// else stay 32 bit.
    Bf16,
}

/// A network whose convolutions can take bf16 operands on the CPU.
pub trait Network: Module {
    /// Chooses for every forward pass from now on, and its gradient.
    fn set_bf16_convolutions(&mut self, on: bool);
}

impl Precision {
    /// The element type of a network's tensors on a device.
    pub fn dtype(self, device: &Device) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 if ops::is_cpu(device) => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// The network as it computes with these numbers; gradients flow back to the weights as they
    /// were.
    pub fn of<N: Network>(self, network: &N) -> N {
        struct Cast(Precision);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let value = param.val();
                let dtype = self.0.dtype(&value.device());
                Param::initialized(param.id, value.cast(dtype))
            }
        }
        let mut network = network.clone();
        // Elsewhere the weights' type says it.
        network.set_bf16_convolutions(self == Self::Bf16);
        if self == Self::F32
            || network
                .devices()
                .iter()
                .all(|d| self.dtype(d) == DType::F32)
        {
            return network;
        }
        network.map(&mut Cast(self))
    }
}
