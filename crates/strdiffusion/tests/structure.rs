//! Grayscale and edges: scikit-image's numbers on pictures drawn by formula, and the promise
//! that the hole is never read.

use strdiffusion::picture::{FloatImage, Mask};
use strdiffusion::structure::{Canny, EdgeSource, GrayPlane, edge_map, rgb_to_gray};

/// Knuth's 64-bit linear congruential generator; upper 31 bits as a number in [0, 1).
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as f64 / f64::from(1u32 << 31)
    }
}

/// 0: waves; 1: noise; 2: a disc, whose symmetry makes exact ties between gradients.
fn picture(w: usize, h: usize, kind: u32) -> GrayPlane {
    let mut random = Lcg((w * 1000 + h) as u64);
    let mut pixel = |(x, y): (i64, i64)| match kind {
        0 => {
            let base = ((x * x * 3 + y * y * 5 + x * y * 7) % 97) as f64 / 97.0 * 0.2;
            let stripe = if (x * 2 + y) % 31 > 15 { 0.4 } else { 0.0 };
            let ring = if (x * x + y * y) % 400 < 200 {
                0.4
            } else {
                0.0
            };
            base + stripe + ring
        }
        1 => random.next(),
        _ => {
            let (dx, dy) = (x - w as i64 / 2, y - h as i64 / 2);
            let radius = w.min(h) as f64 / 3.0;
            if ((dx * dx + dy * dy) as f64) < radius * radius {
                1.0
            } else {
                0.25
            }
        }
    };
    let data = coordinates(w, h).map(&mut pixel).collect();
    GrayPlane::from_vec(w, h, data).unwrap()
}

fn coordinates(w: usize, h: usize) -> impl Iterator<Item = (i64, i64)> {
    (0..h as i64).flat_map(move |y| (0..w as i64).map(move |x| (x, y)))
}

/// 0: everything known; 1: a rectangular hole; 2: four random discs.
fn mask(w: usize, h: usize, kind: u32, seed: u64) -> Mask {
    let (wi, hi) = (w as i64, h as i64);
    let mut random = Lcg(seed);
    let mut discs = Vec::new();
    if kind == 2 {
        for _ in 0..4 {
            let cx = (random.next() * w as f64) as i64;
            let cy = (random.next() * h as f64) as i64;
            discs.push((cx, cy, 2 + (random.next() * w.min(h) as f64 / 5.0) as i64));
        }
    }
    let keep = coordinates(w, h)
        .map(|(x, y)| {
            let in_box = kind == 1 && x > wi / 3 && x < 2 * wi / 3 && y > hi / 4 && y < hi / 2;
            let in_disc = discs
                .iter()
                .any(|&(cx, cy, r)| (x - cx) * (x - cx) + (y - cy) * (y - cy) <= r * r);
            u8::from(!in_box && !in_disc)
        })
        .collect();
    Mask::from_keep(w, h, keep).unwrap()
}

/// FNV-1a of the edge bytes.
fn hash(edges: &[u8]) -> u64 {
    edges.iter().fold(0xcbf29ce484222325, |h, &e| {
        (h ^ u64::from(e)).wrapping_mul(0x100000001b3)
    })
}

type Recorded = (usize, usize, u32, u32, u64, f64, u32, u64);

