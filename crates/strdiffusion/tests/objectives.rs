//! Losses and their gradients, twice: against PyTorch's autodiff over a second implementation in
//! f64 (`strdiffusion-testing/recorded/objectives`; its README says how), and against finite
//! differences of the loss itself.

use burn::tensor::Tensor;
use strdiffusion::Device;
use strdiffusion::conditioning::{Conditioning, Guide};
use strdiffusion::import;
use strdiffusion::networks::{ConditionalUNet, Discriminator, DiscriminatorConfig};
use strdiffusion::objectives::{Batch, Distance, MaskedLoss, Objective};
use strdiffusion::sde::{Prediction, Sde, SdeConfig};
use strdiffusion::training::optimizer::{gradients, to_host};
use strdiffusion::weights::{TensorMap, apply, collect, host_values};
use strdiffusion_testing::{Recording, recorded, settings_of};

/// Relative; |Δ| has kinks, at which single precision may choose the other side.
const LOSS_TOLERANCE: f64 = 1e-5;
const NORM_TOLERANCE: f64 = 1e-3;

/// The recorded batch, and a network of one kind.
struct Case {
    sde: Sde,
    batch: Batch,
    times: Vec<usize>,
    texture_noise: Tensor<4>,
    structure_noise: Tensor<4>,
}

impl Case {
    fn new(device: &Device) -> Self {
        let folder = recorded().join("objectives");
        let arrays = Recording::open(&folder.join("batch.safetensors")).unwrap();
        let settings = settings_of(&folder.join("objectives.json")).unwrap();
        let tensor = |name: &str| arrays.tensor(name, device).unwrap();
        let (image, mask) = (tensor("image"), tensor("mask"));
        Self {
            sde: Sde::new(&SdeConfig::default()).unwrap(),
            batch: Batch {
                mu: image.clone() * mask.clone(),
                image,
                gray: tensor("gray"),
                edges: tensor("edges"),
                mask,
            },
            times: serde_json::from_value(settings["times"].clone()).unwrap(),
            texture_noise: tensor("texture_noise"),
            structure_noise: tensor("structure_noise"),
        }
    }

