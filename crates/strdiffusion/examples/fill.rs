//! Fills the hole of a photograph: the library's front door, with names from the command line.
//!
//! ```sh
//! cargo run --release --example fill -- examples/scene.png examples/scene-mask.png filled.png
//! ```

use std::ops::ControlFlow;

use strdiffusion::device::DeviceName;
use strdiffusion::picture::{HolePolarity, Mask, Photo};
use strdiffusion::{FillOptions, Inpainter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [photo, mask, output] = files.as_slice() else {
        return Err("name a photograph, its mask (white = hole) and an output".into());
    };
    let inpainter = Inpainter::load("models/default", &DeviceName::Auto.open()?)?;
    let photo = Photo::open(photo)?;
    let mask = Mask::open(mask, HolePolarity::White)?;
    let options = FillOptions::default();
    let filled = inpainter.fill(&photo, &mask, &options, &mut |_| ControlFlow::Continue(()))?;
    filled.photo.save(output)?;
    Ok(())
}
