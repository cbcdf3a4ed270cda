//! A model: three networks and everything that they were trained for, in one folder.
//!
//! ```text
//! MODEL/config.json                 sizes, T, schedule, λ, ε, sampling, edges, licence, source
//! MODEL/texture.safetensors
//! MODEL/structure.safetensors
//! MODEL/discriminator.safetensors
//! ```

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::conditioning::{Conditioning, Guide, StructureProcess};
use crate::error::{Error, Result};
use crate::files::{whole, write_atomically};
use crate::import;
use crate::networks::{
    ConditionalUNet, ConditionalUNetConfig, Discriminator, DiscriminatorConfig, Network, Precision,
};
use crate::sampling::Sampler;
use crate::sde::{Prediction, Sde, SdeConfig};
use crate::structure::{Canny, EdgeSource};
use crate::weights::{self, Storage, TensorMap};

/// Version of the folder's layout.
pub const FORMAT: u32 = 1;

/// The settings' file in a model's folder.
pub const CONFIG: &str = "config.json";
const TEXTURE: &str = "texture.safetensors";
const STRUCTURE: &str = "structure.safetensors";
const DISCRIMINATOR: &str = "discriminator.safetensors";
/// All files of a model's folder that make the model.
pub const FILES: [&str; 4] = [CONFIG, TEXTURE, STRUCTURE, DISCRIMINATOR];

/// A model folder's files in memory, for programs that carry a model inside.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles<'a> {
    /// What errors call the folder.
    pub name: &'a str,
    /// Contents of `config.json`.
    pub config: &'a [u8],
    /// Contents of `texture.safetensors`.
    pub texture: &'a [u8],
    /// Contents of `structure.safetensors`.
    pub structure: &'a [u8],
    /// Contents of `discriminator.safetensors`.
    pub discriminator: &'a [u8],
}

impl<'a> ModelFiles<'a> {
    /// The files' contents, in the order of [`FILES`].
    pub fn contents(&self) -> [&'a [u8]; 4] {
        [
            self.config,
            self.texture,
            self.structure,
            self.discriminator,
        ]
    }

    fn weights(&self, name: &str) -> &'a [u8] {
        match name {
            TEXTURE => self.texture,
            STRUCTURE => self.structure,
            _ => self.discriminator,
        }
    }
}

/// How a photograph's edges are found.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    /// Canny's parameters.
    pub canny: Canny,
    /// Which pixels it may read.
    #[serde(default)]
    pub source: EdgeSource,
}

/// Contents of `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Version of the folder's layout; [`FORMAT`].
    pub format: u32,
    /// Sizes of the texture network.
    pub texture: ConditionalUNetConfig,
    /// Sizes of the structure network.
    pub structure: ConditionalUNetConfig,
    /// Sizes of the discriminator.
    pub discriminator: DiscriminatorConfig,
    /// T, schedule, λ, ε.
    pub sde: SdeConfig,
    /// What texture and structure network predict.
    #[serde(default)]
    pub prediction: Prediction,
    /// What the networks are told of the hole and its surroundings.
    #[serde(default)]
    pub conditioning: Conditioning,
    /// From what to what the structure gets sparser.
    #[serde(default)]
    pub structure_process: StructureProcess,
    /// Which state of the structure guides the texture.
    #[serde(default)]
    pub guide: Guide,
    /// The sampler and its parameters.
    pub sampling: Sampler,
    /// How edges are found.
    pub edges: EdgeConfig,
    /// Side of the square crops that the networks were trained on, in pixels.
    pub training_resolution: usize,
    /// Licence of the weights.
    pub licence: String,
    /// Where the weights come from.
    pub source: String,
}

