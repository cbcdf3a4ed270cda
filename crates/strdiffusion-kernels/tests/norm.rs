//! Norms and pointwise operations against f64 references, their gradients against differences.

mod common;
use common::{Rng, each_isa, error, isa_lock, numeric_gradient, wide};
use strdiffusion_kernels::*;

const BOUND: f64 = 2e-5;

/// (x − mean)/√(variance + ε) over the channels of each position.
fn normed(s: &MapShape, x: &[f64], divisor: f64, epsilon: f64) -> Vec<f64> {
    let (c, p) = (s.channels, s.positions);
    let mut y = vec![0.0; x.len()];
    for n in 0..s.batch {
        for i in 0..p {
            let at = |k: usize| (n * c + k) * p + i;
            let mean = (0..c).map(|k| x[at(k)]).sum::<f64>() / c as f64;
            let var = (0..c).map(|k| (x[at(k)] - mean).powi(2)).sum::<f64>() / divisor;
            for k in 0..c {
                y[at(k)] = (x[at(k)] - mean) / (var + epsilon).sqrt();
            }
        }
    }
    y
}

fn layer_norm_reference(s: &MapShape, x: &[f64], gain: &[f64]) -> Vec<f64> {
    let mut y = normed(s, x, s.channels as f64, 1e-5);
    for (i, v) in y.iter_mut().enumerate() {
        *v *= gain[i / s.positions % s.channels];
    }
    y
}

fn spade_reference(s: &MapShape, x: &[f64], gamma: &[f64], beta: &[f64], slope: f64) -> Vec<f64> {
    let y = normed(s, x, (s.channels - 1) as f64, 1e-5);
    (y.iter().zip(gamma).zip(beta))
        .map(|((n, g), b)| n * (1.0 + g) + b)
        .map(|v| if v > 0.0 { v } else { slope * v })
        .collect()
}

fn shape(batch: usize, channels: usize, positions: usize) -> MapShape {
    MapShape {
        batch,
        channels,
        positions,
    }
}

#[test]
fn layer_norm_matches_its_definition_and_adds_the_residual() {
    let mut rng = Rng(1);
    for s in [
        shape(2, 64, 300),
        shape(1, 3, 1),
        shape(3, 130, 17),
        shape(1, 16, 5000),
    ] {
        let (x, gain, residual) = (rng.vec(s.len()), rng.vec(s.channels), rng.vec(s.len()));
        let want = layer_norm_reference(&s, &wide(&x), &wide(&gain));
        let added: Vec<f64> = want
            .iter()
            .zip(&residual)
            .map(|(v, r)| v + f64::from(*r))
            .collect();
        each_isa(|isa| {
            let mut y = vec![f32::NAN; s.len()];
            layer_norm(&s, &x, &gain, 1e-5, None, &mut y);
            assert!(
                error(&y, &want) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&y, &want)
            );
            layer_norm(&s, &x, &gain, 1e-5, Some(&residual), &mut y);
            assert!(
                error(&y, &added) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&y, &added)
            );
        });
    }
}

#[test]
fn layer_norm_gradients_match_differences() {
    let mut rng = Rng(2);
    for s in [shape(2, 5, 7), shape(1, 24, 20)] {
        let (x, gain, dy) = (rng.vec(s.len()), rng.vec(s.channels), rng.vec(s.len()));
        let (wx, wg) = (wide(&x), wide(&gain));
        let want_x = numeric_gradient(&wx, &dy, |x| layer_norm_reference(&s, x, &wg));
        let want_g = numeric_gradient(&wg, &dy, |g| layer_norm_reference(&s, &wx, g));
        each_isa(|isa| {
            let (mut dx, mut dg) = (vec![f32::NAN; s.len()], vec![f32::NAN; s.channels]);
            layer_norm_backward(&s, &x, &gain, 1e-5, &dy, &mut dx, &mut dg);
            assert!(
                error(&dx, &want_x) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&dx, &want_x)
            );
            assert!(
                error(&dg, &want_g) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&dg, &want_g)
            );
        });
    }
}

#[test]
fn spade_and_its_gradients_match() {
    let mut rng = Rng(3);
    for (s, slope) in [
        (shape(2, 6, 9), 0.2),
        (shape(1, 20, 19), 1.0),
        (shape(1, 5, 33), 0.2),
    ] {
        let (x, dy) = (rng.vec(s.len()), rng.vec(s.len()));
        let (gamma, beta) = (rng.vec(s.len()), rng.vec(s.len()));
        let (wx, wg, wb) = (wide(&x), wide(&gamma), wide(&beta));
        let slope64 = f64::from(slope);
        let want = spade_reference(&s, &wx, &wg, &wb, slope64);
        let wants = [
            numeric_gradient(&wx, &dy, |v| spade_reference(&s, v, &wg, &wb, slope64)),
            numeric_gradient(&wg, &dy, |v| spade_reference(&s, &wx, v, &wb, slope64)),
            numeric_gradient(&wb, &dy, |v| spade_reference(&s, &wx, &wg, v, slope64)),
        ];
        each_isa(|isa| {
            let mut y = vec![f32::NAN; s.len()];
            spade(&s, &x, &gamma, &beta, 1e-5, slope, &mut y);
            assert!(
                error(&y, &want) < BOUND,
                "{s:?} {isa:?}: {:e}",
                error(&y, &want)
            );
            let mut got = [y.clone(), y.clone(), y.clone()];
            let [dx, dgamma, dbeta] = &mut got;
            let grads = SpadeGrads { dx, dgamma, dbeta };
            spade_backward(&s, &x, &gamma, &beta, 1e-5, slope, &dy, grads);
            for (got, want) in got.iter().zip(&wants) {
                assert!(
                    error(got, want) < BOUND,
                    "{s:?} {isa:?}: {:e}",
                    error(got, want)
                );
            }
        });
    }
}

