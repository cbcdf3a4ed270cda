//! Draws the README's example: a street front under an evening sky, and a mask with a hole in it.
//!
//! ```text
//! cargo run --release --example draw_scene -- examples/
//! ```

use std::path::PathBuf;

use strdiffusion::picture::{FloatImage, Mask, Photo};

const WIDTH: usize = 192;
const HEIGHT: usize = 128;

fn main() -> strdiffusion::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "examples".into()));
    let colours: Vec<[f32; 3]> = (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| smooth(x, y)))
        .collect();
    let planar = (0..3)
        .flat_map(|c| colours.iter().map(move |colour| colour[c]))
        .collect();
    Photo::from_float_image(&FloatImage::from_vec(3, WIDTH, HEIGHT, planar)?)?
        .save(folder.join("scene.png"))?;
    let keep = (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| u8::from(!in_hole(x as f32, y as f32))))
        .collect();
    Mask::from_keep(WIDTH, HEIGHT, keep)?.save(folder.join("scene-mask.png"))?;
    Ok(())
}

/// Mean of 3×3 points within the pixel, so that edges are not jagged.
fn smooth(x: usize, y: usize) -> [f32; 3] {
    let offsets = [1.0 / 6.0, 0.5, 5.0 / 6.0];
    let mut sum = [0.0; 3];
    for dy in offsets {
        for dx in offsets {
            let colour = scene(x as f32 + dx, y as f32 + dy);
            for (sum, part) in sum.iter_mut().zip(colour) {
                *sum += part / 9.0;
            }
        }
    }
    sum
}

/// Colour at a point.
fn scene(x: f32, y: f32) -> [f32; 3] {
    let height = HEIGHT as f32;
    // Each house has its own width, height and colour.
    let houses = [
        (0.0, 58.0, 44.0, [0.72, 0.55, 0.42]),
        (58.0, 126.0, 30.0, [0.62, 0.36, 0.30]),
        (126.0, 192.0, 52.0, [0.78, 0.72, 0.60]),
    ];
    if y > height - 14.0 {
        let shade = 0.30 + 0.06 * (x * 0.15).sin();
        return [shade, shade, shade + 0.02];
    }
    for (left, right, top, wall) in houses {
        if x < left || x >= right || y < top {
            continue;
        }
        if y < top + 4.0 {
            return wall.map(|v| v * 0.55); // cornice
        }
        let (column, row) = ((x - left) % 17.0, (y - top - 4.0) % 22.0);
        let inside = (right - left) > 20.0 && (x - left) < ((right - left) / 17.0).floor() * 17.0;
        if inside && (4.0..13.0).contains(&column) && (5.0..17.0).contains(&row) {
            let frame = !(5.0..12.0).contains(&column) || !(6.0..16.0).contains(&row);
            let number = ((x - left) / 17.0).floor() * 7.0 + ((y - top - 4.0) / 22.0).floor() * 3.0;
            let lit = (number + left) % 4.0 < 1.0;
            return match (frame, lit) {
                (true, _) => [0.90, 0.88, 0.84],
                (false, true) => [0.98, 0.84, 0.48],
                (false, false) => [0.22, 0.27, 0.35],
            };
        }
        let brick = 0.02 * ((y * 1.1).sin() + (x * 0.35).sin());
        return wall.map(|v| v + brick);
    }
    let t = y / 60.0;
    [0.45 + 0.45 * t, 0.58 + 0.20 * t, 0.80 - 0.10 * t]
}

/// A blob across a roof line, and a thin scratch.
fn in_hole(x: f32, y: f32) -> bool {
    let blob = ((x - 96.0) / 14.0).powi(2) + ((y - 36.0) / 10.0).powi(2) < 1.0;
    let scratch = (y - 88.0 - 0.12 * (x - 20.0)).abs() < 1.6 && (20.0..46.0).contains(&x);
    blob || scratch
}
