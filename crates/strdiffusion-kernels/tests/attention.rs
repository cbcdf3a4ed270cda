//! Linear attention against its definition in f64, its gradient against differences.

mod common;
use common::{Rng, each_isa, error, isa_lock, numeric_gradient, wide};
use strdiffusion_kernels::*;

const BOUND: f64 = 2e-5;

fn attention_reference(s: &AttentionShape, qkv: &[f64]) -> Vec<f64> {
    let (d, p) = (s.dim, s.positions);
    let inner = s.heads * d;
    let mut out = vec![0.0; s.out_len()];
    for n in 0..s.batch {
        for h in 0..s.heads {
            let row = |part: usize, r: usize| &qkv[((n * 3 + part) * inner + h * d + r) * p..][..p];
            let mut context = vec![0.0; d * d];
            for i in 0..d {
                let max = row(1, i).iter().fold(f64::MIN, |m, v| m.max(*v));
                let sum: f64 = row(1, i).iter().map(|v| (v - max).exp()).sum();
                for e in 0..d {
                    for j in 0..p {
                        context[i * d + e] +=
                            (row(1, i)[j] - max).exp() / sum * row(2, e)[j] / p as f64;
                    }
                }
            }
            for j in 0..p {
                let max = (0..d).fold(f64::MIN, |m, i| m.max(row(0, i)[j]));
                let sum: f64 = (0..d).map(|i| (row(0, i)[j] - max).exp()).sum();
                for e in 0..d {
                    let mut v = 0.0;
                    for i in 0..d {
                        v += context[i * d + e] * (row(0, i)[j] - max).exp()
                            / sum
                            / (d as f64).sqrt();
                    }
                    out[(n * inner + h * d + e) * p + j] = v;
                }
            }
        }
    }
    out
}

fn shape(batch: usize, heads: usize, dim: usize, positions: usize) -> AttentionShape {
    AttentionShape {
        batch,
        heads,
        dim,
        positions,
    }
}

#[test]
fn attention_matches_its_definition() {
    let mut rng = Rng(1);
    for s in [
        shape(2, 4, 32, 64),
        shape(1, 4, 32, 2500),
        shape(1, 2, 5, 33),
        shape(3, 1, 8, 1),
        shape(1, 4, 32, 1024),
    ] {
        let qkv: Vec<f32> = rng.vec(s.qkv_len()).iter().map(|v| 3.0 * v).collect();
        let want = attention_reference(&s, &wide(&qkv));
        each_isa(|isa| {
            let (mut out, mut state) = (vec![f32::NAN; s.out_len()], vec![f32::NAN; s.state_len()]);
            linear_attention(&s, &qkv, &mut out, &mut state);
            assert!(
                error(&out, &want) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&out, &want)
            );
        });
    }
}

#[test]
fn attention_stands_large_logits() {
    let mut rng = Rng(2);
    let s = shape(1, 1, 32, 1100);
    let qkv: Vec<f32> = rng.vec(s.qkv_len()).iter().map(|v| 60.0 * v).collect();
    let want = attention_reference(&s, &wide(&qkv));
    each_isa(|isa| {
        let (mut out, mut state) = (vec![f32::NAN; s.out_len()], vec![f32::NAN; s.state_len()]);
        linear_attention(&s, &qkv, &mut out, &mut state);
        // Logits of ±200 in f32 carry errors of 1e-5 themselves.
        assert!(
            error(&out, &want) < 1e-4,
            "{isa:?}: {:e}",
            error(&out, &want)
        );
    });
}

#[test]
fn attention_gradient_matches_differences() {
    let mut rng = Rng(3);
    for s in [shape(2, 2, 4, 11), shape(1, 1, 32, 7), shape(1, 2, 6, 40)] {
        let (qkv, dout) = (rng.vec(s.qkv_len()), rng.vec(s.out_len()));
        let want = numeric_gradient(&wide(&qkv), &dout, |v| attention_reference(&s, v));
        each_isa(|isa| {
            let (mut out, mut state) = (vec![f32::NAN; s.out_len()], vec![f32::NAN; s.state_len()]);
            linear_attention(&s, &qkv, &mut out, &mut state);
            let mut dqkv = vec![f32::NAN; s.qkv_len()];
            linear_attention_backward(&s, &qkv, &state, &dout, &mut dqkv);
            assert!(
                error(&dqkv, &want) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&dqkv, &want)
            );
        });
    }
}

