//! The three networks: one U-Net definition for structure and texture, and the discriminator; and the
//! critic, which takes part in training alone.

mod cost;
mod critic;
mod discriminator;
mod embedding;
mod guide;
pub mod layers;
mod precision;
mod unet;

/// Largest base width and time embedding, far beyond any network that has been trained: what a file
/// states must not overflow.
const MOST_WIDTH: usize = 1 << 14;
/// Most channels that a network reads or says.
const MOST_CHANNELS: usize = 1 << 12;

pub use critic::{Critic, Findings};
pub use discriminator::{Discriminator, DiscriminatorConfig};
pub use embedding::sinusoidal;
pub use guide::{GuideAlignment, GuideBlock, Spade};
pub use precision::{Network, Precision};
pub use unet::{
    ConditionalUNet, ConditionalUNetConfig, DownLevel, LinearAttention, ResBlock, TimeEmbedding,
    UpLevel,
};
