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
