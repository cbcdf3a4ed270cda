//! The metrics give the numbers that the field's own tools give.
//!
//! Recorded with `scripts/metric_references.py`: PSNR and SSIM by scikit-image 0.26.0
//! (`peak_signal_noise_ratio(data_range=1)`, `structural_similarity(data_range=1, channel_axis=-1,
//! gaussian_weights=True, full=True)`; in the hole: the full map's mean over the hole's pixels),
//! MS-SSIM, SWD and gradient ratios by their definitions in NumPy.

use std::path::PathBuf;
use strdiffusion::metrics::{
    GradientRatios, MetricError, Planes, gradient_ratios, ms_ssim, psnr, psnr_hole,
    sliced_wasserstein, ssim,
};

const TOLERANCE: f64 = 1e-4;

/// [PSNR, SSIM, PSNR in the hole, SSIM in the hole].
type Scores = [f64; 4];

/// Scores; MS-SSIM where the picture is large enough; SWD × 1000, finest band first and the rest
/// last, where it is; gradient [energy, spread] where the truth is not flat.
type Expected = (Scores, Option<f64>, &'static [f64], Option<[f64; 2]>);

/// (height, width), scores.
const DRAWN: [((usize, usize), Expected); 12] = [
    (
        (11, 11),
        (
            [33.25206061, 0.83784842, 33.22797660, 0.83522727],
            None,
            &[],
            None,
        ),
    ),
    (
        (64, 64),
        (
            [17.20659978, 0.72840053, 9.76944469, 0.21698264],
            None,
            &[17.78791932, 18.69696841, 24.43362285, 88.98578884],
            Some([5.97498808, 17.27364147]),
        ),
    ),
    (
        (48, 97),
        (
            [47.31048020, 0.99708411, 48.64666095, 0.99718364],
            None,
            &[0.74858705, 0.62582174, 1.57563575],
            None,
        ),
    ),
    (
        (161, 161),
        (
            [40.79067123, 0.98739098, 34.84861585, 0.95728706],
            Some(0.99920303),
            &[8.98927420, 0.41422759, 0.55971304, 0.42885827, 1.67492875],
            Some([2.00199537, 6.94992703]),
        ),
    ),
    (
        (200, 170),
        (
            [17.69405339, 0.81773348, 10.89734936, 0.30271487],
            Some(0.84629159),
            &[7.16579263, 7.14753437, 9.86002685, 21.45116200, 33.10703448],
            Some([3.04484887, 9.22500471]),
        ),
    ),
    (
        (31, 40),
        (
            [25.20338517, 0.55531726, 25.25817964, 0.53903587],
            None,
            &[36.03758556, 3.75184663, 6.18528856],
            None,
        ),
    ),
    (
        (128, 96),
        (
            [16.26227493, 0.69106791, 11.03890335, 0.27107731],
            None,
            &[9.41578833, 8.37760725, 9.80149146, 110.95985517],
            None,
        ),
    ),
    (
        (163, 222),
        (
            [47.46706603, 0.99714318, 47.65175751, 0.99702964],
            Some(0.99970947),
            &[0.73372325, 0.57259364, 0.55018586, 0.53606142, 1.41694473],
            Some([0.94713498, 1.47534371]),
        ),
    ),
    (
        (77, 76),
        (
            [38.04347305, 0.95863191, 34.81183539, 0.92439000],
            None,
            &[10.47469739, 0.49676317, 0.55934190, 1.99001890],
            None,
        ),
    ),
    (
        (180, 255),
        (
            [18.39653920, 0.82083735, 12.45841461, 0.42516852],
            Some(0.83574360),
            &[4.76780193, 4.85985366, 6.02130168, 13.00213080, 29.33252832],
            Some([2.70387168, 9.23057458]),
        ),
    ),
    (
        (256, 256),
        (
            [21.07255337, 0.42086701, 21.08094889, 0.40081407],
            Some(0.92823083),
            &[61.44139910, 7.04128380, 1.71671098, 2.69273530, 7.48308960],
            Some([29.52129630, 17.45760779]),
        ),
    ),
    (
        (12, 60),
        (
            [10.60920151, 0.32994107, 10.39911770, 0.34095287],
            None,
            &[],
            None,
        ),
    ),
];

/// Photograph, mask, scores; validation photographs of public sets with irregular masks
/// of Liu et al. (2018), resized to the photograph by nearest neighbour.
const PHOTOGRAPHS: [(&str, &str, Expected); 12] = [
    (
        "bsds500__104055_1145.jpg",
        "nv_04011.png",
        (
            [33.34834521, 0.82510866, 33.33299815, 0.81984117],
            Some(0.97541371),
            &[7.31958533, 0.77092784, 0.23690153, 0.27863580, 0.75092870],
            Some([1.99118345, 1.09444299]),
        ),
    ),
    (
        "bsds500__226043_1234.jpg",
        "nv_04226.png",
        (
            [18.64889586, 0.79438179, 11.86583468, 0.28518918],
            Some(0.76141217),
            &[
                5.24672854,
                7.92869109,
                10.08237030,
                13.39785595,
                40.85212652,
            ],
            Some([0.82293464, 1.10786415]),
        ),
    ),
    (
        "bsds500__65033_1619.jpg",
        "nv_04498.png",
        (
            [26.34392495, 0.75578847, 25.90069271, 0.76754708],
            Some(0.96060006),
            &[25.13536649, 6.39904375, 1.53515116, 0.47756365, 1.49708662],
            Some([0.22090289, 0.47929226]),
        ),
    ),
    (
        "cmpbase__cmp_b0117_0872.jpg",
        "nv_04802.png",
        (
            [40.48768196, 0.97675642, 34.83082374, 0.92829650],
            Some(0.99588789),
            &[3.20871944, 0.65883035, 0.45004786, 0.66754688, 2.14258595],
            Some([1.19690706, 1.11259576]),
        ),
    ),
    (
        "cmpbase__cmp_b0227_0982.jpg",
        "nv_05129.png",
        (
            [23.92201142, 0.88874931, 18.11410445, 0.63801430],
            Some(0.88654448),
            &[2.24968423, 1.18723481, 1.14569063, 1.87287231, 3.47429432],
            Some([1.11749296, 1.06020460]),
        ),
    ),
    (
        "cmpbase__cmp_b0278_1033.jpg",
        "nv_05361.png",
        (
            [25.07126946, 0.72863839, 24.97706957, 0.74967329],
            Some(0.95827008),
            &[17.35978936, 1.72642524, 0.54062929, 0.61134763, 3.07752728],
            Some([1.95048438, 1.05646192]),
        ),
    ),
    (
        "kodak24__kodim07_0035.jpg",
        "nv_05619.png",
        (
            [20.33735051, 0.84976479, 13.89615152, 0.40717375],
            Some(0.81917712),
            &[
                23.68318999,
                18.19591548,
                7.97250104,
                7.48753042,
                64.97729198,
            ],
            Some([0.19941594, 0.58223901]),
        ),
    ),
    (
        "kodak24__kodim22_0050.jpg",
        "nv_05865.png",
        (
            [28.41699447, 0.81842545, 29.04253854, 0.83367540],
            Some(0.97472348),
            &[14.27233230, 3.27208426, 0.84217503, 0.28709030, 1.49902705],
            Some([0.19175159, 0.43274053]),
        ),
    ),
    (
        "urban100__img_051_SRF_4_HR_1684.jpg",
        "nv_06090.png",
        (
            [39.38476108, 0.97768411, 34.80678524, 0.94179956],
            Some(0.99729077),
            &[3.30412369, 0.49340507, 0.26703536, 0.33058395, 1.68549990],
            Some([1.06789550, 1.03108184]),
        ),
    ),
    (
        "urban100__img_088_SRF_4_HR_1721.jpg",
        "nv_06366.png",
        (
            [16.31269237, 0.71498191, 11.35277470, 0.19976986],
            Some(0.73001448),
            &[4.06184680, 2.31703970, 1.79198534, 3.20234353, 8.97770887],
            Some([1.04898102, 1.02147176]),
        ),
    ),
    (
        "urlfacade__img_132_0232.jpg",
        "nv_06639.png",
        (
            [20.78933626, 0.39459356, 20.79951177, 0.42599935],
            Some(0.85090722),
            &[44.83895333, 5.05773579, 0.81424443, 0.68272574, 6.73386705],
            Some([5.12932714, 1.37022719]),
        ),
    ),
    (
        "urlfacade__img_183_0086.jpg",
        "nv_06947.png",
        (
            [17.21722941, 0.70444298, 12.31970826, 0.23522868],
            Some(0.58592057),
            &[
                47.55140008,
                35.71275525,
                23.84907178,
                13.34868879,
                51.41709280,
            ],
            Some([0.09054623, 0.37883370]),
        ),
    ),
];

struct Picture {
    height: usize,
    width: usize,
    /// Interleaved RGB.
    rgb: Vec<u8>,
}

impl Picture {
    fn at(&self, y: usize, x: usize, c: usize) -> i64 {
        i64::from(self.rgb[(y * self.width + x) * 3 + c])
    }

    fn map(&self, mut value: impl FnMut(usize, usize, usize) -> i64) -> Picture {
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for y in 0..self.height {
            for x in 0..self.width {
                rgb.extend((0..3).map(|c| value(y, x, c) as u8));
            }
        }
        Picture { rgb, ..*self }
    }

    fn planar(&self) -> Vec<f32> {
        (0..3)
            .flat_map(|c| self.rgb.iter().skip(c).step_by(3))
            .map(|&v| f32::from(v) / 255.0)
            .collect()
    }
}

fn drawn_truth(k: usize, height: usize, width: usize) -> Picture {
    let blank = Picture {
        height,
        width,
        rgb: vec![0; height * width * 3],
    };
    blank.map(|y, x, c| {
        let bend = (x * x + 2 * y * y) / (37 + 11 * k);
        let v = (x * (2 + c + k % 3) + y * (4 - c) + bend + 31 * c + 17 * k) % 510;
        v.min(510 - v) as i64
    })
}

/// 1 = keep, 0 = hole: an ellipse.
fn drawn_keep(k: usize, height: usize, width: usize) -> Vec<f32> {
    let (h, w) = (height as i64, width as i64);
    let i = k as i64;
    let (cy, cx) = (h * (3 + i % 4) / 10, w * (3 + i % 5) / 10);
    let (ry, rx) = (h / 4 + i, w / 5 + 2 * i);
    let mut keep = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let (dy, dx) = (y - cy, x - cx);
            let inside = dy * dy * rx * rx + dx * dx * ry * ry <= ry * ry * rx * rx;
            keep.push(if inside { 0.0 } else { 1.0 });
        }
    }
    keep
}

