//! Preprocessing: grayscale, Canny, and the reference's own way to 256×256.

use std::path::Path;

use strdiffusion::picture::published::{dithered_mask, resize_bilinear, truncate_to_rgb8};
use strdiffusion::picture::{Limits, Photo};
use strdiffusion::structure::{Canny, GrayPlane, rgb8_to_gray};
use strdiffusion_testing::{Recorded, Recording, files, title};

use crate::report::Report;

pub fn check(folder: &Path, report: &mut Report) {
    for path in files(folder, ".safetensors") {
        let name = title(&path);
        match Recording::open(&path) {
            Err(error) => report.broken(&name, &error),
            Ok(recording) => {
                for array in recording.names() {
                    if let Err(error) = array_case(folder, &name, &recording, array, report) {
                        report.broken(&format!("{name} {array}"), &error);
                    }
                }
            }
        }
    }
}

/// Checks one recorded array, if it is one that can be computed.
fn array_case(
    folder: &Path,
    file: &str,
    recording: &Recording,
    array: &str,
    report: &mut Report,
) -> Result<(), String> {
    let (image, kind) = array.rsplit_once('.').ok_or("the name is not understood")?;
    let case = format!("{file} {array}");
    let expected = recording.get(array)?;
    let photo = || {
        let path = folder.join(format!("{image}.png"));
        Photo::open_within(&path, &Limits::default()).map_err(|error| error.to_string())
    };
    match kind {
        "gray" => {
            let gray = recorded_gray(recording, image)?.to_float_image();
            report.compare(&case, gray.data(), &expected.values, 1e-7);
        }
        "gray_f64" => {
            let gray = recorded_gray(recording, image)?;
            let difference = gray
                .data()
                .iter()
                .zip(&expected.values)
                .fold(0f64, |max, (a, b)| max.max((a - b).abs()));
            report.case(&case, difference, 1e-12);
        }
        "rgb_u8_trunc" => {
            let [height, width] = plane_of(expected)?;
            let resized = resize_bilinear(&photo()?.to_rgb_f32(), width, height)
                .map_err(|e| e.to_string())?;
            let bytes = truncate_to_rgb8(&resized).map_err(|e| e.to_string())?;
            let ours: Vec<f32> = bytes.iter().map(|&b| f32::from(b)).collect();
            report.compare(&case, &ours, &expected.values, 0.0);
        }
        "resized_f32_chw" => {
            let [height, width] = match recording.get(&format!("{image}.rgb_u8_trunc")) {
                Ok(whole) => plane_of(whole)?,
                Err(_) => [256, 256],
            };
            let resized = resize_bilinear(&photo()?.to_rgb_f32(), width, height)
                .map_err(|e| e.to_string())?;
            let corner = resized.crop(0, 0, expected.shape[2], expected.shape[1]);
            report.compare(&case, corner.data(), &expected.values, 1e-6);
        }
        "keep" => {
            let [.., height, width] = expected.shape[..] else {
                return Err("the shape is not understood".into());
            };
            let mask = dithered_mask(&photo()?, width, height).map_err(|e| e.to_string())?;
            let ours: Vec<f32> = mask.keep().iter().map(|&keep| f32::from(keep)).collect();
            report.compare(&case, &ours, &expected.values, 0.0);
        }
        _ => {
            if let Some(sigma) = kind.strip_prefix("edge_sigma") {
                let sigma = sigma.parse().map_err(|_| "the name is not understood")?;
                let gray = recorded_gray(recording, image)?;
                let edges = Canny::with_sigma(sigma)
                    .edges(&gray, None)
                    .map_err(|error| error.to_string())?;
                let wrong = edges
                    .iter()
                    .zip(&expected.values)
                    .filter(|(a, b)| f64::from(**a) != **b)
                    .count();
                report.case(&format!("{case} (pixels that differ)"), wrong as f64, 0.0);
            }
        }
    }
    Ok(())
}

/// Height and width of an interleaved picture.
fn plane_of(picture: &Recorded) -> Result<[usize; 2], String> {
    match picture.shape[..] {
        [height, width, 3] => Ok([height, width]),
        _ => Err(format!("shape {:?} is not understood", picture.shape)),
    }
}

/// Gray values of the recorded 8-bit picture.
fn recorded_gray(recording: &Recording, image: &str) -> Result<GrayPlane, String> {
    let rgb = recording
        .get(&format!("{image}.rgb_u8_trunc"))
        .or_else(|_| recording.get(&format!("{image}.rgb")))?;
    let [height, width] = plane_of(rgb)?;
    let bytes: Vec<u8> = rgb.values.iter().map(|&v| v as u8).collect();
    rgb8_to_gray(&bytes, width, height).map_err(|error| error.to_string())
}
