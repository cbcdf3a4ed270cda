//! What a file says beside its pixels, and which format has a place for it.

use super::exif::{self, Entry};
use super::output::OutputFormat;

/// What a file says beside its pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metadata {
    /// Colour profile, of the pixels' colour model.
    pub icc: Option<Vec<u8>>,
    /// Colour by PNG's own chunks.
    pub png_colour: PngColour,
    /// As a TIFF structure, for the upright photograph and without a thumbnail.
    pub exif: Option<Vec<u8>>,
    /// XML.
    pub xmp: Option<Vec<u8>>,
    /// Records of IPTC's Information Interchange Model.
    pub iptc: Option<Vec<u8>>,
    pub resolution: Option<Resolution>,
    /// Keywords and texts of a PNG.
    pub text: Vec<(String, String)>,
    /// How a JPEG was compressed.
    pub jpeg: Option<JpegCoding>,
    /// The quality of JPEG that a caller wants, 1 to 100; none: as the file was compressed.
    pub jpeg_quality: Option<u8>,
}

/// How a JPEG was compressed (ITU-T T.81, B.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JpegCoding {
    /// Quantisation tables of the first component and the second, row by row.
    pub tables: [[u16; 64]; 2],
    /// How many columns and rows of the first component share one value of the others.
    pub subsampling: [u8; 2],
}

/// PNG's chunks that say what its numbers mean (PNG specification, 11.3.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PngColour {
    pub gamma: Option<png::ScaledFloat>,
    pub chromaticities: Option<png::SourceChromaticities>,
    pub srgb: Option<png::SrgbRenderingIntent>,
    pub code_points: Option<png::CodingIndependentCodePoints>,
}

impl PngColour {
    /// Whether a file without any of this would mean another colour. One without a profile is
    /// taken for sRGB.
    fn says_other_than_srgb(&self) -> bool {
        let srgb_code_points = png::CodingIndependentCodePoints {
            color_primaries: 1,
            transfer_function: 13,
            matrix_coefficients: 0,
            is_video_full_range_image: true,
        };
        if let Some(points) = self.code_points {
            return points != srgb_code_points;
        }
        let srgb_gamma = |gamma: png::ScaledFloat| gamma.into_scaled().abs_diff(45_455) <= 50;
        self.srgb.is_none()
            && (self.gamma.is_some_and(|gamma| !srgb_gamma(gamma))
                || self.chromaticities.is_some_and(|c| !is_rec_709(&c)))
    }
}

fn is_rec_709(found: &png::SourceChromaticities) -> bool {
    let expected = [
        31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000u32,
    ];
    let pairs = [found.white, found.red, found.green, found.blue];
    let values = pairs
        .iter()
        .flat_map(|(x, y)| [x.into_scaled(), y.into_scaled()]);
    values
        .zip(expected)
        .all(|(found, expected)| found.abs_diff(expected) <= 100)
}

/// Pixels per length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resolution {
    pub x: f64,
    pub y: f64,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Only the shape of a pixel is known.
    None,
    Inch,
    Metre,
}

const INCHES_PER_METRE: f64 = 1.0 / 0.0254;

impl Resolution {
    /// None where it says nothing.
    pub fn new(x: f64, y: f64, unit: Unit) -> Option<Self> {
        let says_something = x > 0.0 && y > 0.0 && (unit != Unit::None || x != y);
        says_something.then_some(Self { x, y, unit })
    }

    pub fn turned(self) -> Self {
        Self {
            x: self.y,
            y: self.x,
            ..self
        }
    }

    /// In pixels per metre; none where no length is known.
    pub fn per_metre(self) -> Option<[f64; 2]> {
        match self.unit {
            Unit::None => None,
            Unit::Inch => Some([self.x * INCHES_PER_METRE, self.y * INCHES_PER_METRE]),
            Unit::Metre => Some([self.x, self.y]),
        }
    }

    /// In pixels per inch, else as a shape.
    pub fn per_inch(self) -> [f64; 2] {
        match self.unit {
            Unit::Metre => [self.x / INCHES_PER_METRE, self.y / INCHES_PER_METRE],
            Unit::None | Unit::Inch => [self.x, self.y],
        }
    }

    /// As entries of a TIFF directory.
    pub fn to_entries(self) -> [Entry; 3] {
        let [x, y] = self.per_inch().map(rational);
        [
            Entry::rational(exif::X_RESOLUTION, x),
            Entry::rational(exif::Y_RESOLUTION, y),
            Entry::short(
                exif::RESOLUTION_UNIT,
                if self.unit == Unit::None { 1 } else { 2 },
            ),
        ]
    }

