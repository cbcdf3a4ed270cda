//! The three networks: one U-Net definition for structure and texture, and the discriminator.

mod cost;
mod discriminator;
mod embedding;
mod guide;
pub mod layers;
mod precision;
mod unet;

pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use embedding::sinusoidal;
pub use guide::{GuideAlignment, GuideBlock, Spade};
pub use precision::{Network, Precision};
pub use unet::{
    ConditionalUNet, ConditionalUNetConfig, DownLevel, LinearAttention, ResBlock, TimeEmbedding,
    UpLevel,
};
