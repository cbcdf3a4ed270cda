//! Guide blocks in one piece, on CPUs with tiles.

mod common;
use common::{Rng, isa_lock};
use strdiffusion_kernels::*;

const EPSILON: f32 = 1e-5;

/// The fields of a half, for [`GuideHalf::of`].
const FIELDS: [&str; 6] = [
    "shared",
    "shared_bias",
    "maps",
    "maps_bias",
    "conv",
    "conv_bias",
];

type Weights = [Vec<f32>; 6];

fn half_of(w: &Weights) -> GuideHalf<&[f32]> {
    GuideHalf::of(w.each_ref().map(|v| &v[..]))
}

/// y, dx, dstructure, and the gradients of each half.
struct Results {
    maps: [Vec<f32>; 3],
    halves: [Weights; 2],
}

/// y = conv(x, w) + bias, in f32.
fn convolve(s: &Conv2dShape, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; s.output_len()];
    let epilogue = Epilogue {
        bias: Some(bias),
        ..Epilogue::default()
    };
    conv2d(s, x, w, &epilogue, Precision::Precise, &mut y);
    y
}

/// With respect to x, the weights and the bias.
fn convolve_back(s: &Conv2dShape, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
    let mut grads = [x.len(), w.len(), s.out_channels].map(|len| vec![0.0; len]);
    let [dx, dw, db] = &mut grads;
    conv2d_input_grad(s, dy, w, Precision::Precise, dx);
    conv2d_weight_grad(s, x, dy, Precision::Precise, dw);
    conv2d_bias_grad(s, dy, db);
    grads
}

/// A half in its parts, in f32, and what its gradient needs.
struct Half<'a> {
    /// Of the three convolutions.
    shapes: [Conv2dShape; 3],
    weights: &'a Weights,
    x: Vec<f32>,
    structure: &'a [f32],
    hidden: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    steered: Vec<f32>,
}

impl<'a> Half<'a> {
    fn new(b: &GuideBlock, weights: &'a Weights, x: Vec<f32>, structure: &'a [f32]) -> Self {
        let conv = |inputs, outputs| {
            Conv2dShape::new([b.batch, inputs, b.height, b.width], outputs, 3, 1, 1)
        };
        let c = b.channels;
        let shapes = [conv(1, b.hidden), conv(b.hidden, c), conv(c, c)];
        let [shared, shared_bias, maps, maps_bias, ..] = weights;
        let mut hidden = convolve(&shapes[0], structure, shared, shared_bias);
        hidden.iter_mut().for_each(|v| *v = v.max(0.0));
        let (gammas, betas) = maps.split_at(maps.len() / 2);
        let gamma = convolve(&shapes[1], &hidden, gammas, &maps_bias[..c]);
        let beta = convolve(&shapes[1], &hidden, betas, &maps_bias[c..]);
        let mut steered = vec![0.0; x.len()];
        spade(&map(b), &x, &gamma, &beta, EPSILON, b.slope, &mut steered);
        Half {
            shapes,
            weights,
            x,
            structure,
            hidden,
            gamma,
            beta,
            steered,
        }
    }

    fn y(&self) -> Vec<f32> {
        let [.., conv, bias] = self.weights;
        convolve(&self.shapes[2], &self.steered, conv, bias)
    }

    /// With respect to x, the structure and the weights.
    fn back(&self, b: &GuideBlock, dy: &[f32]) -> (Vec<f32>, Vec<f32>, Weights) {
        let [shared, _, maps, _, conv, _] = self.weights;
        let [dsteered, dconv, dconv_bias] = convolve_back(&self.shapes[2], &self.steered, conv, dy);
        let mut grads = [(); 3].map(|()| vec![0.0; dy.len()]);
        let [dx, dgamma, dbeta] = &mut grads;
        let to = SpadeGrads { dx, dgamma, dbeta };
        let (gamma, beta) = (&self.gamma, &self.beta);
        spade_backward(
            &map(b),
            &self.x,
            gamma,
            beta,
            EPSILON,
            b.slope,
            &dsteered,
            to,
        );
        let [dx, dgamma, dbeta] = grads;
        let (gammas, betas) = maps.split_at(maps.len() / 2);
        let [a, mut dmaps, mut dmaps_bias] =
            convolve_back(&self.shapes[1], &self.hidden, gammas, &dgamma);
        let [b, more, more_bias] = convolve_back(&self.shapes[1], &self.hidden, betas, &dbeta);
        dmaps.extend(more);
        dmaps_bias.extend(more_bias);
        let gate = |(i, (a, b)): (usize, (&f32, &f32))| {
            if self.hidden[i] > 0.0 { a + b } else { 0.0 }
        };
        let dhidden: Vec<f32> = a.iter().zip(&b).enumerate().map(gate).collect();
        let [dstructure, dshared, dshared_bias] =
            convolve_back(&self.shapes[0], self.structure, shared, &dhidden);
        let weights = [dshared, dshared_bias, dmaps, dmaps_bias, dconv, dconv_bias];
        (dx, dstructure, weights)
    }
}

fn map(b: &GuideBlock) -> MapShape {
    MapShape {
        batch: b.batch,
        channels: b.channels,
        positions: b.height * b.width,
    }
}

fn added(x: Vec<f32>, y: &[f32]) -> Vec<f32> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

