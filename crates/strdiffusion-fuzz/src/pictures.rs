//! Photographs and masks: to a ready tensor, and back into files.

use std::sync::LazyLock;

use strdiffusion::Device;
use strdiffusion::conditions::{Conditions, Task};
use strdiffusion::model::ModelConfig;
use strdiffusion::picture::{HolePolarity, Limits, Mask, OutputFormat, Photo};
use strdiffusion::training::config::{Preset, TrainConfig};
use strdiffusion::weights::host_values;

use crate::halves;

const LIMITS: Limits = Limits {
    max_side: 4096,
    max_pixels: 1 << 18,
};
/// Larger pictures are not taken as far as the networks: the same code would only take longer.
const MOST_FOR_NETWORKS: usize = 1 << 12;

static MODEL: LazyLock<ModelConfig> =
    LazyLock::new(|| TrainConfig::preset(Preset::Tiny).model_config());

/// A photograph and its mask (none: transparency), up to what the networks read.
pub fn picture(bytes: &[u8]) {
    let [image, mask] = halves(bytes);
    let Ok(photo) = Photo::from_bytes(image, "image", &LIMITS) else {
        return;
    };
    let hole = if mask.is_empty() {
        Mask::from_alpha(&photo)
    } else {
        Photo::from_bytes(mask, "mask", &LIMITS)
            .and_then(|mask| Mask::from_photo(&mask, HolePolarity::White))
    };
    let Ok(unknown) = hole.and_then(|hole| photo.unknown(&hole)) else {
        return;
    };
    if unknown.keep().len() > MOST_FOR_NETWORKS {
        return;
    }
    let task = Task {
        image: photo.to_rgb_f32(),
        mask: unknown,
        drawn_edges: None,
    };
    let ready = Conditions::new(&[task], &MODEL, &MODEL.edges, &Device::flex());
    let ready = ready.expect("a photograph and a mask of one size can be read by the networks");
    for tensor in [ready.mask, ready.texture, ready.gray, ready.edges] {
        let values = host_values(tensor);
        // The membrane is solved approximately.
        assert!(values.iter().all(|v| (-0.001..=1.001).contains(v)));
    }
}

/// A photograph with all that its file says, and a text, into every format and back.
pub fn metadata(bytes: &[u8]) {
    let [file, text] = halves(bytes);
    let Ok(photo) = Photo::from_bytes(file, "file", &LIMITS) else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let (keyword, text) = text.split_once('\0').unwrap_or(("Comment", &text));
    if let Ok(png) = photo.encode_png_with_text(&[(keyword, text.to_owned())]) {
        same_pixels(&photo, &png);
    }
    for format in OutputFormat::ALL {
        photo.losses(format);
        let Ok(written) = photo.encode(format) else {
            continue;
        };
        let holds_all =
            format != OutputFormat::Jpeg && (photo.bit_depth() == 8 || format.holds_16_bit());
        if holds_all {
            same_pixels(&photo, &written);
        } else {
            read_back(&written);
        }
    }
}

fn read_back(written: &[u8]) -> Photo {
    Photo::from_bytes(written, "written", &LIMITS).expect("what was written can be read")
}

fn same_pixels(photo: &Photo, written: &[u8]) {
    let back = read_back(written);
    assert_eq!(photo.to_rgb_f32().data(), back.to_rgb_f32().data());
    assert_eq!(photo.alpha(), back.alpha());
}
