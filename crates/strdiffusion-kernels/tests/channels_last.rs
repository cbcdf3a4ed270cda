//! Maps in bf16 whose channels lie together. Operands here are bf16 numbers already, so that only
//! what leaves a kernel is rounded: by at most half a unit in the last of 8 bits, 2⁻⁹ of a value.
//!
//! On a CPU without tiles there is nothing to test but what copies.

mod common;
use common::{Rng, Row, error, isa_lock, products, shape};
use strdiffusion_kernels::*;

/// Rounded results, beside sums in f32.
const BOUND: f64 = 4e-3;

const SHAPES: &[Row] = &[
    (1, 32, 32, 32, 32, 3, 1, 1),
    (2, 16, 16, 64, 48, 3, 1, 1),
    (2, 33, 11, 41, 17, 3, 1, 1),
    (3, 64, 2, 2, 40, 3, 1, 1),
    (2, 70, 7, 13, 33, 3, 1, 1),
    (1, 6, 5, 131, 1, 3, 1, 1),
    (1, 12, 1, 40, 7, 3, 1, 1),
    (1, 12, 40, 1, 7, 3, 1, 1),
    (1, 520, 9, 20, 250, 3, 1, 1),
    (2, 16, 32, 64, 24, 4, 2, 1),
    (1, 5, 10, 14, 3, 4, 2, 1),
    (3, 9, 2, 2, 4, 4, 2, 1),
    (2, 40, 34, 66, 36, 4, 2, 1),
    (2, 24, 9, 11, 17, 1, 1, 0),
    (1, 300, 6, 6, 8, 1, 1, 0),
    (2, 3, 37, 71, 70, 7, 1, 3),
    (1, 2, 33, 40, 5, 5, 1, 4),
    (2, 3, 15, 17, 4, 5, 3, 2),
    (1, 2, 12, 13, 3, 3, 2, 1),
    (1, 2, 8, 9, 3, 1, 2, 0),
    (1, 2, 33, 33, 3, 2, 2, 0),
    (1, 4, 6, 6, 5, 3, 1, 0),
];

/// A random bf16 number's bits.
fn numbers(rng: &mut Rng, n: usize) -> Vec<u16> {
    let upper = |v: &f32| (v.to_bits() >> 16) as u16;
    rng.vec(n).iter().map(upper).collect()
}

