//! Promises of the detail stage, on photographs that the tests draw.

use strdiffusion::detail::{Detail, Layer, Request, refine};
use strdiffusion::picture::{Filter, FloatImage, Mask, Photo};
use strdiffusion::region::{Crop, at_own_scale};
use strdiffusion_kernels::{Isa, force_isa};

const SIDE: usize = 128;

/// A number in [0, 1) for each pixel, without pattern.
fn noise(x: usize, y: usize) -> f32 {
    let mut z = (x as u64) << 32 | y as u64;
    z = (z ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 40) as f32 / (1u64 << 24) as f32
}

fn draw(colour: impl Fn(usize, usize) -> [f32; 3]) -> FloatImage {
    let value = |i: usize| {
        let (c, at) = (i / (SIDE * SIDE), i % (SIDE * SIDE));
        colour(at % SIDE, at / SIDE)[c]
    };
    let values = (0..3 * SIDE * SIDE).map(value).collect();
    FloatImage::from_vec(3, SIDE, SIDE, values).unwrap()
}

/// Tiles of two sizes and colours, slightly irregular: plenty to copy from.
fn tiles() -> FloatImage {
    draw(|x, y| {
        let joint = x % 16 < 2 || (y + 8 * (x / 16 % 2)) % 12 < 2;
        let shade = 0.06 * (noise(x, y) - 0.5) + 0.1 * noise(x / 16, y / 12);
        let base = if joint { 0.25 } else { 0.6 };
        [base + shade, base * 0.9 + shade, 0.7 * base + shade]
    })
}

/// Waves that repeat nowhere, with grain.
fn waves() -> FloatImage {
    draw(|x, y| {
        let (u, v) = (x as f32 / 9.0, y as f32 / 7.0);
        let wave = |a: f32, b: f32| {
            0.5 + 0.2 * (a * u + (b * v).sin() * 3.0).sin() + 0.2 * (u * v / 9.0).cos()
        };
        let grain = 0.1 * (noise(x, y) - 0.5);
        [
            wave(2.0, 0.7) + grain,
            wave(1.4, 1.1) + grain,
            wave(1.7, 0.4) + grain,
        ]
    })
}

/// A wall with windows in rows, all alike but for its grain.
fn facade() -> FloatImage {
    draw(|x, y| {
        let (u, v) = ((x + 7) % 34, (y + 11) % 38);
        let grain = 0.04 * (noise(x, y) - 0.5);
        let [r, g, b] = match (u, v) {
            (8..26, 8..30) if matches!(u, 8 | 9 | 16 | 17 | 24 | 25) => [0.9, 0.9, 0.85],
            (8..26, 8..30) if matches!(v, 8 | 9 | 15 | 16 | 28 | 29) => [0.9, 0.9, 0.85],
            (8..26, 8..30) => [0.15, 0.2, 0.3],
            (5..29, 30..33) => [0.4, 0.35, 0.3],
            _ => [0.75, 0.65, 0.45],
        };
        [r + grain, g + grain, b + grain]
    })
}

fn hole(is_hole: impl Fn(usize, usize) -> bool) -> Mask {
    let keep = (0..SIDE * SIDE)
        .map(|i| u8::from(!is_hole(i % SIDE, i / SIDE)))
        .collect();
    Mask::from_keep(SIDE, SIDE, keep).unwrap()
}

fn disc(x: usize, y: usize) -> bool {
    (x as f32 - 60.0).hypot(y as f32 - 66.0) < 18.0
}

/// What a network leaves that sees pixels of `scale` and knows nothing of texture.
fn softened(picture: &FloatImage, mask: &Mask, scale: usize) -> FloatImage {
    let small = picture.resize(SIDE / scale, SIDE / scale, Filter::Triangle);
    let soft = small.resize(SIDE, SIDE, Filter::Triangle);
    composite(picture, &soft, mask)
}

fn composite(picture: &FloatImage, fill: &FloatImage, mask: &Mask) -> FloatImage {
    let mut result = picture.clone();
    for (i, value) in result.data_mut().iter_mut().enumerate() {
        if mask.keep()[i % (SIDE * SIDE)] == 0 {
            *value = fill.data()[i];
        }
    }
    result
}

fn photo(picture: &FloatImage) -> Photo {
    Photo::from_float_image(picture).unwrap()
}

/// Crops for a network whose pixels are `scale` of the photograph's.
fn crops(mask: &Mask, scale: usize) -> Vec<Crop> {
    let mut crops = at_own_scale(mask);
    for crop in &mut crops {
        crop.model_width = crop.width / scale;
        crop.model_height = crop.height / scale;
    }
    crops
}

fn layers(soft: &FloatImage, mask: &Mask, scale: usize, seed: u64) -> Vec<Layer> {
    refine(&Request {
        photo: &photo(soft),
        hole: mask,
        void: None,
        avoid: None,
        crops: &crops(mask, scale),
        drawn: None,
        seed,
    })
    .unwrap()
}

