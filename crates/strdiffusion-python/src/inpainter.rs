//! A model that Python code fills pictures with.

use std::ops::ControlFlow;
use std::path::PathBuf;

use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use strdiffusion::detail::UnknownDetail;
use strdiffusion::device::DeviceName;
use strdiffusion::model::Model;
use strdiffusion::picture::Photo;
use strdiffusion::{Device, Error, FillOptions, FillRequest, Filled, Scale};

use crate::failure::{exception, exception_of};
use crate::pixels::{Hole, Pixels, bytes_of};
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
    /// Reads a model folder; none: the model inside the package.
    #[new]
    #[pyo3(signature = (model, device))]
    fn new(py: Python, model: Option<PathBuf>, device: &str) -> PyResult<Self> {
        let name: DeviceName = device
            .parse()
            .map_err(|error: Error| PyValueError::new_err(error.to_string()))?;
        let loaded = py.detach(|| -> strdiffusion::Result<_> {
            let (name, device) = name.resolve()?;
            let model = match model {
                Some(folder) => Model::load(&folder, &device)?,
                None => bundled(&device)?,
            };
            Ok((name, strdiffusion::Inpainter::from_model(model)))
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
    /// detail in each hole. `hole` is what `find_hole` gives. Other threads run meanwhile.
    #[pyo3(signature = (image, hole, *, structure, avoid, seed, scale, detail, sampler, steps, resampling, progress))]
    #[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn fill<'py>(
        &self,
        py: Python<'py>,
        image: Pixels,
        hole: Py<Hole>,
        structure: Option<Pixels>,
        avoid: Option<Pixels>,
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
        let options = FillOptions {
            seed,
            ..self.options(&choice, scale, detail)?
        };
        let (filled, holes) = py.detach(|| {
            let photo = extended(image.to_photo()?, hole.get());
            let wishes = Wishes { structure, avoid };
            let options = wishes.added_to(options, hole.get())?;
            let mut raised = None;
            let filled = self
                .inner
                .fill(&photo, &hole.get().mask, &options, &mut |event| {
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
            told(&filled.map_err(exception)?)
        })?;
        Ok((PyByteArray::new(py, &filled), holes))
    }

    /// As `fill`, for several images at once: each as `(image, hole, structure, avoid, seed)`, and in the same order what became of it. `progress` also gets the image's place.
    #[pyo3(signature = (requests, *, scale, detail, sampler, steps, resampling, progress))]
    #[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn fill_batch<'py>(
        &self,
        py: Python<'py>,
        requests: Vec<Request>,
        scale: &str,
        detail: &str,
        sampler: Option<String>,
        steps: Option<usize>,
        resampling: Option<ResamplingChoice>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<(Bound<'py, PyByteArray>, String)>> {
        let choice = SamplerChoice {
            name: sampler,
            steps,
            resampling,
        };
        let options = self.options(&choice, scale, detail)?;
        let filled = py.detach(|| {
            let requests: Vec<FillRequest> = (requests.into_iter())
                .map(|request| request.read(options.clone()))
                .collect::<PyResult<_>>()?;
            let mut raised = None;
            let mut stop = false;
            let filled = self.inner.fill_batch(&requests, &mut |which, event| {
                // One that cancels or raises ends all of them.
                if !stop {
                    let steps = event.steps().map(|(done, total)| (which, done, total));
                    match Python::try_attach(|py| report(py, progress.as_ref(), steps)) {
                        Some(Ok(flow)) => stop = flow.is_break(),
                        Some(Err(error)) => {
                            raised = Some(error);
                            stop = true;
                        }
                        None => stop = true,
                    }
                }
                match stop {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            if let Some(error) = raised {
                return Err(error);
            }
            let each = filled
                .into_iter()
                .enumerate()
                .map(|(which, filled)| match filled {
                    Ok(filled) => told(&filled),
                    Err(Error::Cancelled) => Err(exception(Error::Cancelled)),
                    Err(error) => Err(exception_of(which, error)),
                });
            each.collect::<PyResult<Vec<_>>>()
        })?;
        let each = filled.into_iter();
        Ok(each
            .map(|(filled, holes)| (PyByteArray::new(py, &filled), holes))
            .collect())
    }
}

impl Inpainter {
    fn options(&self, choice: &SamplerChoice, scale: &str, detail: &str) -> PyResult<FillOptions> {
        Ok(FillOptions {
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
        })
    }
}

#[cfg(feature = "bundled-model")]
fn bundled(device: &Device) -> strdiffusion::Result<Model> {
    Model::from_files(&strdiffusion_default_model::files(), device)
}

#[cfg(not(feature = "bundled-model"))]
fn bundled(_device: &Device) -> strdiffusion::Result<Model> {
    Err(Error::Config(
        "this package was built without a model; name a model folder, or set STRDIFFUSION_MODEL"
            .into(),
    ))
}

/// What a person says of a fill beside its hole: a drawing, and what detail is not copied from.
struct Wishes {
    structure: Option<Pixels>,
    avoid: Option<Pixels>,
}

impl Wishes {
    fn added_to(self, options: FillOptions, hole: &Hole) -> PyResult<FillOptions> {
        let Self { structure, avoid } = self;
        Ok(FillOptions {
            drawn_edges: structure.map(|drawn| drawn.to_edges()).transpose()?,
            avoid: avoid
                .map(|avoid| avoid.to_avoided(&hole.margins))
                .transpose()?,
            ..options
        })
    }
}

/// One image of a batch: the image, what `find_hole` gives, a drawing, what to avoid, the seed.
#[derive(FromPyObject)]
struct Request(Pixels, Py<Hole>, Option<Pixels>, Option<Pixels>, u64);

impl Request {
    fn read(self, options: FillOptions) -> PyResult<FillRequest> {
        let Self(image, hole, structure, avoid, seed) = self;
        let wishes = Wishes { structure, avoid };
        Ok(FillRequest {
            photo: extended(image.to_photo()?, hole.get()),
            mask: hole.get().mask.clone(),
            options: wishes.added_to(FillOptions { seed, ..options }, hole.get())?,
        })
    }
}

fn extended(photo: Photo, hole: &Hole) -> Photo {
    match hole.margins.is_empty() {
        true => photo,
        false => photo.extended(&hole.margins),
    }
}

/// A fill as bytes, and as JSON what became of the detail in each hole.
fn told(filled: &Filled) -> PyResult<(Vec<u8>, String)> {
    let holes = serde_json::to_string(&filled.holes())
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok((bytes_of(&filled.photo), holes))
}

/// Lets Ctrl-C through, and tells the caller how far the fill is.
pub fn report<'py>(
    py: Python<'py>,
    progress: Option<&Py<PyAny>>,
    steps: Option<impl PyCallArgs<'py>>,
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
