//! Generated masks keep their promised share of hole, at every size, for every seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use strdiffusion::masks::{MaskGenerator, ShapeKind, write_masks};
use strdiffusion::picture::{HolePolarity, Mask};

#[test]
fn the_holes_share_lies_in_the_asked_range_for_every_size_and_kind() {
    let ranges = [
        (0.0, 1.0),
        (0.1, 0.2),
        (0.01, 0.02),
        (0.5, 0.501),
        (0.6, 0.95),
        (1.0, 1.0),
    ];
    for (low, high) in ranges {
        for (w, h) in [(16, 16), (16, 70), (64, 64), (101, 37)] {
            let all = &ShapeKind::ALL[..];
            for kinds in ShapeKind::ALL
                .each_ref()
                .map(std::slice::from_ref)
                .into_iter()
                .chain([all])
            {
                for seed in 0..8 {
                    let generator = MaskGenerator {
                        ratio: low..=high,
                        kinds: kinds.to_vec(),
                    };
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let mask = generator.generate(w, h, &mut rng).unwrap();
                    let share = mask.hole_fraction();
                    assert!(
                        (low..=high).contains(&share),
                        "{w}x{h} {kinds:?} seed {seed}: {share} not in {low}-{high}"
                    );
                }
            }
        }
    }
}

#[test]
fn shares_spread_over_the_whole_range() {
    let generator = MaskGenerator::with_ratio(0.1..=0.5).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let shares: Vec<f64> = (0..100)
        .map(|_| {
            generator
                .generate(64, 64, &mut rng)
                .unwrap()
                .hole_fraction()
        })
        .collect();
    assert!(shares.iter().any(|&s| s < 0.15) && shares.iter().any(|&s| s > 0.45));
}

#[test]
fn the_same_seed_gives_the_same_mask_and_another_seed_another() {
    let draw = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        MaskGenerator::default().generate(96, 80, &mut rng).unwrap()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

/// A hole pixel's distance to the known region, at most: how thick a hole is.
fn thickest(mask: &Mask) -> usize {
    let (w, h) = (mask.width(), mask.height());
    let mut keep = mask.keep().to_vec();
    let mut rings = 0;
    while keep.contains(&0) {
        let before = keep.clone();
        let known = |x: usize, y: usize| before[y * w + x] == 1;
        for y in 0..h {
            for x in 0..w {
                let beside = x > 0 && known(x - 1, y)
                    || y > 0 && known(x, y - 1)
                    || x + 1 < w && known(x + 1, y)
                    || y + 1 < h && known(x, y + 1);
                keep[y * w + x] |= u8::from(beside);
            }
        }
        rings += 1;
    }
    rings
}

#[test]
fn scratches_and_text_are_thin_and_objects_are_not() {
    let thickness = |kind: ShapeKind| {
        let generator = MaskGenerator {
            ratio: 0.02..=0.03,
            kinds: vec![kind],
        };
        let masks = (0..10).map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            thickest(&generator.generate(128, 128, &mut rng).unwrap())
        });
        masks.collect::<Vec<_>>()
    };
    // Marks may cross, where they are thicker than one pen.
    assert!(
        thickness(ShapeKind::Scratch)
            .iter()
            .all(|&rings| rings <= 6)
    );
    assert!(thickness(ShapeKind::Text).iter().all(|&rings| rings <= 6));
    assert!(thickness(ShapeKind::Object).iter().all(|&rings| rings >= 5));
}

#[test]
fn impossible_requests_are_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for ratio in [-0.1..=0.5, 0.5..=1.5, f64::NAN..=0.5, 0.1..=f64::INFINITY] {
        assert!(MaskGenerator::with_ratio(ratio).is_err());
    }
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = 0.6..=0.2;
    assert!(MaskGenerator::with_ratio(reversed).is_err());
    // 256 pixels: no whole number of them is a share of 0.1001 to 0.1002.
    let narrow = MaskGenerator::with_ratio(0.1001..=0.1002).unwrap();
    assert!(
        narrow
            .generate(16, 16, &mut rng)
            .unwrap_err()
            .to_string()
            .contains("16x16")
    );
    assert!(MaskGenerator::default().generate(15, 64, &mut rng).is_err());
    let none = MaskGenerator {
        kinds: vec![],
        ..MaskGenerator::default()
    };
    assert!(none.generate(64, 64, &mut rng).is_err());
}

#[test]
fn written_masks_are_numbered_white_holes_and_independent_of_the_count() {
    let (few, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let generator = MaskGenerator::with_ratio(0.2..=0.4).unwrap();
    let three = write_masks(3, (48, 32), 7, &generator, &few.path().join("new")).unwrap();
    let five = write_masks(5, (48, 32), 7, &generator, many.path()).unwrap();
    assert_eq!(five.len(), 5);
    assert!(three[2].ends_with("new/mask_00002.png"));
    for (a, b) in three.iter().zip(&five) {
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap());
        let mask = Mask::open(a, HolePolarity::White).unwrap();
        assert!((0.2..=0.4).contains(&mask.hole_fraction()));
        assert_eq!((mask.width(), mask.height()), (48, 32));
    }
    assert_eq!(
        std::fs::read_dir(many.path()).unwrap().count(),
        5,
        "temporary files remain"
    );
}

#[test]
fn masks_that_are_there_already_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask_00001.png");
    std::fs::write(&path, b"mine").unwrap();
    let generator = MaskGenerator::with_ratio(0.1..=0.2).unwrap();
    let error = write_masks(3, (32, 32), 1, &generator, folder.path()).unwrap_err();
    assert!(error.to_string().contains("mask_00001.png"));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing was added"
    );
}
