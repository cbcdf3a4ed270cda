//! Linear attention (Shen et al., "Efficient Attention", WACV 2021), forward and backward.
//!
//! For each head, with q, k, v of `dim` rows over the positions p:
//! Q = softmax of q over the rows, K = softmax of k over the positions,
//! context\[d\]\[e\] = s·Σₚ K\[d\]\[p\]·v\[e\]\[p\] with s = dim^−½ / positions,
//! out\[e\]\[p\] = Σ_d context\[d\]\[e\]·Q\[d\]\[p\].
//!
//! The softmax over the positions is taken over stretches, each with its own maximum; the
//! stretches are put together in a fixed order.

use crate::isa::{Isa, Kernels, kernels_of};
use crate::kernels::gemm::{DN, Dot, Gemm};
use crate::kernels::softmax::{Columns, Row};
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};
use std::ptr::null;

/// The shape of a linear attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionShape {
    /// Pictures.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub dim: usize,
    /// Height times width.
    pub positions: usize,
}

impl AttentionShape {
    /// Floats in q, k and v together: `[batch, 3 · heads · dim, positions]`.
    pub fn qkv_len(&self) -> usize {
        3 * self.out_len()
    }

    /// Floats in the output, `[batch, heads · dim, positions]`.
    pub fn out_len(&self) -> usize {
        self.batch * self.heads * self.dim * self.positions
    }

    /// Floats that [`linear_attention`] keeps for [`linear_attention_backward`].
    pub fn state_len(&self) -> usize {
        self.batch * self.heads * self.state_of_head()
    }

    /// Maximum and 1/sum of each row of k, and the context.
    fn state_of_head(&self) -> usize {
        self.dim * (self.dim + 2)
    }

    fn scale(&self) -> f32 {
        1.0 / ((self.dim as f32).sqrt() * self.positions as f32)
    }

    /// Where row `row` of part `part` (0 q, 1 k, 2 v) starts in qkv.
    fn row(&self, n: usize, part: usize, head: usize, row: usize) -> usize {
        (((n * 3 + part) * self.heads + head) * self.dim + row) * self.positions
    }
}

/// Positions of a stretch.
const STRETCH: usize = 1024;
/// Positions of a block on the way out.
const BLOCK: usize = 256;
/// Sets rows off by one cache line.
const SKEW: usize = 16;

/// Packs the matrix `a[row · row_step + column · column_step]` for the GEMM kernel, times `factor`.
pub(crate) fn pack_matrix(
    mr: usize,
    [rows, columns]: [usize; 2],
    [row_step, column_step]: [usize; 2],
    a: &[f32],
    factor: f32,
    u: &mut [f32],
) {
    let len = rows.div_ceil(mr) * mr;
    for row in 0..len {
        let lane = &mut u[row / mr * mr * columns + row % mr..];
        let from = a.iter().skip(row * row_step).step_by(column_step);
        if row < rows {
            for (to, v) in lane.iter_mut().step_by(mr).zip(from).take(columns) {
                *to = v * factor;
            }
        } else {
            lane.iter_mut()
                .step_by(mr)
                .take(columns)
                .for_each(|to| *to = 0.0);
        }
    }
}

/// out = u · v for `rows` rows, over `columns` columns: `u` from [`pack_matrix`] with `k` columns,
/// `v` and `out` with rows `v_step` and `out_step` apart.
///
/// # Safety
/// `v` and `out` have room for whole groups of NR columns, `out` for whole groups of MR rows, and
/// `out` overlaps no input.
pub(crate) unsafe fn multiply(
    kernels: &Kernels,
    [rows, k, columns]: [usize; 3],
    u: &[f32],
    (v, v_step): (*const f32, usize),
    (out, out_step): (*mut f32, usize),
) {
    let panels = rows.div_ceil(kernels.mr);
    assert!(u.len() >= panels * kernels.mr * k);
    for at in (0..columns).step_by(kernels.nr) {
        for panel in 0..panels {
            // SAFETY: the contract, and the length of u asserted above.
            unsafe {
                (kernels.gemm)(&Gemm {
                    k,
                    u: u.as_ptr().add(panel * kernels.mr * k),
                    v: v.add(at),
                    v_step,
                    out: out.add(panel * kernels.mr * out_step + at),
                    out_step,
                    accumulate: false,
                });
            }
        }
    }
}