/// Width, height, picture, mask, mask seed, σ; then number of edge pixels and hash, recorded from
/// `skimage.feature.canny(picture, sigma=σ, mask=mask)` of scikit-image 0.26.0, SciPy 1.17.1.
#[rustfmt::skip]
const RECORDED: &[Recorded] = &[
    (64, 48, 0, 0, 0, 2.0, 529, 0x76638047e5c3a162),
    (64, 48, 0, 1, 0, 2.0, 467, 0xbe2c23735bf00020),
    (64, 48, 0, 2, 7, 2.0, 338, 0xac64e01ae93e9963),
    (64, 48, 0, 2, 99, 2.0, 344, 0x988bdfd38127c761),
    (64, 48, 1, 0, 0, 2.0, 610, 0x2f8191dad66764e7),
    (64, 48, 1, 1, 0, 2.0, 530, 0xffea29beee87c743),
    (64, 48, 1, 2, 7, 2.0, 380, 0x623fdfb6543a6e7b),
    (64, 48, 1, 2, 99, 2.0, 434, 0x66a1df43bed6eae5),
    (64, 48, 2, 0, 0, 2.0, 112, 0x095632fb69f10d3d),
    (64, 48, 2, 1, 0, 2.0, 105, 0x613ba3dcab875c64),
    (64, 48, 2, 2, 7, 2.0, 43, 0x083fea2805f89e30),
    (64, 48, 2, 2, 99, 2.0, 71, 0x52bcc1838b4f5d98),
    (37, 91, 0, 0, 0, 1.0, 891, 0x313b51027e25789e),
    (37, 91, 0, 0, 0, 2.0, 570, 0x6d5be2fc56fe1989),
    (37, 91, 0, 0, 0, 3.0, 507, 0x51b9239b6185424e),
    (37, 91, 0, 1, 0, 1.0, 767, 0x9bb71b8c5ce0c97a),
    (37, 91, 0, 1, 0, 2.0, 509, 0xf1094079450b4f84),
    (37, 91, 0, 1, 0, 3.0, 453, 0x167b5e44226729ea),
    (37, 91, 0, 2, 7, 1.0, 671, 0xcae6ab00d8407204),
    (37, 91, 0, 2, 7, 2.0, 451, 0x4b9bafd57e0deb48),
    (37, 91, 0, 2, 7, 3.0, 395, 0x205f09ef2b9529cc),
    (37, 91, 0, 2, 99, 1.0, 698, 0xbf51077df4a78be1),
    (37, 91, 0, 2, 99, 2.0, 440, 0x441423ad024fff8d),
    (37, 91, 0, 2, 99, 3.0, 384, 0x91a0d0bff1f20c9d),
    (37, 91, 1, 0, 0, 1.0, 1240, 0x8874c5106a57fe29),
    (37, 91, 1, 0, 0, 2.0, 580, 0xbb882ae611afbac1),
    (37, 91, 1, 0, 0, 3.0, 18, 0xf151e00fc2821643),
    (37, 91, 1, 1, 0, 1.0, 1108, 0xb01bd936ef98ebd5),
    (37, 91, 1, 1, 0, 2.0, 509, 0xc8d412444a6c3912),
    (37, 91, 1, 1, 0, 3.0, 18, 0xf151e00fc2821643),
    (37, 91, 1, 2, 7, 1.0, 956, 0x14aa83b326be09df),
    (37, 91, 1, 2, 7, 2.0, 408, 0x4589b8441b703097),
    (37, 91, 1, 2, 7, 3.0, 18, 0xf151e00fc2821643),
    (37, 91, 1, 2, 99, 1.0, 976, 0xc8481c8d872d3691),
    (37, 91, 1, 2, 99, 2.0, 492, 0x747923df7d15eb17),
    (37, 91, 1, 2, 99, 3.0, 29, 0x5d9243f1771c75b8),
    (37, 91, 2, 0, 0, 1.0, 88, 0xe87cc9f3ca9e50f7),
    (37, 91, 2, 0, 0, 2.0, 96, 0x320769ef8b2b6cb7),
    (37, 91, 2, 0, 0, 3.0, 92, 0xe49d137a58970fe7),
    (37, 91, 2, 1, 0, 1.0, 73, 0xcd618e967fce3416),
    (37, 91, 2, 1, 0, 2.0, 79, 0xc07d2cb1d0147a9e),
    (37, 91, 2, 1, 0, 3.0, 69, 0xea659766461a9fc6),
    (37, 91, 2, 2, 7, 1.0, 53, 0x010c6d3aafc6cf20),
    (37, 91, 2, 2, 7, 2.0, 58, 0xbef7a0b6d623f23d),
    (37, 91, 2, 2, 7, 3.0, 54, 0x0f6a39b0d4c7d3f7),
    (37, 91, 2, 2, 99, 1.0, 58, 0x5e955ba3ccb9fba1),
    (37, 91, 2, 2, 99, 2.0, 61, 0x401efc0a46797e34),
    (37, 91, 2, 2, 99, 3.0, 58, 0xc14e69c0a369ba1d),
];

