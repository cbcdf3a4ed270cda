//! Numbers of the public reference implementation, where its recorded fixtures are at hand.
//!
//! The folder is `$STRDIFFUSION_FIXTURES`, or `shared/fixtures/open` beside the checkout. Without
//! it these tests say so and pass; the promises they keep have recorded numbers in `structure.rs`.

use std::path::PathBuf;

use safetensors::SafeTensors;
use strdiffusion::picture::{FloatImage, Mask, Photo};
use strdiffusion::reference::{dithered_mask, resize_bilinear, truncate_to_rgb8};
use strdiffusion::structure::{Canny, GrayPlane, rgb8_to_gray};

fn prep() -> Option<(PathBuf, Vec<u8>)> {
    let folder = std::env::var_os("STRDIFFUSION_FIXTURES")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/open")
        })
        .join("prep");
    match std::fs::read(folder.join("prep.safetensors")) {
        Ok(bytes) => Some((folder, bytes)),
        Err(_) => {
            eprintln!("no fixtures in {}: skipped", folder.display());
            None
        }
    }
}

fn f32s(tensors: &SafeTensors, name: &str) -> Vec<f32> {
    let data = tensors.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn f64s(tensors: &SafeTensors, name: &str) -> Vec<f64> {
    let data = tensors.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn u8s(tensors: &SafeTensors, name: &str) -> Vec<u8> {
    tensors.tensor(name).unwrap().data().to_vec()
}

fn differing<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

const PICTURES: [&str; 3] = ["astronaut_crop", "coffee_crop", "synth"];

#[test]
fn grayscale_is_that_of_scikit_image() {
    let Some((_, bytes)) = prep() else { return };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for name in PICTURES {
        let rgb = u8s(&tensors, &format!("{name}.rgb_u8_trunc"));
        let gray = rgb8_to_gray(&rgb, 256, 256).unwrap();
        let expected = f32s(&tensors, &format!("{name}.gray"));
        let worst = gray
            .data()
            .iter()
            .zip(&expected)
            .map(|(&a, &b)| (a - f64::from(b)).abs())
            .fold(0.0, f64::max);
        eprintln!("{name}: gray max difference {worst:.2e}");
        assert!(worst <= 1e-7, "{name}: {worst}");
    }
    let rgb = u8s(&tensors, "canny64.rgb");
    let gray = rgb8_to_gray(&rgb, 64, 64).unwrap();
    let expected = f64s(&tensors, "canny64.gray_f64");
    assert_eq!(differing(gray.data(), &expected), 0);
}

#[test]
fn canny_edges_are_those_of_scikit_image_at_every_pixel() {
    let Some((_, bytes)) = prep() else { return };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for name in PICTURES {
        let rgb = u8s(&tensors, &format!("{name}.rgb_u8_trunc"));
        let gray = rgb8_to_gray(&rgb, 256, 256).unwrap();
        for sigma in [2, 3] {
            let edges = Canny::with_sigma(f64::from(sigma))
                .edges(&gray, None)
                .unwrap();
            let expected = u8s(&tensors, &format!("{name}.edge_sigma{sigma}"));
            assert_eq!(differing(&edges, &expected), 0, "{name} sigma {sigma}");
        }
    }
    let gray = GrayPlane::from_vec(64, 64, f64s(&tensors, "canny64.gray_f64")).unwrap();
    for sigma in [1, 2, 3] {
        let edges = Canny::with_sigma(f64::from(sigma))
            .edges(&gray, None)
            .unwrap();
        let expected = u8s(&tensors, &format!("canny64.edge_sigma{sigma}"));
        assert_eq!(differing(&edges, &expected), 0, "canny64 sigma {sigma}");
    }
}

#[test]
fn reference_resize_and_truncation_give_the_recorded_bytes() {
    let Some((folder, bytes)) = prep() else {
        return;
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for name in PICTURES {
        let photo = Photo::open(folder.join(format!("{name}.png"))).unwrap();
        let resized = resize_bilinear(&photo.to_rgb_f32(), 256, 256).unwrap();
        let rgb = truncate_to_rgb8(&resized).unwrap();
        let expected = u8s(&tensors, &format!("{name}.rgb_u8_trunc"));
        let count = differing(&rgb, &expected);
        let corner = format!("{name}.resized_f32_chw");
        if tensors.names().iter().any(|n| **n == corner) {
            let corner = f32s(&tensors, &corner);
            let ours: FloatImage = resized.crop(0, 0, 32, 32);
            assert_eq!(differing(ours.data(), &corner), 0, "{name}: f32 corner");
        }
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn reference_masks_are_dithered_as_recorded() {
    let Some((folder, bytes)) = prep() else {
        return;
    };
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    for name in [
        "mask_bin_256",
        "mask_bin_512",
        "mask_rgb",
        "mask_soft_300x200",
    ] {
        let photo = Photo::open(folder.join(format!("{name}.png"))).unwrap();
        let mask = dithered_mask(&photo, 256, 256).unwrap();
        let expected = u8s(&tensors, &format!("{name}.keep"));
        assert_eq!(differing(mask.keep(), &expected), 0, "{name}");
        let ours = Mask::from_photo(&photo, Default::default()).unwrap();
        assert!(!ours.is_empty() && !ours.is_full());
    }
}
