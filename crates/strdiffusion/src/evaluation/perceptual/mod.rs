//! LPIPS and Inception features on Burn's networks, with the weights that the field uses.
//!
//! Burn's own loaders go on with random weights after a warning, and its Inception resizes by
//! aligned corners and normalises by ImageNet's mean; both would give numbers that nobody else
//! gets. So weights are loaded here, every parameter is checked to have come from a file, and
//! pictures are resized and normalised here. Fréchet distances are computed from the features in
//! `f64` by `metrics::frechet_distance`: Burn's matrix square root in `f32` has no answer for
//! fewer images than features.

mod fid;
mod lpips;
mod weights;

pub use fid::{FID_FEATURES, FID_RESIZE_FILTER, InceptionFeatures, fid_of_run};
pub use lpips::{LearnedDistance, LpipsBackbone};
pub use weights::{WeightsError, WeightsFolder};

use burn::tensor::{Device, Tensor, TensorData};

use super::{FidReport, Pairing, PerceptualDistance, Picture, Row, RunFolder};

/// [1, 3, height, width] in 0..=1.
fn tensor(picture: &Picture, device: &Device) -> Tensor<4> {
    let shape = [1, 3, picture.height() as usize, picture.width() as usize];
    Tensor::from_data(TensorData::new(picture.planar(), shape), device)
}

#[cfg(test)]
mod tests {
    use super::fid::INCEPTION;
    use super::lpips::{ALEXNET, ALEXNET_LINEAR};
    use super::*;

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
}
