//! Sampler settings as a caller names them in Python.

use std::collections::BTreeMap;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;
use strdiffusion::sampling::{ChangeError, ResamplingChange, Sampler, SamplerChange, SamplerName};

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
        let named = self.name.as_deref().map(named).transpose()?;
        let name = match (&self.resampling, self.steps) {
            // With or without: of the sampler that is there.
            (Some(ResamplingChoice::Switch(_)), None) => named.or(Some(own.name())),
            (_, Some(_)) => named.or(Some(Sampler::Fast(own.few_steps()).name())),
            _ => named,
        };
        let change = SamplerChange {
            name,
            steps: self.steps,
            resampling: self.resampling.as_ref().map(resampling).transpose()?,
            switches: None,
        };
        change.of(own).map_err(told)
    }
}

fn named(name: &str) -> PyResult<SamplerName> {
    let known = SamplerName::ALL.into_iter().find(|n| n.name() == name);
    known.ok_or_else(|| {
        PyValueError::new_err(format!(
            "sampler {name:?} is not known: use \"paper\", \"euler\", \"posterior\", \"fast\" or \
             \"fast-stochastic\""
        ))
    })
}

fn resampling(choice: &ResamplingChoice) -> PyResult<ResamplingChange> {
    let asked = match choice {
        ResamplingChoice::Switch(false) => return Ok(ResamplingChange::Off),
        ResamplingChoice::Rounds(rounds) => return Ok(ResamplingChange::Rounds(*rounds)),
        ResamplingChoice::Switch(true) => &BTreeMap::new(),
        ResamplingChoice::Paper(asked) => asked,
    };
    const NAMES: [&str; 4] = ["u_max", "u_min", "jump", "re"];
    if let Some(name) = asked.keys().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(PyValueError::new_err(format!(
            "resampling has no parameter {name:?}: it takes u_max, u_min, jump and re"
        )));
    }
    let [u_max, u_min, jump, re] = NAMES.map(|name| asked.get(name).copied());
    Ok(ResamplingChange::Paper {
        u_max,
        u_min,
        jump,
        re,
    })
}

/// The error in terms of the arguments.
fn told(error: ChangeError) -> PyErr {
    PyValueError::new_err(match error {
        ChangeError::StepsOfPaper => {
            "steps does not go with the paper's sampler, which takes all T steps of the model; \
             name a few-step sampler, such as sampler=\"fast\""
        }
        ChangeError::RoundsOfPaper => {
            "a number of rounds belongs to the few-step samplers; for the paper's, resampling is \
             True, False or a dict of u_max, u_min, jump and re"
        }
        ChangeError::PaperOfFewSteps => {
            "a few-step sampler takes resampling=False or a number of rounds; True and u_max, \
             u_min, jump and re belong to sampler=\"paper\""
        }
        ChangeError::Range(error) => return exception(error),
        other => return PyValueError::new_err(other.to_string()),
    })
}
