//! A 3×3 convolution of a doubled map, from the map before: see [`DoubledConv`].
//!
//! The even and the odd rows of the output are a convolution each, of two rows and three columns,
//! whose outputs are even and odd columns in turn: so sums leave as whole stretches of a row. A
//! third of these weights are zeros.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::channels_last::{Sink, Spot, forward_into};
use super::lanes::{self, Element};
use super::maps;
use super::planes::turned;
use crate::doubled::DoubledConv;
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::Conv2dShape;

/// What an even output makes of three taps, for the values before, at and behind its own, and an odd one.
fn met([a, b, c]: [f32; 3]) -> [[f32; 3]; 2] {
    [[a, b + c, 0.0], [0.0, a + b, c]]
}

/// Weights `[2 · out, in, 2, 3]` for the even rows (0) or the odd ones (1).
fn weights(s: &DoubledConv, w: &[f32], odd: usize) -> Vec<f32> {
    let mut weights = vec![0.0; w.len() / 9 * 12];
    let to = Shared::of_mut(&mut weights);
    parallel_for(s.out_channels, |o| {
        for i in 0..s.in_channels {
            let w = &w[(o * s.in_channels + i) * 9..][..9];
            // For each column of taps, those of the rows that are met.
            let rows: [[f32; 3]; 3] = from_fn(|x| met(from_fn(|y| w[y * 3 + x]))[odd]);
            for column in 0..2 {
                let kernel: [[f32; 3]; 2] = from_fn(|y| met(from_fn(|x| rows[x][odd + y]))[column]);
                let at = ((2 * o + column) * s.in_channels + i) * 6;
                // SAFETY: this item's own kernels.
                unsafe { to.get().add(at).cast::<[[f32; 3]; 2]>().write(kernel) };
            }
        }
    });
    weights
}

/// Sums of even and odd columns as planes of f32, between those of the other rows.
struct ToRows<'a> {
    s: &'a DoubledConv,
    odd: usize,
    bias: &'a [f32],
    y: Shared<*mut f32>,
}

impl Sink for ToRows<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let &DoubledConv {
            height,
            width,
            out_channels,
            ..
        } = self.s;
        let (row, column) = (at.place / width, at.place % width);
        // The convolution has a row too many: the last for even rows, the first for odd ones.
        let Some(row) = row.checked_sub(self.odd).filter(|row| *row < height) else {
            return;
        };
        let orders = [0, 8].map(|first| {
            let half = _mm512_srli_epi32::<1>(lanes::lanes());
            let place = _mm512_add_epi32(half, _mm512_set1_epi32(first));
            // From the second operand where the lane is odd.
            let odd = _mm512_and_si512(lanes::lanes(), _mm512_set1_epi32(1));
            _mm512_or_si512(place, _mm512_slli_epi32::<4>(odd))
        });
        for half in 0..2 {
            let first = at.output + half * 16;
            // SAFETY: two tiles of sums.
            let rows = unsafe { turned(sums, half) };
            for (i, pair) in rows.as_chunks::<2>().0.iter().enumerate() {
                let channel = first / 2 + i;
                let Some(bias) = self.bias.get(channel) else {
                    return;
                };
                let plane = at.picture * out_channels + channel;
                let to = ((plane * height + row) * 2 + self.odd) * 2 * width + 2 * column;
                let pair = pair.map(|v| _mm512_castsi512_ps(v));
                for (i, order) in orders.into_iter().enumerate() {
                    let v = _mm512_permutex2var_ps(pair[0], order, pair[1]);
                    let v = _mm512_add_ps(v, _mm512_set1_ps(*bias));
                    let count = (2 * at.count).saturating_sub(16 * i);
                    // SAFETY: these columns of the row.
                    unsafe {
                        let to = self.y.get().wrapping_add(to + 16 * i);
                        f32::store(to, lanes::first(count), v);
                    }
                }
            }
        }
    }
}

/// y, from slices that have the shape's lengths, on a CPU with tiles.
pub(crate) fn forward(s: &DoubledConv, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
    let input = [s.batch, s.in_channels, s.height, s.width];
    let planes = MapShape {
        batch: s.batch,
        channels: s.in_channels,
        positions: s.height * s.width,
    };
    let mut map = maps::unfilled(x.len());
    maps::from_planes(&planes, x, &mut map);
    let conv = Conv2dShape {
        kernel: [2, 3],
        ..Conv2dShape::new(input, 2 * s.out_channels, 3, 1, 1)
    };
    for odd in 0..2 {
        let w = weights(s, w, odd);
        let sink = ToRows {
            s,
            odd,
            bias,
            y: Shared::of_mut(y),
        };
        // SAFETY: the sink takes such an output, and writes places that y has.
        unsafe { forward_into(&conv, &map, &w, &sink) };
    }
}
