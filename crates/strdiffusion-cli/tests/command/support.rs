//! Models, pictures and runs of the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{DynamicImage, ImageBuffer, Luma};
use serde_json::Value;
use strdiffusion::Device;
use strdiffusion::model::{EdgeConfig, FORMAT, Model, ModelConfig};
use strdiffusion::networks::{ConditionalUNetConfig, DiscriminatorConfig};
use strdiffusion::sampler::{PaperSampler, Resampling};
use strdiffusion::sde::SdeConfig;
use strdiffusion::weights::Storage;
use tempfile::TempDir;

/// Steps of the tiny model.
pub const T: usize = 4;

/// A model small enough that a fill takes milliseconds.
pub fn tiny_model(steps: usize) -> Model {
    let resampling = Resampling {
        u_max: 3,
        u_min: 1,
        jump: 2,
        re: 1,
    };
    let config = ModelConfig {
        format: FORMAT,
        texture: ConditionalUNetConfig::texture(4, 2),
        structure: ConditionalUNetConfig::structure(4, 1),
        discriminator: DiscriminatorConfig {
            in_channels: 4,
            width: 4,
            time_dim: 16,
        },
        sde: SdeConfig {
            steps,
            ..SdeConfig::default()
        },
        prediction: Default::default(),
        conditioning: Default::default(),
        structure_process: Default::default(),
        guide: Default::default(),
        sampling: PaperSampler {
            resampling: Some(resampling),
            ..PaperSampler::default()
        }
        .into(),
        edges: EdgeConfig::default(),
        training_resolution: 32,
        licence: "CC0-1.0".into(),
        source: "random weights".into(),
    };
    Model::init(config, 1, &Device::flex()).unwrap()
}

/// A folder of its own for one test, with a model in it.
pub struct Bench {
    folder: TempDir,
}

impl Bench {
    /// An empty folder.
    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With `model`, the tiny model.
    pub fn new() -> Self {
        let bench = Self::empty();
        tiny_model(T)
            .save(&bench.path("model"), Storage::F32)
            .unwrap();
        bench
    }

    /// With `model`, `photo.png` (24×20, RGB) and `mask.png` (a hole of 8×6).
    pub fn with_photo() -> Self {
        let bench = Self::new();
        photo(24, 20).save(bench.path("photo.png")).unwrap();
        mask(24, 20).save(bench.path("mask.png")).unwrap();
        bench
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Names of the files in the folder.
    pub fn names(&self) -> Vec<String> {
        names_in(self.root())
    }

    /// The command, to be run in the folder with `arguments` split at spaces.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strdiffusion"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.root());
        command.env("STRDIFFUSION_MODEL", self.path("model"));
        for variable in ["RUST_LOG", "RUST_BACKTRACE"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command, which must end well, and returns stdout.
    pub fn run_well(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}\n{error}");
        text(&output.stdout)
    }

    /// Runs the command, which must refuse its input in one line and leave no file behind, and
    /// returns that line. Each of `hints` must stand in it.
    pub fn run_refused(&self, arguments: &str, hints: &[&str]) -> String {
        let before = self.names();
        let output = self.run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}\n{error}");
        assert_eq!(error.lines().count(), 1, "{arguments}\n{error}");
        assert!(error.starts_with("error: "), "{arguments}\n{error}");
        for hint in hints {
            assert!(error.contains(hint), "{arguments}: no {hint:?} in\n{error}");
        }
        assert_eq!(self.names(), before, "{arguments}");
        error
    }
}

pub fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The objects of a `--json` run.
pub fn objects(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A 16-bit RGBA picture without two like pixels; alpha is high everywhere.
pub fn photo_16_bit(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let value = |k: u32| ((x * 2503 + y * 1409 + k * 20011) % 65521) as u16;
        image::Rgba([value(1), value(2), value(3), 0xf000 | value(4)])
    };
    DynamicImage::ImageRgba16(ImageBuffer::from_fn(width, height, pixel))
}

/// An 8-bit RGB picture.
pub fn photo(width: u32, height: u32) -> DynamicImage {
    DynamicImage::ImageRgb8(photo_16_bit(width, height).to_rgb8())
}

/// Whether the test mask has a hole there.
pub fn is_hole(x: u32, y: u32) -> bool {
    (6..14).contains(&x) && (5..11).contains(&y)
}

/// White in the hole.
pub fn mask(width: u32, height: u32) -> DynamicImage {
    let pixel = |x, y| Luma([if is_hole(x, y) { 255u8 } else { 0 }]);
    DynamicImage::ImageLuma8(ImageBuffer::from_fn(width, height, pixel))
}
