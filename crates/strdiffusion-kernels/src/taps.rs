//! Convolutions of any kernel and stride as a matrix product over im2col panels (never the whole
//! im2col matrix: a panel for a block of outputs stays in cache).
//!
//! The same driver serves the gradient with respect to the input: for each residue of the
//! position modulo the stride it is a convolution of the output's gradient with a part of the
//! kernel, turned around.

mod slide;

use crate::Isa;
use crate::ahead::Ahead;
use crate::isa::{Kernels, kernels_of};
use crate::kernels::gather::{Gather, Run};
use crate::kernels::gemm::Gemm;
use crate::kernels::rows::{Finish, RawEpilogue};
use crate::pool::{num_threads, parallel_for};
use crate::raw::Shared;
use crate::workspace::{self, Slot};
use std::cell::RefCell;

/// Rows of a panel: longer sums are cut, so that a panel stays in cache.
const PANEL_ROWS: usize = 1024;

/// A convolution over a grid of positions.
#[derive(Clone, Copy)]
pub(crate) struct Taps {
    pub batch: usize,
    pub inputs: usize,
    /// Input height and width.
    pub h: usize,
    pub w: usize,
    pub outputs: usize,
    /// Grid of positions: height, width.
    pub grid: [usize; 2],
    /// Input step between positions.
    pub stride: usize,
    /// Number of taps, and offset of the first, in rows and columns.
    pub taps: [usize; 2],
    pub first: [isize; 2],
    /// Height and width of the output, and where the grid lies in it.
    pub out: [usize; 2],
    pub out_stride: usize,
    pub out_first: [usize; 2],
}

impl Taps {
    /// Terms of the sum for each output.
    pub(crate) fn terms(&self) -> usize {
        self.inputs * self.taps[0] * self.taps[1]
    }

    /// Floats of the output. Only tiles ask for it.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn output_len(&self) -> usize {
        self.batch * self.outputs * self.out[0] * self.out[1]
    }

    fn positions(&self) -> usize {
        self.batch * self.grid[0] * self.grid[1]
    }

    /// Cuts the positions p0..p1 of the batch into runs that cross neither a row's end nor a
    /// multiple of `cut` (counted from p0). `to` gives a position's place from its number.
    pub(crate) fn runs(
        &self,
        p0: usize,
        p1: usize,
        cut: usize,
        to: impl Fn(usize) -> usize,
        runs: &mut Vec<Run>,
    ) {
        runs.clear();
        let [gh, gw] = self.grid;
        let mut p = p0;
        while p < p1 {
            let (row, x) = (p / gw, p % gw);
            let i = p - p0;
            let count = (gw - x).min(p1 - p).min(cut - i % cut);
            runs.push(Run {
                n: row / gh,
                y: row % gh,
                x,
                count,
                to: to(i),
            });
            p += count;
        }
    }

    /// The operands of a gather for the channels c0..c1.
    pub(crate) fn gather<'a>(
        &self,
        x: *const f32,
        c0: usize,
        c1: usize,
        runs: &'a [Run],
        out: *mut f32,
        row_step: usize,
    ) -> Gather<'a> {
        Gather {
            x,
            channels: self.inputs,
            h: self.h,
            w: self.w,
            c0,
            c1,
            y_taps: self.taps[0],
            y_first: self.first[0],
            x_taps: self.taps[1],
            x_first: self.first[1],
            stride: self.stride,
            runs,
            out,
            row_step,
        }
    }
}

/// Where the weight of (output, input, row tap, column tap) lies: at `first`, and so many floats
/// further for each.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub first: usize,
    pub output: isize,
    pub input: isize,
    pub tap: [isize; 2],
}

impl Places {
    /// The place of one weight.
    pub(crate) fn of(&self, output: usize, input: usize, [y, x]: [usize; 2]) -> usize {
        let steps = output as isize * self.output
            + input as isize * self.input
            + y as isize * self.tap[0]
            + x as isize * self.tap[1];
        self.first.wrapping_add_signed(steps)
    }
}