fn value(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn values(bits: &[u16]) -> Vec<f32> {
    bits.iter().map(|bits| value(*bits)).collect()
}

/// `[batch, channels, positions]` of a map `[batch, positions, channels]`.
fn planes<T: Copy>(map: &[T], channels: usize, positions: usize) -> Vec<T> {
    let pictures = map.chunks_exact(channels * positions);
    pictures
        .flat_map(|picture| {
            let at = move |c: usize, p: usize| picture[p * channels + c];
            (0..channels).flat_map(move |c| (0..positions).map(move |p| at(c, p)))
        })
        .collect()
}

const NAN: u16 = 0x7fc0;

/// Leaves NaN wherever scratch memory is not cleared.
fn poison() {
    let s = Conv2dShape::new([3, 40, 17, 40], 70, 4, 2, 1);
    let conv = channels_last::Conv::new(&s, &vec![f32::NAN; s.weight_len()]);
    let (x, mut y) = (vec![NAN; s.input_len()], vec![NAN; s.output_len()]);
    conv.forward([3, 17, 40], &x, &Epilogue::default(), None, &mut y);
}

#[test]
fn convolutions_match_their_definition() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return;
    }
    let mut rng = Rng(51);
    for &t in SHAPES {
        let s = shape(t);
        let [oh, ow] = s.out_size();
        let (positions, size) = (oh * ow, [s.batch, s.height, s.width]);
        let x = numbers(&mut rng, s.input_len());
        let w = values(&numbers(&mut rng, s.weight_len()));
        let in_planes = values(&planes(&x, s.in_channels, s.height * s.width));
        let mut sums = vec![0.0; s.output_len()];
        products(&s, |o, i, k| {
            sums[o] += f64::from(in_planes[i]) * f64::from(w[k]);
        });
        let conv = channels_last::Conv::new(&s, &w);
        poison();
        let mut y = vec![NAN; sums.len()];
        conv.forward(size, &x, &Epilogue::default(), None, &mut y);
        let found = error(&values(&planes(&y, s.out_channels, positions)), &sums);
        assert!(found < BOUND, "{s:?}: {found:e}");

        let (bias, residual) = (rng.vec(s.out_channels), numbers(&mut rng, sums.len()));
        let scale = rng.vec(s.batch * s.out_channels);
        let shift = rng.vec(s.batch * s.out_channels);
        let added = values(&planes(&residual, s.out_channels, positions));
        let want: Vec<f64> = (sums.iter().enumerate())
            .map(|(i, v)| {
                let plane = i / positions;
                let v = v * 0.375 + f64::from(bias[plane % s.out_channels]);
                let v = v * (1.0 + f64::from(scale[plane])) + f64::from(shift[plane]);
                v / (1.0 + (-v).exp()) + f64::from(added[i])
            })
            .collect();
        let epilogue = Epilogue {
            gain: Some(0.375),
            bias: Some(&bias),
            scale: Some(&scale),
            shift: Some(&shift),
            silu: true,
            residual: None,
        };
        conv.forward(size, &x, &epilogue, Some(&residual), &mut y);
        let found = error(&values(&planes(&y, s.out_channels, positions)), &want);
        assert!(found < BOUND, "{s:?} with all that follows: {found:e}");
    }
}

#[test]
fn results_do_not_depend_on_threads() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return;
    }
    let mut rng = Rng(52);
    let s = Conv2dShape::new([2, 300, 33, 40], 260, 3, 1, 1);
    let (x, w) = (numbers(&mut rng, s.input_len()), rng.vec(s.weight_len()));
    let conv = channels_last::Conv::new(&s, &w);
    let run = |threads| {
        set_num_threads(threads);
        let mut y = vec![NAN; s.output_len()];
        conv.forward([2, 33, 40], &x, &Epilogue::default(), None, &mut y);
        y
    };
    let (one, many) = (run(1), run(3));
    set_num_threads(0);
    assert!(one == many);
}

/// Expected: the same kernels on planes of f32, which have tests of their own.
#[test]
fn norms_and_attention_are_those_of_planes() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return;
    }
    let mut rng = Rng(53);
    for [batch, channels, positions] in [[2, 40, 70], [1, 64, 256], [3, 7, 5], [1, 96, 133]] {
        let s = MapShape {
            batch,
            channels,
            positions,
        };
        let [x, gamma, beta] = [(); 3].map(|()| numbers(&mut rng, s.len()));
        let [px, pgamma, pbeta] =
            [&x, &gamma, &beta].map(|map| values(&planes(map, channels, positions)));
        let close = |got: &[u16], want: &[f32], what: &str| {
            let want: Vec<f64> = want.iter().map(|v| f64::from(*v)).collect();
            let found = error(&values(&planes(got, channels, positions)), &want);
            assert!(found < BOUND, "{what} of {s:?}: {found:e}");
        };
        let (mut y, mut want) = (vec![NAN; s.len()], vec![f32::NAN; s.len()]);
        channels_last::spade(&s, &x, [&gamma, &beta], 1e-5, 0.2, &mut y);
        spade(&s, &px, &pgamma, &pbeta, 1e-5, 0.2, &mut want);
        close(&y, &want, "spade");

        let (heads, dim) = (4, 32);
        let inner = heads * dim;
        let [pre_gain, post_gain, bias] = [(); 3].map(|()| rng.vec(channels));
        let (qkv, out) = (rng.vec(3 * inner * channels), rng.vec(inner * channels));
        let w = AttentionWeights {
            heads,
            dim,
            pre_gain: &pre_gain,
            qkv: &qkv,
            out: &out,
            out_bias: Some(&bias),
            post_gain: &post_gain,
            epsilon: 1e-5,
        };
        y.fill(NAN);
        channels_last::attention_block(&s, &w, &x, &mut y);
        w.forward_bf16(&s, &px, &mut want);
        close(&y, &want, "attention");

        let mut back = vec![f32::NAN; s.len()];
        channels_last::to_planes(&s, &x, &mut back);
        assert_eq!(back, px);
        y.fill(NAN);
        channels_last::from_planes(&s, &px, &mut y);
        assert_eq!(y, x);
    }
}

