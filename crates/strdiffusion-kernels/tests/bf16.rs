//! Convolutions in bf16. Where the CPU has tiles, the operands here are bf16 numbers already, so
//! that results must match the definition as closely as in f32.

mod common;
use common::{Rng, Row, each_isa, error, isa_lock, numeric_gradient, products, shape};
use strdiffusion_kernels::*;

/// As in f32: sums are f32.
const BOUND: f64 = 2e-5;

const SHAPES: &[Row] = &[
    // every kernel of the networks, with long and short rows, one and several panels of channels
    (1, 8, 32, 32, 8, 3, 1, 1),
    (2, 16, 16, 64, 48, 3, 1, 1),
    (2, 33, 11, 41, 17, 3, 1, 1),
    (9, 17, 8, 8, 19, 3, 1, 1),
    (3, 64, 2, 2, 40, 3, 1, 1),
    (2, 70, 7, 13, 33, 3, 1, 1),
    (1, 6, 5, 131, 1, 3, 1, 1),
    (1, 12, 1, 40, 7, 3, 1, 1),
    (1, 12, 40, 1, 7, 3, 1, 1),
    (2, 1, 16, 20, 16, 3, 1, 1),
    (1, 130, 12, 20, 24, 3, 1, 1),
    (1, 6, 40, 36, 16, 7, 1, 3),
    (2, 3, 37, 71, 70, 7, 1, 3),
    (2, 2, 19, 7, 9, 7, 1, 3),
    (2, 16, 32, 64, 24, 4, 2, 1),
    (1, 5, 10, 14, 3, 4, 2, 1),
    (3, 9, 2, 2, 4, 4, 2, 1),
    (2, 40, 34, 66, 36, 4, 2, 1),
    (2, 24, 9, 11, 17, 1, 1, 0),
    (1, 300, 6, 6, 8, 1, 1, 0),
    (1, 20, 40, 52, 70, 1, 1, 0),
    // anything else
    (1, 2, 33, 40, 5, 5, 1, 4),
    (2, 3, 15, 17, 4, 5, 3, 2),
    (1, 2, 12, 13, 3, 3, 2, 1),
    (1, 2, 8, 9, 3, 1, 2, 0),
    (1, 4, 6, 6, 5, 3, 1, 0),
    (1, 2, 6, 5, 3, 2, 1, 1),
];

/// Random bf16 numbers: the upper halves of f32.
fn numbers(rng: &mut Rng, n: usize) -> Vec<f32> {
    let cut = |v: &f32| f32::from_bits(v.to_bits() & 0xffff_0000);
    rng.vec(n).iter().map(cut).collect()
}

struct Case {
    s: Conv2dShape,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(t: Row, rng: &mut Rng) -> Self {
        let s = shape(t);
        Self {
            x: numbers(rng, s.input_len()),
            w: numbers(rng, s.weight_len()),
            dy: numbers(rng, s.output_len()),
            s,
        }
    }

    /// y, dx and dw.
    fn computed(&self) -> [Vec<f32>; 3] {
        let (s, nan) = (&self.s, f32::NAN);
        let mut y = vec![nan; self.dy.len()];
        let none = Epilogue::default();
        conv2d(s, &self.x, &self.w, &none, Precision::Bf16, &mut y);
        let mut dx = vec![nan; self.x.len()];
        conv2d_input_grad(s, &self.dy, &self.w, Precision::Bf16, &mut dx);
        let mut dw = vec![nan; self.w.len()];
        conv2d_weight_grad(s, &self.x, &self.dy, Precision::Bf16, &mut dw);
        [y, dx, dw]
    }

    /// The same by their definition.
    fn defined(&self) -> [Vec<f64>; 3] {
        let mut y = vec![0.0; self.dy.len()];
        let mut dx = vec![0.0; self.x.len()];
        let mut dw = vec![0.0; self.w.len()];
        products(&self.s, |o, i, k| {
            let [x, w, dy] = [self.x[i], self.w[k], self.dy[o]].map(f64::from);
            y[o] += x * w;
            dx[i] += dy * w;
            dw[k] += dy * x;
        });
        [y, dx, dw]
    }
}

