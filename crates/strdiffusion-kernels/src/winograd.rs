//! 3×3 convolution, stride 1, padding 1, by Winograd: blocks, buffers, threads.
//!
//! The tiles of the whole batch are numbered in one row and cut into blocks. For a block, all
//! input channels are transformed into V; then for each group of outputs the products of all
//! points are computed into a buffer that stays in cache and are transformed straight to NCHW.
//! With many blocks each thread takes whole blocks; with few, the threads share one V and divide
//! first the input channels, then the outputs; with very few, transformed weights are not kept at
//! all (`streamed`).

mod streamed;
mod weight_grad;

pub(crate) use streamed::{conv_streamed, pays_to_stream};
pub(crate) use weight_grad::weight_grad;

use crate::Isa;
use crate::ahead::Ahead;
use crate::isa::{Kernels, WinogradKernels, kernels_of};
use crate::kernels::gemm::Gemm;
use crate::kernels::rows::RawEpilogue;
use crate::kernels::winograd::{Block, Input, Output, Segment, Tile, Weight};
use crate::pool::{num_threads, parallel_for};
use crate::raw::Shared;
use crate::workspace::{self, Slot};
use std::cell::RefCell;

/// V of a block may take this many floats: about 1.2 MB, within a core's second-level cache.
const V_FLOATS: usize = 300_000;
/// Products of a block and a group of outputs: about 300 KB.
const M_FLOATS: usize = 76_000;
/// Points are set off by one cache line, so that they do not share cache sets.
const SKEW: usize = 16;

/// What the driver needs to know of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub h: usize,
    pub w: usize,
}

/// Where the 3×3 kernels come from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub w: &'a [f32],
    /// Take the weights `[inputs, outputs, 3, 3]`, each turned by 180°: the input gradient.
    pub transposed: bool,
}

/// Which algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    F43,
    F23,
}

impl Source<'_> {
    /// Floats from one output, and from one input, to the next.
    fn steps(&self, inputs: usize, outputs: usize) -> (usize, usize) {
        if self.transposed {
            (9, outputs * 9)
        } else {
            (inputs * 9, 9)
        }
    }
}

fn algorithm(k: &'static Kernels, p: Transform) -> &'static WinogradKernels {
    match p {
        Transform::F43 => &k.f43,
        Transform::F23 => &k.f23,
    }
}

/// Floats that the transformed weights take.
pub(crate) fn packed_len(isa: Isa, p: Transform, inputs: usize, outputs: usize) -> usize {
    let k = kernels_of(isa);
    let a = algorithm(k, p).a;
    outputs.div_ceil(k.mr) * k.mr * inputs * a * a
}

/// Transforms the weights: `[outputs / MR][point][inputs][MR]`.
pub(crate) fn pack(
    isa: Isa,
    p: Transform,
    source: Source,
    inputs: usize,
    outputs: usize,
    u: &mut [f32],
) {
    let k = kernels_of(isa);
    let f = algorithm(k, p);
    assert_eq!(source.w.len(), inputs * outputs * 9);
    assert_eq!(u.len(), packed_len(isa, p, inputs, outputs));
    let panel = f.a * f.a * inputs * k.mr;
    let (out_step, in_step) = source.steps(inputs, outputs);
    let (w, u) = (Shared::of(source.w), Shared::of_mut(u));
    parallel_for(outputs.div_ceil(k.mr), |b| {
        // SAFETY: the lengths are asserted above; each item writes its own panel; `isa` was found
        // on this CPU.
        unsafe {
            (f.weight)(&Weight {
                w: w.get(),
                out_step,
                in_step,
                turned: source.transposed,
                inputs,
                outputs,
                o0: b * k.mr,
                panel: k.mr,
                u: u.get().add(b * panel),
            });
        }
    });
}

/// The tables of one block, reused from block to block.
#[derive(Default)]
struct Plan {
    segments: Vec<Segment>,
    tiles: Vec<Tile>,
    whole: Vec<bool>,
    row_step: usize,
    scratch: usize,
}

thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
}

