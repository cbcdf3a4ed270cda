//! The numbers that networks compute with.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// The numbers that networks compute with. Pictures, the process and the sampler stay in 32 bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bit.
    #[default]
    F32,
    /// 16 bit, 10 of them for the mantissa.
    F16,
    /// 16 bit, 7 of them for the mantissa.
    Bf16,
}

impl Precision {
    /// The tensors' element type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// The network with its weights cast; gradients flow back to the weights as they were.
    pub fn of<M: Module>(self, network: &M) -> M {
        struct Cast(DType);
        impl ModuleMapper for Cast {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                Param::initialized(param.id, param.val().cast(self.0))
            }
        }
        network.clone().map(&mut Cast(self.dtype()))
    }
}
