//! Convolutions of any kernel and stride as a matrix product over im2col panels (never the whole
//! im2col matrix: a panel for a block of outputs stays in cache).
//!
//! The same driver serves the gradient with respect to the input: for each residue of the
//! position modulo the stride it is a convolution of the output's gradient with a part of the
//! kernel, turned around.

use crate::Isa;
use crate::isa::kernels_of;
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

/// Floats that the packed weights take.
pub(crate) fn packed_len(isa: Isa, terms: usize, outputs: usize) -> usize {
    let mr = kernels_of(isa).mr;
    outputs.div_ceil(mr) * mr * terms
}

/// Packs the weights `[outputs / MR][term][MR]`; `index` gives the place in `w` of the weight of
/// (output, input, row tap, column tap).
pub(crate) fn pack(
    isa: Isa,
    t: &Taps,
    w: &[f32],
    index: impl Fn(usize, usize, usize, usize) -> usize + Sync,
    u: &mut [f32],
) {
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
                    w[index(o, c, y, x)]
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

/// y = epilogue(conv(x, u)), with u from [`pack`] for the same instruction set. Writes the
/// positions of the grid only.
pub(crate) fn conv(isa: Isa, t: &Taps, x: &[f32], u: &[f32], y: &mut [f32], epilogue: RawEpilogue) {
    let k = kernels_of(isa);
    let terms = t.terms();
    assert_eq!(x.len(), t.batch * t.inputs * t.h * t.w);
    assert_eq!(y.len(), t.batch * t.outputs * t.out[0] * t.out[1]);
    assert_eq!(u.len(), packed_len(isa, terms, t.outputs));
    let positions = t.positions();
    if positions == 0 || t.outputs == 0 {
        return;
    }
    let mut block = 4 * k.nr;
    while block > k.nr && positions.div_ceil(block) < 4 * num_threads() {
        block /= 2;
    }
    let blocks = positions.div_ceil(block);
    // With few blocks, divide the outputs too, at the price of gathering again for each part.
    let panels = t.outputs.div_ceil(k.mr);
    let parts = if blocks < 2 * num_threads() {
        num_threads().min(panels)
    } else {
        1
    };
    let per_tap = t.taps[0] * t.taps[1];
    let channels = (PANEL_ROWS / per_tap.max(1)).clamp(1, t.inputs.max(1));
    let group_step = channels * per_tap * k.nr;
    let (xs, us, ys) = (Shared::of(x), Shared::of(u), Shared::of_mut(y));
    parallel_for(blocks * parts, |item| {
        let (b, part) = (item / parts, item % parts);
        let (panel0, panel1) = (panels * part / parts, panels * (part + 1) / parts);
        let (p0, p1) = (b * block, ((b + 1) * block).min(positions));
        let columns = (p1 - p0).next_multiple_of(k.lanes);
        PLAN.with_borrow_mut(|plan| {
            t.runs(
                p0,
                p1,
                k.nr,
                |i| i / k.nr * group_step + i % k.nr,
                &mut plan.runs,
            );
            t.runs(p0, p1, block, |i| i, &mut plan.lines);
            let m_len = (panel1 - panel0) * k.mr * columns;
            workspace::with(Slot::Product, m_len, |m| {
                workspace::with(Slot::Input, block / k.nr * group_step, |v| {
                    let mut c0 = 0;
                    loop {
                        let c1 = (c0 + channels).min(t.inputs);
                        // SAFETY: x has the asserted length; the runs place each position within
                        // its panel of `channels · per_tap` rows of NR floats.
                        unsafe {
                            (k.gather)(&t.gather(
                                xs.get(),
                                c0,
                                c1,
                                &plan.runs,
                                v.as_mut_ptr(),
                                k.nr,
                            ))
                        };
                        for at in (0..columns).step_by(k.nr) {
                            let narrow = columns - at < k.nr;
                            let run = if narrow { k.gemm_narrow } else { k.gemm };
                            for panel in panel0..panel1 {
                                let step = if narrow { k.lanes } else { k.nr };
                                for column in (at..columns.min(at + k.nr)).step_by(step) {
                                    // SAFETY: U has the asserted length; the panel of V holds
                                    // this many rows; M has room for MR rows of each panel.
                                    unsafe {
                                        run(&Gemm {
                                            k: (c1 - c0) * per_tap,
                                            u: us.get().add((panel * terms + c0 * per_tap) * k.mr),
                                            v: v.as_ptr().add(at / k.nr * group_step + column - at),
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
                        c0 = c1;
                        if c0 >= t.inputs {
                            break;
                        }
                    }
                });
                let (o0, o1) = (panel0 * k.mr, (panel1 * k.mr).min(t.outputs));
                for o in o0..o1 {
                    for line in &plan.lines {
                        let from = &m[(o - o0) * columns + line.to..][..line.count];
                        let row = line.y * t.out_stride + t.out_first[0];
                        let column = line.x * t.out_stride + t.out_first[1];
                        let at = ((line.n * t.outputs + o) * t.out[0] + row) * t.out[1] + column;
                        // SAFETY: the grid lies within the output, whose length is asserted; no
                        // other item has these positions and outputs.
                        unsafe {
                            let to = ys.get().add(at);
                            if t.out_stride == 1 {
                                let (mul, add) = epilogue.affine(line.n, o);
                                let residual = epilogue.residual;
                                (k.finish)(&Finish {
                                    from: from.as_ptr(),
                                    to,
                                    residual: if residual.is_null() {
                                        residual
                                    } else {
                                        residual.add(at)
                                    },
                                    count: line.count,
                                    mul,
                                    add,
                                    silu: epilogue.silu,
                                });
                            } else {
                                for (i, v) in from.iter().enumerate() {
                                    *to.add(i * t.out_stride) = *v;
                                }
                            }
                        }
                    }
                }
            });
        });
    });
}
