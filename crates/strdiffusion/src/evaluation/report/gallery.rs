//! The pictures of the report: masked input, result, truth and error map, sorted by error.

use super::super::{EvaluationError, Mask, Picture, Row, RunFolder};
use super::{ReportInput, number};
use crate::text::escaped;
use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, Rgb, RgbImage};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Longest side of an embedded picture in pixels.
const THUMBNAIL_SIDE: u32 = 208;
const JPEG_QUALITY: u8 = 80;
/// The colour of holes in masked inputs; photographs rarely have it.
const HOLE_COLOUR: [u8; 3] = [214, 92, 168];
/// The mean absolute channel difference that the error map shows as its brightest colour.
const FULL_ERROR: f32 = 0.5;
/// Colours of the error map from no error to `FULL_ERROR`, dark to bright.
const ERROR_COLOURS: [[f32; 3]; 5] = [
    [8.0, 8.0, 20.0],
    [88.0, 16.0, 110.0],
    [190.0, 52.0, 82.0],
    [246.0, 140.0, 30.0],
    [252.0, 250.0, 170.0],
];

/// The gallery's finished items, worst first.
pub(super) struct Gallery {
    items: Vec<String>,
    total: usize,
}

impl Gallery {
    /// Makes items for as many rows as fit into the size limit: two of the worst for each of the
    /// best.
    pub(super) fn new(
        folder: &RunFolder,
        input: &ReportInput<'_>,
    ) -> Result<Self, EvaluationError> {
        let mut by_error: Vec<&Row> = input.rows.iter().collect();
        by_error.sort_by(|a, b| {
            a.closeness()
                .total_cmp(&b.closeness())
                .then(a.id.cmp(&b.id))
        });
        let images: HashMap<&str, PathBuf> = input
            .pairing
            .pairs
            .iter()
            .map(|pair| (pair.id.as_str(), input.pairing.images.join(&pair.image)))
            .collect();
        let order = from_both_ends(by_error.len());
        let mut items: Vec<(usize, String)> = Vec::new();
        let mut bytes = 0;
        'all: for chunk in order.chunks(32) {
            let made: Vec<Result<(usize, String), EvaluationError>> = chunk
                .par_iter()
                .map(|&rank| {
                    let row = by_error[rank];
                    let image = images.get(row.id.as_str()).cloned().unwrap_or_default();
                    let truth = Picture::open(&image)?.prepared(input.settings.size);
                    let (mask, result) = (folder.mask(&row.id)?, folder.result(&row.id)?);
                    Ok((rank, item(row, &truth, &result, &mask)?))
                })
                .collect();
            for made in made {
                let (rank, html) = made?;
                if bytes + html.len() > input.gallery_bytes {
                    break 'all;
                }
                bytes += html.len();
                items.push((rank, html));
            }
        }
        items.sort_by_key(|(rank, _)| *rank);
        Ok(Self {
            items: items.into_iter().map(|(_, html)| html).collect(),
            total: by_error.len(),
        })
    }

    pub(super) fn html(&self, buckets: &[String]) -> String {
        if self.items.is_empty() {
            return String::new();
        }
        let shown = if self.items.len() == self.total {
            format!("All {} pictures", self.total)
        } else {
            format!(
                "{} of {} pictures: the worst and, half as many, the best",
                self.items.len(),
                self.total
            )
        };
        let options: String = buckets
            .iter()
            .map(|b| {
                format!(
                    "<option value=\"{0}\">{1} %</option>",
                    escaped(b),
                    escaped(&b.replace('-', "–"))
                )
            })
            .collect();
        format!(
            "<section><h2>Pictures</h2><p>{shown}, sorted by PSNR in the hole, the worst first. \
             The error map shows the mean absolute difference of the channels:\
             <span class=\"legend\">0 <i></i> {FULL_ERROR} and more</span></p>\
             <p class=\"controls\" hidden><button type=\"button\" id=\"flip\">Show the best first</button> \
             <label>Hole <select id=\"bucket\"><option value=\"\">all</option>{options}</select></label></p>\
             <div id=\"gallery\">{}</div></section>",
            self.items.concat()
        )
    }
}

/// Ranks 0..n in the order worst, worst, best, worst, worst, second best, ….
fn from_both_ends(n: usize) -> Vec<usize> {
    let (mut front, mut back) = (0, n);
    let mut order = Vec::with_capacity(n);
    while front < back {
        if order.len() % 3 == 2 {
            back -= 1;
            order.push(back);
        } else {
            order.push(front);
            front += 1;
        }
    }
    order
}