/// out\[i\]\[j\] = Σ a\[i\]·b\[j\] for all pairs of rows of length `k`.
///
/// # Safety
/// The pointers cover the rows, and `out` overlaps no input.
pub(crate) unsafe fn dots(
    kernels: &Kernels,
    [rows, cols, k]: [usize; 3],
    (a, a_step): (*const f32, usize),
    (b, b_step): (*const f32, usize),
    (out, out_step): (*mut f32, usize),
) {
    for i in (0..rows).step_by(kernels.dm) {
        for j in (0..cols).step_by(DN) {
            // SAFETY: the contract.
            unsafe {
                (kernels.dot)(&Dot {
                    k,
                    a: a.add(i * a_step),
                    a_step,
                    rows: kernels.dm.min(rows - i),
                    b: b.add(j * b_step),
                    b_step,
                    cols: DN.min(cols - j),
                    out: out.add(i * out_step + j),
                    out_step,
                    accumulate: false,
                });
            }
        }
    }
}

/// Writes e^(row − max) of a stretch of k to `to` and returns (max, sum).
pub(crate) fn exp_row(kernels: &Kernels, row: &[f32], to: &mut [f32]) -> (f32, f32) {
    assert!(to.len() >= row.len());
    let (mut max, mut sum) = (0.0, 0.0);
    let mut g = Row {
        count: row.len(),
        from: row.as_ptr(),
        to: to.as_mut_ptr(),
        sub: 0.0,
        mul: 1.0,
        value: &mut max,
    };
    // SAFETY: both slices hold `count` floats.
    unsafe { (kernels.row_max)(&g) };
    // SAFETY: the pointer is to a local that outlives the calls.
    g.sub = unsafe { *g.value };
    g.value = &mut sum;
    // SAFETY: as above.
    unsafe { (kernels.row_exp)(&g) };
    (g.sub, sum)
}

/// Puts stretches together: the maximum over all, and what each stretch's sums are multiplied by,
/// so that the whole softmax sums to `total`.
pub(crate) fn merge_stretches(
    parts: impl Iterator<Item = (f32, f32)> + Clone,
    total: f32,
    factors: &mut [f32],
) -> (f32, f32) {
    let max = parts
        .clone()
        .fold(f32::NEG_INFINITY, |m, (max, _)| m.max(max));
    let mut sum = 0f64;
    for ((m, z), f) in parts.zip(factors.iter_mut()) {
        *f = (m - max).exp();
        sum += f64::from(*f) * f64::from(z);
    }
    let inverse = (1.0 / sum) as f32;
    for f in factors {
        *f *= inverse * total;
    }
    (max, inverse)
}

