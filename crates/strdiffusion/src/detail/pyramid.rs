//! A window of the photograph at several scales.
//!
//! Pixels are whole numbers, so that the result depends neither on the instruction set nor on the
//! number of threads.

use rayon::prelude::*;

use strdiffusion_kernels::PATCH_SIDE;

/// Red, green, blue, and one number more: zero in pictures, the local contrast in guides.
pub(super) type Pixel = [i16; 4];

/// Steps of a pixel value in one step of an 8-bit photograph.
pub(super) const STEPS: f32 = 16.0;
/// The value that stands for 1.
pub(super) const WHITE: f32 = 255.0 * STEPS;
/// Pixels from a patch's centre to its border.
pub(super) const RADIUS: usize = PATCH_SIDE / 2;
/// Rows that one thread works on at a time.
pub(super) const BAND: usize = 16;

/// What is known of a pixel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    Known,
    /// Known, and never to be copied.
    Avoided,
    /// To be filled.
    Hole,
    /// Neither: part of another hole, or transparent.
    Unknown,
}

impl Cell {
    /// Whether the photograph's own colour is there.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::Avoided)
    }
}

/// A rectangle of a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Area {
    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.width * self.height
    }

    /// This rectangle with a margin, as far as a picture of that width and height goes.
    pub fn grown(&self, margin: usize, [width, height]: [usize; 2]) -> Self {
        let (x, y) = (self.x.saturating_sub(margin), self.y.saturating_sub(margin));
        Self {
            x,
            y,
            width: (self.x + self.width + margin).min(width) - x,
            height: (self.y + self.height + margin).min(height) - y,
        }
    }

    pub fn contains(&self, x: usize, y: usize) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }

    /// Place in a level of `width` columns of this area's pixel `i`.
    pub fn outer(&self, i: usize, width: usize) -> usize {
        (self.y + i / self.width) * width + self.x + i % self.width
    }
}

/// One scale of the window: its pixels with the estimate in the hole, and what follows from the
/// mask.
pub(super) struct Level {
    pub width: usize,
    pub height: usize,
    /// Known pixels and the estimate, with one pixel of padding at the end.
    pub pixels: Vec<Pixel>,
    pub cells: Vec<Cell>,
    /// Centres of patches that hold only known pixels that may be copied.
    pub is_source: Vec<bool>,
    pub sources: usize,
    /// Means of the patches around each pixel that has a whole one.
    pub means: Vec<Pixel>,
    /// What the fill should look like from afar, Γ, and its local contrast, E; padded like
    /// `pixels`.
    pub guide: Vec<Pixel>,
    /// The rectangle that holds the hole and every target.
    pub area: Area,
    /// Centres of patches that hold a pixel of the hole, over `area`.
    pub is_target: Vec<bool>,
    pub targets: usize,
    /// Distance to the nearest pixel outside the hole, over `area`; 0 outside.
    pub depth: Vec<f32>,
    /// How far the fill that is the guide is trusted, 0 to 1, over `area`.
    pub trust: Vec<f32>,
}

impl Level {
    pub fn new(width: usize, height: usize, mut pixels: Vec<Pixel>, cells: Vec<Cell>) -> Self {
        pixels.truncate(width * height);
        pixels.push([0; 4]);
        let unfit = Counts::of(width, &cells, |cell| cell != Cell::Known);
        let hole = Counts::of(width, &cells, |cell| cell == Cell::Hole);
        let mut is_source = vec![false; width * height];
        let mut is_target = vec![false; width * height];
        let (mut sources, mut targets) = (0, 0);
        let mut bounds = Bounds::default();
        for y in RADIUS..height.saturating_sub(RADIUS) {
            for x in RADIUS..width.saturating_sub(RADIUS) {
                if unfit.around(x, y) == 0 {
                    is_source[y * width + x] = true;
                    sources += 1;
                } else if hole.around(x, y) > 0 {
                    is_target[y * width + x] = true;
                    targets += 1;
                    bounds.add(x, y);
                }
            }
        }
        for (i, _) in (cells.iter().enumerate()).filter(|&(_, &cell)| cell == Cell::Hole) {
            bounds.add(i % width, i / width);
        }
        let area = bounds.with_ring(width, height);
        let inside = |i: usize| area.outer(i, width);
        let depth = depth(&area, |i| cells[inside(i)] != Cell::Hole);
        Self {
            means: vec![[0; 4]; width * height],
            guide: vec![],
            is_target: (0..area.len()).map(|i| is_target[inside(i)]).collect(),
            width,
            height,
            pixels,
            cells,
            is_source,
            sources,
            area,
            targets,
            trust: vec![0.0; depth.len()],
            depth,
        }
    }