impl Plan {
    /// Fills the tables for the tiles `t0..t1` of the batch.
    fn fill(&mut self, g: &Geometry, m: usize, a: usize, lanes: usize, t0: usize, t1: usize) {
        let (tw, th) = (g.w.div_ceil(m), g.h.div_ceil(m));
        self.segments.clear();
        self.tiles.clear();
        self.whole.clear();
        let longest = tw.min(t1 - t0);
        self.row_step = (longest * m + 4).next_multiple_of(16) + 16;
        let mut t = t0;
        let mut from = 0;
        while t < t1 {
            let (row, tx) = (t / tw, t % tw);
            let s = Segment {
                n: row / th,
                y: row % th * m,
                x: tx * m,
                count: (tw - tx).min(t1 - t),
                from,
            };
            for i in 0..s.count {
                self.tiles.push(Tile {
                    n: s.n,
                    y: s.y,
                    x: s.x + i * m,
                    from: from + i * m,
                    void: false,
                });
            }
            self.segments.push(s);
            from += a * self.row_step;
            t += s.count;
        }
        // The last vector may read past the last segment's rows.
        self.scratch = from + self.row_step;
        let void = Tile {
            void: true,
            ..self.tiles[self.tiles.len() - 1]
        };
        self.tiles.resize((t1 - t0).next_multiple_of(lanes), void);
        let chunk = lanes / m;
        for tiles in self.tiles.chunks(chunk) {
            let (first, last) = (&tiles[0], &tiles[chunk - 1]);
            let neighbours =
                first.n == last.n && first.y == last.y && last.x == first.x + (chunk - 1) * m;
            self.whole
                .push(!last.void && neighbours && last.x + m <= g.w);
        }
    }

    fn block(&self, g: &Geometry) -> Block<'_> {
        Block {
            h: g.h,
            w: g.w,
            segments: &self.segments,
            tiles: &self.tiles,
            whole: &self.whole,
            row_step: self.row_step,
        }
    }
}

/// One call: what all blocks share.
struct Call<'a> {
    k: &'static Kernels,
    f: &'static WinogradKernels,
    g: Geometry,
    /// Tiles in all, and in a block.
    total: usize,
    block: usize,
    /// Outputs whose products are computed together: a multiple of MR.
    group: usize,
    x: Shared<*const f32>,
    u: Shared<*const f32>,
    y: Shared<*mut f32>,
    zeros: &'a [f32],
    epilogue: RawEpilogue,
}

