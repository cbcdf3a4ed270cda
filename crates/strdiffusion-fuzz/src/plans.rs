//! Which regions of a photograph are filled.

use strdiffusion::picture::Mask;
use strdiffusion::region::{Hole, RegionOptions, plan, split_specks};

/// Sizes and options in four bytes, then which pixels are a hole, eight in a byte.
pub fn region(bytes: &[u8]) {
    let Some(([width, height, side, context], bits)) = bytes.split_first_chunk() else {
        return;
    };
    let (width, height) = (1 + usize::from(*width), 1 + usize::from(*height));
    let options = RegionOptions {
        model_side: 16 + usize::from(*side),
        context: 1.0 + f64::from(*context) / 64.0,
    };
    let keep: Vec<u8> = (0..width * height)
        .map(|i| 1 - (bits.get(i / 8).copied().unwrap_or(0) >> (i % 8) & 1))
        .collect();
    let mask = Mask::from_keep(width, height, keep).expect("each pixel is known or not");
    let mut filled = vec![0u8; width * height];
    for crop in plan(&mask, &options).expect("the options are in range") {
        assert!(crop.x + crop.width <= width && crop.y + crop.height <= height);
        assert!(crop.model_width.min(crop.model_height) > 0);
        for run in crop.holes.iter().flat_map(Hole::runs) {
            assert!((crop.y..crop.y + crop.height).contains(&run.y));
            assert!(crop.x <= run.start && run.end <= crop.x + crop.width);
            for times in &mut filled[run.y * width..][run.start..run.end] {
                *times += 1;
            }
        }
    }
    let holes: Vec<u8> = mask.keep().iter().map(|keep| 1 - keep).collect();
    assert_eq!(filled, holes);
    let (specks, rest) = split_specks(&mask, &mask);
    let specks = specks.iter().flat_map(|crop| &crop.holes);
    let pixels: usize = specks.map(Hole::pixels).sum();
    assert_eq!(pixels + rest.hole_pixels(), mask.hole_pixels());
}