    /// This level with its sources as targets, for finding out what the known pixels have in common
    /// with one another.
    pub fn of_sources(&self) -> Self {
        let area = Area {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        };
        Self {
            width: self.width,
            height: self.height,
            pixels: self.pixels.clone(),
            cells: self.cells.clone(),
            is_source: self.is_source.clone(),
            sources: self.sources,
            means: self.means.clone(),
            guide: self.guide.clone(),
            is_target: self.is_source.clone(),
            targets: self.sources,
            depth: vec![0.0; area.len()],
            trust: vec![0.0; area.len()],
            area,
        }
    }

    /// Thickness of the hole in pixels.
    pub fn thickness(&self) -> f32 {
        2.0 * self
            .depth
            .iter()
            .copied()
            .filter(|d| d.is_finite())
            .fold(0.0, f32::max)
    }

    /// Whether something can be filled, and from something.
    pub fn is_useful(&self) -> bool {
        self.sources > 0 && self.targets > 0
    }

    /// Works out the means of all patches.
    pub fn find_means(&mut self) {
        let all = Area {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        };
        self.find_means_in(all);
    }

    /// Works out the means of the targets' patches, after the estimate has changed.
    pub fn find_target_means(&mut self) {
        self.find_means_in(self.area);
    }

    fn find_means_in(&mut self, area: Area) {
        let (width, pixels) = (self.width, &self.pixels);
        let columns = area.x.max(RADIUS)..(area.x + area.width).min(width - RADIUS.min(width));
        let rows =
            area.y.max(RADIUS)..(area.y + area.height).min(self.height.saturating_sub(RADIUS));
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let count = (PATCH_SIDE * PATCH_SIDE) as i32;
        self.means
            .par_chunks_mut(width)
            .enumerate()
            .filter(|(y, _)| rows.contains(y))
            .for_each(|(y, means)| {
                let column = |x: usize| {
                    let mut sum = [0i32; 3];
                    for row in y - RADIUS..=y + RADIUS {
                        let pixel = pixels[row * width + x];
                        (0..3).for_each(|c| sum[c] += i32::from(pixel[c]));
                    }
                    sum
                };
                let mut sums: std::collections::VecDeque<[i32; 3]> = (columns.start - RADIUS
                    ..columns.start + RADIUS)
                    .map(column)
                    .collect();
                let mut total = [0i32; 3];
                for sum in &sums {
                    (0..3).for_each(|c| total[c] += sum[c]);
                }
                for x in columns.clone() {
                    let next = column(x + RADIUS);
                    (0..3).for_each(|c| total[c] += next[c]);
                    sums.push_back(next);
                    (0..3).for_each(|c| means[x][c] = (total[c] / count) as i16);
                    if let Some(last) = sums.pop_front() {
                        (0..3).for_each(|c| total[c] -= last[c]);
                    }
                }
            });
    }
}

/// Running sums of a yes or no per pixel: how many pixels of any patch say yes.
struct Counts {
    width: usize,
    sums: Vec<u32>,
}

impl Counts {
    fn of(width: usize, cells: &[Cell], yes: impl Fn(Cell) -> bool) -> Self {
        let stride = width + 1;
        let mut sums = vec![0; stride * (cells.len() / width.max(1) + 1)];
        for (y, row) in cells.chunks_exact(width.max(1)).enumerate() {
            let mut along = 0;
            for (x, &cell) in row.iter().enumerate() {
                along += u32::from(yes(cell));
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + along;
            }
        }
        Self { width, sums }
    }