/// Five kinds of damage in whole numbers, as the script makes them.
fn degraded(k: usize, truth: &Picture, keep: &[f32]) -> Picture {
    let hole = |y: usize, x: usize| keep[y * truth.width + x] < 0.5;
    match k % 5 {
        0 => {
            let amplitude = 9 + 3 * k as i64;
            let mut state = 12345 + k as u32;
            truth.map(|y, x, c| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = i64::from(state >> 24) % (2 * amplitude + 1) - amplitude;
                (truth.at(y, x, c) + noise).clamp(0, 255)
            })
        }
        1 => truth.map(|y, x, c| if hole(y, x) { 128 } else { truth.at(y, x, c) }),
        2 => truth.map(|y, x, c| {
            let near = |p: usize, d: usize, len: usize| (p + d).saturating_sub(1).min(len - 1);
            let mut sum = 0;
            for dy in 0..3 {
                for dx in 0..3 {
                    sum += truth.at(near(y, dy, truth.height), near(x, dx, truth.width), c);
                }
            }
            sum / 9
        }),
        3 => truth.map(|y, x, c| {
            let v = truth.at(y, x, c);
            if hole(y, x) {
                v / 16 * 16 + 8
            } else {
                v / 4 * 4 + 2
            }
        }),
        _ => truth.map(|y, x, c| {
            let from = if hole(y, x) { x.saturating_sub(12) } else { x };
            truth.at(y, from, c)
        }),
    }
}

