//! A job: what was asked for, how far it is, and who is told about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use strdiffusion::HoleDetail;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::candidate::Candidate;
use crate::error::{ApiError, Code};
use crate::metrics::{Metrics, Outcome};

/// Events that a slow reader may lag behind before it loses steps.
const EVENTS_KEPT: usize = 64;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl State {
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An event of a job's stream.
#[derive(Clone, Debug)]
pub(crate) struct JobEvent {
    pub name: &'static str,
    /// JSON.
    pub data: Arc<str>,
}

/// A job's state as requests see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobView {
    id: String,
    state: State,
    /// 1 = next; 0 where the job no longer waits.
    position: usize,
    pub step: usize,
    pub total: usize,
    elapsed_seconds: f64,
    pub eta_seconds: Option<f64>,
    width: usize,
    height: usize,
    /// Those that are complete.
    candidates: Vec<CandidateView>,
    notes: Vec<String>,
    error: Option<ApiError>,
}

#[derive(Clone, Debug, Serialize)]
struct CandidateView {
    index: usize,
    seed: u64,
    url: String,
    /// One entry for each hole that has some.
    detail: Vec<HoleDetail>,
}

/// How far one candidate is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub candidate: usize,
    pub region: usize,
    pub regions: usize,
    /// Steps done, over all of the candidate's regions.
    pub done: usize,
}

/// Pictures of a step, as data URLs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Previews {
    pub texture: Option<String>,
    pub structure: Option<String>,
}

/// A job. Shared between the requests that ask for it and the worker that does it.
pub(crate) struct Job {
    pub id: Uuid,
    pub width: usize,
    pub height: usize,
    /// One for each candidate.
    pub seeds: Vec<u64>,
    /// Steps over all candidates and regions.
    total: usize,
    previews: bool,
    /// What was left out or converted of the photograph.
    pub notes: Vec<String>,
    stop: AtomicBool,
    progress: Mutex<Progress>,
    ended: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

struct Progress {
    state: State,
    position: usize,
    started: Option<Instant>,
    ended: Option<Instant>,
    done: Vec<usize>,
    results: Vec<Option<Arc<Candidate>>>,
    fetched: Vec<bool>,
    error: Option<ApiError>,
    /// None once the job has ended.
    events: Option<broadcast::Sender<JobEvent>>,
}

impl Job {
    /// A job that waits. `steps`: of one candidate, over all of its regions.
    pub fn new(
        size: (usize, usize),
        seeds: Vec<u64>,
        steps: usize,
        previews: bool,
        notes: Vec<String>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let candidates = seeds.len();
        Arc::new(Self {
            id: Uuid::new_v4(),
            width: size.0,
            height: size.1,
            seeds,
            total: candidates * steps,
            previews,
            notes,
            stop: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                state: State::Queued,
                position: 0,
                started: None,
                ended: None,
                done: vec![0; candidates],
                results: vec![None; candidates],
                fetched: vec![false; candidates],
                error: None,
                events: Some(broadcast::Sender::new(EVENTS_KEPT)),
            }),
            ended: watch::Sender::new(false),
            metrics,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // A panic while the lock was held leaves plain data behind, which is still readable.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> State {
        self.lock().state
    }

    /// When the job ended.
    pub fn ended_at(&self) -> Option<Instant> {
        self.lock().ended
    }

    /// Waits for the end.
    pub async fn wait(&self) {
        // The sender lives as long as the job, so this ends only with it.
        let _ = self.ended.subscribe().wait_for(|&ended| ended).await;
    }

    /// Whether the networks shall stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether someone would look at pictures of a step.
    pub fn wants_previews(&self) -> bool {
        let progress = self.lock();
        let readers = progress.events.as_ref().map_or(0, |e| e.receiver_count());
        self.previews && readers > 0
    }

    /// Bytes of the complete candidates.
    pub fn result_bytes(&self) -> usize {
        let progress = self.lock();
        let complete = progress.results.iter().flatten();
        complete.map(|candidate| candidate.bytes()).sum()
    }

    /// A candidate, if it is complete; from then on it counts as fetched.
    pub fn fetch(&self, candidate: usize) -> Option<Arc<Candidate>> {
        let mut progress = self.lock();
        let result = progress.results.get(candidate)?.clone()?;
        progress.fetched[candidate] = true;
        Some(result)
    }

    /// Whether the job was done at that time or later and not all of its pictures were fetched.
    pub fn is_unfetched_since(&self, time: Instant) -> bool {
        let progress = self.lock();
        progress.state == State::Done
            && progress.ended.is_some_and(|end| end >= time)
            && progress.fetched.contains(&false)
    }

    /// Why the job has no result.
    pub fn error(&self) -> Option<ApiError> {
        self.lock().error.clone()
    }

    /// The state as requests see it.
    pub fn view(&self) -> JobView {
        self.view_of(&self.lock())
    }

    fn view_of(&self, progress: &Progress) -> JobView {
        let candidates = progress.results.iter().enumerate();
        JobView {
            id: self.id.to_string(),
            state: progress.state,
            position: progress.position,
            step: progress.done.iter().sum(),
            total: self.total,
            elapsed_seconds: progress.elapsed(),
            eta_seconds: self.eta(progress),
            width: self.width,
            height: self.height,
            candidates: candidates
                .filter_map(|(index, result)| Some(self.candidate(index, result.as_ref()?)))
                .collect(),
            notes: self.notes.clone(),
            error: progress.error.clone(),
        }
    }