    /// In the patch around a pixel at least a radius away from the border.
    fn around(&self, x: usize, y: usize) -> u32 {
        let at = |x: usize, y: usize| self.sums[y * (self.width + 1) + x];
        let (left, right, top, bottom) = (x - RADIUS, x + RADIUS + 1, y - RADIUS, y + RADIUS + 1);
        at(right, bottom) + at(left, top) - at(left, bottom) - at(right, top)
    }
}

struct Bounds {
    first: [usize; 2],
    last: [usize; 2],
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first: [usize::MAX; 2],
            last: [0; 2],
        }
    }
}

impl Bounds {
    fn add(&mut self, x: usize, y: usize) {
        for (i, v) in [x, y].into_iter().enumerate() {
            self.first[i] = self.first[i].min(v);
            self.last[i] = self.last[i].max(v);
        }
    }

    /// One pixel more on each side, where there is one.
    fn with_ring(&self, width: usize, height: usize) -> Area {
        if self.first[0] == usize::MAX {
            return Area {
                x: 0,
                y: 0,
                width: 1,
                height: 1,
            };
        }
        let [x, y] = self.first.map(|v| v.saturating_sub(1));
        Area {
            x,
            y,
            width: (self.last[0] + 2).min(width) - x,
            height: (self.last[1] + 2).min(height) - y,
        }
    }
}

/// Distance of each pixel of an area to the nearest one outside the hole, by two sweeps of the
/// chamfer transform (Borgefors, "Distance transformations in digital images", 1986) with steps
/// of 1 and √2. Infinite where there is none.
fn depth(area: &Area, is_outside: impl Fn(usize) -> bool) -> Vec<f32> {
    let (width, height) = (area.width, area.height);
    let mut depth: Vec<f32> = (0..area.len())
        .map(|i| if is_outside(i) { 0.0 } else { f32::INFINITY })
        .collect();
    let mut relax = |x: usize, y: usize, neighbours: [(isize, isize); 4]| {
        let mut best = depth[y * width + x];
        for (dx, dy) in neighbours {
            let (nx, ny) = (x.wrapping_add_signed(dx), y.wrapping_add_signed(dy));
            if nx < width && ny < height {
                let step = if dx != 0 && dy != 0 {
                    std::f32::consts::SQRT_2
                } else {
                    1.0
                };
                best = best.min(depth[ny * width + nx] + step);
            }
        }
        depth[y * width + x] = best;
    };
    for y in 0..height {
        for x in 0..width {
            relax(x, y, [(-1, 0), (0, -1), (-1, -1), (1, -1)]);
        }
    }
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            relax(x, y, [(1, 0), (0, 1), (1, 1), (-1, 1)]);
        }
    }
    depth
}

/// The window and ever smaller copies of it, the finest first: down to where the hole is at most
/// `thickness` pixels thick, unless no side would be left of `shortest` pixels or hardly a source.
pub(super) fn build(finest: Level, thickness: f32, shortest: usize) -> Vec<Level> {
    const MOST_LEVELS: usize = 9;
    const FEWEST_SOURCES: usize = 256;
    let mut levels = vec![finest];
    while levels.len() < MOST_LEVELS {
        let last = levels.last().expect("the finest is there");
        if last.thickness() <= thickness || last.width.min(last.height).div_ceil(2) < shortest {
            break;
        }
        let next = half(last);
        if next.sources < FEWEST_SOURCES.min(last.sources) || next.targets == 0 {
            break;
        }
        levels.push(next);
    }
    levels
}

/// Half the size. A pixel is known where at least two of its four are, with the mean of those, and
/// to be avoided where one of these is; elsewhere it has the mean of all four.
fn half(level: &Level) -> Level {
    let (width, height) = (level.width.div_ceil(2), level.height.div_ceil(2));
    let small = |i: usize| {
        let (x, y) = (2 * (i % width), 2 * (i / width));
        let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| {
            (y + dy).min(level.height - 1) * level.width + (x + dx).min(level.width - 1)
        });
        let known = four.iter().filter(|&&j| level.cells[j].is_known()).count();
        let is_known = known >= 2;
        let (mut sum, mut count) = ([0i32; 3], 0);
        for j in four {
            if !is_known || level.cells[j].is_known() {
                (0..3).for_each(|c| sum[c] += i32::from(level.pixels[j][c]));
                count += 1;
            }
        }
        let [r, g, b] = sum.map(|s| ((s + count / 2) / count) as i16);
        let any = |cell| four.iter().any(|&j| level.cells[j] == cell);
        let cell = if is_known && any(Cell::Avoided) {
            Cell::Avoided
        } else if is_known {
            Cell::Known
        } else if any(Cell::Hole) {
            Cell::Hole
        } else {
            Cell::Unknown
        };
        ([r, g, b, 0], cell)
    };
    let (pixels, cells) = (0..width * height).into_par_iter().map(small).unzip();
    Level::new(width, height, pixels, cells)
}

