//! Large photographs: few small crops, nothing forgotten, no seam, known pixels untouched.

use std::convert::Infallible;

use image::DynamicImage;
use strdiffusion::blend::Blend;
use strdiffusion::picture::{FloatImage, Mask, Photo};
use strdiffusion::region::{Crop, FillError, Hole, RegionOptions, fill_regions, find_holes, plan};

const MODEL_256: RegionOptions = RegionOptions {
    model_side: 256,
    context: 2.0,
};

/// A mask with rectangular holes (x, y, width, height).
fn mask_with(w: usize, h: usize, holes: &[(usize, usize, usize, usize)]) -> Mask {
    let mut keep = vec![1; w * h];
    for &(x, y, hw, hh) in holes {
        for row in y..y + hh {
            keep[row * w + x..row * w + x + hw].fill(0);
        }
    }
    Mask::from_keep(w, h, keep).unwrap()
}

/// Every hole pixel lies in exactly one crop's holes, and inside that crop.
fn check_cover(mask: &Mask, crops: &[Crop]) {
    let mut count = vec![0u8; mask.width() * mask.height()];
    for crop in crops {
        assert!(crop.x + crop.width <= mask.width() && crop.y + crop.height <= mask.height());
        assert_eq!(
            crop.fill_mask().hole_pixels(),
            crop.holes.iter().map(Hole::pixels).sum::<usize>()
        );
        for run in crop.holes.iter().flat_map(Hole::runs) {
            assert!(run.y >= crop.y && run.y < crop.y + crop.height);
            assert!(run.start >= crop.x && run.end <= crop.x + crop.width);
            count[run.y * mask.width()..][run.start..run.end]
                .iter_mut()
                .for_each(|c| *c += 1);
        }
    }
    for (c, k) in count.iter().zip(mask.keep()) {
        assert_eq!(c + k, 1);
    }
}

#[test]
fn three_small_holes_in_24_megapixels_are_three_small_crops() {
    let holes = [
        (100, 80, 60, 40),
        (3000, 2000, 100, 90),
        (5900, 3950, 90, 45),
    ];
    let mask = mask_with(6000, 4000, &holes);
    let crops = plan(&mask, &MODEL_256).unwrap();
    assert_eq!(crops.len(), 3);
    check_cover(&mask, &crops);
    let area: usize = crops.iter().map(|c| c.width * c.height).sum();
    // Less than one per cent of the photograph, at its own resolution.
    assert_eq!(area, 3 * 256 * 256);
    assert!(crops.iter().all(|c| c.is_native() && c.scale() == 1.0));
    assert!(!crops[0].overlaps(&crops[1]) && !crops[1].overlaps(&crops[2]));
}

#[test]
fn near_holes_share_a_crop_and_far_ones_do_not() {
    let near = mask_with(2000, 1000, &[(500, 500, 20, 20), (560, 520, 20, 20)]);
    let crops = plan(&near, &MODEL_256).unwrap();
    assert_eq!((crops.len(), crops[0].holes.len()), (1, 2));
    let far = mask_with(2000, 1000, &[(500, 500, 20, 20), (800, 500, 20, 20)]);
    assert_eq!(plan(&far, &MODEL_256).unwrap().len(), 2);
}

#[test]
fn a_hole_larger_than_the_model_is_seen_whole_with_context() {
    let mask = mask_with(3000, 2500, &[(1000, 900, 600, 500)]);
    let crops = plan(&mask, &MODEL_256).unwrap();
    assert_eq!(crops.len(), 1);
    let crop = &crops[0];
    assert_eq!((crop.width, crop.height), (1200, 1200));
    assert_eq!((crop.model_width, crop.model_height), (256, 256));
    // Centred: 300 columns of context on both sides.
    assert_eq!((crop.x, crop.y), (700, 550));
    check_cover(&mask, &crops);
}

#[test]
fn a_long_scratch_is_cut_up_instead_of_scaled_down() {
    // Diagonal, three pixels wide, across the whole photograph.
    let mut keep = vec![1; 3000 * 2000];
    for x in 0..3000usize {
        let y = x * 1990 / 3000 + 3;
        (y..y + 3).for_each(|y| keep[y * 3000 + x] = 0);
    }
    let mask = Mask::from_keep(3000, 2000, keep).unwrap();
    assert_eq!(find_holes(&mask).len(), 1);
    let crops = plan(&mask, &MODEL_256).unwrap();
    check_cover(&mask, &crops);
    assert!(crops.len() > 10 && crops.len() < 80, "{}", crops.len());
    assert!(crops.iter().all(Crop::is_native));
}

