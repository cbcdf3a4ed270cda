//! The paper's sampler: structure and texture denoised side by side, with adaptive resampling
//! (StrDiffusion, section 3; resampling descends from RePaint, Lugmayr et al., CVPR 2022).
//!
//! ```text
//! y ← y_T, x ← x_T
//! early stage, t = T … ⌊0.4 T⌋:
//!   1. paste the known structure into x, step x to t − 1
//!   2. step y to t − 1, guided by x; score the pair
//!   3. if t is a multiple of `jump`: noise x up and denoise it again, step y again with it,
//!      and let the discriminator choose, up to `u_max` − 1 times
//!   4. keep the chosen pair, with the known structure pasted in
//! late stage: step y alone, guided by itself
//! ```
//!
//! Where the reference implementation departs from its own method, [`Switches`] holds one switch
//! for each departure. [`Switches::default`] does what the method means,
//! [`Switches::reference`] what the reference does.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::choose::{self, Led, Pair, Stepped};
use crate::conditions::Guide;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::networks::GuideAlignment;
use crate::noise::NoiseSource;
use crate::weights::host_values;

/// The four parameters of adaptive resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// At most `u_max` − 1 rounds at one t.
    pub u_max: usize,
    /// A rejected round ends the resampling from round `u_min` on.
    pub u_min: usize,
    /// Resampling happens where t is a multiple of this.
    pub jump: usize,
    /// Steps that the structure is noised back (never past T).
    pub re: usize,
}

impl Default for Resampling {
    /// The paper's values for T = 400.
    fn default() -> Self {
        Self {
            u_max: 6,
            u_min: 3,
            jump: 5,
            re: 5,
        }
    }
}

/// At which level the known structure is drawn that is pasted into the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownStructure {
    /// At the level of the state, a fresh draw each time.
    #[default]
    AtLevel,
    /// One draw at t − 1 for all that happens at t: the reference.
    OneAhead,
}

/// Which θ noises x_{k−1} to x_k in resampling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardTheta {
    /// θ_k.
    #[default]
    OfTarget,
    /// θ_{k−1}: the reference.
    OfSource,
}

/// What a resampled pair is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incumbent {
    /// The score of the pair at hand.
    #[default]
    Current,
    /// The score of the first pair at this t, whatever was accepted since: the reference.
    First,
}

/// Which score wins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher: training drives the score of matching pairs up.
    #[default]
    Higher,
    /// The lower: the reference.
    Lower,
    /// The newer pair, whatever the scores: as many rounds each time, as in RePaint. Nothing is
    /// scored.
    Newest,
}

/// What becomes of a pair that lost before round `u_min`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rejected {
    /// It is dropped.
    #[default]
    Dropped,
    /// It is averaged into the current pair, which shrinks the variance of its noise: the
    /// reference.
    Averaged,
    /// It is averaged into the current pair, with the noise scaled back to its variance.
    AveragedRescaled,
}

/// What of the texture the discriminator sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorView {
    /// All of it, as in training.
    #[default]
    Whole,
    /// The known region: the reference at test time.
    Known,
}

/// What guides the texture in the late stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateGuide {
    /// The structure process runs on without its network: its clean end is the luma of the
    /// texture's own estimate ŷ_0, and the guide its optimum reverse state at t − 1, as in
    /// training.
    #[default]
    Luma,
    /// The mean of the texture's channels at level t: the reference.
    ChannelMean,
}

/// The sampler's departures from the reference implementation, one switch each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Switches {
    /// Whether noise is added even in the last step (the reference does).
    pub last_step_noise: bool,
    /// At which level the known structure is drawn.
    pub known_structure: KnownStructure,
    /// Which θ noises the structure back.
    pub forward_theta: ForwardTheta,
    /// What a resampled pair is compared with.
    pub incumbent: Incumbent,
    /// Which score wins.
    pub better: Better,
    /// What becomes of a losing pair.
    pub rejected: Rejected,
    /// What of the texture the discriminator sees.
    pub discriminator_view: DiscriminatorView,
    /// What guides the texture in the late stage.
    pub late_guide: LateGuide,
    /// Whether the known texture is pasted into the state before each step (the reference does
    /// not, and neither does the paper).
    pub composite_texture: bool,
    /// How the guide meets padded features.
    pub guide_alignment: GuideAlignment,
}

