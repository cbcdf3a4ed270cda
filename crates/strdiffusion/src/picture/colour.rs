//! Colour models: what a profile is for, and pixels of models that are not held.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// The colour model that a profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Gray,
    Rgb,
    Other,
}

/// What a profile's header says (ICC.1:2022, 7.2); none where it is no header.
pub(super) fn model_of(profile: &[u8]) -> Option<Model> {
    match profile.get(16..20)? {
        b"GRAY" => Some(Model::Gray),
        b"RGB " => Some(Model::Rgb),
        b"CMYK" | b"Lab " | b"XYZ " | b"CMY " | b"YCbr" | b"Luv " | b"HSV " | b"HLS " | b"Yxy " => {
            Some(Model::Other)
        }
        _ => None,
    }
}

/// A profile for RGB pixels of three equal channels that means what a gray profile means of one:
/// its tone curve, on a neutral axis. None where the gray profile cannot be read.
pub(super) fn gray_as_rgb(profile: &[u8]) -> Option<Vec<u8>> {
    let gray = ColorProfile::new_from_slice(profile).ok()?;
    let curve = gray
        .gray_trc
        .filter(|_| gray.color_space == DataColorSpace::Gray)?;
    let mut rgb = ColorProfile::new_srgb();
    rgb.red_trc = Some(curve.clone());
    rgb.green_trc = Some(curve.clone());
    rgb.blue_trc = Some(curve);
    rgb.cicp = None;
    rgb.description = gray.description;
    rgb.copyright = gray.copyright;
    rgb.encode().ok()
}

/// A sample of an integer picture, as the colour management takes it.
pub(super) trait InkSample: Copy + Default + Into<f32> {
    const MOST: f32;
    fn from_f32(value: f32) -> Self;
    fn convert(
        profile: &ColorProfile,
        ink: &[Self],
        rgb: &mut [Self],
    ) -> Result<(), moxcms::CmsError>;
}

macro_rules! ink_sample {
    ($sample:ty, $transform:ident) => {
        impl InkSample for $sample {
            const MOST: f32 = <$sample>::MAX as f32;
            fn from_f32(value: f32) -> Self {
                value.round().clamp(0.0, Self::MOST) as Self
            }
            fn convert(
                profile: &ColorProfile,
                ink: &[Self],
                rgb: &mut [Self],
            ) -> Result<(), moxcms::CmsError> {
                // Four inks have the layout of RGBA.
                let srgb = ColorProfile::new_srgb();
                let options = TransformOptions::default();
                profile
                    .$transform(Layout::Rgba, &srgb, Layout::Rgb, options)?
                    .transform(ink, rgb)
            }
        }
    };
}
ink_sample!(u8, create_transform_8bit);
ink_sample!(u16, create_transform_16bit);

/// Cyan, magenta, yellow and black (0 = no ink) as sRGB, and a note on how. Through the profile
/// where it is one for CMYK.
pub(super) fn cmyk_to_rgb<S: InkSample>(ink: &[S], profile: Option<&[u8]>) -> (Vec<S>, String) {
    let mut rgb = vec![S::default(); ink.len() / 4 * 3];
    let read = profile.and_then(|profile| ColorProfile::new_from_slice(profile).ok());
    let usable = read.filter(|profile| profile.color_space == DataColorSpace::Cmyk);
    if usable.is_some_and(|profile| S::convert(&profile, ink, &mut rgb).is_ok()) {
        return (
            rgb,
            "its CMYK colours were converted to sRGB through its colour profile".into(),
        );
    }
    for (inks, out) in ink.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let light = |ink: S| 1.0 - ink.into() / S::MOST;
        for (out, &ink) in out.iter_mut().zip(inks) {
            *out = S::from_f32(light(ink) * light(inks[3]) * S::MOST);
        }
    }
    let why = match profile {
        Some(_) => "its profile cannot be used",
        None => "it has no colour profile",
    };
    (
        rgb,
        format!("its CMYK colours were converted to sRGB by a plain formula, since {why}"),
    )
}

/// Weights of red, green and blue in luma, as JPEG has them (ITU-R BT.601).
pub(super) const REC_601: [f32; 3] = [0.299, 0.587, 0.114];

/// A colour from its luma and two differences, each 0 to 255, of such weights.
pub(super) fn ycbcr_to_rgb([y, cb, cr]: [f32; 3], [red, green, blue]: [f32; 3]) -> [u8; 3] {
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    let r = y + cr * (2.0 - 2.0 * red);
    let b = y + cb * (2.0 - 2.0 * blue);
    let g = (y - red * r - blue * b) / green;
    [r, g, b].map(|v| v.round().clamp(0.0, 255.0) as u8)
}
