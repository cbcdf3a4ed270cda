//! The guide's norm in training: the channels of each position to mean 0 and (unbiased) variance 1, and
//! the way back through it and through what it is steered by.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::lanes::{self, Bf16, Element};
use super::maps::{self, Block, DEEP, WIDE, load, stretches, unfilled};
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};

/// A normed map, and what each position was multiplied by.
#[derive(Debug)]
pub(super) struct Normed {
    pub map: Vec<Bf16>,
    inverse: Vec<f32>,
}

impl Normed {
    /// Of planes of f32.
    pub(super) fn of_planes(s: &MapShape, x: &[f32], epsilon: f32) -> Self {
        assert_eq!(x.len(), s.len());
        let (mut map, mut inverse) = (unfilled(s.len()), vec![0.0; s.batch * s.positions]);
        let from = Shared::of(x);
        let (to, to_inverse) = (Shared::of_mut(&mut map), Shared::of_mut(&mut inverse));
        stretches(s, |picture, first, end| {
            workspace::with(Slot::Rows, s.channels * WIDE, |rows| {
                for position in (first..end).step_by(WIDE) {
                    let block = Block {
                        picture,
                        position,
                        channel: 0,
                        deep: s.channels,
                        wide: WIDE.min(end - position),
                    };
                    let (to, to_inverse) = (to.get(), to_inverse.get());
                    // SAFETY: these positions of slices that have the asserted lengths.
                    unsafe { norm_planes(s, block, from.get(), epsilon, rows, to, to_inverse) };
                }
            });
        });
        Normed { map, inverse }
    }

    /// Of a map, whose place it takes.
    pub(super) fn of_map(s: &MapShape, mut map: Vec<Bf16>, epsilon: f32) -> Self {
        assert_eq!(map.len(), s.len());
        let mut inverse = vec![0.0; s.batch * s.positions];
        let (to, to_inverse) = (Shared::of_mut(&mut map), Shared::of_mut(&mut inverse));
        stretches(s, |picture, first, end| {
            for position in picture * s.positions + first..picture * s.positions + end {
                // SAFETY: this position's channels.
                unsafe {
                    let x = to.get().add(position * s.channels);
                    *to_inverse.get().add(position) = norm_position(s.channels, x, epsilon);
                }
            }
        });
        Normed { map, inverse }
    }
}

/// One block of positions, with all their channels, of [`Normed::of_planes`].
///
/// # Safety
/// The block lies within the planes and the map; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn norm_planes(
    s: &MapShape,
    block: Block,
    from: *const f32,
    epsilon: f32,
    rows: &mut [f32],
    to: *mut Bf16,
    inverse: *mut f32,
) {
    let mask = lanes::first(block.wide);
    let (rows, _) = rows.as_chunks_mut::<WIDE>();
    // Planes lie far apart: they are read once, and then from here.
    let mut sum = _mm512_setzero_ps();
    for (c, row) in rows.iter_mut().enumerate() {
        // SAFETY: the masked positions of a plane; 16 floats.
        unsafe {
            let v = f32::load(from.add(block.plane(s, c)), mask);
            _mm512_storeu_ps(row.as_mut_ptr(), v);
            sum = _mm512_add_ps(sum, v);
        }
    }
    let mean = _mm512_div_ps(sum, _mm512_set1_ps(s.channels as f32));
    let centred = |row: &[f32; WIDE]| {
        // SAFETY: 16 floats.
        _mm512_sub_ps(unsafe { _mm512_loadu_ps(row.as_ptr()) }, mean)
    };
    let mut squares = _mm512_setzero_ps();
    for row in rows.iter() {
        let v = centred(row);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    let variance = _mm512_div_ps(squares, _mm512_set1_ps(s.channels as f32 - 1.0));
    let deviation = _mm512_sqrt_ps(_mm512_add_ps(variance, _mm512_set1_ps(epsilon)));
    let by = _mm512_div_ps(_mm512_set1_ps(1.0), deviation);
    let value = |c: usize| match rows.get(c) {
        Some(row) => _mm512_mul_ps(centred(row), by),
        None => _mm512_setzero_ps(),
    };
    // SAFETY: the contract.
    unsafe {
        let at = block.picture * s.positions + block.position;
        f32::store(inverse.add(at), mask, by);
        for channel in (0..s.channels).step_by(DEEP) {
            let pairs = from_fn(|i| {
                let c = channel + 2 * i;
                lanes::pairs(value(c), value(c + 1))
            });
            let deep = DEEP.min(s.channels - channel);
            let block = Block {
                channel,
                deep,
                ..block
            };
            maps::store_turned(s, block, pairs, to);
        }
    }
}

/// Norms a position's channels in their place, and tells what they were multiplied by.
///
/// # Safety
/// There are so many channels; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn norm_position(channels: usize, x: *mut Bf16, epsilon: f32) -> f32 {
    // SAFETY: the contract.
    let (mean, squares) = unsafe { maps::moments(channels, x) };
    let inverse = 1.0 / (squares / (channels as f32 - 1.0) + epsilon).sqrt();
    let (mean, by) = (_mm512_set1_ps(mean), _mm512_set1_ps(inverse));
    for c in (0..channels).step_by(DEEP) {
        // SAFETY: these channels.
        unsafe {
            let v = load(channels, x, c).map(|v| _mm512_mul_ps(_mm512_sub_ps(v, mean), by));
            store(channels, x, c, v);
        }
    }
    inverse
}

