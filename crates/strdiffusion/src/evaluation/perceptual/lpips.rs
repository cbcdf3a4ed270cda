//! LPIPS (Zhang et al. 2018), version 0.1, AlexNet or VGG-16, inputs in −1..=1.

use burn::tensor::Device;
use burn_train::metric::vision::{Lpips, LpipsConfig, LpipsNet};

use super::weights::{Published, WeightsError, WeightsFolder, left_random};
use super::{PerceptualDistance, Picture, tensor};

pub(super) const ALEXNET: Published = Published {
    name: "alexnet-owt-4df8aa71.pth",
    url: "https://download.pytorch.org/models/alexnet-owt-4df8aa71.pth",
    sha256_start: "4df8aa71",
};
pub(super) const ALEXNET_LINEAR: Published = Published {
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