/// Floats that the packed weights take.
pub(crate) fn packed_len(isa: Isa, terms: usize, outputs: usize) -> usize {
    let mr = kernels_of(isa).mr;
    outputs.div_ceil(mr) * mr * terms
}

/// Packs the weights `[outputs / MR][term][MR]`.
pub(crate) fn pack(isa: Isa, t: &Taps, w: &[f32], places: &Places, u: &mut [f32]) {
    let mr = kernels_of(isa).mr;
    let terms = t.terms();
    assert_eq!(u.len(), packed_len(isa, terms, t.outputs));
    let [ty, tx] = t.taps;
    if terms == 0 {
        return;
    }
    let panels = Shared::of_mut(u);
    parallel_for(t.outputs.div_ceil(mr), |b| {
        // SAFETY: panel b of u, which only this item touches.
        let panel =
            unsafe { std::slice::from_raw_parts_mut(panels.get().add(b * mr * terms), mr * terms) };
        for (term, lane) in panel.chunks_exact_mut(mr).enumerate() {
            let (c, y, x) = (term / (ty * tx), term / tx % ty, term % tx);
            for (i, v) in lane.iter_mut().enumerate() {
                let o = b * mr + i;
                *v = if o < t.outputs {
                    w[places.of(o, c, [y, x])]
                } else {
                    0.0
                };
            }
        }
    });
}

#[derive(Default)]
struct Plan {
    /// Runs as panels need them.
    runs: Vec<Run>,
    /// Runs as the output needs them.
    lines: Vec<Run>,
}

thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
}

/// Floats of a panel block, and of the products of a block: each within a core's cache.
const V_FLOATS: usize = 150_000;
const M_FLOATS: usize = 130_000;
/// Outputs whose products are computed and written together, where one panel holds all terms.
const GROUP: usize = 64;

/// Blocks of an item at most.
const STRIP: usize = 4;

/// One call.
struct Call<'a> {
    k: &'static Kernels,
    t: &'a Taps,
    x: Shared<*const f32>,
    u: Shared<*const f32>,
    y: Shared<*mut f32>,
    epilogue: RawEpilogue,
    /// Positions of a block.
    block: usize,
    /// Input channels of a panel, and floats of a panel of NR positions.
    channels: usize,
    panel_len: usize,
}

/// y = epilogue(conv(x, u)), with u from [`pack`] for the same instruction set. Writes the
/// positions of the grid only.
pub(crate) fn conv(isa: Isa, t: &Taps, x: &[f32], u: &[f32], y: &mut [f32], epilogue: RawEpilogue) {
    let k = kernels_of(isa);
    assert_eq!(x.len(), t.batch * t.inputs * t.h * t.w);
    assert_eq!(y.len(), t.batch * t.outputs * t.out[0] * t.out[1]);
    assert_eq!(u.len(), packed_len(isa, t.terms(), t.outputs));
    let positions = t.positions();
    if positions == 0 || t.outputs == 0 {
        return;
    }
    let per_tap = t.taps[0] * t.taps[1];
    let channels = (PANEL_ROWS / per_tap.max(1)).clamp(1, t.inputs.max(1));
    let products = if channels >= t.inputs {
        GROUP
    } else {
        t.outputs
    };
    // Long blocks make long runs through memory; short ones keep all threads at work.
    let fitting = (V_FLOATS / (channels * per_tap).max(1)).min(M_FLOATS / products);
    let mut block = (fitting / k.nr * k.nr).clamp(64, 512);
    while block > k.nr && positions.div_ceil(block) < 4 * num_threads() {
        block = (block / 2).next_multiple_of(k.nr);
    }
    let blocks = positions.div_ceil(block);
    // With few blocks, divide the outputs too, at the price of gathering again for each part.
    let panels = t.outputs.div_ceil(k.mr);
    let parts = if blocks < 2 * num_threads() {
        num_threads().min(panels)
    } else {
        1
    };
    let call = Call {
        k,
        t,
        x: Shared::of(x),
        u: Shared::of(u),
        y: Shared::of_mut(y),
        epilogue,
        block,
        channels,
        panel_len: channels * per_tap * k.nr,
    };
    if slide::fits(k, t) {
        return slide::run(&call, x);
    }
    // Neighbouring blocks in one item, so that a thread knows what it will need next.
    let strip = (blocks / (8 * num_threads())).clamp(1, STRIP);
    parallel_for(blocks.div_ceil(strip) * parts, |item| {
        let (first, part) = (item / parts * strip, item % parts);
        let end = blocks.min(first + strip);
        for b in first..end {
            let p0 = b * block;
            let p1 = (p0 + block).min(positions);
            let last = b + 1 == end;
            call.run(
                [p0, p1],
                [panels * part / parts, panels * (part + 1) / parts],
                last,
            );
        }
    });
}

