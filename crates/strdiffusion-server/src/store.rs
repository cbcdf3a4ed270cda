//! The jobs that can be asked for: all that wait or run, and the latest that have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::config::ServerLimits;
use crate::job::Job;
use crate::metrics::Metrics;

/// The jobs by their ids.
pub(crate) struct Store {
    jobs: Mutex<HashMap<Uuid, Arc<Job>>>,
    most_jobs: usize,
    most_bytes: usize,
    kept_for: Duration,
    metrics: Arc<Metrics>,
}

impl Store {
    pub fn new(limits: &ServerLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            jobs: Mutex::default(),
            most_jobs: limits.kept_jobs,
            most_bytes: limits.kept_bytes,
            kept_for: limits.kept_for,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert(&self, job: Arc<Job>) {
        self.lock().insert(job.id, job);
    }

    pub fn get(&self, id: Uuid) -> Option<Arc<Job>> {
        self.lock().get(&id).cloned()
    }

    pub fn forget(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    /// Whether pictures of a job that was done at that time or later have not been fetched.
    pub fn has_unfetched_since(&self, time: Instant) -> bool {
        self.lock().values().any(|job| job.is_unfetched_since(time))
    }

    /// Forgets ended jobs that are too old, too many or too large, oldest first. The latest one
    /// stays whatever its size.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut jobs = self.lock();
        let mut ended: Vec<(Instant, Uuid, usize)> = jobs
            .values()
            .filter_map(|job| Some((job.ended_at()?, job.id, job.result_bytes())))
            .collect();
        ended.sort_unstable_by_key(|&(end, ..)| std::cmp::Reverse(end));
        let mut bytes = 0;
        for (place, (end, id, size)) in ended.into_iter().enumerate() {
            let fits = place == 0 || (place < self.most_jobs && bytes + size <= self.most_bytes);
            if fits && now - end <= self.kept_for {
                bytes += size;
            } else {
                jobs.remove(&id);
            }
        }
        self.metrics.kept_bytes(bytes);
    }
}
