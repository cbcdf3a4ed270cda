//! Convolutions and their gradients against their definition in f64, on every instruction set.

mod common;
use common::{Rng, Row, each_isa, error, isa_lock, products, shape};
use strdiffusion_kernels::*;

/// The promise of the crate, relative to the largest value of the result.
const BOUND: f64 = 2e-5;

const SHAPES: &[Row] = &[
    // 3×3: whole and partial tiles, one position, more rows of tiles than a block, many pictures
    (1, 8, 32, 32, 8, 3, 1, 1),
    (1, 4, 1, 1, 3, 3, 1, 1),
    (2, 5, 7, 13, 9, 3, 1, 1),
    (9, 17, 8, 8, 19, 3, 1, 1),
    (3, 64, 2, 2, 32, 3, 1, 1),
    (1, 6, 5, 131, 1, 3, 1, 1),
    (1, 130, 12, 20, 24, 3, 1, 1),
    (2, 16, 70, 66, 16, 3, 1, 1),
    (1, 12, 1, 40, 7, 3, 1, 1),
    (1, 12, 40, 1, 7, 3, 1, 1),
    // many channels at few positions: weights streamed
    (1, 260, 9, 14, 264, 3, 1, 1),
    (3, 420, 4, 5, 390, 3, 1, 1),
    // few input channels: no Winograd
    (2, 1, 16, 20, 16, 3, 1, 1),
    (1, 3, 9, 9, 5, 3, 1, 1),
    // the network's other kernels
    (1, 6, 40, 36, 16, 7, 1, 3),
    (2, 3, 37, 71, 70, 7, 1, 3),
    (1, 2, 33, 40, 5, 5, 1, 4),
    (2, 2, 19, 7, 9, 7, 1, 3),
    (2, 16, 32, 48, 24, 4, 2, 1),
    (1, 5, 10, 14, 3, 4, 2, 1),
    (3, 9, 2, 2, 4, 4, 2, 1),
    (2, 24, 9, 11, 17, 1, 1, 0),
    (1, 300, 6, 6, 8, 1, 1, 0),
    (1, 80, 8, 8, 8, 4, 2, 1),
    // anything else
    (2, 3, 15, 17, 4, 5, 3, 2),
    (1, 2, 12, 12, 3, 3, 2, 1),
    (1, 2, 8, 9, 3, 1, 2, 0),
    (1, 4, 6, 6, 5, 3, 1, 0),
    (1, 2, 6, 5, 3, 2, 1, 1),
    (1, 3, 11, 6, 2, 2, 4, 0),
];

struct Case {
    s: Conv2dShape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
    y: Vec<f64>,
    dx: Vec<f64>,
    dw: Vec<f64>,
}

fn case(s: Conv2dShape, rng: &mut Rng) -> Case {
    let (x, w, dy) = (
        rng.vec(s.input_len()),
        rng.vec(s.weight_len()),
        rng.vec(s.output_len()),
    );
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    products(&s, |o, i, k| {
        let (xv, wv, dv) = (f64::from(x[i]), f64::from(w[k]), f64::from(dy[o]));
        y[o] += xv * wv;
        dx[i] += dv * wv;
        dw[k] += dv * xv;
    });
    Case {
        s,
        x,
        w,
        dy,
        y,
        dx,
        dw,
    }
}

fn check(c: &Case, isa: Isa, precision: Precision) {
    let (s, nan) = (&c.s, f32::NAN);
    let what = format!("{s:?} {isa:?} {precision:?}");
    let mut y = vec![nan; c.y.len()];
    conv2d(s, &c.x, &c.w, &Epilogue::default(), precision, &mut y);
    assert!(
        error(&y, &c.y) < BOUND,
        "forward {what}: {:e}",
        error(&y, &c.y)
    );
    let mut packed = vec![nan; c.y.len()];
    let conv = PackedConv::new(s, &c.w, precision);
    conv.forward(
        [s.batch, s.height, s.width],
        &c.x,
        &Epilogue::default(),
        &mut packed,
    );
    assert_eq!(y, packed, "packed {what}");
    let mut dx = vec![nan; c.dx.len()];
    conv2d_input_grad(s, &c.dy, &c.w, precision, &mut dx);
    assert!(
        error(&dx, &c.dx) < BOUND,
        "input gradient {what}: {:e}",
        error(&dx, &c.dx)
    );
    let mut dw = vec![nan; c.dw.len()];
    conv2d_weight_grad(s, &c.x, &c.dy, precision, &mut dw);
    assert!(
        error(&dw, &c.dw) < BOUND,
        "weight gradient {what}: {:e}",
        error(&dw, &c.dw)
    );
}

