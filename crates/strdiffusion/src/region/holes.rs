//! Connected holes of a mask, as runs of pixels: memory goes with the holes, not the photograph.

use crate::picture::Mask;

/// A horizontal run of hole pixels: row `y`, columns `start` up to but not including `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Row.
    pub y: usize,
    /// First column.
    pub start: usize,
    /// Column after the last.
    pub end: usize,
}

/// A connected hole, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    runs: Vec<Run>,
    pixels: usize,
    perimeter: usize,
}

impl Hole {
    /// A hole of these runs, whose border is `perimeter` pixel sides long.
    fn from_runs(runs: Vec<Run>, perimeter: usize) -> Self {
        let pixels = runs.iter().map(|r| r.end - r.start).sum();
        Self {
            runs,
            pixels,
            perimeter,
        }
    }

    /// The hole's pixels, top to bottom and left to right.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// The smallest rectangle around the hole: first column and row, columns and rows after the
    /// last.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            left: self.runs.iter().map(|r| r.start).min().unwrap_or(0),
            top: self.runs.first().map_or(0, |r| r.y),
            right: self.runs.iter().map(|r| r.end).max().unwrap_or(0),
            bottom: self.runs.last().map_or(0, |r| r.y + 1),
        }
    }

    /// Marks the hole's pixels as known.
    pub(super) fn close(&self, mask: &mut Mask) {
        for run in &self.runs {
            mask.set_known(run.y, run.start..run.end);
        }
    }

    /// Mean width of the hole across its long direction, in pixels: for a stroke its width, for a
    /// compact shape about half its extent.
    pub(crate) fn thickness(&self) -> f64 {
        2.0 * self.pixels as f64 / self.perimeter.max(1) as f64
    }

    /// The hole cut along a grid of squares of side `cell`. The parts' perimeters are not known.
    pub(super) fn split(&self, cell: usize) -> Vec<Hole> {
        let mut parts = std::collections::BTreeMap::<(usize, usize), Vec<Run>>::new();
        for run in &self.runs {
            let mut start = run.start;
            while start < run.end {
                let end = run.end.min((start / cell + 1) * cell);
                let part = parts.entry((run.y / cell, start / cell)).or_default();
                part.push(Run {
                    y: run.y,
                    start,
                    end,
                });
                start = end;
            }
        }
        parts.into_values().map(|r| Hole::from_runs(r, 0)).collect()
    }
}

/// A rectangle of pixels; `right` and `bottom` lie just past it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

impl Bounds {
    pub fn union(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    pub fn longer_side(self) -> usize {
        (self.right - self.left).max(self.bottom - self.top)
    }
}

/// A mask whose holes are these: of `width` × `height` pixels, the first of which is the
/// photograph's column `x`, row `y`. Each hole lies within it.
pub(crate) fn mask_of<'a>(
    holes: impl IntoIterator<Item = &'a Hole>,
    [x, y]: [usize; 2],
    [width, height]: [usize; 2],
) -> Mask {
    let mut keep = vec![1; width * height];
    for run in holes.into_iter().flat_map(Hole::runs) {
        let row = (run.y - y) * width;
        keep[row + run.start - x..row + run.end - x].fill(0);
    }
    Mask::from_keep(width, height, keep).expect("one value per pixel")
}

/// The connected holes of a mask (pixels touching at a side or a corner belong together), in the
/// order of their first pixels.
pub fn find_holes(mask: &Mask) -> Vec<Hole> {
    let mut runs: Vec<Run> = Vec::new();
    let mut parent: Vec<usize> = Vec::new();
    // Sides that each run shares with the run above, counted at the lower one.
    let mut shared: Vec<usize> = Vec::new();
    let mut above = 0..0;
    for (y, row) in mask.keep().chunks_exact(mask.width().max(1)).enumerate() {
        let first = runs.len();
        let mut x = 0;
        while let Some(offset) = row[x..].iter().position(|&k| k == 0) {
            let start = x + offset;
            let length = row[start..].iter().position(|&k| k != 0);
            let end = length.map_or(row.len(), |n| start + n);
            runs.push(Run { y, start, end });
            parent.push(parent.len());
            shared.push(0);
            x = end;
        }
        // Both rows' runs are sorted, so one walk finds all pairs that touch.
        let mut candidate = above.start;
        for here in first..runs.len() {
            let Run { start, end, .. } = runs[here];
            while candidate < above.end && runs[candidate].end < start {
                candidate += 1;
            }
            let mut other = candidate;
            while other < above.end && runs[other].start <= end {
                let up = runs[other];
                join(&mut parent, here, other);
                shared[here] += up.end.min(end).saturating_sub(up.start.max(start));
                other += 1;
            }
        }
        above = first..runs.len();
    }
    let mut order: Vec<usize> = Vec::new();
    let mut members = std::collections::HashMap::<usize, (Vec<Run>, usize)>::new();
    for i in 0..runs.len() {
        let root = root(&mut parent, i);
        let (list, perimeter) = members.entry(root).or_insert_with(|| {
            order.push(root);
            (Vec::new(), 0)
        });
        list.push(runs[i]);
        // Two ends, top and bottom; a shared side is border to neither of its two runs.
        *perimeter += 2 + 2 * (runs[i].end - runs[i].start);
        *perimeter -= 2 * shared[i];
    }
    order
        .into_iter()
        .filter_map(|root| members.remove(&root))
        .map(|(runs, perimeter)| Hole::from_runs(runs, perimeter))
        .collect()
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    // The earlier run leads, so that roots stay in reading order.
    parent[a.max(b)] = a.min(b);
}