    fn objective(&self, prediction: Prediction, distance: Distance) -> Objective<'_> {
        Objective {
            sde: &self.sde,
            prediction,
            conditioning: Conditioning::Paper,
            loss: MaskedLoss {
                distance,
                ..MaskedLoss::default()
            },
            guide: Guide::default(),
            structure_gradient: 0.0,
            mismatched_structures: 0.0,
        }
    }

    fn unet_loss(&self, network: &ConditionalUNet, objective: Objective) -> Tensor<1> {
        let structure_noise = self.structure_noise.clone();
        match network.is_guided() {
            false => objective.structure_loss(network, &self.batch, &self.times, structure_noise),
            true => objective.texture_loss(
                network,
                &self.batch,
                &self.times,
                self.texture_noise.clone(),
                structure_noise,
            ),
        }
    }

    fn discriminator_loss(&self, network: &Discriminator, mismatched: f64) -> Tensor<1> {
        let objective = Objective {
            mismatched_structures: mismatched,
            ..self.objective(Prediction::Noise, Distance::Absolute)
        };
        let noise = self.texture_noise.clone();
        let structure_noise = self.structure_noise.clone();
        objective.discriminator_loss(network, &self.batch, &self.times, noise, structure_noise)
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn unet(kind: &str) -> ConditionalUNet {
    let file = recorded().join(format!("nets/{kind}_tiny.pth"));
    import::unet(&file, &device()).unwrap().1
}

fn discriminator() -> Discriminator {
    let file = recorded().join("nets/discriminator_tiny.pth");
    import::discriminator(&file, &device()).unwrap().1
}

/// Compares loss and gradient norms with the recorded ones; `rename` gives a tensor's name in the
/// recording.
fn compare(name: &str, loss: Tensor<1>, gradients: &TensorMap, rename: impl Fn(&str) -> String) {
    let all = settings_of(&recorded().join("objectives/objectives.json")).unwrap();
    let case = &all["cases"][name];
    let wanted = case["loss"].as_f64().expect("a recorded case");
    let found = f64::from(host_values(loss)[0]);
    assert!(
        (found / wanted - 1.0).abs() <= LOSS_TOLERANCE,
        "{name}: loss {found} for {wanted}"
    );
    let norms = case["gradient_norms"].as_object().unwrap();
    assert_eq!(
        gradients.len(),
        norms.len(),
        "{name}: tensors with gradients"
    );
    for (tensor, gradient) in gradients {
        let wanted = norms[&rename(tensor)].as_f64().unwrap();
        let squares = gradient.values.iter().map(|&g| f64::from(g).powi(2));
        let found = squares.sum::<f64>().sqrt();
        let off = (found - wanted).abs() / wanted.max(1e-9);
        assert!(
            off <= NORM_TOLERANCE,
            "{name}: {tensor} {found} for {wanted}"
        );
    }
}

fn losses_of(kind: &str) {
    let network = unet(kind);
    for (prediction, how) in [
        (Prediction::Noise, "noise"),
        (Prediction::CleanDifference, "clean-difference"),
    ] {
        for (distance, far) in [
            (Distance::Absolute, "absolute"),
            (Distance::Squared, "squared"),
        ] {
            let case = Case::new(&device());
            let loss = case.unet_loss(&network, case.objective(prediction, distance));
            let found = to_host(&network, &gradients(&network, &loss));
            let name = format!("{kind} {how} {far}");
            compare(&name, loss, &found, |ours| import::unet_name(ours, 2));
        }
    }
}

#[test]
fn the_structure_networks_loss_and_gradients_are_pytorchs() {
    losses_of("structure");
}

#[test]
fn the_texture_networks_loss_and_gradients_are_pytorchs() {
    losses_of("texture");
}

#[test]
fn the_discriminators_loss_and_gradients_are_pytorchs() {
    let network = discriminator();
    let loss = Case::new(&device()).discriminator_loss(&network, 0.0);
    let found = to_host(&network, &gradients(&network, &loss));
    compare("discriminator", loss, &found, import::discriminator_name);
}

/// Compares each tensor's steepest gradient with the central difference of the loss there.
fn check_slopes<M: burn::module::Module>(
    network: M,
    tensors: &[&str],
    loss: impl Fn(&M) -> Tensor<1>,
) {
    let found = to_host(&network, &gradients(&network, &loss(&network)));
    let weights = collect(&network);
    for &tensor in tensors {
        let gradient = &found[tensor].values;
        let steepest = |a: &usize, b: &usize| gradient[*a].abs().total_cmp(&gradient[*b].abs());
        let at = (0..gradient.len()).max_by(steepest).unwrap();
        // Large against the rounding of the loss, small against its curvature.
        let step = 2e-3f32;
        let moved = |by: f32| -> f64 {
            let mut weights = weights.clone();
            weights.get_mut(tensor).unwrap().values[at] += by;
            let network = apply(network.clone(), weights, "moved".as_ref()).unwrap();
            host_values(loss(&network))[0].into()
        };
        let (above, below) = (moved(step), moved(-step));
        let slope = (above - below) / (2.0 * f64::from(step));
        let given = f64::from(gradient[at]);
        println!("{tensor}: slope {slope:.3e}, gradient {given:.3e}, loss {above:.3e}");
        assert!(
            (slope - given).abs() <= 0.02 * given.abs() + 2e-4 * above,
            "{tensor}: slope {slope}, gradient {given}"
        );
    }
}

const UNET_TENSORS: [&str; 6] = [
    "init_conv.weight",
    "time.linear1.weight",
    "downs.0.block1.conv1.weight",
    "mid_attention.to_qkv.weight",
    "ups.1.block2.conv2.weight",
    "final_conv.bias",
];

#[test]
fn the_unets_gradients_are_the_slopes_of_their_losses() {
    for prediction in [Prediction::Noise, Prediction::CleanDifference] {
        for kind in ["structure", "texture"] {
            let mut tensors = UNET_TENSORS.to_vec();
            if kind == "texture" {
                tensors.extend([
                    "downs.0.guide.conv0.weight",
                    "downs.1.guide.spade1.beta.weight",
                ]);
            }
            let case = Case::new(&device());
            check_slopes(unet(kind), &tensors, |network| {
                case.unet_loss(network, case.objective(prediction, Distance::Squared))
            });
        }
    }
}

#[test]
fn the_discriminators_gradients_are_the_slopes_of_its_loss() {
    let tensors = [
        "start_conv.weight",
        "time.linear2.weight",
        "blocks.1.conv1.weight",
        "blocks.3.skip.weight",
        "final_conv.weight",
        "end_linear.weight",
    ];
    let case = Case::new(&device());
    for mismatched in [0.0, 0.7] {
        check_slopes(discriminator(), &tensors, |network| {
            case.discriminator_loss(network, mismatched)
        });
    }
    let tensors = [&tensors[..], &["blocks.0.norm.gamma", "blocks.2.norm.beta"]].concat();
    check_slopes(with_group_norm(), &tensors, |network| {
        case.discriminator_loss(network, 0.0)
    });
}

/// A discriminator that scores every pair alike is told softplus(score) more for mismatched ones:
/// ln 2 for a score of 0, by hand.
#[test]
fn a_mismatched_structure_counts_with_its_weight() {
    let case = Case::new(&device());
    let plain = discriminator();
    let mut weights = collect(&plain);
    for name in ["end_linear.weight", "end_linear.bias"] {
        weights.get_mut(name).unwrap().values.fill(0.0);
    }
    let indifferent = apply(plain, weights, "indifferent".as_ref()).unwrap();
    let loss = |weight| host_values(case.discriminator_loss(&indifferent, weight))[0];
    let more = loss(1.5) - loss(0.0);
    assert!((more - 1.5 * 2f32.ln()).abs() < 1e-5, "{more}");
}

/// The recorded discriminator's weights in one that normalises.
fn with_group_norm() -> Discriminator {
    let file = recorded().join("nets/discriminator_tiny.pth");
    let (config, plain) = import::discriminator(&file, &device()).unwrap();
    let config = DiscriminatorConfig {
        group_norm: true,
        ..config
    };
    let fresh = config.init(1, &device()).unwrap();
    let mut weights = collect(&fresh);
    weights.extend(collect(&plain));
    apply(fresh, weights, &file).unwrap()
}

/// By hand: Δ = (1, −2) known and (3, −4) in the hole, means over all four pixels.
#[test]
fn the_loss_weighs_known_region_and_hole() {
    let tensor = |values: [f32; 4]| -> Tensor<4> {
        let data = burn::tensor::TensorData::new(values.to_vec(), [1, 1, 2, 2]);
        Tensor::from_data(data, &Device::flex())
    };
    let (difference, mask) = (tensor([1.0, -2.0, 3.0, -4.0]), tensor([1.0, 1.0, 0.0, 0.0]));
    let loss = |distance, known, hole| {
        let loss = MaskedLoss {
            distance,
            known,
            hole,
        };
        host_values(loss.of(difference.clone(), &mask))[0]
    };
    assert_eq!(
        loss(Distance::Absolute, 1.0, 10.0),
        (3.0 + 10.0 * 7.0) / 4.0
    );
    assert_eq!(
        loss(Distance::Squared, 1.0, 10.0),
        (5.0 + 10.0 * 25.0) / 4.0
    );
    assert_eq!(loss(Distance::Absolute, 0.0, 1.0), 7.0 / 4.0);
}
