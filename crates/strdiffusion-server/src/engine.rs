//! What fills photographs: the library's [`Inpainter`], or a stand-in for it.

use strdiffusion::inpaint::{OnBatchProgress, Provenance};
use strdiffusion::model::ModelConfig;
use strdiffusion::{FillOptions, FillRequest, Filled, Inpainter, Result};

/// A model that fills photographs, several at once where it can. It lives on the worker thread.
pub trait Engine: Send {
    /// The model's settings.
    fn config(&self) -> &ModelConfig;

    /// What a fill is made with; see [`Inpainter::provenance`].
    fn provenance(&self, model: &str, options: &FillOptions) -> Provenance;

    /// Fills each request; one result for each, in order. See [`Inpainter::fill_batch`].
    fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>>;
}

impl Engine for Inpainter {
    fn config(&self) -> &ModelConfig {
        self.model().config()
    }

    fn provenance(&self, model: &str, options: &FillOptions) -> Provenance {
        Inpainter::provenance(self, model, options)
    }

    fn fill_batch(
        &self,
        requests: &[FillRequest],
        on_progress: &mut OnBatchProgress,
    ) -> Vec<Result<Filled>> {
        Inpainter::fill_batch(self, requests, on_progress)
    }
}
