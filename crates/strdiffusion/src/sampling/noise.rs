//! Where the sampler's Gaussian noise comes from.
//!
//! Noise is drawn for one picture at a time, so that a picture of a batch is filled as it would
//! be alone, and on the CPU, so that it does not depend on the device.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{NoiseError, Result};

/// A source of N(0, 1) numbers.
pub trait NoiseSource {
    /// The next draw for picture number `picture` of the batch: `channels · height · width`
    /// numbers, row by row, channel after channel.
    ///
    /// # Errors
    /// A recording may have run out, or hold a draw of another shape.
    fn normal(&mut self, picture: usize, shape: [usize; 3]) -> Result<Vec<f32>>;
}

/// Noise from one seed for each picture: the same seed gives the same numbers everywhere.
#[derive(Debug, Clone)]
pub struct SeededNoise {
    streams: Vec<ChaCha8Rng>,
}

impl SeededNoise {
    /// One stream for each picture of the batch.
    pub fn new(seeds: &[u64]) -> Self {
        Self {
            streams: seeds
                .iter()
                .map(|&seed| ChaCha8Rng::seed_from_u64(seed))
                .collect(),
        }
    }
}

impl NoiseSource for SeededNoise {
    fn normal(&mut self, picture: usize, shape: [usize; 3]) -> Result<Vec<f32>> {
        let count = self.streams.len();
        let stream = self.streams.get_mut(picture).ok_or(NoiseError::NoSeed {
            picture,
            seeds: count,
        })?;
        Ok((0..shape.iter().product())
            .map(|_| StandardNormal.sample(stream))
            .collect())
    }
}

/// Draws that were recorded elsewhere, replayed in order for a batch of one picture.
#[derive(Debug, Clone)]
pub struct RecordedNoise {
    draws: std::vec::IntoIter<([usize; 3], Vec<f32>)>,
    taken: usize,
}

impl RecordedNoise {
    /// Draws in the order in which they will be asked for, each with its shape
    /// (channels, height, width).
    pub fn new(draws: Vec<([usize; 3], Vec<f32>)>) -> Self {
        Self {
            draws: draws.into_iter(),
            taken: 0,
        }
    }

    /// How many draws are left.
    pub fn remaining(&self) -> usize {
        self.draws.len()
    }
}

impl NoiseSource for RecordedNoise {
    fn normal(&mut self, _picture: usize, shape: [usize; 3]) -> Result<Vec<f32>> {
        let number = self.taken;
        let (recorded, values) = self
            .draws
            .next()
            .ok_or(NoiseError::RanOut { draws: number })?;
        if recorded != shape {
            return Err(NoiseError::Shape {
                draw: number,
                recorded,
                asked: shape,
            }
            .into());
        }
        self.taken += 1;
        Ok(values)
    }
}