/// The way back of [`load`].
///
/// # Safety
/// As there, to write.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn store(channels: usize, to: *mut Bf16, c: usize, [even, odd]: [__m512; 2]) {
    let mask = lanes::first16(channels - c);
    // SAFETY: the masked places lie within the channels.
    unsafe { _mm512_mask_storeu_epi16(to.add(c).cast(), mask, lanes::pairs(even, odd)) };
}

/// What a normed map n became: lrelu(n · (1 + γ) + β).
pub(super) struct Steering<'a> {
    pub gamma: &'a [Bf16],
    /// The result: its sign is that of what the leaky ReLU had.
    pub steered: &'a [Bf16],
    pub slope: f32,
}

/// From the gradient with respect to the steered map, in its place that with respect to the map before
/// its norm; and γ's gradient and β's, the channels of the one and then those of the other.
pub(super) fn back(
    s: &MapShape,
    norm: &Normed,
    steering: Steering,
    d: &mut [Bf16],
    dmaps: &mut [Bf16],
) {
    let Steering {
        gamma,
        steered,
        slope,
    } = steering;
    assert_eq!([norm.map.len(), gamma.len()], [s.len(); 2]);
    assert_eq!([steered.len(), d.len()], [s.len(); 2]);
    assert_eq!(dmaps.len(), 2 * s.len());
    assert_eq!(norm.inverse.len(), s.batch * s.positions);
    let (d, dmaps) = (Shared::of_mut(d), Shared::of_mut(dmaps));
    stretches(s, |picture, first, end| {
        for position in picture * s.positions + first..picture * s.positions + end {
            let own = position * s.channels..(position + 1) * s.channels;
            // SAFETY: this position's channels, which are this item's alone.
            unsafe {
                let d = d.get().add(own.start);
                back_position(
                    s.channels,
                    [&norm.map, gamma, steered].map(|map| map[own.clone()].as_ptr()),
                    norm.inverse[position],
                    slope,
                    d,
                    dmaps.get().add(2 * own.start),
                );
            }
        }
    });
}