/// Linear attention: `qkv` `[batch, 3·heads·dim, positions]` (all q, then all k, then all v; in
/// each, head by head) to `out` `[batch, heads·dim, positions]`. `state` takes what the backward
/// pass needs ([`AttentionShape::state_len`]).
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn linear_attention(s: &AttentionShape, qkv: &[f32], out: &mut [f32], state: &mut [f32]) {
    assert_eq!(
        qkv.len(),
        s.qkv_len(),
        "qkv does not have the length of {s:?}"
    );
    assert_eq!(
        out.len(),
        s.out_len(),
        "out does not have the length of {s:?}"
    );
    assert_eq!(
        state.len(),
        s.state_len(),
        "the state does not have the length of {s:?}"
    );
    if out.is_empty() {
        return;
    }
    let k = kernels_of(Isa::current());
    contexts(k, s, qkv, state);
    let head_state = s.state_of_head();
    let blocks = s.positions.div_ceil(BLOCK);
    let step = BLOCK + SKEW;
    let rows = s.dim.next_multiple_of(k.mr);
    let result = Shared::of_mut(out);
    let state = &*state;
    parallel_for(s.batch * s.heads * blocks, |item| {
        let (nh, p0) = (item / blocks, item % blocks * BLOCK);
        let (n, head) = (nh / s.heads, nh % s.heads);
        let count = BLOCK.min(s.positions - p0);
        let context = &state[nh * head_state + 2 * s.dim..][..s.dim * s.dim];
        workspace::with(Slot::Weights, rows * s.dim, |u| {
            pack_matrix(k.mr, [s.dim, s.dim], [1, s.dim], context, 1.0, u);
            workspace::with(Slot::Input, s.dim * step, |q| {
                workspace::with(Slot::Product, rows * step, |o| {
                    let from = s.row(n, 0, head, 0) + p0;
                    // SAFETY: q's rows lie in qkv; the buffers have rows of `step` floats, whole
                    // groups of NR columns.
                    unsafe {
                        (k.softmax_columns)(&Columns {
                            rows: s.dim,
                            count,
                            from: qkv.as_ptr().add(from),
                            from_step: s.positions,
                            to: q.as_mut_ptr(),
                            to_step: step,
                            d: null(),
                            d_step: 0,
                        });
                        let shape = [s.dim, s.dim, count];
                        multiply(k, shape, u, (q.as_ptr(), step), (o.as_mut_ptr(), step));
                    }
                    for (e, row) in o.chunks_exact(step).take(s.dim).enumerate() {
                        let at = (nh * s.dim + e) * s.positions + p0;
                        // SAFETY: this item's positions of a row of `out`.
                        let to =
                            unsafe { std::slice::from_raw_parts_mut(result.get().add(at), count) };
                        to.copy_from_slice(&row[..count]);
                    }
                });
            });
        });
    });
}

/// Fills the state: maxima, 1/sums and contexts.
fn contexts(k: &'static Kernels, s: &AttentionShape, qkv: &[f32], state: &mut [f32]) {
    let dim = s.dim;
    let head_state = s.state_of_head();
    let stretches = s.positions.div_ceil(STRETCH);
    let step = STRETCH + SKEW;
    workspace::with(
        Slot::Shared,
        s.batch * s.heads * stretches * head_state,
        |parts| {
            let shared = Shared::of_mut(parts);
            parallel_for(s.batch * s.heads * stretches, |item| {
                let (nh, p0) = (item / stretches, item % stretches * STRETCH);
                let (n, head) = (nh / s.heads, nh % s.heads);
                let count = STRETCH.min(s.positions - p0);
                // SAFETY: this item's part.
                let part = unsafe {
                    std::slice::from_raw_parts_mut(shared.get().add(item * head_state), head_state)
                };
                workspace::with(Slot::Input, dim * step, |e| {
                    for (d, to) in e.chunks_exact_mut(step).enumerate() {
                        let row = &qkv[s.row(n, 1, head, d) + p0..][..count];
                        (part[d], part[dim + d]) = exp_row(k, row, to);
                    }
                    let v = &qkv[s.row(n, 2, head, 0) + p0..];
                    // SAFETY: e and v hold dim rows of at least `count` floats; the part's context
                    // has dim × dim.
                    unsafe {
                        let context = part.as_mut_ptr().add(2 * dim);
                        let shape = [dim, dim, count];
                        dots(
                            k,
                            shape,
                            (e.as_ptr(), step),
                            (v.as_ptr(), s.positions),
                            (context, dim),
                        );
                    }
                });
            });
            let parts = &*parts;
            let out = Shared::of_mut(state);
            parallel_for(s.batch * s.heads, |nh| {
                // SAFETY: this head's state.
                let state = unsafe {
                    std::slice::from_raw_parts_mut(out.get().add(nh * head_state), head_state)
                };
                let mine = &parts[nh * stretches * head_state..][..stretches * head_state];
                workspace::with(Slot::Rows, stretches, |factors| {
                    for d in 0..dim {
                        let stats = mine.chunks_exact(head_state).map(|p| (p[d], p[dim + d]));
                        (state[d], state[dim + d]) = merge_stretches(stats, s.scale(), factors);
                        let context = &mut state[2 * dim + d * dim..][..dim];
                        context.fill(0.0);
                        for (part, f) in mine.chunks_exact(head_state).zip(&*factors) {
                            for (c, p) in context.iter_mut().zip(&part[2 * dim + d * dim..]) {
                                *c += p * f;
                            }
                        }
                    }
                });
            });
        },
    );
}