fn assert_scores(
    label: &str,
    truth: &Picture,
    result: &Picture,
    keep: &[f32],
    (expected, ms, swd, gradient): &Expected,
) {
    let (a, b) = (truth.planar(), result.planar());
    let a = Planes::new(&a, 3, truth.height, truth.width).unwrap();
    let b = Planes::new(&b, 3, truth.height, truth.width).unwrap();
    let ssim = ssim(&a, &b, Some(keep)).unwrap();
    let got = [
        psnr(&a, &b).unwrap(),
        ssim.whole,
        psnr_hole(&a, &b, keep).unwrap().unwrap(),
        ssim.hole.unwrap(),
    ];
    for (name, (got, expected)) in ["psnr", "ssim", "psnr_hole", "ssim_hole"]
        .iter()
        .zip(got.iter().zip(expected))
    {
        println!(
            "{label} {name} {got:.6} off by {:.1e}",
            (got - expected).abs()
        );
        assert!(
            (got - expected).abs() < TOLERANCE,
            "{label}: {name} {got}, expected {expected}"
        );
    }
    match ms {
        Some(expected) => {
            let got = ms_ssim(&a, &b).unwrap();
            println!(
                "{label} ms_ssim {got:.6} off by {:.1e}",
                (got - expected).abs()
            );
            assert!(
                (got - expected).abs() < TOLERANCE,
                "{label}: ms_ssim {got}, expected {expected}"
            );
        }
        None => assert!(matches!(ms_ssim(&a, &b), Err(MetricError::TooSmall { .. }))),
    }
    match sliced_wasserstein(&a, &b, keep) {
        Ok(got) => {
            let got = got.unwrap();
            let levels = [&got.bands[..], &[got.low]].concat();
            assert_eq!(levels.len(), swd.len(), "{label}: levels of SWD");
            for (level, (got, expected)) in levels.iter().zip(*swd).enumerate() {
                println!(
                    "{label} swd {level} {got:.6} off by {:.1e}",
                    (got - expected).abs()
                );
                assert!(
                    (got - expected).abs() < TOLERANCE,
                    "{label}: level {level} of SWD {got}, expected {expected}"
                );
            }
            let mean = swd.iter().sum::<f64>() / swd.len() as f64;
            assert!((got.mean() - mean).abs() < TOLERANCE, "{label}: mean SWD");
        }
        Err(error) => {
            assert!(
                matches!(error, MetricError::TooSmall { .. }),
                "{label}: {error}"
            );
            assert!(swd.is_empty(), "{label}: SWD has no score");
        }
    }
    let got = gradient_ratios(&a, &b, keep).unwrap();
    match (got, gradient) {
        (Some(GradientRatios { energy, spread }), Some(expected)) => {
            for (name, got, expected) in [
                ("energy", energy, expected[0]),
                ("spread", spread, expected[1]),
            ] {
                assert!(
                    (got - expected).abs() < TOLERANCE,
                    "{label}: gradient {name} {got}, expected {expected}"
                );
            }
        }
        (got, expected) => assert!(got.is_none() && expected.is_none(), "{label}: gradient"),
    }
}

