//! The whole attention block of the network in two sweeps over its input, for inference:
//! y = x + norm₂(W_out · attention(W_qkv · norm₁(x)) + bias).
//!
//! Neither q, k, v nor the attention's output ever stands in memory as a whole. Two products are
//! folded: Σₚ K v^T = (Σₚ K xᵀ) W_vᵀ, so that v is not computed at all, and W_out · contextᵀ, so
//! that Q goes straight to the block's output.

use crate::attention::{dots, exp_row, merge_stretches, multiply, pack_matrix};
use crate::isa::{Isa, Kernels, kernels_of};
use crate::kernels::norm::Norm;
use crate::kernels::rows::Finish;
use crate::kernels::softmax::Columns;
use crate::norm::MapShape;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::tiles::attention;
use crate::workspace::{self, Slot};
use std::ptr::{null, null_mut};

/// The weights of an attention block with `c` channels and `heads` heads of `dim` channels.
#[derive(Clone, Copy, Debug)]
pub struct AttentionWeights<'a> {
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub dim: usize,
    /// Gain of the norm before, `[c]`.
    pub pre_gain: &'a [f32],
    /// 1×1 convolution to q, k, v: `[3·heads·dim, c]`.
    pub qkv: &'a [f32],
    /// 1×1 convolution back: `[c, heads·dim]`.
    pub out: &'a [f32],
    /// Its bias, `[c]`.
    pub out_bias: Option<&'a [f32]>,
    /// Gain of the norm after, `[c]`.
    pub post_gain: &'a [f32],
    /// ε of both norms.
    pub epsilon: f32,
}

/// Where a block's gradients go, each as large as what it belongs to.
#[derive(Debug)]
pub struct AttentionGrads<'a> {
    /// With respect to x.
    pub dx: &'a mut [f32],
    /// With respect to the gain of the norm before.
    pub dpre_gain: &'a mut [f32],
    /// With respect to the weights of q, k and v.
    pub dqkv: &'a mut [f32],
    /// With respect to the weights back.
    pub dout: &'a mut [f32],
    /// With respect to their bias.
    pub dout_bias: &'a mut [f32],
    /// With respect to the gain of the norm after.
    pub dpost_gain: &'a mut [f32],
}

/// What a block's backward pass needs of its forward pass: its contexts.
#[derive(Debug)]
pub struct AttentionKept(attention::Context);

impl AttentionWeights<'_> {
    /// Whether this CPU computes such blocks in bf16, forward and backward: on tiles, and with heads
    /// of 32 channels.
    pub fn has_bf16(heads: usize, dim: usize) -> bool {
        Isa::has_tiles() && dim == attention::DIM && heads > 0
    }

    /// [`attention_block`] with the operands of its products in bf16, and what
    /// [`backward_bf16`](Self::backward_bf16) needs.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape, or [`has_bf16`](Self::has_bf16) says no.
    pub fn forward_bf16(&self, s: &MapShape, x: &[f32], y: &mut [f32]) -> AttentionKept {
        assert!(
            Self::has_bf16(self.heads, self.dim),
            "the block needs tiles"
        );
        check(s, self, x, y);
        let context = attention::context(s, self, x);
        if !s.is_empty() {
            attention::forward(s, self, &context, x, y);
        }
        AttentionKept(context)
    }

    /// The gradients from dy. Everything but the contexts is computed anew from x.
    ///
    /// # Panics
    /// As [`forward_bf16`](Self::forward_bf16).
    pub fn backward_bf16(
        &self,
        s: &MapShape,
        kept: &AttentionKept,
        x: &[f32],
        dy: &[f32],
        grads: AttentionGrads,
    ) {
        assert!(
            Self::has_bf16(self.heads, self.dim),
            "the block needs tiles"
        );
        check(s, self, x, dy);
        s.check("dx", grads.dx);
        assert_eq!(grads.dpre_gain.len(), s.channels, "dpre_gain's length");
        assert_eq!(grads.dpost_gain.len(), s.channels, "dpost_gain's length");
        assert_eq!(grads.dout_bias.len(), s.channels, "dout_bias's length");
        assert_eq!(grads.dqkv.len(), self.qkv.len(), "dqkv's length");
        assert_eq!(grads.dout.len(), self.out.len(), "dout's length");
        attention::backward(s, self, &kept.0, x, dy, grads);
    }
}

