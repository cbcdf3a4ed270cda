//! The `settings` of a request: JSON in, a sampler out.

use serde::Deserialize;
use serde_json::Value;
use strdiffusion::Detail;
use strdiffusion::picture::{Extension, MaskOptions};
use strdiffusion::sampling::{ResamplingChange, Sampler, SamplerChange, SamplerName};

use crate::decode::PictureSettings;
use crate::error::{ApiError, Code};
use crate::models::{self, ModelCard};

/// Fills of one photograph that a job may ask for.
pub(crate) const MOST_CANDIDATES: usize = 8;
/// Rounds of resampling that a job may ask for; each costs as much as a step.
pub(crate) const MOST_ROUNDS: usize = 32;

/// What a request may choose; all of it optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    seed: Option<u64>,
    candidates: Option<usize>,
    steps: Option<usize>,
    sampler: Option<SamplerName>,
    resampling: Option<usize>,
    previews: Option<bool>,
    detail: Option<Value>,
    model: Option<String>,
    grow: Option<u32>,
    shrink: Option<u32>,
    feather: Option<u32>,
    threshold: Option<f64>,
    soft: Option<bool>,
    extend: Option<Value>,
    strip: Option<bool>,
}

impl Settings {
    /// Reads the JSON object; none was sent: the defaults.
    pub fn parse(json: Option<&[u8]>) -> Result<Self, ApiError> {
        let Some(json) = json else {
            return Ok(Self::default());
        };
        let settings: Self = serde_json::from_slice(json).map_err(|error| {
            bad(format!(
                "settings: {error}; send a JSON object such as {{\"seed\": 7, \"candidates\": 2}}"
            ))
        })?;
        let candidates = settings.candidates();
        if !(1..=MOST_CANDIDATES).contains(&candidates) {
            return Err(bad(format!(
                "settings: {candidates} candidates were asked for; ask for 1 to {MOST_CANDIDATES}"
            )));
        }
        Ok(settings)
    }

    /// How many fills are asked for.
    pub fn candidates(&self) -> usize {
        self.candidates.unwrap_or(1)
    }

    /// One seed for each candidate.
    pub fn seeds(&self) -> Vec<u64> {
        let first = self.seed.unwrap_or(0);
        (0..self.candidates() as u64)
            .map(|i| first.wrapping_add(i))
            .collect()
    }

    /// Whether step events shall have pictures.
    pub fn previews(&self) -> bool {
        self.previews.unwrap_or(true)
    }

    /// How much detail is asked for: the command's words, but a number as a number.
    pub fn detail(&self) -> Result<Detail, ApiError> {
        let parsed = match &self.detail {
            None => return Ok(Detail::default()),
            Some(Value::Number(share)) => share.to_string().parse().ok(),
            Some(Value::String(word)) if word == "auto" || word == "off" => word.parse().ok(),
            Some(_) => None,
        };
        parsed.ok_or_else(|| {
            let found = self.detail.clone().unwrap_or_default();
            bad(format!(
                "settings: detail is {found}; it must be \"auto\", \"off\" or a number from 0 to 1"
            ))
        })
    }

    /// How photograph and mask become what is filled.
    pub fn pictures(&self) -> Result<PictureSettings, ApiError> {
        let borders = MaskOptions {
            threshold: self.threshold,
            shrink: self.shrink.unwrap_or(0),
            grow: self.grow.unwrap_or(0),
            feather: self.feather.unwrap_or(0),
            soft: self.soft.unwrap_or(false),
        };
        borders
            .check()
            .map_err(|error| bad(format!("settings: {error}")))?;
        Ok(PictureSettings {
            borders,
            extend: self.extension()?,
            strip: self.strip.unwrap_or(false),
        })
    }

    /// How far the photograph is to be extended: the command's words, or a list of them and of numbers
    /// of pixels.
    fn extension(&self) -> Result<Option<Extension>, ApiError> {
        let Some(found) = &self.extend else {
            return Ok(None);
        };
        let word = |value: &Value| match value {
            Value::Number(pixels) => Some(pixels.to_string()),
            Value::String(text) if !text.contains(',') => Some(text.clone()),
            _ => None,
        };
        let words = match found {
            Value::String(text) => Some(text.clone()),
            Value::Array(sides) => {
                let sides: Option<Vec<String>> = sides.iter().map(word).collect();
                sides.map(|sides| sides.join(","))
            }
            _ => None,
        };
        let extension = words.and_then(|words| words.parse().ok());
        extension.map(Some).ok_or_else(|| {
            bad(format!(
                "settings: extend is {found}; it must be [left, top, right, bottom], each in pixels \
                 or, as \"25%\", in percent"
            ))
        })
    }

    /// Index of the model that is asked for.
    pub fn model(&self, models: &[ModelCard]) -> Result<usize, ApiError> {
        let Some(name) = &self.model else {
            return Ok(0);
        };
        models::find(models, name).map_err(|error| bad(format!("settings: {error}")))
    }

    /// The model's sampler with the requested changes, and its number of steps.
    pub fn sampler(&self, model: &ModelCard) -> Result<(Sampler, usize), ApiError> {
        if let Some(rounds) = self.resampling
            && rounds > MOST_ROUNDS
        {
            return Err(bad(format!(
                "settings: {rounds} rounds of resampling were asked for; ask for 0 to {MOST_ROUNDS}"
            )));
        }
        let own = model.sampling;
        let name = self.sampler.unwrap_or(own.name());
        let (steps, changed) = match name.of(own) {
            // A default may exceed the steps of a very short process; a request may not.
            Sampler::Fast(fast) => {
                let steps = self.steps.unwrap_or(fast.steps.min(model.timesteps));
                (steps, Some(steps))
            }
            Sampler::Paper(_) => (self.steps.unwrap_or(model.timesteps), None),
        };
        let timesteps = model.timesteps;
        if changed.is_some() && !(1..=timesteps).contains(&steps) {
            return Err(bad(format!(
                "settings: {steps} steps were asked for; this model takes 1 to {timesteps}"
            )));
        }
        if changed.is_none() && steps != timesteps {
            return Err(bad(format!(
                "settings: the paper's sampler takes all {timesteps} steps of this model; leave \
                 \"steps\" out, or choose the sampler \"fast\""
            )));
        }
        let resampling = self.resampling.map(|rounds| match (rounds, changed) {
            (0, _) => ResamplingChange::Off,
            (_, Some(_)) => ResamplingChange::Rounds(rounds),
            (_, None) => ResamplingChange::Paper {
                u_max: Some(rounds + 1),
                u_min: None,
                jump: None,
                re: None,
            },
        });
        let change = SamplerChange {
            name: Some(name),
            steps: changed,
            resampling,
            switches: None,
        };
        let sampler = change.of(own);
        Ok((sampler.map_err(|e| bad(format!("settings: {e}")))?, steps))
    }
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::BadSettings, message)
}
