//! Layers that both networks are built from: convolution, linear, spectrally normalised
//! convolution, channel layer norm.
//!
//! Weights have PyTorch's layout (`[out, in, kh, kw]` and `[out, in]`), which is also the layout of
//! the published checkpoints and of our model folders. Fresh layers are initialised as PyTorch
//! initialises them: U(−1/√fan_in, 1/√fan_in).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::ops;

/// Where fresh weights come from.
#[derive(Debug, Clone)]
pub struct InitRng(Option<ChaCha8Rng>);

impl InitRng {
    /// A random source.
    pub fn seed_from_u64(seed: u64) -> Self {
        Self(Some(ChaCha8Rng::seed_from_u64(seed)))
    }

    /// Zeros alone: for networks whose weights will be read. Drawing millions of numbers takes
    /// longer than reading them.
    pub fn zeros() -> Self {
        Self(None)
    }
}

/// How the weights of a fresh layer are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// PyTorch's default for convolutions and linear layers: U(−1/√fan_in, 1/√fan_in), bias too.
    FanIn,
    /// N(0, std), zero bias: the guide blocks (std 0.02).
    Normal(f64),
    /// Variance scaling over the mean of fan-in and fan-out, uniform, zero bias: the
    /// discriminator. A scale near zero makes the layer start as nothing.
    FanAverage(f64),
}

/// A trainable tensor drawn by `init`; `fan_in` and `fan_out` count the weights of one unit.
pub(crate) fn init_weight<const D: usize>(
    shape: [usize; D],
    [fan_in, fan_out]: [usize; 2],
    init: Init,
    rng: &mut InitRng,
    device: &Device,
) -> Param<Tensor<D>> {
    let len = shape.iter().product();
    let Some(rng) = &mut rng.0 else {
        return Param::from_data(TensorData::new(vec![0f32; len], shape), device);
    };
    let uniform = |rng: &mut ChaCha8Rng, bound: f64| -> Vec<f32> {
        (0..len)
            .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
            .collect()
    };
    let values = match init {
        Init::FanIn => uniform(rng, 1.0 / (fan_in as f64).sqrt()),
        Init::Normal(std) => (0..len)
            .map(|_| {
                let z: f64 = StandardNormal.sample(rng);
                (z * std) as f32
            })
            .collect(),
        Init::FanAverage(scale) => {
            let variance = scale.max(1e-10) / ((fan_in + fan_out) as f64 / 2.0);
            uniform(rng, (3.0 * variance).sqrt())
        }
    };
    Param::from_data(TensorData::new(values, shape), device)
}

fn init_bias(
    len: usize,
    fan_in: usize,
    init: Init,
    rng: &mut InitRng,
    device: &Device,
) -> Param<Tensor<1>> {
    match init {
        Init::FanIn => init_weight([len], [fan_in, len], init, rng, device),
        Init::Normal(_) | Init::FanAverage(_) => {
            Param::from_data(TensorData::new(vec![0f32; len], [len]), device)
        }
    }
}

/// 2-D convolution with zero padding, `[b, in, h, w]` → `[b, out, h', w']`.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, k, k]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
}

/// What a [`Conv2d`] is made of.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dConfig {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Side of the square kernel, in pixels.
    pub kernel: usize,
    /// Step between output pixels.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Whether a constant is added to each output channel.
    pub bias: bool,
    /// How fresh weights are drawn.
    pub init: Init,
}

impl Conv2dConfig {
    /// Stride 1 and the padding that keeps the picture's size; no bias.
    pub fn same(channels: [usize; 2], kernel: usize) -> Self {
        Self {
            channels,
            kernel,
            stride: 1,
            padding: kernel / 2,
            bias: false,
            init: Init::FanIn,
        }
    }

    /// The same convolution with a bias.
    pub fn with_bias(mut self) -> Self {
        self.bias = true;
        self
    }

    /// The same convolution with other fresh weights.
    pub fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// A fresh layer.
    pub fn init(&self, rng: &mut InitRng, device: &Device) -> Conv2d {
        let [c_in, c_out] = self.channels;
        let area = self.kernel * self.kernel;
        let fans = [c_in * area, c_out * area];
        Conv2d {
            weight: init_weight(
                [c_out, c_in, self.kernel, self.kernel],
                fans,
                self.init,
                rng,
                device,
            ),
            bias: self
                .bias
                .then(|| init_bias(c_out, fans[0], self.init, rng, device)),
            stride: self.stride,
            padding: self.padding,
        }
    }
}

impl Conv2d {
    /// `[b, in, h, w]` → `[b, out, h', w']`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::conv2d(x, self.weight.val(), bias, self.stride, self.padding)
    }
}

