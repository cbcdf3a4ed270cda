//! The gradient of the 3×3 convolution with respect to its weights.

use super::{Geometry, PLAN, SKEW, Transform, algorithm};
use crate::Isa;
use crate::isa::kernels_of;
use crate::kernels::gemm::{DN, Dot};
use crate::kernels::winograd::{Gradient, Input, WeightBack};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};

/// Transformed tiles of both operands of [`weight_grad`] may take this many floats: 32 MB.
const GRAD_FLOATS: usize = 8_000_000;
/// Tiles of a piece of work in the transforms of [`weight_grad`].
const GRAD_BLOCK: usize = 64;

/// dw, `[outputs, inputs, 3, 3]` = Gᵀ [ Σ (Bᵀ x B) ⊙ (A dy Aᵀ) ] G, the sum over all tiles.
///
/// For stretches of tiles: transform both operands, then add the products of each point. The
/// stretches depend on the shape alone.
pub(crate) fn weight_grad(
    isa: Isa,
    p: Transform,
    g: Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let k = kernels_of(isa);
    let f = algorithm(k, p);
    assert_eq!(x.len(), g.batch * g.inputs * g.h * g.w);
    assert_eq!(dy.len(), g.batch * g.outputs * g.h * g.w);
    assert_eq!(dw.len(), g.inputs * g.outputs * 9);
    let points = f.a * f.a;
    let total = g.batch * g.h.div_ceil(f.m) * g.w.div_ceil(f.m);
    if total == 0 || dw.is_empty() {
        return dw.fill(0.0);
    }
    let room = GRAD_FLOATS / (points * (g.inputs + g.outputs));
    let stretch = (room / GRAD_BLOCK * GRAD_BLOCK).clamp(GRAD_BLOCK, 512);
    // Rows are set off by one cache line, so that they do not share cache sets.
    let row = stretch.min(total).next_multiple_of(16) + SKEW;
    let (v_step, d_step) = (g.inputs * row, g.outputs * row);
    let sums = points * g.inputs * g.outputs;
    let (xs, dys, dws) = (Shared::of(x), Shared::of(dy), Shared::of_mut(dw));
    workspace::with(Slot::Zeros, g.w, |zeros| {
        let zeros = Shared::of(zeros);
        workspace::with(Slot::Shared, points * (v_step + d_step) + sums, |all| {
            let (v, rest) = all.split_at_mut(points * v_step);
            let (d, s) = rest.split_at_mut(points * d_step);
            let (v, d, s) = (Shared::of_mut(v), Shared::of_mut(d), Shared::of_mut(s));
            for t0 in (0..total).step_by(stretch) {
                let t1 = (t0 + stretch).min(total);
                let blocks = (t1 - t0).div_ceil(GRAD_BLOCK);
                let slices = 16usize.div_ceil(blocks).min(g.inputs.max(g.outputs));
                parallel_for(blocks * slices, |item| {
                    let (b, slice) = (item / slices, item % slices);
                    let share = |n: usize| (n * slice / slices, n * (slice + 1) / slices);
                    let start = t0 + b * GRAD_BLOCK;
                    PLAN.with_borrow_mut(|plan| {
                        plan.fill(&g, f.m, f.a, k.lanes, start, (start + GRAD_BLOCK).min(t1));
                        let block = plan.block(&g);
                        let (c0, c1) = share(g.inputs);
                        let (o0, o1) = share(g.outputs);
                        workspace::with(Slot::Rows, plan.scratch, |scratch| {
                            // SAFETY: lengths are asserted above; V and D hold `row` floats for
                            // each point and channel, of which this item writes its own tiles
                            // and channels; the tiles of a block, void ones included, fit.
                            unsafe {
                                (f.input)(&Input {
                                    block: &block,
                                    x: xs.get(),
                                    channels: g.inputs,
                                    c0,
                                    c1,
                                    scratch: scratch.as_mut_ptr(),
                                    zeros: zeros.get(),
                                    v: v.get().add(b * GRAD_BLOCK),
                                    point_step: v_step,
                                    group: row,
                                });
                                (f.gradient)(&Gradient {
                                    block: &block,
                                    dy: dys.get(),
                                    channels: g.outputs,
                                    c0: o0,
                                    c1: o1,
                                    v: d.get().add(b * GRAD_BLOCK),
                                    point_step: d_step,
                                    channel_step: row,
                                });
                            }
                        });
                    });
                });
                let tiles = (t1 - t0).next_multiple_of(k.lanes);
                let rows = 8 * k.dm;
                let parts = g.outputs.div_ceil(rows);
                parallel_for(points * parts, |item| {
                    let (point, part) = (item / parts, item % parts);
                    for o in (part * rows..g.outputs.min((part + 1) * rows)).step_by(k.dm) {
                        for c in (0..g.inputs).step_by(DN) {
                            // SAFETY: both operands hold `tiles` floats in each row named; the
                            // sums of this point and these outputs are this item's own.
                            unsafe {
                                (k.dot)(&Dot {
                                    k: tiles,
                                    a: d.get().add(point * d_step + o * row),
                                    a_step: row,
                                    rows: k.dm.min(g.outputs - o),
                                    b: v.get().add(point * v_step + c * row),
                                    b_step: row,
                                    cols: DN.min(g.inputs - c),
                                    out: s.get().add((point * g.outputs + o) * g.inputs + c),
                                    out_step: g.inputs,
                                    accumulate: t0 > 0,
                                });
                            }
                        }
                    }
                });
            }
            parallel_for(g.outputs, |o| {
                // SAFETY: the sums are complete; output o of dw is this item's own.
                unsafe {
                    (f.weight_back)(&WeightBack {
                        s: s.get().add(o * g.inputs),
                        point_step: g.inputs * g.outputs,
                        inputs: g.inputs,
                        dw: dws.get().add(o * g.inputs * 9),
                    });
                }
            });
        });
    });
}
