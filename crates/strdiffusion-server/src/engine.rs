//! What fills photographs: the library's [`Inpainter`], or a stand-in for it.

use std::ops::ControlFlow;

use strdiffusion::model::ModelConfig;
use strdiffusion::{FillRequest, Filled, Inpainter, Progress, Result};

/// Called with a request's index and its progress; [`ControlFlow::Break`] cancels that request.
pub type OnBatchProgress<'a> = dyn FnMut(usize, &Progress) -> ControlFlow<()> + 'a;

/// A model that fills photographs, several at once where it can. It lives on the worker thread.
pub trait Engine: Send {
    /// The model's settings.
    fn config(&self) -> &ModelConfig;

    /// Fills each request; one result for each, in order.
    fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>>;
}

impl Engine for Inpainter {
    fn config(&self) -> &ModelConfig {
        &self.model().config
    }

    fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>> {
        Inpainter::fill_batch(self, requests, on_progress)
    }
}
