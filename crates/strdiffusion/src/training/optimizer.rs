//! Gradients and the optimizers: Burn's Adam and Muon, with parameters named by their path so that
//! their state can be stored and found again.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::momentum::{Momentum, MomentumConfig};
use burn::optim::{
    Adam as BurnAdam, AdamConfig, AdamState, AdaptiveMomentumState, AdjustLrFn, GradientsParams,
    ModuleOptimizer, Muon, MuonConfig, MuonState, Optimizer, RecordState, StateSink, StateSource,
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
        Method::Adam.init(self)
    }
}

/// What moves the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Adam (Kingma and Ba, ICLR 2015), as in the paper.
    #[default]
    Adam,
    /// Muon (Jordan et al., 2024) for convolutions of 16 channels and more on either side, each as a
    /// matrix `[out, in · kh · kw]`; Adam for all else. Steps are as long as Adam's are (Liu et al., "Muon is
    /// scalable for LLM training", 2025). On CPUs with tiles its Newton-Schulz steps are in bf16, as
    /// published.
    Muon,
}

/// Convolutions with fewer channels, such as the first and the last one, are left to Adam.
const FEWEST_CHANNELS: usize = 16;

impl Method {
    /// A fresh optimizer; `adam` is for what Adam moves.
    pub fn init(self, adam: &Adam) -> ModuleOptimizer {
        let burn = AdamConfig::new()
            .with_beta_1(adam.beta1 as f32)
            .with_beta_2(adam.beta2 as f32)
            .with_epsilon(adam.eps as f32)
            .build();
        ModuleOptimizer::from(ByShape {
            adam: OnePass { adam: *adam, burn },
            muon: (self == Method::Muon).then(OnTiles::new),
        })
    }
}

/// Each weight's optimizer, by its shape.
#[derive(Clone)]
struct ByShape {
    adam: OnePass,
    muon: Option<OnTiles>,
}

/// The state of either; stored as Burn stores its own.
#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each weight, which is larger"
)]
enum State<const D: usize> {
    Adam(AdamState<D>),
    Muon(MuonState<2>),
}

impl<const D: usize> RecordState for State<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        match self {
            State::Adam(state) => state.state_flatten(prefix, out),
            State::Muon(state) => state.state_flatten(prefix, out),
        }
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        if let Some(state) = AdamState::state_unflatten(prefix, src, device) {
            return Some(State::Adam(state));
        }
        MuonState::state_unflatten(prefix, src, device).map(State::Muon)
    }
}

impl Optimizer for ByShape {
    type State<const D: usize> = State<D>;

    /// Where a run goes on with another method, a weight begins anew.
    fn step<const D: usize>(
        &self,
        rate: f64,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<State<D>>,
    ) -> (Tensor<D>, Option<State<D>>) {
        let shape = weight.dims();
        let convolution = D == 4 && shape[..2].iter().all(|n| *n >= FEWEST_CHANNELS);
        match &self.muon {
            Some(muon) if convolution => {
                let state = match state {
                    Some(State::Muon(state)) => Some(state),
                    _ => None,
                };
                let flat = [shape[0], shape[1..].iter().product()];
                let (weight, gradient) = (weight.reshape(flat), gradient.reshape(flat));
                let (weight, state) = muon.step(rate, weight, gradient, state);
                (weight.reshape(shape), state.map(State::Muon))
            }
            _ => {
                let state = match state {
                    Some(State::Adam(state)) => Some(state),
                    _ => None,
                };
                let (weight, state) = self.adam.step(rate, weight, gradient, state);
                (weight, state.map(State::Adam))
            }
        }
    }

    fn to_device<const D: usize>(state: State<D>, device: &Device) -> State<D> {
        match state {
            State::Adam(state) => State::Adam(BurnAdam::to_device(state, device)),
            State::Muon(state) => State::Muon(Muon::to_device(state, device)),
        }
    }
}

/// Burn's Adam, with its state, in one pass over the weights where we have a kernel for it.
#[derive(Clone)]
struct OnePass {
    adam: Adam,
    burn: BurnAdam,
}

impl OnePass {
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
}

