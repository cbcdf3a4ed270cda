//! The Laplacian pyramid (Burt and Adelson 1983): a picture as details of ever coarser scale.

use super::patch_scales::TAPS;
use super::planes::Planes;
use rayon::prelude::*;

/// One level of a pyramid: planar values of height × width pixels.
pub(super) struct Level {
    pub planes: Vec<Vec<f64>>,
    pub height: usize,
    pub width: usize,
}

impl Level {
    pub fn of(picture: &Planes<'_>) -> Self {
        let (channels, height, width) = picture.shape();
        let values = |c: usize| picture.plane(c).iter().map(|&v| f64::from(v)).collect();
        Self {
            planes: (0..channels).map(values).collect(),
            height,
            width,
        }
    }

    /// Takes the next level's content away from this one, which leaves its details; returns that
    /// next level, of half the size (rounded up).
    pub fn split_off_coarse(&mut self) -> Level {
        let (height, width) = (self.height, self.width);
        let coarse: Vec<Vec<f64>> = self
            .planes
            .par_iter_mut()
            .map(|plane| {
                let coarse = halved(plane, height, width);
                for (value, low) in plane.iter_mut().zip(doubled(&coarse, height, width)) {
                    *value -= low;
                }
                coarse
            })
            .collect();
        Level {
            planes: coarse,
            height: height.div_ceil(2),
            width: width.div_ceil(2),
        }
    }
}

/// Index into `0..len` of a position up to `len` − 1 outside of it: d c b | a b c d | c b a.
pub(super) fn mirrored(position: isize, len: usize) -> usize {
    let last = len as isize - 1;
    let folded = position.abs();
    (if folded > last {
        2 * last - folded
    } else {
        folded
    }) as usize
}

/// Filtered, and every second row and column kept, from the first on.
fn halved(plane: &[f64], height: usize, width: usize) -> Vec<f64> {
    let half_width = width.div_ceil(2);
    let mut rows = Vec::with_capacity(height * half_width);
    for row in plane.chunks_exact(width) {
        rows.extend((0..half_width).map(|x| {
            let at = |tap: usize| row[mirrored((2 * x + tap) as isize - 2, width)];
            (0..TAPS.len()).map(|tap| TAPS[tap] * at(tap)).sum::<f64>()
        }));
    }
    let mut out = vec![0.0; height.div_ceil(2) * half_width];
    for (y, target) in out.chunks_exact_mut(half_width).enumerate() {
        for (tap, weight) in TAPS.iter().enumerate() {
            let source = mirrored((2 * y + tap) as isize - 2, height) * half_width;
            add_scaled(target, &rows[source..source + half_width], *weight);
        }
    }
    out
}

/// The inverse of [`halved`] but for the lost detail: zeros between the values, then the filter
/// times two along each axis.
fn doubled(coarse: &[f64], height: usize, width: usize) -> Vec<f64> {
    let half_width = width.div_ceil(2);
    let mut rows = vec![0.0; height * half_width];
    for (y, target) in rows.chunks_exact_mut(half_width).enumerate() {
        for (source, weight) in contributions(y, height) {
            let source = source * half_width;
            add_scaled(target, &coarse[source..source + half_width], weight);
        }
    }
    let columns: Vec<Vec<(usize, f64)>> = (0..width)
        .map(|x| contributions(x, width).collect())
        .collect();
    let mut out = Vec::with_capacity(height * width);
    for row in rows.chunks_exact(half_width) {
        let value = |parts: &Vec<(usize, f64)>| parts.iter().map(|&(i, w)| w * row[i]).sum::<f64>();
        out.extend(columns.iter().map(value));
    }
    out
}

/// The coarse values, and their weights, that make up position `fine` of `len`: a tap that falls
/// on a zero between them adds nothing. Mirroring keeps even positions even.
fn contributions(fine: usize, len: usize) -> impl Iterator<Item = (usize, f64)> {
    let positions = (0..TAPS.len()).map(move |tap| (fine + tap) as isize - 2);
    positions
        .zip(TAPS)
        .filter(|(position, _)| position % 2 == 0)
        .map(move |(position, weight)| (mirrored(position, len) / 2, 2.0 * weight))
}

fn add_scaled(target: &mut [f64], source: &[f64], weight: f64) {
    for (t, s) in target.iter_mut().zip(source) {
        *t += weight * s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_its_details_and_the_doubled_next_level() {
        for (height, width) in [(8, 9), (13, 16)] {
            let values: Vec<f32> = (0..height * width).map(|i| (i * i % 17) as f32).collect();
            let whole = Level::of(&Planes::new(&values, 1, height, width).unwrap());
            let mut details = Level::of(&Planes::new(&values, 1, height, width).unwrap());
            let coarse = details.split_off_coarse();
            let back = doubled(&coarse.planes[0], height, width);
            for (i, low) in back.iter().enumerate() {
                assert!((details.planes[0][i] + low - whole.planes[0][i]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_flat_picture_has_no_details_at_any_size() {
        for (height, width) in [(8, 8), (9, 15), (16, 11)] {
            let values = vec![0.375f32; height * width];
            let mut level = Level::of(&Planes::new(&values, 1, height, width).unwrap());
            let coarse = level.split_off_coarse();
            assert_eq!(
                (coarse.height, coarse.width),
                (height.div_ceil(2), width.div_ceil(2))
            );
            assert!(level.planes[0].iter().all(|v| v.abs() < 1e-12));
            assert!(coarse.planes[0].iter().all(|v| (v - 0.375).abs() < 1e-12));
        }
    }
}
