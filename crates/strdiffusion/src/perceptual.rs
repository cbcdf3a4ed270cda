//! LPIPS and Inception features on Burn's networks, with the weights that the field uses.
//!
//! - LPIPS (Zhang et al. 2018), version 0.1, AlexNet or VGG-16, inputs in −1..=1.
//! - FID features as pytorch-fid takes them: 2,048 pooled activations of the Inception-v3 that was
//!   ported from TensorFlow, inputs in −1..=1, resized to 299 × 299.
//!
//! Burn's own loaders go on with random weights after a warning, and its Inception resizes by
//! aligned corners and normalises by ImageNet's mean; both would give numbers that nobody else
//! gets. So weights are loaded here, every parameter is checked to have come from a file, and
//! pictures are resized and normalised here. Fréchet distances are computed from the features in
//! `f64` by `metrics::frechet_distance`: Burn's matrix square root in `f32` has no answer for
//! fewer images than features.

use crate::evaluation::{FidReport, Pairing, PerceptualDistance, Picture, Row, RunFolder};
use crate::metrics::frechet_distance;
use burn::module::Module;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};
use burn_store::{ApplyResult, ModuleSnapshot, PytorchStore};
use burn_train::metric::vision::{Fid, FidConfig, Lpips, LpipsConfig, LpipsNet};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How pictures become the network's input, for the report.
pub const FID_RESIZE_FILTER: &str =
    "bilinear to 299 × 299, half-pixel centres, no antialiasing (as pytorch-fid)";
/// Features of one picture.
pub const FID_FEATURES: usize = 2048;
const FID_SIDE: usize = 299;

/// Why a learned metric has no weights.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The file is not there and downloading was not allowed.
    #[error("weights missing ({} is not there; get it from {url})", path.display())]
    Missing {
        /// Where the file is looked for.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
    },
    /// The file is not there and could not be downloaded.
    #[error("weights missing ({} is not there, and {url} cannot be downloaded: {reason})", path.display())]
    Download {
        /// Where the file is looked for.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
        /// The network's reason.
        reason: String,
    },
    /// The file is not the published one, or damaged.
    #[error("{}: {reason}; delete the file and get it from {url}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where it comes from.
        url: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A published weight file.
struct Published {
    name: &'static str,
    url: &'static str,
    /// The first digits of its SHA-256, which its publisher wrote into its name.
    sha256_start: &'static str,
}

const INCEPTION: Published = Published {
    name: "pt-inception-2015-12-05-6726825d.pth",
    url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt-inception-2015-12-05-6726825d.pth",
    sha256_start: "6726825d",
};
const ALEXNET: Published = Published {
    name: "alexnet-owt-4df8aa71.pth",
    url: "https://download.pytorch.org/models/alexnet-owt-4df8aa71.pth",
    sha256_start: "4df8aa71",
};
const ALEXNET_LINEAR: Published = Published {
    name: "lpips-v0.1-alex.pth",
    url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth",
    sha256_start: "",
};
const VGG16: Published = Published {
    name: "vgg16-397923af.pth",
    url: "https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256_start: "397923af",
};
const VGG16_LINEAR: Published = Published {
    name: "lpips-v0.1-vgg.pth",
    url: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
    sha256_start: "",
};

/// Where weight files lie, and whether missing ones may be downloaded into it, once.
#[derive(Debug, Clone)]
pub struct WeightsFolder {
    /// The folder; files bear their publishers' names.
    pub path: PathBuf,
    /// Whether a missing file may be downloaded.
    pub download: bool,
}

impl WeightsFolder {
    fn get(&self, published: &Published) -> Result<WeightsFile, WeightsError> {
        let path = self.path.join(published.name);
        if !path.exists() {
            if !self.download {
                return Err(WeightsError::Missing {
                    path,
                    url: published.url,
                });
            }
            self.fetch(published, &path)?;
        }
        let bytes = std::fs::read(&path).map_err(|source| WeightsError::File {
            path: path.clone(),
            source,
        })?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if !sha256.starts_with(published.sha256_start) {
            return Err(WeightsError::Wrong {
                path,
                url: published.url,
                reason: format!("its SHA-256 {sha256} is not that of the published file"),
            });
        }
        Ok(WeightsFile {
            path,
            url: published.url,
            sha256,
        })
    }

