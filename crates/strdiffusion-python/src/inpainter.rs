//! A model that Python code fills pictures with.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyByteArray;
use strdiffusion::detail::UnknownDetail;
use strdiffusion::device::DeviceName;
use strdiffusion::picture::Mask;
use strdiffusion::{Error, FillOptions, Scale};

use crate::failure::exception;
use crate::pixels::{Pixels, bytes_of};
use crate::sampler_choice::{ResamplingChoice, SamplerChoice};

/// A model, loaded on a device. Threads may share it.
#[pyclass(frozen, module = "strdiffusion._native")]
pub struct Inpainter {
    inner: strdiffusion::Inpainter,
    /// The model's config as JSON.
    #[pyo3(get)]
    config: String,
    /// The device's name, never `auto`.
    #[pyo3(get)]
    device: String,
}

#[pymethods]
impl Inpainter {
    /// Reads a model folder.
    #[new]
    fn new(py: Python, model: PathBuf, device: &str) -> PyResult<Self> {
        let name: DeviceName = device
            .parse()
            .map_err(|error: Error| PyValueError::new_err(error.to_string()))?;
        let loaded = py.detach(|| -> strdiffusion::Result<_> {
            let (name, device) = name.resolve()?;
            Ok((name, strdiffusion::Inpainter::load(&model, &device)?))
        });
        let (name, inner) = loaded.map_err(exception)?;
        let config = serde_json::to_string(inner.model().config())
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(Self {
            inner,
            config,
            device: name.to_string(),
        })
    }

    /// The image with its hole filled, as bytes of its own kind, and as JSON what became of the
    /// detail in each hole. `known` is what `find_known` gives; where the hole is the image's
    /// `transparency`, it becomes opaque. Other threads run meanwhile.
    #[pyo3(signature = (image, known, *, transparency, structure, seed, scale, detail, sampler, steps, resampling, progress))]
    #[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn fill<'py>(
        &self,
        py: Python<'py>,
        image: Pixels,
        known: PyBackedBytes,
        transparency: bool,
        structure: Option<Pixels>,
        seed: u64,
        scale: &str,
        detail: &str,
        sampler: Option<String>,
        steps: Option<usize>,
        resampling: Option<ResamplingChoice>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyByteArray>, String)> {
        let choice = SamplerChoice {
            name: sampler,
            steps,
            resampling,
        };
        let mut options = FillOptions {
            seed,
            scale: match scale {
                "auto" => Scale::Auto,
                "native" => Scale::Native,
                _ => {
                    return Err(PyValueError::new_err(format!(
                        "scale {scale:?} is not known: use \"auto\" or \"native\""
                    )));
                }
            },
            detail: detail
                .parse()
                .map_err(|error: UnknownDetail| PyValueError::new_err(error.to_string()))?,
            sampler: Some(choice.apply(self.inner.model().config().sampling)?),
            ..FillOptions::default()
        };
        let (filled, holes) = py.detach(|| {
            let photo = image.to_photo()?;
            let mut known = Mask::from_keep(photo.width(), photo.height(), known.to_vec())
                .map_err(exception)?;
            if transparency {
                known = known.of_transparency();
            }
            options.drawn_edges = structure.map(|drawn| drawn.to_edges()).transpose()?;
            let mut raised = None;
            let filled = self.inner.fill(&photo, &known, &options, &mut |event| {
                // None: the interpreter is shutting down under a daemon thread.
                match Python::try_attach(|py| report(py, progress.as_ref(), event.steps())) {
                    Some(Ok(flow)) => flow,
                    Some(Err(error)) => {
                        raised = Some(error);
                        ControlFlow::Break(())
                    }
                    None => ControlFlow::Break(()),
                }
            });
            if let Some(error) = raised {
                return Err(error);
            }
            let filled = filled.map_err(exception)?;
            let holes = serde_json::to_string(&filled.holes())
                .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
            Ok((bytes_of(&filled.photo), holes))
        })?;
        Ok((PyByteArray::new(py, &filled), holes))
    }
}

/// Lets Ctrl-C through, and tells the caller how far the fill is.
fn report(
    py: Python,
    progress: Option<&Py<PyAny>>,
    steps: Option<(usize, usize)>,
) -> PyResult<ControlFlow<()>> {
    py.check_signals()?;
    let (Some(progress), Some(steps)) = (progress, steps) else {
        return Ok(ControlFlow::Continue(()));
    };
    let answer = progress.bind(py).call1(steps)?;
    // Only a False cancels: a callback without a return statement returns None.
    Ok(match answer.extract::<bool>() {
        Ok(false) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}
