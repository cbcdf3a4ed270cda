//! Moving average of a network's weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

use crate::ops;

/// The average of the weights so far, without gradients.
#[derive(Debug, Clone)]
pub struct Ema<M> {
    /// The averaged network.
    pub network: M,
    updates: usize,
    decay: f64,
}

impl<M: Module> Ema<M> {
    /// Starts at the network as it is. `network` has no autodiff.
    pub fn new(network: M, decay: f64, updates: usize) -> Self {
        Self {
            network,
            updates,
            decay,
        }
    }

    /// Moves towards `network`: average ← d · average + (1 − d) · weights. In the first updates d
    /// is smaller, so that the random start is soon forgotten. What is not trained is copied.
    pub fn update(&mut self, network: &M) {
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        self.updates += 1;
        let mut weights = Weights(HashMap::new());
        network.visit(&mut weights);
        let mut blend = Blend {
            weights: weights.0,
            decay,
        };
        self.network = self.network.clone().map(&mut blend);
    }

    /// Updates so far.
    pub fn updates(&self) -> usize {
        self.updates
    }
}

/// Flattened weights by id, and whether they are trained.
struct Weights(HashMap<ParamId, (Tensor<1>, bool)>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let trained = value.is_require_grad();
        let value = value.inner();
        let count = value.shape().num_elements();
        self.0.insert(param.id, (value.reshape([count]), trained));
    }
}

struct Blend {
    weights: HashMap<ParamId, (Tensor<1>, bool)>,
    decay: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((weight, trained)) = self.weights.remove(&param.id) else {
            return param;
        };
        param.map(|average| {
            let weight: Tensor<D> = weight.reshape(average.shape());
            if trained {
                ops::blend(average, weight, self.decay)
            } else {
                weight
            }
        })
    }
}
