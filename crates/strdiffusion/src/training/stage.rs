//! The three networks' trainings, in their order.

use serde::{Deserialize, Serialize};

/// One network's training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Structure network.
    Structure,
    /// Texture network.
    Texture,
    /// Discriminator.
    Discriminator,
}

impl Stage {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::Structure, Self::Texture, Self::Discriminator];

    /// Name in file names and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Texture => "texture",
            Self::Discriminator => "discriminator",
        }
    }
}
