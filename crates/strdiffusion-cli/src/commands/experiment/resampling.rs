//! `strdiffusion experiment resampling`: what the discriminator is worth to a model that is there.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use strdiffusion::experiment::measure::{Protocol, measure};
use strdiffusion::experiment::resampling::{Arm, Judgement, arms, judgement, rank};

use super::findings::Findings;
use super::settings::Settings;
use super::table::{Row, Table};
use super::watch::watching;
use super::{Rounds, TestSet, load};
use crate::interrupt::Interrupt;
use crate::terminal::say;

/// What resampling gains on a model: none, fixed, adaptive, and by the discriminator's other sign
///
/// On the few-step grid and on the paper's. Before it, how well the discriminator does what it was trained
/// for; after it, how well it ranks several fills of one hole.
#[derive(Args)]
pub(super) struct Resample {
    /// Model folder, or ORG/NAME[@REVISION] on the hub [default: $STRDIFFUSION_MODEL, else the
    /// one inside]
    #[arg(long)]
    model: Option<PathBuf>,
    #[command(flatten)]
    set: TestSet,
    /// Folder of tables
    #[arg(short, long)]
    out: PathBuf,
    /// Numbers of steps of the few-step sampler, separated by commas; 0 is the paper's procedure
    #[arg(long, value_delimiter = ',', default_value = "3,10,0")]
    steps: Vec<usize>,
    /// Sampling seeds
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Few steps: at most so many rounds at one step
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    #[command(flatten)]
    paper: Rounds,
    /// Fills of each hole that the discriminator ranks; 0 ranks none
    #[arg(long, default_value_t = 4)]
    candidates: usize,
}

impl Resample {
    pub(super) fn run(self) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let (model, sha256) = load(&self.model, &self.set.device)?;
        let cases = self.set.cases(model.config().training_resolution)?;
        self.paper
            .tell(Settings::of(&cases))
            .with("experiment", "resampling")
            .with("model", sha256)
            .with("rounds", self.rounds)
            .settle(&self.out)?;
        let mut table = Table::open(self.out.join("resampling.csv"))?;
        let mut findings = Findings::open(self.out.join("findings.json"))?;
        let own = model.config().sampling.few_steps();
        let all: Vec<Arm> = self
            .steps
            .iter()
            .flat_map(|&steps| arms(own, steps, self.rounds, self.paper.settings()))
            .collect();
        for arm in &all {
            arm.sampler.validate()?;
        }
        let total = model.sde().steps();
        let mut times: Vec<usize> = [1, 2, 4, 10].map(|part| (total / part).max(2)).into();
        times.dedup();
        for t in times {
            findings.say(format!("t = {t}, {} pictures", cases.len()), || {
                let Judgement {
                    of_steps,
                    of_structures,
                } = judgement(&model, &cases, t)?;
                Ok(format!(
                    "t = {t}, {} pictures: the discriminator prefers the texture a step on to the \
                     one as it is in {:.0} %, its own structure to another picture's in {:.0} %",
                    cases.len(),
                    100.0 * of_steps,
                    100.0 * of_structures
                ))
            })?;
        }
        for arm in &all {
            for repetition in 0..self.seeds {
                if table.has(&arm.name, arm.steps, repetition) {
                    continue;
                }
                let protocol = Protocol::repetition(repetition);
                let what = format!("{}, seed {repetition}", arm.name);
                let measured = measure(
                    &model,
                    &arm.sampler,
                    &cases,
                    protocol,
                    &mut watching(&interrupt, what, cases.len()),
                )?;
                table.add(Row::new(&arm.name, arm.steps, repetition, measured))?;
            }
        }
        let names: Vec<&str> = all.iter().map(|arm| arm.name.as_str()).collect();
        table.write_means(&names, &self.out.join("resampling.md"))?;
        for arm in all.iter().filter(|arm| arm.is_plain && self.candidates > 1) {
            let subject = format!("{}, {} fills of each hole", arm.name, self.candidates);
            findings.say(format!("{subject}, {} pictures", cases.len()), || {
                let fills = self.candidates * cases.len();
                let ranked = rank(
                    &model,
                    &arm.sampler,
                    &cases,
                    self.candidates,
                    &mut watching(&interrupt, subject.as_str(), fills),
                )?;
                Ok(format!(
                    "{subject}: {:.2} dB on average, {:.2} dB the one that the discriminator scores \
                     highest, {:.2} dB lowest, {:.2} dB the best",
                    ranked.mean, ranked.highest_score, ranked.lowest_score, ranked.best
                ))
            })?;
        }
        say(format!(
            "{}: resampling.csv, resampling.md, findings.json",
            self.out.display()
        ));
        Ok(())
    }
}
