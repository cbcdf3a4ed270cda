//! Promises of the front door, kept with a tiny model of random weights.

use std::ops::ControlFlow;

use strdiffusion::detail::Detail;
use strdiffusion::picture::{FloatImage, Mask, Photo};
use strdiffusion::sampling::{Event, FastSampler, Solver};
use strdiffusion::{Error, FillOptions, FillRequest, Filled, Inpainter, Scale};
use strdiffusion_testing::{TINY_STEPS, tiny_model};

fn inpainter(depth: usize, training_resolution: usize) -> Inpainter {
    Inpainter::from_model(tiny_model(|config| {
        config.texture.depth = depth;
        config.structure.depth = depth;
        config.training_resolution = training_resolution;
    }))
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

/// A photograph with an alpha channel; where it is below one half, the colours are `hidden`.
fn with_alpha(colours: &Photo, alpha: impl Fn(u32, u32) -> u8, hidden: [u8; 3]) -> Photo {
    let mut image = colours.image().to_rgba8();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let alpha = alpha(x, y);
        let [r, g, b] = if alpha < 128 {
            hidden
        } else {
            [pixel[0], pixel[1], pixel[2]]
        };
        pixel.0 = [r, g, b, alpha];
    }
    Photo::from_image(image.into()).unwrap()
}

#[test]
fn what_lies_under_transparent_pixels_is_never_a_source_of_colour() {
    let inpainter = inpainter(2, 32);
    for (width, height) in [(23, 18), (90, 70)] {
        let hole = mask(width, height, |x, y| {
            (8..15).contains(&x) && (3..11).contains(&y)
        });
        let colours = photo(width, height, &hole, 0.0);
        // Transparent from column 12 on, so that the hole reaches into it; a soft edge before.
        let alpha = |x: u32, _| [255, 200, 100, 0][(x.max(9) as usize - 9).min(3)];
        let options = FillOptions::default();
        let [one, other] = [[0, 0, 0], [255, 0, 90]].map(|hidden| {
            let photo = with_alpha(&colours, alpha, hidden);
            let filled = fill(&inpainter, &photo, &hole, &options)
                .photo
                .image()
                .to_rgba8();
            let before = photo.image().to_rgba8();
            for (x, y, pixel) in filled.enumerate_pixels() {
                let is_hole = hole.is_hole(x as usize, y as usize);
                assert!(is_hole || pixel == before.get_pixel(x, y), "{x}, {y}");
                assert_eq!(pixel[3], alpha(x, y), "{x}, {y}");
            }
            let hole_alone = (3..11).flat_map(|y| (8..15).map(move |x| (x, y)));
            hole_alone
                .map(|(x, y)| *filled.get_pixel(x, y))
                .collect::<Vec<_>>()
        });
        assert!(one == other, "{width}×{height}");
    }
}

#[test]
fn where_transparency_is_the_hole_all_that_is_not_opaque_is_filled() {
    let inpainter = inpainter(2, 32);
    for (width, height) in [(23, 18), (90, 70)] {
        let colours = photo(width, height, &Mask::all_known(width, height), 0.0);
        let alpha = |x: u32, y: u32| match (x.abs_diff(10), y.abs_diff(8)) {
            (0..3, 0..3) => 0,
            (0..4, 0..4) => 254,
            _ => 255,
        };
        let photo = with_alpha(&colours, alpha, [1, 2, 3]);
        let hole = Mask::from_alpha(&photo).unwrap();
        assert_eq!(hole.hole_pixels(), 7 * 7);
        let filled = fill(&inpainter, &photo, &hole, &FillOptions::default());
        assert!(filled.photo.alpha().unwrap().iter().all(|&a| a == 1.0));
    }
}