    fn candidate(&self, index: usize, candidate: &Candidate) -> CandidateView {
        CandidateView {
            index,
            seed: self.seeds[index],
            url: format!("/v1/jobs/{}/candidates/{index}", self.id),
            detail: candidate.holes.clone(),
        }
    }

    fn eta(&self, progress: &Progress) -> Option<f64> {
        let done: usize = progress.done.iter().sum();
        if progress.state != State::Running || done == 0 {
            return None;
        }
        let remaining = self.total.saturating_sub(done) as f64;
        Some(progress.elapsed() / done as f64 * remaining)
    }

    /// What has happened so far, and what will; nothing is lost or told twice in between.
    pub fn subscribe(&self) -> (Vec<JobEvent>, Option<broadcast::Receiver<JobEvent>>) {
        let progress = self.lock();
        let mut past = vec![self.state_event(&progress)];
        if progress.state.is_end() {
            past.push(self.end_event(&progress));
        }
        (past, progress.events.as_ref().map(|e| e.subscribe()))
    }

    /// The state as an event, for a reader that has lost some.
    pub fn current(&self) -> JobEvent {
        self.state_event(&self.lock())
    }

    fn state_event(&self, progress: &Progress) -> JobEvent {
        event("state", &self.view_of(progress))
    }

    fn end_event(&self, progress: &Progress) -> JobEvent {
        event(progress.state.name(), &self.view_of(progress))
    }

    /// Tells the job its place in the queue.
    pub fn set_position(&self, position: usize) {
        let mut progress = self.lock();
        if progress.state == State::Queued && progress.position != position {
            progress.position = position;
            progress.send(|p| self.state_event(p));
        }
    }

    /// The worker takes the job; false where it has ended while it waited.
    pub fn start(&self) -> bool {
        let mut progress = self.lock();
        if progress.state != State::Queued {
            return false;
        }
        progress.state = State::Running;
        progress.position = 0;
        progress.started = Some(Instant::now());
        progress.send(|p| self.state_event(p));
        true
    }

    /// A step is done.
    pub fn step(&self, step: Step, previews: Previews) {
        let mut progress = self.lock();
        if progress.state != State::Running {
            return;
        }
        progress.done[step.candidate] = step.done;
        progress.send(|p| {
            let data = json!({
                "candidate": step.candidate,
                "candidates": self.seeds.len(),
                "region": step.region,
                "regions": step.regions,
                "step": p.done.iter().sum::<usize>(),
                "total": self.total,
                "eta_seconds": self.eta(p),
                "texture": previews.texture,
                "structure": previews.structure,
            });
            event("step", &data)
        });
    }

    /// A candidate is complete; with the last one the job is done.
    pub fn complete(&self, number: usize, candidate: Candidate) {
        let mut progress = self.lock();
        if progress.state != State::Running {
            return;
        }
        progress.send(|_| event("candidate", &self.candidate(number, &candidate)));
        progress.results[number] = Some(Arc::new(candidate));
        if progress.results.iter().all(Option::is_some) {
            self.end(progress, State::Done, None);
        }
    }

    /// Something went wrong.
    pub fn fail(&self, error: ApiError) {
        self.end(self.lock(), State::Failed, Some(error));
    }

    /// Stops the job, whether it waits or runs. `why`: none where its owner wished so.
    pub fn cancel(&self, why: Option<ApiError>) {
        let why = why.unwrap_or_else(|| {
            ApiError::new(Code::Cancelled, "the job was cancelled before it was done")
        });
        self.stop.store(true, Ordering::Relaxed);
        self.end(self.lock(), State::Cancelled, Some(why));
    }

    fn end(&self, mut progress: MutexGuard<Progress>, state: State, error: Option<ApiError>) {
        if progress.state.is_end() {
            return;
        }
        progress.state = state;
        progress.position = 0;
        progress.ended = Some(Instant::now());
        progress.error = error;
        progress.send(|p| self.state_event(p));
        progress.send(|p| self.end_event(p));
        progress.events = None;
        let outcome = match state {
            State::Done => Outcome::done,
            State::Failed => Outcome::failed,
            _ => Outcome::cancelled,
        };
        let seconds = progress.started.is_some().then(|| progress.elapsed());
        self.metrics.job(outcome, seconds);
        drop(progress);
        self.ended.send_replace(true);
    }
}

impl Progress {
    /// Seconds since the worker took the job, up to its end.
    fn elapsed(&self) -> f64 {
        let end = self.ended.unwrap_or_else(Instant::now);
        self.started
            .map_or(0.0, |start| (end - start).as_secs_f64())
    }

    /// Sends an event, which is only made where someone listens.
    fn send(&self, event: impl FnOnce(&Self) -> JobEvent) {
        if let Some(events) = &self.events
            && events.receiver_count() > 0
        {
            // A reader that has just gone away is no loss.
            let _ = events.send(event(self));
        }
    }
}

fn event(name: &'static str, data: &impl Serialize) -> JobEvent {
    let data = serde_json::to_string(data).expect("plain data");
    JobEvent {
        name,
        data: data.into(),
    }
}
