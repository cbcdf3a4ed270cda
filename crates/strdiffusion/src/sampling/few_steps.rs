//! Few-step sampling of structure and texture together, on a coarse grid of timesteps.
//!
//! Both processes take the same grid T = t_0 > … > t_n = 0. At a step from s to t:
//! 1. the structure's estimate x̂_0 comes from its network at s; in the known region it is replaced
//!    by the known structure, so that the state follows it there;
//! 2. the texture's network at s is guided by the structure at s − 1, or by x̂_0 itself, as it was
//!    trained ([`Guide`]); x̂_0 gives the former without another evaluation;
//! 3. both states step to t by one of the [solvers].
//!
//! *Adaptive resampling on the grid:* the structure at t is noised up again to s in one draw and
//! stepped anew, the texture stepped again with it, and the discriminator compares the pairs at
//! s − 1, where it was trained. The better one stays.
//!
//! The early stage, in which the structure leads, ends where the noise is that of ⌊0.4 T⌋ of the
//! full procedure; after it the structure's clean end is the luma of the texture's own estimate.

use burn::tensor::Tensor;

use super::choose;
use super::events::{Event, OnEvent, Phase, Sampled, Verdict, unwatched};
use super::noise::NoiseSource;
use super::run::Run;
use super::settings::{Better, FastSampler, Incumbent, Rejected, Solver};
use super::solvers::{self, Gap};
use crate::conditioning::Guide;
use crate::conditions::{Conditions, paste};
use crate::error::Result;
use crate::model::Model;
use crate::networks::GuideAlignment;
use crate::structure::batch_luma;

/// Fills the holes of a batch in few steps.
///
/// # Errors
/// As [`super::sample`].
pub fn sample(
    model: &Model,
    conditions: &Conditions,
    settings: &FastSampler,
    noise: &mut dyn NoiseSource,
    on_event: &mut OnEvent,
) -> Result<Sampled> {
    sample_led_by(None, model, conditions, settings, noise, on_event)
}

/// As [`sample`]; the texture is led by a `structure` that is known already, `[b, 1, h, w]`, whose
/// hole's part is read, instead of the structure network's.
///
/// # Errors
/// As [`sample`].
pub fn sample_led_by(
    structure: Option<&Tensor<4>>,
    model: &Model,
    conditions: &Conditions,
    settings: &FastSampler,
    noise: &mut dyn NoiseSource,
    on_event: &mut OnEvent,
) -> Result<Sampled> {
    let grid = grid(model, settings)?;
    let mut procedure = Procedure {
        run: Run::new(model, conditions, ALIGNMENT, noise, on_event)?,
        settings,
        given: structure,
    };
    procedure.sample(&grid)
}

/// T = t_0 > … > t_n = 0.
fn grid(model: &Model, settings: &FastSampler) -> Result<Vec<usize>> {
    settings.validate()?;
    settings.grid.timesteps(&model.sde, settings.steps)
}

/// The structure alone, sampled on the grid to its clean end, `[b, 1, h, w]`: for looking at a
/// structure network by itself.
///
/// # Errors
/// As [`sample`].
pub fn sample_structure(
    model: &Model,
    conditions: &Conditions,
    settings: &FastSampler,
    noise: &mut dyn NoiseSource,
) -> Result<Tensor<4>> {
    let grid = grid(model, settings)?;
    let on_event: &mut OnEvent = &mut unwatched;
    let mut procedure = Procedure {
        run: Run::new(model, conditions, ALIGNMENT, noise, on_event)?,
        settings,
        given: None,
    };
    let mut structure = procedure.start(conditions.edges.clone(), 1)?;
    for pair in grid.windows(2) {
        let gap = Gap::new(&model.sde, pair[0], pair[1]);
        let z = procedure.draw_for_step(1)?;
        let clean = procedure.structure_clean(&structure, pair[0]);
        structure.advance(clean, gap, settings.solver, z);
    }
    Ok(structure.state())
}

/// How guides meet padded features: as in training.
const ALIGNMENT: GuideAlignment = GuideAlignment::Padded;

/// A process on its way: state and estimate, and the estimate of the step before.
#[derive(Clone)]
struct Process {
    /// μ.
    mu: Tensor<4>,
    /// u = x − μ.
    u: Tensor<4>,
    previous: Option<(Tensor<4>, Gap)>,
}

