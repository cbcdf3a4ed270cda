//! Exact Euclidean distances between pixels, by Meijster, Roerdink and Hesselink, "A General Algorithm
//! for Computing Distance Transforms in Linear Time", ISMM 2000.

use rayon::prelude::*;

/// Farther than was asked for.
pub(super) const FAR: u32 = u32::MAX;

/// For each pixel the square of its distance to the nearest target; [`FAR`] where no target is within
/// `reach` pixels of its column's part of the way.
pub(crate) fn squared_distances(width: usize, targets: &[bool], reach: u32) -> Vec<u32> {
    let mut distances = along_columns(width, targets, reach);
    distances.par_chunks_mut(width).for_each(along_row);
    distances
}

/// Distance to the nearest target of the same column, or [`FAR`].
fn along_columns(width: usize, targets: &[bool], reach: u32) -> Vec<u32> {
    let mut distances: Vec<u32> = (targets.iter())
        .map(|&is_target| if is_target { 0 } else { FAR })
        .collect();
    let next = |near: u32| match near {
        FAR => FAR,
        near if near >= reach => FAR,
        near => near + 1,
    };
    for i in width..distances.len() {
        distances[i] = distances[i].min(next(distances[i - width]));
    }
    for i in (0..distances.len().saturating_sub(width)).rev() {
        distances[i] = distances[i].min(next(distances[i + width]));
    }
    distances
}

/// From distances along the columns to squared distances in the plane.
fn along_row(row: &mut [u32]) {
    let columns: Vec<u32> = row.to_vec();
    let squared = |x: usize, site: usize| {
        let (across, down) = (x.abs_diff(site) as u64, u64::from(columns[site]));
        across * across + down * down
    };
    // The sites that are nearest to some pixel, each with the first pixel that it is nearest to.
    let mut nearest: Vec<(usize, usize)> = vec![];
    for site in (0..columns.len()).filter(|&x| columns[x] != FAR) {
        while nearest
            .last()
            .is_some_and(|&(other, from)| squared(from, other) > squared(from, site))
        {
            nearest.pop();
        }
        let from = match nearest.last() {
            None => 0,
            Some(&(other, _)) => first_nearer(&columns, other, site),
        };
        if from < columns.len() {
            nearest.push((site, from));
        }
    }
    let mut end = row.len();
    for &(site, from) in nearest.iter().rev() {
        for (x, distance) in row.iter_mut().enumerate().take(end).skip(from) {
            *distance = u32::try_from(squared(x, site)).unwrap_or(FAR);
        }
        end = from;
    }
}

/// The first pixel of a row that is nearer to `later` than to `earlier`, which lies left of it.
fn first_nearer(columns: &[u32], earlier: usize, later: usize) -> usize {
    let square = |x: usize| (x as i64) * (x as i64);
    let [near, far] = [earlier, later].map(|site| square(site) + square(columns[site] as usize));
    let crossing = (far - near).div_euclid(2 * (later - earlier) as i64);
    usize::try_from(crossing + 1).unwrap_or(0)
}