/// Expected: the block's formula, with the map between the convolutions rounded.
#[test]
fn residual_blocks_are_their_two_convolutions() {
    let _guard = isa_lock();
    if !Isa::has_tiles() {
        return;
    }
    let mut rng = Rng(54);
    let (size, channels) = ([2, 7, 33], 36);
    let [batch, height, width] = size;
    let conv = Conv2dShape::new([batch, channels, height, width], channels, 3, 1, 1);
    let x = numbers(&mut rng, conv.input_len());
    let [conv1, conv2] = [0; 2].map(|_| rng.vec(conv.weight_len()));
    let [scale, shift] = [0; 2].map(|_| rng.vec(batch * channels));
    let b = ResidualBlock {
        batch,
        in_channels: [channels, 0],
        out_channels: channels,
        height,
        width,
        conv1: &conv1,
        conv2: &conv2,
        scale: &scale,
        shift: &shift,
        skip: None,
    };
    let px = values(&planes(&x, channels, height * width));
    let mut want = vec![f32::NAN; x.len()];
    b.forward([&px, &[]], &mut want);
    let convs = [&conv1, &conv2].map(|w| channels_last::Conv::new(&conv, w));
    let mut y = vec![NAN; x.len()];
    let modulation = [&scale[..], &shift[..]];
    channels_last::residual_block([&convs[0], &convs[1]], size, modulation, &x, &x, &mut y);
    let want: Vec<f64> = want.iter().map(|v| f64::from(*v)).collect();
    let found = error(&values(&planes(&y, channels, height * width)), &want);
    assert!(found < BOUND, "{found:e}");
}

#[test]
fn joining_and_doubling_move_whole_places() {
    let joined = &mut [0; 10];
    channels_last::join(2, &[1, 2, 3, 4, 5, 6], &[7, 8, 9, 10], joined);
    assert_eq!(joined, &[1, 2, 3, 7, 8, 4, 5, 6, 9, 10]);
    let doubled = &mut [0; 16];
    channels_last::double([1, 1, 2], 2, &[1, 2, 3, 4], doubled);
    let row = [1, 2, 1, 2, 3, 4, 3, 4];
    assert_eq!(doubled[..8], row);
    assert_eq!(doubled[8..], row);
}

/// Expected by hand: 1 + 2⁻⁸ and 1 + 3·2⁻⁸ lie half way between two bf16 numbers.
#[test]
fn sums_are_rounded_to_the_nearest_even() {
    let bits = |v: f32| (v.to_bits() >> 16) as u16;
    let ulp = 1.0 / 128.0;
    let x = [1.0, 1.0 + ulp, -3.0, f32::INFINITY, f32::NAN, 0.0].map(bits);
    let y = [ulp / 2.0, ulp / 2.0, 1.0, 1.0, 1.0, 0.0].map(bits);
    let mut sum = [0; 6];
    channels_last::add(&x, &y, &mut sum);
    assert_eq!(
        values(&sum[..4]),
        [1.0, 1.0 + 2.0 * ulp, -2.0, f32::INFINITY]
    );
    assert!(value(sum[4]).is_nan() && sum[5] == 0);
}
