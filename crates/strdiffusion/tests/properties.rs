//! Promises for every input there is, tried on drawn ones: the region plan, pictures and masks in
//! files, and the solvers.

use burn::tensor::{Tensor, TensorData};
use image::{DynamicImage, ImageBuffer};
use proptest::prelude::*;
use strdiffusion::Device;
use strdiffusion::picture::{HolePolarity, Limits, Mask, OutputFormat, Photo};
use strdiffusion::region::{Hole, RegionOptions, plan};
use strdiffusion::sampling::solvers::Gap;
use strdiffusion::sampling::{Grid, solvers};
use strdiffusion::sde::{Arithmetic, Schedule, Sde, SdeConfig};
use strdiffusion::weights::host_values;
use strdiffusion_testing::FormulaNoise;

/// A mask of rectangles and specks: both large holes and thin ones, at borders too.
fn masks(longest: usize) -> impl Strategy<Value = Mask> {
    let rectangle = (0.0..1.0f64, 0.0..1.0f64, 0.0..0.6f64, 0.0..0.6f64);
    let rectangles = proptest::collection::vec(rectangle, 0..5);
    let size = (1..=longest, 1..=longest);
    (size, rectangles, 0..4u64, any::<u64>()).prop_map(|((w, h), rectangles, specks, seed)| {
        let mut noise = FormulaNoise::new(seed);
        let mut keep: Vec<u8> = (0..w * h)
            .map(|_| u8::from(specks == 0 || noise.draw().abs() < 2.2 + specks as f32 / 10.0))
            .collect();
        for (x, y, width, height) in rectangles {
            let part = |share: f64, of: usize| (share * of as f64) as usize;
            let (left, top) = (part(x, w), part(y, h));
            for row in top..(top + 1 + part(height, h)).min(h) {
                let right = (left + 1 + part(width, w)).min(w);
                keep[row * w + left..row * w + right].fill(0);
            }
        }
        Mask::from_keep(w, h, keep).unwrap()
    })
}

/// Every kind of pixel, with drawn samples.
fn photos() -> impl Strategy<Value = Photo> {
    (1..40u32, 1..40u32, 0..8usize, any::<u64>()).prop_map(|(w, h, kind, seed)| {
        let mut noise = FormulaNoise::new(seed);
        let samples: Vec<u16> = (0..4 * w * h)
            .map(|_| noise.draw().to_bits() as u16)
            .collect();
        macro_rules! picture {
            ($kind:ident, $channels:literal, $sample:ty) => {{
                let count = (w * h * $channels) as usize;
                let samples = samples[..count].iter().map(|&v| v as $sample).collect();
                DynamicImage::$kind(ImageBuffer::from_raw(w, h, samples).unwrap())
            }};
        }
        let image = match kind {
            0 => picture!(ImageLuma8, 1, u8),
            1 => picture!(ImageLumaA8, 2, u8),
            2 => picture!(ImageRgb8, 3, u8),
            3 => picture!(ImageRgba8, 4, u8),
            4 => picture!(ImageLuma16, 1, u16),
            5 => picture!(ImageLumaA16, 2, u16),
            6 => picture!(ImageRgb16, 3, u16),
            _ => picture!(ImageRgba16, 4, u16),
        };
        Photo::from_image(image).unwrap()
    })
}

const LOSSLESS: [OutputFormat; 4] = [
    OutputFormat::Png,
    OutputFormat::WebP,
    OutputFormat::Tiff,
    OutputFormat::Bmp,
];

