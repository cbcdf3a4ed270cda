//! One training step: what `strdiffusion train` repeats, without its data.

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Tensor};
use strdiffusion::networks::{ConditionalUNet, ConditionalUNetConfig, GuideAlignment, Precision};
use strdiffusion::ops::timed;
use strdiffusion::training::optimizer::{Adam, gradients};
use strdiffusion::weights::host_values;
use strdiffusion::{Device, Result};

use super::networks::{Kind, TIME};

/// A network in training and one batch.
pub struct Step {
    network: Option<ConditionalUNet>,
    optimizer: ModuleOptimizer,
    state: Tensor<4>,
    guide: Tensor<4>,
    context: Option<Tensor<4>>,
    times: Vec<f32>,
    precision: Precision,
}

impl Step {
    /// A fresh network, and random pictures to train it on.
    pub fn prepare(
        config: &ConditionalUNetConfig,
        [batch, size]: [usize; 2],
        precision: Precision,
        device: &Device,
    ) -> Result<impl FnMut()> {
        let device = device.clone().autodiff();
        let input = Kind::Texture.random_input(config.context_channels, [batch, size], &device)?;
        let mut tensors = input.named().map(|(_, tensor)| tensor.clone());
        let mut next = || tensors.next().expect("three tensors");
        let (state, _, guide) = (next(), next(), next());
        let context = tensors.next();
        let mut step = Self {
            network: Some(config.init(0, &device)?),
            optimizer: Adam::generator().init(),
            state,
            guide,
            context,
            times: vec![TIME; batch],
            precision,
        };
        Ok(move || step.run())
    }

    /// Forward, mean absolute error, backward, Adam.
    fn run(&mut self) {
        let mut network = self.network.take().expect("put back by the last step");
        network.iterate_power();
        let dtype = self.precision.dtype(&self.state.device());
        let output = self.precision.of(&network).forward(
            self.state.clone().cast(dtype),
            self.state.clone().cast(dtype),
            self.context.clone().map(|context| context.cast(dtype)),
            &self.times,
            Some(self.guide.clone().cast(dtype)),
            GuideAlignment::Padded,
        );
        let loss = (output.cast(DType::F32) - self.state.clone()).abs().mean();
        let gradients: GradientsParams = gradients(&network, &loss);
        host_values(loss);
        self.network = Some(timed(
            || "Adam".into(),
            || self.optimizer.step(1e-4, network, gradients),
        ));
    }
}
