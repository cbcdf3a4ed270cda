//! Sampler settings as a caller names them in Python.

use std::collections::BTreeMap;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;
use strdiffusion::sampling::{FastSampler, PaperSampler, Sampler, SamplerName};

use crate::failure::exception;

/// What `resampling` may be.
pub enum ResamplingChoice {
    /// With or without adaptive resampling.
    Switch(bool),
    /// At most so many rounds at each early step of a few-step sampler.
    Rounds(usize),
    /// Some of the paper's parameters.
    Paper(BTreeMap<String, usize>),
}

impl<'py> FromPyObject<'_, 'py> for ResamplingChoice {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // A bool is an int, too.
        if let Ok(switch) = object.cast::<PyBool>() {
            return Ok(Self::Switch(switch.is_true()));
        }
        if let Ok(rounds) = object.extract() {
            return Ok(Self::Rounds(rounds));
        }
        object.extract().map(Self::Paper).map_err(|_| {
            PyTypeError::new_err(
                "resampling must be True, False, a number of rounds, or a dict of u_max, u_min, \
                 jump and re",
            )
        })
    }
}

/// What may be changed of a model's own sampler.
pub struct SamplerChoice {
    /// `paper`, `euler`, `posterior`, `fast` or `fast-stochastic`.
    pub name: Option<String>,
    /// Steps of a few-step sampler.
    pub steps: Option<usize>,
    /// Adaptive resampling.
    pub resampling: Option<ResamplingChoice>,
}

impl SamplerChoice {
    /// A model's sampler with these changes.
    ///
    /// # Errors
    /// `ValueError` if settings of different samplers are mixed, or one is out of range.
    pub fn apply(&self, own: Sampler) -> PyResult<Sampler> {
        let sampler = match self.kind(own)? {
            Sampler::Paper(paper) => Sampler::Paper(self.apply_paper(paper)?),
            Sampler::Fast(fast) => Sampler::Fast(self.apply_fast(fast)?),
        };
        sampler.validate().map_err(exception)?;
        Ok(sampler)
    }

    fn kind(&self, own: Sampler) -> PyResult<Sampler> {
        match self.name.as_deref() {
            None if self.steps.is_some() => Ok(Sampler::Fast(own.few_steps())),
            None if matches!(self.resampling, Some(ResamplingChoice::Paper(_))) => {
                Ok(Sampler::Paper(own.paper()))
            }
            None => Ok(own),
            Some(name) => SamplerName::ALL
                .into_iter()
                .find(|known| known.name() == name)
                .map(|known| known.of(own))
                .ok_or_else(|| {
                    PyValueError::new_err(format!(
                        "sampler {name:?} is not known: use \"paper\", \"euler\", \
                         \"posterior\", \"fast\" or \"fast-stochastic\""
                    ))
                }),
        }
    }

    fn apply_paper(&self, mut paper: PaperSampler) -> PyResult<PaperSampler> {
        if self.steps.is_some() {
            return Err(PyValueError::new_err(
                "steps does not go with the paper's sampler, which takes all T steps of the model; \
                 name a few-step sampler, such as sampler=\"fast\"",
            ));
        }
        let asked = match &self.resampling {
            None => return Ok(paper),
            Some(ResamplingChoice::Switch(false)) => {
                paper.resampling = None;
                return Ok(paper);
            }
            Some(ResamplingChoice::Switch(true)) => &BTreeMap::new(),
            Some(ResamplingChoice::Paper(asked)) => asked,
            Some(ResamplingChoice::Rounds(_)) => {
                return Err(PyValueError::new_err(
                    "a number of rounds belongs to the few-step samplers; for the paper's, \
                     resampling is True, False or a dict of u_max, u_min, jump and re",
                ));
            }
        };
        let mut resampling = paper.resampling.unwrap_or_default();
        for (name, &value) in asked {
            let target = match name.as_str() {
                "u_max" => &mut resampling.u_max,
                "u_min" => &mut resampling.u_min,
                "jump" => &mut resampling.jump,
                "re" => &mut resampling.re,
                _ => {
                    return Err(PyValueError::new_err(format!(
                        "resampling has no parameter {name:?}: it takes u_max, u_min, jump and re"
                    )));
                }
            };
            *target = value;
        }
        paper.resampling = Some(resampling);
        Ok(paper)
    }

    fn apply_fast(&self, mut fast: FastSampler) -> PyResult<FastSampler> {
        fast.steps = self.steps.unwrap_or(fast.steps);
        match self.resampling {
            None => {}
            Some(ResamplingChoice::Switch(false)) => fast.resampling_rounds = 0,
            Some(ResamplingChoice::Rounds(rounds)) => fast.resampling_rounds = rounds,
            Some(ResamplingChoice::Switch(true) | ResamplingChoice::Paper(_)) => {
                return Err(PyValueError::new_err(
                    "a few-step sampler takes resampling=False or a number of rounds; True and \
                     u_max, u_min, jump and re belong to sampler=\"paper\"",
                ));
            }
        }
        Ok(fast)
    }
}