/// The picture with the layers' detail in its hole.
fn detailed(soft: &FloatImage, mask: &Mask, layers: &[Layer]) -> FloatImage {
    let mut result = soft.clone();
    for layer in layers {
        let (width, height) = (layer.hole.width(), layer.hole.height());
        for (i, &keep) in layer.hole.keep().iter().enumerate() {
            let at = (layer.y + i / width) * SIDE + layer.x + i % width;
            assert!(
                keep == 1 || mask.keep()[at] == 0,
                "a layer covers known pixels"
            );
            for c in (0..3).filter(|_| keep == 0) {
                result.data_mut()[c * SIDE * SIDE + at] =
                    layer.sharp.data()[c * width * height + i];
            }
        }
    }
    result
}

/// Mean squared gradient in the hole.
fn gradient_energy(picture: &FloatImage, mask: &Mask) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for y in 0..SIDE - 1 {
        for x in 0..SIDE - 1 {
            if mask.is_hole(x, y) && mask.is_hole(x + 1, y) && mask.is_hole(x, y + 1) {
                let plane = picture.plane(1);
                let here = plane[y * SIDE + x];
                sum += (plane[y * SIDE + x + 1] - here).powi(2);
                sum += (plane[(y + 1) * SIDE + x] - here).powi(2);
                count += 1.0;
            }
        }
    }
    sum / count
}

/// dB over the hole's pixels.
fn psnr(a: &FloatImage, b: &FloatImage, is_hole: impl Fn(usize) -> bool) -> f64 {
    let area = a.width() * a.height();
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, (a, b)) in a.data().iter().zip(b.data()).enumerate() {
        if is_hole(i % area) {
            sum += f64::from(a - b).powi(2);
            count += 1.0;
        }
    }
    -10.0 * (sum / count).log10()
}

#[test]
fn a_soft_fill_gets_the_texture_of_its_surroundings() {
    let (truth, mask) = (tiles(), hole(disc));
    let soft = softened(&truth, &mask, 8);
    let sharp = detailed(&soft, &mask, &layers(&soft, &mask, 8, 1));
    let share = |picture| gradient_energy(picture, &mask) / gradient_energy(&truth, &mask);
    assert!(share(&soft) < 0.1, "soft: {}", share(&soft));
    let found = share(&sharp);
    assert!((0.6..1.4).contains(&found), "sharp: {found}");
}

#[test]
fn rows_of_windows_go_on() {
    let mask = hole(|x, y| (x as f32 - 62.0).hypot((y as f32 - 60.0) * 0.9) < 32.0);
    let truth = facade();
    // A fill that shows hardly more than the wall's mean colour.
    let soft = softened(&truth, &mask, 32);
    for seed in [1, 2] {
        let sharp = detailed(&soft, &mask, &layers(&soft, &mask, 16, seed));
        let found = psnr(&sharp, &truth, |i| mask.keep()[i] == 0);
        // The grain, which is another's, leaves 36 dB; windows elsewhere, 13.
        assert!(found > 30.0, "{found} dB");
    }
}

#[test]
fn threads_and_instruction_sets_change_no_bit_and_seeds_do() {
    let mask = hole(|x, y| disc(x, y) || (x > 100 && y < 20));
    let soft = softened(&tiles(), &mask, 8);
    let with = |threads: usize, isa: Isa, seed: u64| {
        assert!(force_isa(Some(isa)));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        let found = pool.install(|| layers(&soft, &mask, 8, seed));
        force_isa(None);
        found
            .into_iter()
            .map(|layer| layer.sharp)
            .collect::<Vec<_>>()
    };
    let fastest = Isa::available()[0];
    let one = with(1, fastest, 7);
    for &isa in Isa::available() {
        for threads in [1, 2, 8] {
            assert!(with(threads, isa, 7) == one, "{threads} threads, {isa:?}");
        }
    }
    let other = with(2, fastest, 8);
    let difference: f32 = (one[0].data().iter().zip(other[0].data()))
        .map(|(a, b)| (a - b).abs())
        .sum::<f32>()
        / one[0].data().len() as f32;
    assert!(difference > 0.5 / 255.0, "{difference}");
}

