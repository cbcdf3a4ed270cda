//! The thread on which the networks run.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strdiffusion::inpaint::Provenance;
use strdiffusion::{Error, FillOptions, FillRequest, Filled, Progress};

use crate::app::App;
use crate::candidate::Candidate;
use crate::engine::Engine;
use crate::error::{ApiError, Code};
use crate::job::{Job, Previews, Step};
use crate::preview::previews;
use crate::queue::Task;

/// Pixels of the photographs that are filled at once; one is always filled. Each takes its
/// picture, its mask and its result in memory.
const PIXELS_AT_ONCE: usize = 32_000_000;

/// The jobs that the networks are busy with.
#[derive(Default)]
pub(crate) struct Running(Mutex<Vec<Arc<Job>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The jobs.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        self.lock().clone()
    }
}

/// One candidate of one task.
type Place = (usize, usize);

/// Does one group of jobs after the other until the queue is closed and empty.
pub(crate) fn work(app: &App, engines: &[Box<dyn Engine>]) {
    while let Some(tasks) = app.queue.take(app.limits.batch) {
        *app.running.lock() = tasks.iter().map(|t| Arc::clone(&t.job)).collect();
        let start = Instant::now();
        let tasks: Vec<Task> = tasks.into_iter().filter(|t| t.job.start()).collect();
        if !tasks.is_empty() {
            let fill = || fill_group(app, engines, &tasks);
            if catch_unwind(AssertUnwindSafe(fill)).is_err() {
                // What has ended stays as it is.
                tasks.iter().for_each(|t| t.job.fail(ApiError::internal()));
            }
            app.queue.note_seconds(start.elapsed().as_secs_f64());
        }
        app.running.lock().clear();
        app.store.sweep();
    }
}

fn fill_group(app: &App, engines: &[Box<dyn Engine>], tasks: &[Task]) {
    let places: Vec<Place> = tasks
        .iter()
        .enumerate()
        .flat_map(|(t, task)| (0..task.job.seeds.len()).map(move |c| (t, c)))
        .collect();
    let pixels = tasks.iter().map(|t| t.job.width * t.job.height).max();
    let by_memory = PIXELS_AT_ONCE / pixels.unwrap_or(1).max(1);
    let at_once = app.limits.batch.min(by_memory).max(1);
    for places in places.chunks(at_once) {
        if fill_places(app, engines, tasks, places).is_err() {
            retry_alone(app, engines, tasks, places);
        }
    }
}

/// After a panic: each job by itself, so that only the one at fault fails.
fn retry_alone(app: &App, engines: &[Box<dyn Engine>], tasks: &[Task], places: &[Place]) {
    for of_one in places.chunk_by(|a, b| a.0 == b.0) {
        let alone = of_one.len() == places.len();
        if alone || fill_places(app, engines, tasks, of_one).is_err() {
            tasks[of_one[0].0].job.fail(ApiError::internal());
        }
    }
}

/// The networks panicked. The hook has said where.
struct Panicked;

/// Fills some places together and hands their results to their jobs.
fn fill_places(
    app: &App,
    engines: &[Box<dyn Engine>],
    tasks: &[Task],
    places: &[Place],
) -> Result<(), Panicked> {
    let places: Vec<Place> = places
        .iter()
        .copied()
        .filter(|&(t, _)| !tasks[t].job.state().is_end())
        .collect();
    let Some(&(first, _)) = places.first() else {
        return Ok(());
    };
    let engine = &engines[tasks[first].model];
    let requests: Vec<FillRequest> = places.iter().map(|&(t, c)| request(&tasks[t], c)).collect();
    app.metrics.batch(requests.len());
    let filled = catch_unwind(AssertUnwindSafe(|| {
        engine.fill_batch(&requests, &mut |number, progress| {
            // An index out of range would be the engine's mistake; it must not stop the others.
            let Some(&(task, candidate)) = places.get(number) else {
                return ControlFlow::Continue(());
            };
            report(&tasks[task].job, candidate, progress)
        })
    }))
    .map_err(|_| Panicked)?;
    // The photographs are no longer needed, and results may be large.
    let options: Vec<FillOptions> = requests.into_iter().map(|r| r.options).collect();
    let mut filled = filled.into_iter();
    for ((task, candidate), options) in places.into_iter().zip(options) {
        let task = &tasks[task];
        match filled.next() {
            Some(Ok(filled)) => {
                app.metrics.evaluations(&filled.evaluations);
                let model = &app.models[task.model].name;
                let settings = &task.pictures.settings;
                let provenance = engine.provenance(model, &options);
                let mut provenance = provenance.with_mask(&settings.borders);
                if settings.strip {
                    provenance = provenance.silent();
                }
                deliver(&task.job, candidate, filled, provenance);
            }
            Some(Err(error)) => end_without_result(&task.job, &error),
            None => task.job.fail(ApiError::internal()),
        }
    }
    Ok(())
}

fn request(task: &Task, candidate: usize) -> FillRequest {
    FillRequest {
        photo: task.pictures.photo.clone(),
        mask: task.pictures.mask.clone(),
        options: FillOptions {
            seed: task.job.seeds[candidate],
            sampler: Some(task.sampler),
            drawn_edges: task.pictures.drawn_edges.clone(),
            avoid: task.pictures.avoid.clone(),
            detail: task.detail,
            ..FillOptions::default()
        },
    }
}

fn report(job: &Job, candidate: usize, progress: &Progress) -> ControlFlow<()> {
    if job.is_stopped() {
        return ControlFlow::Break(());
    }
    if let Some((done, _)) = progress.steps() {
        let pictures = if job.wants_previews() {
            previews(progress)
        } else {
            Previews::default()
        };
        let step = Step {
            candidate,
            region: progress.region,
            regions: progress.regions,
            done,
        };
        job.step(step, pictures);
    }
    ControlFlow::Continue(())
}

fn deliver(job: &Job, number: usize, filled: Filled, provenance: Provenance) {
    if job.state().is_end() {
        return;
    }
    match Candidate::new(filled, provenance) {
        Ok(candidate) => job.complete(number, candidate),
        Err(error) => {
            tracing::error!(%error, "a result could not be written as PNG");
            job.fail(ApiError::internal());
        }
    }
}

fn end_without_result(job: &Job, error: &Error) {
    let code = match error {
        Error::Cancelled => return job.cancel(None),
        Error::FullMask => Code::FullMask,
        Error::Config(_) => Code::BadSettings,
        Error::Size(_) => Code::SizeMismatch,
        error if error.is_users_fault() => Code::BadImage,
        _ => {
            tracing::error!(%error, "a job failed");
            Code::Internal
        }
    };
    job.fail(ApiError::new(code, error.to_string()));
}
