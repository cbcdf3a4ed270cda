//! Every device and every kind of number gives the CPU's results, up to its rounding. Vulkan is
//! tested where the feature is on; a software driver will do.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};
use strdiffusion::Device;
use strdiffusion::conditioning::Conditioning;
use strdiffusion::model::Model;
use strdiffusion::networks::{GuideAlignment, Precision};
use strdiffusion::sampling::{NoiseSource, SeededNoise};
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::training::optimizer::to_host;
use strdiffusion::weights::host_values;

const SIDE: usize = 20;
const BATCH: usize = 2;

fn model(device: &Device) -> Model {
    let mut config = TrainConfig::preset(Preset::Paper);
    config.networks.width = 8;
    config.networks.depth = 2;
    config.networks.discriminator_width = 8;
    config.networks.discriminator_time_dim = 64;
    config.networks.conditioning = Conditioning::MembraneEdges;
    config.data.resolution = SIDE;
    Model::init(config.model_config(), 5, device).unwrap()
}

/// Noise of some channels, the same on every device.
fn noise(seed: u64, channels: usize, device: &Device) -> Tensor<4> {
    let mut source = SeededNoise::new(&[seed]);
    let shape = [BATCH, channels, SIDE, SIDE];
    let values = source.normal(0, [BATCH * channels, SIDE, SIDE]).unwrap();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What the three networks say.
fn outputs(model: &Model) -> [Vec<f32>; 3] {
    let noise = |seed, channels| noise(seed, channels, model.device());
    let times = [7.0, 60.0];
    let texture = model.texture().forward(
        noise(1, 3),
        noise(2, 3),
        Some(noise(3, 2)),
        &times,
        Some(noise(4, 1)),
        GuideAlignment::Padded,
    );
    let context = Some(noise(6, 2));
    let alignment = GuideAlignment::Padded;
    let structure =
        model
            .structure()
            .forward(noise(4, 1), noise(5, 1), context, &times, None, alignment);
    let score = model
        .discriminator()
        .forward(&times, noise(1, 3), noise(4, 1));
    assert_eq!(texture.dtype(), DType::F32);
    [
        host_values(texture),
        host_values(structure),
        host_values(score),
    ]
}

/// The largest difference, relative to the largest value.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    worst.fold(0.0, f32::max) / largest
}

fn assert_near(name: &str, found: &[Vec<f32>; 3], wanted: &[Vec<f32>; 3], tolerance: f32) {
    for (network, (a, b)) in ["texture", "structure", "discriminator"]
        .iter()
        .zip(found.iter().zip(wanted))
    {
        let apart = apart(a, b);
        println!("{name}, {network}: {apart:.1e}");
        assert!(apart <= tolerance, "{name}, {network}: {apart}");
    }
}

#[test]
fn half_precision_stays_near_full_precision() {
    let full = model(&Device::flex());
    let wanted = outputs(&full);
    // Some units in the last of 11 and of 8 bits, after some dozens of layers: 4e-3 and 1.4e-2 found.
    for (precision, tolerance) in [(Precision::F16, 5e-3), (Precision::Bf16, 5e-2)] {
        let half = full.clone().with_precision(precision);
        assert_near(
            &format!("cpu {precision:?}"),
            &outputs(&half),
            &wanted,
            tolerance,
        );
    }
}

/// √(Σ (a − b)² / Σ b²).
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let off: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (off / b.iter().map(|b| b * b).sum::<f32>()).sqrt()
}

