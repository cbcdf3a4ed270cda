//! One scored picture.

use serde::{Deserialize, Serialize};

/// The scores of one picture and how it came about; a line of `rows.jsonl` and `results.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The pair's name, also the name of its pictures in the run's folder.
    pub id: String,
    /// The image file, relative to the image folder.
    pub image: String,
    /// The mask file, relative to the mask folder, or `generated`.
    pub mask: String,
    /// Width of the scored picture in pixels.
    pub width: u32,
    /// Height of the scored picture in pixels.
    pub height: u32,
    /// The hole's share of the picture, 0..=1.
    pub hole_ratio: f64,
    /// The bucket that the hole ratio belongs to, if any.
    pub bucket: Option<String>,
    /// PSNR over the whole picture in dB; `inf` for an exact result.
    #[serde(with = "decibels")]
    pub psnr: Option<f64>,
    /// SSIM over the whole picture; absent below 11 × 11 pixels.
    pub ssim: Option<f64>,
    /// PSNR over the hole's pixels in dB; absent without a hole.
    #[serde(with = "decibels")]
    pub psnr_hole: Option<f64>,
    /// SSIM map averaged over the hole's pixels; absent without a hole.
    pub ssim_hole: Option<f64>,
    /// MS-SSIM over the whole picture; absent below 161 × 161 pixels or when not asked for.
    pub ms_ssim: Option<f64>,
    /// Sliced Wasserstein distance in the hole × 1000, mean of the levels below; absent below
    /// 15 × 15 pixels, without a hole or when not asked for, as all in rows recorded before there
    /// was such a score.
    pub swd: Option<f64>,
    /// Of the finest band of details.
    pub swd_0: Option<f64>,
    /// Of the band of half that resolution; absent where the picture is too small for it.
    pub swd_1: Option<f64>,
    /// Of the band of a quarter of the resolution, alike.
    pub swd_2: Option<f64>,
    /// Of the band of an eighth of the resolution, alike.
    pub swd_3: Option<f64>,
    /// Of the low-pass rest below the bands.
    pub swd_low: Option<f64>,
    /// Gradient energy in the hole ÷ the truth's; absent without a hole, where the truth is flat in
    /// it, or when not asked for.
    pub gradient_energy: Option<f64>,
    /// Spread of gradient magnitude in the hole ÷ the truth's; absent alike.
    pub gradient_spread: Option<f64>,
    /// LPIPS over the whole picture; absent without weights or when not asked for.
    pub lpips: Option<f64>,
    /// Time to fill the picture in seconds, where known.
    pub seconds: Option<f64>,
    /// Network evaluations to fill the picture, where known.
    pub network_evaluations: Option<u64>,
    /// SHA-256 of the result's file, in hexadecimal.
    pub result_sha256: String,
    /// SHA-256 over the files that the row depends on: picture, mask, a finished result. Absent in
    /// rows recorded before there was such a field.
    #[serde(default)]
    pub origin: Option<String>,
}

impl Row {
    /// The error that the gallery sorts by: the PSNR in the hole, else that of the whole picture.
    pub(super) fn closeness(&self) -> f64 {
        self.psnr_hole.or(self.psnr).unwrap_or(f64::INFINITY)
    }
}

/// PSNR as a number, or the text `inf` where it is infinite: JSON has no infinity.
mod decibels {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Decibels {
        Finite(f64),
        Text(String),
    }

    pub fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        let value = value.map(|v| {
            if v == f64::INFINITY {
                Decibels::Text("inf".to_owned())
            } else {
                Decibels::Finite(v)
            }
        });
        value.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        match Option::<Decibels>::deserialize(from)? {
            None => Ok(None),
            Some(Decibels::Finite(v)) => Ok(Some(v)),
            Some(Decibels::Text(text)) if text == "inf" => Ok(Some(f64::INFINITY)),
            Some(Decibels::Text(text)) => Err(D::Error::custom(format!("`{text}` is no PSNR"))),
        }
    }
}
