//! FID features as pytorch-fid takes them: 2,048 pooled activations of the Inception-v3 that was
//! ported from TensorFlow, inputs in −1..=1, resized to 299 × 299.

use std::ops::ControlFlow;

use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use burn_train::metric::vision::{Fid, FidConfig};

use super::weights::{Published, WeightsError, WeightsFolder, left_random};
use super::{FidReport, Pairing, Picture, Row, RunFolder, tensor};
use crate::metrics::frechet_distance;

/// How pictures become the network's input, for the report.
pub const FID_RESIZE_FILTER: &str =
    "bilinear to 299 × 299, half-pixel centres, no antialiasing (as pytorch-fid)";
/// Features of one picture.
pub const FID_FEATURES: usize = 2048;
const FID_SIDE: usize = 299;

pub(super) const INCEPTION: Published = Published {
    name: "pt-inception-2015-12-05-6726825d.pth",
    url: "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt-inception-2015-12-05-6726825d.pth",
    sha256_start: "6726825d",
};

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
    use crate::metrics::along_axes;
    use burn::tensor::TensorData;

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
