//! The numbers that networks compute with.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::ops::{self, ConvolutionPrecision, Convolutions};

/// The numbers that networks compute with. Pictures, the process and the sampler stay in 32 bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bit.
    #[default]
    F32,
    /// 32 bit; on the CPU 3×3 convolutions go through Winograd's F(2, 3), whose rounding error is
    /// about 3e-7 of the largest value, instead of F(4, 3), with about 1e-6, which is faster.
    #[serde(rename = "f32-precise")]
    F32Precise,
    /// 16 bit, 10 of them for the mantissa.
    F16,
    /// 16 bit, 7 of them for the mantissa. On the CPU only the operands of convolutions are and, in
    /// inference, what layers hand on ([`ops::to_maps`]), and only where it has instructions for
    /// them ([`ops::has_bf16`]); weights, sums and everything else stay 32 bit.
    Bf16,
}

/// A network whose convolutions can be computed in several ways on the CPU.
pub trait Network: Module {
    /// How, in every forward pass from now on, and its gradient.
    fn convolutions(&mut self) -> &mut Convolutions;
}

impl Precision {
    /// The same, but 32 bit where it has 16: for networks that 16 bits would be too few for.
    #[must_use]
    pub fn of_32_bits(self) -> Self {
        match self {
            Self::F16 | Self::Bf16 => Self::F32,
            same => same,
        }
    }

    /// The element type of a network's tensors on a device.
    pub fn dtype(self, device: &Device) -> DType {
        match self {
            Self::F32 | Self::F32Precise => DType::F32,
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
        network.convolutions().precision = match self {
            Self::F32 | Self::F16 => ConvolutionPrecision::Fast,
            Self::F32Precise => ConvolutionPrecision::Precise,
            Self::Bf16 => ConvolutionPrecision::Bf16,
        };
        let stays = |device: &Device| self.dtype(device) == DType::F32;
        if network.devices().iter().all(stays) {
            return network;
        }
        network.map(&mut Cast(self))
    }
}