impl Switches {
    /// All as in the reference implementation.
    pub fn reference() -> Self {
        Self {
            last_step_noise: true,
            known_structure: KnownStructure::OneAhead,
            forward_theta: ForwardTheta::OfSource,
            incumbent: Incumbent::First,
            better: Better::Lower,
            rejected: Rejected::Averaged,
            discriminator_view: DiscriminatorView::Known,
            late_guide: LateGuide::ChannelMean,
            composite_texture: false,
            guide_alignment: GuideAlignment::Stretched,
        }
    }
}

/// Settings of the paper's sampler.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperSampler {
    /// Adaptive resampling, or none.
    pub resampling: Option<Resampling>,
    /// The early stage lasts until t = ⌊this · T⌋.
    pub early_until: f64,
    /// The switches.
    pub switches: Switches,
}

impl Default for PaperSampler {
    fn default() -> Self {
        Self {
            resampling: Some(Resampling::default()),
            early_until: 0.4,
            switches: Switches::default(),
        }
    }
}

impl PaperSampler {
    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.early_until) {
            return Err(Error::Config(format!(
                "early_until is {}: it must be 0 to 1",
                self.early_until
            )));
        }
        if let Some(Resampling {
            u_max,
            u_min,
            jump,
            re,
        }) = self.resampling
            && [u_max, u_min, jump, re].contains(&0)
        {
            return Err(Error::Config(format!(
                "resampling parameters u_max {u_max}, u_min {u_min}, jump {jump}, re {re}: each \
                 must be at least 1"
            )));
        }
        Ok(())
    }
}

/// What the networks are conditioned on, for a batch of pictures of one size.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Mask m, `[b, 1, h, w]`: 1 = known, 0 = hole.
    pub mask: Tensor<4>,
    /// The texture's μ, `[b, 3, h, w]` in [0, 1]: the known pixels; in the hole zero or what the
    /// model's [`Conditioning`](crate::conditions::Conditioning) says.
    pub texture: Tensor<4>,
    /// Known structure, gray · m, `[b, 1, h, w]`.
    pub gray: Tensor<4>,
    /// Edges · m (or edges drawn into the hole), `[b, 1, h, w]` in [0, 1]: the structure's μ.
    pub edges: Tensor<4>,
    /// What else the texture network reads, `[b, _, h, w]`.
    pub texture_context: Option<Tensor<4>>,
    /// What else the structure network reads, `[b, _, h, w]`.
    pub structure_context: Option<Tensor<4>>,
}

/// How often each network was evaluated (on a whole batch).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluations {
    /// Texture network.
    pub texture: usize,
    /// Structure network.
    pub structure: usize,
    /// Discriminator.
    pub discriminator: usize,
}

/// The part of the procedure that an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Structure leads.
    Early,
    /// Texture alone.
    Late,
}

/// What the discriminator's score of a resampled pair led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The new pair was taken.
    Accepted,
    /// The new pair was averaged in.
    Averaged,
    /// The new pair was dropped, and resampling goes on.
    Dropped,
    /// The new pair was dropped, and resampling ended.
    Stopped,
}

/// What happens while sampling. Return [`ControlFlow::Break`] from the callback to cancel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step is done.
    Step {
        /// The timestep that was left; the states are now at t − 1.
        t: usize,
        /// Steps done, this one included.
        done: usize,
        /// Steps in all.
        total: usize,
        /// Stage of the procedure.
        phase: Phase,
        /// Texture `[b, 3, h, w]`.
        texture: &'a Tensor<4>,
        /// Structure `[b, 1, h, w]`; in the late stage the guide.
        structure: &'a Tensor<4>,
        /// The texture's estimate ŷ_0 of its clean end, `[b, 3, h, w]`.
        clean: &'a Tensor<4>,
        /// Network evaluations so far.
        evaluations: Evaluations,
    },
    /// The discriminator scored the pairs of a batch.
    Scored {
        /// Timestep.
        t: usize,
        /// Round of resampling; 0 for the pair before resampling.
        round: usize,
        /// One score for each picture.
        scores: &'a [f32],
    },
    /// A round of resampling ended for one picture.
    Resampled {
        /// Timestep.
        t: usize,
        /// Round, from 1.
        round: usize,
        /// Which picture of the batch.
        picture: usize,
        /// What became of the new pair.
        verdict: Verdict,
    },
}