#[test]
fn convolution_and_gradients_match_their_definition() {
    let mut rng = Rng(1);
    for &t in SHAPES {
        let c = case(shape(t), &mut rng);
        each_isa(|isa| {
            check(&c, isa, Precision::Fast);
            check(&c, isa, Precision::Precise);
            check(&c, isa, Precision::Direct);
        });
    }
}

#[test]
fn random_shapes_match_too() {
    let mut rng = Rng(2);
    for _ in 0..40 {
        let k = 1 + rng.below(5);
        let p = rng.below(k + 1);
        let (h, w) = (k + rng.below(24), k + rng.below(40));
        let t = (
            1 + rng.below(3),
            1 + rng.below(20),
            h,
            w,
            1 + rng.below(20),
            k,
            1 + rng.below(3),
            p,
        );
        let winograd = (t.0, t.1, h, w, t.4, 3, 1, 1);
        for t in [t, winograd] {
            let c = case(shape(t), &mut rng);
            each_isa(|isa| check(&c, isa, Precision::Fast));
        }
    }
}

#[test]
fn bias_gradient_is_the_sum_over_pictures_and_positions() {
    let mut rng = Rng(3);
    let s = Conv2dShape::new([3, 2, 37, 41], 5, 3, 1, 1);
    let dy = rng.vec(s.output_len());
    let mut want = vec![0f64; 5];
    for (i, v) in dy.iter().enumerate() {
        want[i / (37 * 41) % 5] += f64::from(*v);
    }
    let mut db = vec![f32::NAN; 5];
    conv2d_bias_grad(&s, &dy, &mut db);
    assert!(error(&db, &want) < BOUND);
}

#[test]
fn epilogue_applies_gain_bias_scale_shift_silu_residual_in_this_order() {
    let mut rng = Rng(4);
    for t in [
        (2, 6, 9, 21, 5, 3, 1, 1),
        (5, 8, 4, 4, 10, 3, 1, 1),
        (2, 8, 32, 32, 8, 3, 1, 1),
        (3, 6, 8, 9, 5, 4, 2, 1),
        (2, 6, 8, 9, 5, 1, 1, 0),
        (2, 2, 16, 16, 4, 7, 1, 3),
    ] {
        let c = case(shape(t), &mut rng);
        let s = &c.s;
        let (bias, residual) = (rng.vec(s.out_channels), rng.vec(c.y.len()));
        let scale = rng.vec(s.batch * s.out_channels);
        let shift = rng.vec(s.batch * s.out_channels);
        let [oh, ow] = s.out_size();
        for which in 0..32 {
            let has = |bit: usize| which & bit != 0;
            let want: Vec<f64> = (c.y.iter().enumerate())
                .map(|(i, v)| {
                    let plane = i / (oh * ow);
                    let mut v = *v;
                    if has(16) {
                        v *= 0.375;
                    }
                    if has(1) {
                        v += f64::from(bias[plane % s.out_channels]);
                    }
                    if has(2) {
                        v = v * (1.0 + f64::from(scale[plane])) + f64::from(shift[plane]);
                    }
                    if has(4) {
                        v /= 1.0 + (-v).exp();
                    }
                    if has(8) {
                        v += f64::from(residual[i]);
                    }
                    v
                })
                .collect();
            let epilogue = Epilogue {
                gain: has(16).then_some(0.375),
                bias: has(1).then_some(&bias[..]),
                scale: has(2).then_some(&scale[..]),
                shift: has(2).then_some(&shift[..]),
                silu: has(4),
                residual: has(8).then_some(&residual[..]),
            };
            each_isa(|isa| {
                let mut y = vec![f32::NAN; c.y.len()];
                conv2d(s, &c.x, &c.w, &epilogue, Precision::Fast, &mut y);
                assert!(
                    error(&y, &want) < BOUND,
                    "{s:?} {isa:?} {which}: {:e}",
                    error(&y, &want)
                );
            });
        }
    }
}