#[test]
fn scores_agree_with_their_references_on_drawn_pairs() {
    for (k, ((height, width), expected)) in DRAWN.iter().enumerate() {
        let truth = drawn_truth(k, *height, *width);
        let keep = drawn_keep(k, *height, *width);
        let result = degraded(k, &truth, &keep);
        assert_scores(&format!("pair {k}"), &truth, &result, &keep, expected);
    }
}

/// Photographs in `val/`, masks in `masks/20-40/`.
fn data() -> PathBuf {
    PathBuf::from(std::env::var_os("METRIC_DATA").expect("METRIC_DATA"))
}

#[test]
#[ignore = "writes the photographs of $METRIC_DATA as PNG into $METRIC_PHOTOGRAPHS for the reference script"]
fn write_photographs_for_the_reference_script() {
    let out = PathBuf::from(std::env::var_os("METRIC_PHOTOGRAPHS").expect("METRIC_PHOTOGRAPHS"));
    for (photo, ..) in &PHOTOGRAPHS {
        let rgb = image::open(data().join("val").join(photo)).unwrap();
        rgb.to_rgb8()
            .save(out.join(photo).with_extension("png"))
            .unwrap();
    }
}

/// What the drawn pairs show in every clone, on photographs.
#[test]
#[ignore = "needs photographs and masks in $METRIC_DATA"]
fn scores_agree_with_their_references_on_photographs() {
    let data = data();
    for (k, (photo, mask, expected)) in PHOTOGRAPHS.iter().enumerate() {
        let rgb = image::open(data.join("val").join(photo)).unwrap().to_rgb8();
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let mask = image::open(data.join("masks/20-40").join(mask))
            .unwrap()
            .to_luma8();
        let (mw, mh) = (mask.width() as usize, mask.height() as usize);
        let keep: Vec<f32> = (0..height * width)
            .map(|i| {
                let (y, x) = ((i / width) * mh / height, (i % width) * mw / width);
                if mask.get_pixel(x as u32, y as u32).0[0] >= 128 {
                    0.0
                } else {
                    1.0
                }
            })
            .collect();
        let truth = Picture {
            height,
            width,
            rgb: rgb.into_raw(),
        };
        let result = degraded(k, &truth, &keep);
        assert_scores(photo, &truth, &result, &keep, expected);
    }
}