/// Leaves NaN wherever scratch memory is not cleared.
fn poison() {
    for t in [(2, 40, 20, 40, 40, 3, 1, 1), (3, 33, 7, 9, 50, 4, 2, 1)] {
        let s = shape(t);
        let case = Case {
            x: vec![f32::NAN; s.input_len()],
            w: vec![f32::NAN; s.weight_len()],
            dy: vec![f32::NAN; s.output_len()],
            s,
        };
        case.computed();
    }
}

#[test]
fn products_of_bf16_numbers_are_exact_and_sums_are_f32() {
    let mut rng = Rng(31);
    for &t in SHAPES {
        let case = Case::new(t, &mut rng);
        let want = case.defined();
        each_isa(|isa| {
            poison();
            for ((got, want), what) in case.computed().iter().zip(&want).zip(["y", "dx", "dw"]) {
                let error = error(got, want);
                assert!(error < BOUND, "{what} of {:?}, {isa:?}: {error:e}", case.s);
            }
            let mut packed = vec![f32::NAN; case.dy.len()];
            let conv = PackedConv::new(&case.s, &case.w, Precision::Bf16);
            let size = [case.s.batch, case.s.height, case.s.width];
            conv.forward(size, &case.x, &Epilogue::default(), &mut packed);
            assert_eq!(packed, case.computed()[0], "packed {:?} {isa:?}", case.s);
        });
    }
}

#[test]
fn random_shapes_match_too() {
    let mut rng = Rng(32);
    for _ in 0..60 {
        let k = 1 + rng.below(7);
        let (h, w) = (k + rng.below(24), k + rng.below(70));
        let (inputs, outputs) = (1 + rng.below(50), 1 + rng.below(50));
        let (stride, padding) = (1 + rng.below(2), rng.below(k));
        let t = (1 + rng.below(3), inputs, h, w, outputs, k, stride, padding);
        let case = Case::new(t, &mut rng);
        let want = case.defined();
        each_isa(|isa| {
            for ((got, want), what) in case.computed().iter().zip(&want).zip(["y", "dx", "dw"]) {
                let error = error(got, want);
                assert!(error < BOUND, "{what} of {:?}, {isa:?}: {error:e}", case.s);
            }
        });
    }
}

/// What the documentation of [`Precision::Bf16`] says of operands that are no bf16 numbers.
#[test]
fn rounding_operands_costs_a_few_thousandths() {
    let mut rng = Rng(33);
    let s = Conv2dShape::new([2, 48, 24, 40], 32, 3, 1, 1);
    let case = Case {
        x: rng.vec(s.input_len()),
        w: rng.vec(s.weight_len()),
        dy: rng.vec(s.output_len()),
        s,
    };
    let want = case.defined();
    each_isa(|isa| {
        for (got, want) in case.computed().iter().zip(&want) {
            let error = error(got, want);
            assert!(error < 5e-3, "{isa:?}: {error:e}");
            assert!(
                isa != Isa::Amx || error > BOUND,
                "no tiles at work: {error:e}"
            );
        }
    });
}

#[test]
fn the_epilogue_applies_to_bf16_sums_too() {
    let mut rng = Rng(34);
    for t in [(2, 6, 9, 21, 5, 3, 1, 1), (2, 20, 18, 36, 40, 4, 2, 1)] {
        let case = Case::new(t, &mut rng);
        let s = &case.s;
        let (bias, residual) = (rng.vec(s.out_channels), rng.vec(case.dy.len()));
        let scale = rng.vec(s.batch * s.out_channels);
        let shift = rng.vec(s.batch * s.out_channels);
        let [oh, ow] = s.out_size();
        let want: Vec<f64> = (case.defined()[0].iter().enumerate())
            .map(|(i, v)| {
                let plane = i / (oh * ow);
                let v = v * 0.375 + f64::from(bias[plane % s.out_channels]);
                let v = v * (1.0 + f64::from(scale[plane])) + f64::from(shift[plane]);
                v / (1.0 + (-v).exp()) + f64::from(residual[i])
            })
            .collect();
        let epilogue = Epilogue {
            gain: Some(0.375),
            bias: Some(&bias),
            scale: Some(&scale),
            shift: Some(&shift),
            silu: true,
            residual: Some(&residual),
        };
        each_isa(|isa| {
            let mut y = vec![f32::NAN; case.dy.len()];
            conv2d(s, &case.x, &case.w, &epilogue, Precision::Bf16, &mut y);
            // SiLU on the tiles' way out is good to 1e-4.
            let error = error(&y, &want);
            assert!(error < 3e-4, "{s:?} {isa:?}: {error:e}");
        });
    }
}