/// Affine map of the last axis, `[b, in]` → `[b, out]`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A fresh layer.
    pub fn new([d_in, d_out]: [usize; 2], init: Init, rng: &mut InitRng, device: &Device) -> Self {
        Self {
            weight: init_weight([d_out, d_in], [d_in, d_out], init, rng, device),
            bias: init_bias(d_out, d_in, init, rng, device),
        }
    }

    /// `[b, in]` → `[b, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

/// Layer norm over the channels of each pixel, with a gain and no offset (ε = 1e-5).
#[derive(Module, Debug)]
pub struct ChannelNorm {
    /// The gain g, `[1, c, 1, 1]`.
    pub gain: Param<Tensor<4>>,
}

impl ChannelNorm {
    /// A fresh norm: gain one.
    pub fn new(channels: usize, device: &Device) -> Self {
        let ones = TensorData::new(vec![1f32; channels], [1, channels, 1, 1]);
        Self {
            gain: Param::from_data(ones, device),
        }
    }
}

/// 3×3 convolution under spectral norm: the weight is divided by an estimate σ = uᵀ W v of its
/// largest singular value (Miyato et al., ICLR 2018).
///
/// [`forward`](Self::forward) uses the stored u and v as they are. Training calls
/// [`iterate_power`](Self::iterate_power) once before each forward pass.
#[derive(Module, Debug)]
pub struct SpectralConv2d {
    /// W before the division, `[out, in, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    /// Left singular vector u, `[out]`; not trained.
    pub left: Param<Tensor<1>>,
    /// Right singular vector v, `[in · 9]`; not trained.
    pub right: Param<Tensor<1>>,
}

impl SpectralConv2d {
    /// A fresh layer: weights N(0, 0.02), zero bias, random unit vectors.
    pub fn new(channels: usize, rng: &mut InitRng, device: &Device) -> Self {
        let columns = channels * 9;
        let weight = init_weight(
            [channels, channels, 3, 3],
            [columns, columns],
            Init::Normal(0.02),
            rng,
            device,
        );
        let mut unit = |len: usize| {
            let values: Vec<f32> = match &mut rng.0 {
                Some(rng) => (0..len).map(|_| StandardNormal.sample(rng)).collect(),
                None => vec![0.0; len],
            };
            let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            let values: Vec<f32> = values.iter().map(|v| v / norm).collect();
            Param::from_data(TensorData::new(values, [len]), device).set_require_grad(false)
        };
        Self {
            left: unit(channels),
            right: unit(columns),
            bias: init_bias(channels, columns, Init::Normal(0.02), rng, device),
            weight,
        }
    }

    /// `[b, c, h, w]` → the same shape. u and v count as constants in the gradient.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        ops::conv2d_over(x, self.weight.val(), self.sigma(), self.bias.val(), 1)
    }

    /// W / σ, `[out, in, 3, 3]`.
    pub(super) fn normalised_weight(&self) -> Tensor<4> {
        self.weight.val() / self.sigma().reshape([1, 1, 1, 1])
    }

    /// σ = uᵀWv, `[1]`.
    fn sigma(&self) -> Tensor<1> {
        let weight = self.weight.val();
        let [c_out, c_in, kh, kw] = weight.dims();
        let matrix = weight.reshape([c_out, c_in * kh * kw]);
        let u = self.left.val().detach().reshape([1, c_out]);
        let v = self.right.val().detach().reshape([c_in * kh * kw, 1]);
        u.matmul(matrix.matmul(v)).reshape([1])
    }

    /// One power iteration: v ← Wᵀu / ‖Wᵀu‖, then u ← Wv / ‖Wv‖.
    pub fn iterate_power(&mut self) {
        let weight = self.weight.val().inner();
        let [c_out, c_in, kh, kw] = weight.dims();
        let matrix = weight.reshape([c_out, c_in * kh * kw]);
        let unit = |x: Tensor<2>| {
            let norm = x.clone().square().sum_dim(0).sqrt().clamp_min(1e-12);
            x / norm
        };
        let u = self.left.val().inner().reshape([c_out, 1]);
        let v = unit(matrix.clone().transpose().matmul(u));
        let u = unit(matrix.matmul(v.clone()));
        self.left = replace(&self.left, u.reshape([c_out]));
        self.right = replace(&self.right, v.reshape([c_in * kh * kw]));
    }
}

/// The same parameter with another value; it stays untrained and on its autodiff context.
fn replace(param: &Param<Tensor<1>>, value: Tensor<1>) -> Param<Tensor<1>> {
    param.clone().map(|old| {
        if old.is_autodiff() {
            Tensor::from_inner(value).set_require_grad(false)
        } else {
            value
        }
    })
}