#[test]
fn identical_pictures_score_infinite_psnr_and_ssim_one() {
    let truth = drawn_truth(1, 170, 165);
    let data = truth.planar();
    let a = Planes::new(&data, 3, 170, 165).unwrap();
    let keep = drawn_keep(1, 170, 165);
    assert_eq!(psnr(&a, &a).unwrap(), f64::INFINITY);
    assert_eq!(psnr_hole(&a, &a, &keep).unwrap(), Some(f64::INFINITY));
    let ssim = ssim(&a, &a, Some(&keep)).unwrap();
    assert!((ssim.whole - 1.0).abs() < 1e-12 && (ssim.hole.unwrap() - 1.0).abs() < 1e-12);
    assert!((ms_ssim(&a, &a).unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn identical_pictures_have_no_sliced_wasserstein_distance_and_the_same_gradients() {
    let truth = drawn_truth(1, 170, 165);
    let data = truth.planar();
    let a = Planes::new(&data, 3, 170, 165).unwrap();
    let keep = drawn_keep(1, 170, 165);
    let swd = sliced_wasserstein(&a, &a, &keep).unwrap().unwrap();
    assert_eq!((swd.bands, swd.low), (vec![0.0; 4], 0.0));
    let same = gradient_ratios(&a, &a, &keep).unwrap().unwrap();
    assert_eq!((same.energy, same.spread), (1.0, 1.0));
}

/// Rough grey grain, and the keep mask of a hole in its middle.
fn grain(seed: u32) -> (Picture, Vec<f32>) {
    let (height, width) = (96, 96);
    let blank = Picture {
        height,
        width,
        rgb: vec![0; height * width * 3],
    };
    let mut state = seed;
    let mut value = 0;
    let picture = blank.map(|_, _, c| {
        if c == 0 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            value = 128 + i64::from(state >> 24) % 81 - 40;
        }
        value
    });
    let inside = |p: usize| (24..72).contains(&p);
    let keep = (0..height * width)
        .map(|i| {
            if inside(i / width) && inside(i % width) {
                0.0
            } else {
                1.0
            }
        })
        .collect();
    (picture, keep)
}

#[test]
fn grain_of_the_right_kind_is_nearer_in_looks_than_a_soft_fill_of_higher_psnr() {
    let (truth, keep) = grain(7);
    let other = grain(8).0.planar();
    let (truth, grey) = (truth.planar(), vec![128.0 / 255.0; other.len()]);
    let filled = |fill: &[f32]| -> Vec<f32> {
        let all = truth.iter().zip(fill).enumerate();
        all.map(|(i, (&t, &f))| if keep[i % keep.len()] < 0.5 { f } else { t })
            .collect()
    };
    let view = |data| Planes::new(data, 3, 96, 96).unwrap();
    let (sharp, soft) = (filled(&other), filled(&grey));
    let (truth, sharp, soft) = (view(&truth), view(&sharp), view(&soft));
    let swd = |result| sliced_wasserstein(&truth, result, &keep).unwrap().unwrap();
    let gradient = |result| gradient_ratios(&truth, result, &keep).unwrap().unwrap();
    assert!(psnr(&truth, &soft).unwrap() > psnr(&truth, &sharp).unwrap() + 2.0);
    assert!(swd(&soft).bands[0] > 5.0 * swd(&sharp).bands[0]);
    assert!(swd(&soft).mean() > 2.0 * swd(&sharp).mean());
    assert!((gradient(&sharp).spread - 1.0).abs() < 0.1);
    assert!(gradient(&soft).spread < 0.2 && gradient(&soft).energy < 0.1);
}

#[test]
fn lost_contrast_and_another_colour_are_no_good_looks() {
    let (truth, keep) = grain(7);
    let truth = truth.planar();
    let original = Planes::new(&truth, 3, 96, 96).unwrap();
    let swd = |change: &dyn Fn(f32) -> f32| {
        let result: Vec<f32> = truth.iter().map(|&v| change(v)).collect();
        let result = Planes::new(&result, 3, 96, 96).unwrap();
        sliced_wasserstein(&original, &result, &keep)
            .unwrap()
            .unwrap()
    };
    let pale = swd(&|v| 0.5 + (v - 0.5) / 2.0);
    assert!(pale.bands[0] > 10.0, "{pale:?}");
    let brighter = swd(&|v| v + 0.2);
    assert!(
        brighter.low > 50.0 && brighter.bands[0] < 1e-3,
        "{brighter:?}"
    );
}

#[test]
fn a_hole_of_one_pixel_has_a_sliced_wasserstein_distance() {
    let (truth, _) = grain(7);
    let (truth, other) = (truth.planar(), grain(8).0.planar());
    let view = |data| Planes::new(data, 3, 96, 96).unwrap();
    for pixel in [0, 96 * 96 - 1, 95 * 96, 50 * 96 + 41] {
        let mut keep = vec![1.0; 96 * 96];
        keep[pixel] = 0.0;
        let swd = sliced_wasserstein(&view(&truth), &view(&other), &keep)
            .unwrap()
            .unwrap();
        assert_eq!(swd.bands.len(), 3);
        assert!(swd.bands.iter().all(|v| *v > 0.0));
    }
}

#[test]
fn a_flat_truth_has_no_gradient_ratios() {
    let (rough, keep) = grain(7);
    let (flat, rough) = (vec![0.5; 3 * 96 * 96], rough.planar());
    let view = |data| Planes::new(data, 3, 96, 96).unwrap();
    assert_eq!(
        gradient_ratios(&view(&flat), &view(&rough), &keep).unwrap(),
        None
    );
}

#[test]
fn a_mask_without_hole_has_no_hole_scores() {
    let truth = drawn_truth(0, 20, 20);
    let data = truth.planar();
    let a = Planes::new(&data, 3, 20, 20).unwrap();
    assert_eq!(psnr_hole(&a, &a, &[1.0; 400]).unwrap(), None);
    assert_eq!(ssim(&a, &a, Some(&[1.0; 400])).unwrap().hole, None);
    assert_eq!(sliced_wasserstein(&a, &a, &[1.0; 400]).unwrap(), None);
    assert_eq!(gradient_ratios(&a, &a, &[1.0; 400]).unwrap(), None);
}

#[test]
fn pictures_that_do_not_fit_each_other_are_refused() {
    let data = vec![0.5; 3 * 20 * 20];
    let a = Planes::new(&data, 3, 20, 20).unwrap();
    let b = Planes::new(&data[..3 * 20 * 10], 3, 10, 20).unwrap();
    assert!(matches!(psnr(&a, &b), Err(MetricError::Shape { .. })));
    assert!(matches!(
        ssim(&a, &a, Some(&[1.0])),
        Err(MetricError::Mask {
            expected: 400,
            got: 1
        })
    ));
    assert!(matches!(
        ssim(&b, &b, None),
        Err(MetricError::TooSmall { smallest: 11, .. })
    ));
    assert!(matches!(
        Planes::new(&data, 3, 20, 21),
        Err(MetricError::Length { .. })
    ));
}