impl Process {
    fn state(&self) -> Tensor<4> {
        self.mu.clone() + self.u.clone()
    }

    /// u after a step over `gap` that û_0 leads; with the noise `z` where the solver takes any.
    fn step(&self, clean: &Tensor<4>, gap: Gap, solver: Solver, z: Option<Tensor<4>>) -> Tensor<4> {
        let second = match &self.previous {
            Some((previous, previous_gap)) if solver.is_second_order() => Some(
                solvers::difference(clean.clone(), previous.clone(), gap, *previous_gap),
            ),
            _ => None,
        };
        let (first, term): (_, fn(Tensor<4>, Gap) -> Tensor<4>) = match z {
            Some(z) => (
                solvers::first_order_stochastic(self.u.clone(), clean.clone(), gap, z),
                solvers::second_order_stochastic_term,
            ),
            None => (
                solvers::first_order(self.u.clone(), clean.clone(), gap),
                solvers::second_order_term,
            ),
        };
        match second {
            Some(difference) => first + term(difference, gap),
            None => first,
        }
    }

    /// Takes the step, and remembers the estimate that led it.
    fn advance(&mut self, clean: Tensor<4>, gap: Gap, solver: Solver, z: Option<Tensor<4>>) {
        self.u = self.step(&clean, gap, solver, z);
        self.previous = Some((clean, gap));
    }
}

/// Both processes' estimates at s, for one structure state.
#[derive(Clone)]
struct Estimates {
    /// û_0 of the structure.
    structure: Tensor<4>,
    /// û_0 of the texture.
    texture: Tensor<4>,
    /// Structure at s − 1.
    guide: Tensor<4>,
}

struct Procedure<'a> {
    run: Run<'a>,
    settings: &'a FastSampler,
    /// The structure, where it need not be sampled.
    given: Option<&'a Tensor<4>>,
}

