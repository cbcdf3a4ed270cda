//! The paper's procedure: structure and texture denoised side by side, with adaptive resampling
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

use burn::tensor::Tensor;

use super::choose::{self, Led, Pair, Stepped};
use super::events::{Event, OnEvent, Phase, Sampled, Verdict};
use super::noise::NoiseSource;
use super::run::Run;
use super::settings::{
    Better, DiscriminatorView, ForwardTheta, KnownStructure, LateGuide, PaperSampler, Resampling,
    Switches,
};
use crate::conditioning::Guide;
use crate::conditions::{Conditions, paste};
use crate::error::Result;
use crate::model::Model;
use crate::structure::batch_luma;

/// Fills the holes of a batch by the paper's procedure.
///
/// # Errors
/// If the settings or sizes are out of range, the noise source runs out, or the callback breaks
/// ([`crate::Error::Cancelled`]).
pub fn sample(
    model: &Model,
    conditions: &Conditions,
    settings: &PaperSampler,
    noise: &mut dyn NoiseSource,
    on_event: &mut OnEvent,
) -> Result<Sampled> {
    settings.validate()?;
    let switches = settings.switches;
    let run = Run::new(model, conditions, switches.guide_alignment, noise, on_event)?;
    Procedure { run, switches }.sample(settings)
}

struct Procedure<'a> {
    run: Run<'a>,
    switches: Switches,
}