/// A hundred and twenty pixels wide, and so long that all of it would be seen at a twelfth of its size.
#[test]
fn a_long_stroke_of_a_brush_is_cut_into_parts_that_are_seen_finer() {
    let stroke = |x: usize| 400 + x * 700 / 3000;
    let mut keep = vec![1; 3600 * 2000];
    for x in 300..3300 {
        (stroke(x)..stroke(x) + 120).for_each(|y| keep[y * 3600 + x] = 0);
    }
    let mask = Mask::from_keep(3600, 2000, keep).unwrap();
    let crops = plan(&mask, &MODEL_256).unwrap();
    check_cover(&mask, &crops);
    assert!((4..20).contains(&crops.len()), "{}", crops.len());
    for crop in &crops {
        // Eight times as long as the stroke is thick: mostly known.
        assert!((700..1100).contains(&crop.width), "{}", crop.width);
        assert!(crop.fill_mask().hole_fraction() < 0.25);
    }

    // A hole three times as long as thick is seen as a whole.
    let mask = mask_with(3600, 2000, &[(800, 700, 1200, 400)]);
    assert_eq!(plan(&mask, &MODEL_256).unwrap().len(), 1);
}

#[test]
fn holes_touching_at_a_corner_are_one_and_masks_of_specks_are_covered() {
    let diagonal = mask_with(10, 10, &[(2, 2, 2, 2), (4, 4, 2, 2), (8, 8, 1, 1)]);
    let sizes: Vec<usize> = find_holes(&diagonal).iter().map(Hole::pixels).collect();
    assert_eq!(sizes, [8, 1]);
    // A ring: rows open on the left and the right join at the bottom.
    let mut ring = mask_with(12, 12, &[(2, 2, 8, 8)]).keep().to_vec();
    for y in 4..8 {
        ring[y * 12 + 4..y * 12 + 8].fill(1);
    }
    let ring = Mask::from_keep(12, 12, ring).unwrap();
    assert_eq!(find_holes(&ring).len(), 1);
    // Every 7th pixel of 600×500.
    let specks = (0..600 * 500).map(|i| u8::from(i % 7 != 0)).collect();
    let specks = Mask::from_keep(600, 500, specks).unwrap();
    check_cover(&specks, &plan(&specks, &MODEL_256).unwrap());
}

#[test]
fn crops_stay_inside_small_and_narrow_photographs() {
    for (w, h, hole) in [
        (100, 80, (10, 10, 30, 30)),
        (2000, 20, (900, 5, 300, 10)),
        (16, 16, (0, 0, 16, 15)),
        (5000, 40, (0, 0, 4000, 39)),
    ] {
        let mask = mask_with(w, h, &[hole]);
        let crops = plan(&mask, &MODEL_256).unwrap();
        check_cover(&mask, &crops);
        for crop in &crops {
            assert!(crop.model_width <= 256 && crop.model_height <= 256);
            assert!(crop.model_height >= h.min(32).min(crop.height));
        }
    }
    let none = Mask::all_known(50, 50);
    assert!(plan(&none, &MODEL_256).unwrap().is_empty());
    let options = RegionOptions {
        model_side: 8,
        context: f64::NAN,
    };
    assert!(plan(&none, &options).is_err());
}

/// A smooth photograph, so that any seam would show.
fn gradient(w: u32, h: u32) -> Photo {
    let image = image::ImageBuffer::from_fn(w, h, |x, y| {
        let unit = |v: u32, n: u32| 10_000 + (v * 40_000 / n) as u16;
        image::Rgb([unit(x, w), unit(y, h), unit(x + y, w + h)])
    });
    Photo::from_image(DynamicImage::ImageRgb16(image)).unwrap()
}

/// The true picture of a crop at model size, with all values shifted: a model that gets texture
/// right and brightness wrong.
fn shifted_truth(truth: &Photo, crop: &Crop, shift: f32) -> FloatImage {
    let all = Mask::all_known(crop.width, crop.height);
    let mut output = truth
        .to_rgb_f32()
        .crop(crop.x, crop.y, crop.width, crop.height)
        .resize_known(&all, crop.model_width, crop.model_height)
        .unwrap();
    output.data_mut().iter_mut().for_each(|v| *v += shift);
    output
}

