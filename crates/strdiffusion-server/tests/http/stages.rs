//! A model that stops where a test wants it to.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};

use strdiffusion::inpaint::{OnBatchProgress, Provenance};
use strdiffusion::model::ModelConfig;
use strdiffusion::sampling::{Event, PaperSampler};
use strdiffusion::{FillOptions, FillRequest, Filled, Inpainter, Result};
use strdiffusion_server::Engine;
use strdiffusion_testing::{TINY_STEPS, tiny_model};
use tokio::sync::watch;

/// Steps of the model's own sampler.
pub const T: usize = TINY_STEPS;
/// Larger photographs are filled by regions of this side.
pub const RESOLUTION: usize = 16;
/// A job with this seed makes the model panic.
pub const PANIC_SEED: u64 = 666;

pub fn inpainter() -> Inpainter {
    Inpainter::from_model(tiny_model(|config| {
        config.texture.depth = 1;
        config.sampling = PaperSampler {
            resampling: None,
            ..PaperSampler::default()
        }
        .into();
        config.training_resolution = RESOLUTION;
    }))
}

/// Holds the worker back at each batch and each step until the test lets it pass.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    free: Mutex<usize>,
    changed: Condvar,
    arrivals: watch::Sender<usize>,
    batches: Mutex<Vec<usize>>,
}

impl Gate {
    pub fn open() -> Self {
        Self::with(usize::MAX)
    }

    pub fn closed() -> Self {
        Self::with(0)
    }

    fn with(free: usize) -> Self {
        Self(Arc::new(Inner {
            free: Mutex::new(free),
            changed: Condvar::new(),
            arrivals: watch::Sender::new(0),
            batches: Mutex::default(),
        }))
    }

    fn pass(&self) {
        self.0.arrivals.send_modify(|n| *n += 1);
        let mut free = self.0.free.lock().unwrap();
        while *free == 0 {
            free = self.0.changed.wait(free).unwrap();
        }
        *free -= 1;
    }

    /// Lets the worker pass so many times.
    pub fn allow(&self, times: usize) {
        *self.0.free.lock().unwrap() += times;
        self.0.changed.notify_all();
    }

    /// Lets the worker pass from now on.
    pub fn release(&self) {
        *self.0.free.lock().unwrap() = usize::MAX;
        self.0.changed.notify_all();
    }

    /// Waits until the worker has stood at the gate so many times.
    pub async fn arrived(&self, times: usize) {
        let mut arrivals = self.0.arrivals.subscribe();
        arrivals.wait_for(|&n| n >= times).await.unwrap();
    }

    pub fn arrivals(&self) -> usize {
        *self.0.arrivals.borrow()
    }

    /// Pictures of each batch so far.
    pub fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }
}

/// The tiny model behind a gate.
pub struct Gated {
    pub inner: Inpainter,
    pub gate: Gate,
}

impl Engine for Gated {
    fn config(&self) -> &ModelConfig {
        self.inner.model().config()
    }

    fn provenance(&self, model: &str, options: &FillOptions) -> Provenance {
        self.inner.provenance(model, options)
    }

    fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>> {
        self.gate.0.batches.lock().unwrap().push(requests.len());
        self.gate.pass();
        let at_fault = |r: &FillRequest| r.options.seed == PANIC_SEED;
        assert!(!requests.iter().any(at_fault), "as the test wishes");
        self.inner.fill_batch(requests, &mut |number, progress| {
            let flow = on_progress(number, progress);
            if flow == ControlFlow::Continue(()) && matches!(progress.event, Event::Step { .. }) {
                self.gate.pass();
            }
            flow
        })
    }
}
