//! Gradients and the optimizer: Burn's Adam, with parameters named by their path so that its state
//! can be stored and found again.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{
    Adam as BurnAdam, AdamConfig, AdamState, AdaptiveMomentumState, GradientsParams,
    ModuleOptimizer, Optimizer,
};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use strdiffusion_kernels::AdamStep;

use crate::ops;
use crate::weights::{HostTensor, TensorMap, host_values};

/// Adam's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Adam {
    /// Structure and texture: 0.9, 0.99.
    pub fn generator() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
        }
    }

    /// Discriminator: 0.5, 0.99.
    pub fn discriminator() -> Self {
        Self {
            beta1: 0.5,
            ..Self::generator()
        }
    }

    /// A fresh optimizer.
    pub fn init(&self) -> ModuleOptimizer {
        let burn = AdamConfig::new()
            .with_beta_1(self.beta1 as f32)
            .with_beta_2(self.beta2 as f32)
            .with_epsilon(self.eps as f32)
            .build();
        ModuleOptimizer::from(OnePass { adam: *self, burn })
    }
}

/// Burn's Adam, with its state, in one pass over the weights where we have a kernel for it.
#[derive(Clone)]
struct OnePass {
    adam: Adam,
    burn: BurnAdam,
}

impl Optimizer for OnePass {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let (time, first, second) = match &state {
            Some(AdamState { momentum }) => (
                momentum.time + 1,
                momentum.moment_1.clone(),
                momentum.moment_2.clone(),
            ),
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
        };
        let step = AdamStep {
            rate: rate as f32,
            beta1: self.adam.beta1 as f32,
            beta2: self.adam.beta2 as f32,
            epsilon: self.adam.eps as f32,
            time,
        };
        let tensors = [weight.clone(), gradient.clone(), first, second];
        match ops::adam_step(step, tensors) {
            Some([weight, first, second]) => {
                let momentum = AdaptiveMomentumState::new(time, first, second);
                (weight, Some(AdamState::new(momentum)))
            }
            None => self.burn.step(rate, weight, gradient, state),
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        BurnAdam::to_device(state, device)
    }
}

/// Gives every parameter an id that depends only on its path, so that an optimizer's stored state
/// finds it in another process.
pub fn with_stable_ids<M: Module>(module: M) -> M {
    struct Namer(Vec<String>);
    impl ModuleMapper for Namer {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }
        fn map_float<const D: usize>(&mut self, mut param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.id = ParamId::from(fnv1a(&self.0.join(".")));
            param
        }
    }
    module.map(&mut Namer(vec![]))
}

/// The 64-bit FNV-1a hash.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Gradients of a loss with respect to every trainable parameter.
pub fn gradients<M: Module>(module: &M, loss: &Tensor<1>) -> GradientsParams {
    GradientsParams::from_grads(loss.backward(), module)
}

/// Gradients by path.
pub fn to_host<M: Module>(module: &M, gradients: &GradientsParams) -> TensorMap {
    struct Reader<'a> {
        path: Vec<String>,
        gradients: &'a GradientsParams,
        tensors: TensorMap,
    }
    impl ModuleVisitor for Reader<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let shape = gradient.dims().to_vec();
                let values = host_values(gradient);
                self.tensors
                    .insert(self.path.join("."), HostTensor { shape, values });
            }
        }
    }
    let mut reader = Reader {
        path: vec![],
        gradients,
        tensors: TensorMap::new(),
    };
    module.visit(&mut reader);
    reader.tensors
}

/// Euclidean norm over all gradients together.
pub fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> f64 {
    struct Norm<'a> {
        gradients: &'a GradientsParams,
        squares: Vec<Tensor<1>>,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let count = gradient.shape().num_elements() as f64;
                // Not `sum()`: some Vulkan drivers crash on full sums.
                self.squares.push(gradient.square().mean() * count);
            }
        }
    }
    let mut norm = Norm {
        gradients,
        squares: vec![],
    };
    module.visit(&mut norm);
    if norm.squares.is_empty() {
        return 0.0;
    }
    let squares = host_values(Tensor::cat(norm.squares, 0));
    squares.iter().map(|&s| f64::from(s)).sum::<f64>().sqrt()
}

/// Multiplies every gradient.
pub fn scale<M: Module>(module: &M, gradients: GradientsParams, factor: f64) -> GradientsParams {
    struct Scale {
        old: GradientsParams,
        new: GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.old.remove::<D>(param.id) {
                self.new.register(param.id, gradient * self.factor);
            }
        }
    }
    let mut scale = Scale {
        old: gradients,
        new: GradientsParams::new(),
        factor,
    };
    module.visit(&mut scale);
    scale.new
}