#[test]
fn results_do_not_depend_on_threads_or_callers() {
    let _guard = isa_lock();
    let mut rng = Rng(35);
    for t in [
        (2, 24, 33, 40, 20, 3, 1, 1),
        (4, 40, 8, 8, 33, 3, 1, 1),
        (2, 16, 20, 64, 24, 4, 2, 1),
    ] {
        let case = Case::new(t, &mut rng);
        set_num_threads(1);
        let one = case.computed();
        for threads in [2, 3, 7] {
            set_num_threads(threads);
            assert!(case.computed() == one, "{t:?} with {threads} threads");
        }
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| case.computed())).collect();
            for caller in callers {
                assert!(caller.join().unwrap() == one, "{t:?} from several callers");
            }
        });
        set_num_threads(0);
    }
}

#[test]
fn nothing_in_nothing_out() {
    let _guard = isa_lock();
    for (n, c, o, k) in [(0, 8, 8, 3), (1, 0, 4, 3), (1, 4, 0, 3), (0, 3, 3, 4)] {
        let s = Conv2dShape::new([n, c, 6, 6], o, k, 1, k / 2);
        let case = Case {
            x: vec![1.0; s.input_len()],
            w: vec![1.0; s.weight_len()],
            dy: vec![1.0; s.output_len()],
            s,
        };
        for values in case.computed() {
            assert!(values.iter().all(|v| *v == 0.0), "{:?}", case.s);
        }
    }
}

/// Expected: doubling, then the 3×3 convolution, in f64; and their gradients' definitions. Rounding to bf16 costs
/// some thousandths.
#[test]
fn convolutions_of_doubled_maps_need_not_double_them() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return; // Such a CPU doubles the map.
    }
    let mut rng = Rng(27);
    for [batch, inputs, outputs, h, w] in [
        [2, 3, 5, 4, 7],
        [1, 40, 24, 9, 17],
        [1, 1, 1, 1, 1],
        [3, 17, 33, 2, 20],
    ] {
        let s = DoubledConv {
            batch,
            in_channels: inputs,
            out_channels: outputs,
            height: h,
            width: w,
        };
        let doubled = shape((batch, inputs, 2 * h, 2 * w, outputs, 3, 1, 1));
        let x = rng.vec(batch * inputs * h * w);
        let (weights, dy) = (rng.vec(doubled.weight_len()), rng.vec(doubled.output_len()));
        let bias = rng.vec(outputs);
        // Where a place of the doubled map stands in x.
        let source =
            |i: usize| i / (4 * h * w) * h * w + i / (2 * w) % (2 * h) / 2 * w + i % (2 * w) / 2;
        let mut want = [dy.len(), x.len(), weights.len()].map(|len| vec![0.0; len]);
        for (o, y) in want[0].iter_mut().enumerate() {
            *y = f64::from(bias[o / (4 * h * w) % outputs]);
        }
        products(&doubled, |o, i, k| {
            let [v, weight, d] = [x[source(i)], weights[k], dy[o]].map(f64::from);
            want[0][o] += v * weight;
            want[1][source(i)] += d * weight;
            want[2][k] += d * v;
        });
        let mut got = want.each_ref().map(|v| vec![f32::NAN; v.len()]);
        let [y, dx, dw] = &mut got;
        s.forward(&x, &weights, &bias, y);
        s.input_grad(&dy, &weights, dx);
        s.weight_grad(&x, &dy, dw);
        for (what, (got, want)) in ["y", "dx", "dw"].into_iter().zip(got.iter().zip(&want)) {
            let error = error(got, want);
            assert!(error < 1e-2, "{what} {s:?}: {error:e}");
        }
    }
}

