//! Gradients of the convolution.

use crate::conv::{Method, forward_taps};
use crate::isa::{Isa, kernels_of};
use crate::kernels::gather::Run;
use crate::kernels::gemm::{DN, Dot};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::{Conv2dShape, Epilogue, Precision};
use crate::taps::{self, Places, Taps};
use crate::tiles;
use crate::winograd::{self, Geometry, Source};
use crate::workspace::{self, Slot};
use std::cell::RefCell;

/// dx, `[batch, in, h, w]`: the gradient with respect to the input, from dy, `[batch, out, oh,
/// ow]`, and the weights `[out, in, kh, kw]`.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv2d_input_grad(
    s: &Conv2dShape,
    dy: &[f32],
    w: &[f32],
    precision: Precision,
    dx: &mut [f32],
) {
    assert_eq!(
        dy.len(),
        s.output_len(),
        "the gradient's length does not fit {s:?}"
    );
    assert_eq!(
        w.len(),
        s.weight_len(),
        "the weights' length does not fit {s:?}"
    );
    assert_eq!(
        dx.len(),
        s.input_len(),
        "the result's length does not fit {s:?}"
    );
    let isa = Isa::current();
    let none = Epilogue::default().raw(s.batch, s.in_channels, dx.len());
    let method = Method::of(s, s.out_channels, precision);
    if let Method::Winograd(p) = method {
        // It is a 3×3 convolution too, with the kernels turned and the channels exchanged.
        let (inputs, outputs) = (s.out_channels, s.in_channels);
        let g = Geometry {
            batch: s.batch,
            inputs,
            outputs,
            h: s.height,
            w: s.width,
        };
        let source = Source {
            w,
            transposed: true,
        };
        if winograd::pays_to_stream(isa, p, &g) {
            return winograd::conv_streamed(isa, p, g, source, dy, dx, none);
        }
        let len = winograd::packed_len(isa, p, inputs, outputs);
        return workspace::with(Slot::Weights, len, |u| {
            winograd::pack(isa, p, source, inputs, outputs, u);
            winograd::conv(isa, p, g, dy, u, dx, none);
        });
    }
    for py in 0..s.stride.min(s.height) {
        for px in 0..s.stride.min(s.width) {
            let (t, places) = residue_taps(s, [py, px]);
            if method == Method::Tiles && tiles::supports(&t) {
                workspace::with(Slot::Weights, tiles::packed_len(&t), |u| {
                    tiles::pack(&t, w, &places, u);
                    tiles::conv(&t, dy, u, dx, none);
                });
                continue;
            }
            let len = taps::packed_len(isa, t.terms(), t.outputs);
            workspace::with(Slot::Weights, len, |u| {
                taps::pack(isa, &t, w, &places, u);
                taps::conv(isa, &t, dy, u, dx, none);
            });
        }
    }
}

/// The input gradient of a convolution with stride 1, as a convolution of dy. Only tiles ask for it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn input_gradient_taps(s: &Conv2dShape) -> (Taps, Places) {
    assert_eq!(s.stride, 1);
    residue_taps(s, [0, 0])
}

/// The part of the input gradient at the positions ≡ (py, px) modulo the stride: a convolution of
/// dy with a part of the kernel, whose outputs are the layer's inputs and whose taps run backwards.
fn residue_taps(s: &Conv2dShape, [py, px]: [usize; 2]) -> (Taps, Places) {
    let [kh, kw] = s.kernel;
    let (y, x) = (Residue::of(py, s, 0), Residue::of(px, s, 1));
    let mut t = Taps {
        batch: s.batch,
        inputs: s.out_channels,
        h: s.out_size()[0],
        w: s.out_size()[1],
        outputs: s.in_channels,
        grid: [
            (s.height - py).div_ceil(s.stride),
            (s.width - px).div_ceil(s.stride),
        ],
        stride: 1,
        taps: [y.taps, x.taps],
        first: [y.first, x.first],
        out: [s.height, s.width],
        out_stride: s.stride,
        out_first: [py, px],
    };
    if s.kernel == [1, 1] && s.stride == 1 && s.padding == 0 {
        (t.h, t.w) = (1, t.h * t.w);
        (t.grid, t.out) = ([1, t.w], [1, t.w]);
    }
    let last = |r: &Residue| r.kernel + s.stride * r.taps.saturating_sub(1);
    let places = Places {
        first: last(&y) * kw + last(&x),
        output: (kh * kw) as isize,
        input: (s.in_channels * kh * kw) as isize,
        tap: [-((s.stride * kw) as isize), -(s.stride as isize)],
    };
    (t, places)
}