/// A picture twice as large, cut to `width` × `height`: bilinear, pixels as squares.
pub(super) fn double(
    small: &[Pixel],
    [small_width, small_height]: [usize; 2],
    [width, height]: [usize; 2],
) -> Vec<Pixel> {
    let mut large = vec![[0; 4]; width * height + 1];
    let near = |v: usize, length: usize| {
        let other = if v.is_multiple_of(2) {
            (v / 2).saturating_sub(1)
        } else {
            v / 2 + 1
        };
        ((v / 2).min(length - 1), other.min(length - 1))
    };
    large[..width * height]
        .par_chunks_mut(width)
        .enumerate()
        .for_each(|(y, row)| {
            let (y0, y1) = near(y, small_height);
            for (x, pixel) in row.iter_mut().enumerate() {
                let (x0, x1) = near(x, small_width);
                let at = |x: usize, y: usize| small[y * small_width + x].map(i32::from);
                let (a, b, c, d) = (at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1));
                for k in 0..4 {
                    pixel[k] = ((9 * a[k] + 3 * b[k] + 3 * c[k] + d[k] + 8) / 16) as i16;
                }
            }
        });
    large
}

/// A Gaussian low-pass of standard deviation `sigma` pixels; the border's pixels go on beyond it.
/// The padding of `picture`, if any, is not read; the result has one pixel of padding.
pub(super) fn low_pass<const C: usize>(
    picture: &[[i16; C]],
    [width, height]: [usize; 2],
    sigma: f32,
) -> Vec<[i16; C]> {
    let reach = (2.5 * sigma).ceil() as usize;
    let weight = |i: usize| (-(i as f32 - reach as f32).powi(2) / (2.0 * sigma * sigma)).exp();
    let kernel: Vec<f32> = (0..=2 * reach).map(weight).collect();
    let sum: f32 = kernel.iter().sum();
    let kernel: Vec<f32> = kernel.iter().map(|k| k / sum).collect();
    const ROWS: usize = 4 * BAND;
    let mut result = vec![[0; C]; width * height + 1];
    result[..width * height]
        .par_chunks_mut(width * ROWS)
        .enumerate()
        .for_each(|(band, rows)| {
            let first = band * ROWS;
            let count = rows.len() / width;
            // Rows first - reach to first + count + reach, filtered along.
            let mut along = vec![[0f32; C]; width * (count + 2 * reach)];
            let mut line = vec![[0f32; C]; width + 2 * reach];
            for (y, along) in along.chunks_exact_mut(width).enumerate() {
                let source = (first + y).saturating_sub(reach).min(height - 1) * width;
                for (x, value) in line.iter_mut().enumerate() {
                    let x = x.saturating_sub(reach).min(width - 1);
                    *value = picture[source + x].map(f32::from);
                }
                for (i, k) in kernel.iter().enumerate() {
                    for (sum, value) in along.iter_mut().zip(&line[i..]) {
                        (0..C).for_each(|c| sum[c] += k * value[c]);
                    }
                }
            }
            let mut sums = vec![[0f32; C]; width];
            for (y, row) in rows.chunks_exact_mut(width).enumerate() {
                sums.fill([0.0; C]);
                for (i, k) in kernel.iter().enumerate() {
                    for (sum, value) in sums.iter_mut().zip(&along[(y + i) * width..]) {
                        (0..C).for_each(|c| sum[c] += k * value[c]);
                    }
                }
                for (pixel, sum) in row.iter_mut().zip(&sums) {
                    // Rounded, for either sign, without a call of `round`.
                    *pixel = sum.map(|s| ((s + 8192.5) as i32 - 8192) as i16);
                }
            }
        });
    result
}
