//! Scale, shift and SiLU, GELU, nearest upsampling: forward and backward.

use crate::isa::{Isa, kernels_of};
use crate::kernels::pointwise::Modulate;
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use std::ptr::{null, null_mut};

/// (1 + scale, shift) of each plane.
fn affine(scale: Option<&[f32]>, shift: Option<&[f32]>, plane: usize) -> (f32, f32) {
    (
        1.0 + scale.map_or(0.0, |s| s[plane]),
        shift.map_or(0.0, |s| s[plane]),
    )
}

fn check(s: &MapShape, name: &str, planes: Option<&[f32]>) {
    if let Some(p) = planes {
        assert_eq!(
            p.len(),
            s.batch * s.channels,
            "{name} must have a value for each plane"
        );
    }
}

/// y = SiLU(x·(1 + scale) + shift), with `scale` and `shift` `[batch, channels]`; without either,
/// plain SiLU.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn modulate_silu(
    s: &MapShape,
    x: &[f32],
    scale: Option<&[f32]>,
    shift: Option<&[f32]>,
    y: &mut [f32],
) {
    s.check("x", x);
    s.check("y", y);
    check(s, "scale", scale);
    check(s, "shift", shift);
    let k = kernels_of(Isa::current());
    let (xs, ys) = (Shared::of(x), Shared::of_mut(y));
    parallel_for(s.batch * s.channels, |plane| {
        let (mul, add) = affine(scale, shift, plane);
        // SAFETY: the planes of x and y, whose lengths are checked; each item has its own.
        unsafe {
            (k.modulate)(&Modulate {
                count: s.positions,
                x: xs.get().add(plane * s.positions),
                mul,
                add,
                y: ys.get().add(plane * s.positions),
                dy: null(),
                dx: null_mut(),
                sums: null_mut(),
            });
        }
    });
}

/// Where the gradients of [`modulate_silu`] go.
pub struct ModulateGrads<'a> {
    /// With respect to x.
    pub dx: &'a mut [f32],
    /// With respect to the scale, `[batch, channels]`.
    pub dscale: Option<&'a mut [f32]>,
    /// With respect to the shift, `[batch, channels]`.
    pub dshift: Option<&'a mut [f32]>,
}

/// The gradients of [`modulate_silu`].
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn modulate_silu_backward(
    s: &MapShape,
    x: &[f32],
    scale: Option<&[f32]>,
    shift: Option<&[f32]>,
    dy: &[f32],
    grads: ModulateGrads,
) {
    s.check("x", x);
    s.check("dy", dy);
    s.check("dx", grads.dx);
    check(s, "scale", scale);
    check(s, "shift", shift);
    check(s, "dscale", grads.dscale.as_deref());
    check(s, "dshift", grads.dshift.as_deref());
    let k = kernels_of(Isa::current());
    let (xs, dys, dxs) = (Shared::of(x), Shared::of(dy), Shared::of_mut(grads.dx));
    let dscale = grads.dscale.map(Shared::of_mut);
    let dshift = grads.dshift.map(Shared::of_mut);
    parallel_for(s.batch * s.channels, |plane| {
        let (mul, add) = affine(scale, shift, plane);
        let mut sums = [0f32; 2];
        // SAFETY: the planes of x, dy and dx, and one element each of dscale and dshift, whose
        // lengths are checked; each item has its own.
        unsafe {
            (k.modulate_back)(&Modulate {
                count: s.positions,
                x: xs.get().add(plane * s.positions),
                mul,
                add,
                y: null_mut(),
                dy: dys.get().add(plane * s.positions),
                dx: dxs.get().add(plane * s.positions),
                sums: sums.as_mut_ptr(),
            });
            if let Some(d) = &dscale {
                *d.get().add(plane) = sums[0];
            }
            if let Some(d) = &dshift {
                *d.get().add(plane) = sums[1];
            }
        }
    });
}

/// Φ(x), the normal distribution, by Abramowitz & Stegun 7.1.26: within 1e-7.
fn normal(x: f64) -> f64 {
    let z = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let c = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let tail = 0.5 * c.iter().fold(0.0, |p, c| p * t + c) * t * (-z * z).exp();
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// y = x·Φ(x). For the small vectors of a time embedding: not threaded.
///
/// # Panics
/// If the lengths differ.
pub fn gelu(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    for (y, x) in y.iter_mut().zip(x) {
        let x = f64::from(*x);
        *y = (x * normal(x)) as f32;
    }
}

/// dx = dy·(Φ(x) + x·φ(x)).
///
/// # Panics
/// If the lengths differ.
pub fn gelu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!(x.len(), dy.len());
    assert_eq!(x.len(), dx.len());
    for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
        let x = f64::from(*x);
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        *dx = (f64::from(*dy) * (normal(x) + x * density)) as f32;
    }
}

