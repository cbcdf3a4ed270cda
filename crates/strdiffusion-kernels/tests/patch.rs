//! Patch distances: the same whole number from every instruction set.

mod common;
use common::{Rng, each_isa};
use strdiffusion_kernels::{LARGEST, PATCH_SIDE, PatchDistance, PatchRows, ROW};

/// By the definition, in 64 bits.
fn reference(patch: &PatchRows, picture: &[i16], start: usize, stride: usize) -> u64 {
    let mut sum = 0;
    for (y, row) in patch.iter().enumerate() {
        for (x, &a) in row[..4 * PATCH_SIDE].iter().enumerate() {
            let d = i64::from(a) - i64::from(picture[start + y * stride + x]);
            sum += (d * d) as u64;
        }
    }
    sum
}

#[test]
fn every_instruction_set_gives_the_distance_of_the_definition() {
    let (width, height) = (13, 11);
    let stride = 4 * width;
    let mut rng = Rng(7);
    let mut number = |extreme: bool| match extreme {
        true => [0, LARGEST][rng.below(2)],
        false => rng.below(LARGEST as usize + 1) as i16,
    };
    for extreme in [false, true] {
        let mut patch: PatchRows = [[0; ROW]; PATCH_SIDE];
        patch
            .iter_mut()
            .flatten()
            .for_each(|v| *v = number(extreme));
        let picture: Vec<i16> = (0..stride * height + 4).map(|_| number(extreme)).collect();
        for start in [0, 4, 4 * (width - PATCH_SIDE), 4 * stride] {
            let want = reference(&patch, &picture, start, stride);
            each_isa(|isa| {
                let distance = PatchDistance::current();
                let whole = distance.squared(&patch, &picture, start, stride, u32::MAX);
                assert_eq!(u64::from(whole), want, "{isa:?}");
                // Cut short it says so: it reaches the limit, and never exceeds the truth.
                let cut = distance.squared(&patch, &picture, start, stride, (want / 4) as u32);
                assert!(
                    u64::from(cut) >= want / 4 && u64::from(cut) <= want,
                    "{isa:?}"
                );
            });
        }
    }
}

#[test]
fn the_largest_distance_fits() {
    let patch: PatchRows = [[LARGEST; ROW]; PATCH_SIDE];
    let picture = vec![0; ROW * PATCH_SIDE];
    let want = (4 * PATCH_SIDE * PATCH_SIDE) as u64 * u64::from(LARGEST as u16).pow(2);
    each_isa(|isa| {
        let got = PatchDistance::current().squared(&patch, &picture, 0, ROW, u32::MAX);
        assert_eq!(u64::from(got), want, "{isa:?}");
    });
}