impl ModelConfig {
    /// Checks sizes, schedule and sampling parameters, and that the networks fit together.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn validate(&self) -> Result<()> {
        let complain = |what: &str| Err(Error::Config(what.into()));
        if self.format != FORMAT {
            return Err(Error::Config(format!(
                "the model's format is {}, this program reads format {FORMAT}",
                self.format
            )));
        }
        self.texture.validate()?;
        self.structure.validate()?;
        self.discriminator.validate()?;
        self.sampling.validate()?;
        Sde::new(&self.sde)?;
        if self.texture.in_channels != 3 || self.texture.out_channels != 3 {
            return complain("the texture network must have 3 channels in and out");
        }
        let (texture, structure) = (
            self.conditioning.texture_channels(),
            self.conditioning.structure_channels(),
        );
        if [
            self.texture.context_channels,
            self.structure.context_channels,
        ] != [texture, structure]
        {
            return Err(Error::Config(format!(
                "the networks' context_channels are {} (texture) and {} (structure), but this \
                 conditioning needs {texture} and {structure}",
                self.texture.context_channels, self.structure.context_channels
            )));
        }
        if self.structure.guided
            || self.structure.in_channels != 1
            || self.structure.out_channels != 1
        {
            return complain("the structure network must be unguided, with 1 channel in and out");
        }
        if self.discriminator.in_channels != 4 {
            return complain("the discriminator must have 4 channels in");
        }
        let Canny { sigma, low, high } = self.edges.canny;
        if ![sigma, low, high]
            .iter()
            .all(|v| v.is_finite() && *v >= 0.0)
        {
            return Err(Error::Config(format!(
                "canny sigma {sigma}, low {low}, high {high}: each must be at least 0"
            )));
        }
        if self.training_resolution == 0 {
            return complain("training_resolution must be at least 1");
        }
        Ok(())
    }
}

/// Three networks, ready to run on one device, and the settings that they belong to.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) sde: Sde,
    pub(crate) texture: ConditionalUNet,
    pub(crate) structure: ConditionalUNet,
    pub(crate) discriminator: Discriminator,
    pub(crate) device: Device,
}

/// The reference implementation's checkpoints of one model.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// Texture network.
    pub texture: PathBuf,
    /// Structure network.
    pub structure: PathBuf,
    /// Discriminator.
    pub discriminator: PathBuf,
}