/// The gradient of [`linear_attention`] with respect to qkv, from the state that the forward pass
/// left and `dout`.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn linear_attention_backward(
    s: &AttentionShape,
    qkv: &[f32],
    state: &[f32],
    dout: &[f32],
    dqkv: &mut [f32],
) {
    assert_eq!(
        qkv.len(),
        s.qkv_len(),
        "qkv does not have the length of {s:?}"
    );
    assert_eq!(
        dout.len(),
        s.out_len(),
        "dout does not have the length of {s:?}"
    );
    assert_eq!(
        state.len(),
        s.state_len(),
        "the state does not have the length of {s:?}"
    );
    assert_eq!(
        dqkv.len(),
        s.qkv_len(),
        "dqkv does not have the length of {s:?}"
    );
    if dout.is_empty() {
        return;
    }
    let k = kernels_of(Isa::current());
    let dim = s.dim;
    let (stretches, step) = (s.positions.div_ceil(STRETCH), STRETCH + SKEW);
    let heads = s.batch * s.heads;
    workspace::with(Slot::Shared, heads * (stretches + 1) * dim * dim, |all| {
        let (parts, dcontexts) = all.split_at_mut(heads * stretches * dim * dim);
        let shared = Shared::of_mut(parts);
        parallel_for(heads * stretches, |item| {
            let (nh, p0) = (item / stretches, item % stretches * STRETCH);
            let (n, head) = (nh / s.heads, nh % s.heads);
            let count = STRETCH.min(s.positions - p0);
            workspace::with(Slot::Input, dim * step, |q| {
                let d = &dout[nh * dim * s.positions + p0..];
                // SAFETY: q's rows lie in qkv, those of d in dout; the buffer has rows of `step`
                // floats; the part is this item's.
                unsafe {
                    (k.softmax_columns)(&Columns {
                        rows: dim,
                        count,
                        from: qkv.as_ptr().add(s.row(n, 0, head, 0) + p0),
                        from_step: s.positions,
                        to: q.as_mut_ptr(),
                        to_step: step,
                        d: null(),
                        d_step: 0,
                    });
                    let part = shared.get().add(item * dim * dim);
                    let shape = [dim, dim, count];
                    dots(
                        k,
                        shape,
                        (q.as_ptr(), step),
                        (d.as_ptr(), s.positions),
                        (part, dim),
                    );
                }
            });
        });
        for (nh, sum) in dcontexts.chunks_exact_mut(dim * dim).enumerate() {
            sum.fill(0.0);
            for part in parts[nh * stretches * dim * dim..]
                .chunks_exact(dim * dim)
                .take(stretches)
            {
                for (s, p) in sum.iter_mut().zip(part) {
                    *s += p;
                }
            }
        }
        let dcontexts = &*dcontexts;
        let blocks = s.positions.div_ceil(BLOCK);
        let result = Shared::of_mut(dqkv);
        parallel_for(heads * blocks, |item| {
            let (nh, p0) = (item / blocks, item % blocks * BLOCK);
            backward_block(
                k,
                s,
                nh,
                p0,
                qkv,
                state,
                dout,
                &dcontexts[nh * dim * dim..][..dim * dim],
                &result,
            );
        });
    });
}