/// Burn's Muon, with its state, its Newton-Schulz steps on tiles where the CPU has them.
#[derive(Clone)]
struct OnTiles {
    momentum: Momentum,
    burn: Muon,
}

impl OnTiles {
    fn new() -> Self {
        // As Burn's Muon has it by default.
        let momentum = MomentumConfig {
            momentum: 0.95,
            dampening: 0.0,
            nesterov: true,
        };
        Self {
            momentum: Momentum::new(&momentum),
            burn: MuonConfig::new()
                .with_momentum(momentum)
                .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW)
                .build(),
        }
    }

    fn step(
        &self,
        rate: f64,
        weight: Tensor<2>,
        gradient: Tensor<2>,
        state: Option<MuonState<2>>,
    ) -> (Tensor<2>, Option<MuonState<2>>) {
        if !ops::has_orthogonal(&gradient) {
            return self.burn.step(rate, weight, gradient, state);
        }
        let momentum = state.map(|state| state.momentum);
        let (direction, momentum) = self.momentum.transform(gradient, momentum);
        let direction = ops::orthogonal(direction);
        let [rows, columns] = weight.dims();
        // The length that `MatchRmsAdamW` gives: entries of 0.2 in the quadratic mean.
        let length = rate * 0.2 * (rows.max(columns) as f64).sqrt();
        let state = MuonState::new(momentum);
        (weight - direction * length, Some(state))
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::networks::layers::{Conv2d, Conv2dConfig, InitRng};

    /// How a convolution of so many channels moves against a diagonal gradient, in units of the
    /// learning rate, in two steps, the optimizer stored and read between them where asked.
    fn moved(method: Method, channels: usize, stored: bool) -> Vec<f32> {
        const RATE: f64 = 1.0 / 64.0;
        let device = Device::flex();
        let mut rng = InitRng::seed_from_u64(4);
        let config = Conv2dConfig::same([channels; 2], 1);
        let mut conv: Conv2d = with_stable_ids(config.init(&mut rng, &device)).train();
        let before = host_values(conv.weight.val());
        let mut gradient = vec![0.0; channels * channels];
        for c in 0..channels {
            gradient[c * channels + c] = 1.0 + c as f32;
        }
        let adam = Adam::generator();
        let mut optimizer = method.init(&adam);
        for _ in 0..2 {
            let shape = [channels, channels, 1, 1];
            let gradient: Tensor<4> =
                Tensor::from_data(TensorData::new(gradient.clone(), shape), &device);
            let mut gradients = GradientsParams::new();
            gradients.register(conv.weight.id, gradient);
            conv = optimizer.step(RATE, conv, gradients);
            if stored {
                let bytes = optimizer.into_bytes().unwrap();
                optimizer = method.init(&adam).from_bytes(bytes).unwrap();
            }
        }
        let after = host_values(conv.weight.val());
        let moved = before.iter().zip(&after);
        moved.map(|(a, b)| (a - b) / RATE as f32).collect()
    }

    /// Expected: two orthogonal matrices, times 0.2 · √16; five Newton-Schulz steps with the
    /// published coefficients bring singular values to between 0.68 and 1.14.
    #[test]
    fn muon_moves_all_directions_of_a_wide_convolution_alike() {
        let moved = moved(Method::Muon, 16, false);
        for (i, v) in moved.iter().enumerate() {
            if i % 17 == 0 {
                let size = v / (2.0 * 0.2 * 4.0);
                assert!((0.65..1.2).contains(&size), "{i}: {size}");
            } else {
                assert!(v.abs() < 1e-2, "{i}: {v}");
            }
        }
    }

    /// Expected: Adam's first steps along a constant gradient are as long as the learning rate.
    #[test]
    fn muon_leaves_narrow_convolutions_to_adam() {
        let moved_by = |method| moved(method, 15, false);
        assert_eq!(moved_by(Method::Muon), moved_by(Method::Adam));
        assert!((moved_by(Method::Adam)[0] - 2.0).abs() < 1e-3);
    }

    #[test]
    fn a_stored_optimizer_goes_on_as_it_was() {
        for method in [Method::Adam, Method::Muon] {
            assert_eq!(
                moved(method, 16, true),
                moved(method, 16, false),
                "{method:?}"
            );
        }
    }
}