#[test]
fn a_fill_of_the_wrong_brightness_is_set_in_without_a_seam() {
    let truth = gradient(700, 600);
    let mask = mask_with(700, 600, &[(20, 30, 50, 40), (300, 200, 300, 310)]);
    let model = |crop: &Crop, _: &FloatImage, _: &Mask| -> Result<_, Infallible> {
        Ok(shifted_truth(&truth, crop, 0.15))
    };
    let filled = fill_regions(&truth, &mask, &MODEL_256, Blend::Membrane, model).unwrap();
    let (a, b) = (filled.to_rgb_f32(), truth.to_rgb_f32());
    let worst = |a: &FloatImage, b: &FloatImage| {
        let pairs = a.data().iter().zip(b.data());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(worst(&a, &b) < 0.01, "{}", worst(&a, &b));
    // Without blending the step of 0.15 stays.
    let raw = fill_regions(&truth, &mask, &MODEL_256, Blend::Off, model).unwrap();
    assert!(worst(&raw.to_rgb_f32(), &b) > 0.14);
    // Feathered: no step at the border, the model's own value in the middle.
    let feather = Blend::Feather { radius: 20 };
    let soft = fill_regions(&truth, &mask, &MODEL_256, feather, model)
        .unwrap()
        .to_rgb_f32();
    let at = |x: usize, y: usize| soft.plane(0)[y * 700 + x] - b.plane(0)[y * 700 + x];
    assert!(at(300, 350).abs() < 0.02 && (at(450, 350) - 0.15).abs() < 0.01);
}

#[test]
fn known_pixels_stay_bit_for_bit_and_the_holes_own_pixels_are_never_read() {
    let truth = gradient(700, 600);
    let mask = mask_with(
        700,
        600,
        &[(20, 30, 50, 40), (300, 200, 300, 310), (650, 0, 50, 9)],
    );
    let mut spoiled = truth.image().to_rgb16();
    for (i, pixel) in spoiled.pixels_mut().enumerate() {
        if mask.keep()[i] == 0 {
            *pixel = image::Rgb([(i * 7919) as u16, 65535, (i * 31) as u16]);
        }
    }
    let spoiled = Photo::from_image(DynamicImage::ImageRgb16(spoiled)).unwrap();
    let fill = |photo: &Photo| {
        fill_regions(
            photo,
            &mask,
            &MODEL_256,
            Blend::Membrane,
            |crop, picture, small| {
                assert_eq!(
                    (picture.width(), small.width()),
                    (crop.model_width, crop.model_width)
                );
                assert!(
                    (0..small.keep().len())
                        .all(|i| small.keep()[i] == 1 || picture.data()[i] == 0.0)
                );
                // Answers with what it sees, so that any leak would come through.
                let mut output = picture.clone();
                output.data_mut().iter_mut().for_each(|v| *v = 1.0 - *v);
                Ok::<_, Infallible>(output)
            },
        )
        .unwrap()
    };
    let (a, b) = (fill(&truth), fill(&spoiled));
    assert_eq!(a.image(), b.image());
    let (before, after) = (truth.image().to_rgb16(), a.image().to_rgb16());
    let mut changed = 0;
    for (i, (p, q)) in before.pixels().zip(after.pixels()).enumerate() {
        if mask.keep()[i] == 1 {
            assert_eq!(p, q);
        } else {
            changed += usize::from(p != q);
        }
    }
    assert!(changed > mask.hole_pixels() / 2);
}

#[test]
fn later_crops_see_earlier_fills_as_known() {
    // One scratch in several parts: at the last call only its own part is still unknown.
    let truth = gradient(1200, 300);
    let mask = mask_with(1200, 300, &[(10, 150, 1100, 4)]);
    let crops = plan(&mask, &MODEL_256).unwrap();
    assert!(crops.len() > 4);
    let mut unknown = Vec::new();
    fill_regions(
        &truth,
        &mask,
        &MODEL_256,
        Blend::Membrane,
        |crop, _, small| {
            unknown.push((small.hole_pixels(), crop.fill_mask().hole_pixels()));
            Ok::<_, Infallible>(shifted_truth(&truth, crop, 0.1))
        },
    )
    .unwrap();
    assert!(unknown[0].0 > unknown[0].1);
    let last = unknown.last().unwrap();
    assert_eq!(last.0, last.1);
}

#[test]
fn a_failing_model_and_a_broken_output_are_errors() {
    let photo = gradient(64, 64);
    let mask = mask_with(64, 64, &[(20, 20, 9, 9)]);
    let run = |output: Result<FloatImage, &'static str>| {
        fill_regions(&photo, &mask, &MODEL_256, Blend::Membrane, |_, _, _| {
            output.clone()
        })
    };
    assert!(matches!(
        run(Err("no memory")),
        Err(FillError::Model("no memory"))
    ));
    assert!(matches!(
        run(Ok(FloatImage::filled(3, 9, 9, 0.0))),
        Err(FillError::Picture(_))
    ));
    assert!(run(Ok(FloatImage::filled(3, 64, 64, f32::NAN))).is_err());
    assert!(run(Ok(FloatImage::filled(1, 64, 64, 0.5))).is_ok());
    assert!(run(Ok(FloatImage::filled(2, 64, 64, 0.5))).is_err());
}