    fn fetch(&self, published: &Published, path: &Path) -> Result<(), WeightsError> {
        let access = |source| WeightsError::File {
            path: self.path.clone(),
            source,
        };
        std::fs::create_dir_all(&self.path).map_err(access)?;
        let bytes = download(published.url).map_err(|reason| WeightsError::Download {
            path: path.to_owned(),
            url: published.url,
            reason,
        })?;
        crate::weights::write_atomically(path, &bytes).map_err(|error| match error {
            crate::Error::Io { source, .. } => access(source),
            other => access(std::io::Error::other(other)),
        })?;
        Ok(())
    }
}

/// A weight file that is there, with its hash.
struct WeightsFile {
    path: PathBuf,
    url: &'static str,
    sha256: String,
}

impl WeightsFile {
    fn wrong(&self, reason: String) -> WeightsError {
        WeightsError::Wrong {
            path: self.path.clone(),
            url: self.url,
            reason,
        }
    }

    /// Loads what the file has of the module; `renames` are (file's prefix, module's prefix).
    fn load_into<M: Module>(
        &self,
        module: &mut M,
        renames: &[(&str, &str)],
    ) -> Result<ApplyResult, WeightsError> {
        // Burn renumbers layers of PyTorch files by default; these names are fixed by the renames.
        let mut store = PytorchStore::from_file(&self.path)
            .allow_partial(true)
            .map_indices_contiguous(false);
        for (from, to) in renames {
            let pattern = format!("^{}\\.", from.replace('.', "\\."));
            store = store.with_key_remapping(pattern, format!("{to}."));
        }
        let applied = module.load_from(&mut store);
        let applied = applied.map_err(|e| self.wrong(format!("not readable as weights: {e}")))?;
        if let Some(error) = applied.errors.first() {
            return Err(self.wrong(format!("weights of another network: {error}")));
        }
        Ok(applied)
    }
}

/// Names a parameter that none of the files had, or nothing when the module is complete.
fn left_random(results: &[ApplyResult]) -> Option<String> {
    let mut missing = results.iter().map(|result| {
        let names = result.missing.iter().map(|(name, _)| name.clone());
        names.collect::<BTreeSet<String>>()
    });
    let first = missing.next()?;
    let in_all = missing.fold(first, |all, names| &all & &names);
    in_all.into_iter().next()
}

/// The network that LPIPS compares pictures by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LpipsBackbone {
    /// AlexNet: the LPIPS authors' choice for evaluation.
    Alex,
    /// VGG-16.
    Vgg,
}

/// LPIPS version 0.1 with its published weights.
pub struct LearnedDistance {
    network: Lpips,
    device: Device,
    description: String,
}

impl LearnedDistance {
    /// Loads the backbone and the linear layers.
    ///
    /// # Errors
    /// See [`WeightsError`]; a parameter that no file has is an error too.
    pub fn load(
        backbone: LpipsBackbone,
        weights: &WeightsFolder,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let (net, name, body, linear) = match backbone {
            LpipsBackbone::Alex => (LpipsNet::Alex, "AlexNet", ALEXNET, ALEXNET_LINEAR),
            LpipsBackbone::Vgg => (LpipsNet::Vgg, "VGG-16", VGG16, VGG16_LINEAR),
        };
        let (body, linear) = (weights.get(&body)?, weights.get(&linear)?);
        // LpipsConfig's own normalisation brings 0..=1 to −1..=1, then applies LPIPS's scaling.
        let mut network = LpipsConfig::new().with_net(net).init(device);
        let results = match &mut network {
            Lpips::Alex(inner) => [
                body.load_into(inner, &ALEXNET_NAMES)?,
                linear.load_into(inner, &LINEAR_NAMES)?,
            ],
            Lpips::Vgg(inner) => [
                body.load_into(inner, &VGG16_NAMES)?,
                linear.load_into(inner, &LINEAR_NAMES)?,
            ],
            Lpips::Squeeze(_) => unreachable!("the network was made above"),
        };
        if let Some(name) = left_random(&results) {
            return Err(body.wrong(format!("has no values for {name}")));
        }
        Ok(Self {
            network,
            device: device.clone(),
            description: format!(
                "LPIPS 0.1, {name}; weights SHA-256 {} and {}",
                body.sha256, linear.sha256
            ),
        })
    }