fn check(s: &MapShape, w: &AttentionWeights, x: &[f32], y: &[f32]) {
    s.check("x", x);
    s.check("y", y);
    check_weights(s, w);
}

pub(crate) fn check_weights(s: &MapShape, w: &AttentionWeights) {
    let (c, inner) = (s.channels, w.heads * w.dim);
    assert_eq!(w.pre_gain.len(), c, "pre_gain has the wrong length");
    assert_eq!(w.post_gain.len(), c, "post_gain has the wrong length");
    assert_eq!(w.qkv.len(), 3 * inner * c, "qkv has the wrong length");
    assert_eq!(w.out.len(), inner * c, "out has the wrong length");
    if let Some(bias) = w.out_bias {
        assert_eq!(bias.len(), c, "out_bias has the wrong length");
    }
}

/// One call.
struct Call<'a> {
    k: &'static Kernels,
    s: MapShape,
    w: &'a AttentionWeights<'a>,
    x: &'a [f32],
    /// heads · dim.
    inner: usize,
    /// Positions of a block, and floats between the rows of its buffers.
    block: usize,
    step: usize,
    blocks: usize,
}

/// y = x + norm₂(W_out · attention(W_qkv · norm₁(x)) + bias), both norms channel LayerNorms.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn attention_block(s: &MapShape, w: &AttentionWeights, x: &[f32], y: &mut [f32]) {
    let inner = w.heads * w.dim;
    check(s, w, x, y);
    if s.is_empty() {
        return;
    }
    let k = kernels_of(Isa::current());
    // The block's buffers (input and k or q) share a core's cache.
    let fitting = (150_000 / (s.channels + inner) / 64 * 64).clamp(256, 512);
    // Small pictures are cut into four, so that there is work for several threads.
    let block = fitting.min((s.positions / 4).next_multiple_of(64).max(64));
    let blocks = s.positions.div_ceil(block);
    let call = Call {
        k,
        s: *s,
        w,
        x,
        inner,
        block,
        step: block + 16,
        blocks,
    };
    let panels = |rows: usize| rows.next_multiple_of(k.mr);
    let c = s.channels;
    // For each stretch: maximum and sum of each row of k, and Σ K xᵀ.
    let part = inner * (c + 2);
    let sizes = [
        s.batch * blocks * part,
        s.batch * panels(c) * inner,
        2 * panels(inner) * c,
    ];
    workspace::with(Slot::Shared, sizes.iter().sum(), |all| {
        let (parts, rest) = all.split_at_mut(sizes[0]);
        let (folded, packed) = rest.split_at_mut(sizes[1]);
        let (wq, wk) = packed.split_at_mut(panels(inner) * c);
        pack_matrix(k.mr, [inner, c], [c, 1], w.qkv, 1.0, wq);
        pack_matrix(k.mr, [inner, c], [c, 1], &w.qkv[inner * c..], 1.0, wk);
        let shared = Shared::of_mut(parts);
        parallel_for(s.batch * blocks, |item| {
            // SAFETY: this item's part.
            let part =
                unsafe { std::slice::from_raw_parts_mut(shared.get().add(item * part), part) };
            call.summarise(item, wk, part);
        });
        for (n, folded) in folded.chunks_exact_mut(panels(c) * inner).enumerate() {
            call.fold(&parts[n * blocks * part..][..blocks * part], folded);
        }
        let out = Shared::of_mut(y);
        parallel_for(s.batch * blocks, |item| {
            let folded = &folded[item / blocks * panels(c) * inner..][..panels(c) * inner];
            call.finish(item, wq, folded, &out);
        });
    });
}