/// Distance from a pixel to the nearest one of the hole (`keep` 0) or of the known (1), looked for
/// everywhere.
fn distance(mask: &Mask, i: usize, keep: u8) -> f64 {
    let at = |i: usize| [(i % mask.width()) as f64, (i / mask.width()) as f64];
    let [x, y] = at(i);
    let found = (0..mask.keep().len())
        .filter(|&j| mask.keep()[j] == keep)
        .map(at);
    found
        .map(|[a, b]| (x - a).hypot(y - b))
        .fold(f64::INFINITY, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn holes_grow_and_shrink_by_a_round_distance(mask in masks(40), pixels in 0..60u32) {
        let (grown, shrunk) = (mask.grown(pixels), mask.shrunk(pixels));
        let feathered = mask.feathered(pixels);
        prop_assert_eq!(feathered.keep(), grown.keep());
        for i in 0..mask.keep().len() {
            let reach = f64::from(pixels);
            prop_assert_eq!(grown.keep()[i] == 0, distance(&mask, i, 0) <= reach);
            prop_assert_eq!(shrunk.keep()[i] == 0, distance(&mask, i, 1) > reach);
        }
    }

    #[test]
    fn the_plan_fills_each_hole_pixel_once_and_never_leaves_the_photograph(
        mask in masks(160),
        model_side in 16..96usize,
        context in 1.0..3.0f64,
    ) {
        let options = RegionOptions { model_side, context };
        let mut filled = vec![0u8; mask.width() * mask.height()];
        for crop in plan(&mask, &options).unwrap() {
            prop_assert!(crop.x + crop.width <= mask.width());
            prop_assert!(crop.y + crop.height <= mask.height());
            prop_assert!(crop.model_width.min(crop.model_height) > 0);
            for run in crop.holes.iter().flat_map(Hole::runs) {
                prop_assert!((crop.y..crop.y + crop.height).contains(&run.y));
                prop_assert!(crop.x <= run.start && run.start < run.end);
                prop_assert!(run.end <= crop.x + crop.width);
                for times in &mut filled[run.y * mask.width()..][run.start..run.end] {
                    *times += 1;
                }
            }
        }
        let holes: Vec<u8> = mask.keep().iter().map(|keep| 1 - keep).collect();
        prop_assert_eq!(filled, holes);
    }

    #[test]
    fn a_photograph_comes_back_from_every_lossless_format(photo in photos()) {
        for format in LOSSLESS {
            if photo.bit_depth() == 16 && !format.holds_16_bit() {
                continue;
            }
            let bytes = photo.encode(format).unwrap();
            let back = Photo::from_bytes(&bytes, "back", &Limits::default()).unwrap();
            prop_assert_eq!(back.bit_depth(), photo.bit_depth());
            prop_assert_eq!((back.width(), back.height()), (photo.width(), photo.height()));
            let (ours, theirs) = (photo.to_rgb_f32(), back.to_rgb_f32());
            prop_assert_eq!(ours.data(), theirs.data(), "{:?}", format);
            prop_assert_eq!(photo.alpha(), back.alpha(), "{:?}", format);
        }
    }

    #[test]
    fn a_mask_comes_back_from_every_lossless_format(mask in masks(50)) {
        let folder = tempfile::tempdir().unwrap();
        for format in LOSSLESS {
            let file = folder.path().join(format!("mask.{}", format.name()));
            mask.save(&file).unwrap();
            let back = Mask::open(&file, HolePolarity::White).unwrap();
            prop_assert_eq!((back.width(), back.height()), (mask.width(), mask.height()));
            prop_assert_eq!(back.keep(), mask.keep(), "{:?}", format);
            let negative = Mask::open(&file, HolePolarity::Black).unwrap();
            prop_assert_eq!(negative.hole_pixels() + mask.hole_pixels(), mask.keep().len());
        }
    }

    #[test]
    fn solvers_give_finite_states_for_finite_input(
        steps in 2..=1000usize,
        schedule in prop_oneof![
            Just(Schedule::Cosine), Just(Schedule::Linear), Just(Schedule::Constant)
        ],
        arithmetic in prop_oneof![Just(Arithmetic::Double), Just(Arithmetic::Single)],
        grid in prop_oneof![Just(Grid::Time), Just(Grid::LogSnr), Just(Grid::Halving), Just(Grid::Tenths), Just(Grid::Twentieths)],
        share in 0.0..1.0f64,
        values in [-1e3..1e3f32, -1e3..1e3f32, -1e3..1e3f32, -6.0..6.0f32],
    ) {
        let config = SdeConfig { schedule, steps, arithmetic, ..SdeConfig::default() };
        let sde = Sde::new(&config).unwrap();
        let [u, clean, previous, z] = values.map(|value| -> Tensor<4> {
            Tensor::from_data(TensorData::new(vec![value], [1, 1, 1, 1]), &Device::flex())
        });
        let count = 1 + (share * 50.0) as usize;
        let grid = grid.timesteps(&sde, count).unwrap();
        let mut before = None;
        for pair in grid.windows(2) {
            let gap = Gap::new(&sde, pair[0], pair[1]);
            let mut states = vec![
                solvers::first_order(u.clone(), clean.clone(), gap),
                solvers::first_order_stochastic(u.clone(), clean.clone(), gap, z.clone()),
                solvers::renoise(&sde, u.clone(), pair[1], pair[0], z.clone()),
            ];
            if let Some(before) = before {
                let d = solvers::difference(clean.clone(), previous.clone(), gap, before);
                states.push(solvers::second_order_term(d.clone(), gap));
                states.push(solvers::second_order_stochastic_term(d, gap));
            }
            for (kind, state) in states.into_iter().enumerate() {
                let value = host_values(state)[0];
                prop_assert!(value.is_finite(), "kind {}, {:?}: {}", kind, pair, value);
            }
            before = Some(gap);
        }
    }
}
