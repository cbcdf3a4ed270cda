//! Promises of the front door, kept with a tiny model of random weights.

use std::ops::ControlFlow;

use strdiffusion::model::{EdgeConfig, FORMAT, Model, ModelConfig};
use strdiffusion::networks::{ConditionalUNetConfig, DiscriminatorConfig};
use strdiffusion::picture::{FloatImage, Mask, Photo};
use strdiffusion::sampler::{Event, PaperSampler, Resampling};
use strdiffusion::sde::SdeConfig;
use strdiffusion::{Device, Error, FillOptions, Filled, Inpainter, Scale};

const T: usize = 4;

fn inpainter(depth: usize, training_resolution: usize) -> Inpainter {
    let resampling = Resampling {
        u_max: 3,
        u_min: 1,
        jump: 2,
        re: 1,
    };
    let config = ModelConfig {
        format: FORMAT,
        texture: ConditionalUNetConfig::texture(4, depth),
        structure: ConditionalUNetConfig::structure(4, depth),
        discriminator: DiscriminatorConfig {
            in_channels: 4,
            width: 4,
            time_dim: 16,
        },
        sde: SdeConfig {
            steps: T,
            ..SdeConfig::default()
        },
        prediction: Default::default(),
        conditioning: Default::default(),
        structure_process: Default::default(),
        sampling: PaperSampler {
            resampling: Some(resampling),
            ..PaperSampler::default()
        }
        .into(),
        edges: EdgeConfig::default(),
        training_resolution,
        licence: "none".into(),
        source: "random weights".into(),
    };
    Inpainter::from_model(Model::init(config, 1, &Device::flex()).unwrap())
}

/// A photograph of distinct pixels; `hidden` is added to every pixel of the hole.
fn photo(width: usize, height: usize, mask: &Mask, hidden: f32) -> Photo {
    let area = width * height;
    let value = |i: usize| {
        let (c, at) = (i / area, i % area);
        let wave = ((at % width) as f32 * 0.9 + (at / width) as f32 * 0.4 + c as f32).sin();
        let shown = 0.4 + 0.3 * wave;
        if mask.keep()[at] == 0 {
            shown + hidden
        } else {
            shown
        }
    };
    let data = (0..3 * area).map(value).collect();
    Photo::from_float_image(&FloatImage::from_vec(3, width, height, data).unwrap()).unwrap()
}

fn mask(width: usize, height: usize, is_hole: impl Fn(usize, usize) -> bool) -> Mask {
    let keep = (0..width * height)
        .map(|i| u8::from(!is_hole(i % width, i / width)))
        .collect();
    Mask::from_keep(width, height, keep).unwrap()
}