    /// Network, version and weights' hashes, for the report.
    pub fn description(&self) -> &str {
        &self.description
    }
}

impl PerceptualDistance for LearnedDistance {
    fn distance(&mut self, truth: &Picture, result: &Picture) -> Result<f64, String> {
        let (a, b) = (tensor(truth, &self.device), tensor(result, &self.device));
        let distance = self.network.forward_no_reduction(a, b).into_data();
        let distance: Vec<f32> = distance
            .convert::<f32>()
            .try_to_vec()
            .map_err(|e| format!("{e:?}"))?;
        match distance.as_slice() {
            [d] if d.is_finite() => Ok(f64::from(*d)),
            other => Err(format!("LPIPS gave {other:?}")),
        }
    }
}

/// Inception-v3 as pytorch-fid uses it.
pub struct InceptionFeatures {
    network: Fid,
    device: Device,
    weights_sha256: String,
}

impl InceptionFeatures {
    /// Loads the network.
    ///
    /// # Errors
    /// See [`WeightsError`]; a parameter that the file does not have is an error too.
    pub fn load(weights: &WeightsFolder, device: &Device) -> Result<Self, WeightsError> {
        let file = weights.get(&INCEPTION)?;
        // Inputs are brought to −1..=1 here, not to ImageNet's mean.
        let mut network = FidConfig::new().with_normalize(false).init(device);
        let result = file.load_into(&mut network, &INCEPTION_NAMES)?;
        if let Some(name) = left_random(&[result]) {
            return Err(file.wrong(format!("has no values for {name}")));
        }
        Ok(Self {
            network,
            device: device.clone(),
            weights_sha256: file.sha256,
        })
    }

    /// SHA-256 of the weight file, in hexadecimal.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
    }

    /// The [`FID_FEATURES`] features of one picture.
    ///
    /// # Errors
    /// A one-line reason where the device gives no numbers.
    pub fn features(&self, picture: &Picture) -> Result<Vec<f32>, String> {
        let input = resized_for_inception(tensor(picture, &self.device)) * 2.0 - 1.0;
        let features = self.network.extract_features(input).into_data();
        features
            .convert::<f32>()
            .try_to_vec()
            .map_err(|e| format!("{e:?}"))
    }
}

/// FID between the truths and the results of a run's finished rows; `size` as in the run's
/// settings. `on_picture` is called after each row and may stop the computation.
pub fn fid_of_run(
    network: &InceptionFeatures,
    folder: &RunFolder,
    pairing: &Pairing,
    rows: &[Row],
    size: Option<u32>,
    on_picture: &mut dyn FnMut() -> ControlFlow<()>,
) -> FidReport {
    let not_computed = |reason: String| FidReport::NotComputed { reason };
    let (mut truths, mut results) = (Vec::new(), Vec::new());
    for row in rows {
        let pair = || -> Result<(Vec<f32>, Vec<f32>), String> {
            let truth = Picture::open(&pairing.images.join(&row.image));
            let truth = truth.map_err(|e| e.to_string())?.prepared(size);
            let result = folder.result(&row.id).map_err(|e| e.to_string())?;
            Ok((network.features(&truth)?, network.features(&result)?))
        };
        match pair() {
            Ok((truth, result)) => {
                truths.extend(truth);
                results.extend(result);
            }
            Err(reason) => return not_computed(reason),
        }
        if on_picture().is_break() {
            return not_computed("stopped before the end".to_owned());
        }
    }
    match frechet_distance(&truths, &results, FID_FEATURES) {
        Ok(value) => FidReport::Computed {
            value,
            n: rows.len(),
            resize_filter: FID_RESIZE_FILTER.to_owned(),
            weights_sha256: network.weights_sha256().to_owned(),
        },
        Err(error) => not_computed(error.to_string()),
    }
}

fn resized_for_inception(input: Tensor<4>) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([FID_SIDE, FID_SIDE]);
    interpolate(input, options)
}