#[test]
fn canny_with_a_mask_finds_scikit_images_edges_at_every_pixel() {
    for &(w, h, kind, mask_kind, seed, sigma, count, expected) in RECORDED {
        let mask = mask(w, h, mask_kind, seed);
        let edges = Canny::with_sigma(sigma)
            .edges(&picture(w, h, kind), Some(&mask))
            .unwrap();
        let case = format!("{w}x{h} picture {kind} mask {mask_kind}/{seed} sigma {sigma}");
        assert_eq!(
            edges.iter().map(|&e| u32::from(e)).sum::<u32>(),
            count,
            "{case}"
        );
        assert_eq!(hash(&edges), expected, "{case}");
    }
}

#[test]
fn an_all_valid_mask_is_the_same_as_none() {
    for kind in 0..3 {
        let gray = picture(40, 33, kind);
        let canny = Canny::default();
        assert_eq!(
            canny.edges(&gray, None).unwrap(),
            canny.edges(&gray, Some(&Mask::all_known(40, 33))).unwrap()
        );
    }
}

#[test]
fn nothing_inside_the_hole_changes_the_known_regions_edges() {
    for (kind, seed) in [(0, 7), (1, 99), (2, 5)] {
        let mask = mask(64, 48, 2, seed);
        let gray = picture(64, 48, kind);
        let canny = Canny::default();
        let expected = edge_map(&gray, &mask, EdgeSource::KnownRegion, &canny).unwrap();
        for poison in [0.0, 1.0, -1e300, f64::NAN, f64::INFINITY] {
            let data = gray.data().iter().zip(mask.keep());
            let data = data
                .map(|(&v, &k)| if k == 1 { v } else { poison })
                .collect();
            let changed = GrayPlane::from_vec(64, 48, data).unwrap();
            let edges = edge_map(&changed, &mask, EdgeSource::KnownRegion, &canny).unwrap();
            assert_eq!(edges, expected, "picture {kind}, hole filled with {poison}");
        }
    }
}

#[test]
fn the_published_edge_source_reads_the_complete_picture() {
    let (gray, mask, canny) = (picture(64, 48, 2), mask(64, 48, 1, 0), Canny::default());
    let full = edge_map(&gray, &mask, EdgeSource::FullImage, &canny).unwrap();
    let complete = canny.edges(&gray, None).unwrap();
    for (i, (&e, &k)) in complete.iter().zip(mask.keep()).enumerate() {
        assert_eq!(full.data()[i], f32::from(e * k));
    }
    let known = edge_map(&gray, &mask, EdgeSource::KnownRegion, &canny).unwrap();
    assert_ne!(full, known);
}

#[test]
fn gray_weighs_the_colours_as_rec_709_and_leaves_gray_alone() {
    let rgb = FloatImage::from_vec(3, 3, 1, vec![1., 0., 0., 0., 1., 0., 0., 0., 1.]).unwrap();
    assert_eq!(rgb_to_gray(&rgb).unwrap().data(), [0.2125, 0.7154, 0.0721]);
    let gray = FloatImage::from_vec(1, 2, 1, vec![0.25, 0.75]).unwrap();
    assert_eq!(rgb_to_gray(&gray).unwrap().data(), [0.25, 0.75]);
    assert!(rgb_to_gray(&FloatImage::filled(2, 2, 2, 0.0)).is_err());
}

#[test]
fn pictures_too_small_for_an_edge_have_none() {
    for (w, h) in [(0, 0), (1, 1), (2, 5), (5, 2), (3, 3), (1, 40)] {
        let gray = picture(w, h, 1);
        let edges = Canny::with_sigma(3.0).edges(&gray, None).unwrap();
        assert_eq!(edges.len(), w * h);
        assert!(w > 2 && h > 2 || edges.iter().all(|&e| e == 0));
    }
}

#[test]
fn a_mask_of_another_size_is_refused_with_both_sizes() {
    let error = edge_map(
        &picture(8, 6, 0),
        &Mask::all_known(6, 8),
        EdgeSource::KnownRegion,
        &Canny::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("6x8") && error.contains("8x6"), "{error}");
}
