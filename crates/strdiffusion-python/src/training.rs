//! Training in one of several processes that Python code connects.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use serde_json::{Value, json};
use strdiffusion::device::DeviceName;
use strdiffusion::files::{list_pictures, write_atomically};
use strdiffusion::model::read_config;
use strdiffusion::picture::HolePolarity;
use strdiffusion::text::one_line;
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::training::group::Group;
use strdiffusion::training::photographs;
use strdiffusion::training::run_log::RunLog;
use strdiffusion::training::stage::Stage;
use strdiffusion::training::trainer::{Ended, TrainEvent, Trainer, TrainingData};
use strdiffusion::{Device, Error};

use crate::failure::exception;

/// Settings of a new run, as TOML: of a file or else a preset, then of the model that it starts
/// from, then changed key by key. Without a `device` nothing is chosen for it.
#[pyfunction]
#[pyo3(signature = (*, preset, config, start_from, changes, device=None))]
pub fn training_settings(
    preset: &str,
    config: Option<PathBuf>,
    start_from: Option<PathBuf>,
    changes: Vec<(String, String)>,
    device: Option<&str>,
) -> PyResult<String> {
    let preset = match preset {
        "tiny" => Preset::Tiny,
        "small" => Preset::Small,
        "paper" => Preset::Paper,
        _ => {
            return Err(PyValueError::new_err(format!(
                "preset {preset:?} is not known: use \"tiny\", \"small\" or \"paper\""
            )));
        }
    };
    let settings = || -> strdiffusion::Result<TrainConfig> {
        let mut settings = match config {
            Some(file) => TrainConfig::read(&file)?,
            None => match device {
                Some(name) => {
                    TrainConfig::preset_on(preset, &[name.parse::<DeviceName>()?.open()?])
                }
                None => TrainConfig::preset(preset),
            },
        };
        if let Some(folder) = start_from {
            settings.start_from(&folder, &read_config(&folder)?);
        }
        for (key, value) in changes {
            settings.set(&key, &value)?;
        }
        settings.validate()?;
        Ok(settings)
    };
    Ok(settings().map_err(exception)?.to_toml())
}

/// Trains, and returns whether the stages were done. In a `group` it is process `rank` of `size`;
/// its `sum` adds up a bytearray of native f32 over all processes in place, its `broadcast` gives the
/// first process's bytes.
/// `on_event` gets JSON; if it returns False, all processes save and end. Other threads run
/// meanwhile.
#[pyfunction]
#[pyo3(signature = (settings, *, images, masks, black_holes, run, stages, steps, device, on_event, group=None))]
#[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
pub fn train(
    py: Python,
    settings: &str,
    images: PathBuf,
    masks: Option<PathBuf>,
    black_holes: bool,
    run: PathBuf,
    stages: Vec<String>,
    steps: Option<usize>,
    device: &str,
    on_event: Py<PyAny>,
    group: Option<PythonGroup>,
) -> PyResult<bool> {
    let device: DeviceName = device
        .parse()
        .map_err(|error: Error| PyValueError::new_err(error.to_string()))?;
    let polarity = match black_holes {
        true => HolePolarity::Black,
        false => HolePolarity::White,
    };
    let work = Work {
        settings,
        images: &images,
        masks: masks.map(|folder| (folder, polarity)),
        run: &run,
        stages: stages
            .iter()
            .map(|name| stage(name))
            .collect::<PyResult<_>>()?,
        steps,
        device,
    };
    let mut raised = None;
    let ended = py.detach(|| {
        work.run(
            group,
            &mut |event| match Python::try_attach(|py| tell(py, &on_event, event)) {
                Some(Ok(flow)) => flow,
                Some(Err(error)) => {
                    raised.get_or_insert(error);
                    ControlFlow::Break(())
                }
                None => ControlFlow::Break(()),
            },
        )
    });
    match raised {
        Some(error) => Err(error),
        None => Ok(ended.map_err(exception)? == Ended::Finished),
    }
}

fn stage(name: &str) -> PyResult<Stage> {
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    found.ok_or_else(|| PyValueError::new_err(format!("stage {name:?} is not known")))
}