/// The kernel taps that reach the positions ≡ p modulo the stride: output o = (i + pad − k)/stride
/// for k = kernel, kernel + stride, …
struct Residue {
    taps: usize,
    /// The first of them.
    kernel: usize,
    /// Offset of the lowest output that they come from.
    first: isize,
}

impl Residue {
    fn of(p: usize, s: &Conv2dShape, axis: usize) -> Self {
        let kernel = (p + s.padding) % s.stride;
        let taps = s.kernel[axis].saturating_sub(kernel).div_ceil(s.stride);
        let highest = ((p + s.padding - kernel) / s.stride) as isize;
        Residue {
            taps,
            kernel,
            first: highest - (taps as isize - 1),
        }
    }
}

/// Positions that are summed in one go.
const POSITIONS: usize = 1024;
/// Rows of im2col that an item of work holds at least.
const ROWS: usize = 96;

#[derive(Default)]
struct Plan {
    runs: Vec<Run>,
}

thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
}

/// dw, `[out, in, kh, kw]`: the gradient with respect to the weights, from the input and dy.
///
/// The order of the sums depends on the shape alone: the result is the same, bit for bit, for any
/// number of threads.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv2d_weight_grad(
    s: &Conv2dShape,
    x: &[f32],
    dy: &[f32],
    precision: Precision,
    dw: &mut [f32],
) {
    assert_eq!(
        x.len(),
        s.input_len(),
        "the input's length does not fit {s:?}"
    );
    assert_eq!(
        dy.len(),
        s.output_len(),
        "the gradient's length does not fit {s:?}"
    );
    assert_eq!(
        dw.len(),
        s.weight_len(),
        "the result's length does not fit {s:?}"
    );
    let isa = Isa::current();
    // The sums of the other precisions are the same here.
    let precision = match precision {
        Precision::Bf16 => Precision::Bf16,
        _ => Precision::Fast,
    };
    let method = Method::of(s, s.in_channels, precision);
    if method == Method::Tiles {
        return tiles::weight_grad(s, x, dy, dw);
    }
    if let Method::Winograd(p) = method {
        let g = Geometry {
            batch: s.batch,
            inputs: s.in_channels,
            outputs: s.out_channels,
            h: s.height,
            w: s.width,
        };
        return winograd::weight_grad(isa, p, g, x, dy, dw);
    }
    let k = kernels_of(isa);
    let t = forward_taps(s);
    let per_channel = s.kernel[0] * s.kernel[1];
    let plane = t.grid[0] * t.grid[1];
    let positions = s.batch * plane;
    if dw.is_empty() || positions == 0 {
        return dw.fill(0.0);
    }
    // Items: a few input channels with all outputs; small layers divide the outputs as well.
    let channels = ROWS.div_ceil(per_channel).min(s.in_channels);
    let slices = s.in_channels.div_ceil(channels);
    let parts = 8usize.div_ceil(slices).min(s.out_channels.div_ceil(k.dm));
    let (xs, dys, dws) = (Shared::of(x), Shared::of(dy), Shared::of_mut(dw));
    parallel_for(slices * parts, |item| {
        let (slice, part) = (item / parts, item % parts);
        let (c0, c1) = (
            slice * channels,
            ((slice + 1) * channels).min(s.in_channels),
        );
        let rows = (c1 - c0) * per_channel;
        let groups = s.out_channels.div_ceil(k.dm);
        let o0 = groups * part / parts * k.dm;
        let o1 = (groups * (part + 1) / parts * k.dm).min(s.out_channels);
        let step = POSITIONS.min(positions).next_multiple_of(16) + 16;
        workspace::with(Slot::Input, rows * step, |b| {
            workspace::with(Slot::Rows, (o1 - o0) * step, |a| {
                PLAN.with_borrow_mut(|plan| {
                    for p0 in (0..positions).step_by(POSITIONS) {
                        let p1 = (p0 + POSITIONS).min(positions);
                        t.runs(p0, p1, POSITIONS, |i| i, &mut plan.runs);
                        // SAFETY: x has the asserted length; each row has room for the block.
                        unsafe {
                            (k.gather)(&t.gather(
                                xs.get(),
                                c0,
                                c1,
                                &plan.runs,
                                b.as_mut_ptr(),
                                step,
                            ))
                        };
                        for (o, row) in (o0..o1).zip(a.chunks_exact_mut(step)) {
                            let mut p = p0;
                            while p < p1 {
                                let (n, i) = (p / plane, p % plane);
                                let count = (plane - i).min(p1 - p);
                                // SAFETY: dy has the asserted length.
                                let from = unsafe {
                                    std::slice::from_raw_parts(
                                        dys.get().add((n * s.out_channels + o) * plane + i),
                                        count,
                                    )
                                };
                                row[p - p0..p - p0 + count].copy_from_slice(from);
                                p += count;
                            }
                        }
                        for o in (o0..o1).step_by(k.dm) {
                            for r in (0..rows).step_by(DN) {
                                // SAFETY: both buffers hold p1 − p0 floats in each row named;
                                // the results are this item's own part of dw.
                                unsafe {
                                    (k.dot)(&Dot {
                                        k: p1 - p0,
                                        a: a.as_ptr().add((o - o0) * step),
                                        a_step: step,
                                        rows: k.dm.min(o1 - o),
                                        b: b.as_ptr().add(r * step),
                                        b_step: step,
                                        cols: DN.min(rows - r),
                                        out: dws
                                            .get()
                                            .add((o * s.in_channels + c0) * per_channel + r),
                                        out_step: s.in_channels * per_channel,
                                        accumulate: p0 > 0,
                                    });
                                }
                            }
                        }
                    }
                });
            });
        });
    });
}