#[test]
fn a_fill_that_knows_what_it_shows_keeps_it() {
    // The truth at half resolution as the fill, on a picture without repetition: nothing in the
    // surroundings can replace it.
    let truth = waves();
    let mask = hole(disc);
    let small = |picture: &FloatImage| picture.resize(SIDE / 2, SIDE / 2, Filter::Lanczos3);
    let fill = composite(
        &truth,
        &small(&truth).resize(SIDE, SIDE, Filter::Lanczos3),
        &mask,
    );
    let found = layers(&fill, &mask, 2, 3);
    assert!(
        found[0].confidence.trust > 0.9,
        "{}",
        found[0].confidence.trust
    );
    let sharp = detailed(&fill, &mask, &found);
    // Pixels of the small picture that lie in the hole whole.
    let inside = |i: usize| {
        let (x, y) = (i % (SIDE / 2) * 2, i / (SIDE / 2) * 2);
        [(0, 0), (1, 0), (0, 1), (1, 1)]
            .iter()
            .all(|(dx, dy)| mask.is_hole(x + dx, y + dy))
    };
    let before = psnr(&small(&fill), &small(&truth), inside);
    let after = psnr(&small(&sharp), &small(&truth), inside);
    assert!(
        after > before - 1.0,
        "{before} dB became {after} dB at the fill's resolution"
    );
}

#[test]
fn a_smudge_is_not_trusted_however_strong() {
    let mask = hole(disc);
    let mut truth = tiles();
    let scaled = |value: &mut f32, by: f32| *value = 0.5 + by * (*value - 0.5);
    truth.data_mut().iter_mut().for_each(|v| scaled(v, 0.3));
    // As much contrast as the tiles have, and none of it fine.
    let mut smudge = softened(&truth, &mask, 3);
    for (i, value) in smudge.data_mut().iter_mut().enumerate() {
        if mask.keep()[i % (SIDE * SIDE)] == 0 {
            scaled(value, 4.5);
        }
    }
    let found = layers(&smudge, &mask, 1, 3);
    assert_eq!(found[0].confidence.trust, 0.0);
}

/// A fill that is the truth near one side and soft elsewhere: where the hole is thin that side stays, where
/// it is thick known patches go on from the border.
#[test]
fn a_fill_is_trusted_from_place_to_place_only_where_the_hole_is_thin() {
    let truth = waves();
    let trust = |mask: &Mask, is_sharp: fn(usize, usize) -> bool| {
        let mut fill = softened(&truth, mask, 6);
        for (i, value) in fill.data_mut().iter_mut().enumerate() {
            let (x, y) = (i % SIDE, i % (SIDE * SIDE) / SIDE);
            if is_sharp(x, y) {
                *value = truth.data()[i];
            }
        }
        layers(&fill, mask, 2, 3)[0].confidence.trust
    };
    let thin = hole(|x, y| x.abs_diff(60) < 9 && (20..100).contains(&y));
    let found = trust(&thin, |_, y| y < 44);
    assert!((0.2..0.6).contains(&found), "{found}");
    let thick = hole(|x, y| x.abs_diff(60) < 30 && (20..100).contains(&y));
    let found = trust(&thick, |_, y| y < 40);
    assert_eq!(found, 0.0);
}

#[test]
fn a_drawn_roof_line_is_obeyed() {
    // Sky over brick, the border at row 64 everywhere but in the hole, where a gable is drawn.
    let sky = |x, y| [0.55, 0.7, 0.9].map(|v| v + 0.02 * noise(x, y));
    let brick = |x: usize, y: usize| {
        let joint = y.is_multiple_of(6) || (x + 5 * (y / 6 % 2)).is_multiple_of(10);
        let v = if joint { 0.75 } else { 0.5 } + 0.05 * noise(x, y);
        [v, 0.6 * v, 0.45 * v]
    };
    let picture = draw(|x, y| if y < 64 { sky(x, y) } else { brick(x, y) });
    let mask = hole(|x, y| (40..88).contains(&x) && (36..92).contains(&y));
    // Up to row 44 in the middle and down to the border at both sides of the hole.
    let roof = |x: usize| 64.0 - 20.0 * (1.0 - (x as f32 - 64.0).abs() / 26.0);
    let lines = (0..SIDE * SIDE).map(|i| {
        let (x, y) = (i % SIDE, i / SIDE);
        let on_line = mask.is_hole(x, y) && (y as f32 - roof(x)).abs() < 1.0;
        f32::from(u8::from(on_line))
    });
    let drawn = FloatImage::from_vec(1, SIDE, SIDE, lines.collect()).unwrap();
    let soft = softened(&picture, &mask, 16);
    let refined = |drawn| {
        let request = Request {
            photo: &photo(&soft),
            hole: &mask,
            void: None,
            avoid: None,
            crops: &crops(&mask, 1),
            drawn,
            seed: 5,
        };
        detailed(&soft, &mask, &refine(&request).unwrap())
    };
    // Share of the hole's pixels on the drawn line's right side; sky is blue, brick is red.
    let obeyed = |picture: &FloatImage| {
        let (mut right, mut all) = (0, 0);
        for y in 36..92 {
            for x in 40..88 {
                let away = y as f32 - roof(x);
                if away.abs() < 3.0 {
                    continue;
                }
                let at = y * SIDE + x;
                let is_sky = picture.plane(2)[at] > picture.plane(0)[at];
                right += usize::from(is_sky == (away < 0.0));
                all += 1;
            }
        }
        right as f32 / all as f32
    };
    let (without, with) = (obeyed(&refined(None)), obeyed(&refined(Some(&drawn))));
    // Patches of seven pixels round the tip off.
    assert!(with > 0.93, "{with}; {without} without the drawing");
    assert!(without < 0.9, "nothing was drawn, yet {without}");
}