/// [1, 3, height, width] in 0..=1.
fn tensor(picture: &Picture, device: &Device) -> Tensor<4> {
    let shape = [1, 3, picture.height() as usize, picture.width() as usize];
    Tensor::from_data(TensorData::new(picture.planar(), shape), device)
}

/// The body of an HTTPS answer; a one-line reason otherwise.
fn download(url: &str) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .connect_timeout(std::time::Duration::from_secs(20))
            .build()
            .map_err(innermost)?;
        let answer = client.get(url).send().await.map_err(innermost)?;
        let answer = answer.error_for_status().map_err(innermost)?;
        Ok(answer.bytes().await.map_err(innermost)?.to_vec())
    })
}

/// The cause at the bottom, which says more than "error sending request".
fn innermost(error: reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const ALEXNET_NAMES: [(&str, &str); 5] = [
    ("features.0", "extractor.conv1"),
    ("features.3", "extractor.conv2"),
    ("features.6", "extractor.conv3"),
    ("features.8", "extractor.conv4"),
    ("features.10", "extractor.conv5"),
];

const VGG16_NAMES: [(&str, &str); 13] = [
    ("features.0", "extractor.conv1_1"),
    ("features.2", "extractor.conv1_2"),
    ("features.5", "extractor.conv2_1"),
    ("features.7", "extractor.conv2_2"),
    ("features.10", "extractor.conv3_1"),
    ("features.12", "extractor.conv3_2"),
    ("features.14", "extractor.conv3_3"),
    ("features.17", "extractor.conv4_1"),
    ("features.19", "extractor.conv4_2"),
    ("features.21", "extractor.conv4_3"),
    ("features.24", "extractor.conv5_1"),
    ("features.26", "extractor.conv5_2"),
    ("features.28", "extractor.conv5_3"),
];

const LINEAR_NAMES: [(&str, &str); 5] = [
    ("lin0.model.1", "lin0"),
    ("lin1.model.1", "lin1"),
    ("lin2.model.1", "lin2"),
    ("lin3.model.1", "lin3"),
    ("lin4.model.1", "lin4"),
];

const INCEPTION_NAMES: [(&str, &str); 16] = [
    ("Conv2d_1a_3x3", "extractor.conv2d_1a"),
    ("Conv2d_2a_3x3", "extractor.conv2d_2a"),
    ("Conv2d_2b_3x3", "extractor.conv2d_2b"),
    ("Conv2d_3b_1x1", "extractor.conv2d_3b"),
    ("Conv2d_4a_3x3", "extractor.conv2d_4a"),
    ("Mixed_5b", "extractor.mixed_5b"),
    ("Mixed_5c", "extractor.mixed_5c"),
    ("Mixed_5d", "extractor.mixed_5d"),
    ("Mixed_6a", "extractor.mixed_6a"),
    ("Mixed_6b", "extractor.mixed_6b"),
    ("Mixed_6c", "extractor.mixed_6c"),
    ("Mixed_6d", "extractor.mixed_6d"),
    ("Mixed_6e", "extractor.mixed_6e"),
    ("Mixed_7a", "extractor.mixed_7a"),
    ("Mixed_7b", "extractor.mixed_7b"),
    ("Mixed_7c", "extractor.mixed_7c"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn burn_fid(a: &[f32], b: &[f32], features: usize) -> f64 {
        let device = Device::flex();
        let rows = |v: &[f32]| {
            let data = TensorData::new(v.to_vec(), [v.len() / features, features]);
            Tensor::<2>::from_data(data, &device)
        };
        let fid = FidConfig::new().init(&device);
        let value = fid.compute_fid(rows(a), rows(b)).into_data();
        f64::from(value.convert::<f32>().try_to_vec::<f32>().unwrap()[0])
    }

    /// Rows ± spread along each axis around a mean: diagonal covariance 2 spread² / (2 d − 1).
    fn along_axes(mean: &[f32], spread: &[f32]) -> Vec<f32> {
        let mut rows = Vec::new();
        for (axis, size) in spread.iter().enumerate() {
            for sign in [1.0, -1.0] {
                let mut row = mean.to_vec();
                row[axis] += sign * size;
                rows.extend(row);
            }
        }
        rows
    }

    #[test]
    fn burns_fid_and_ours_follow_the_formula_on_known_gaussians() {
        // Diagonal covariances: d² = Σ (μ₁ − μ₂)² + Σ (√σ₁ − √σ₂)².
        let (mean_a, spread_a) = ([0.0, 1.0, 2.0, -1.0], [1.0, 2.0, 3.0, 0.5]);
        let (mean_b, spread_b) = ([0.5, 1.0, 1.0, 1.0], [2.0, 2.0, 1.0, 4.0]);
        let (a, b) = (
            along_axes(&mean_a, &spread_a),
            along_axes(&mean_b, &spread_b),
        );
        let mut expected = 0.0;
        for i in 0..4 {
            expected += f64::from(mean_a[i] - mean_b[i]).powi(2);
            expected += f64::from(spread_a[i] - spread_b[i]).powi(2) * 2.0 / 7.0;
        }
        assert!((frechet_distance(&a, &b, 4).unwrap() - expected).abs() < 1e-9);
        assert!((burn_fid(&a, &b, 4) / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn our_fid_stands_where_there_are_fewer_images_than_features() {
        // Eight images, 256 features: both covariances are singular; Burn's `f32` square root has
        // no answer there (it gave NaN on such features), the formula has.
        let rows = |spread: [f32; 4]| -> Vec<f32> {
            let short = along_axes(&[0.0; 4], &spread);
            let wide = short.chunks(4).map(|r| [r, &[0.0; 252][..]].concat());
            wide.flatten().collect()
        };
        let (a, b) = (rows([1.0, 2.0, 3.0, 4.0]), rows([2.0, 2.0, 5.0, 4.5]));
        let expected = (1.0 + 4.0 + 0.25) * 2.0 / 7.0;
        assert!((frechet_distance(&a, &b, 256).unwrap() - expected).abs() < 1e-9);
        println!(
            "Burn's FID on singular covariances: {}",
            burn_fid(&a, &b, 256)
        );
    }

    #[test]
    fn missing_weights_are_an_error_that_says_where_to_get_them() {
        let folder = tempfile::tempdir().unwrap();
        let weights = WeightsFolder {
            path: folder.path().to_owned(),
            download: false,
        };
        let device = Device::flex();
        for error in [
            LearnedDistance::load(LpipsBackbone::Alex, &weights, &device).err(),
            LearnedDistance::load(LpipsBackbone::Vgg, &weights, &device).err(),
            InceptionFeatures::load(&weights, &device).err(),
        ] {
            let error = error.expect("no weights, no metric").to_string();
            assert!(error.starts_with("weights missing"), "{error}");
            assert!(error.contains("https://"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_the_published_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for published in [INCEPTION, ALEXNET, ALEXNET_LINEAR] {
            std::fs::write(
                folder.path().join(published.name),
                b"<html>not found</html>",
            )
            .unwrap();
        }
        let weights = WeightsFolder {
            path: folder.path().to_owned(),
            download: false,
        };
        let device = Device::flex();
        let inception = InceptionFeatures::load(&weights, &device).err();
        assert!(matches!(inception, Some(WeightsError::Wrong { .. })));
        let lpips = LearnedDistance::load(LpipsBackbone::Alex, &weights, &device).err();
        assert!(matches!(lpips, Some(WeightsError::Wrong { .. })));
    }

    #[test]
    fn pictures_are_resized_for_inception_by_half_pixel_centres() {
        // One row 0, 1 over 299 columns: column x samples (x + ½)·2/299 − ½, clamped to 0..=1.
        let device = Device::flex();
        let row = Tensor::<1>::from_floats([0.0, 1.0], &device).reshape([1, 1, 1, 2]);
        let out = resized_for_inception(row)
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        for x in [0, 74, 75, 100, 149, 200, 298] {
            let expected = ((x as f32 + 0.5) * 2.0 / 299.0 - 0.5).clamp(0.0, 1.0);
            assert!(
                (out[x] - expected).abs() < 1e-5,
                "{x}: {} {expected}",
                out[x]
            );
        }
    }
}