/// One position of [`back`]: with d through the leaky ReLU and g = d · (1 + γ),
/// dx = (g − mean g − n · Σ(g · n) / (channels − 1)) / deviation.
///
/// # Safety
/// All have so many channels, `dmaps` twice as many; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn back_position(
    channels: usize,
    [norm, gamma, steered]: [*const Bf16; 3],
    inverse: f32,
    slope: f32,
    d: *mut Bf16,
    dmaps: *mut Bf16,
) {
    let (zero, slope) = (_mm512_setzero_ps(), _mm512_set1_ps(slope));
    let through = |c: usize| {
        // SAFETY: these channels.
        let [d, steered, gamma] =
            [d.cast_const(), steered, gamma].map(|map| unsafe { load(channels, map, c) });
        [0, 1].map(|i| {
            let falls = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(steered[i], zero);
            let d = _mm512_mask_mul_ps(d[i], falls, d[i], slope);
            (d, _mm512_fmadd_ps(d, gamma[i], d))
        })
    };
    let (mut sum, mut dot) = (zero, zero);
    for c in (0..channels).step_by(DEEP) {
        let [even, odd] = through(c);
        // SAFETY: these channels; what is behind them is zero.
        unsafe {
            let norm = load(channels, norm, c);
            for ((_, g), norm) in [even, odd].into_iter().zip(norm) {
                sum = _mm512_add_ps(sum, g);
                dot = _mm512_fmadd_ps(g, norm, dot);
            }
            let dgamma = [
                _mm512_mul_ps(even.0, norm[0]),
                _mm512_mul_ps(odd.0, norm[1]),
            ];
            store(channels, dmaps, c, dgamma);
            store(channels, dmaps.add(channels), c, [even.0, odd.0]);
        }
    }
    let mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / channels as f32);
    let dot = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / (channels as f32 - 1.0));
    let inverse = _mm512_set1_ps(inverse);
    for c in (0..channels).step_by(DEEP) {
        let g = through(c);
        // SAFETY: these channels.
        unsafe {
            let norm = load(channels, norm, c);
            let dx = [0, 1].map(|i| {
                let left = _mm512_fnmadd_ps(norm[i], dot, _mm512_sub_ps(g[i].1, mean));
                _mm512_mul_ps(left, inverse)
            });
            store(channels, d, c, dx);
        }
    }
}

/// Positions whose sums are kept in f32.
const STRETCH: usize = 1024;

/// Sums of each channel over all positions and pictures.
pub(super) fn sums(s: &MapShape, x: &[Bf16], to: &mut [f32]) {
    assert_eq!([x.len(), to.len()], [s.len(), s.channels]);
    let positions = s.batch * s.positions;
    let items = positions.div_ceil(STRETCH);
    let row = s.channels.next_multiple_of(DEEP);
    let mut parts = vec![0f32; items * row];
    let (from, parts_of) = (Shared::of(x), Shared::of_mut(&mut parts));
    parallel_for(items, |item| {
        let own = item * STRETCH..positions.min((item + 1) * STRETCH);
        // SAFETY: these positions, and sums that are this item's alone.
        unsafe {
            let sums = parts_of.get().add(item * row);
            add_stretch(
                s.channels,
                from.get().add(own.start * s.channels),
                own.len(),
                sums,
            );
        }
    });
    for (c, to) in to.iter_mut().enumerate() {
        // Even channels of a group stand before its odd ones.
        let at = c / DEEP * DEEP + c % 2 * WIDE + c % DEEP / 2;
        let part = |item: usize| f64::from(parts[item * row + at]);
        *to = (0..items).map(part).sum::<f64>() as f32;
    }
}

/// Adds so many positions to sums of their channels, in whole groups, the even ones first.
///
/// # Safety
/// There are so many; the CPU has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn add_stretch(channels: usize, x: *const Bf16, positions: usize, sums: *mut f32) {
    for i in 0..positions {
        for c in (0..channels).step_by(DEEP) {
            // SAFETY: these channels of the position and the sums of their group.
            unsafe {
                for (half, v) in load(channels, x.add(i * channels), c)
                    .into_iter()
                    .enumerate()
                {
                    let to = sums.add(c + half * WIDE);
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), v));
                }
            }
        }
    }
}