/// In bf16 on a CPU with tiles, whole blocks are one operation, whose gradients are written by hand.
#[test]
fn training_in_bf16_takes_the_gradients_that_f32_takes() {
    let device = Device::flex().autodiff();
    let full = model(&device);
    let noise = |seed, channels| noise(seed, channels, &device);
    let gradients_in = |precision| {
        let model = full.clone().with_precision(precision);
        let structure = noise(4, 1).require_grad();
        let output = model.texture().forward(
            noise(1, 3),
            noise(2, 3),
            Some(noise(3, 2)),
            &[50.0],
            Some(structure.clone()),
            GuideAlignment::Padded,
        );
        let gradients = (output - noise(5, 3)).square().mean().backward();
        let to_structure = host_values(structure.grad(&gradients).expect("the guide counts"));
        let gradients = GradientsParams::from_grads(gradients, model.texture());
        let mut values: BTreeMap<_, _> = to_host(model.texture(), &gradients)
            .into_iter()
            .map(|(name, gradient)| (name, gradient.values))
            .collect();
        values.insert("the structure".into(), to_structure);
        values
    };
    let (bf16, f32) = (gradients_in(Precision::Bf16), gradients_in(Precision::F32));
    assert!(bf16.keys().eq(f32.keys()));
    for (name, wanted) in &f32 {
        let distance = distance(&bf16[name], wanted);
        // Most within 2e-2; 7e-2 where few values pass a ReLU, on whose side rounding decides.
        assert!(distance <= 0.1, "{name}: {distance}");
    }
}

/// Built with the feature `vulkan`, these need such a device: without one they fail.
#[cfg(feature = "vulkan")]
mod vulkan {
    use std::ops::ControlFlow;

    use strdiffusion::device::DeviceName;
    use strdiffusion::picture::{FloatImage, Mask, Photo};
    use strdiffusion::{FillOptions, Inpainter};

    use super::*;

    fn vulkan() -> Device {
        DeviceName::Vulkan(0).open().unwrap()
    }

    #[test]
    fn vulkan_networks_say_what_the_cpu_says() {
        let device = vulkan();
        let wanted = outputs(&model(&Device::flex()));
        assert_near("vulkan", &outputs(&model(&device)), &wanted, 1e-5);
    }

    #[test]
    fn vulkan_takes_the_gradients_that_the_cpu_takes() {
        let device = vulkan();
        let gradient = |device: Device| {
            let device = device.autodiff();
            let model = model(&device);
            let noise = |seed, channels| noise(seed, channels, &device);
            let output = model.texture().forward(
                noise(1, 3),
                noise(2, 3),
                Some(noise(3, 2)),
                &[50.0],
                Some(noise(4, 1)),
                GuideAlignment::Padded,
            );
            let gradients = output.square().mean().backward();
            let weight = model.texture().init_conv.weight.val();
            host_values(weight.grad(&gradients).expect("the first layer counts"))
        };
        let apart = apart(&gradient(device), &gradient(Device::flex()));
        println!("vulkan, gradient: {apart:.1e}");
        assert!(apart <= 1e-4, "{apart}");
    }

    #[test]
    fn vulkan_fills_as_the_cpu_fills() {
        let device = vulkan();
        let value =
            |i: usize| 0.5 + 0.3 * ((i % SIDE) as f32 * 0.8 + (i / SIDE) as f32 * 0.3).sin();
        let values = (0..3 * SIDE * SIDE).map(value).collect();
        let image = FloatImage::from_vec(3, SIDE, SIDE, values).unwrap();
        let photo = Photo::from_float_image(&image).unwrap();
        let inside = |i: usize| (6..14).contains(&(i % SIDE)) && (6..14).contains(&(i / SIDE));
        let keep = (0..SIDE * SIDE).map(|i| u8::from(!inside(i))).collect();
        let mask = Mask::from_keep(SIDE, SIDE, keep).unwrap();
        let fill = |device: &Device| {
            Inpainter::from_model(model(device))
                .fill(&photo, &mask, &FillOptions::default(), &mut |_| {
                    ControlFlow::Continue(())
                })
                .unwrap()
                .photo
        };
        let (gpu, cpu) = (fill(&device), fill(&Device::flex()));
        let levels = gpu.image().as_bytes().iter().zip(cpu.image().as_bytes());
        let worst = levels.map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{worst:?}");
    }
}