impl Model {
    /// A model with fresh random weights.
    ///
    /// # Errors
    /// If the settings are out of range.
    pub fn init(config: ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            sde: Sde::new(&config.sde)?,
            texture: config.texture.init(seed, device)?,
            structure: config.structure.init(seed.wrapping_add(1), device)?,
            discriminator: config.discriminator.init(seed.wrapping_add(2), device)?,
            config,
            device: device.clone(),
        })
    }

    /// A model of the reference implementation's checkpoints. Sizes come from the shapes; all that
    /// the files do not say comes from `settings`.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn import(
        checkpoints: &Checkpoints,
        settings: &ImportSettings,
        device: &Device,
    ) -> Result<Self> {
        let (texture_config, texture) = import::unet(&checkpoints.texture, device)?;
        let (structure_config, structure) = import::unet(&checkpoints.structure, device)?;
        if !texture_config.guided || texture_config.in_channels != 3 {
            return Err(Error::model(
                &checkpoints.texture,
                "not a texture network (guided, 3 channels): were the files given in the wrong \
                 order?",
            ));
        }
        if structure_config.guided || structure_config.in_channels != 1 {
            return Err(Error::model(
                &checkpoints.structure,
                "not a structure network (unguided, 1 channel): were the files given in the wrong \
                 order?",
            ));
        }
        let (discriminator_config, discriminator) =
            import::discriminator(&checkpoints.discriminator, device)?;
        let config = ModelConfig {
            format: FORMAT,
            texture: texture_config,
            structure: structure_config,
            discriminator: discriminator_config,
            sde: settings.sde.clone(),
            prediction: Prediction::Noise,
            conditioning: Conditioning::Paper,
            structure_process: StructureProcess::GrayToEdges,
            guide: Guide::StepAhead,
            sampling: settings.sampling,
            edges: settings.edges,
            training_resolution: settings.training_resolution,
            licence: settings.licence.clone(),
            source: settings.source.clone(),
        };
        config.validate()?;
        Ok(Self {
            sde: Sde::new(&config.sde)?,
            config,
            texture,
            structure,
            discriminator,
            device: device.clone(),
        })
    }

    /// The same networks under other settings, of which only the networks' sizes must be as they
    /// were.
    ///
    /// # Errors
    /// If the settings are out of range, or of networks of other sizes.
    pub fn with_config(self, config: ModelConfig) -> Result<Self> {
        config.validate()?;
        let sizes = |c: &ModelConfig| {
            (
                c.texture.clone(),
                c.structure.clone(),
                c.discriminator.clone(),
            )
        };
        if sizes(&config) != sizes(&self.config) {
            return Err(Error::Config(
                "these settings are of networks of other sizes than the model's".into(),
            ));
        }
        Ok(Self {
            sde: Sde::new(&config.sde)?,
            config,
            ..self
        })
    }

    /// Everything but the weights.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The schedule, computed.
    pub fn sde(&self) -> &Sde {
        &self.sde
    }

    /// Texture network.
    pub fn texture(&self) -> &ConditionalUNet {
        &self.texture
    }

    /// Structure network.
    pub fn structure(&self) -> &ConditionalUNet {
        &self.structure
    }

    /// Discriminator.
    pub fn discriminator(&self) -> &Discriminator {
        &self.discriminator
    }

    /// Where the networks are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same model, whose U-Nets compute with other numbers. The discriminator stays in 32 bit:
    /// it sums over all positions, and is seldom asked.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self {
            texture: precision.of(&self.texture),
            structure: precision.of(&self.structure),
            discriminator: precision.of_32_bits().of(&self.discriminator),
            ..self
        }
    }

    /// The same model, which on the CPU keeps no copies of its weights as the kernels read them:
    /// slower, with less memory.
    #[must_use]
    pub fn with_low_memory(mut self) -> Self {
        self.texture.convolutions().keep_packed = false;
        self.structure.convolutions().keep_packed = false;
        self.discriminator.convolutions().keep_packed = false;
        self
    }

    /// Reads a model folder.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let config = read_config(folder)?;
        let files = [TEXTURE, STRUCTURE, DISCRIMINATOR].map(|name| folder.join(name));
        if let Some(missing) = files.iter().find(|file| !file.is_file()) {
            return Err(Error::model(
                missing,
                "the file is missing from the model folder; make or copy the folder again",
            ));
        }
        Self::assemble(config, folder, device, &|_, file| {
            weights::read_safetensors(file)
        })
    }

    /// As [`Self::load`], of a model folder's files in memory.
    ///
    /// # Errors
    /// Names the file that is wrong.
    pub fn from_files(files: &ModelFiles, device: &Device) -> Result<Self> {
        let folder = Path::new(files.name);
        let file = folder.join(CONFIG);
        let text = std::str::from_utf8(files.config)
            .map_err(|error| Error::model(&file, format!("not a model's config: {error}")))?;
        let config = parse_config(text, &file)?;
        Self::assemble(config, folder, device, &|name, file| {
            weights::parse_safetensors(files.weights(name), file)
        })
    }

    /// A model of the weights that `read` finds under a file's name and path.
    fn assemble(
        config: ModelConfig,
        folder: &Path,
        device: &Device,
        read: &dyn Fn(&str, &Path) -> Result<TensorMap>,
    ) -> Result<Self> {
        let unet = |config: &ConditionalUNetConfig, name: &str| {
            let file = folder.join(name);
            let tensors = read(name, &file)?;
            fill_network(tensors, &file, config.fewest_weights(), || {
                config.zeros(device)
            })
        };
        let texture = unet(&config.texture, TEXTURE)?;
        let structure = unet(&config.structure, STRUCTURE)?;
        let file = folder.join(DISCRIMINATOR);
        let discriminator = fill_network(
            read(DISCRIMINATOR, &file)?,
            &file,
            config.discriminator.fewest_weights(),
            || config.discriminator.zeros(device),
        )?;
        Ok(Self {
            sde: Sde::new(&config.sde)?,
            config,
            texture,
            structure,
            discriminator,
            device: device.clone(),
        })
    }

    /// Writes a model folder, all of it or nothing; a model folder of that name is replaced.
    ///
    /// # Errors
    /// If the folder cannot be written, or something else than a model is in the way.
    pub fn save(&self, folder: &Path, storage: Storage) -> Result<()> {
        if folder.exists() && !folder.join(CONFIG).is_file() && !is_empty_folder(folder) {
            return Err(Error::model(
                folder,
                "exists and is no model folder; choose another name",
            ));
        }
        let parent = match folder.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        let staging = tempfile::Builder::new()
            .prefix(".model-")
            .tempdir_in(parent)
            .map_err(|error| Error::io(parent, error))?;
        let new = staging.path().join("new");
        std::fs::create_dir(&new).map_err(|error| Error::io(&new, error))?;
        let json = serde_json::to_vec_pretty(&self.config).expect("a config is plain data");
        write_atomically(&new.join(CONFIG), &json)?;
        for (name, tensors) in [
            (TEXTURE, weights::collect(&self.texture)),
            (STRUCTURE, weights::collect(&self.structure)),
            (DISCRIMINATOR, weights::collect(&self.discriminator)),
        ] {
            weights::write_safetensors(&new.join(name), &tensors, storage)?;
        }
        whole::replace_folder(&new, folder, &staging.path().join("old"))
            .map_err(|error| Error::io(folder, error))
    }

    /// Checks that pictures of this size can pass through the networks.
    ///
    /// # Errors
    /// States the size and the smallest side that works.
    pub fn check_size(&self, height: usize, width: usize) -> Result<()> {
        self.config.texture.check_size(height, width)?;
        self.config.structure.check_size(height, width)?;
        // The discriminator halves the picture three times.
        if height.min(width) < 8 {
            return Err(Error::Size(format!(
                "a picture of {width}×{height} is too small for the discriminator: each side must \
                 be at least 8 pixels"
            )));
        }
        Ok(())
    }

    /// Numbers in the three networks: texture, structure, discriminator.
    pub fn parameters(&self) -> [usize; 3] {
        [
            self.texture.num_params(),
            self.structure.num_params(),
            self.discriminator.num_params(),
        ]
    }
}

