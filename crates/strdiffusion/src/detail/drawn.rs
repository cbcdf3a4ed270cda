//! Structure that a person has drawn into the hole: colours change at its lines.
//!
//! The drawn lines divide the hole into parts. A part's colours are those of its own border, not
//! of its neighbours': the membrane of each part alone, where the plain membrane would run across
//! the lines. Where the fill does not show that difference yet, it takes the part's colours.

use crate::blend::{Cell as Membrane, solve};

use super::pyramid::{Cell, Pixel, STEPS, WHITE};
use super::trust::ramp;

/// Lines are made this much wider in pixels before parts are told apart, so that a small gap does
/// not join two.
const GAP: usize = 2;
/// A part smaller than this share of the hole is a gap's remainder.
const LEAST_PART: f64 = 0.002;

/// The fill gives way where its share of the way from the parts' colours to the plain membrane's is
/// beyond these, and where those differ by so many steps of 1/255.
const ASTRAY: [f32; 2] = [0.25, 0.4];
const CHANGE: [f32; 2] = [6.0, 16.0];

/// Makes the fill in `pixels` obey lines: `is_line` for each pixel of a window `width` wide. False
/// where the lines divide nothing.
pub(super) fn obey(pixels: &mut [Pixel], cells: &[Cell], is_line: &[bool], width: usize) -> bool {
    let is_hole = |i: usize| cells[i] == Cell::Hole;
    if !(0..cells.len()).any(|i| is_hole(i) && is_line[i]) {
        return false;
    }
    let Some(parts) = Parts::find(cells, is_line, width) else {
        return false;
    };
    let (plain, divided): (Vec<_>, Vec<_>) = (0..3)
        .map(|c| {
            let known: Vec<f32> = pixels.iter().map(|pixel| f32::from(pixel[c])).collect();
            let plain = membrane(&known, cells, width, |_| true);
            let mut divided = plain.clone();
            for part in 1..=parts.count {
                let own = membrane(&known, cells, width, |i| parts.of[i] == part);
                for i in (0..cells.len()).filter(|&i| is_hole(i) && parts.of[i] == part) {
                    divided[i] = own[i];
                }
            }
            (plain, divided)
        })
        .unzip();
    for i in (0..cells.len()).filter(|&i| is_hole(i)) {
        let at = |planes: &[Vec<f32>]| [0, 1, 2].map(|c| planes[c][i]);
        let fill = [0, 1, 2].map(|c| f32::from(pixels[i][c]));
        let (divided, plain) = (at(&divided), at(&plain));
        let (to_divided, to_plain) = (distance(fill, divided), distance(fill, plain));
        let between = distance(plain, divided) / STEPS;
        // A fill that shows the line already is nearer to what the line asks for.
        let astray = to_divided / (to_divided + to_plain).max(1.0);
        let weight = ramp(astray, ASTRAY) * ramp(between, CHANGE);
        for c in 0..3 {
            let value = fill[c] + weight * (divided[c] - fill[c]);
            pixels[i][c] = value.round().clamp(0.0, WHITE) as i16;
        }
    }
    true
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f32>().sqrt()
}

/// The membrane through the known pixels over the hole's pixels that are chosen.
fn membrane(
    known: &[f32],
    cells: &[Cell],
    width: usize,
    is_chosen: impl Fn(usize) -> bool,
) -> Vec<f32> {
    let part = |i: usize| match cells[i] {
        cell if cell.is_known() => Membrane::Fixed,
        Cell::Hole if is_chosen(i) => Membrane::Free,
        _ => Membrane::Outside,
    };
    let parts: Vec<Membrane> = (0..cells.len()).map(part).collect();
    let mut values = known.to_vec();
    solve(&parts, &mut values, width);
    values
}

/// The parts into which lines divide the hole: for each pixel the number of its part from 1 on,
/// 0 outside the hole.
struct Parts {
    of: Vec<usize>,
    count: usize,
}

impl Parts {
    /// None where the lines divide nothing.
    fn find(cells: &[Cell], is_line: &[bool], width: usize) -> Option<Self> {
        let height = cells.len() / width;
        let is_hole = |i: usize| cells[i] == Cell::Hole;
        let mut is_wide = vec![false; cells.len()];
        for i in (0..cells.len()).filter(|&i| is_line[i]) {
            let (x, y) = (i % width, i / width);
            for y in y.saturating_sub(GAP)..(y + GAP + 1).min(height) {
                for x in x.saturating_sub(GAP)..(x + GAP + 1).min(width) {
                    is_wide[y * width + x] = true;
                }
            }
        }
        let neighbours = |i: usize| {
            let x = i % width;
            [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                Some(i + width).filter(|&j| j < cells.len()),
            ]
        };
        let holes = (0..cells.len()).filter(|&i| is_hole(i)).count();
        let mut of = vec![0; cells.len()];
        let mut count = 0;
        let mut border = vec![];
        for first in 0..cells.len() {
            if !is_hole(first) || is_wide[first] || of[first] != 0 {
                continue;
            }
            count += 1;
            let mut members = vec![first];
            of[first] = count;
            let mut next = 0;
            while let Some(&i) = members.get(next) {
                next += 1;
                for j in neighbours(i).into_iter().flatten() {
                    if is_hole(j) && !is_wide[j] && of[j] == 0 {
                        of[j] = count;
                        members.push(j);
                    }
                }
            }
            if (members.len() as f64) < LEAST_PART * holes as f64 {
                members.iter().for_each(|&i| of[i] = 0);
                count -= 1;
            } else {
                border.extend(members);
            }
        }
        if count < 2 {
            return None;
        }
        // What is left, the lines themselves, goes to the nearest part.
        while !border.is_empty() {
            let mut next = vec![];
            for i in border {
                for j in neighbours(i).into_iter().flatten() {
                    if is_hole(j) && of[j] == 0 {
                        of[j] = of[i];
                        next.push(j);
                    }
                }
            }
            border = next;
        }
        Some(Self { of, count })
    }
}
