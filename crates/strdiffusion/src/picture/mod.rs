//! Photographs and masks: files in, files out, and the planar floats between.
//!
//! A [`Photo`] keeps its own bit depth and colour type, so that known pixels come back bit for
//! bit. A [`FloatImage`] is what networks see: planar f32 in [0, 1]. A [`Mask`] says which
//! pixels are known (1 = keep) and which are a hole (0); in files a hole is white by default.

mod decode;
mod encode;
mod encode_png;
mod error;
mod float_image;
mod jpeg_end;
mod limits;
mod mask;
mod output;
mod photo;
mod resize;
mod samples;

pub use error::PictureError;
pub use float_image::FloatImage;
pub use limits::Limits;
pub use mask::{HolePolarity, Mask};
pub use output::{OutputFormat, check_output, output_format};
pub use photo::Photo;
pub use resize::Filter;