fn item(
    row: &Row,
    truth: &Picture,
    result: &Picture,
    mask: &Mask,
) -> Result<String, EvaluationError> {
    let mut html = format!(
        "<article data-bucket=\"{}\"><div class=\"four\">",
        escaped(row.bucket.as_deref().unwrap_or(""))
    );
    let pictures = [
        ("Masked", masked(truth, mask)),
        ("Result", result.as_image().clone()),
        ("Truth", truth.as_image().clone()),
        ("Error", error_map(truth, result)),
    ];
    for (label, picture) in pictures {
        let (data, width, height) = thumbnail(picture).map_err(|e| EvaluationError::Score {
            id: row.id.clone(),
            reason: format!("no thumbnail: {e}"),
        })?;
        let _ = write!(
            html,
            "<figure><img src=\"data:image/jpeg;base64,{data}\" width=\"{width}\" height=\"{height}\" \
             alt=\"{label} of {}\" decoding=\"async\"><figcaption>{label}</figcaption></figure>",
            escaped(&row.id)
        );
    }
    let _ = write!(
        html,
        "</div><div class=\"caption\"><b>{}</b><span>hole {:.1} %</span>",
        escaped(&row.id),
        row.hole_ratio * 100.0
    );
    let scores = [
        ("PSNR", row.psnr, row.psnr_hole, 2),
        ("SSIM", row.ssim, row.ssim_hole, 4),
        ("MS-SSIM", row.ms_ssim, None, 4),
        ("LPIPS", row.lpips, None, 4),
    ];
    for (name, whole, hole, decimals) in scores.iter().filter(|score| score.1.is_some()) {
        let _ = write!(html, "<span>{name} {}", number(*whole, *decimals));
        if hole.is_some() {
            let _ = write!(html, ", in the hole {}", number(*hole, *decimals));
        }
        html.push_str("</span>");
    }
    let looks = [
        ("SWD in the hole", row.swd),
        ("gradient spread in the hole", row.gradient_spread),
    ];
    for (name, score) in looks.iter().filter(|(_, score)| score.is_some()) {
        let _ = write!(html, "<span>{name} {}</span>", number(*score, 2));
    }
    let _ = write!(
        html,
        "<span>mask {}</span></div></article>",
        escaped(&row.mask)
    );
    Ok(html)
}

fn masked(truth: &Picture, mask: &Mask) -> RgbImage {
    let mut image = truth.as_image().clone();
    for (pixel, &keep) in image.pixels_mut().zip(mask.keep()) {
        if keep == 0 {
            *pixel = Rgb(HOLE_COLOUR);
        }
    }
    image
}

fn error_map(truth: &Picture, result: &Picture) -> RgbImage {
    let mut image = truth.as_image().clone();
    for (pixel, other) in image.pixels_mut().zip(result.as_image().pixels()) {
        let difference: u32 = (0..3)
            .map(|c| u32::from(pixel.0[c].abs_diff(other.0[c])))
            .sum();
        *pixel = error_colour(difference as f32 / (3.0 * 255.0));
    }
    image
}

fn error_colour(error: f32) -> Rgb<u8> {
    let place = (error / FULL_ERROR).clamp(0.0, 1.0) * (ERROR_COLOURS.len() - 1) as f32;
    let below = (place as usize).min(ERROR_COLOURS.len() - 2);
    let share = place - below as f32;
    let (from, to) = (ERROR_COLOURS[below], ERROR_COLOURS[below + 1]);
    Rgb([0, 1, 2].map(|c| (from[c] + (to[c] - from[c]) * share).round() as u8))
}

/// (base64 of a JPEG, width, height).
fn thumbnail(picture: RgbImage) -> image::ImageResult<(String, u32, u32)> {
    let mut picture = DynamicImage::ImageRgb8(picture);
    if picture.width().max(picture.height()) > THUMBNAIL_SIDE {
        picture = picture.resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, FilterType::CatmullRom);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&picture)?;
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok((data, picture.width(), picture.height()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_gallery_keeps_both_ends() {
        assert_eq!(from_both_ends(7), [0, 1, 6, 2, 3, 5, 4]);
        assert!(from_both_ends(0).is_empty());
    }
}