fn is_empty_folder(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// A network of a file's weights. It is made only where the file holds enough of them, so that no
/// setting asks for more memory than the file's size answers for.
fn fill_network<M: Module>(
    tensors: TensorMap,
    file: &Path,
    fewest: usize,
    init: impl FnOnce() -> Result<M>,
) -> Result<M> {
    weights::check_count(&tensors, fewest, file)?;
    weights::apply(init()?, tensors, file)
}

/// Reads `config.json` of a model folder.
///
/// # Errors
/// If it is missing, or says something that this program does not understand.
pub fn read_config(folder: &Path) -> Result<ModelConfig> {
    if folder.is_file() {
        return Err(Error::model(
            folder,
            "is a file where a model folder is needed; name the folder, or make one of PyTorch \
             checkpoints with `strdiffusion import`",
        ));
    }
    if !folder.is_dir() {
        return Err(Error::model(folder, "no such model folder; check the path"));
    }
    let file = folder.join(CONFIG);
    if std::fs::metadata(&file).is_ok_and(|kind| !kind.is_file()) {
        return Err(Error::model(
            &file,
            "is no regular file; make or copy the model folder again",
        ));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::model(
            &file,
            "the file is missing: this is not a model folder (see `strdiffusion import`)",
        ),
        _ => Error::io(&file, error),
    })?;
    parse_config(&text, &file)
}

/// The settings that a `config.json` holds; `file` is what errors call it.
fn parse_config(text: &str, file: &Path) -> Result<ModelConfig> {
    let config: ModelConfig = serde_json::from_str(text)
        .map_err(|error| Error::model(file, format!("not a model's config: {error}")))?;
    config
        .validate()
        .map_err(|error| Error::model(file, error.to_string()))?;
    Ok(config)
}

/// What the reference implementation's checkpoints do not say about themselves.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// T, schedule, λ, ε.
    pub sde: SdeConfig,
    /// The sampler and its parameters.
    pub sampling: Sampler,
    /// How edges are found.
    pub edges: EdgeConfig,
    /// Side of the training crops.
    pub training_resolution: usize,
    /// Licence of the weights.
    pub licence: String,
    /// Where they come from.
    pub source: String,
}

impl Default for ImportSettings {
    fn default() -> Self {
        Self {
            sde: SdeConfig::default(),
            sampling: Sampler::default(),
            edges: EdgeConfig::default(),
            training_resolution: 256,
            licence: "unknown".into(),
            source: "imported from PyTorch checkpoints".into(),
        }
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use crate::training::config::{Preset, TrainConfig};

    #[test]
    fn a_config_from_before_the_newer_keys_means_what_it_meant() {
        let now = TrainConfig::preset(Preset::Paper).model_config();
        let mut json = serde_json::to_value(&now).unwrap();
        let remove = |value: &mut serde_json::Value, keys: &[&str]| {
            for key in keys {
                let removed = value.as_object_mut().unwrap().remove(*key);
                assert!(removed.is_some(), "{key}");
            }
        };
        remove(&mut json, &["guide"]);
        for network in ["texture", "structure"] {
            remove(&mut json[network], &["patch", "guide_input"]);
        }
        assert_eq!(serde_json::from_value::<ModelConfig>(json).unwrap(), now);
    }
}
