//! Large kernels over few channels, such as a network's first convolution: every input value meets
//! many taps, so im2col would write and read it many times over. Here lines of a padded copy are
//! read where they stand, one float further for each tap.

use super::{Call, GROUP, Taps};
use crate::isa::Kernels;
use crate::kernels::gather::Run;
use crate::kernels::gemm::Slide;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};

/// With more channels the lines of all taps leave the nearest cache.
const MOST_CHANNELS: usize = 16;
/// Below, Winograd or im2col do as well.
const FEWEST_TAPS: usize = 5;

/// Whether a convolution is of that kind.
pub(super) fn fits(k: &Kernels, t: &Taps) -> bool {
    t.stride == 1
        && t.out_stride == 1
        && t.taps[0].min(t.taps[1]) >= FEWEST_TAPS
        && (1..=MOST_CHANNELS).contains(&t.inputs)
        && t.grid[1] >= k.nr
}

/// The input with the zeros that taps meet beyond its edges, and on the right as many as whole
/// columns of the micro-kernel read.
struct Padded {
    line: usize,
    plane: usize,
}

impl Padded {
    fn new(k: &Kernels, t: &Taps) -> Self {
        let line = t.grid[1].next_multiple_of(k.nr) + t.taps[1] - 1;
        Self {
            line,
            plane: (t.grid[0] + t.taps[0] - 1) * line,
        }
    }

    /// Copies one plane of the input.
    fn fill(&self, t: &Taps, from: &[f32], to: &mut [f32]) {
        for (row, line) in to.chunks_exact_mut(self.line).enumerate() {
            let y = row as isize + t.first[0];
            if y < 0 || y as usize >= t.h {
                line.fill(0.0);
                continue;
            }
            let from = &from[y as usize * t.w..][..t.w];
            // The first tap of the first column lies left of the input, or within it.
            let outside = usize::try_from(-t.first[1]).unwrap_or(0).min(self.line);
            let inside = usize::try_from(t.first[1]).unwrap_or(0).min(t.w);
            let count = (t.w - inside).min(self.line - outside);
            let (before, rest) = line.split_at_mut(outside);
            let (values, after) = rest.split_at_mut(count);
            before.fill(0.0);
            values.copy_from_slice(&from[inside..][..count]);
            after.fill(0.0);
        }
    }
}

/// All positions of a call.
pub(super) fn run(call: &Call, x: &[f32]) {
    let t = call.t;
    let padded = Padded::new(call.k, t);
    workspace::with(Slot::Shared, t.batch * t.inputs * padded.plane, |copy| {
        let planes = Shared::of_mut(copy);
        parallel_for(t.batch * t.inputs, |i| {
            // SAFETY: plane i, which only this item writes.
            let to = unsafe {
                std::slice::from_raw_parts_mut(planes.get().add(i * padded.plane), padded.plane)
            };
            padded.fill(t, &x[i * t.h * t.w..][..t.h * t.w], to);
        });
        let copy = Shared::of(copy);
        parallel_for(t.batch * t.grid[0], |row| {
            row_of(call, &padded, copy.get(), row);
        });
    });
}

/// One row of positions, group by group of outputs.
fn row_of(call: &Call, padded: &Padded, copy: *const f32, row: usize) {
    let (k, t) = (call.k, call.t);
    let columns = t.grid[1].next_multiple_of(k.nr);
    let (n, y) = (row / t.grid[0], row % t.grid[0]);
    let line = Run {
        n,
        y,
        x: 0,
        count: t.grid[1],
        to: 0,
    };
    let group = GROUP.next_multiple_of(k.mr);
    workspace::with(Slot::Product, group * columns, |m| {
        for o0 in (0..t.outputs).step_by(group) {
            let o1 = (o0 + group).min(t.outputs);
            for at in (0..columns).step_by(k.nr) {
                for o in (o0..o1).step_by(k.mr) {
                    // SAFETY: the copy has `taps` lines below this row's first and, right of these
                    // columns, `taps` − 1 floats; U has a panel of all terms for each MR outputs;
                    // M has `group` rows of `columns` floats, and `group` is a multiple of MR.
                    unsafe {
                        (k.slide)(&Slide {
                            channels: t.inputs,
                            plane: padded.plane,
                            y_taps: t.taps[0],
                            line: padded.line,
                            x_taps: t.taps[1],
                            u: call.u.get().add(o * t.terms()),
                            v: copy.add(n * t.inputs * padded.plane + y * padded.line + at),
                            out: m.as_mut_ptr().add((o - o0) * columns + at),
                            out_step: columns,
                        });
                    }
                }
            }
            call.finish(m, columns, &[line], [o0, o1]);
        }
    });
}
