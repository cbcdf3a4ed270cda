//! Laplace's equation on a hole of any shape, from coarse to fine.
//!
//! Cascadic multigrid (Bornemann and Deuflhard, "The cascadic multigrid method for elliptic
//! problems", Numer. Math. 75, 1996): the problem is solved on a grid of half the size first, its
//! solution is the starting point, and a few sweeps repair what the coarse grid could not see.
//! Time is proportional to the number of pixels.

/// The part that a pixel plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Takes no part.
    Outside,
    /// Has a value that stays.
    Fixed,
    /// Becomes the mean of its four neighbours.
    Free,
}

/// Sweeps on the finest grid; each coarser one gets twice as many, up to a bound.
const SWEEPS: usize = 12;
const MOST_SWEEPS: usize = 200;
/// Over-relaxation.
const OMEGA: f32 = 1.4;
/// Grids of no longer side than this are not coarsened further.
const COARSEST: usize = 4;

/// Fills the free cells of a grid of `width`-long rows with the membrane through the fixed ones.
/// Free cells that no fixed cell can reach keep zero.
pub(crate) fn solve(cells: &[Cell], values: &mut [f32], width: usize) {
    solve_level(cells, values, width, SWEEPS);
}

fn solve_level(cells: &[Cell], values: &mut [f32], width: usize, sweeps: usize) {
    if !cells.contains(&Cell::Free) || !cells.contains(&Cell::Fixed) {
        return;
    }
    let height = cells.len() / width;
    if width.max(height) > COARSEST {
        let (coarse_cells, mut coarse, coarse_width) = coarsen(cells, values, width);
        let more = (2 * sweeps).min(MOST_SWEEPS);
        solve_level(&coarse_cells, &mut coarse, coarse_width, more);
        prolong(cells, values, width, &coarse_cells, &coarse, coarse_width);
    }
    for _ in 0..sweeps {
        sweep(cells, values, width, 0);
        sweep(cells, values, width, 1);
    }
}

/// A grid of half the size. A cell that covers a fixed one is fixed at the mean of those.
fn coarsen(cells: &[Cell], values: &[f32], width: usize) -> (Vec<Cell>, Vec<f32>, usize) {
    let height = cells.len() / width;
    let (coarse_width, coarse_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut coarse_cells = Vec::with_capacity(coarse_width * coarse_height);
    let mut coarse = Vec::with_capacity(coarse_width * coarse_height);
    for y in 0..coarse_height {
        for x in 0..coarse_width {
            let (mut sum, mut fixed, mut free) = (0.0, 0u8, false);
            for fy in 2 * y..(2 * y + 2).min(height) {
                for fx in 2 * x..(2 * x + 2).min(width) {
                    match cells[fy * width + fx] {
                        Cell::Fixed => {
                            sum += values[fy * width + fx];
                            fixed += 1;
                        }
                        Cell::Free => free = true,
                        Cell::Outside => {}
                    }
                }
            }
            if fixed > 0 {
                coarse_cells.push(Cell::Fixed);
                coarse.push(sum / f32::from(fixed));
            } else {
                coarse_cells.push(if free { Cell::Free } else { Cell::Outside });
                coarse.push(0.0);
            }
        }
    }
    (coarse_cells, coarse, coarse_width)
}

/// Free cells take the coarse solution, interpolated between the cells that take part.
fn prolong(
    cells: &[Cell],
    values: &mut [f32],
    width: usize,
    coarse_cells: &[Cell],
    coarse: &[f32],
    coarse_width: usize,
) {
    let coarse_height = coarse_cells.len() / coarse_width;
    // Own coarse cell, and the neighbour on the side where the fine cell lies.
    let pair = |i: usize, count: usize| {
        let own = i / 2;
        let other = if i % 2 == 1 {
            (own + 1).min(count - 1)
        } else {
            own.saturating_sub(1)
        };
        [(own, 0.75), (other, 0.25)]
    };
    for (i, &cell) in cells.iter().enumerate() {
        if cell != Cell::Free {
            continue;
        }
        let (mut sum, mut weight) = (0.0, 0.0);
        for (y, wy) in pair(i / width, coarse_height) {
            for (x, wx) in pair(i % width, coarse_width) {
                let at = y * coarse_width + x;
                if coarse_cells[at] != Cell::Outside {
                    sum += wx * wy * coarse[at];
                    weight += wx * wy;
                }
            }
        }
        // The own coarse cell covers a free cell, so it takes part and the weight is not zero.
        values[i] = sum / weight;
    }
}

/// One half sweep of successive over-relaxation: the cells of one colour of the chessboard.
fn sweep(cells: &[Cell], values: &mut [f32], width: usize, colour: usize) {
    let height = cells.len() / width;
    for y in 0..height {
        for x in ((y + colour) % 2..width).step_by(2) {
            let i = y * width + x;
            if cells[i] != Cell::Free {
                continue;
            }
            let (mut sum, mut count) = (0.0, 0.0);
            let mut take = |j: usize| {
                if cells[j] != Cell::Outside {
                    sum += values[j];
                    count += 1.0;
                }
            };
            if x > 0 {
                take(i - 1);
            }
            if x + 1 < width {
                take(i + 1);
            }
            if y > 0 {
                take(i - width);
            }
            if y + 1 < height {
                take(i + width);
            }
            if count > 0.0 {
                values[i] += OMEGA * (sum / count - values[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worst error of the membrane against a function that is harmonic on the lattice, relative
    /// to the function's largest value, in a disc.
    fn worst(side: usize, harmonic: impl Fn(f64, f64) -> f64) -> f64 {
        let middle = side as f64 / 2.0;
        let at = |i: usize| ((i % side) as f64 - middle, (i / side) as f64 - middle);
        let cells: Vec<Cell> = (0..side * side)
            .map(|i| {
                let (x, y) = at(i);
                match x.hypot(y) {
                    r if r < middle - 3.0 => Cell::Free,
                    r if r < middle - 1.5 => Cell::Fixed,
                    _ => Cell::Outside,
                }
            })
            .collect();
        let truth: Vec<f64> = (0..side * side)
            .map(|i| harmonic(at(i).0, at(i).1))
            .collect();
        let mut values: Vec<f32> = (0..side * side)
            .map(|i| {
                if cells[i] == Cell::Fixed {
                    truth[i] as f32
                } else {
                    0.0
                }
            })
            .collect();
        solve(&cells, &mut values, side);
        let largest = truth.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        (0..side * side)
            .filter(|&i| cells[i] == Cell::Free)
            .map(|i| (f64::from(values[i]) - truth[i]).abs() / largest)
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_membrane_through_harmonic_borders_is_the_harmonic_function() {
        // Constants, linear functions and x² − y² satisfy the five-point equation exactly.
        for side in [9, 64, 300] {
            let (constant, linear, saddle) = (
                worst(side, |_, _| 1.0),
                worst(side, |x, y| x + 0.5 * y),
                worst(side, |x, y| x * x - y * y),
            );
            eprintln!("{side}: {constant:.1e} {linear:.1e} {saddle:.1e}");
            assert!(constant < 1e-5, "{side}: {constant}");
            assert!(linear < 0.02 && saddle < 0.02, "{side}: {linear} {saddle}");
        }
    }
}