/// db, `[out]`: the gradient with respect to the bias, from dy, `[batch, out, oh, ow]`.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv2d_bias_grad(s: &Conv2dShape, dy: &[f32], db: &mut [f32]) {
    assert_eq!(
        dy.len(),
        s.output_len(),
        "the gradient's length does not fit {s:?}"
    );
    assert_eq!(
        db.len(),
        s.out_channels,
        "the result's length does not fit {s:?}"
    );
    let [oh, ow] = s.out_size();
    let plane = oh * ow;
    let out = Shared::of_mut(db);
    parallel_for(s.out_channels, |o| {
        let sum: f64 = (0..s.batch)
            .map(|n| sum(&dy[(n * s.out_channels + o) * plane..][..plane]))
            .sum();
        // SAFETY: channel o of db, which only this item writes.
        unsafe { *out.get().add(o) = sum as f32 };
    });
}

/// Sums in 16 strands, in f64 from stretch to stretch.
fn sum(v: &[f32]) -> f64 {
    let mut total = 0.0;
    for stretch in v.chunks(4096) {
        let mut strands = [0f32; 16];
        let (whole, rest) = stretch.as_chunks::<16>();
        for chunk in whole {
            for (s, x) in strands.iter_mut().zip(chunk) {
                *s += x;
            }
        }
        total += strands
            .iter()
            .chain(rest)
            .map(|x| f64::from(*x))
            .sum::<f64>();
    }
    total
}