fn in_parts(
    b: &GuideBlock,
    weights: &[Weights; 2],
    x: &[f32],
    structure: &[f32],
    dy: &[f32],
) -> Results {
    let first = Half::new(b, &weights[0], x.to_vec(), structure);
    let second = Half::new(b, &weights[1], first.y(), structure);
    let (d, structure_second, dsecond) = second.back(b, dy);
    let (d, structure_first, dfirst) = first.back(b, &d);
    Results {
        maps: [
            added(second.y(), x),
            added(d, dy),
            added(structure_first, &structure_second),
        ],
        halves: [dfirst, dsecond],
    }
}

fn in_one_piece(b: &GuideBlock, x: &[f32], structure: &[f32], dy: &[f32]) -> Results {
    let like = |v: &[f32]| vec![f32::NAN; v.len()];
    let mut maps = [like(x), like(x), like(structure)];
    let mut halves = b.halves.map(|w| {
        [
            w.shared,
            w.shared_bias,
            w.maps,
            w.maps_bias,
            w.conv,
            w.conv_bias,
        ]
        .map(like)
    });
    let [y, dx, dstructure] = &mut maps;
    let kept = b.forward(x, structure, y);
    let grads = GuideGrads {
        dx,
        dstructure: Some(dstructure),
        halves: halves
            .each_mut()
            .map(|half| GuideHalf::of(half.each_mut().map(|v| &mut v[..]))),
    };
    b.backward(&kept, x, structure, dy, grads);
    Results { maps, halves }
}

/// √(Σ (got − want)² / Σ want²).
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |v: f32| f64::from(v) * f64::from(v);
    let off: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
    let distance = (off / want.iter().map(|w| square(*w)).sum::<f64>()).sqrt();
    if distance.is_nan() {
        f64::INFINITY
    } else {
        distance
    }
}

/// Expected: the block in its parts, in f32, whose gradients are tested against their definitions.
/// Rounding to bf16 costs some thousandths.
#[test]
fn guide_blocks_of_any_size_match_their_parts() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return; // Such a CPU computes the parts.
    }
    let mut rng = Rng(41);
    for ([batch, channels, hidden, height, width], slope) in [
        ([2, 40, 16, 20, 21], 1.0),
        ([1, 64, 16, 70, 9], 1.0),
        ([9, 16, 16, 4, 4], 1.0),
        ([3, 150, 16, 2, 2], 1.0),
        ([1, 33, 7, 1, 130], 1.0),
        ([2, 5, 40, 5, 3], 1.0),
        ([2, 40, 16, 20, 21], 0.2),
        ([1, 64, 16, 30, 9], 0.2),
    ] {
        let positions = batch * height * width;
        let mut draw =
            |len: usize, by: f32| -> Vec<f32> { rng.vec(len).iter().map(|v| v * by).collect() };
        // Far from zero, as features are whose channels have a common part.
        let x: Vec<f32> = draw(positions * channels, 1.0)
            .iter()
            .map(|v| v + 3.0)
            .collect();
        let (structure, dy) = (draw(positions, 1.0), draw(positions * channels, 1.0));
        // Far from zero, so that rounding seldom decides on which side a value is.
        let mut signs = Rng(42);
        let mut far = |len: usize, by: f32| -> Vec<f32> {
            signs.vec(len).iter().map(|v| by.copysign(*v)).collect()
        };
        let mut half = || -> Weights {
            [
                draw(hidden * 9, 0.1),
                far(hidden, 1.5),
                draw(2 * channels * hidden * 9, 0.5 / (hidden as f32).sqrt()),
                far(2 * channels, 4.0),
                draw(channels * channels * 9, 0.5 / (channels as f32).sqrt()),
                draw(channels, 0.3),
            ]
        };
        let weights = [half(), half()];
        let b = GuideBlock {
            batch,
            channels,
            hidden,
            height,
            width,
            epsilon: EPSILON,
            slope,
            halves: weights.each_ref().map(half_of),
        };
        let want = in_parts(&b, &weights, &x, &structure, &dy);
        // NaN wherever scratch memory is not cleared.
        let nan = vec![f32::NAN; x.len()];
        in_one_piece(&b, &nan, &nan[..positions], &nan);
        let got = in_one_piece(&b, &x, &structure, &dy);
        // Where the leaky ReLU has nearly zero, rounding decides on which side.
        let bound = if slope == 1.0 { 1.2e-2 } else { 6e-2 };
        let near = |got: &[f32], want: &[f32], what: &str| {
            let distance = distance(got, want);
            assert!(distance < bound, "{what}, {:?}: {distance:e}", map(&b));
        };
        let names = ["y", "dx", "dstructure"];
        for ((got, want), name) in got.maps.iter().zip(&want.maps).zip(names) {
            near(got, want, name);
        }
        for (i, (got, want)) in got.halves.iter().zip(&want.halves).enumerate() {
            for ((got, want), name) in got.iter().zip(want).zip(FIELDS) {
                near(got, want, &format!("{name} {i}"));
            }
        }
        set_num_threads(1);
        let alone = in_one_piece(&b, &x, &structure, &dy);
        set_num_threads(0);
        assert_eq!(got.maps, alone.maps, "one thread, {:?}", map(&b));
        assert_eq!(got.halves, alone.halves, "one thread, {:?}", map(&b));
    }
}