impl Procedure<'_> {
    fn sample(&mut self, settings: &PaperSampler) -> Result<Sampled> {
        let (model, conditions) = (self.run.model, self.run.conditions);
        let sde = &model.sde;
        let total = sde.steps();
        let mut early_end = (settings.early_until * total as f64).floor().max(1.0) as usize;
        if !model.texture.is_guided() {
            early_end = total + 1; // no structure leads a texture that does not listen
        }

        let mut y = sde.start(conditions.texture.clone(), self.run.draw(3)?);
        let mut x = sde.start(conditions.edges.clone(), self.run.draw(1)?);
        let mut clean = conditions.texture.clone();

        for t in (early_end..=total).rev() {
            // The reference draws once at t − 1 for all that happens at t.
            let ahead = match self.switches.known_structure {
                KnownStructure::OneAhead => Some(self.known_structure(t - 1)?),
                KnownStructure::AtLevel => None,
            };
            let led = self.step_structure(x, t, ahead.as_ref())?;
            let mut pair = self.step_texture(&y, led, t)?;
            if let Some(resampling) = settings.resampling
                && t.is_multiple_of(resampling.jump)
            {
                pair = self.resample(pair, &y, t, &resampling, ahead.as_ref())?;
            } else if settings.resampling.is_some() && self.always_scores() {
                self.score(&pair, t, 0)?;
            }
            y = pair.texture.state();
            clean = pair.clean.clone();
            x = self.paste_structure(pair.structure.state(), t - 1, ahead.as_ref())?;
            self.report_step(t, Phase::Early, &y, &x, &clean)?;
        }
        for t in (1..early_end).rev() {
            let guide = match self.switches.late_guide {
                LateGuide::ChannelMean => y.clone().mean_dim(1),
                LateGuide::Luma => {
                    let end = batch_luma(clean.clone());
                    let ahead = sde.optimum_step(&self.run.structure_at(&x, t), end.clone());
                    x = ahead.clone() + self.run.draw(1)? * sde.posterior_sigma(t);
                    match model.config.guide {
                        Guide::StepAhead => ahead,
                        Guide::Clean => end,
                    }
                }
            };
            let (stepped, estimate) = self.advance_texture(&y, guide.clone(), t)?;
            y = stepped.state();
            clean = estimate;
            if self.switches.late_guide == LateGuide::ChannelMean {
                x = guide.clone();
            }
            self.report_step(t, Phase::Late, &y, &guide, &clean)?;
        }
        Ok(Sampled {
            texture: y,
            structure: x,
            evaluations: self.run.evaluations,
        })
    }

    /// Step 1: known structure pasted, then one reverse SDE step.
    fn step_structure(&mut self, x: Tensor<4>, t: usize, ahead: Option<&Tensor<4>>) -> Result<Led> {
        let x = self.paste_structure(x, t, ahead)?;
        let output = self.run.ask_structure(&x, t);
        let (model, Conditions { gray, mask, .. }) = (self.run.model, self.run.conditions);
        let (sde, prediction, at) = (
            &model.sde,
            model.config.prediction,
            self.run.structure_at(&x, t),
        );
        let clean = sde.clean_from_output(&at, output.clone(), prediction);
        let noise = sde.noise_from_output(&at, output, prediction);
        let stepped = Stepped {
            mean: sde.reverse_sde_mean(&at, sde.score_from_noise(noise, t)),
            noise: self.step_noise(1, t)?,
        };
        Ok(Led {
            stepped,
            clean: paste(clean, gray.clone(), mask),
        })
    }

    /// Step 2: one reverse SDE step of the texture, guided by a structure.
    fn step_texture(&mut self, y: &Tensor<4>, structure: Led, t: usize) -> Result<Pair> {
        let guide = structure.guide(self.run.model.config.guide);
        let (texture, clean) = self.advance_texture(y, guide, t)?;
        Ok(Pair {
            structure,
            texture,
            clean,
        })
    }

    /// The texture's step, and its estimate ŷ_0 before it.
    fn advance_texture(
        &mut self,
        y: &Tensor<4>,
        guide: Tensor<4>,
        t: usize,
    ) -> Result<(Stepped, Tensor<4>)> {
        let (
            model,
            Conditions {
                texture: mu, mask, ..
            },
        ) = (self.run.model, self.run.conditions);
        let sde = &model.sde;
        let y = if self.switches.composite_texture {
            let known = sde.marginal(mu.clone(), mu.clone(), t, self.run.draw(3)?);
            paste(y.clone(), known, mask)
        } else {
            y.clone()
        };
        let output = self.run.ask_texture(&y, guide, t);
        let (prediction, at) = (model.config.prediction, self.run.texture_at(&y, t));
        let clean = sde.clean_from_output(&at, output.clone(), prediction);
        let noise = sde.noise_from_output(&at, output, prediction);
        let stepped = Stepped {
            mean: sde.reverse_sde_mean(&at, sde.score_from_noise(noise, t)),
            noise: self.step_noise(3, t)?,
        };
        Ok((stepped, clean))
    }

    /// Step 3: lets the discriminator choose between the pair and pairs with another structure.
    fn resample(
        &mut self,
        mut pair: Pair,
        y: &Tensor<4>,
        t: usize,
        settings: &Resampling,
        ahead: Option<&Tensor<4>>,
    ) -> Result<Pair> {
        let mut incumbent = self.score(&pair, t, 0)?;
        for round in 1..settings.u_max {
            let structure = self.structure_anew(pair.structure.state(), t, settings.re, ahead)?;
            let challenger = self.step_texture(y, structure, t)?;
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
                &self.run.active,
                may_stop,
            );
            self.run.tell_verdicts(t, round, &verdicts)?;
            pair = pair.settle(&challenger, &verdicts, rejected);
            for (active, verdict) in self.run.active.iter_mut().zip(&verdicts) {
                *active &= *verdict != Verdict::Stopped;
            }
            if !self.run.active.contains(&true) {
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
        self.run.active.fill(true);
        Ok(pair)
    }

    /// Noises the structure x_{t−1} up by `back` steps, but not past T, and denoises it again.
    fn structure_anew(
        &mut self,
        mut x: Tensor<4>,
        t: usize,
        back: usize,
        ahead: Option<&Tensor<4>>,
    ) -> Result<Led> {
        let sde = &self.run.model.sde;
        let levels = t..t + back.min(sde.steps() - t + 1);
        for level in levels.clone() {
            let theta_at = match self.switches.forward_theta {
                ForwardTheta::OfTarget => level,
                ForwardTheta::OfSource => level - 1,
            };
            let z = self.run.draw(1)?;
            x = sde.forward_step(&self.run.structure_at(&x, theta_at), z);
        }
        let mut led = None;
        for level in levels.rev() {
            let next = self.step_structure(x, level, ahead)?;
            x = next.state();
            led = Some(next);
        }
        Ok(led.expect("at least one step back"))
    }

    /// A sample of the known structure's marginal at `level`.
    fn known_structure(&mut self, level: usize) -> Result<Tensor<4>> {
        let z = self.run.draw(1)?;
        let Conditions { gray, edges, .. } = self.run.conditions;
        let sde = &self.run.model.sde;
        Ok(sde.marginal(gray.clone(), edges.clone(), level, z))
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
        Ok(paste(x, known, &self.run.conditions.mask))
    }

    /// What the reverse SDE step at t adds to its mean: −σ_t √Δ z.
    fn step_noise(&mut self, channels: usize, t: usize) -> Result<Tensor<4>> {
        let z = self.run.draw(channels)?;
        let quiet = t == 1 && !self.switches.last_step_noise;
        Ok(if quiet {
            z.zeros_like()
        } else {
            -self.run.model.sde.dispersion(z, t)
        })
    }

    /// The reference scores every early pair, though it uses the score only when it resamples.
    fn always_scores(&self) -> bool {
        self.switches.discriminator_view == DiscriminatorView::Known
    }

    fn score(&mut self, pair: &Pair, t: usize, round: usize) -> Result<Vec<f32>> {
        if self.switches.better == Better::Newest {
            return Ok(vec![0.0; self.run.active.len()]);
        }
        let view = self.switches.discriminator_view;
        let seen = view.of(pair.texture.state(), &self.run.conditions.mask);
        self.run.score(seen, pair.structure.state(), t, round)
    }

    fn report_step(
        &mut self,
        t: usize,
        phase: Phase,
        y: &Tensor<4>,
        x: &Tensor<4>,
        clean: &Tensor<4>,
    ) -> Result<()> {
        let total = self.run.model.sde.steps();
        let evaluations = self.run.evaluations;
        self.run.tell(&Event::Step {
            t,
            done: total - t + 1,
            total,
            phase,
            texture: y,
            structure: x,
            clean,
            evaluations,
        })
    }
}
