//! What all requests and the worker share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::{ServerConfig, ServerLimits};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::job::Job;
use crate::metrics::Metrics;
use crate::models::ModelCard;
use crate::multipart::UploadMemory;
use crate::queue::Queue;
use crate::store::Store;
use crate::worker::Running;

/// Requests whose pictures are decoded or encoded at the same time.
const DECODERS: usize = 2;

/// What all requests and the worker share.
pub(crate) struct App {
    pub models: Vec<ModelCard>,
    pub limits: ServerLimits,
    pub token: Option<String>,
    pub queue: Queue,
    pub store: Store,
    pub running: Running,
    pub metrics: Arc<Metrics>,
    pub uploads: UploadMemory,
    decoders: Arc<Semaphore>,
    /// Told whenever a candidate is fetched.
    pub fetched: Notify,
    /// Only this machine can connect.
    pub local_only: bool,
    /// The model that clients of other programs' APIs have switched to; an index.
    pub switched_model: AtomicUsize,
    shutting_down: AtomicBool,
}

impl App {
    /// The shared state, and the engines for the worker.
    pub fn new(config: ServerConfig, address: SocketAddr) -> (Arc<Self>, Vec<Box<dyn Engine>>) {
        let metrics = Arc::new(Metrics::new());
        let limits = config.limits;
        let app = Self {
            models: config.models.iter().map(ModelCard::of).collect(),
            queue: Queue::new(&limits, Arc::clone(&metrics)),
            store: Store::new(&limits, Arc::clone(&metrics)),
            running: Running::default(),
            metrics,
            uploads: UploadMemory::new(&limits),
            decoders: Arc::new(Semaphore::new(DECODERS)),
            fetched: Notify::new(),
            local_only: address.ip().is_loopback(),
            switched_model: AtomicUsize::new(0),
            shutting_down: AtomicBool::new(false),
            token: config.token,
            limits,
        };
        let engines = config.models.into_iter().map(|m| m.engine).collect();
        (Arc::new(app), engines)
    }

    /// Leave to decode or encode a picture, as soon as few others do.
    pub async fn decoding_permit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let permit = Arc::clone(&self.decoders).acquire_owned().await;
        permit.map_err(|_| ApiError::internal()) // it is never closed
    }

    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    /// Takes no more jobs; those that wait are cancelled, those that run go on.
    pub fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
        for task in self.queue.close() {
            task.job.cancel(Some(ApiError::shutting_down()));
        }
    }

    /// Cancels a job, wherever it is.
    pub fn cancel(&self, job: &Job) {
        job.cancel(None);
        self.queue.remove(job.id);
    }

    /// Cancels what runs.
    pub fn cancel_running(&self) {
        for job in self.running.jobs() {
            job.cancel(Some(ApiError::shutting_down()));
        }
    }
}