impl Procedure<'_> {
    fn sample(&mut self, grid: &[usize]) -> Result<Sampled> {
        let (model, conditions) = (self.run.model, self.run.conditions);
        let (sde, solver) = (&model.sde, self.settings.solver);
        let early_end = (self.settings.early_until * sde.steps() as f64).floor() as usize;
        let mut structure = self.start(conditions.edges.clone(), 1)?;
        let mut texture = self.start(conditions.texture.clone(), 3)?;
        let total = grid.len() - 1;
        for (i, pair) in grid.windows(2).enumerate() {
            let (s, t) = (pair[0], pair[1]);
            let gap = Gap::new(sde, s, t);
            // No structure leads a texture that does not listen.
            let early = s >= early_end.max(1) && model.texture.is_guided();
            let z_structure = self.draw_for_step(1)?;
            let z_texture = self.draw_for_step(3)?;
            let mut estimates = if early {
                self.early_estimates(&structure, &texture, s)?
            } else {
                self.late_estimates(&structure, &texture, s)?
            };
            if early && self.settings.resampling_rounds > 0 {
                estimates =
                    self.resample(&mut structure, &texture, estimates, (s, t), &z_structure)?;
            }
            let clean = texture.mu.clone() + estimates.texture.clone();
            structure.advance(estimates.structure, gap, solver, z_structure);
            texture.advance(estimates.texture, gap, solver, z_texture);

            let evaluations = self.run.evaluations;
            self.run.tell(&Event::Step {
                t: s,
                done: i + 1,
                total,
                phase: if early { Phase::Early } else { Phase::Late },
                texture: &texture.state(),
                structure: &structure.state(),
                clean: &clean,
                evaluations,
            })?;
        }
        Ok(Sampled {
            texture: texture.state(),
            structure: structure.state(),
            evaluations: self.run.evaluations,
        })
    }

    fn start(&mut self, mu: Tensor<4>, channels: usize) -> Result<Process> {
        let z = self.run.draw(channels)?;
        Ok(Process {
            mu,
            u: z * self.run.model.sde.max_sigma(),
            previous: None,
        })
    }

    /// Structure leads: its network, then the texture's, guided by the structure at s − 1.
    fn early_estimates(
        &mut self,
        structure: &Process,
        texture: &Process,
        s: usize,
    ) -> Result<Estimates> {
        let clean = self.structure_clean(structure, s);
        self.with_guide(structure, texture, clean, s)
    }

    /// û_0 of the structure: its network's estimate in the hole, or what is given; the truth in the
    /// known region.
    fn structure_clean(&mut self, structure: &Process, s: usize) -> Tensor<4> {
        let in_hole = match self.given {
            Some(given) => given.clone(),
            None => {
                let (model, x) = (self.run.model, structure.state());
                let (output, at) = (self.run.ask_structure(&x, s), self.run.structure_at(&x, s));
                let prediction = model.config.prediction;
                model.sde.clean_from_output(&at, output, prediction)
            }
        };
        let Conditions { gray, mask, .. } = self.run.conditions;
        paste(in_hole, gray.clone(), mask) - structure.mu.clone()
    }

    /// Texture leads: the structure's clean end is the luma of the texture's last estimate.
    fn late_estimates(
        &mut self,
        structure: &Process,
        texture: &Process,
        s: usize,
    ) -> Result<Estimates> {
        let last = texture.previous.as_ref().map(|(clean, _)| clean.clone());
        let clean = match last {
            Some(clean) => batch_luma(texture.mu.clone() + clean),
            None => self.run.conditions.gray.clone(),
        };
        self.with_guide(structure, texture, clean - structure.mu.clone(), s)
    }

    fn with_guide(
        &mut self,
        structure: &Process,
        texture: &Process,
        structure_clean: Tensor<4>,
        s: usize,
    ) -> Result<Estimates> {
        let model = self.run.model;
        let near = Gap::new(&model.sde, s, s - 1);
        let guide = structure.mu.clone()
            + solvers::first_order(structure.u.clone(), structure_clean.clone(), near);
        let read = match model.config.guide {
            Guide::StepAhead => guide.clone(),
            Guide::Clean => structure.mu.clone() + structure_clean.clone(),
        };
        let y = texture.state();
        let output = self.run.ask_texture(&y, read, s);
        let (prediction, at) = (model.config.prediction, self.run.texture_at(&y, s));
        let clean = model.sde.clean_from_output(&at, output, prediction);
        Ok(Estimates {
            structure: structure_clean,
            texture: clean - texture.mu.clone(),
            guide,
        })
    }

    /// Noises the structure up again to s, tries it, and keeps the better pair, picture by
    /// picture.
    fn resample(
        &mut self,
        structure: &mut Process,
        texture: &Process,
        mut estimates: Estimates,
        (s, t): (usize, usize),
        z: &Option<Tensor<4>>,
    ) -> Result<Estimates> {
        let sde = &self.run.model.sde;
        let (gap, solver) = (Gap::new(sde, s, t), self.settings.solver);
        let mut best = self.score(texture, &estimates, s, 0)?;
        for round in 1..=self.settings.resampling_rounds {
            let stepped = structure.step(&estimates.structure, gap, solver, z.clone());
            let mut candidate = structure.clone();
            candidate.u = solvers::renoise(sde, stepped, t, s, self.run.draw(1)?);
            let tried = self.early_estimates(&candidate, texture, s)?;
            let scores = self.score(texture, &tried, s, round)?;
            // A picture that lost a round has no more rounds, whatever its batch does.
            let verdicts = choose::judge(
                self.settings.better,
                Rejected::Dropped,
                &scores,
                &best,
                &self.run.active,
                true,
            );
            self.run.tell_verdicts(s, round, &verdicts)?;
            let won: Vec<bool> = verdicts.iter().map(|&v| v == Verdict::Accepted).collect();
            if !won.contains(&true) {
                break;
            }
            let choose = |old: &Tensor<4>, new: &Tensor<4>| choose::select(old, new, &won);
            estimates = Estimates {
                structure: choose(&estimates.structure, &tried.structure),
                texture: choose(&estimates.texture, &tried.texture),
                guide: choose(&estimates.guide, &tried.guide),
            };
            structure.u = choose(&structure.u, &candidate.u);
            Incumbent::Current.follow(&mut best, &scores, &verdicts);
            self.run.active = won;
        }
        self.run.active.fill(true);
        Ok(estimates)
    }

    /// Scores the pair at s − 1, where the discriminator was trained; zeros where no score decides.
    fn score(
        &mut self,
        texture: &Process,
        estimates: &Estimates,
        s: usize,
        round: usize,
    ) -> Result<Vec<f32>> {
        if self.settings.better == Better::Newest {
            return Ok(vec![0.0; self.run.active.len()]);
        }
        let near = Gap::new(&self.run.model.sde, s, s - 1);
        let y = texture.mu.clone()
            + solvers::first_order(texture.u.clone(), estimates.texture.clone(), near);
        self.run.score(y, estimates.guide.clone(), s, round)
    }

    /// The noise of a step, if the solver takes any.
    fn draw_for_step(&mut self, channels: usize) -> Result<Option<Tensor<4>>> {
        match self.settings.solver.is_stochastic() {
            true => self.run.draw(channels).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use crate::conditions::Task;
    use crate::picture::{FloatImage, Mask};
    use crate::sampling::{PaperSampler, SeededNoise};
    use crate::training::config::{Preset, TrainConfig};
    use crate::weights::host_values;
    use burn::tensor::{Device, TensorData};

    const SIDE: usize = 16;

    fn model(guide: Guide) -> Model {
        let mut config = TrainConfig::preset(Preset::Tiny);
        config.networks.structure = None;
        config.networks.patch = 1;
        config.networks.width = 8;
        config.networks.depth = 2;
        config.networks.guide_input = true;
        config.networks.guide = guide;
        Model::init(config.model_config(), 4, &Device::flex()).unwrap()
    }

    /// A ramp whose right half is the hole.
    fn conditions(model: &Model) -> Conditions {
        let ramp = (0..3 * SIDE * SIDE).map(|i| (i % SIDE) as f32 / SIDE as f32);
        let keep = (0..SIDE * SIDE).map(|i| u8::from(i % SIDE < SIDE / 2));
        let task = Task {
            image: FloatImage::from_vec(3, SIDE, SIDE, ramp.collect()).unwrap(),
            mask: Mask::from_keep(SIDE, SIDE, keep.collect()).unwrap(),
            drawn_edges: None,
        };
        Conditions::new(&[task], &model.config, &model.config.edges, &model.device).unwrap()
    }

    /// Gray `known` where the picture is known, `hole` where it is not.
    fn structure(known: f32, hole: f32) -> Tensor<4> {
        let values = (0..SIDE * SIDE).map(|i| if i % SIDE < SIDE / 2 { known } else { hole });
        let data = TensorData::new(values.collect::<Vec<f32>>(), [1, 1, SIDE, SIDE]);
        Tensor::from_data(data, &Device::flex())
    }

    fn filled(model: &Model, structure: &Tensor<4>) -> Vec<f32> {
        let settings = FastSampler {
            steps: 1,
            ..FastSampler::default()
        };
        let sampled = sample_led_by(
            Some(structure),
            model,
            &conditions(model),
            &settings,
            &mut SeededNoise::new(&[7]),
            &mut unwatched,
        );
        host_values(sampled.unwrap().texture)
    }

    #[test]
    fn a_clean_guide_leads_even_a_single_step() {
        let effect = |guide| {
            let model = model(guide);
            let (dark, bright) = (structure(0.5, 0.0), structure(0.5, 1.0));
            filled(&model, &dark)
                .iter()
                .zip(filled(&model, &bright))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max)
        };
        let (clean, ahead) = (effect(Guide::Clean), effect(Guide::StepAhead));
        // At T − 1 less than a fiftieth of the structure's clean end is left.
        assert!(clean > 20.0 * ahead, "{clean} against {ahead}");
    }

    #[test]
    fn of_a_given_structure_only_the_hole_is_read() {
        let model = model(Guide::Clean);
        let same = filled(&model, &structure(0.2, 0.6)) == filled(&model, &structure(0.9, 0.6));
        assert!(same);
    }

    #[test]
    fn the_papers_procedure_takes_a_clean_guide_too() {
        let fill = |structure_seed: u64| {
            let mut model = model(Guide::Clean);
            model.sde = crate::sde::Sde::new(&crate::sde::SdeConfig {
                steps: 3,
                ..model.config.sde.clone()
            })
            .unwrap();
            let config = &model.config.structure;
            model.structure = config.init(structure_seed, &model.device).unwrap();
            let sampled = crate::sampling::paper::sample(
                &model,
                &conditions(&model),
                &PaperSampler::default(),
                &mut SeededNoise::new(&[7]),
                &mut unwatched,
            );
            host_values(sampled.unwrap().texture)
        };
        let (one, other) = (fill(1), fill(2));
        assert!(one.iter().all(|v| v.is_finite()));
        assert!(one != other);
    }
}