    /// From entries of a TIFF directory, by their tags.
    pub fn from_numbers(number: impl Fn(u16) -> Option<f64>) -> Option<Self> {
        let (x, y) = (number(exif::X_RESOLUTION)?, number(exif::Y_RESOLUTION)?);
        match number(exif::RESOLUTION_UNIT) {
            Some(1.0) => Self::new(x, y, Unit::None),
            Some(3.0) => Self::new(x * 100.0, y * 100.0, Unit::Metre),
            _ => Self::new(x, y, Unit::Inch),
        }
    }
}

/// A number as a fraction; to four decimals where it is none of whole numbers.
fn rational(value: f64) -> [u32; 2] {
    let whole = value.round();
    if (value - whole).abs() < 1e-3 {
        return [whole as u32, 1];
    }
    [(value * 10_000.0).round() as u32, 10_000]
}

impl Metadata {
    /// What the pixels need to be seen as they were: the colour profile and what else says their
    /// colour, and how they were compressed.
    pub fn of_pixels(&self) -> Self {
        Self {
            icc: self.icc.clone(),
            png_colour: self.png_colour.clone(),
            jpeg: self.jpeg.clone(),
            jpeg_quality: self.jpeg_quality,
            ..Self::default()
        }
    }

    /// The EXIF block; one of the resolution alone where there is no other.
    pub fn exif_with_resolution(&self) -> Option<Vec<u8>> {
        let own = || {
            let main = self.resolution?.to_entries().to_vec();
            exif::build(&exif::Directories {
                main,
                ..Default::default()
            })
        };
        self.exif.clone().or_else(own)
    }

    /// What a file of this format has no place for, in words.
    pub fn without_place(&self, format: OutputFormat) -> Vec<&'static str> {
        use OutputFormat as F;
        let fits =
            |bytes: &Option<Vec<u8>>, most: usize| bytes.as_ref().is_none_or(|b| b.len() <= most);
        let mut lost = vec![];
        if self.icc.is_some() && format == F::Bmp {
            lost.push("the colour profile");
        }
        if format != F::Png && self.png_colour.says_other_than_srgb() && self.icc.is_none() {
            lost.push("the colour space that PNG states in chunks of its own");
        }
        let exif = match format {
            F::Bmp => self.exif.is_none(),
            F::Jpeg => fits(&self.exif, MOST_IN_A_SEGMENT),
            F::Png | F::WebP | F::Tiff => true,
        };
        if !exif {
            lost.push("EXIF");
        }
        let xmp = match format {
            F::Bmp => self.xmp.is_none(),
            F::Jpeg => fits(&self.xmp, MOST_IN_A_SEGMENT),
            F::Png | F::WebP | F::Tiff => true,
        };
        if !xmp {
            lost.push("XMP");
        }
        let iptc = match format {
            F::Bmp | F::WebP => self.iptc.is_none(),
            F::Jpeg => fits(&self.iptc, MOST_IN_A_SEGMENT),
            F::Png | F::Tiff => true,
        };
        if !iptc {
            lost.push("IPTC");
        }
        let states_resolution = |block: &Vec<u8>| exif::number(block, exif::X_RESOLUTION).is_some();
        let unstated = self
            .exif
            .as_ref()
            .is_some_and(|block| !states_resolution(block));
        if format == F::WebP && self.resolution.is_some() && unstated {
            lost.push("the resolution");
        }
        if !self.text.is_empty() && format != F::Png {
            lost.push("the texts that only PNG has");
        }
        lost
    }
}

/// Most bytes of EXIF, XMP or IPTC in one segment of a JPEG, less the longest name.
pub(super) const MOST_IN_A_SEGMENT: usize = 65_533 - 40;

/// The same XMP for a photograph that stands upright, without thumbnails.
pub(super) fn upright_xmp(xmp: Vec<u8>) -> Vec<u8> {
    let Ok(mut text) = String::from_utf8(xmp.clone()) else {
        return xmp;
    };
    for (before, after) in [
        ("tiff:Orientation=\"", "\""),
        ("tiff:Orientation='", "'"),
        ("<tiff:Orientation>", "<"),
    ] {
        let Some(start) = text.find(before).map(|at| at + before.len()) else {
            continue;
        };
        if let Some(length) = text[start..].find(after) {
            text.replace_range(start..start + length, "1");
        }
    }
    for name in ["xmp:Thumbnails", "xap:Thumbnails"] {
        let (open, close) = (format!("<{name}"), format!("</{name}>"));
        while let Some(start) = text.find(&open) {
            let Some(length) = text[start..].find(&close) else {
                break;
            };
            text.replace_range(start..start + length + close.len(), "");
        }
    }
    text.into_bytes()
}
