//! Several photographs through the networks together.
//!
//! Region k of every photograph comes in round k. In a round, regions of one size whose settings
//! agree are filled as one batch. Each has its own seed, and the networks treat the pictures of a
//! batch separately, so a fill does not depend on its company.

use std::ops::ControlFlow;

use super::job::{Fit, Job};
use super::{Filled, Inpainter, OnBatchProgress, Progress, picture_of};
use crate::conditions::Task;
use crate::error::{Error, Result};
use crate::sampling::{Event, Sampled, SeededBatch};

/// Fills all jobs; those that are errors already stay so.
pub(super) fn fill_all(
    inpainter: &Inpainter,
    mut jobs: Vec<Result<Job>>,
    on_progress: &mut OnBatchProgress,
) -> Vec<Result<Filled>> {
    for region in 0.. {
        let groups = groups(inpainter, &jobs, region);
        if groups.is_empty() {
            break;
        }
        for (fit, numbers) in groups {
            for numbers in numbers.chunks(inpainter.pictures_in_batch(fit.size)) {
                fill_together(inpainter, &mut jobs, numbers, (region, &fit), on_progress);
            }
        }
    }
    jobs.into_iter()
        .map(|job| job.and_then(Job::finish))
        .collect()
}

/// The jobs that have such a region, by what must agree in a batch.
fn groups(inpainter: &Inpainter, jobs: &[Result<Job>], region: usize) -> Vec<(Fit, Vec<usize>)> {
    let mut groups: Vec<(Fit, Vec<usize>)> = vec![];
    for (number, job) in jobs.iter().enumerate() {
        let Ok(job) = job else { continue };
        if region >= job.regions() {
            continue;
        }
        let fit = job.fit(&inpainter.model.config, inpainter.shortest_side, region);
        match groups.iter_mut().find(|(other, _)| *other == fit) {
            Some((_, numbers)) => numbers.push(number),
            None => groups.push((fit, vec![number])),
        }
    }
    groups
}

/// A picture of a batch.
struct Member {
    /// Number of its job.
    number: usize,
    seed: u64,
    region: usize,
    regions: usize,
    /// Width and height without mirror images.
    size: [usize; 2],
    cancelled: bool,
}

/// Fills one region of each of some jobs as one batch. What goes wrong becomes the result of the
/// job that it concerns.
fn fill_together(
    inpainter: &Inpainter,
    jobs: &mut [Result<Job>],
    numbers: &[usize],
    (region, fit): (usize, &Fit),
    on_progress: &mut OnBatchProgress,
) {
    let (mut members, mut tasks) = (vec![], vec![]);
    for &number in numbers {
        let Ok(job) = &jobs[number] else { continue };
        match job.task(region, fit.size) {
            Ok(task) => {
                tasks.push(task);
                members.push(Member {
                    number,
                    seed: job.seed(region),
                    region,
                    regions: job.regions(),
                    size: job.size(region),
                    cancelled: false,
                });
            }
            Err(error) => jobs[number] = Err(error),
        }
    }
    if members.is_empty() {
        return;
    }
    let sampled = sample(inpainter, &tasks, fit, &mut members, on_progress);
    drop(tasks);
    for (picture, member) in members.iter().enumerate() {
        let slot = &mut jobs[member.number];
        match (&sampled, &mut *slot) {
            _ if member.cancelled => *slot = Err(Error::Cancelled),
            (Ok(sampled), Ok(job)) => {
                let texture = picture_of(&sampled.texture, picture);
                if let Err(error) = job.take(region, &texture, sampled.evaluations) {
                    *slot = Err(error);
                }
            }
            _ => {}
        }
    }
    match (sampled, members.as_slice()) {
        (Ok(_), _) => {}
        (Err(error), [member]) if !member.cancelled => jobs[member.number] = Err(error),
        // Nobody's error in particular: each picture is filled alone, and fails alone.
        (Err(_), members) => {
            for member in members.iter().filter(|member| !member.cancelled) {
                let alone = [member.number];
                fill_together(inpainter, jobs, &alone, (region, fit), on_progress);
            }
        }
    }
}

/// Runs the sampler. A picture whose caller breaks is marked; the batch ends early only when all
/// are.
fn sample(
    inpainter: &Inpainter,
    tasks: &[Task],
    fit: &Fit,
    members: &mut [Member],
    on_progress: &mut OnBatchProgress,
) -> Result<Sampled> {
    let seeds: Vec<u64> = members.iter().map(|member| member.seed).collect();
    let mut batch = SeededBatch::new(&inpainter.model, tasks, &fit.edges, &seeds)?;
    let alone = members.len() == 1;
    batch.sample(&fit.sampler, &mut |event| {
        for (picture, member) in members.iter_mut().enumerate() {
            if member.cancelled {
                continue;
            }
            let mut tell = |event: &Event| {
                let progress = Progress {
                    region: member.region,
                    regions: member.regions,
                    event,
                    size: member.size,
                };
                member.cancelled = on_progress(member.number, &progress).is_break();
            };
            if alone {
                tell(event);
            } else {
                share(event, picture, &mut tell);
            }
        }
        match members.iter().all(|member| member.cancelled) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
}

/// Tells one picture's share of a batch's event, as if the picture were alone.
fn share(event: &Event, picture: usize, tell: &mut dyn FnMut(&Event)) {
    match event {
        Event::Step {
            t,
            done,
            total,
            phase,
            texture,
            structure,
            clean,
            evaluations,
        } => tell(&Event::Step {
            t: *t,
            done: *done,
            total: *total,
            phase: *phase,
            texture: &(*texture).clone().narrow(0, picture, 1),
            structure: &(*structure).clone().narrow(0, picture, 1),
            clean: &(*clean).clone().narrow(0, picture, 1),
            evaluations: *evaluations,
        }),
        Event::Scored { t, round, scores } => tell(&Event::Scored {
            t: *t,
            round: *round,
            scores: &scores[picture..=picture],
        }),
        Event::Resampled {
            t,
            round,
            picture: whose,
            verdict,
        } => {
            if *whose == picture {
                tell(&Event::Resampled {
                    t: *t,
                    round: *round,
                    picture: 0,
                    verdict: *verdict,
                });
            }
        }
    }
}