fn modulate_reference(s: &MapShape, x: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    (x.iter().enumerate())
        .map(|(i, x)| {
            let u = x * (1.0 + scale[i / s.positions]) + shift[i / s.positions];
            u / (1.0 + (-u).exp())
        })
        .collect()
}

#[test]
fn modulated_silu_and_its_gradients_match() {
    let mut rng = Rng(4);
    let s = shape(2, 3, 37);
    let (x, dy) = (rng.vec(s.len()), rng.vec(s.len()));
    let (scale, shift) = (rng.vec(6), rng.vec(6));
    let (wx, ws, wt) = (wide(&x), wide(&scale), wide(&shift));
    let want = modulate_reference(&s, &wx, &ws, &wt);
    let want_x = numeric_gradient(&wx, &dy, |v| modulate_reference(&s, v, &ws, &wt));
    let want_s = numeric_gradient(&ws, &dy, |v| modulate_reference(&s, &wx, v, &wt));
    let want_t = numeric_gradient(&wt, &dy, |v| modulate_reference(&s, &wx, &ws, v));
    let zero = vec![0.0; 6];
    let plain = modulate_reference(&s, &wx, &zero, &zero);
    each_isa(|isa| {
        let mut y = vec![f32::NAN; s.len()];
        modulate_silu(&s, &x, None, None, &mut y);
        assert!(
            error(&y, &plain) < BOUND,
            "{isa:?}: {:e}",
            error(&y, &plain)
        );
        modulate_silu(&s, &x, Some(&scale), Some(&shift), &mut y);
        assert!(error(&y, &want) < BOUND, "{isa:?}: {:e}", error(&y, &want));
        let (mut dx, mut ds, mut dt) = (y.clone(), vec![f32::NAN; 6], vec![f32::NAN; 6]);
        let grads = ModulateGrads {
            dx: &mut dx,
            dscale: Some(&mut ds),
            dshift: Some(&mut dt),
        };
        modulate_silu_backward(&s, &x, Some(&scale), Some(&shift), &dy, grads);
        for (got, want) in [(&dx, &want_x), (&ds, &want_s), (&dt, &want_t)] {
            assert!(error(got, want) < BOUND, "{isa:?}: {:e}", error(got, want));
        }
    });
}

#[test]
fn silu_is_exact_at_its_ends() {
    let s = shape(1, 1, 8);
    let x = [-1e30, -100.0, -88.0, -0.0, 0.0, 88.0, 100.0, 1e30];
    each_isa(|isa| {
        let mut y = [f32::NAN; 8];
        modulate_silu(&s, &x, None, None, &mut y);
        assert!(y[1].abs() < 1e-35 && y[2].abs() < 1e-35, "{isa:?} {y:?}");
        assert_eq!(&y[3..], &[0.0, 0.0, 88.0, 100.0, 1e30], "{isa:?}");
        assert!(y[0].is_finite(), "{isa:?} {y:?}");
    });
}

/// Φ(x)·x from the tables of the normal distribution: Φ(1) = 0.841344746, Φ(−0.5) = 0.308537539.
#[test]
fn gelu_is_the_exact_one() {
    let x = [1.0, -0.5, 0.0, -30.0, 30.0];
    let want = [0.841_344_746, -0.5 * 0.308_537_539, 0.0, 0.0, 30.0];
    let mut y = [f32::NAN; 5];
    gelu(&x, &mut y);
    assert!(error(&y, &want) < 1e-6);
    let dy = [1.0f32; 5];
    let mut dx = [f32::NAN; 5];
    gelu_backward(&x, &dy, &mut dx);
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let want = [
        0.841_344_746 + density(1.0),
        0.308_537_539 - 0.5 * density(0.5),
        0.5,
        0.0,
        1.0,
    ];
    assert!(error(&dx, &want) < 1e-6);
}

#[test]
fn upsampling_repeats_and_its_gradient_sums() {
    let _guard = isa_lock();
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut y = [0f32; 24];
    upsample_nearest2(1, 2, 3, &x, &mut y);
    #[rustfmt::skip]
    assert_eq!(y, [
        1.0, 1.0, 2.0, 2.0, 3.0, 3.0,
        1.0, 1.0, 2.0, 2.0, 3.0, 3.0,
        4.0, 4.0, 5.0, 5.0, 6.0, 6.0,
        4.0, 4.0, 5.0, 5.0, 6.0, 6.0,
    ]);
    let mut dx = [0f32; 6];
    upsample_nearest2_backward(1, 2, 3, &y, &mut dx);
    assert_eq!(dx, x.map(|v| 4.0 * v));
}