#[test]
fn results_do_not_depend_on_threads_or_callers() {
    let _guard = isa_lock();
    let mut rng = Rng(5);
    for t in [
        (2, 24, 33, 40, 20, 3, 1, 1),
        (4, 40, 8, 8, 33, 3, 1, 1),
        (2, 16, 20, 24, 24, 4, 2, 1),
    ] {
        let c = case(shape(t), &mut rng);
        let run = || {
            let (mut y, mut dx, mut dw) = (
                vec![0f32; c.y.len()],
                vec![0f32; c.dx.len()],
                vec![0f32; c.dw.len()],
            );
            conv2d(
                &c.s,
                &c.x,
                &c.w,
                &Epilogue::default(),
                Precision::Fast,
                &mut y,
            );
            conv2d_input_grad(&c.s, &c.dy, &c.w, Precision::Fast, &mut dx);
            conv2d_weight_grad(&c.s, &c.x, &c.dy, Precision::Fast, &mut dw);
            (y, dx, dw)
        };
        set_num_threads(1);
        let one = run();
        for threads in [2, 3, 7] {
            set_num_threads(threads);
            assert!(run() == one, "{t:?} with {threads} threads");
        }
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            for caller in callers {
                assert!(caller.join().unwrap() == one, "{t:?} from several callers");
            }
        });
        set_num_threads(0);
    }
}

#[test]
fn a_memory_budget_chooses_the_transform() {
    let _guard = isa_lock();
    let s = Conv2dShape::new([1, 1024, 16, 16], 1024, 3, 1, 1);
    // 36, 16 and 9 numbers for each pair of channels, up to the padding of the outputs.
    let weights = 1024 * 1024 * size_of::<f32>();
    for (precision, points) in [
        (Precision::Fast, 36),
        (Precision::Precise, 16),
        (Precision::Direct, 9),
    ] {
        let bytes = s.packed_bytes(precision);
        assert!(bytes >= points * weights && bytes < points * weights * 101 / 100);
        assert_eq!(Precision::within(&s, bytes), precision);
    }
    assert_eq!(Precision::within(&s, 0), Precision::Direct);
}

#[test]
fn precise_is_more_precise_than_fast_and_both_keep_their_word() {
    let mut rng = Rng(6);
    let c = case(Conv2dShape::new([1, 256, 16, 16], 16, 3, 1, 1), &mut rng);
    each_isa(|isa| {
        let mut errors = [0.0; 3];
        for (e, p) in
            errors
                .iter_mut()
                .zip([Precision::Fast, Precision::Precise, Precision::Direct])
        {
            let mut y = vec![f32::NAN; c.y.len()];
            conv2d(&c.s, &c.x, &c.w, &Epilogue::default(), p, &mut y);
            *e = error(&y, &c.y);
        }
        // What the documentation of `Precision` says, with some room.
        assert!(
            errors[0] < 3e-6 && errors[1] < 1e-6 && errors[2] < 1e-6,
            "{isa:?} {errors:?}"
        );
    });
}

#[test]
fn weight_gradients_stay_exact_over_many_positions() {
    let mut rng = Rng(7);
    let c = case(Conv2dShape::new([2, 16, 96, 96], 8, 3, 1, 1), &mut rng);
    each_isa(|isa| {
        let mut dw = vec![f32::NAN; c.dw.len()];
        conv2d_weight_grad(&c.s, &c.x, &c.dy, Precision::Fast, &mut dw);
        // 18432 positions: random signs, so the sum is small against its terms.
        assert!(error(&dw, &c.dw) < 5e-6, "{isa:?}: {:e}", error(&dw, &c.dw));
    });
}

#[test]
fn nothing_in_nothing_out() {
    let _guard = isa_lock();
    for (n, c, o, k) in [
        (0, 8, 8, 3),
        (1, 0, 4, 3),
        (1, 4, 0, 3),
        (1, 0, 3, 1),
        (0, 3, 3, 4),
    ] {
        let s = Conv2dShape::new([n, c, 6, 6], o, k, 1, k / 2);
        let (x, w) = (vec![1.0; s.input_len()], vec![1.0; s.weight_len()]);
        let (mut y, mut dx, mut dw) = (vec![f32::NAN; s.output_len()], x.clone(), w.clone());
        conv2d(&s, &x, &w, &Epilogue::default(), Precision::Fast, &mut y);
        assert!(y.iter().all(|v| *v == 0.0), "{s:?}");
        conv2d_input_grad(&s, &y, &w, Precision::Fast, &mut dx);
        conv2d_weight_grad(&s, &x, &y, Precision::Fast, &mut dw);
        assert!(dx.iter().chain(&dw).all(|v| *v == 0.0), "{s:?}");
    }
}