/// dq, dk and dv of one head for a block of positions.
#[allow(clippy::too_many_arguments)]
fn backward_block(
    k: &'static Kernels,
    s: &AttentionShape,
    nh: usize,
    p0: usize,
    qkv: &[f32],
    state: &[f32],
    dout: &[f32],
    dcontext: &[f32],
    result: &Shared<*mut f32>,
) {
    let dim = s.dim;
    let (n, head) = (nh / s.heads, nh % s.heads);
    let count = BLOCK.min(s.positions - p0);
    let step = BLOCK + SKEW;
    let rows = dim.next_multiple_of(k.mr);
    let state = &state[nh * s.state_of_head()..][..s.state_of_head()];
    let (maxima, rest) = state.split_at(dim);
    let (inverses, context) = rest.split_at(dim);
    let source = |part: usize, row: usize| &qkv[s.row(n, part, head, row) + p0..][..count];
    let target = |part: usize, row: usize| {
        // SAFETY: this item's positions of a row of dqkv; one row at a time.
        unsafe {
            std::slice::from_raw_parts_mut(result.get().add(s.row(n, part, head, row) + p0), count)
        }
    };
    workspace::with(Slot::Weights, rows * dim, |u| {
        workspace::with(Slot::Input, 2 * rows * step, |buffers| {
            workspace::with(Slot::Product, rows * step, |product| {
                let (a, b) = buffers.split_at_mut(rows * step);
                // dq: Q and what reaches it from dout.
                for (e, row) in b.chunks_exact_mut(step).take(dim).enumerate() {
                    row[..count]
                        .copy_from_slice(&dout[(nh * dim + e) * s.positions + p0..][..count]);
                }
                pack_matrix(k.mr, [dim, dim], [dim, 1], context, 1.0, u);
                // SAFETY: q's rows lie in qkv, the result's in dqkv; the buffers have rows of
                // `step` floats, whole groups of NR columns.
                unsafe {
                    let mut columns = Columns {
                        rows: dim,
                        count,
                        from: qkv.as_ptr().add(s.row(n, 0, head, 0) + p0),
                        from_step: s.positions,
                        to: a.as_mut_ptr(),
                        to_step: step,
                        d: product.as_ptr(),
                        d_step: step,
                    };
                    (k.softmax_columns)(&columns);
                    let to = (product.as_mut_ptr(), step);
                    multiply(k, [dim, dim, count], u, (b.as_ptr(), step), to);
                    columns.from = a.as_ptr();
                    columns.from_step = step;
                    columns.to = result.get().add(s.row(n, 0, head, 0) + p0);
                    columns.to_step = s.positions;
                    (k.softmax_columns_back)(&columns);
                }
                // dv = s·dcontextᵀ K.
                for (d, row) in a.chunks_exact_mut(step).take(dim).enumerate() {
                    let mut sum = 0.0;
                    // SAFETY: both rows hold `count` floats.
                    unsafe {
                        (k.row_exp)(&Row {
                            count,
                            from: source(1, d).as_ptr(),
                            to: row.as_mut_ptr(),
                            sub: maxima[d],
                            mul: inverses[d],
                            value: &mut sum,
                        });
                    }
                }
                pack_matrix(k.mr, [dim, dim], [1, dim], dcontext, s.scale(), u);
                // SAFETY: as above.
                unsafe {
                    let to = (product.as_mut_ptr(), step);
                    multiply(k, [dim, dim, count], u, (a.as_ptr(), step), to);
                }
                for (e, row) in product.chunks_exact(step).take(dim).enumerate() {
                    target(2, e).copy_from_slice(&row[..count]);
                }
                // dk = K·(dK − Σ K·dK), dK = s·dcontext v; the sum is that of dcontext·context.
                for (e, row) in b.chunks_exact_mut(step).take(dim).enumerate() {
                    row[..count].copy_from_slice(source(2, e));
                }
                pack_matrix(k.mr, [dim, dim], [dim, 1], dcontext, s.scale(), u);
                // SAFETY: as above.
                unsafe {
                    let to = (product.as_mut_ptr(), step);
                    multiply(k, [dim, dim, count], u, (b.as_ptr(), step), to);
                }
                for d in 0..dim {
                    let pairs = dcontext[d * dim..][..dim].iter().zip(&context[d * dim..]);
                    let sum: f32 = pairs.map(|(x, y)| x * y).sum();
                    let (key, dkey) = (&a[d * step..][..count], &product[d * step..][..count]);
                    for ((to, x), y) in target(1, d).iter_mut().zip(key).zip(dkey) {
                        *to = x * (y - sum);
                    }
                }
            });
        });
    });
}