/// Values of an item of work where values are only moved.
const MOVED: usize = 1 << 16;

/// The channels of `a` and then those of `b`, picture by picture: `[batch, …]` of both to one.
///
/// # Panics
/// If the lengths do not fit.
pub fn join(batch: usize, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert_eq!(y.len(), a.len() + b.len(), "y has the wrong length");
    let to = Shared::of_mut(y);
    pieces(batch, [a.len(), b.len()], |which, from, joined, count| {
        let source = [a, b][which];
        // SAFETY: this piece of y, which only this item touches.
        let y = unsafe { std::slice::from_raw_parts_mut(to.get().add(joined), count) };
        y.copy_from_slice(&source[from..from + count]);
    });
}

/// The gradient of [`join`]: dy taken apart again.
///
/// # Panics
/// If the lengths do not fit.
pub fn join_backward(batch: usize, dy: &[f32], da: &mut [f32], db: &mut [f32]) {
    let lengths = [da.len(), db.len()];
    assert_eq!(dy.len(), lengths[0] + lengths[1], "dy has the wrong length");
    let to = [da, db].map(Shared::of_mut);
    pieces(batch, lengths, |which, place, joined, count| {
        // SAFETY: this piece of the gradient, which only this item touches.
        let d = unsafe { std::slice::from_raw_parts_mut(to[which].get().add(place), count) };
        d.copy_from_slice(&dy[joined..joined + count]);
    });
}

/// Calls `f` (which of the two, place in it, place in their join, how many) for pieces of both.
fn pieces(batch: usize, lengths: [usize; 2], f: impl Fn(usize, usize, usize, usize) + Sync) {
    if batch == 0 {
        return;
    }
    assert!(lengths.iter().all(|len| len.is_multiple_of(batch)));
    let each = lengths.map(|len| len / batch);
    let counts = each.map(|len| len.div_ceil(MOVED));
    let items = counts[0] + counts[1];
    parallel_for(batch * items, |item| {
        let (picture, item) = (item / items, item % items);
        let which = usize::from(item >= counts[0]);
        let first = (item - which * counts[0]) * MOVED;
        let count = MOVED.min(each[which] - first);
        let joined = picture * (each[0] + each[1]) + which * each[0] + first;
        f(which, picture * each[which] + first, joined, count);
    });
}

/// Each value becomes 2 × 2 of it: `[planes, h, w]` to `[planes, 2h, 2w]`.
///
/// # Panics
/// If a slice's length does not fit.
pub fn upsample_nearest2(planes: usize, h: usize, w: usize, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), planes * h * w, "x has the wrong length");
    assert_eq!(y.len(), 4 * x.len(), "y has the wrong length");
    let out = Shared::of_mut(y);
    parallel_for(planes, |plane| {
        // SAFETY: plane `plane` of y, which only this item touches.
        let y =
            unsafe { std::slice::from_raw_parts_mut(out.get().add(plane * 4 * h * w), 4 * h * w) };
        for (row, rows) in x[plane * h * w..][..h * w]
            .chunks_exact(w.max(1))
            .zip(y.chunks_exact_mut(4 * w.max(1)))
        {
            let (first, second) = rows.split_at_mut(2 * w);
            for (pair, v) in first.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                *pair = [*v; 2];
            }
            second.copy_from_slice(first);
        }
    });
}

/// The gradient of [`upsample_nearest2`]: each dx is the sum of its 2 × 2.
///
/// # Panics
/// If a slice's length does not fit.
pub fn upsample_nearest2_backward(planes: usize, h: usize, w: usize, dy: &[f32], dx: &mut [f32]) {
    assert_eq!(dx.len(), planes * h * w, "dx has the wrong length");
    assert_eq!(dy.len(), 4 * dx.len(), "dy has the wrong length");
    let out = Shared::of_mut(dx);
    parallel_for(planes, |plane| {
        // SAFETY: plane `plane` of dx, which only this item touches.
        let dx = unsafe { std::slice::from_raw_parts_mut(out.get().add(plane * h * w), h * w) };
        for (row, rows) in dx
            .chunks_exact_mut(w.max(1))
            .zip(dy[plane * 4 * h * w..][..4 * h * w].chunks_exact(4 * w.max(1)))
        {
            let (first, second) = rows.split_at(2 * w);
            let pairs = first
                .as_chunks::<2>()
                .0
                .iter()
                .zip(second.as_chunks::<2>().0);
            for (v, (a, b)) in row.iter_mut().zip(pairs) {
                *v = (a[0] + a[1]) + (b[0] + b[1]);
            }
        }
    });
}