/// A residual block's shape: pictures, channels of x's two parts, of y, height and width.
type BlockShape = [usize; 6];

/// A residual block by its definition, in f64, for finite differences; x whole, the skip x itself where
/// it has no weights.
fn block(s: BlockShape, x: &[f64], w: [&[f64]; 3], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let [n, a, b, outputs, h, width] = s;
    let convolve = |x: &[f64], w: &[f64], inputs: usize, kernel: usize| {
        let s = Conv2dShape::new([n, inputs, h, width], outputs, kernel, 1, kernel / 2);
        let mut y = vec![0.0; s.output_len()];
        products(&s, |o, i, k| y[o] += x[i] * w[k]);
        y
    };
    let silu = |v: f64| v / (1.0 + (-v).exp());
    let first = convolve(x, w[0], a + b, 3);
    let hidden: Vec<f64> = (first.iter().enumerate())
        .map(|(i, v)| silu(v * (1.0 + scale[i / (h * width)]) + shift[i / (h * width)]))
        .collect();
    let second = convolve(&hidden, w[1], outputs, 3);
    let skip = if w[2].is_empty() {
        x.to_vec()
    } else {
        convolve(x, w[2], a + b, 1)
    };
    second.iter().zip(skip).map(|(v, s)| silu(*v) + s).collect()
}

/// The two parts of x, and x from them.
fn parts(b: &ResidualBlock, x: &[f32]) -> [Vec<f32>; 2] {
    let positions = b.height * b.width;
    let [first, second] = b.in_channels.map(|c| c * positions);
    let mut parts = [vec![], vec![]];
    for picture in x.chunks(first + second) {
        parts[0].extend(&picture[..first]);
        parts[1].extend(&picture[first..]);
    }
    parts
}

fn whole(b: &ResidualBlock, parts: &[Vec<f32>; 2]) -> Vec<f32> {
    let positions = b.height * b.width;
    let mut x = vec![];
    for n in 0..b.batch {
        for (part, c) in parts.iter().zip(b.in_channels) {
            x.extend(&part[n * c * positions..(n + 1) * c * positions]);
        }
    }
    x
}

const BLOCK_NAMES: [&str; 7] = ["y", "dx", "dconv1", "dconv2", "dscale", "dshift", "dskip"];

/// What a block computes: y and the gradients with respect to x, the convolutions' weights, scale and
/// shift, and the skip's weights.
fn computed_block(b: &ResidualBlock, x: &[f32], dy: &[f32]) -> [Vec<f32>; 7] {
    poison();
    let x = parts(b, x);
    let mut dx = x.each_ref().map(|x| vec![f32::NAN; x.len()]);
    let skip = b.skip.unwrap_or_default();
    let lens = [dy, &[], b.conv1, b.conv2, b.scale, b.shift, skip].map(<[f32]>::len);
    let mut got = lens.map(|len| vec![f32::NAN; len]);
    let [y, _, dconv1, dconv2, dscale, dshift, dskip] = &mut got;
    let x = x.each_ref().map(|x| &x[..]);
    let kept = b.forward(x, y);
    let grads = ResidualGrads {
        dx: dx.each_mut().map(|dx| &mut dx[..]),
        dconv1,
        dconv2,
        dscale,
        dshift,
        dskip,
    };
    b.backward(&kept, x, dy, grads);
    got[1] = whole(b, &dx);
    got
}

