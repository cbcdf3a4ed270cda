//! Photographs and masks: files in, files out, and the planar floats between.
//!
//! A [`Photo`] keeps its own bit depth and colour type, so that known pixels come back bit for
//! bit. A [`FloatImage`] is what networks see: planar f32 in [0, 1]. A [`Mask`] says which
//! pixels are known (1 = keep) and which are a hole (0); in files a hole is white by default.
//!
//! Alpha means the same everywhere. A pixel that is more transparent than opaque has no colour that
//! could be known, so it is [unknown](Photo::unknown) to the networks. It stays as it is unless it
//! is the hole. A mask's hole keeps its alpha; where the transparency itself is the hole
//! ([`Mask::from_alpha`]), every pixel that is not opaque belongs to it and becomes opaque.

mod colour;
mod decode;
pub(crate) mod distance;
mod encode;
mod error;
mod exif;
mod extension;
mod float_image;
mod limits;
mod mask;
mod mask_file;
mod mask_options;
mod metadata;
mod output;
mod photo;
pub mod published;
mod resize;
mod samples;
mod tiff_tags;

pub(crate) use error::is_users_path;
pub use error::{Limit, PictureError};
pub use extension::{Extension, Margins, UnknownExtension};
pub use float_image::FloatImage;
pub use limits::Limits;
pub use mask::Mask;
pub use mask_file::HolePolarity;
pub use mask_options::MaskOptions;
pub use output::{OutputFormat, check_output, output_format};
pub use photo::Photo;
pub use resize::Filter;
