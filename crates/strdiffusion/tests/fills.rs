//! The default model's fills of three small pictures are those that are recorded beside this file, so
//! that numbers never change unseen; and the example comes out whole.
//!
//! `cargo test --test fills -- --ignored` records them anew, where a change is meant.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use strdiffusion::detail::Detail;
use strdiffusion::picture::{FloatImage, HolePolarity, Limits, Mask, Photo};
use strdiffusion::{Device, FillOptions, Inpainter};
use strdiffusion_kernels::{Isa, force_isa};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn recorded(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fills");
    folder.join(name).with_extension("png")
}

/// A picture by formula, and a hole with a straight and a round side.
fn drawn(width: usize, height: usize, value: impl Fn(f32, f32, usize) -> f32) -> (Photo, Mask) {
    let area = width * height;
    let at = |i: usize| ((i % width) as f32, (i % area / width) as f32);
    let values = (0..3 * area).map(|i| value(at(i).0, at(i).1, i / area));
    let image = FloatImage::from_vec(3, width, height, values.collect()).unwrap();
    let (middle, reach) = (
        (width as f32 / 2.0, height as f32 / 2.0),
        height as f32 / 4.0,
    );
    let keep = (0..area).map(|i| {
        let (dx, dy) = (at(i).0 - middle.0, at(i).1 - middle.1);
        u8::from(dx < -reach || dx.hypot(dy) > 1.3 * reach)
    });
    let mask = Mask::from_keep(width, height, keep.collect()).unwrap();
    (Photo::from_float_image(&image).unwrap(), mask)
}

fn cases() -> Vec<(&'static str, Photo, Mask)> {
    let example = |name: &str| root().join("examples").join(name);
    let scene = Photo::open(example("scene.png")).unwrap();
    let mask = Mask::open(example("scene-mask.png"), HolePolarity::White).unwrap();
    // Rows of windows that lean, and a smooth sky.
    let (facade, facade_mask) = drawn(112, 96, |x, y, c| {
        let window = ((x + 0.2 * y) * 0.45).sin().max(0.0) * (y * 0.4).sin().max(0.0);
        0.75 - 0.5 * window - 0.04 * c as f32
    });
    let (sky, sky_mask) = drawn(60, 44, |x, y, c| {
        0.3 + 0.006 * y + 0.1 * c as f32 + 0.02 * (x * 0.2).sin()
    });
    vec![
        ("scene", scene, mask),
        ("facade", facade, facade_mask),
        ("sky", sky, sky_mask),
    ]
}

fn inpainter() -> Inpainter {
    Inpainter::load(root().join("models/default"), &Device::flex()).unwrap()
}

fn filled(inpainter: &Inpainter, photo: &Photo, mask: &Mask, options: &FillOptions) -> Photo {
    let filled = inpainter.fill(photo, mask, options, &mut |_| ControlFlow::Continue(()));
    filled.unwrap().photo
}

/// What is recorded: the networks' own fills.
fn networks_alone() -> FillOptions {
    FillOptions {
        seed: 1,
        detail: Detail::Off,
        ..FillOptions::default()
    }
}

/// Instruction sets add in different orders, so that a value may round the other way.
#[test]
fn every_instruction_set_fills_as_recorded_within_one_step_of_8_bits() {
    for &isa in Isa::available() {
        assert!(force_isa(Some(isa)));
        // Weights are packed for an instruction set.
        let inpainter = inpainter();
        for (name, photo, mask) in cases() {
            let wanted = Photo::open_within(recorded(name), &Limits::default()).unwrap();
            let ours = filled(&inpainter, &photo, &mask, &networks_alone());
            let pairs = ours
                .image()
                .as_bytes()
                .iter()
                .zip(wanted.image().as_bytes());
            let apart = pairs.map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart.unwrap() <= 1, "{name}, {isa:?}: {apart:?} apart");
        }
    }
    force_isa(None);
}

/// What whoever tries the program sees first. Expected: the cornice's colour, by the formula that draws
/// the example, in the rows that it fills.
#[test]
fn the_examples_roof_goes_on_across_the_hole() {
    let (_, scene, mask) = cases().swap_remove(0);
    let filled = filled(&inpainter(), &scene, &mask, &FillOptions::default()).to_rgb_f32();
    let cornice = [0.62, 0.36, 0.30].map(|wall| 0.55 * wall);
    let holes = (30..34).flat_map(|y| (0..mask.width()).map(move |x| (x, y)));
    let mut count = 0;
    for (x, y) in holes.filter(|&(x, y)| mask.is_hole(x, y)) {
        for (c, wanted) in cornice.into_iter().enumerate() {
            let found = filled.plane(c)[y * mask.width() + x];
            let apart = 255.0 * (found - wanted).abs();
            assert!(apart < 20.0, "{apart} of 255 off at {x}, {y}");
        }
        count += 1;
    }
    assert!(count > 80, "the hole has {count} pixels of the cornice");
}

#[test]
#[ignore = "records the fills anew"]
fn record() {
    let inpainter = inpainter();
    for (name, photo, mask) in cases() {
        let filled = filled(&inpainter, &photo, &mask, &networks_alone());
        filled.save(recorded(name)).unwrap();
    }
}
