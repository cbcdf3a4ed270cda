//! What both samplers do at a step: draw noise, ask a network, score a pair, tell the caller.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use super::events::{Evaluations, Event, OnEvent, Verdict};
use super::noise::NoiseSource;
use crate::conditions::Conditions;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::networks::GuideAlignment;
use crate::sde::At;

/// A batch on its way through a sampler.
pub(super) struct Run<'a> {
    pub model: &'a Model,
    pub conditions: &'a Conditions,
    alignment: GuideAlignment,
    noise: &'a mut dyn NoiseSource,
    on_event: &'a mut OnEvent<'a>,
    pub evaluations: Evaluations,
    /// Pictures that noise is drawn for; the others get zeros, and their streams stay where they
    /// are. Resampling ends at different rounds for different pictures.
    pub active: Vec<bool>,
}

impl<'a> Run<'a> {
    /// # Errors
    /// If the pictures are too small for the networks.
    pub fn new(
        model: &'a Model,
        conditions: &'a Conditions,
        alignment: GuideAlignment,
        noise: &'a mut dyn NoiseSource,
        on_event: &'a mut OnEvent<'a>,
    ) -> Result<Self> {
        let [batch, _, height, width] = conditions.mask.dims();
        model.check_size(height, width)?;
        Ok(Self {
            model,
            conditions,
            alignment,
            noise,
            on_event,
            evaluations: Evaluations::default(),
            active: vec![true; batch],
        })
    }

    /// N(0, 1) of the batch's size.
    pub fn draw(&mut self, channels: usize) -> Result<Tensor<4>> {
        let [batch, _, height, width] = self.conditions.mask.dims();
        let shape = [channels, height, width];
        let mut values = Vec::with_capacity(batch * channels * height * width);
        for (picture, &active) in self.active.iter().enumerate() {
            if active {
                values.extend(self.noise.normal(picture, shape)?);
            } else {
                values.resize(values.len() + channels * height * width, 0.0);
            }
        }
        let data = TensorData::new(values, [batch, channels, height, width]);
        Ok(Tensor::from_data(data, &self.conditions.mask.device()))
    }

    /// The structure x at t.
    pub fn structure_at(&self, x: &Tensor<4>, t: usize) -> At<'static> {
        At::new(x, &self.conditions.edges, t)
    }

    /// The texture y at t.
    pub fn texture_at(&self, y: &Tensor<4>, t: usize) -> At<'static> {
        At::new(y, &self.conditions.texture, t)
    }

    /// The structure network's output for x_t.
    pub fn ask_structure(&mut self, x: &Tensor<4>, t: usize) -> Tensor<4> {
        self.evaluations.structure += 1;
        self.model.structure.forward(
            x.clone(),
            self.conditions.edges.clone(),
            self.conditions.structure_context.clone(),
            &[t as f32],
            None,
            self.alignment,
        )
    }

    /// The texture network's output for y_t, guided by a structure if it listens to one.
    pub fn ask_texture(&mut self, y: &Tensor<4>, guide: Tensor<4>, t: usize) -> Tensor<4> {
        self.evaluations.texture += 1;
        self.model.texture.forward(
            y.clone(),
            self.conditions.texture.clone(),
            self.conditions.texture_context.clone(),
            &[t as f32],
            self.model.texture.is_guided().then_some(guide),
            self.alignment,
        )
    }

    /// The discriminator's scores of a pair at t − 1, one for each picture.
    pub fn score(
        &mut self,
        texture: Tensor<4>,
        structure: Tensor<4>,
        t: usize,
        round: usize,
    ) -> Result<Vec<f32>> {
        let network = &self.model.discriminator;
        let scores = network.score_each(t as f32, &texture, &structure);
        self.evaluations.discriminator += 1;
        self.tell(&Event::Scored {
            t,
            round,
            scores: &scores,
        })?;
        Ok(scores)
    }

    /// Tells what became of each active picture's new pair.
    pub fn tell_verdicts(&mut self, t: usize, round: usize, verdicts: &[Verdict]) -> Result<()> {
        for (picture, &verdict) in verdicts.iter().enumerate() {
            if self.active[picture] {
                self.tell(&Event::Resampled {
                    t,
                    round,
                    picture,
                    verdict,
                })?;
            }
        }
        Ok(())
    }

    pub fn tell(&mut self, event: &Event) -> Result<()> {
        match (self.on_event)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