/// The caller's window into the sampler.
pub type OnEvent<'a> = dyn FnMut(&Event) -> ControlFlow<()> + 'a;

/// What sampling gives.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The texture y_0 as denoised, not composited, `[b, 3, h, w]`.
    pub texture: Tensor<4>,
    /// The last structure (or guide), `[b, 1, h, w]`.
    pub structure: Tensor<4>,
    /// Network evaluations.
    pub evaluations: Evaluations,
}

impl Sampled {
    /// m · image + (1 − m) · y.
    pub fn composite(&self, conditions: &Conditions) -> Tensor<4> {
        paste(
            self.texture.clone(),
            conditions.texture.clone(),
            &conditions.mask,
        )
    }
}

/// m · known + (1 − m) · x.
fn paste(x: Tensor<4>, known: Tensor<4>, mask: &Tensor<4>) -> Tensor<4> {
    known * mask.clone() + x * (1.0 - mask.clone())
}

/// Luma of an RGB batch, `[b, 1, h, w]`, with the weights of the structure's grayscale.
pub fn luma(rgb: Tensor<4>) -> Tensor<4> {
    let [r, g, b] = crate::structure::LUMA.map(f64::from);
    let channel = |i: usize| rgb.clone().narrow(1, i, 1);
    channel(0) * r + channel(1) * g + channel(2) * b
}

/// Fills the holes of a batch by the paper's procedure.
///
/// # Errors
/// If the settings or sizes are out of range, the noise source runs out, or the callback breaks
/// ([`Error::Cancelled`]).
pub fn sample(
    model: &Model,
    conditions: &Conditions,
    settings: &PaperSampler,
    noise: &mut dyn NoiseSource,
    on_event: &mut OnEvent,
) -> Result<Sampled> {
    settings.validate()?;
    let [batch, _, height, width] = conditions.mask.dims();
    model.check_size(height, width)?;
    let mut run = Run {
        model,
        conditions,
        switches: settings.switches,
        noise,
        on_event,
        evaluations: Evaluations::default(),
        active: vec![true; batch],
    };
    run.sample(settings)
}

struct Run<'a> {
    model: &'a Model,
    conditions: &'a Conditions,
    switches: Switches,
    noise: &'a mut dyn NoiseSource,
    on_event: &'a mut OnEvent<'a>,
    evaluations: Evaluations,
    /// Pictures that noise is drawn for; the others get zeros. Resampling ends at different rounds
    /// for different pictures.
    active: Vec<bool>,
}