fn tell(py: Python, on_event: &Py<PyAny>, event: &Value) -> PyResult<ControlFlow<()>> {
    py.check_signals()?;
    let answer = on_event.bind(py).call1((event.to_string(),))?;
    Ok(match answer.extract::<bool>() {
        Ok(false) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}

struct Work<'a> {
    settings: &'a str,
    images: &'a Path,
    masks: Option<(PathBuf, HolePolarity)>,
    run: &'a Path,
    stages: Vec<Stage>,
    steps: Option<usize>,
    device: DeviceName,
}

impl Work<'_> {
    /// Trains. Only the first process writes to the run's folder.
    fn run(
        self,
        group: Option<PythonGroup>,
        on_event: &mut dyn FnMut(&Value) -> ControlFlow<()>,
    ) -> strdiffusion::Result<Ended> {
        let config = TrainConfig::parse(self.settings, &self.run.join("config.toml"))?;
        let photos = list_pictures(self.images)?;
        let masks = match self.masks {
            Some((folder, polarity)) => Some((list_pictures(&folder)?, polarity)),
            None => None,
        };
        let is_first = group.as_ref().is_none_or(|group| group.rank == 0);
        let changed = match is_first {
            true => photographs::remember(self.run, &photos)?,
            false => None,
        };
        let devices: [Device; 1] = [self.device.open()?];
        let data = TrainingData { photos, masks };
        let (mut trainer, skipped) = match group {
            Some(group) => Trainer::in_group(config, self.run, data, &devices, Box::new(group))?,
            None => Trainer::new(config, self.run, data, &devices)?,
        };
        let mut log = None;
        if is_first {
            let text = trainer.config().to_toml();
            write_atomically(&self.run.join("config.toml"), text.as_bytes())?;
            let changed = changed.map(|changed| changed.to_string());
            let skipped = photographs::list_skipped(self.run, &skipped)?;
            for text in [changed, skipped].into_iter().flatten() {
                // A wish to stop is asked for again at the next event.
                let _ = on_event(&json!({"event": "note", "text": text}));
            }
            log = Some(RunLog::open(self.run)?);
        }
        let mut failed = None;
        let ended = trainer.train(&self.stages, self.steps, &mut |event| {
            let recorded = log.as_mut().map_or(Ok(()), |log| log.record(event));
            if let Err(error) = recorded {
                failed.get_or_insert(error);
            }
            let flow = on_event(&as_json(event));
            match failed {
                Some(_) => ControlFlow::Break(()),
                None => flow,
            }
        })?;
        failed.map_or(Ok(ended), Err)
    }
}

fn as_json(event: &TrainEvent) -> Value {
    match event {
        TrainEvent::Started { stage, step, until } => {
            json!({"event": "started", "stage": stage, "step": step, "until": until})
        }
        TrainEvent::Stepped {
            stage,
            step,
            until,
            loss,
            steps_per_second,
            log,
            ..
        } => json!({
            "event": "stepped", "stage": stage, "step": step, "until": until, "loss": loss,
            "steps_per_second": steps_per_second, "log": log,
        }),
        TrainEvent::Validated {
            stage,
            step,
            scores,
            best,
        } => json!({
            "event": "validated", "stage": stage, "step": step, "loss": scores.loss,
            "psnr": scores.psnr, "best": best,
        }),
        TrainEvent::Saved { stage, step } => {
            json!({"event": "saved", "stage": stage, "step": step})
        }
        other => json!({"event": "other", "text": format!("{other:?}")}),
    }
}

/// Processes that Python connects: an object with these attributes.
#[derive(FromPyObject)]
pub struct PythonGroup {
    rank: usize,
    size: usize,
    sum: Py<PyAny>,
    broadcast: Py<PyAny>,
}

impl Group for PythonGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), String> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        attached(|py| {
            let buffer = PyByteArray::new(py, &bytes);
            self.sum.bind(py).call1((&buffer,))?;
            let bytes = buffer.to_vec();
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                *value = f32::from_ne_bytes(*bytes);
            }
            Ok(())
        })
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        attached(|py| {
            let answer = self.broadcast.bind(py).call1((PyBytes::new(py, bytes),))?;
            *bytes = answer.extract()?;
            Ok(())
        })
    }
}

/// Calls Python, and says in a line what it raises.
fn attached(call: impl FnOnce(Python) -> PyResult<()>) -> Result<(), String> {
    let called =
        Python::try_attach(|py| call(py).map_err(|error| one_line(error.value(py).to_string())));
    called.unwrap_or_else(|| Err("Python is shutting down".into()))
}
