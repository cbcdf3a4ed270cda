//! Draws what the fuzz targets start from: `cargo run --release -p strdiffusion-fuzz --example seeds`.

use std::path::Path;

use strdiffusion::model::CONFIG;
use strdiffusion::picture::{Limits, Mask, OutputFormat, Photo};
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::weights::{HostTensor, Storage, TensorMap};
use strdiffusion_fuzz::joined;
use strdiffusion_testing::checkpoint::{self, CompressionMethod, Layout};
use strdiffusion_testing::tiny_model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let photo = photo()?;
    let mask = mask()?;
    let hole = mask.encode(OutputFormat::Png)?;
    for format in OutputFormat::ALL {
        let name = format.name();
        let file = photo.encode(format)?;
        put("picture", name, &joined(&file, &hole))?;
        put(
            "picture",
            &format!("mask-{name}"),
            &joined(&photo.encode(OutputFormat::Png)?, &mask.encode(format)?),
        )?;
        put("metadata", name, &joined(&file, "Title\0Häuser".as_bytes()))?;
        put("form", name, &form(&[("image", &file), ("mask", &hole)]))?;
    }
    let settings = br#"{"seed": 7, "candidates": 2, "steps": 9, "sampler": "fast", "resampling": 1,
        "previews": false, "detail": 0.5, "model": "default"}"#;
    put("settings", "all", settings)?;
    put(
        "settings",
        "paper",
        br#"{"sampler": "paper", "detail": "auto"}"#,
    )?;
    let png = photo.encode(OutputFormat::Png)?;
    let parts: [(&str, &[u8]); 4] = [
        ("image", &png),
        ("mask", &hole),
        ("structure", &hole),
        ("settings", settings),
    ];
    put("form", "all", &form(&parts))?;

    for preset in [Preset::Tiny, Preset::Small, Preset::Paper] {
        let toml = TrainConfig::preset(preset).to_toml();
        put(
            "config",
            &format!("{preset:?}").to_lowercase(),
            toml.as_bytes(),
        )?;
    }
    put("config", "empty", b"")?;

    let tensors = tensors();
    for (name, layout) in [("zip", Layout::Zip), ("stream", Layout::Legacy)] {
        put(
            "checkpoint",
            name,
            &checkpoint::bytes(&tensors, "module.", layout),
        )?;
    }
    let pickle = checkpoint::pickle_of(&tensors, "", Layout::Zip);
    put("checkpoint", "pickle", &pickle)?;
    let numbers = [vec![0; 4 * 196], vec![0; 8]];
    let packed = checkpoint::archive(&pickle, &numbers, CompressionMethod::Deflated);
    put("checkpoint", "packed", &packed)?;

    let folder = std::env::temp_dir().join("strdiffusion-seeds");
    tiny_model(|_| {}).save(&folder, Storage::F16)?;
    let config = std::fs::read(folder.join(CONFIG))?;
    for (name, weights) in [("small", weights(&tensors)?), ("none", vec![])] {
        put("model", name, &joined(&config, &weights))?;
    }
    std::fs::remove_dir_all(&folder)?;

    for (name, bits) in [("stripes", 0x0fu8), ("all", 0xff), ("specks", 0x01)] {
        put(
            "region",
            name,
            &[&[40, 30, 8, 64][..], &[bits; 160]].concat(),
        )?;
    }
    Ok(())
}

/// 12×9 pixels of gray and alpha, some of them transparent.
fn photo() -> Result<Photo, Box<dyn std::error::Error>> {
    let pixels = image::ImageBuffer::from_fn(12, 9, |x, y| {
        image::Rgb([(20 * x) as u8, (25 * y) as u8, (x * y) as u8])
    });
    let drawn = Photo::from_image(image::DynamicImage::ImageRgb8(pixels))?;
    // Through a file, so that it holds what files hold.
    let png = drawn.encode_png_with_text(&[("Title", "A seed".into())])?;
    Ok(Photo::from_bytes(&png, "seed.png", &Limits::default())?)
}

fn mask() -> Result<Photo, Box<dyn std::error::Error>> {
    let keep = (0..12 * 9)
        .map(|i| u8::from(!(40..44).contains(&i)))
        .collect();
    let mut white = Mask::from_keep(12, 9, keep)?.to_float_image();
    for value in white.data_mut() {
        *value = 1.0 - *value;
    }
    Ok(Photo::from_float_image(&white)?)
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = vec![];
    for (name, bytes) in parts {
        body.extend(
            format!(
                "--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n"
            )
            .bytes(),
        );
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    body
}

/// Two tensors of a network of width 4.
fn tensors() -> TensorMap {
    let tensor = |shape: &[usize]| HostTensor {
        shape: shape.to_vec(),
        values: (0..shape.iter().product())
            .map(|i| i as f32 / 8.0)
            .collect(),
    };
    TensorMap::from([
        ("final_conv.weight".into(), tensor(&[1, 2, 1, 1])),
        ("init_conv.weight".into(), tensor(&[2, 2, 7, 7])),
    ])
}

fn weights(tensors: &TensorMap) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("strdiffusion-seed.safetensors");
    strdiffusion::weights::write_safetensors(&path, tensors, Storage::F16)?;
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(path)?;
    Ok(bytes)
}