impl Run<'_> {
    fn sample(&mut self, settings: &PaperSampler) -> Result<Sampled> {
        let sde = &self.model.sde;
        let (mu_y, mu_x) = (
            self.conditions.texture.clone(),
            self.conditions.edges.clone(),
        );
        let total = sde.steps();
        let mut early_end = (settings.early_until * total as f64).floor().max(1.0) as usize;
        if !self.model.texture.is_guided() {
            early_end = total + 1; // no structure leads a texture that does not listen
        }

        let mut texture = sde.start(mu_y.clone(), self.draw(3)?);
        let mut structure = sde.start(mu_x.clone(), self.draw(1)?);
        let mut clean = mu_y.clone();

        for t in (early_end..=total).rev() {
            // The reference draws once at t − 1 for all that happens at t.
            let ahead = match self.switches.known_structure {
                KnownStructure::OneAhead => Some(self.known_structure(t - 1)?),
                KnownStructure::AtLevel => None,
            };
            let x = self.step_structure(structure, t, ahead.as_ref())?;
            let mut pair = self.step_texture(&texture, x, t)?;
            if let Some(resampling) = settings.resampling
                && t.is_multiple_of(resampling.jump)
            {
                pair = self.resample(pair, &texture, t, &resampling, ahead.as_ref())?;
            } else if settings.resampling.is_some() && self.always_scores() {
                self.score(&pair, t, 0)?;
            }
            texture = pair.texture.state();
            clean = pair.clean.clone();
            structure = self.paste_structure(pair.structure.state(), t - 1, ahead.as_ref())?;
            self.report_step(t, Phase::Early, &texture, &structure, &clean)?;
        }
        for t in (1..early_end).rev() {
            let guide = match self.switches.late_guide {
                LateGuide::ChannelMean => texture.clone().mean_dim(1),
                LateGuide::Luma => {
                    let end = luma(clean.clone());
                    let ahead = sde.optimum_step(structure, end.clone(), mu_x.clone(), t);
                    structure = ahead.clone() + self.draw(1)? * sde.posterior_sigma(t);
                    match self.model.config.guide {
                        Guide::StepAhead => ahead,
                        Guide::Clean => end,
                    }
                }
            };
            let (stepped, estimate) = self.advance_texture(&texture, guide.clone(), t)?;
            texture = stepped.state();
            clean = estimate;
            if self.switches.late_guide == LateGuide::ChannelMean {
                structure = guide.clone();
            }
            self.report_step(t, Phase::Late, &texture, &guide, &clean)?;
        }
        Ok(Sampled {
            texture,
            structure,
            evaluations: self.evaluations,
        })
    }

    /// The reference scores every early pair, though it uses the score only when it resamples.
    fn always_scores(&self) -> bool {
        self.switches.discriminator_view == DiscriminatorView::Known
    }

    /// Step 3: lets the discriminator choose between the pair and pairs with another structure.
    fn resample(
        &mut self,
        mut pair: Pair,
        texture: &Tensor<4>,
        t: usize,
        settings: &Resampling,
        ahead: Option<&Tensor<4>>,
    ) -> Result<Pair> {
        let sde = &self.model.sde;
        let mu_x = self.conditions.edges.clone();
        let mut incumbent = self.score(&pair, t, 0)?;
        let back = settings.re.min(sde.steps() - t + 1); // never past T
        for round in 1..settings.u_max {
            let mut x = pair.structure.state();
            for level in t..t + back {
                let theta_at = match self.switches.forward_theta {
                    ForwardTheta::OfTarget => level,
                    ForwardTheta::OfSource => level - 1,
                };
                x = sde.forward_step(x, mu_x.clone(), theta_at, self.draw(1)?);
            }
            let mut stepped = None;
            for level in (t..t + back).rev() {
                let next = self.step_structure(x, level, ahead)?;
                x = next.state();
                stepped = Some(next);
            }
            let stepped = stepped.expect("at least one step back");
            let challenger = self.step_texture(texture, stepped, t)?;
            let scores = self.score(&challenger, t, round)?;

            let Switches {
                better, rejected, ..
            } = self.switches;
            let may_stop = round >= settings.u_min;
            let verdicts = choose::judge(
                better,
                rejected,
                &scores,
                &incumbent,
                &self.active,
                may_stop,
            );
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
            pair = pair.settle(&challenger, &verdicts, rejected);
            for (picture, verdict) in verdicts.iter().enumerate() {
                self.active[picture] &= *verdict != Verdict::Stopped;
            }
            if !self.active.contains(&true) {
                break;
            }
            if round + 1 < settings.u_max {
                if self.switches.incumbent.must_be_scored(&verdicts) {
                    incumbent = self.score(&pair, t, round)?;
                } else {
                    self.switches
                        .incumbent
                        .follow(&mut incumbent, &scores, &verdicts);
                }
            }
        }
        self.active.fill(true);
        Ok(pair)
    }

    /// A sample of the known structure's marginal at `level`.
    fn known_structure(&mut self, level: usize) -> Result<Tensor<4>> {
        let z = self.draw(1)?;
        let Conditions { gray, edges, .. } = self.conditions;
        Ok(self
            .model
            .sde
            .marginal(gray.clone(), edges.clone(), level, z))
    }

    fn paste_structure(
        &mut self,
        x: Tensor<4>,
        level: usize,
        ahead: Option<&Tensor<4>>,
    ) -> Result<Tensor<4>> {
        let known = match ahead {
            Some(known) => known.clone(),
            None => self.known_structure(level)?,
        };
        Ok(paste(x, known, &self.conditions.mask))
    }

    /// Step 1: known structure pasted, then one reverse SDE step.
    fn step_structure(&mut self, x: Tensor<4>, t: usize, ahead: Option<&Tensor<4>>) -> Result<Led> {
        let x = self.paste_structure(x, t, ahead)?;
        let (model, mu) = (self.model, self.conditions.edges.clone());
        let output = model.structure.forward(
            x.clone(),
            mu.clone(),
            self.conditions.structure_context.clone(),
            &[t as f32],
            None,
            self.switches.guide_alignment,
        );
        self.evaluations.structure += 1;
        let (sde, prediction) = (&model.sde, model.config.prediction);
        let clean = sde.clean_from_output(output.clone(), prediction, x.clone(), mu.clone(), t);
        let Conditions { gray, mask, .. } = self.conditions;
        let clean = paste(clean, gray.clone(), mask);
        let noise = sde.noise_from_output(output, prediction, x.clone(), mu.clone(), t);
        let mean = sde.reverse_sde_mean(x, mu, sde.score_from_noise(noise, t), t);
        let stepped = Stepped {
            mean,
            noise: self.step_noise(1, t)?,
        };
        Ok(Led { stepped, clean })
    }

    /// Step 2: one reverse SDE step of the texture, guided by a structure.
    fn step_texture(&mut self, y: &Tensor<4>, structure: Led, t: usize) -> Result<Pair> {
        let guide = structure.guide(self.model.config.guide);
        let (texture, clean) = self.advance_texture(y, guide, t)?;
        Ok(Pair {
            structure,
            texture,
            clean,
        })
    }

    fn advance_texture(
        &mut self,
        y: &Tensor<4>,
        guide: Tensor<4>,
        t: usize,
    ) -> Result<(Stepped, Tensor<4>)> {
        let (model, mu) = (self.model, self.conditions.texture.clone());
        let sde = &model.sde;
        let y = if self.switches.composite_texture {
            let known = sde.marginal(mu.clone(), mu.clone(), t, self.draw(3)?);
            paste(y.clone(), known, &self.conditions.mask)
        } else {
            y.clone()
        };
        let output = model.texture.forward(
            y.clone(),
            mu.clone(),
            self.conditions.texture_context.clone(),
            &[t as f32],
            model.texture.is_guided().then_some(guide),
            self.switches.guide_alignment,
        );
        self.evaluations.texture += 1;
        let prediction = model.config.prediction;
        let clean = sde.clean_from_output(output.clone(), prediction, y.clone(), mu.clone(), t);
        let noise = sde.noise_from_output(output, prediction, y.clone(), mu.clone(), t);
        let mean = sde.reverse_sde_mean(y, mu, sde.score_from_noise(noise, t), t);
        Ok((
            Stepped {
                mean,
                noise: self.step_noise(3, t)?,
            },
            clean,
        ))
    }

    /// What the reverse SDE step at t adds to its mean: −σ_t √Δ z.
    fn step_noise(&mut self, channels: usize, t: usize) -> Result<Tensor<4>> {
        let z = self.draw(channels)?;
        let quiet = t == 1 && !self.switches.last_step_noise;
        Ok(if quiet {
            z.zeros_like()
        } else {
            -self.model.sde.dispersion(z, t)
        })
    }

    fn score(&mut self, pair: &Pair, t: usize, round: usize) -> Result<Vec<f32>> {
        if self.switches.better == Better::Newest {
            return Ok(vec![0.0; self.active.len()]);
        }
        let view = self.switches.discriminator_view;
        let texture = view.of(pair.texture.state(), &self.conditions.mask);
        let scores = self
            .model
            .discriminator
            .forward(&[t as f32], texture, pair.structure.state());
        self.evaluations.discriminator += 1;
        let scores = host_values(scores);
        self.tell(&Event::Scored {
            t,
            round,
            scores: &scores,
        })?;
        Ok(scores)
    }

    fn draw(&mut self, channels: usize) -> Result<Tensor<4>> {
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

    fn report_step(
        &mut self,
        t: usize,
        phase: Phase,
        texture: &Tensor<4>,
        structure: &Tensor<4>,
        clean: &Tensor<4>,
    ) -> Result<()> {
        let total = self.model.sde.steps();
        self.tell(&Event::Step {
            t,
            done: total - t + 1,
            total,
            phase,
            texture,
            structure,
            clean,
            evaluations: self.evaluations,
        })
    }

    fn tell(&mut self, event: &Event) -> Result<()> {
        match (self.on_event)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
