//! A seed means the same from one release to the next: whoever wrote a seed down gets the same
//! masks, noise, training pictures and fresh networks again. The numbers were recorded with the
//! release that was the first to promise it.

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use strdiffusion::Device;
use strdiffusion::conditioning::Conditioning;
use strdiffusion::files::list_pictures;
use strdiffusion::masks::{MaskGenerator, ShapeKind};
use strdiffusion::model::Model;
use strdiffusion::picture::{FloatImage, Photo};
use strdiffusion::sampling::{NoiseSource, SeededNoise};
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::training::data::Dataset;
use strdiffusion::training::stage::Stage;
use strdiffusion::weights::collect;
use tempfile::TempDir;

/// FNV-1a.
fn digest(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn digest_of_floats(values: &[f32]) -> u64 {
    digest(values.iter().flat_map(|value| value.to_le_bytes()))
}

#[test]
fn a_seed_draws_the_masks_it_always_drew() {
    let digests = ShapeKind::ALL.map(|kind| {
        let generator = MaskGenerator {
            ratio: 0.1..=0.5,
            kinds: vec![kind],
        };
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        digest(
            generator
                .generate(64, 48, &mut rng)
                .unwrap()
                .keep()
                .iter()
                .copied(),
        )
    });
    assert_eq!(
        digests,
        [
            1_174_560_641_076_844_115,
            18_317_054_216_496_300_707,
            6_761_658_569_576_032_243,
            7_845_644_856_237_064_123,
            4_511_277_133_874_236_143,
            13_172_664_540_348_911_923,
        ]
    );
}

#[test]
fn a_seed_gives_the_noise_it_always_gave() {
    let noise = SeededNoise::new(&[7]).normal(0, [3, 8, 8]).unwrap();
    assert_eq!(digest_of_floats(&noise), 16_167_244_399_992_464_880);
}

#[test]
fn a_seed_gives_the_training_pictures_it_always_gave() {
    let folder = TempDir::new().unwrap();
    (0..3).for_each(|number| draw(folder.path(), number));
    let mut config = TrainConfig::preset(Preset::Paper);
    config.data.resolution = 16;
    config.edges.sigma = 1.0;
    config.run.time_bias = 2.0;
    let photos = list_pictures(folder.path()).unwrap();
    let (dataset, _) = Dataset::new(&config, &photos, None).unwrap();
    let digests = [0, 1, 2, 3].map(|number| {
        let sample = dataset.sample(Stage::Texture, number).unwrap();
        let values = [
            sample.image,
            sample.mask,
            sample.noise,
            sample.structure_noise,
        ]
        .concat();
        (sample.time, digest_of_floats(&values))
    });
    assert_eq!(
        digests,
        [
            (28, 2_982_365_309_740_013_547),
            (77, 761_916_963_300_274_408),
            (80, 8_319_800_874_593_180_821),
            (32, 3_013_317_335_643_392_765),
        ]
    );
}

/// A photograph of 8-bit values, so that reading it is exact.
fn draw(folder: &Path, number: usize) {
    let side = 40 + number;
    let values = (0..3 * side * side).map(|i| (i * (number + 7) % 251) as f32 / 255.0);
    let picture = FloatImage::from_vec(3, side, side, values.collect()).unwrap();
    let photo = Photo::from_float_image(&picture).unwrap();
    photo.save(folder.join(format!("{number}.png"))).unwrap();
}

#[test]
fn a_seed_makes_the_networks_it_always_made() {
    let mut config = TrainConfig::preset(Preset::Paper);
    config.networks.width = 4;
    config.networks.depth = 1;
    config.networks.discriminator_width = 8;
    config.networks.discriminator_time_dim = 64;
    config.networks.conditioning = Conditioning::Membrane;
    let model = Model::init(config.model_config(), 7, &Device::flex()).unwrap();
    let digests = [
        collect(model.texture()),
        collect(model.structure()),
        collect(model.discriminator()),
    ]
    .map(|tensors| {
        let all: Vec<f32> = tensors
            .into_values()
            .flat_map(|tensor| tensor.values)
            .collect();
        digest_of_floats(&all)
    });
    assert_eq!(
        digests,
        [
            17_831_837_032_098_727_189,
            8_528_605_704_334_258_666,
            3_104_443_969_245_817_148,
        ]
    );
}
