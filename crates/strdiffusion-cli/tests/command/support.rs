//! Models, pictures and runs of the command.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use image::{DynamicImage, ImageBuffer, Luma};
use serde_json::Value;
use strdiffusion::weights::Storage;
pub use strdiffusion_testing::{TINY_STEPS as T, tiny_model};
use tempfile::TempDir;

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
        tiny_model(|_| {})
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

    /// With `long` beside what is there: a model that is at work until it is interrupted.
    pub fn add_long_model(&self) {
        tiny_model(|config| config.sde.steps = 100_000)
            .save(&self.path("long"), Storage::F32)
            .unwrap();
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

/// Sends a running program a signal, such as `INT`.
pub fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
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