/// Expected: finite differences of the definition in f64. Rounding to bf16 costs some thousandths.
#[test]
fn residual_blocks_in_one_piece_match_their_definition() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return; // The same block in pieces is what such a CPU computes: other tests hold it.
    }
    let mut rng = Rng(36);
    for (s, skipped) in [
        ([2, 5, 0, 5, 6, 19], false),
        ([1, 6, 4, 9, 3, 18], true),
        ([3, 8, 0, 8, 2, 2], false),
        ([2, 3, 0, 4, 3, 5], true),
    ] {
        let [n, first, second, outputs, h, width] = s;
        let inputs = first + second;
        let len = |c: usize| n * c * h * width;
        let mut draw =
            |len: usize, by: f32| -> Vec<f32> { rng.vec(len).iter().map(|v| v * by).collect() };
        let (x, dy) = (draw(len(inputs), 1.0), draw(len(outputs), 1.0));
        let conv1 = draw(outputs * inputs * 9, 0.3 / (inputs as f32).sqrt());
        let conv2 = draw(outputs * outputs * 9, 0.3 / (outputs as f32).sqrt());
        let skip = draw(outputs * inputs, 1.0 / (inputs as f32).sqrt());
        let skip = if skipped { skip } else { vec![] };
        let (scale, shift) = (draw(n * outputs, 0.3), draw(n * outputs, 0.3));
        let wides = [&x, &conv1, &conv2, &scale, &shift, &skip].map(|v| common::wide(v));
        let [wx, w1, w2, wscale, wshift, w3] = &wides;
        let b = ResidualBlock {
            batch: n,
            in_channels: [first, second],
            out_channels: outputs,
            height: h,
            width,
            conv1: &conv1,
            conv2: &conv2,
            scale: &scale,
            shift: &shift,
            skip: skipped.then_some(&skip),
        };
        let got = computed_block(&b, &x, &dy);
        let want = [
            block(s, wx, [w1, w2, w3], wscale, wshift),
            numeric_gradient(wx, &dy, |x| block(s, x, [w1, w2, w3], wscale, wshift)),
            numeric_gradient(w1, &dy, |w| block(s, wx, [w, w2, w3], wscale, wshift)),
            numeric_gradient(w2, &dy, |w| block(s, wx, [w1, w, w3], wscale, wshift)),
            numeric_gradient(wscale, &dy, |v| block(s, wx, [w1, w2, w3], v, wshift)),
            numeric_gradient(wshift, &dy, |v| block(s, wx, [w1, w2, w3], wscale, v)),
            numeric_gradient(w3, &dy, |w| block(s, wx, [w1, w2, w], wscale, wshift)),
        ];
        for ((name, got), want) in BLOCK_NAMES.into_iter().zip(&got).zip(&want) {
            let bound = if name == "y" { 1e-2 } else { 1.5e-2 };
            let error = error(got, want);
            assert!(error < bound, "{name} {s:?}: {error:e}");
        }
    }
}