#[test]
fn holes_that_nobody_would_see_or_know_are_refused() {
    let inpainter = inpainter(2, 32);
    let hole = mask(23, 18, |x, _| x < 6);
    let colours = photo(23, 18, &hole, 0.0);
    let fill = |alpha: &dyn Fn(u32, u32) -> u8| {
        let photo = with_alpha(&colours, alpha, [0, 0, 0]);
        let options = FillOptions::default();
        let filled = inpainter.fill(&photo, &hole, &options, &mut |_| ControlFlow::Continue(()));
        filled.map(|_| ()).map_err(|error| error.to_string())
    };
    let error = fill(&|x, _| if x < 6 { 0 } else { 255 }).unwrap_err();
    assert!(
        error.contains("every pixel of the hole is transparent"),
        "{error}"
    );
    let error = fill(&|x, _| if x < 6 { 255 } else { 0 }).unwrap_err();
    assert!(error.contains("nothing is known"), "{error}");
    fill(&|x, _| if x < 5 { 0 } else { 255 }).unwrap();
}

#[test]
fn every_size_is_filled_at_its_own_size() {
    let inpainter = inpainter(3, 64);
    for (width, height) in [(1, 2), (2, 1), (3, 5), (7, 40), (8, 8), (17, 9), (200, 3)] {
        let mask = mask(width, height, |x, y| x == width - 1 && y == height - 1);
        let photo = photo(width, height, &mask, 0.0);
        for (detail, regions) in [(Detail::Off, 1), (Detail::Auto, 0)] {
            let options = FillOptions {
                detail,
                ..FillOptions::default()
            };
            let filled = fill(&inpainter, &photo, &mask, &options);
            assert_eq!(
                (filled.photo.width(), filled.photo.height()),
                (width, height)
            );
            assert_known_pixels_stay(&photo, &filled.photo, &mask);
            assert_eq!(filled.regions, regions);
        }
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
    // With detail, specks need no network.
    let options = FillOptions {
        detail: Detail::Off,
        ..FillOptions::default()
    };
    let filled = inpainter
        .fill(&photo, &mask, &options, &mut |progress| {
            if let Some((texture, structure)) = progress.states() {
                assert_eq!([texture.width(), texture.height()], [16, 16]);
                assert_eq!([structure.channels(), structure.width()], [1, 16]);
            }
            last = progress.steps().or(last);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(filled.regions, 3);
    assert_eq!(last, Some((3 * TINY_STEPS, 3 * TINY_STEPS)));
    assert!(filled.evaluations.texture >= 3 * TINY_STEPS);
    assert_known_pixels_stay(&photo, &filled.photo, &mask);
}

#[test]
fn specks_need_no_network_and_other_holes_do() {
    let inpainter = inpainter(1, 16);
    let is_speck = |x: usize, y: usize| x % 10 < 5 && y % 10 < 5 && x < 100;
    let is_hole = |x: usize, y: usize| (110..135).contains(&x) && (20..23).contains(&y);
    for with_hole in [false, true] {
        let mask = mask(140, 60, |x, y| is_speck(x, y) || with_hole && is_hole(x, y));
        let shown = photo(140, 60, &mask, 0.0);
        let filled = fill(&inpainter, &shown, &mask, &FillOptions::default());
        assert_eq!(filled.regions > 0, with_hole);
        assert_known_pixels_stay(&shown, &filled.photo, &mask);
        // What is in the hole has no influence.
        let other = photo(140, 60, &mask, 0.25);
        let other = fill(&inpainter, &other, &mask, &FillOptions::default());
        assert_eq!(bytes(&filled.photo), bytes(&other.photo));
    }
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

/// A tiny model that samples in a few steps, with resampling and noise.
fn few_steps() -> FillOptions {
    FillOptions {
        sampler: Some(
            FastSampler {
                steps: 3,
                solver: Solver::Posterior,
                resampling_rounds: 3,
                ..FastSampler::default()
            }
            .into(),
        ),
        ..FillOptions::default()
    }
}

/// Photographs of several sizes, each with holes of its own: whole ones, and some of one region
/// and of several.
fn requests(options: &FillOptions) -> Vec<FillRequest> {
    let sizes = [
        (30, 20),
        (90, 70),
        (30, 20),
        (64, 100),
        (30, 20),
        (20, 30),
        (90, 70),
    ];
    let request = |(number, &(width, height)): (usize, &(usize, usize))| {
        let holes = [
            (5, 4, 6 + number, 5),
            (width - 9, height - 7, 4, 6),
            (width / 2, 3, 3, 3),
        ];
        let holes = &holes[..1 + number % 3];
        let mask = mask(width, height, |x, y| {
            let inside = |&(left, top, w, h): &(usize, usize, usize, usize)| {
                (left..left + w).contains(&x) && (top..top + h).contains(&y)
            };
            holes.iter().any(inside)
        });
        FillRequest {
            photo: photo(width, height, &mask, 0.0),
            mask,
            options: FillOptions {
                seed: number as u64 / 2,
                ..options.clone()
            },
        }
    };
    sizes.iter().enumerate().map(request).collect()
}

#[test]
fn a_fill_does_not_depend_on_what_it_was_batched_with() {
    for options in [FillOptions::default(), few_steps()] {
        let inpainter = inpainter(2, 32).with_batch_limit(3);
        let requests = requests(&options);
        let mut steps = vec![0; requests.len()];
        let together = inpainter.fill_batch(&requests, &mut |number, progress| {
            if let Some((texture, structure)) = progress.states() {
                assert_eq!((texture.channels(), structure.channels()), (3, 1));
                steps[number] += 1;
            }
            ControlFlow::Continue(())
        });
        for (number, (request, filled)) in requests.iter().zip(together).enumerate() {
            let filled = filled.unwrap();
            let mut alone_steps = 0;
            let alone = inpainter.fill(&request.photo, &request.mask, &request.options, &mut |p| {
                alone_steps += usize::from(p.states().is_some());
                ControlFlow::Continue(())
            });
            let alone = alone.unwrap();
            assert!(bytes(&filled.photo) == bytes(&alone.photo), "{number}");
            assert_eq!(filled.regions, alone.regions);
            assert_eq!(filled.hole_fraction, alone.hole_fraction);
            assert_eq!(steps[number], alone_steps);
            assert_known_pixels_stay(&request.photo, &filled.photo, &request.mask);
        }
    }
}

#[test]
fn pictures_of_one_size_pass_through_the_networks_together() {
    let inpainter = inpainter(1, 32).with_batch_limit(2);
    let mask = mask(20, 20, |x, y| x > 12 && y > 12);
    let request = |seed| FillRequest {
        photo: photo(20, 20, &mask, 0.0),
        mask: mask.clone(),
        options: FillOptions {
            seed,
            ..few_steps()
        },
    };
    // One after the other where batches hold one picture, else step by step in turns.
    let order = |inpainter: &Inpainter| {
        let mut order = vec![];
        let requests: Vec<FillRequest> = (0..3).map(request).collect();
        let results = inpainter.fill_batch(&requests, &mut |number, progress| {
            if progress.steps().is_some() {
                order.push(number);
            }
            ControlFlow::Continue(())
        });
        assert!(results.iter().all(Result::is_ok));
        order
    };
    assert_eq!(order(&inpainter), [0, 1, 0, 1, 0, 1, 2, 2, 2]);
    let single = inpainter.with_batch_limit(1);
    assert_eq!(order(&single), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn one_request_of_a_batch_fails_or_is_cancelled_alone() {
    let inpainter = inpainter(2, 32);
    // Without detail the networks fill every hole, specks too, and tell of it.
    let mut requests = requests(&FillOptions {
        detail: Detail::Off,
        ..FillOptions::default()
    });
    let (width, height) = (30, 20);
    requests[0].mask = mask(width, height, |_, _| true);
    requests[3].mask = Mask::all_known(width, height);
    requests[5].options.sampler = Some(
        FastSampler {
            steps: 0,
            ..FastSampler::default()
        }
        .into(),
    );
    let results = inpainter.fill_batch(&requests, &mut |number, progress| {
        assert!(![0, 3, 5].contains(&number));
        match (number, progress.steps()) {
            (1, Some((2, _))) => ControlFlow::Break(()),
            (1, Some((done, _))) => {
                assert!(done < 2, "a cancelled request is told no more");
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    assert!(matches!(results[0], Err(Error::FullMask)));
    assert!(matches!(results[1], Err(Error::Cancelled)));
    assert!(results[3].as_ref().unwrap_err().is_users_fault());
    assert!(matches!(results[5], Err(Error::Config(_))));
    for number in [2, 4, 6] {
        let FillRequest {
            photo,
            mask,
            options,
        } = &requests[number];
        let alone = fill(&inpainter, photo, mask, options);
        let together = results[number].as_ref().unwrap();
        assert!(bytes(&together.photo) == bytes(&alone.photo), "{number}");
    }
    let all = inpainter.fill_batch(&requests, &mut |_, _| ControlFlow::Break(()));
    for number in [1, 2, 4, 6] {
        assert!(matches!(all[number], Err(Error::Cancelled)), "{number}");
    }
    assert!(
        inpainter
            .fill_batch(&[], &mut |_, _| ControlFlow::Continue(()))
            .is_empty()
    );
}

#[test]
fn an_even_area_comes_back_even() {
    // Paper with a slight run of brightness and grain, in a frame; random networks would fill it
    // with anything. At the model's scale, in crops, in a corner and at the edge.
    let inpainter = inpainter(2, 32);
    for (width, height) in [(30, 28), (160, 120)] {
        let paper = |i: usize| {
            let (x, y) = (i % width, i / width % height);
            let grain = (x * 7919 + y * 104_729) % 3;
            (200.0 + 0.05 * x as f32 + grain as f32 - 1.0) / 255.0
        };
        let values = (0..3 * width * height).map(paper).collect();
        let truth = FloatImage::from_vec(3, width, height, values).unwrap();
        let truth = Photo::from_float_image(&truth).unwrap();
        for (left, top) in [(0, 0), (width - 9, 6), (width / 2 - 4, height / 2 - 4)] {
            let hole = mask(width, height, |x, y| {
                (left..left + 9).contains(&x) && (top..top + 9).contains(&y)
            });
            for detail in [strdiffusion::Detail::Off, strdiffusion::Detail::Auto] {
                let options = FillOptions {
                    detail,
                    ..FillOptions::default()
                };
                let filled = fill(&inpainter, &truth, &hole, &options).photo;
                let off = bytes(&truth).iter().zip(bytes(&filled));
                let off = off.map(|(a, b)| a.abs_diff(*b)).max();
                // Grain is ± 1 by itself.
                assert!(
                    off <= Some(3),
                    "{width}×{height}, {left}, {detail}: {off:?}"
                );
            }
        }
    }
}

#[test]
fn a_soft_mask_blends_the_fill_of_its_whole_hole_with_the_photograph() {
    let inpainter = inpainter(2, 32);
    let options = FillOptions::default();
    for (width, height) in [(23, 18), (90, 70)] {
        let tight = mask(width, height, |x, y| {
            (width / 3..width / 2).contains(&x) && (5..10).contains(&y)
        });
        let photo = photo(width, height, &tight, 0.25);
        let hard = fill(&inpainter, &photo, &tight.grown(4), &options);
        let soft = fill(&inpainter, &photo, &tight.feathered(4), &options);
        for share in [1.0, 0.0] {
            let [hard, soft] = [&hard, &soft].map(|filled| filled.with_strength(share).unwrap());
            let samples = bytes(&photo).iter().zip(bytes(&hard)).zip(bytes(&soft));
            for (i, ((&before, &hard), &soft)) in samples.enumerate() {
                let weight = tight.feathered(4).weights().unwrap()[i / 3];
                let weight = f64::from(weight) / 65535.0;
                let blended = f64::from(before) * (1.0 - weight) + f64::from(hard) * weight;
                assert!((f64::from(soft) - blended).abs() <= 1.01, "sample {i}");
                if weight == 0.0 {
                    assert_eq!(soft, before, "sample {i}");
                }
                if weight == 1.0 {
                    assert_eq!(soft, hard, "sample {i}");
                }
            }
        }
    }
}
