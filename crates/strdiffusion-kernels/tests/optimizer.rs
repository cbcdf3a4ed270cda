//! Adam and moving averages against their formulas in f64, on every instruction set.

mod common;
use common::{Rng, each_isa, error};
use strdiffusion_kernels::*;

#[test]
fn adam_follows_its_formula_and_is_the_same_everywhere() {
    let mut rng = Rng(41);
    // Longer than a stretch of work, and no multiple of any vector.
    for len in [1, 37, (1 << 16) + 13] {
        let (mut weight, mut first, mut second) = (rng.vec(len), vec![0.0; len], vec![0.0; len]);
        let mut exact = [common::wide(&weight), vec![0.0; len], vec![0.0; len]];
        for time in 1..=3 {
            let gradient = rng.vec(len);
            let step = AdamStep {
                rate: 1e-2,
                beta1: 0.9,
                beta2: 0.99,
                epsilon: 1e-8,
                time,
            };
            let mut results = vec![];
            each_isa(|_| {
                let mut new = [(); 3].map(|()| vec![f32::NAN; len]);
                let [w, m, v] = &mut new;
                adam_step(
                    step,
                    AdamTensors {
                        weight: &weight,
                        first: &first,
                        second: &second,
                    },
                    &gradient,
                    AdamTensors {
                        weight: w,
                        first: m,
                        second: v,
                    },
                );
                results.push(new);
            });
            assert!(results.iter().all(|r| *r == results[0]), "length {len}");
            [weight, first, second] = results.swap_remove(0);
            let [w, m, v] = &mut exact;
            for i in 0..len {
                let g = f64::from(gradient[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let mean = m[i] / (1.0 - 0.9f64.powi(time as i32));
                let square = v[i] / (1.0 - 0.99f64.powi(time as i32));
                w[i] -= 1e-2 * mean / (square.sqrt() + 1e-8);
            }
            for (got, want) in [&weight, &first, &second].into_iter().zip(&exact) {
                assert!(
                    error(got, want) < 1e-5,
                    "step {time}: {:e}",
                    error(got, want)
                );
            }
        }
    }
}

#[test]
fn averages_move_by_their_decay() {
    let mut rng = Rng(42);
    let (average, value) = (rng.vec(100_003), rng.vec(100_003));
    let want: Vec<f64> = (average.iter().zip(&value))
        .map(|(a, v)| f64::from(*a) * 0.75 + f64::from(*v) * 0.25)
        .collect();
    each_isa(|_| {
        let mut out = vec![f32::NAN; want.len()];
        blend(&average, &value, 0.75, &mut out);
        assert!(error(&out, &want) < 1e-6);
    });
}

/// Newton-Schulz steps in f64, with the published coefficients; short side first.
fn newton_schulz([rows, columns]: [usize; 2], values: &[f32]) -> Vec<f64> {
    let transposed = rows > columns;
    let [m, n] = [rows.min(columns), rows.max(columns)];
    let place = |r: usize, c: usize| if transposed { c * m + r } else { r * n + c };
    let norm = (values.iter().map(|v| f64::from(*v).powi(2)))
        .sum::<f64>()
        .sqrt();
    let mut x = vec![0.0; m * n];
    for r in 0..m {
        for c in 0..n {
            x[r * n + c] = f64::from(values[place(r, c)]) / norm;
        }
    }
    let product = |a: &[f64], b: &dyn Fn(usize, usize) -> f64, [m, k, n]: [usize; 3]| {
        let mut out = vec![0.0; m * n];
        for r in 0..m {
            for i in 0..k {
                for c in 0..n {
                    out[r * n + c] += a[r * k + i] * b(i, c);
                }
            }
        }
        out
    };
    for _ in 0..5 {
        let gram = product(&x, &|i, c| x[c * n + i], [m, n, m]);
        let square = product(&gram, &|i, c| gram[i * m + c], [m, m, m]);
        let factor: Vec<f64> = (gram.iter().zip(&square))
            .map(|(g, s)| -4.7750 * g + 2.0315 * s)
            .collect();
        let more = product(&factor, &|i, c| x[i * n + c], [m, m, n]);
        x = (x.iter().zip(&more)).map(|(x, m)| 3.4445 * x + m).collect();
    }
    let mut out = vec![0.0; m * n];
    for r in 0..m {
        for c in 0..n {
            out[place(r, c)] = x[r * n + c];
        }
    }
    out
}

/// Expected: the same steps in f64; rounding to bf16 in each moves the result by 2 to 4 % of its norm.
#[test]
fn matrices_become_orthogonal_as_in_f64() {
    let mut rng = Rng(43);
    each_isa(|isa| {
        if !Isa::has_tiles() {
            assert_ne!(isa, Isa::Amx);
            return;
        }
        for shape in [[1, 1], [16, 144], [33, 65], [64, 64], [144, 16], [160, 80]] {
            let values = rng.vec(shape[0] * shape[1]);
            let mut out = vec![f32::NAN; values.len()];
            orthogonal(shape, &values, &mut out);
            let want = newton_schulz(shape, &values);
            let squares = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
            let off = squares(&mut out.iter().zip(&want).map(|(o, w)| f64::from(*o) - w));
            let all = squares(&mut want.iter().copied());
            let error = (off / all).sqrt();
            assert!(error < 0.05, "{shape:?}: {error}");
        }
        let mut zeros = vec![f32::NAN; 6];
        orthogonal([2, 3], &[0.0; 6], &mut zeros);
        assert_eq!(zeros, [0.0; 6]);
    });
}