/// Over several stretches differences are too slow: the gradient along one direction instead.
#[test]
fn attention_gradient_spans_stretches() {
    let mut rng = Rng(4);
    let s = shape(1, 2, 8, 2300);
    let (qkv, dout, way) = (
        rng.vec(s.qkv_len()),
        rng.vec(s.out_len()),
        rng.vec(s.qkv_len()),
    );
    let loss = |t: f64| -> f64 {
        let moved: Vec<f64> = qkv
            .iter()
            .zip(&way)
            .map(|(x, w)| f64::from(*x) + t * f64::from(*w))
            .collect();
        let out = attention_reference(&s, &moved);
        out.iter().zip(&dout).map(|(o, d)| o * f64::from(*d)).sum()
    };
    let want = (loss(1e-4) - loss(-1e-4)) / 2e-4;
    each_isa(|isa| {
        let (mut out, mut state) = (vec![f32::NAN; s.out_len()], vec![f32::NAN; s.state_len()]);
        linear_attention(&s, &qkv, &mut out, &mut state);
        let mut dqkv = vec![f32::NAN; s.qkv_len()];
        linear_attention_backward(&s, &qkv, &state, &dout, &mut dqkv);
        let got: f64 = dqkv
            .iter()
            .zip(&way)
            .map(|(d, w)| f64::from(*d) * f64::from(*w))
            .sum();
        assert!(
            (got - want).abs() < 1e-4 * want.abs().max(1e-3),
            "{isa:?}: {got} for {want}"
        );
    });
}

/// y = x + norm(W_out·attention(W_qkv·norm(x)) + bias), step by step.
#[test]
fn the_fused_block_equals_its_parts() {
    let mut rng = Rng(5);
    for (batch, c, positions, heads, dim) in [
        (2, 16, 100, 4, 32),
        (1, 64, 1700, 4, 32),
        (1, 7, 300, 2, 5),
        (1, 260, 16, 4, 32),
    ] {
        let inner = heads * dim;
        let s = MapShape {
            batch,
            channels: c,
            positions,
        };
        let x = rng.vec(s.len());
        let (pre, post, bias) = (rng.vec(c), rng.vec(c), rng.vec(c));
        let (wqkv, wout) = (rng.vec(3 * inner * c), rng.vec(c * inner));
        let norm = |x: &[f64], gain: &[f32]| -> Vec<f64> {
            let mut y = vec![0.0; x.len()];
            for n in 0..batch {
                for i in 0..positions {
                    let at = |k: usize| (n * c + k) * positions + i;
                    let mean = (0..c).map(|k| x[at(k)]).sum::<f64>() / c as f64;
                    let var = (0..c).map(|k| (x[at(k)] - mean).powi(2)).sum::<f64>() / c as f64;
                    for k in 0..c {
                        y[at(k)] = (x[at(k)] - mean) / (var + 1e-5).sqrt() * f64::from(gain[k]);
                    }
                }
            }
            y
        };
        let conv = |x: &[f64], w: &[f32], from: usize, to: usize| -> Vec<f64> {
            let mut y = vec![0.0; batch * to * positions];
            for n in 0..batch {
                for o in 0..to {
                    for k in 0..from {
                        for i in 0..positions {
                            y[(n * to + o) * positions + i] +=
                                f64::from(w[o * from + k]) * x[(n * from + k) * positions + i];
                        }
                    }
                }
            }
            y
        };
        let qkv = conv(&norm(&wide(&x), &pre), &wqkv, c, 3 * inner);
        let a = AttentionShape {
            batch,
            heads,
            dim,
            positions,
        };
        let mut o = conv(&attention_reference(&a, &qkv), &wout, inner, c);
        for (i, v) in o.iter_mut().enumerate() {
            *v += f64::from(bias[i / positions % c]);
        }
        let want: Vec<f64> = norm(&o, &post)
            .iter()
            .zip(&x)
            .map(|(v, x)| v + f64::from(*x))
            .collect();
        let weights = AttentionWeights {
            heads,
            dim,
            pre_gain: &pre,
            qkv: &wqkv,
            out: &wout,
            out_bias: Some(&bias),
            post_gain: &post,
            epsilon: 1e-5,
        };
        each_isa(|isa| {
            let mut y = vec![f32::NAN; s.len()];
            attention_block(&s, &weights, &x, &mut y);
            assert!(
                error(&y, &want) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&y, &want)
            );
        });
        let _guard = isa_lock();
        let run = |threads: usize| {
            set_num_threads(threads);
            let mut y = vec![0f32; s.len()];
            attention_block(&s, &weights, &x, &mut y);
            y
        };
        assert!(run(1) == run(3), "the result depends on the threads");
        set_num_threads(0);
    }
}