impl Call<'_> {
    fn with_plan(&self, block: usize, f: impl FnOnce(&Plan)) {
        PLAN.with_borrow_mut(|plan| {
            let t0 = block * self.block;
            let t1 = (t0 + self.block).min(self.total);
            plan.fill(&self.g, self.f.m, self.f.a, self.k.lanes, t0, t1);
            f(plan);
        });
    }

    fn points(&self) -> usize {
        self.f.a * self.f.a
    }

    /// Floats between the points of V.
    fn v_step(&self) -> usize {
        self.block.next_multiple_of(self.k.nr) * self.g.inputs + SKEW
    }

    fn transform(&self, plan: &Plan, v: *mut f32, c0: usize, c1: usize) {
        workspace::with(Slot::Rows, plan.scratch, |scratch| {
            // SAFETY: x covers batch · inputs planes (asserted in `conv`), the scratch memory was
            // laid out by `plan`, and V holds `points` blocks of `v_step` floats of which this
            // call writes the channels c0..c1 only.
            unsafe {
                (self.f.input)(&Input {
                    block: &plan.block(&self.g),
                    x: self.x.get(),
                    channels: self.g.inputs,
                    c0,
                    c1,
                    scratch: scratch.as_mut_ptr(),
                    zeros: self.zeros.as_ptr(),
                    v,
                    point_step: self.v_step(),
                    group: self.k.nr,
                });
            }
        });
    }

    /// The rows of `base` (as the output) that a block's tiles fill, for `count` outputs from c0
    /// on; nothing for blocks that do not take whole rows.
    fn rows_ahead(
        &self,
        plan: &Plan,
        [c0, count]: [usize; 2],
        base: *const f32,
        steps: usize,
        write: bool,
    ) -> Ahead {
        let g = &self.g;
        let (first, last) = (plan.segments[0], plan.segments[plan.segments.len() - 1]);
        if base.is_null() || first.x > 0 || first.n != last.n {
            return Ahead::none();
        }
        let rows = (last.y + self.f.m).min(g.h) - first.y;
        let at = ((first.n * g.outputs + c0) * g.h + first.y) * g.w;
        let shape = [count, g.h * g.w, rows * g.w];
        Ahead::new(base.wrapping_add(at), shape, steps, write)
    }

    /// Products and output for the outputs of group `group`.
    fn multiply(&self, plan: &Plan, v: *const f32, group: usize) {
        let (k, inputs) = (self.k, self.g.inputs);
        let c0 = group * self.group;
        let count = self.group.min(self.g.outputs - c0);
        let tiles = plan.tiles.len();
        let m_step = self.m_step(tiles);
        workspace::with(Slot::Product, self.points() * m_step, |m| {
            let steps = self.points() * tiles.div_ceil(k.nr) * count.div_ceil(k.mr);
            let residual = self.epilogue.residual;
            let mut ahead = [
                self.rows_ahead(plan, [c0, count], self.y.get(), steps, true),
                self.rows_ahead(plan, [c0, count], residual, steps, false),
            ];
            // SAFETY: U holds a panel of inputs · MR floats for each point and MR outputs
            // (asserted in `conv`), and the products have room for `group` rows (a multiple of
            // MR) of `tiles` floats for each point.
            unsafe {
                let u = self.u.get().add(c0 * self.points() * inputs);
                self.products(tiles, count, u, v, [0, inputs], m, &mut ahead);
            }
            self.write(plan, m, [c0, count]);
        });
    }

    /// Floats between the points of a group's products.
    fn m_step(&self, tiles: usize) -> usize {
        self.group * tiles + SKEW
    }

    /// M (+)= U · V over the input channels k0..k1, for `count` outputs.
    ///
    /// # Safety
    /// `u` covers `[count / MR][point][k1 − k0][MR]`, `v` the block's V, and `m` the products of
    /// `group` outputs.
    #[allow(
        clippy::too_many_arguments,
        reason = "three matrices and their extents"
    )]
    unsafe fn products(
        &self,
        tiles: usize,
        count: usize,
        u: *const f32,
        v: *const f32,
        [k0, k1]: [usize; 2],
        m: &mut [f32],
        ahead: &mut [Ahead; 2],
    ) {
        let (k, inputs, points) = (self.k, self.g.inputs, self.points());
        let m_step = self.m_step(tiles);
        assert!(m.len() >= points * m_step);
        for point in 0..points {
            for t in (0..tiles).step_by(k.nr) {
                for c in (0..count).step_by(k.mr) {
                    ahead.iter_mut().for_each(Ahead::step);
                    let panel = c / k.mr * points + point;
                    let narrow = tiles - t < k.nr;
                    let run = if narrow { k.gemm_narrow } else { k.gemm };
                    let columns = if narrow { k.lanes } else { k.nr };
                    let mut at = t;
                    while at < tiles.min(t + k.nr) {
                        // SAFETY: the contract; V holds inputs rows of NR floats for each group
                        // of NR tiles, and M whole groups of MR rows.
                        unsafe {
                            run(&Gemm {
                                k: k1 - k0,
                                u: u.add(panel * (k1 - k0) * k.mr),
                                v: v.add(point * self.v_step() + t * inputs + k0 * k.nr + (at - t)),
                                v_step: k.nr,
                                out: m.as_mut_ptr().add(point * m_step + c * tiles + at),
                                out_step: tiles,
                                accumulate: k0 > 0,
                            });
                        }
                        at += columns;
                    }
                }
            }
        }
    }

    /// Transforms the products of `count` outputs from c0 on, and writes them.
    fn write(&self, plan: &Plan, m: &[f32], [c0, count]: [usize; 2]) {
        let tiles = plan.tiles.len();
        // SAFETY: the products of all points, `count` outputs and all tiles are computed; no
        // other item has these tiles and outputs.
        unsafe {
            (self.f.output)(&Output {
                block: &plan.block(&self.g),
                m: m.as_ptr(),
                point_step: self.m_step(tiles),
                channel_step: tiles,
                c0,
                count,
                y: self.y.get(),
                epilogue: self.epilogue,
            });
        }
    }
}