impl Call<'_> {
    /// The positions p0..p1 of the panels of outputs panel0..panel1; `last` of a strip.
    fn run(&self, [p0, p1]: [usize; 2], [panel0, panel1]: [usize; 2], last: bool) {
        let (k, t) = (self.k, self.t);
        let columns = (p1 - p0).next_multiple_of(k.lanes);
        // With all terms in one panel the outputs can go group by group.
        let group = if self.channels >= t.inputs {
            (GROUP / k.mr).min(panel1 - panel0)
        } else {
            panel1 - panel0
        };
        let steps = columns.div_ceil(k.nr) * (panel1 - panel0);
        let mut input = if last {
            Ahead::none()
        } else {
            self.input_ahead(p1, steps)
        };
        PLAN.with_borrow_mut(|plan| {
            let (nr, len) = (k.nr, self.panel_len);
            t.runs(p0, p1, nr, |i| i / nr * len + i % nr, &mut plan.runs);
            t.runs(p0, p1, self.block, |i| i, &mut plan.lines);
            workspace::with(Slot::Product, group * k.mr * columns, |m| {
                workspace::with(Slot::Input, self.block.div_ceil(nr) * len, |v| {
                    for panel in (panel0..panel1).step_by(group) {
                        let end = panel1.min(panel + group);
                        let steps = columns.div_ceil(nr) * (end - panel);
                        let outputs = [panel * k.mr, (end * k.mr).min(t.outputs)];
                        let mut ahead = [input, self.output_ahead([p0, p1], outputs, steps)];
                        for c0 in (0..t.inputs).step_by(self.channels) {
                            let c1 = (c0 + self.channels).min(t.inputs);
                            if panel == panel0 {
                                let v = v.as_mut_ptr();
                                // SAFETY: x has the asserted length; the runs place each position
                                // within its panel of `channels` · taps rows of NR floats.
                                unsafe {
                                    (k.gather)(&t.gather(self.x.get(), c0, c1, &plan.runs, v, nr))
                                };
                            }
                            self.multiply(v, m, columns, [c0, c1], [panel, end], &mut ahead);
                        }
                        if t.terms() == 0 {
                            m.fill(0.0);
                        }
                        self.finish(m, columns, &plan.lines, outputs);
                        [input, _] = ahead;
                    }
                });
            });
        });
    }

    /// Whether inputs and outputs are the same long rows of positions (a 1×1 convolution).
    fn is_flat(&self) -> bool {
        let t = self.t;
        let row = [1, t.w];
        t.h == 1 && t.grid == row && t.out == row && t.taps == [1, 1] && t.first == [0, 0]
    }

    /// The input of the block from position p on.
    fn input_ahead(&self, p: usize, steps: usize) -> Ahead {
        let t = self.t;
        if !self.is_flat() || p >= t.positions() {
            return Ahead::none();
        }
        let at = p / t.w * t.inputs * t.w + p % t.w;
        let shape = [t.inputs, t.w, self.block.min(t.w - p % t.w)];
        Ahead::new(self.x.get().wrapping_add(at), shape, steps, false)
    }

    /// The output of the positions p0..p1.
    fn output_ahead(&self, [p0, p1]: [usize; 2], [o0, o1]: [usize; 2], steps: usize) -> Ahead {
        let t = self.t;
        if !self.is_flat() {
            return Ahead::none();
        }
        let at = (p0 / t.w * t.outputs + o0) * t.w + p0 % t.w;
        let shape = [o1 - o0, t.w, (p1 - p0).min(t.w - p0 % t.w)];
        Ahead::new(self.y.get().wrapping_add(at), shape, steps, true)
    }

    /// m (+)= u · v for the channels c0..c1 and the panels of outputs panel0..panel1.
    fn multiply(
        &self,
        v: &[f32],
        m: &mut [f32],
        columns: usize,
        [c0, c1]: [usize; 2],
        [panel0, panel1]: [usize; 2],
        ahead: &mut [Ahead; 2],
    ) {
        let (k, t) = (self.k, self.t);
        let per_tap = t.taps[0] * t.taps[1];
        assert!(m.len() >= (panel1 - panel0) * k.mr * columns);
        assert!(v.len() >= columns.div_ceil(k.nr) * self.panel_len);
        for at in (0..columns).step_by(k.nr) {
            let narrow = columns - at < k.nr;
            let run = if narrow { k.gemm_narrow } else { k.gemm };
            let step = if narrow { k.lanes } else { k.nr };
            for panel in panel0..panel1 {
                ahead.iter_mut().for_each(Ahead::step);
                for column in (at..columns.min(at + k.nr)).step_by(step) {
                    // SAFETY: U has the asserted length; the panel of V holds this many rows of
                    // NR floats; M has MR rows of `columns` floats for each panel of outputs.
                    unsafe {
                        run(&Gemm {
                            k: (c1 - c0) * per_tap,
                            u: self.u.get().add((panel * t.terms() + c0 * per_tap) * k.mr),
                            v: v.as_ptr().add(at / k.nr * self.panel_len + column - at),
                            v_step: k.nr,
                            out: m
                                .as_mut_ptr()
                                .add((panel - panel0) * k.mr * columns + column),
                            out_step: columns,
                            accumulate: c0 > 0,
                        });
                    }
                }
            }
        }
    }

    /// Writes the outputs o0..o1 from their products, the epilogue applied.
    fn finish(&self, m: &[f32], columns: usize, lines: &[Run], [o0, o1]: [usize; 2]) {
        let (t, e) = (self.t, &self.epilogue);
        for (o, products) in (o0..o1).zip(m.chunks_exact(columns)) {
            for line in lines {
                let from = &products[line.to..][..line.count];
                let row = line.y * t.out_stride + t.out_first[0];
                let column = line.x * t.out_stride + t.out_first[1];
                let at = ((line.n * t.outputs + o) * t.out[0] + row) * t.out[1] + column;
                // SAFETY: the grid lies within the output, whose length is asserted; no other
                // item has these positions and outputs.
                unsafe {
                    let to = self.y.get().add(at);
                    if t.out_stride == 1 {
                        let (mul, add) = e.affine(line.n, o);
                        (self.k.finish)(&Finish {
                            from: from.as_ptr(),
                            to,
                            residual: if e.residual.is_null() {
                                e.residual
                            } else {
                                e.residual.add(at)
                            },
                            count: line.count,
                            mul,
                            add,
                            silu: e.silu,
                        });
                    } else {
                        for (i, v) in from.iter().enumerate() {
                            *to.add(i * t.out_stride) = *v;
                        }
                    }
                }
            }
        }
    }
}