/// Expected: the block in its parts, with convolutions in f32, whose gradients are tested against their
/// definition. Rounding to bf16 costs some thousandths.
#[test]
fn residual_blocks_of_any_size_match_their_parts() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return; // Such a CPU computes the parts.
    }
    let sigmoid = |v: f32| 1.0 / (1.0 + (-v).exp());
    let silu = |v: f32| v * sigmoid(v);
    let slope = |v: f32| sigmoid(v) * (1.0 + v * (1.0 - sigmoid(v)));
    let mut rng = Rng(38);
    for shape in [
        [2, 110, 40, 40, 20, 21],
        [1, 33, 0, 64, 70, 9],
        [9, 16, 16, 16, 4, 4],
        [1, 7, 13, 100, 1, 130],
    ] {
        let [n, part, other, outputs, h, width] = shape;
        let (inputs, positions) = (part + other, h * width);
        let one = Conv2dShape::new([n, inputs, h, width], outputs, 3, 1, 1);
        let two = Conv2dShape::new([n, outputs, h, width], outputs, 3, 1, 1);
        let three = Conv2dShape::new([n, inputs, h, width], outputs, 1, 1, 0);
        let mut draw =
            |len: usize, by: f32| -> Vec<f32> { rng.vec(len).iter().map(|v| v * by).collect() };
        let (x, dy) = (draw(one.input_len(), 1.0), draw(two.output_len(), 1.0));
        let conv1 = draw(one.weight_len(), 0.6 / (inputs as f32).sqrt());
        let conv2 = draw(two.weight_len(), 0.6 / (outputs as f32).sqrt());
        let skip = draw(three.weight_len(), 1.0 / (inputs as f32).sqrt());
        let (scale, shift) = (draw(n * outputs, 0.3), draw(n * outputs, 0.3));

        let precise = Precision::Precise;
        let zeros = |len: usize| vec![0.0; len];
        let plain = |s: &Conv2dShape, x: &[f32], w: &[f32]| {
            let mut y = zeros(s.output_len());
            conv2d(s, x, w, &Epilogue::default(), precise, &mut y);
            y
        };
        let first = plain(&one, &x, &conv1);
        let modulated = |i: usize| first[i] * (1.0 + scale[i / positions]) + shift[i / positions];
        let hidden: Vec<f32> = (0..dy.len()).map(|i| silu(modulated(i))).collect();
        let second = plain(&two, &hidden, &conv2);
        let y: Vec<f32> = (second.iter())
            .zip(plain(&three, &x, &skip))
            .map(|(v, s)| silu(*v) + s)
            .collect();
        let after: Vec<f32> = dy.iter().zip(&second).map(|(d, v)| d * slope(*v)).collect();
        let back = |s: &Conv2dShape, x: &[f32], dy: &[f32], w: &[f32]| {
            let (mut dx, mut dw) = (zeros(x.len()), zeros(w.len()));
            conv2d_input_grad(s, dy, w, precise, &mut dx);
            conv2d_weight_grad(s, x, dy, precise, &mut dw);
            (dx, dw)
        };
        let (dhidden, dconv2) = back(&two, &hidden, &after, &conv2);
        let (mut dscale, mut dshift) = (zeros(scale.len()), zeros(shift.len()));
        let mut before = zeros(dy.len());
        for i in 0..dy.len() {
            let du = dhidden[i] * slope(modulated(i));
            dscale[i / positions] += du * first[i];
            dshift[i / positions] += du;
            before[i] = du * (1.0 + scale[i / positions]);
        }
        let (through, dconv1) = back(&one, &x, &before, &conv1);
        let (past, dskip) = back(&three, &x, &dy, &skip);
        let dx = through.iter().zip(&past).map(|(a, b)| a + b).collect();

        let b = ResidualBlock {
            batch: n,
            in_channels: [part, other],
            out_channels: outputs,
            height: h,
            width,
            conv1: &conv1,
            conv2: &conv2,
            scale: &scale,
            shift: &shift,
            skip: Some(&skip),
        };
        let got = computed_block(&b, &x, &dy);
        let want = [&y, &dx, &dconv1, &dconv2, &dscale, &dshift, &dskip];
        for ((name, got), want) in BLOCK_NAMES.into_iter().zip(&got).zip(want) {
            let error = error(got, &common::wide(want));
            assert!(error < 1e-2, "{name} {shape:?}: {error:e}");
        }
    }
}