fn fill(inpainter: &Inpainter, photo: &Photo, mask: &Mask, options: &FillOptions) -> Filled {
    inpainter
        .fill(photo, mask, options, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

fn bytes(photo: &Photo) -> &[u8] {
    photo.image().as_bytes()
}

fn assert_known_pixels_stay(photo: &Photo, filled: &Photo, mask: &Mask) {
    for (at, (before, after)) in bytes(photo)
        .chunks(3)
        .zip(bytes(filled).chunks(3))
        .enumerate()
    {
        assert!(mask.keep()[at] == 0 || before == after, "pixel {at}");
    }
}

#[test]
fn no_bit_of_the_hole_changes_one_bit_of_the_result() {
    let inpainter = inpainter(2, 32);
    // One as a whole, one by regions, of which some are scaled down and some are not.
    for (width, height) in [(23, 18), (90, 70)] {
        let mask = mask(width, height, |x, y| {
            ((4..9).contains(&x) && (3..11).contains(&y)) || (x > 40 && y > 20 && x + y < 110)
        });
        for scale in [Scale::Auto, Scale::Native] {
            let options = FillOptions {
                scale,
                ..FillOptions::default()
            };
            let [one, other] = [0.0, 0.25].map(|hidden| {
                let photo = photo(width, height, &mask, hidden);
                let mut states = vec![];
                let filled = inpainter.fill(&photo, &mask, &options, &mut |progress| {
                    states.extend(progress.states());
                    ControlFlow::Continue(())
                });
                let filled = filled.unwrap();
                assert_known_pixels_stay(&photo, &filled.photo, &mask);
                (bytes(&filled.photo).to_vec(), states)
            });
            assert!(one == other, "{width}×{height}, {scale:?}");
        }
    }
}

#[test]
fn every_size_is_filled_at_its_own_size() {
    let inpainter = inpainter(3, 64);
    for (width, height) in [(1, 2), (2, 1), (3, 5), (7, 40), (8, 8), (17, 9), (200, 3)] {
        let mask = mask(width, height, |x, y| x == width - 1 && y == height - 1);
        let photo = photo(width, height, &mask, 0.0);
        let filled = fill(&inpainter, &photo, &mask, &FillOptions::default());
        assert_eq!(
            (filled.photo.width(), filled.photo.height()),
            (width, height)
        );
        assert_known_pixels_stay(&photo, &filled.photo, &mask);
        assert_eq!(filled.regions, 1);
    }
}

#[test]
fn one_seed_gives_one_picture_and_another_seed_another() {
    let inpainter = inpainter(1, 32);
    let mask = mask(60, 50, |x, y| (x / 12 + y / 12) % 3 == 0);
    let photo = photo(60, 50, &mask, 0.0);
    let run = |seed| {
        let options = FillOptions {
            seed,
            ..FillOptions::default()
        };
        bytes(&fill(&inpainter, &photo, &mask, &options).photo).to_vec()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_large_photo_costs_its_holes_and_not_its_size() {
    let inpainter = inpainter(1, 16);
    let mask = mask(400, 300, |x, y| {
        [(20, 20), (390, 30), (200, 290)].contains(&(x, y))
    });
    let photo = photo(400, 300, &mask, 0.0);
    let mut last = None;
    let filled = inpainter
        .fill(&photo, &mask, &FillOptions::default(), &mut |progress| {
            if let Some((texture, structure)) = progress.states() {
                assert_eq!([texture.width(), texture.height()], [16, 16]);
                assert_eq!([structure.channels(), structure.width()], [1, 16]);
            }
            last = progress.steps().or(last);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(filled.regions, 3);
    assert_eq!(last, Some((3 * T, 3 * T)));
    assert!(filled.evaluations.texture >= 3 * T);
    assert_known_pixels_stay(&photo, &filled.photo, &mask);
}

#[test]
fn an_empty_mask_gives_the_photo_back_and_a_full_one_is_refused() {
    let inpainter = inpainter(1, 16);
    let empty = Mask::all_known(20, 10);
    let photo = photo(20, 10, &empty, 0.0);
    let filled = fill(&inpainter, &photo, &empty, &FillOptions::default());
    assert_eq!(bytes(&filled.photo), bytes(&photo));
    assert_eq!((filled.regions, filled.evaluations.texture), (0, 0));

    let full = mask(20, 10, |_, _| true);
    let go_on = &mut |_: &strdiffusion::Progress| ControlFlow::Continue(());
    let error = inpainter
        .fill(&photo, &full, &FillOptions::default(), go_on)
        .unwrap_err();
    assert!(matches!(error, Error::FullMask) && error.is_users_fault());
}

#[test]
fn drawn_edges_count_inside_the_hole_only() {
    let inpainter = inpainter(1, 16);
    for (width, height) in [(16, 14), (60, 50)] {
        let mask = mask(width, height, |x, y| {
            (3..width - 3).contains(&x) && (4..10).contains(&y)
        });
        let photo = photo(width, height, &mask, 0.0);
        let draw = |row: usize| {
            let mut drawing = FloatImage::filled(1, width, height, 0.0);
            drawing.data_mut()[row * width..(row + 1) * width].fill(1.0);
            let options = FillOptions {
                drawn_edges: Some(drawing),
                ..FillOptions::default()
            };
            bytes(&fill(&inpainter, &photo, &mask, &options).photo).to_vec()
        };
        let plain = bytes(&fill(&inpainter, &photo, &mask, &FillOptions::default()).photo).to_vec();
        assert!(draw(0) == plain, "outside the hole, {width}×{height}");
        assert!(draw(6) != plain, "inside the hole, {width}×{height}");
    }
}

#[test]
fn the_callback_cancels_at_once() {
    let inpainter = inpainter(1, 16);
    let mask = mask(12, 12, |x, _| x > 6);
    let photo = photo(12, 12, &mask, 0.0);
    let mut steps = 0;
    let result = inpainter.fill(&photo, &mask, &FillOptions::default(), &mut |progress| {
        steps += usize::from(matches!(progress.event, Event::Step { .. }));
        if steps == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(result.unwrap_err(), Error::Cancelled));
    assert_eq!(steps, 2);
}
