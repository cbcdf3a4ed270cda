//! The ends of every range: finite output of the right size, or an error.

use std::ops::ControlFlow;

use image::DynamicImage;
use strdiffusion::model::Model;
use strdiffusion::picture::{Mask, Photo};
use strdiffusion::sampling::{FastSampler, PaperSampler, Sampler};
use strdiffusion::weights::{self, Storage};
use strdiffusion::{Detail, Device, Error, FillOptions, Filled, Inpainter, Result};
use strdiffusion_testing::tiny_model;
use tempfile::TempDir;

fn fill(inpainter: &Inpainter, mask: &Mask, detail: Detail) -> Result<Filled> {
    let (width, height) = (mask.width() as u32, mask.height() as u32);
    let mut image = DynamicImage::new_rgb8(width, height).to_rgb8();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        // Nothing even, which would need no network.
        pixel.0 = [x * x * 31 + y * 57, x * y * 91, x * 131 + y * y * 17].map(|v| v as u8);
    }
    let photo = Photo::from_image(DynamicImage::ImageRgb8(image))?;
    let options = FillOptions {
        detail,
        ..FillOptions::default()
    };
    let go_on = &mut |_: &strdiffusion::Progress| ControlFlow::Continue(());
    let filled = inpainter.fill(&photo, mask, &options, go_on)?;
    let pixels = photo.image().as_bytes().chunks(3);
    let known = pixels.zip(filled.photo.image().as_bytes().chunks(3));
    for (at, (before, after)) in known.enumerate() {
        assert!(mask.keep()[at] == 0 || before == after, "pixel {at}");
    }
    Ok(filled)
}

fn mask(width: usize, height: usize, is_hole: impl Fn(usize) -> bool) -> Mask {
    let keep = (0..width * height).map(|i| u8::from(!is_hole(i))).collect();
    Mask::from_keep(width, height, keep).unwrap()
}

#[test]
fn every_number_of_steps_fills() {
    for steps in [2, 3, 10, 1000] {
        let one = FastSampler {
            steps: 1,
            ..FastSampler::default()
        };
        let all = FastSampler { steps, ..one };
        for sampler in [
            one.into(),
            all.into(),
            Sampler::Paper(PaperSampler::default()),
        ] {
            let model = tiny_model(|config| {
                config.sde.steps = steps;
                config.sampling = sampler;
                if let Sampler::Paper(paper) = &mut config.sampling {
                    paper.resampling = None;
                }
            });
            let mask = mask(8, 8, |i| i == 27);
            let filled = fill(&Inpainter::from_model(model), &mask, Detail::Off);
            assert_eq!(filled.unwrap().photo.width(), 8, "{steps} steps");
        }
    }
}

#[test]
fn one_step_is_no_process() {
    let refused = std::panic::catch_unwind(|| tiny_model(|config| config.sde.steps = 1));
    assert!(refused.is_err());
}

#[test]
fn the_smallest_holes_and_known_regions_fill() {
    let inpainter = Inpainter::from_model(tiny_model(|_| {}));
    let last = |size: usize| move |i: usize| i == size - 1;
    let all_but = |known: usize| move |i: usize| i != known;
    for detail in [Detail::Off, Detail::Auto] {
        for mask in [
            mask(1, 2, last(2)),
            mask(30, 20, last(600)),
            mask(30, 20, |i| i == 0),
            mask(30, 20, all_but(0)),
            mask(30, 20, all_but(310)),
            mask(90, 70, all_but(90 * 70 - 1)),
            // Larger than the model sees, in one direction.
            mask(20_000, 1, last(20_000)),
            mask(1, 20_000, |i| i == 9_000),
            mask(20_000, 3, |i| i % 20_000 > 19_000),
            mask(3, 5_000, all_but(7)),
        ] {
            let size = (mask.width(), mask.height());
            let filled = fill(&inpainter, &mask, detail).unwrap();
            assert_eq!((filled.photo.width(), filled.photo.height()), size);
        }
    }
    let nothing = fill(&inpainter, &mask(1, 1, |_| true), Detail::Auto);
    assert!(matches!(nothing, Err(Error::FullMask)));
}

#[test]
fn weights_that_overflow_are_an_error_and_never_a_picture() {
    let folder = TempDir::new().unwrap();
    let model = tiny_model(|_| {});
    model
        .save(&folder.path().join("model"), Storage::F32)
        .unwrap();
    let mut tensors = weights::collect(model.texture());
    for tensor in tensors.values_mut() {
        tensor
            .values
            .iter_mut()
            .for_each(|v| *v = 1e30 * v.signum());
    }
    let file = folder.path().join("model/texture.safetensors");
    weights::write_safetensors(&file, &tensors, Storage::F32).unwrap();
    let model = Model::load(&folder.path().join("model"), &Device::flex()).unwrap();
    let mask = mask(24, 20, |i| (200..230).contains(&i));
    let Err(error) = fill(&Inpainter::from_model(model), &mask, Detail::Off) else {
        panic!("numbers that are none became a picture");
    };
    assert!(error.to_string().contains("finite"), "{error}");
}