/// Expected: the block in its parts, in f32, whose gradients are tested against differences.
/// Rounding to bf16 costs some thousandths.
#[test]
fn attention_blocks_on_tiles_match_their_parts() {
    let _guard = isa_lock();
    if !AttentionWeights::has_bf16(4, 32) {
        return; // Such a CPU computes the parts.
    }
    let mut rng = Rng(37);
    for [batch, channels, h, width] in [
        [2, 32, 8, 8],
        [1, 48, 9, 17],
        [3, 16, 30, 31],
        [9, 64, 4, 4],
    ] {
        let (heads, dim, positions) = (4, 32, h * width);
        let inner = heads * dim;
        let s = MapShape {
            batch,
            channels,
            positions,
        };
        let mut draw = |len: usize, by: f32, plus: f32| -> Vec<f32> {
            rng.vec(len).iter().map(|v| v * by + plus).collect()
        };
        let (x, dy) = (draw(s.len(), 1.0, 0.2), draw(s.len(), 1.0, 0.0));
        let (pre, post) = (draw(channels, 0.2, 1.0), draw(channels, 0.2, 1.0));
        let qkv = draw(3 * inner * channels, 1.5 / (channels as f32).sqrt(), 0.0);
        let out = draw(channels * inner, 0.3, 0.0);
        let bias = draw(channels, 1e-3, 0.0);
        let w = AttentionWeights {
            heads,
            dim,
            pre_gain: &pre,
            qkv: &qkv,
            out: &out,
            out_bias: Some(&bias),
            post_gain: &post,
            epsilon: 1e-5,
        };
        poison();
        let nan = |len: usize| vec![f32::NAN; len];
        let mut y = nan(s.len());
        let kept = w.forward_bf16(&s, &x, &mut y);
        let (mut dx, mut dqkv, mut dout) = (nan(x.len()), nan(qkv.len()), nan(out.len()));
        let (mut dpre, mut dpost, mut dbias) = (nan(channels), nan(channels), nan(channels));
        let grads = AttentionGrads {
            dx: &mut dx,
            dpre_gain: &mut dpre,
            dqkv: &mut dqkv,
            dout: &mut dout,
            dout_bias: &mut dbias,
            dpost_gain: &mut dpost,
        };
        w.backward_bf16(&s, &kept, &x, &dy, grads);

        // The parts.
        let a = AttentionShape {
            batch,
            heads,
            dim,
            positions,
        };
        let to_qkv = Conv2dShape::new([batch, channels, h, width], 3 * inner, 1, 1, 0);
        let to_out = Conv2dShape::new([batch, inner, h, width], channels, 1, 1, 0);
        let (none, fast) = (Epilogue::default(), Precision::Fast);
        let mut normed = nan(s.len());
        layer_norm(&s, &x, &pre, 1e-5, None, &mut normed);
        let mut q = nan(a.qkv_len());
        conv2d(&to_qkv, &normed, &qkv, &none, fast, &mut q);
        let (mut attended, mut state) = (nan(a.out_len()), nan(a.state_len()));
        linear_attention(&a, &q, &mut attended, &mut state);
        let mut o = nan(s.len());
        let with_bias = Epilogue {
            bias: Some(&bias),
            ..none
        };
        conv2d(&to_out, &attended, &out, &with_bias, fast, &mut o);
        let mut want = nan(s.len());
        layer_norm(&s, &o, &post, 1e-5, None, &mut want);
        want.iter_mut().zip(&x).for_each(|(y, x)| *y += x);

        let (mut wpost, mut wdo) = (vec![0.0; channels], nan(s.len()));
        layer_norm_backward(&s, &o, &post, 1e-5, &dy, &mut wdo, &mut wpost);
        let (mut wout, mut wbias) = (nan(out.len()), nan(channels));
        conv2d_weight_grad(&to_out, &attended, &wdo, fast, &mut wout);
        conv2d_bias_grad(&to_out, &wdo, &mut wbias);
        let mut wattended = nan(a.out_len());
        conv2d_input_grad(&to_out, &wdo, &out, fast, &mut wattended);
        let mut wq = nan(a.qkv_len());
        linear_attention_backward(&a, &q, &state, &wattended, &mut wq);
        let (mut wqkv, mut wnormed) = (nan(qkv.len()), nan(s.len()));
        conv2d_weight_grad(&to_qkv, &normed, &wq, fast, &mut wqkv);
        conv2d_input_grad(&to_qkv, &wq, &qkv, fast, &mut wnormed);
        let (mut wdx, mut wpre) = (nan(s.len()), vec![0.0; channels]);
        layer_norm_backward(&s, &x, &pre, 1e-5, &wnormed, &mut wdx, &mut wpre);
        wdx.iter_mut().zip(&dy).for_each(|(dx, dy)| *dx += dy);

        for (what, got, want) in [
            ("y", &y, &want),
            ("dx", &dx, &wdx),
            ("dpost", &dpost, &wpost),
            ("dout", &dout, &wout),
            ("dbias", &dbias, &wbias),
            ("dqkv", &dqkv, &wqkv),
            ("dpre", &dpre, &wpre),
        ] {
            let error = error(got, &common::wide(want));
            assert!(error < 1.5e-2, "{what} of {s:?}: {error:e}");
        }
    }
}

#[test]
fn joining_is_undone_by_its_gradient() {
    let mut rng = Rng(39);
    let (a, b) = (rng.vec(3 * 70_000), rng.vec(3 * 5));
    let mut y = vec![f32::NAN; a.len() + b.len()];
    join(3, &a, &b, &mut y);
    assert_eq!(y[70_000..70_005], b[..5]);
    assert_eq!(y[70_005..140_005], a[70_000..140_000]);
    let (mut da, mut db) = (vec![f32::NAN; a.len()], vec![f32::NAN; b.len()]);
    join_backward(3, &y, &mut da, &mut db);
    assert_eq!((da, db), (a, b));
}