impl Call<'_> {
    /// Where a block starts in x, and how many positions it has.
    fn place(&self, item: usize) -> (usize, usize) {
        let (n, p) = (item / self.blocks, item % self.blocks * self.block);
        let at = n * self.s.channels * self.s.positions + p;
        (at, self.block.min(self.s.positions - p))
    }

    /// A channel LayerNorm of `count` positions.
    fn norm(&self, count: usize, scratch: &mut [f32]) -> Norm {
        Norm {
            channels: self.s.channels,
            count,
            step: self.s.positions,
            x_step: self.s.positions,
            x: null(),
            gain: null(),
            gamma: null(),
            beta: null(),
            residual: null(),
            slope: 1.0,
            divisor: self.s.channels as f32,
            epsilon: self.w.epsilon,
            y: null_mut(),
            y_step: self.step,
            scratch: scratch.as_mut_ptr(),
            dy: null(),
            dx: null_mut(),
            dgamma: null_mut(),
            dbeta: null_mut(),
            dgain: null_mut(),
        }
    }

    /// Calls `f` with norm₁(x) of a block (rows `step` apart), and a buffer for `rows` rows.
    fn with_normed(&self, item: usize, rows: usize, f: impl FnOnce(&[f32], &mut [f32])) {
        let (at, count) = self.place(item);
        workspace::with(Slot::Input, self.s.channels * self.step, |xn| {
            workspace::with(Slot::Rows, 4 * self.block, |scratch| {
                let norm = Norm {
                    x: self.x[at..].as_ptr(),
                    gain: self.w.pre_gain.as_ptr(),
                    y: xn.as_mut_ptr(),
                    ..self.norm(count, scratch)
                };
                // SAFETY: x has a row of at least `count` floats for each channel from `at` on,
                // xn one of `step`.
                unsafe { (self.k.norm)(&norm) };
            });
            let rows = rows.next_multiple_of(self.k.mr);
            workspace::with(Slot::Product, rows * self.step, |m| f(xn, m));
        });
    }

    /// First sweep: k of a block, its exponentials, and their products with the input.
    fn summarise(&self, item: usize, wk: &[f32], part: &mut [f32]) {
        let (_, count) = self.place(item);
        let (c, inner, step) = (self.s.channels, self.inner, self.step);
        self.with_normed(item, inner, |xn, m| {
            // SAFETY: both buffers have rows of `step` floats, whole groups of NR columns, and m
            // whole groups of MR rows.
            unsafe {
                let to = (m.as_mut_ptr(), step);
                multiply(self.k, [inner, c, count], wk, (xn.as_ptr(), step), to);
            }
            workspace::with(Slot::Rows, step, |row| {
                for (d, line) in m.chunks_exact_mut(step).take(inner).enumerate() {
                    row[..count].copy_from_slice(&line[..count]);
                    (part[d], part[inner + d]) = exp_row(self.k, &row[..count], line);
                }
            });
            // SAFETY: the buffers hold these rows; the part's sums are inner × c.
            unsafe {
                let sums = (part.as_mut_ptr().add(2 * inner), c);
                dots(
                    self.k,
                    [inner, c, count],
                    (m.as_ptr(), step),
                    (xn.as_ptr(), step),
                    sums,
                );
            }
        });
    }

    /// Puts a picture's stretches together and folds W_v and W_out in: the packed matrix
    /// `[c, inner]` from Q to the output.
    fn fold(&self, parts: &[f32], folded: &mut [f32]) {
        let (k, c, inner, dim) = (self.k, self.s.channels, self.inner, self.w.dim);
        let size = inner * (c + 2);
        let total = 1.0 / ((dim as f32).sqrt() * self.s.positions as f32);
        workspace::with(Slot::Weights, inner * c + inner * dim + c * inner, |all| {
            let (sums, rest) = all.split_at_mut(inner * c);
            let (context, matrix) = rest.split_at_mut(inner * dim);
            let rows = Shared::of_mut(sums);
            parallel_for(inner, |d| {
                // SAFETY: row d of the sums.
                let sum = unsafe { std::slice::from_raw_parts_mut(rows.get().add(d * c), c) };
                workspace::with(Slot::Rows, self.blocks, |factors| {
                    let stats = parts.chunks_exact(size).map(|p| (p[d], p[inner + d]));
                    merge_stretches(stats, total, factors);
                    sum.fill(0.0);
                    for (part, f) in parts.chunks_exact(size).zip(&*factors) {
                        for (s, p) in sum.iter_mut().zip(&part[2 * inner + d * c..]) {
                            *s += p * f;
                        }
                    }
                });
            });
            for head in 0..self.w.heads {
                let wv = &self.w.qkv[(2 * inner + head * dim) * c..][..dim * c];
                let wo = &self.w.out[head * dim..];
                // SAFETY: context[d][e] = Σ_c sums[d][c]·W_v[e][c]; matrix[o][d] = Σ_e
                // W_out[o][e]·context[d][e], e within the head: all rows lie in their slices.
                unsafe {
                    let sums = (sums.as_ptr().add(head * dim * c), c);
                    let to = (context.as_mut_ptr().add(head * dim * dim), dim);
                    dots(k, [dim, dim, c], sums, (wv.as_ptr(), c), to);
                    let from = (context.as_ptr().add(head * dim * dim), dim);
                    let to = (matrix.as_mut_ptr().add(head * dim), inner);
                    dots(k, [c, dim, dim], (wo.as_ptr(), inner), from, to);
                }
            }
            pack_matrix(k.mr, [c, inner], [inner, 1], matrix, 1.0, folded);
        });
    }

    /// Second sweep: q of a block, its softmax, the folded product, norm₂ and the residual.
    fn finish(&self, item: usize, wq: &[f32], folded: &[f32], out: &Shared<*mut f32>) {
        let (at, count) = self.place(item);
        let (c, inner, step, k) = (self.s.channels, self.inner, self.step, self.k);
        let (q_rows, o_rows) = (inner.next_multiple_of(k.mr), c.next_multiple_of(k.mr));
        self.with_normed(item, q_rows + o_rows, |xn, m| {
            let (q, o) = m.split_at_mut(q_rows * step);
            // SAFETY: all buffers have rows of `step` floats, whole groups of NR columns, and q
            // and o whole groups of MR rows; y has this item's positions for itself.
            unsafe {
                multiply(
                    k,
                    [inner, c, count],
                    wq,
                    (xn.as_ptr(), step),
                    (q.as_mut_ptr(), step),
                );
                for head in 0..self.w.heads {
                    let rows = q.as_mut_ptr().add(head * self.w.dim * step);
                    (k.softmax_columns)(&Columns {
                        rows: self.w.dim,
                        count,
                        from: rows,
                        from_step: step,
                        to: rows,
                        to_step: step,
                        d: null(),
                        d_step: 0,
                    });
                }
                let to = (o.as_mut_ptr(), step);
                multiply(k, [c, inner, count], folded, (q.as_ptr(), step), to);
                if let Some(bias) = self.w.out_bias {
                    for (row, add) in o.chunks_exact_mut(step).zip(bias) {
                        let row = row.as_mut_ptr();
                        (k.finish)(&Finish {
                            from: row,
                            to: row,
                            residual: null(),
                            count,
                            mul: 1.0,
                            add: *add,
                            silu: false,
                        });
                    }
                }
                workspace::with(Slot::Rows, 4 * self.block, |scratch| {
                    (k.norm)(&Norm {
                        x: o.as_ptr(),
                        x_step: step,
                        gain: self.w.post_gain.as_ptr(),
                        residual: self.x[at..].as_ptr(),
                        y: out.get().add(at),
                        y_step: self.s.positions,
                        ..self.norm(count, scratch)
                    });
                });
            }
        });
    }
}
