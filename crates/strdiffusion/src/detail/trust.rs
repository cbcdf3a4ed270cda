//! How far the networks' fill can be trusted.
//!
//! A network that knows what belongs into a hole draws it as sharp as what is around; one that does
//! not leaves it soft. So the fill's finest contrast is compared with what known pixels of its
//! colour have: at the networks' own resolution, where both went through the same scaling; in the
//! whole hole and around each of its pixels.

use super::contrast::sharpness;
use super::pyramid::{Area, Cell, Level, low_pass};
use super::window::pixels_of;
use crate::picture::{Filter, FloatImage};

/// Trust in the whole fill begins where it has this share of the expected contrast, and is full at
/// the other. (A hundred photographs at 128 pixels, holes of 2 to 60 %: the truth 0.88 at the
/// twentieth, 0.97 in the middle; networks that are asked for the likeliest fill 0.27 in the middle,
/// 0.64 at most; the smudge where a drawn roof ends 0.42.)
const TRUST: [f32; 2] = [0.65, 0.8];
/// The same around a pixel, for where a hole is thin a fill can be well drawn that is not in the
/// middle. Where there is far more contrast than is expected, it is not.
const LOCAL_TRUST: [f32; 2] = [0.6, 0.9];
const TOO_MUCH: [f32; 2] = [1.3, 1.7];
/// How deep the hole may be nearby for that, in pixels of the network. Where it is deeper, what is
/// around ends in the hole: near its border a fill can be sharp and wrong, and known patches go on better.
const DEEP: [f32; 2] = [5.0, 10.0];
/// Nearby: so many pixels of the network along both axes.
const NEARBY: usize = 10;
/// Less trust on the mean over the hole is chance.
const LEAST: f32 = 0.05;
/// σ of the low-pass whose colours tell which known pixels are alike, in pixels of the network.
const REACH: f32 = 1.5;
/// Where less contrast than this is expected, in steps of 1/255 over three channels twice, the
/// share says nothing: of the whole, and around a pixel.
const SMOOTH: [f32; 2] = [1.5, 3.0];
const LOCAL_SMOOTH: [f32; 2] = [6.0, 12.0];
/// Nor in thin holes, where known neighbours lend their contrast; in pixels of the photograph.
const THICK: [f32; 2] = [8.0, 16.0];

/// Trust in a window's fill, from place to place.
pub(super) struct Trust {
    /// One channel, at the networks' resolution.
    map: FloatImage,
    /// Size of one of its pixels in pixels of the window, along both axes.
    step: [f32; 2],
    /// In the fill as a whole.
    pub whole: f32,
    /// Over the hole.
    pub mean: f32,
}

impl Trust {
    /// In the fill of the hole among `cells`; none where nothing of it is trusted. `picture` is the
    /// window with its fill, and `scale` the size of a network's pixel in pixels of it.
    pub fn of(picture: &FloatImage, cells: &[Cell], scale: f32) -> Option<Self> {
        let seen = |length: usize| ((length as f32 / scale).round() as usize).max(1);
        let size @ [width, height] = [seen(picture.width()), seen(picture.height())];
        let pixels = pixels_of(&picture.resize(width, height, Filter::Lanczos3));
        let cells = shrunk(cells, [picture.width(), picture.height()], size);
        let mut level = Level::new(width, height, pixels, cells);
        let thick = ramp(scale * level.thickness(), THICK);
        if thick == 0.0 || !level.is_useful() {
            return None;
        }
        level.guide = low_pass(&level.pixels, size, REACH);
        let found = sharpness(&level);
        let whole = thick * ramp(found.expected, SMOOTH) * ramp(found.share, TRUST);
        let mut trust = vec![whole; width * height];
        let (mut sum, mut count) = (0.0, 0);
        let deepest = deepest(&level.depth, level.area.width);
        for (&depth, i) in deepest.iter().zip(0..) {
            let place = level.area.outer(i, width);
            let [share, expected] = found.around[place];
            let here = ramp(share, LOCAL_TRUST) * (1.0 - ramp(share, TOO_MUCH));
            let here = thick * ramp(expected, LOCAL_SMOOTH) * here * (1.0 - ramp(depth, DEEP));
            trust[place] = whole.max(here);
            if level.cells[place] == Cell::Hole {
                (sum, count) = (sum + trust[place], count + 1);
            }
        }
        let map = FloatImage::from_vec(1, width, height, trust).ok()?;
        let mean = sum / count.max(1) as f32;
        (mean >= LEAST).then(|| Self {
            map,
            step: [
                picture.width() as f32 / width as f32,
                picture.height() as f32 / height as f32,
            ],
            whole,
            mean,
        })
    }

    /// Over an area of the window at a scale at which a pixel is `size` of the window's; linear
    /// between the networks' pixels.
    pub fn over(&self, area: &Area, size: usize) -> Vec<f32> {
        let near = |v: usize, step: f32, length: usize| {
            let at = ((v as f32 + 0.5) * size as f32 / step - 0.5).clamp(0.0, (length - 1) as f32);
            let first = at as usize;
            (first, (first + 1).min(length - 1), at - first as f32)
        };
        let (width, height) = (self.map.width(), self.map.height());
        let at = |x: usize, y: usize| self.map.data()[y * width + x];
        (0..area.len())
            .map(|i| {
                let (left, right, u) = near(area.x + i % area.width, self.step[0], width);
                let (top, bottom, v) = near(area.y + i / area.width, self.step[1], height);
                let row = |y: usize| at(left, y) + u * (at(right, y) - at(left, y));
                row(top) + v * (row(bottom) - row(top))
            })
            .collect()
    }
}

/// The greatest of an area's depths within [`NEARBY`] of each pixel.
fn deepest(depth: &[f32], width: usize) -> Vec<f32> {
    let height = depth.len() / width.max(1);
    let near = |at: usize, length: usize| at.saturating_sub(NEARBY)..(at + NEARBY + 1).min(length);
    let most = |depths: &mut dyn Iterator<Item = f32>| depths.fold(0.0, f32::max);
    let rows: Vec<f32> = (0..depth.len())
        .map(|i| most(&mut near(i % width, width).map(|x| depth[i / width * width + x])))
        .collect();
    (0..depth.len())
        .map(|i| most(&mut near(i / width, height).map(|y| rows[y * width + i % width])))
        .collect()
}

/// What is known of pixels that cover several: the least of it. What is not to be copied counts as
/// well as anything else that is known.
fn shrunk(
    cells: &[Cell],
    [width, height]: [usize; 2],
    [small_width, small_height]: [usize; 2],
) -> Vec<Cell> {
    let mut small = vec![Cell::Known; small_width * small_height];
    for (i, &cell) in cells
        .iter()
        .enumerate()
        .filter(|&(_, &cell)| !cell.is_known())
    {
        // The same for every pixel of a row and column, and none is left out.
        let (x, y) = (
            i % width * small_width / width,
            i / width * small_height / height,
        );
        let place = &mut small[y * small_width + x];
        if *place != Cell::Hole {
            *place = cell;
        }
    }
    small
}

/// 0 up to `from`, 1 from `to` on, straight between.
pub(super) fn ramp(value: f32, [from, to]: [f32; 2]) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}