/// y = epilogue(conv(x, U)), with U from [`pack`] for the same instruction set and precision.
pub(crate) fn conv(
    isa: Isa,
    p: Transform,
    g: Geometry,
    x: &[f32],
    u: &[f32],
    y: &mut [f32],
    epilogue: RawEpilogue,
) {
    let k = kernels_of(isa);
    let f = algorithm(k, p);
    assert_eq!(x.len(), g.batch * g.inputs * g.h * g.w);
    assert_eq!(y.len(), g.batch * g.outputs * g.h * g.w);
    assert_eq!(u.len(), packed_len(isa, p, g.inputs, g.outputs));
    if y.is_empty() {
        return;
    }
    let points = f.a * f.a;
    let total = g.batch * g.h.div_ceil(f.m) * g.w.div_ceil(f.m);
    let fitting = (V_FLOATS / (points * g.inputs.max(1))).clamp(32, 64);
    let block = fitting / k.nr * k.nr;
    let padded = total.min(block).next_multiple_of(k.lanes);
    let group = (M_FLOATS / (points * padded) / k.mr).clamp(1, 16) * k.mr;
    let group = group.min(g.outputs.next_multiple_of(k.mr));
    let blocks = total.div_ceil(block);
    // With few blocks the threads need groups to divide.
    let parts = (4 * num_threads()).div_ceil(blocks);
    let group = group.min(g.outputs.div_ceil(parts).next_multiple_of(k.mr));
    workspace::with(Slot::Zeros, g.w, |zeros| {
        let call = Call {
            k,
            f,
            g,
            total,
            block,
            group,
            x: Shared::of(x),
            u: Shared::of(u),
            y: Shared::of_mut(y),
            zeros,
            epilogue,
        };
        let groups = g.outputs.div_ceil(group);
        if num_threads() == 1 || blocks >= 4 * num_threads() {
            parallel_for(blocks, |b| {
                call.with_plan(b, |plan| {
                    workspace::with(Slot::Input, points * call.v_step(), |v| {
                        call.transform(plan, v.as_mut_ptr(), 0, g.inputs);
                        for group in 0..groups {
                            call.multiply(plan, v.as_ptr(), group);
                        }
                    });
                });
            });
        } else {
            let size = points * call.v_step();
            workspace::with(Slot::Shared, blocks * size, |v| {
                let v = Shared::of_mut(v);
                let slices = g.inputs.min(4 * num_threads());
                parallel_for(blocks * slices, |i| {
                    let (b, s) = (i / slices, i % slices);
                    // SAFETY: block b's part of V.
                    let v = unsafe { v.get().add(b * size) };
                    call.with_plan(b, |plan| {
                        call.transform(plan, v, g.inputs * s / slices, g.inputs * (s + 1) / slices);
                    });
                });
                parallel_for(blocks * groups, |i| {
                    let (group, b) = (i / blocks, i % blocks);
                    // SAFETY: block b's part of V, complete since the last `parallel_for`.
                    let v = unsafe { v.get().add(b * size) };
                    call.with_plan(b, |plan| call.multiply(plan, v.cast_const(), group));
                });
            });
        }
    });
}