#[test]
fn grain_goes_on() {
    let paper = draw(|x, y| [0.7 + 0.04 * (noise(x, y) - 0.5); 3]);
    let mask = hole(disc);
    let soft = composite(&paper, &draw(|_, _| [0.7; 3]), &mask);
    let sharp = detailed(&soft, &mask, &layers(&soft, &mask, 1, 2));
    let spread = |is_inside: &dyn Fn(usize) -> bool, picture: &FloatImage| {
        let values: Vec<f32> = (0..SIDE * SIDE)
            .filter(|&i| is_inside(i))
            .map(|i| picture.plane(0)[i])
            .collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    };
    let inside = spread(&|i| mask.keep()[i] == 0, &sharp);
    let outside = spread(&|i| mask.keep()[i] == 1, &paper);
    assert!(inside > 0.5 * outside, "{inside} of {outside}");
}

#[test]
fn transparent_pixels_are_no_source() {
    let mask = hole(disc);
    let void = hole(|x, _| x >= 84);
    let picture = tiles();
    let soft = softened(&picture, &mask, 8);
    let run = |hidden: f32| {
        let mut picture = soft.clone();
        for (i, value) in picture.data_mut().iter_mut().enumerate() {
            if void.keep()[i % (SIDE * SIDE)] == 0 {
                *value = hidden;
            }
        }
        let found = refine(&Request {
            photo: &photo(&picture),
            hole: &mask,
            void: Some(&void),
            avoid: None,
            crops: &crops(&mask, 8),
            drawn: None,
            seed: 1,
        });
        found.unwrap().remove(0).sharp
    };
    assert!(run(0.0) == run(1.0));
}

/// Grass with blue flowers at the right, and a fill that asks for blue.
#[test]
fn what_is_to_be_avoided_is_not_copied_and_yet_joined() {
    let mask = hole(disc);
    let is_flower = |x: usize| x >= 60;
    let truth = draw(
        |x, y| match is_flower(x) && mask.keep()[y * SIDE + x] == 1 {
            true => [0.2, 0.2, 0.5 + 0.4 * noise(x, y)],
            false => [0.2, 0.4 + 0.4 * noise(x, y), 0.2],
        },
    );
    let soft = composite(&truth, &draw(|_, _| [0.2, 0.3, 0.6]), &mask);
    let blue = |avoid: Option<&Mask>| {
        let found = refine(&Request {
            photo: &photo(&soft),
            hole: &mask,
            void: None,
            avoid,
            crops: &crops(&mask, 8),
            drawn: None,
            seed: 1,
        });
        let found = found.unwrap();
        let sharp = detailed(&soft, &mask, &found);
        let is_blue =
            |i: &usize| mask.keep()[*i] == 0 && sharp.plane(2)[*i] > sharp.plane(1)[*i] + 0.1;
        (0..SIDE * SIDE).filter(is_blue).count()
    };
    let flowers = hole(|x, _| is_flower(x));
    let (without, with) = (blue(None), blue(Some(&flowers)));
    assert!(without > 300, "{without}");
    // Flowers reach over the border by as much as the membrane that joins the fill to them.
    assert!(with < 30, "{with}; {without} where all may be copied");
    // Where nothing may be copied, there is no detail.
    let everything = hole(|_, _| true);
    let request = Request {
        photo: &photo(&soft),
        hole: &mask,
        void: None,
        avoid: Some(&everything),
        crops: &crops(&mask, 8),
        drawn: None,
        seed: 1,
    };
    assert!(refine(&request).unwrap().is_empty());
}

#[test]
fn without_a_known_patch_there_is_no_detail() {
    let mask = hole(|x, y| x % 7 != 0 || y % 7 != 0);
    assert!(layers(&tiles(), &mask, 1, 0).is_empty());
}

#[test]
fn detail_is_named_in_words_and_numbers() {
    for (text, detail) in [
        ("auto", Detail::Auto),
        ("off", Detail::Off),
        ("0", Detail::Off),
        ("0.5", Detail::Strength(0.5)),
        ("1", Detail::Strength(1.0)),
    ] {
        assert_eq!(text.parse(), Ok(detail));
    }
    for text in ["on", "1.5", "-0.1", "nan", ""] {
        let error = text.parse::<Detail>().unwrap_err().to_string();
        assert!(error.contains("auto, off or a number from 0"), "{error}");
    }
}
