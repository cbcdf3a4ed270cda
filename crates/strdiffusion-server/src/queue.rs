//! The jobs that wait, bounded in number and memory, and handed out in groups that share batches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use strdiffusion::Detail;
use strdiffusion::sampling::Sampler;
use uuid::Uuid;

use crate::config::ServerLimits;
use crate::decode::Pictures;
use crate::error::{ApiError, Code};
use crate::job::Job;
use crate::metrics::Metrics;

/// A job with all that the worker needs for it.
pub(crate) struct Task {
    pub job: Arc<Job>,
    /// Index of the model.
    pub model: usize,
    pub sampler: Sampler,
    pub detail: Detail,
    pub pictures: Pictures,
    /// Sizes of the regions as the model sees them.
    pub regions: Vec<(usize, usize)>,
}

impl Task {
    /// Whether both can pass through the networks together, all the way.
    fn goes_with(&self, other: &Self) -> bool {
        self.model == other.model && self.sampler == other.sampler && self.regions == other.regions
    }
}

/// The jobs that wait.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    most_jobs: usize,
    most_bytes: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Waiting {
    tasks: VecDeque<Task>,
    bytes: usize,
    closed: bool,
    /// Seconds of a group of jobs, a running mean.
    usual_seconds: f64,
}

impl Queue {
    pub fn new(limits: &ServerLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            most_jobs: limits.queue,
            most_bytes: limits.waiting_bytes,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what would be refused in any case, before a body is read.
    pub fn check_room(&self) -> Result<(), ApiError> {
        let waiting = self.lock();
        if waiting.closed {
            return Err(ApiError::shutting_down());
        }
        if waiting.tasks.len() >= self.most_jobs {
            return Err(self.full(&waiting));
        }
        Ok(())
    }

    /// Adds a job at the end.
    pub fn push(&self, task: Task) -> Result<(), ApiError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(ApiError::shutting_down());
        }
        let bytes = task.pictures.bytes();
        let fits = waiting.tasks.is_empty() || waiting.bytes + bytes <= self.most_bytes;
        if waiting.tasks.len() >= self.most_jobs || !fits {
            return Err(self.full(&waiting));
        }
        waiting.bytes += bytes;
        waiting.tasks.push_back(task);
        self.has_changed(&waiting);
        Ok(())
    }

    fn full(&self, waiting: &Waiting) -> ApiError {
        let seconds = waiting.usual_seconds * waiting.tasks.len() as f64;
        ApiError {
            retry_after: Some(seconds.clamp(1.0, 600.0).ceil() as u64),
            ..ApiError::new(
                Code::QueueFull,
                format!(
                    "{} jobs are waiting and no more fit; try again after the seconds that the \
                     header Retry-After names",
                    waiting.tasks.len()
                ),
            )
        }
    }

    /// Waits for jobs: the first in line and those behind it that can share its batches, as many
    /// as fill `pictures` places. None once the queue is closed and empty.
    pub fn take(&self, pictures: usize) -> Option<Vec<Task>> {
        let mut waiting = self.lock();
        while waiting.tasks.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let first = waiting.tasks.pop_front()?;
        let mut places = pictures.saturating_sub(first.job.seeds.len());
        let mut group = vec![first];
        let mut rest = VecDeque::new();
        for task in std::mem::take(&mut waiting.tasks) {
            if task.job.seeds.len() <= places && group[0].goes_with(&task) {
                places -= task.job.seeds.len();
                group.push(task);
            } else {
                rest.push_back(task);
            }
        }
        waiting.tasks = rest;
        waiting.bytes = waiting.tasks.iter().map(|t| t.pictures.bytes()).sum();
        self.has_changed(&waiting);
        Some(group)
    }

    /// Takes a job out of the line.
    pub fn remove(&self, id: Uuid) {
        let mut waiting = self.lock();
        if let Some(place) = waiting.tasks.iter().position(|t| t.job.id == id)
            && let Some(task) = waiting.tasks.remove(place)
        {
            waiting.bytes -= task.pictures.bytes();
            self.has_changed(&waiting);
        }
    }

    /// Takes no more jobs, and gives back those that wait.
    pub fn close(&self) -> Vec<Task> {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        let tasks = std::mem::take(&mut waiting.tasks).into();
        self.has_changed(&waiting);
        tasks
    }

    /// Remembers how long a group took, to tell clients when to come again.
    pub fn note_seconds(&self, seconds: f64) {
        let mut waiting = self.lock();
        waiting.usual_seconds = match waiting.usual_seconds {
            0.0 => seconds,
            usual => 0.8 * usual + 0.2 * seconds,
        };
    }

    fn has_changed(&self, waiting: &Waiting) {
        for (place, task) in waiting.tasks.iter().enumerate() {
            task.job.set_position(place + 1);
        }
        self.metrics.queue_length(waiting.tasks.len());
        self.changed.notify_all();
    }
}
